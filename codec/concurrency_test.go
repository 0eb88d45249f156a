package codec_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// tree contains itself, so that its decoder is made while others ask for it.
type tree struct {
	Name string           `json:"name"`
	Kids []*tree          `json:"kids"`
	By   map[string]*tree `json:"by"`
}

// Verify that one codec serves many goroutines, from the first use of a type on.
func TestConcurrentUse(t *testing.T) {
	want := tree{Name: "a", Kids: []*tree{{Name: "b"}, {Name: "c", By: map[string]*tree{"d": {Name: "d"}}}}}
	for kind, c := range codecs(nil) {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				var first []byte
				for range 50 {
					msg, err := c.AppendRequest(nil, nil, "m", []any{want})
					if err != nil {
						t.Errorf("%s: %v", kind, err)
						return
					}
					if first != nil && !bytes.Equal(first, msg) {
						t.Errorf("%s: %q became %q", kind, first, msg)
					}
					first = msg
					envs, _, serr := c.Split(nil, msg)
					if serr != nil {
						t.Errorf("%s: %v", kind, serr)
						return
					}
					var got []tree
					if err := c.Decode(envs[0].Params, &got); err != nil {
						t.Errorf("%s: %v", kind, err)
						return
					}
					if diff := cmp.Diff([]tree{want}, got, cmpopts.EquateEmpty()); diff != "" {
						t.Errorf("%s (-want +got):\n%s", kind, diff)
					}
					var n int8
					_ = c.Decode(envs[0].Params, &n)
				}
			})
		}
		wg.Wait()
	}
}

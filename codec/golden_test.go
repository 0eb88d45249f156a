package codec_test

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/codec"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden with what the codecs write now")

// codecs are what most tests run over.
func codecs(o *codec.Options) map[string]codec.Codec {
	return map[string]codec.Codec{"json": codec.JSON(o), "msgpack": codec.Msgpack(o)}
}

type point struct {
	X     int       `json:"x"`
	Y     float64   `json:"y,omitempty"`
	Label string    `json:"label"`
	Tags  []string  `json:"tags"`
	At    time.Time `json:"at"`
}

var samplePoint = point{
	X: -7, Y: 0.5, Label: "<a & b>", Tags: []string{"x", "ÿ"},
	At: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC),
}

// Verify that every kind of message has the bytes that clients rely on.
func TestGolden(t *testing.T) {
	one := map[string][]byte{"json": []byte("1"), "msgpack": {1}}
	str := map[string][]byte{"json": []byte(`"a-1"`), "msgpack": []byte("\xa3a-1")}
	messages := []struct {
		name  string
		build func(kind string, c codec.Codec) ([]byte, error)
	}{
		{"request", func(k string, c codec.Codec) ([]byte, error) {
			return c.AppendRequest(nil, one[k], "add", []int{2, 3})
		}},
		{"request_no_params", func(k string, c codec.Codec) ([]byte, error) {
			return c.AppendRequest(nil, str[k], "list", nil)
		}},
		{"notification", func(k string, c codec.Codec) ([]byte, error) {
			return c.AppendRequest(nil, nil, "moved", samplePoint)
		}},
		{"notification_no_params", func(k string, c codec.Codec) ([]byte, error) {
			return c.AppendRequest(nil, nil, "tick", nil)
		}},
		{"method_quoted", func(k string, c codec.Codec) ([]byte, error) {
			return c.AppendRequest(nil, nil, "a\"\\\n\x01é\xff", nil)
		}},
		{"result", func(k string, c codec.Codec) ([]byte, error) {
			return c.AppendResult(nil, one[k], false, 5)
		}},
		{"result_null", func(k string, c codec.Codec) ([]byte, error) {
			return c.AppendResult(nil, str[k], false, nil)
		}},
		{"result_null_id", func(k string, c codec.Codec) ([]byte, error) {
			return c.AppendResult(nil, nil, false, samplePoint)
		}},
		{"result_bare", func(k string, c codec.Codec) ([]byte, error) {
			return c.AppendResult(nil, nil, true, map[string]bool{"success": true})
		}},
		{"error", func(k string, c codec.Codec) ([]byte, error) {
			return c.AppendError(nil, one[k], false, &codec.Error{Code: codec.CodeMethodNotFound, Message: "Method not found"}), nil
		}},
		{"error_data", func(k string, c codec.Codec) ([]byte, error) {
			return c.AppendError(nil, str[k], false, &codec.Error{Code: codec.CodeInvalidParams, Message: "Invalid params", Data: "x: expected a number"}), nil
		}},
		{"error_bare", func(k string, c codec.Codec) ([]byte, error) {
			return c.AppendError(nil, nil, true, &codec.Error{Code: 7, Message: "no"}), nil
		}},
		{"error_data_unencodable", func(k string, c codec.Codec) ([]byte, error) {
			return c.AppendError(nil, one[k], false, &codec.Error{Code: 7, Message: "no", Data: func() {}}), nil
		}},
		{"error_data_panics", func(k string, c codec.Codec) ([]byte, error) {
			return c.AppendError(nil, one[k], false, &codec.Error{Code: 7, Message: "no", Data: panics{}}), nil
		}},
		{"batch", func(k string, c codec.Codec) ([]byte, error) {
			a, _ := c.AppendResult(nil, one[k], false, true)
			b := c.AppendError(nil, nil, false, &codec.Error{Code: codec.CodeInvalidRequest, Message: "Invalid Request"})
			return c.AppendBatch(nil, [][]byte{a, b}), nil
		}},
		{"batch_of_one", func(k string, c codec.Codec) ([]byte, error) {
			a, err := c.AppendRequest(nil, nil, "tick", nil)
			return c.AppendBatch(nil, [][]byte{a}), err
		}},
	}
	for kind, c := range codecs(nil) {
		t.Run(kind, func(t *testing.T) {
			var got strings.Builder
			for _, m := range messages {
				b, err := m.build(kind, c)
				if err != nil {
					t.Fatalf("%s: %v", m.name, err)
				}
				if _, _, e := c.Split(nil, b); e != nil {
					t.Errorf("%s: Split of our own message: %v", m.name, e)
				}
				if c.Binary() {
					fmt.Fprintf(&got, "%s\t%s\n", m.name, hex.EncodeToString(b))
				} else {
					fmt.Fprintf(&got, "%s\t%s\n", m.name, b)
				}
			}
			file := "testdata/" + kind + ".golden"
			if *update {
				if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("bytes changed (-want +got):\n%s", diff)
			}
		})
	}
}

// panics has marshalers of both formats that panic.
type panics struct{}

func (panics) MarshalText() ([]byte, error) { panic("no text") }

// Verify that Append methods extend dst and give it back unchanged on errors.
func TestAppendKeepsDst(t *testing.T) {
	for kind, c := range codecs(nil) {
		prefix := []byte("prefix")
		out, err := c.AppendResult(prefix, nil, false, "x")
		if err != nil || string(out[:6]) != "prefix" {
			t.Errorf("%s: AppendResult = %q, %v", kind, out, err)
		}
		out = c.AppendError(prefix, nil, false, &codec.Error{Code: 1, Data: panics{}})
		if string(out[:6]) != "prefix" {
			t.Errorf("%s: AppendError = %q", kind, out)
		}
		out, err = c.AppendResult(prefix, nil, false, []any{1, func() {}})
		if err == nil || string(out) != "prefix" {
			t.Errorf("%s: AppendResult of a func = %q, %v", kind, out, err)
		}
		out, err = c.AppendRequest(prefix, nil, "m", func() {})
		if err == nil || string(out) != "prefix" {
			t.Errorf("%s: AppendRequest of a func = %q, %v", kind, out, err)
		}
		out, err = c.AppendValue(prefix, make(chan int))
		if err == nil || string(out) != "prefix" {
			t.Errorf("%s: AppendValue of a chan = %q, %v", kind, out, err)
		}
	}
}

// Verify that a large batch gets a header that Split reads.
func TestAppendBatchSizes(t *testing.T) {
	for kind, c := range codecs(&codec.Options{MaxBatch: -1}) {
		item, _ := c.AppendRequest(nil, nil, "m", nil)
		for _, n := range []int{1, 15, 16, 65535, 65536} {
			items := make([][]byte, n)
			for i := range items {
				items[i] = item
			}
			envs, batch, err := c.Split(nil, c.AppendBatch(nil, items))
			if err != nil || !batch || len(envs) != n {
				t.Errorf("%s: %d items: got %d, %v, %v", kind, n, len(envs), batch, err)
			}
		}
	}
}

func TestNames(t *testing.T) {
	j, m := codec.JSON(nil), codec.Msgpack(nil)
	if j.Subprotocol() != codec.SubprotocolJSON || j.Binary() {
		t.Error("json:", j.Subprotocol(), j.Binary())
	}
	if m.Subprotocol() != codec.SubprotocolMsgpack || !m.Binary() {
		t.Error("msgpack:", m.Subprotocol(), m.Binary())
	}
}

// Verify that Error is an error that other packages can take apart without
// knowing this one.
func TestError(t *testing.T) {
	var err error = &codec.Error{Code: -32601, Message: "Method not found", Data: 5}
	if err.Error() != "Method not found (-32601)" {
		t.Error(err)
	}
	if e, ok := err.(interface{ ErrorCode() int }); !ok || e.ErrorCode() != -32601 {
		t.Error("no code")
	}
	if e, ok := err.(interface{ ErrorData() any }); !ok || e.ErrorData() != 5 {
		t.Error("no data")
	}
}

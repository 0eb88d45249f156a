package sim_test

import (
	"slices"
	"testing"

	"github.com/wireroom/wireroom/bench/internal/sim"
)

// Verify that simulated clients connect and get every broadcast.
func TestSimulate(t *testing.T) {
	res, err := sim.Simulate(300)
	if err != nil {
		t.Fatal(err)
	}
	if res.Connections != 300 || res.PerMember <= 0 || res.PerMember16 <= 0 || res.GC <= 0 {
		t.Errorf("%+v", res)
	}
}

// Verify that sizes grow tenfold up to the limit.
func TestSizes(t *testing.T) {
	for limit, want := range map[int][]int{300: {300}, 1000: {1000}, 100000: {1000, 10000, 100000}, 50000: {1000, 10000, 50000}} {
		if got := sim.Sizes(limit); !slices.Equal(got, want) {
			t.Errorf("%d: %v, want %v", limit, got, want)
		}
	}
}

package measure_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/wireroom/wireroom/bench/internal/measure"
)

// Verify that quantiles are within a hundredth of those of the sorted values.
func TestHistogram(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var a, b measure.Histogram
	var all []time.Duration
	for i := range 20000 {
		d := time.Duration(math.Exp(rng.Float64() * 22)) // 1 ns to 3.6 s
		all = append(all, d)
		if i%2 == 0 {
			a.Add(d)
		} else {
			b.Add(d)
		}
	}
	a.Merge(&b)
	slices.Sort(all)
	for _, q := range append(slices.Clone(measure.Quantiles), 1) {
		want := all[max(int(math.Ceil(q*float64(len(all))))-1, 0)]
		got := a.Quantile(q)
		if math.Abs(float64(got-want)) > 0.01*float64(want) {
			t.Errorf("quantile %g: %v, want %v", q, got, want)
		}
	}
	s := a.Summary()
	if a.Count() != 20000 || s.Max != all[len(all)-1] || s.P50 != a.Quantile(0.5) || len(s.Curve) != len(measure.Quantiles) {
		t.Errorf("count %d, summary %+v", a.Count(), s)
	}
	a.Reset()
	if s := a.Summary(); a.Count() != 0 || s.P999 != 0 || s.Curve != nil || s.Mean != 0 {
		t.Errorf("after Reset: %+v", s)
	}
}

// Verify that the ends of the scale have a place.
func TestHistogramEnds(t *testing.T) {
	var h measure.Histogram
	for _, d := range []time.Duration{-1, 0, 1, 127, 128, 255, 256, math.MaxInt64} {
		h.Add(d)
	}
	if h.Count() != 8 || h.Max() != math.MaxInt64 || h.Quantile(0) != 0 || h.Quantile(1) != math.MaxInt64 || h.Quantile(0.5) != 127 {
		t.Errorf("count %d, max %v, median %v, least %v", h.Count(), h.Max(), h.Quantile(0.5), h.Quantile(0))
	}
}

// Verify medians of odd and even numbers of values, and that missing ones do
// not count.
func TestSpread(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, tt := range []struct {
		in   []float64
		want measure.Spread
	}{
		{nil, measure.Spread{}},
		{[]float64{nan, inf}, measure.Spread{}},
		{[]float64{3}, measure.Spread{Median: 3, Min: 3, Max: 3, N: 1}},
		{[]float64{3, 1, nan, 2}, measure.Spread{Median: 2, Min: 1, Max: 3, N: 3}},
		{[]float64{4, 1, 2, 3}, measure.Spread{Median: 2.5, Min: 1, Max: 4, N: 4}},
	} {
		if got := measure.SpreadOf(tt.in); got != tt.want {
			t.Errorf("%v: %+v, want %+v", tt.in, got, tt.want)
		}
	}
}

// Verify that ratios are taken within a repetition, and only where both are
// there.
func TestRatios(t *testing.T) {
	nan := math.NaN()
	got := measure.Ratios([]float64{2, nan, 9, 8, 5}, []float64{1, 1, 3, nan})
	if !slices.Equal(got, []float64{2, 3}) {
		t.Errorf("%v, want [2 3]", got)
	}
}

// Package measure holds the arithmetic of the reports: a histogram of
// latencies, medians, and ratios within a repetition.
package measure

import (
	"math"
	"math/bits"
	"time"
)

// sub is the number of linear steps within a power of two: a value is known to
// within 1/sub of itself.
const (
	subBits = 7
	sub     = 1 << subBits
	buckets = (64 - subBits + 1) * sub
)

// Histogram counts durations, from 1 ns up, to within one in 128. The zero
// value is empty and ready for use, by one goroutine at a time.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
	max    time.Duration
	sum    float64
}

func bucket(v uint64) int {
	if v < sub {
		return int(v)
	}
	e := bits.Len64(v) - subBits - 1
	return (e+1)<<subBits + int(v>>e) - sub
}

// upper is the largest value of a bucket.
func upper(i int) uint64 {
	if i < sub {
		return uint64(i)
	}
	e := i>>subBits - 1
	return (uint64(i&(sub-1))+sub+1)<<e - 1
}

// Add counts a duration; a negative one counts as 0.
func (h *Histogram) Add(d time.Duration) {
	d = max(d, 0)
	h.counts[bucket(uint64(d))]++
	h.total++
	h.max = max(h.max, d)
	h.sum += float64(d)
}

// Merge counts what o has counted.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.max = max(h.max, o.max)
	h.sum += o.sum
}

// Reset empties the histogram.
func (h *Histogram) Reset() { *h = Histogram{} }

// Count returns how many durations have been counted.
func (h *Histogram) Count() uint64 { return h.total }

// Max returns the longest duration.
func (h *Histogram) Max() time.Duration { return h.max }

// Mean returns the mean, or 0 if nothing has been counted.
func (h *Histogram) Mean() time.Duration {
	if h.total == 0 {
		return 0
	}
	return time.Duration(h.sum / float64(h.total))
}

// Quantile returns the duration that the part q of all does not exceed, or 0
// if nothing has been counted.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := max(uint64(math.Ceil(q*float64(h.total))), 1)
	var seen uint64
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return min(time.Duration(upper(i)), h.max)
		}
	}
	return h.max
}

// Latency is what is kept of a histogram.
type Latency struct {
	P50  time.Duration `json:"p50_ns"`
	P90  time.Duration `json:"p90_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p999_ns"`
	Max  time.Duration `json:"max_ns"`
	Mean time.Duration `json:"mean_ns"`
	// Curve has the durations at the quantiles of Quantiles.
	Curve []time.Duration `json:"curve_ns,omitempty"`
}

// Quantiles are those of Latency.Curve.
var Quantiles = []float64{0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999}

// Summary returns what is kept of the histogram.
func (h *Histogram) Summary() Latency {
	l := Latency{
		P50: h.Quantile(0.5), P90: h.Quantile(0.9), P99: h.Quantile(0.99), P999: h.Quantile(0.999),
		Max: h.max, Mean: h.Mean(),
	}
	if h.total > 0 {
		for _, q := range Quantiles {
			l.Curve = append(l.Curve, h.Quantile(q))
		}
	}
	return l
}

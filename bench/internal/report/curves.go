package report

import (
	"cmp"
	"math"
	"slices"

	"github.com/wireroom/wireroom/bench/internal/measure"
)

// curves draws, for each server, the latency at growing quantiles: to the
// right, each step is ten times rarer.
func curves(t table, colours map[string]string) string {
	const top, height, right = 8.0, 210.0, 96.0
	d := &drawing{width: picture, height: height + axisRoom}
	y := logarithmic{low: math.Inf(1), from: height, to: top}
	lines := make([][]float64, len(t.rows))
	for i, rw := range t.rows {
		lines[i] = middle(rw)
		for k, v := range lines[i] {
			if measure.Quantiles[k] == 0 {
				continue // the least is far from all others, and of no interest
			}
			y.low, y.high = min(y.low, v), max(y.high, v)
		}
	}
	if y.high <= 0 || math.IsInf(y.low, 1) {
		return ""
	}
	y.low, y.high = max(y.low*0.8, 1), y.high*1.25
	x := func(q float64) float64 {
		return nameWidth + math.Log10(1/(1-q))/4*(picture-right-nameWidth)
	}
	for _, v := range y.ticks() {
		d.line("grid", nameWidth, y.at(v), picture-right, y.at(v))
		d.text("tick", "end", nameWidth-8, y.at(v)+4, duration(v))
	}
	for _, q := range []struct {
		at   float64
		name string
	}{{0.5, "p50"}, {0.9, "p90"}, {0.99, "p99"}, {0.999, "p99.9"}, {0.9999, "p99.99"}} {
		d.line("grid", x(q.at), top, x(q.at), height)
		d.text("tick", "middle", x(q.at), height+15, q.name)
	}
	var ends []ending
	for i, rw := range t.rows {
		if len(lines[i]) == 0 {
			continue
		}
		var points []point
		for k, v := range lines[i] {
			if measure.Quantiles[k] == 0 {
				continue
			}
			points = append(points, point{x(measure.Quantiles[k]), y.at(v)})
		}
		class := colours[rw.server.Name]
		d.polyline("curve "+class, points, rw.server.Name)
		ends = append(ends, ending{rw.server.Name, class, points[len(points)-1].y})
	}
	for _, e := range spreadOut(ends, 13, top, height) {
		d.text("end "+e.class, "start", picture-right+6, e.y+4, e.name)
	}
	return d.svg("Latency by quantile, " + t.c.Name)
}

// ending is the name of a curve, beside its end.
type ending struct {
	name, class string
	y           float64
}

// spreadOut moves names that would lie upon each other apart, between the top
// and the bottom of the picture.
func spreadOut(ends []ending, gap, top, bottom float64) []ending {
	slices.SortFunc(ends, func(a, b ending) int { return cmp.Compare(a.y, b.y) })
	next := top
	for i := range ends {
		ends[i].y = max(ends[i].y, next)
		next = ends[i].y + gap
	}
	limit := bottom
	for i := len(ends) - 1; i >= 0; i-- {
		ends[i].y = min(ends[i].y, limit)
		limit = ends[i].y - gap
	}
	return ends
}

// middle returns the medians of a row's curves, quantile by quantile.
func middle(rw row) []float64 {
	var out []float64
	for k := range measure.Quantiles {
		var at []float64
		for _, r := range rw.runs {
			if c := r.Load.Latency.Curve; k < len(c) {
				at = append(at, float64(c[k]))
			}
		}
		s := measure.SpreadOf(at)
		if s.N == 0 {
			return nil
		}
		out = append(out, s.Median)
	}
	return out
}

// Package report makes tables and pages of what was measured.
package report

import (
	"math"

	"github.com/wireroom/wireroom/bench/internal/measure"
	"github.com/wireroom/wireroom/bench/internal/record"
)

// floorName is the server that all others are compared with.
const floorName = "floor"

// row is one server in one case, over all repetitions.
type row struct {
	server record.Server
	failed []string // why, once per run that failed
	runs   []record.Run

	cpu   measure.Spread // server CPU per message, ns
	ratio measure.Spread // of that to the floor in the same repetition
	rate  measure.Spread // messages per second
	p50   measure.Spread // ns
	p99   measure.Spread
	p999  measure.Spread
	rss   measure.Spread // bytes, the peak
	heap  measure.Spread
	stack measure.Spread
	gos   measure.Spread
	other measure.Spread // processors that others used
}

// table is one case.
type table struct {
	c    record.Case
	rows []row
}

// tables arranges a report by case and server, both in its order. Servers that
// were not measured in a case have no row.
func tables(r *record.Report) []table {
	var out []table
	for _, c := range r.Cases {
		t := table{c: c}
		base := column(r.Runs, c.Name, floorName, cpuPerMessage)
		for _, s := range r.Servers {
			if rw, ok := newRow(r.Runs, c.Name, s, base); ok {
				t.rows = append(t.rows, rw)
			}
		}
		if len(t.rows) > 0 {
			out = append(out, t)
		}
	}
	return out
}

func newRow(runs []record.Run, name string, s record.Server, base []float64) (row, bool) {
	rw := row{server: s}
	for _, run := range runs {
		if run.Case != name || run.Server != s.Name {
			continue
		}
		if run.Failed != "" {
			rw.failed = append(rw.failed, run.Failed)
			continue
		}
		rw.runs = append(rw.runs, run)
	}
	if len(rw.runs)+len(rw.failed) == 0 {
		return rw, false
	}
	spread := func(value func(*record.Run) float64) measure.Spread {
		return measure.SpreadOf(column(runs, name, s.Name, value))
	}
	rw.cpu = spread(cpuPerMessage)
	rw.ratio = measure.SpreadOf(measure.Ratios(column(runs, name, s.Name, cpuPerMessage), base))
	rw.rate = spread(rate)
	rw.p50 = spread(func(r *record.Run) float64 { return float64(r.Load.Latency.P50) })
	rw.p99 = spread(func(r *record.Run) float64 { return float64(r.Load.Latency.P99) })
	rw.p999 = spread(func(r *record.Run) float64 { return float64(r.Load.Latency.P999) })
	rw.rss = spread(func(r *record.Run) float64 { return float64(r.Load.RSSPeak) })
	rw.heap = spread(func(r *record.Run) float64 {
		if r.Memory == nil {
			return math.NaN()
		}
		return float64(r.Memory.Heap)
	})
	rw.stack = spread(func(r *record.Run) float64 {
		if r.Memory == nil {
			return math.NaN()
		}
		return float64(r.Memory.Stack)
	})
	rw.gos = spread(func(r *record.Run) float64 {
		if r.Memory == nil {
			return math.NaN()
		}
		return float64(r.Memory.Goroutines)
	})
	rw.other = spread(otherCPU)
	return rw, true
}

// column returns a value of each repetition, NaN where the run is missing or
// has failed.
func column(runs []record.Run, name, server string, value func(*record.Run) float64) []float64 {
	var out []float64
	for i := range runs {
		run := &runs[i]
		if run.Case != name || run.Server != server {
			continue
		}
		for len(out) <= run.Repetition {
			out = append(out, math.NaN())
		}
		if run.Failed == "" {
			out[run.Repetition] = value(run)
		}
	}
	return out
}

func cpuPerMessage(r *record.Run) float64 {
	return float64(r.Load.ServerCPU) / float64(r.Load.Messages)
}

func rate(r *record.Run) float64 {
	return float64(r.Load.Messages) / r.Load.Elapsed.Seconds()
}

func otherCPU(r *record.Run) float64 {
	return float64(r.Load.OtherCPU) / float64(r.Load.Elapsed)
}

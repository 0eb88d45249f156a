package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/wireroom/wireroom/bench/internal/contract"
	"github.com/wireroom/wireroom/bench/internal/measure"
	"github.com/wireroom/wireroom/bench/internal/record"
)

// weight is what an idle connection costs, in bytes: what the server has
// grown by, divided by their number.
type weight struct {
	connections, goroutines                  measure.Spread
	rss, rssGC, heap, heapGC, stack, stackGC measure.Spread
}

func weigh(runs []record.Run) weight {
	spread := func(value func(in *record.Idle) float64) measure.Spread {
		var all []float64
		for _, r := range runs {
			if r.Idle != nil {
				all = append(all, value(r.Idle))
			}
		}
		return measure.SpreadOf(all)
	}
	resident := func(f func(*record.Idle) record.Footprint) measure.Spread {
		return spread(func(in *record.Idle) float64 {
			return (float64(f(in).RSS) - float64(in.Empty.RSS)) / float64(in.Connections)
		})
	}
	inside := func(f func(*record.Idle) record.Footprint, value func(*contract.Memory) float64) measure.Spread {
		return spread(func(in *record.Idle) float64 {
			m := f(in).Go
			if m == nil || in.Empty.Go == nil {
				return math.NaN()
			}
			return (value(m) - value(in.Empty.Go)) / float64(in.Connections)
		})
	}
	full := func(in *record.Idle) record.Footprint { return in.Full }
	collected := func(in *record.Idle) record.Footprint { return in.Collected }
	heap := func(m *contract.Memory) float64 { return float64(m.Heap) }
	stack := func(m *contract.Memory) float64 { return float64(m.Stack) }
	return weight{
		connections: spread(func(in *record.Idle) float64 { return float64(in.Connections) }),
		goroutines:  inside(full, func(m *contract.Memory) float64 { return float64(m.Goroutines) }),
		rss:         resident(full), rssGC: resident(collected),
		heap: inside(full, heap), heapGC: inside(collected, heap),
		stack: inside(full, stack), stackGC: inside(collected, stack),
	}
}

// codes lists close codes with how often each was seen.
func codes(m map[string]int) string {
	if len(m) == 0 {
		return none
	}
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s × %d", code, m[code]))
	}
	return strings.Join(parts, ", ")
}

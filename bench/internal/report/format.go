package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/wireroom/wireroom/bench/internal/measure"
)

// none stands for a figure that there is not.
const none = "–"

// figures formats a number with three significant digits, the way a reader
// would.
func figures(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return none
	case a == 0:
		return "0"
	case a >= 99.95:
		return thousands(int64(math.Round(v)))
	case a >= 9.995:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// thousands writes an integer with commas.
func thousands(n int64) string {
	if n < 0 {
		return "-" + thousands(-n)
	}
	s := fmt.Sprint(n)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// median formats the median of a spread, divided by unit.
func median(s measure.Spread, unit float64) string {
	if s.N == 0 {
		return none
	}
	return figures(s.Median / unit)
}

// around formats a median with the range around it.
func around(s measure.Spread, unit float64) string {
	if s.N < 2 {
		return median(s, unit)
	}
	return fmt.Sprintf("%s (%s–%s)", figures(s.Median/unit), figures(s.Min/unit), figures(s.Max/unit))
}

// duration formats nanoseconds in the unit that suits them.
func duration(ns float64) string {
	switch {
	case math.IsNaN(ns):
		return none
	case ns < 1e3:
		return figures(ns) + " ns"
	case ns < 1e6:
		return figures(ns/1e3) + " µs"
	case ns < 1e9:
		return figures(ns/1e6) + " ms"
	}
	return figures(ns/1e9) + " s"
}

// latency formats the median of a spread of nanoseconds.
func latency(s measure.Spread) string {
	if s.N == 0 {
		return none
	}
	return duration(s.Median)
}

// size formats bytes.
func size(b float64) string {
	switch a := math.Abs(b); {
	case math.IsNaN(b):
		return none
	case a < 1<<10:
		return figures(b) + " B"
	case a < 1<<20:
		return figures(b/(1<<10)) + " KiB"
	case a < 1<<30:
		return figures(b/(1<<20)) + " MiB"
	}
	return figures(b/(1<<30)) + " GiB"
}

func memory(s measure.Spread) string {
	if s.N == 0 {
		return none
	}
	return size(s.Median)
}

package report

import (
	"fmt"
	"math"

	"github.com/wireroom/wireroom/bench/internal/record"
)

// overview draws a row for each case: a dot for each server at its ratio to
// the floor, with its range for the servers that are no peers.
func overview(all []table, colours map[string]string) string {
	const names, right = 150.0, 20.0
	x := logarithmic{low: 0.5, high: 2, from: names, to: picture - right}
	var shown []table
	for _, t := range all {
		if t.c.Kind == record.IdleKind || t.c.Kind == record.SimKind {
			continue
		}
		has := false
		for _, rw := range t.rows {
			if rw.ratio.N > 0 {
				has = has || rw.server.Name != floorName
				x.low, x.high = min(x.low, rw.ratio.Min*0.9), max(x.high, rw.ratio.Max*1.1)
			}
		}
		if has {
			shown = append(shown, t)
		}
	}
	if len(shown) == 0 {
		return ""
	}
	d := &drawing{width: picture, height: float64(len(shown))*rowHeight + axisRoom}
	bottom := float64(len(shown)) * rowHeight
	for _, v := range x.ticks() {
		d.line("grid", x.at(v), 0, x.at(v), bottom)
		d.text("tick", "middle", x.at(v), bottom+15, trim(v)+" ×")
	}
	d.line("mark floor", x.at(1), 0, x.at(1), bottom)
	for i, t := range shown {
		y := float64(i)*rowHeight + rowHeight/2
		d.text("name", "end", names-8, y+4, t.c.Name)
		if g := t.c.Goal; g > 0 {
			d.diamond("goal", x.at(g), y, 6, fmt.Sprintf("goal: %g × floor", g))
		}
		for _, rw := range t.rows {
			if rw.ratio.N == 0 || rw.server.Name == floorName {
				continue
			}
			r := 4.0
			if !rw.server.Peer {
				r = 5.5
				if rw.ratio.N > 1 {
					whisker(d, x.at(rw.ratio.Min), x.at(rw.ratio.Max), y)
				}
			}
			d.circle("dot "+colours[rw.server.Name], x.at(rw.ratio.Median), y, r, fmt.Sprintf("%s: %s × floor", rw.server.Name, around(rw.ratio, 1)))
		}
	}
	return d.svg("Server CPU per message as a ratio to the floor, all scenarios")
}

// trim writes a tick without zeros that say nothing.
func trim(v float64) string { return fmt.Sprintf("%g", math.Round(v*1000)/1000) }

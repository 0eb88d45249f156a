package report

import (
	"fmt"

	"github.com/wireroom/wireroom/bench/internal/measure"
)

// Measures of the pictures with a row for each server.
const (
	picture   = 860.0
	nameWidth = 112.0
	rowHeight = 26.0
	barHeight = 14.0
	valueRoom = 230.0 // to the right of the longest bar
	axisRoom  = 22.0
)

// bar is one row.
type bar struct {
	colour string // class
	name   string
	value  measure.Spread
	text   string
	failed string // instead of a value
}

// bars draws a row for each server: a bar as long as the median, and a line
// from the least to the greatest. marks are lines across all rows.
func bars(label string, rows []bar, unit func(float64) string, marks ...mark) string {
	d := &drawing{width: picture, height: float64(len(rows))*rowHeight + axisRoom}
	if len(marks) > 0 {
		d.height += axisRoom / 2
	}
	scale := linear{from: nameWidth, to: picture - valueRoom}
	for _, r := range rows {
		scale.top = max(scale.top, r.value.Max)
	}
	for _, m := range marks {
		scale.top = max(scale.top, m.at)
	}
	bottom := float64(len(rows)) * rowHeight
	for _, t := range scale.ticks() {
		x := scale.at(t)
		d.line("grid", x, 0, x, bottom)
		d.text("tick", "middle", x, bottom+15, unit(t))
	}
	for i, r := range rows {
		y := float64(i)*rowHeight + rowHeight/2
		d.text("name", "end", nameWidth-8, y+4, r.name)
		if r.failed != "" || scale.top <= 0 || r.value.N == 0 {
			d.text("failed", "start", nameWidth+4, y+4, brief(r.failed, 90))
			continue
		}
		d.rect("bar "+r.colour, nameWidth, y-barHeight/2, scale.at(r.value.Median)-nameWidth, barHeight, r.name+": "+r.text)
		if r.value.N > 1 {
			whisker(d, scale.at(r.value.Min), scale.at(r.value.Max), y)
		}
	}
	for _, m := range marks {
		x := scale.at(m.at)
		d.line("mark "+m.class, x, 0, x, bottom)
		if m.name != "" {
			d.text("tick "+m.class, "middle", x, bottom+30, m.name)
		}
	}
	for i, r := range rows {
		if r.failed == "" && r.value.N > 0 {
			d.text("value", "start", scale.at(r.value.Max)+8, float64(i)*rowHeight+rowHeight/2+4, r.text)
		}
	}
	return d.svg(label)
}

// mark is a line at a value, across all bars.
type mark struct {
	at    float64
	class string
	name  string // below the axis; may be empty
}

// whisker draws a range.
func whisker(d *drawing, from, to, y float64) {
	d.line("whisker", from, y, to, y)
	d.line("whisker", from, y-4, from, y+4)
	d.line("whisker", to, y-4, to, y+4)
}

// brief cuts a text that is too long.
func brief(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

// cpuBars is the picture of the processor time of a case.
func cpuBars(t table, colours map[string]string) string {
	var rows []bar
	var marks []mark
	for _, rw := range t.rows {
		b := bar{colour: colours[rw.server.Name], name: rw.server.Name, value: scaled(rw.cpu, 1e-3)}
		b.text = fmt.Sprintf("%s µs", median(rw.cpu, 1e3))
		if rw.ratio.N > 0 && rw.server.Name != floorName {
			b.text += fmt.Sprintf(" · %s × floor", around(rw.ratio, 1))
		}
		if len(rw.runs) == 0 && len(rw.failed) > 0 {
			b.failed = "failed: " + rw.failed[0]
		}
		if rw.server.Name == floorName && rw.cpu.N > 0 {
			marks = append(marks, mark{b.value.Median, "floor", ""})
			if t.c.Goal > 0 {
				marks = append(marks, mark{b.value.Median * t.c.Goal, "goal", "goal"})
			}
		}
		rows = append(rows, b)
	}
	return bars("Server CPU per "+t.c.Unit+", in µs, "+t.c.Name, rows, trim, marks...)
}

// idleBars is the picture of the memory of an idle connection.
func idleBars(t table, colours map[string]string, after bool) string {
	var rows []bar
	for _, rw := range t.rows {
		w := weigh(rw.runs)
		v := w.rss
		if after {
			v = w.rssGC
		}
		b := bar{colour: colours[rw.server.Name], name: rw.server.Name, value: scaled(v, 1.0/(1<<10)), text: memory(v)}
		if len(rw.runs) == 0 && len(rw.failed) > 0 {
			b.failed = "failed: " + rw.failed[0]
		}
		rows = append(rows, b)
	}
	return bars("Resident memory per idle connection", rows, func(v float64) string { return trim(v) + " KiB" })
}

func scaled(s measure.Spread, f float64) measure.Spread {
	s.Median *= f
	s.Min *= f
	s.Max *= f
	return s
}

package report

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// drawing gathers the elements of one SVG picture. Colours come from classes
// of the page's style sheet, so that they follow its light and dark schemes.
type drawing struct {
	b             strings.Builder
	width, height float64
}

func (d *drawing) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&d.b, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, class, x1, y1, x2, y2)
}

func (d *drawing) rect(class string, x, y, w, h float64, title string) {
	fmt.Fprintf(&d.b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2">%s</rect>`, class, x, y, max(w, 1), h, titled(title))
}

func (d *drawing) circle(class string, x, y, r float64, title string) {
	fmt.Fprintf(&d.b, `<circle class="%s" cx="%.1f" cy="%.1f" r="%.1f">%s</circle>`, class, x, y, r, titled(title))
}

func (d *drawing) diamond(class string, x, y, r float64, title string) {
	fmt.Fprintf(&d.b, `<path class="%s" d="M%.1f %.1fl%.1f %.1fl%.1f %.1fl%.1f %.1fz">%s</path>`, class, x, y-r, r, r, -r, r, -r, -r, titled(title))
}

// text writes at x, y; anchor is start, middle or end.
func (d *drawing) text(class, anchor string, x, y float64, s string) {
	fmt.Fprintf(&d.b, `<text class="%s" text-anchor="%s" x="%.1f" y="%.1f">%s</text>`, class, anchor, x, y, html.EscapeString(s))
}

// point is a place in a picture.
type point struct{ x, y float64 }

func (d *drawing) polyline(class string, points []point, title string) {
	fmt.Fprintf(&d.b, `<polyline class="%s" points="`, class)
	for _, p := range points {
		fmt.Fprintf(&d.b, "%.1f,%.1f ", p.x, p.y)
	}
	fmt.Fprintf(&d.b, `">%s</polyline>`, titled(title))
}

// svg returns the picture. label is for those who cannot see it.
func (d *drawing) svg(label string) string {
	return fmt.Sprintf(`<svg viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">%s</svg>`, d.width, d.height, html.EscapeString(label), d.b.String())
}

func titled(s string) string {
	if s == "" {
		return ""
	}
	return "<title>" + html.EscapeString(s) + "</title>"
}

// linear maps 0 … top to a range of x, with room for ticks at round numbers.
type linear struct{ top, from, to float64 }

func (l linear) at(v float64) float64 { return l.from + v/l.top*(l.to-l.from) }

// ticks returns round numbers from 0 up to the top.
func (l linear) ticks() []float64 {
	if l.top <= 0 {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10(l.top)))
	for _, f := range []float64{0.2, 0.25, 0.5, 1} {
		if l.top/(step*f) <= 5 {
			step *= f
			break
		}
	}
	var out []float64
	for i := 0; float64(i)*step <= l.top*1.0001; i++ {
		out = append(out, float64(i)*step)
	}
	return out
}

// logarithmic maps low … high to a range, by powers of ten.
type logarithmic struct{ low, high, from, to float64 }

func (l logarithmic) at(v float64) float64 {
	v = min(max(v, l.low), l.high)
	return l.from + math.Log(v/l.low)/math.Log(l.high/l.low)*(l.to-l.from)
}

// ticks returns powers of ten, and between them 2 and 5 if there is room.
func (l logarithmic) ticks() []float64 {
	steps := []float64{1}
	if math.Log10(l.high/l.low) < 4 {
		steps = []float64{1, 2, 5}
	}
	var out []float64
	for e := math.Floor(math.Log10(l.low)); ; e++ {
		for _, s := range steps {
			v := s * math.Pow(10, e)
			if v > l.high*1.0001 {
				return out
			}
			if v >= l.low*0.9999 {
				out = append(out, v)
			}
		}
	}
}

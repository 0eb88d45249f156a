package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/wireroom/wireroom/bench/internal/measure"
	"github.com/wireroom/wireroom/bench/internal/record"
)

// Markdown writes the report as tables.
func Markdown(w io.Writer, r *record.Report) error {
	var b strings.Builder
	for _, line := range preamble(r) {
		fmt.Fprintln(&b, line)
	}
	for _, t := range tables(r) {
		fmt.Fprintf(&b, "\n### %s\n\n%s.\n\n", t.c.Name, t.c.About)
		head, body := layout(t)
		writeTable(&b, head, body)
	}
	writeFailures(&b, r)
	_, err := io.WriteString(w, b.String())
	return err
}

// preamble says where, when and how the figures came about.
func preamble(r *record.Report) []string {
	m := r.Machine
	lines := []string{
		fmt.Sprintf("Measured %s on %s, %d cores, %s, Linux %s, %s.", r.Time.UTC().Format("2006-01-02 15:04 UTC"), m.CPU, m.Cores, size(float64(m.Memory)), m.Kernel, m.Go),
		fmt.Sprintf("Commit %s. Command: `%s`", r.Commit, r.Command),
	}
	var versions []string
	for _, s := range r.Servers {
		if s.Version != "" {
			versions = append(versions, s.Name+" "+s.Version)
		}
	}
	if len(versions) > 0 {
		lines = append(lines, "Versions: "+strings.Join(versions, ", ")+".")
	}
	if s := disturbance(r); s != "" {
		lines = append(lines, s)
	}
	return append(lines, "Medians over repetitions, in brackets the range. CPU is that of the server, user and system; × floor is its ratio to the floor within one repetition.")
}

// disturbance says what other processes used meanwhile.
func disturbance(r *record.Report) string {
	var others, stolen []float64
	for i := range r.Runs {
		l := &r.Runs[i].Load
		if l.Elapsed > 0 && r.Runs[i].Failed == "" {
			others = append(others, otherCPU(&r.Runs[i]))
			stolen = append(stolen, float64(l.StolenCPU)/float64(l.Elapsed))
		}
	}
	o, s := measure.SpreadOf(others), measure.SpreadOf(stolen)
	if o.N == 0 {
		return ""
	}
	text := fmt.Sprintf("Other processes used %.2f of %d cores meanwhile (median of the runs; at most %.2f)", o.Median, r.Machine.Cores, o.Max)
	if s.Median >= 0.01 {
		text += fmt.Sprintf(", the hypervisor took %.2f (at most %.2f)", s.Median, s.Max)
	}
	if o.Median > 0.1*float64(max(r.Machine.Cores, 1)) {
		text += ". The machine was not quiet: trust the ratios, not the times"
	}
	return text + "."
}

// layout chooses the columns that suit a kind of case.
func layout(t table) (head []string, body [][]string) {
	switch t.c.Kind {
	case record.IdleKind:
		return layoutIdle(t)
	case record.SlowKind:
		return layoutSlow(t)
	case record.SimKind:
		return layoutSim(t)
	}
	per := "CPU µs/" + t.c.Unit
	head = []string{"server", per, "× floor", plural(t.c.Unit) + "/s", "p50", "p99", "p99.9", "RSS", "heap", "stack", "goroutines", "others' CPU"}
	if t.c.Goal > 0 {
		head[2] = fmt.Sprintf("× floor (goal %g)", t.c.Goal)
	}
	for _, rw := range t.rows {
		if len(rw.runs) == 0 {
			body = append(body, failedRow(rw, len(head)))
			continue
		}
		body = append(body, []string{
			rw.server.Name, around(rw.cpu, 1e3), around(rw.ratio, 1), median(rw.rate, 1),
			latency(rw.p50), latency(rw.p99), latency(rw.p999),
			memory(rw.rss), memory(rw.heap), memory(rw.stack), median(rw.gos, 1), median(rw.other, 1),
		})
	}
	return head, body
}

// plural returns the plural of a unit.
func plural(unit string) string {
	switch unit {
	case "delivery":
		return "deliveries"
	case "life":
		return "lives"
	}
	return unit + "s"
}

// failedRow is a row without figures.
func failedRow(rw row, columns int) []string {
	cells := make([]string, columns)
	for i := range cells {
		cells[i] = none
	}
	cells[0], cells[1] = rw.server.Name, "failed"
	return cells
}

func layoutIdle(t table) (head []string, body [][]string) {
	head = []string{"server", "connections", "RSS/conn", "after GC", "heap/conn", "after GC", "stack/conn", "after GC", "goroutines/conn"}
	for _, rw := range t.rows {
		if len(rw.runs) == 0 {
			body = append(body, failedRow(rw, len(head)))
			continue
		}
		w := weigh(rw.runs)
		body = append(body, []string{
			rw.server.Name, median(w.connections, 1), memory(w.rss), memory(w.rssGC),
			memory(w.heap), memory(w.heapGC), memory(w.stack), memory(w.stackGC), median(w.goroutines, 1),
		})
	}
	return head, body
}

func layoutSlow(t table) (head []string, body [][]string) {
	head = []string{"server", "CPU µs/" + t.c.Unit, "× floor", "broadcasts", "others' loss", "longest silence", "others' p99", "memory growth", "slow ones cut", "close codes"}
	for _, rw := range t.rows {
		if len(rw.runs) == 0 {
			body = append(body, failedRow(rw, len(head)))
			continue
		}
		last := rw.runs[len(rw.runs)-1].Load
		if last.Slow == nil {
			continue
		}
		growth := rw.spread(func(r *record.Run) float64 { return float64(r.Load.RSSPeak) - float64(r.Load.RSSBefore) })
		silence := rw.spread(func(r *record.Run) float64 { return float64(r.Load.Slow.Silence) })
		body = append(body, []string{
			rw.server.Name, around(rw.cpu, 1e3), around(rw.ratio, 1), thousands(int64(last.Slow.Broadcasts)), thousands(int64(last.Lost)),
			latency(silence), latency(rw.p99), memory(growth), fmt.Sprintf("%d of %d", last.Slow.Cut, last.Slow.Members), codes(last.Slow.Codes),
		})
	}
	return head, body
}

func layoutSim(t table) (head []string, body [][]string) {
	head = []string{"connections", "bytes/conn", "of them the client's", "goroutines/conn", "broadcast/member", "16 at once", "GC", "GC pause", "opened/s"}
	for _, rw := range t.rows {
		for _, run := range rw.runs {
			s := run.Sim
			if s == nil {
				continue
			}
			body = append(body, []string{
				thousands(int64(s.Connections)), size(s.Bytes), size(s.Client), figures(s.Goroutines),
				duration(float64(s.PerMember)), duration(float64(s.PerMember16)), duration(float64(s.GC)), duration(float64(s.GCPause)), figures(s.OpenedPerSec),
			})
		}
	}
	return head, body
}

// spread gathers a value over the runs of a row.
func (rw *row) spread(value func(*record.Run) float64) measure.Spread {
	var all []float64
	for i := range rw.runs {
		all = append(all, value(&rw.runs[i]))
	}
	return measure.SpreadOf(all)
}

// writeTable writes a Markdown table whose columns are aligned in plain text,
// too.
func writeTable(b *strings.Builder, head []string, body [][]string) {
	width := make([]int, len(head))
	for _, cells := range append([][]string{head}, body...) {
		for i, c := range cells {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	line := func(cells []string) {
		for i, c := range cells {
			pad := strings.Repeat(" ", width[i]-len([]rune(c)))
			if i == 0 {
				fmt.Fprintf(b, "| %s%s ", c, pad)
			} else {
				fmt.Fprintf(b, "| %s%s ", pad, c)
			}
		}
		b.WriteString("|\n")
	}
	line(head)
	for i, w := range width {
		if i == 0 {
			b.WriteString("|" + strings.Repeat("-", w+2))
		} else {
			b.WriteString("|" + strings.Repeat("-", w+1) + ":")
		}
	}
	b.WriteString("|\n")
	for _, cells := range body {
		line(cells)
	}
}

// writeFailures lists the runs that failed, with why.
func writeFailures(b *strings.Builder, r *record.Report) {
	first := true
	for _, run := range r.Runs {
		if run.Failed == "" {
			continue
		}
		if first {
			b.WriteString("\n### Failed\n\n")
			first = false
		}
		fmt.Fprintf(b, "- %s, %s, repetition %d: %s\n", run.Case, run.Server, run.Repetition+1, strings.ReplaceAll(run.Failed, "\n", " "))
	}
}

//go:build linux

package run

import (
	"fmt"
	"io"
	"time"

	"github.com/wireroom/wireroom/bench/internal/record"
)

// Progress shows on a terminal how far a schedule is. On anything else it
// prints failures only. A nil Progress shows nothing.
type Progress struct {
	Out      io.Writer
	Terminal bool

	total, count int
	start        time.Time
}

func (p *Progress) begin(total int) {
	if p != nil {
		p.total, p.start = total, time.Now()
	}
}

func (p *Progress) next(j job) {
	if p == nil || !p.Terminal {
		return
	}
	left := ""
	if p.count > 1 {
		spent := time.Since(p.start)
		left = fmt.Sprintf(", about %v left", (spent / time.Duration(p.count) * time.Duration(p.total-p.count)).Round(time.Second))
	}
	p.line("[%d/%d] %s: %s, repetition %d%s", p.count+1, p.total, j.c.Name, j.server.Name, j.repetition+1, left)
}

func (p *Progress) done(r *record.Run) {
	if p == nil {
		return
	}
	p.count++
	if r.Failed == "" {
		return
	}
	if p.Terminal {
		p.line("")
	}
	fmt.Fprintf(p.Out, "%s: %s failed: %s\n", r.Case, r.Server, r.Failed) //nolint:errcheck // it is only shown
}

func (p *Progress) end() {
	if p != nil && p.Terminal {
		p.line("")
	}
}

// line overwrites the last line of the terminal.
func (p *Progress) line(format string, args ...any) {
	fmt.Fprintf(p.Out, "\r\x1b[K"+format, args...) //nolint:errcheck // it is only shown
}

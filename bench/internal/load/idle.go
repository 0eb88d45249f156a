//go:build linux

package load

import (
	"github.com/wireroom/wireroom/bench/internal/record"
	"github.com/wireroom/wireroom/bench/internal/wire"
)

// idle holds connections that do nothing. Once they have been weighed, each
// sends one message, a few at a time, to show that it is alive.
type idle struct {
	base
	asked int
	left  uint64
}

func newIdle(g *generator) *idle { return &idle{base: base{g}, left: uint64(len(g.conns))} }

func (w *idle) begin() {
	for range 64 {
		w.ask()
	}
}

func (w *idle) ask() {
	if w.asked == len(w.g.conns) {
		return
	}
	c := w.g.conns[w.asked]
	w.asked++
	c.sent = 1
	w.g.send(c, w.g.msg.Append(w.g.out[:0], c.id, 0))
}

func (w *idle) message(c *conn, f wire.Frame) {
	id, seq, ok := w.g.msg.Check(f)
	if !ok || id != c.id {
		w.g.res.Corrupt++
		return
	}
	if w.g.got(c.track.Got(seq, c.sent)) {
		w.left--
		w.ask()
	}
}

func (w *idle) enough() bool    { return w.left == 0 }
func (w *idle) waiting() uint64 { return w.left }

func (w *idle) account(res *record.Load) {
	res.Lost += w.left
	res.Messages = uint64(len(w.g.conns)) - w.left
}

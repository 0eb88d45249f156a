//go:build linux

package load

import (
	"time"

	"github.com/wireroom/wireroom/bench/internal/record"
	"github.com/wireroom/wireroom/bench/internal/wire"
)

// churn has each connection live through its whole life again and again:
// connect, upgrade, send a message, get it back, close handshake. The message
// that counts is a life.
type churn struct {
	base
	alive uint64
	close []byte
}

func newChurn(g *generator) *churn {
	for _, c := range g.conns {
		c.times = make([]time.Duration, 1)
	}
	return &churn{base: base{g}, close: wire.CloseFrame()}
}

func (w *churn) begin() {
	for _, c := range w.g.conns {
		w.next(c)
	}
}

// next begins a life.
func (w *churn) next(c *conn) {
	c.times[0] = w.g.since()
	if err := w.g.dial(c); err != nil {
		w.g.fail("%w", err)
		return
	}
	w.alive++
}

func (w *churn) opened(c *conn) {
	w.g.out = w.g.msg.Append(w.g.out[:0], c.id, c.sent)
	c.sent++
	c.waiting = 1
	w.g.send(c, w.g.out)
}

func (w *churn) message(c *conn, f wire.Frame) {
	g := w.g
	id, seq, ok := g.msg.Check(f)
	if !ok || id != c.id {
		g.res.Corrupt++
		return
	}
	switch c.track.Got(seq, c.sent) {
	case wire.Fine:
		c.waiting = 0
		g.send(c, w.close)
	case wire.Repeated, wire.Late:
		g.res.Repeated++
	case wire.Unsent:
		g.res.Corrupt++
	}
}

// closed ends a life, well or badly.
func (w *churn) closed(c *conn, code string) error {
	w.alive--
	if code != "1000" || c.waiting > 0 {
		return errEnded
	}
	w.g.got(wire.Fine)
	w.g.hist.Add(w.g.now - c.times[0])
	if !w.g.stopping {
		w.next(c)
	}
	return nil
}

func (w *churn) waiting() uint64 { return w.alive }

func (w *churn) account(res *record.Load) {
	for _, c := range w.g.conns {
		res.Lost += c.track.Lost(c.sent)
	}
}

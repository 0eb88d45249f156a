//go:build linux

package load

import (
	"math/bits"
	"time"

	"github.com/wireroom/wireroom/bench/internal/record"
	"github.com/wireroom/wireroom/bench/internal/wire"
)

// echo keeps the same number of messages, or calls, under way on each
// connection. What comes back in one read is answered in one write.
type echo struct {
	base
	ring     uint64 // size of conn.times, less 1
	underWay uint64
	fresh    int // connections that have got nothing yet
}

func newEcho(g *generator) *echo {
	size := uint64(1) << bits.Len64(uint64(g.spec.Window))
	for _, c := range g.conns {
		c.times = make([]time.Duration, size)
	}
	return &echo{base: base{g}, ring: size - 1, fresh: len(g.conns)}
}

func (e *echo) begin() {
	for _, c := range e.g.conns {
		e.fill(c)
	}
}

// fill sends until the window is full again.
func (e *echo) fill(c *conn) {
	g := e.g
	missing := g.spec.Window - c.waiting
	if missing <= 0 || c.state != open {
		return
	}
	g.out = g.out[:0]
	now := g.since()
	for range missing {
		g.out = g.msg.Append(g.out, c.id, c.sent)
		c.times[c.sent&e.ring] = now
		c.sent++
	}
	c.waiting += missing
	e.underWay += uint64(missing)
	g.send(c, g.out)
}

func (e *echo) message(c *conn, f wire.Frame) {
	g := e.g
	id, seq, ok := g.msg.Check(f)
	if !ok || id != c.id {
		g.res.Corrupt++
		return
	}
	v := c.track.Got(seq, c.sent)
	if !g.got(v) {
		return
	}
	if seq == 0 {
		e.fresh--
	}
	c.waiting--
	e.underWay--
	if c.sent-seq <= uint64(len(c.times)) {
		g.hist.Add(g.now - c.times[seq&e.ring])
	}
}

func (e *echo) readDone(c *conn) {
	if !e.g.stopping {
		e.fill(c)
	}
}

func (e *echo) waiting() uint64 { return e.underWay }
func (e *echo) warm() bool      { return e.fresh == 0 }

func (e *echo) account(res *record.Load) {
	for _, c := range e.g.conns {
		res.Lost += c.track.Lost(c.sent)
	}
}

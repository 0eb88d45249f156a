//go:build linux

package load

import (
	"time"

	"github.com/wireroom/wireroom/bench/internal/record"
	"github.com/wireroom/wireroom/bench/internal/wire"
)

// inFlight is how many broadcasts can be told apart at once.
const inFlight = 1 << 10

// broadcast has the first connection send messages that all of them get: as
// many under way as the window allows, or as many in a second as the rate says.
// A broadcast is through when all who read have it.
type broadcast struct {
	base
	readers int
	called  bool   // the roll call is over
	roll    uint64 // the last message of the roll call
	present int    // have got it
	through uint64 // broadcasts that all have got, counted, not numbered
	got     [inFlight]int
	times   [inFlight]time.Duration
	first   uint64        // broadcast with which the measured part began
	due     time.Duration // when the next one is to be sent, if paced
	last    time.Duration // when anything came
	silence time.Duration
	pending uint64 // deliveries that are still to come
	slow    *record.Slow
}

func newBroadcast(g *generator) *broadcast {
	b := &broadcast{base: base{g}, readers: len(g.conns)}
	if n := g.spec.Slow; n > 0 {
		b.slow = &record.Slow{Members: n, Codes: make(map[string]int)}
		b.readers -= n
		for _, c := range g.conns[b.readers:] {
			c.slow = true
		}
	}
	return b
}

// opened stops the reading of slow members, for good.
func (b *broadcast) opened(c *conn) {
	if c.slow {
		b.g.watch(c, 0)
	}
}

func (b *broadcast) begin() {
	b.callRoll()
	b.called = true
	b.last = b.g.since()
	if b.g.spec.Rate > 0 {
		every := time.Duration(float64(time.Second) / b.g.spec.Rate)
		clock, err := newTicker(b.g.ep, every)
		if err != nil {
			b.g.fail("timerfd: %w", err)
			return
		}
		b.g.clock = clock
		b.due = b.g.since() + every
		return
	}
	b.turn()
}

// rollTime is how long members have to answer the roll call, and rollPause
// after how long it is repeated.
const (
	rollTime  = 10 * time.Second
	rollPause = 200 * time.Millisecond
)

// callRoll broadcasts until all members have got the same message: a server
// may answer the handshake before the new member is in the room. What counts
// begins after that.
func (b *broadcast) callRoll() {
	g, s := b.g, b.sender()
	for end := g.since() + rollTime; b.present < b.readers && g.failure == nil; {
		if g.since() > end {
			g.fail("%d of %d members got a broadcast within %v", b.present, b.readers, rollTime)
			return
		}
		b.roll, b.present = s.sent, 0
		g.out = g.msg.Append(g.out[:0], s.id, s.sent)
		s.sent++
		g.send(s, g.out)
		for again := g.since() + rollPause; b.present < b.readers && g.since() < again && g.failure == nil; {
			g.poll(10)
		}
	}
	for _, c := range g.conns {
		c.track.Start(s.sent)
	}
	b.through = s.sent
	g.progress = g.since()
}

func (b *broadcast) sender() *conn { return b.g.conns[0] }

// measured is told when the measured part begins.
func (b *broadcast) measured() {
	b.first = b.sender().sent
	b.silence, b.last = 0, b.g.since()
}

// turn sends what the window has room for, in one write.
func (b *broadcast) turn() {
	s := b.sender()
	if !b.called || b.g.spec.Rate > 0 || b.g.stopping || s.state != open {
		return
	}
	if room := b.g.spec.Window - int(s.sent-b.through); room > 0 {
		b.send(room, b.g.since())
	}
}

// timer sends what is due. The time counts from when it was due, not from when
// a late generator gets to it.
func (b *broadcast) timer(due int) {
	every := time.Duration(float64(time.Second) / b.g.spec.Rate)
	for range due {
		if b.g.stopping {
			return
		}
		if b.sender().sent-b.through >= inFlight {
			b.g.fail("the server fell %d broadcasts behind", inFlight)
			return
		}
		b.send(1, b.due)
		b.due += every
	}
}

func (b *broadcast) send(n int, now time.Duration) {
	s := b.sender()
	b.g.out = b.g.out[:0]
	for range n {
		b.g.out = b.g.msg.Append(b.g.out, s.id, s.sent)
		b.times[s.sent%inFlight] = now
		b.got[s.sent%inFlight] = 0
		s.sent++
	}
	b.pending += uint64(n * b.readers)
	b.g.send(s, b.g.out)
}

func (b *broadcast) message(c *conn, f wire.Frame) {
	g := b.g
	if c.slow {
		return // it reads on at the end, only to see whether it was cut
	}
	s := b.sender()
	id, seq, ok := g.msg.Check(f)
	if !ok || id != s.id {
		g.res.Corrupt++
		return
	}
	if !b.called {
		if seq == b.roll {
			b.present++
		}
		return
	}
	if !g.got(c.track.Got(seq, s.sent)) {
		return
	}
	b.pending--
	if s.sent-seq > inFlight {
		return
	}
	g.hist.Add(g.now - b.times[seq%inFlight])
	if b.got[seq%inFlight]++; b.got[seq%inFlight] == b.readers {
		b.through++
	}
}

func (b *broadcast) readDone(c *conn) {
	if !c.slow {
		b.silence = max(b.silence, b.g.now-b.last)
		b.last = b.g.now
	}
}

func (b *broadcast) waiting() uint64 { return b.pending }

func (b *broadcast) enough() bool {
	n := b.g.spec.Broadcasts
	return n > 0 && b.sender().sent-b.first >= n
}

// closed accepts that slow members are cut.
func (b *broadcast) closed(c *conn, code string) error {
	if !c.slow {
		return errEnded
	}
	b.slow.Cut++
	if code == "" {
		code = "cut"
	}
	b.slow.Codes[code]++
	return nil
}

func (b *broadcast) account(res *record.Load) {
	for _, c := range b.g.conns[:b.readers] {
		res.Lost += c.track.Lost(b.sender().sent)
	}
	if b.slow == nil {
		return
	}
	b.slow.Broadcasts = b.sender().sent - b.first
	b.slow.Silence = b.silence
	res.Slow = b.slow
	b.examine()
}

// examine has the slow members read on, to learn which of them the server has
// cut meanwhile.
func (b *broadcast) examine() {
	g := b.g
	for _, c := range g.conns[b.readers:] {
		if c.state == open {
			g.watch(c, epollIn)
		}
	}
	end := g.since() + time.Second
	for b.slow.Cut < b.slow.Members && g.since() < end {
		g.poll(10)
	}
}

package chaos_test

import (
	"errors"
	"math/rand/v2"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// accept is the servers' Accept.
func (w *world) accept(c *transport.Conn, hs *transport.Handshake) transport.Handler {
	q, _ := url.ParseQuery(hs.RawQuery)
	id, _ := strconv.Atoi(q.Get("id"))
	l := w.link(uint32(id))
	if l == nil {
		w.failf("connection %q is not known, or has ended", hs.RawQuery)
		l = &link{w: w, refused: make(chan struct{})}
	}
	if l.took.Swap(true) {
		l.failf("accepted twice")
	}
	w.accepts.Add(1)
	s := &serverEndOf{l: l, c: c, rnd: w.rand(l.id, 1), closed: make(chan struct{})}
	w.running.Go(s.run)
	return s
}

// serverEndOf is the Handler of a link, and what sends to it.
type serverEndOf struct {
	l   *link
	c   *transport.Conn
	rnd *rand.Rand // of the handler

	busy    atomic.Bool
	pending int
	replied uint32
	ends    atomic.Int32
	closed  chan struct{}
}

// enter notes a call of the handler, which must be alone and before the end.
func (s *serverEndOf) enter(call string) (leave func()) {
	if !s.busy.CompareAndSwap(false, true) {
		s.l.failf("%s during another call", call)
	}
	if s.ends.Load() != 0 {
		s.l.failf("%s after OnClose", call)
	}
	return func() { s.busy.Store(false) }
}

func (s *serverEndOf) OnMessage(c *transport.Conn, op transport.Op, p []byte) {
	defer s.enter("OnMessage")()
	l := s.l
	l.w.inbound.Add(1)
	s.pending++
	m, err := parse(op, p)
	switch {
	case err != nil:
		l.failf("inbound: %v", err)
	case m.origin != l.id || m.sender != fromClient:
		l.failf("inbound: %+v of another", m)
	case m.seq != l.inbound:
		l.failf("inbound: message %d where %d is next", m.seq, l.inbound)
	}
	l.inbound++
	for i := range p {
		p[i] = 0xa5 // it is the handler's to write to
	}
	if l.plan.replies {
		m := message{l.id, replier, s.replied}
		begin := l.ticket.Add(1)
		err := c.Send(m.op(), m.appendTo(nil, size(s.rnd)))
		l.record(replier, s.replied, 1, begin, err)
		s.replied++
	}
	if l.plan.pauses && s.rnd.IntN(4) == 0 {
		c.Pause()
		time.AfterFunc(span(s.rnd, 20*time.Millisecond), c.Resume)
	}
}

func (s *serverEndOf) OnReadDone(*transport.Conn) {
	defer s.enter("OnReadDone")()
	if s.pending == 0 {
		s.l.failf("OnReadDone without a message")
	}
	s.pending = 0
}

func (s *serverEndOf) OnClose(c *transport.Conn, err *transport.CloseError) {
	defer s.enter("OnClose")()
	if s.pending != 0 {
		s.l.failf("OnClose before OnReadDone")
	}
	if s.ends.Add(1) > 1 {
		return // enter has said so
	}
	if err == nil {
		s.l.failf("OnClose without a reason")
		err = new(transport.CloseError)
	}
	if err := c.SendText("too late"); !errors.Is(err, transport.ErrClosed) {
		s.l.failf("Send in OnClose: %v", err)
	} else {
		s.l.w.count(1, err)
	}
	s.l.cause = err
	s.l.noteRefusal()
	close(s.closed)
}

// run sends to the link until it has ended.
func (s *serverEndOf) run() {
	l := s.l
	if l.plan.group {
		l.group.join(l, s.c)
	}
	var solo sync.WaitGroup
	for i := range l.plan.solo {
		solo.Go(func() { s.send(i) })
	}
	switch l.plan.server {
	case closesAfter:
		solo.Wait()
		s.c.Close(transport.CloseNormal, "that was all")
	case closesSoon, cuts:
		select {
		case <-s.closed:
		case <-time.After(l.plan.soon):
		}
		if l.plan.server == cuts {
			s.c.Cut()
		} else {
			s.c.Close(transport.CloseServiceRestart, "")
		}
	}
	solo.Wait()
	select {
	case <-s.closed:
	case <-time.After(patience):
		l.failf("OnClose was not called")
	}
	if l.plan.group {
		l.group.leave(l)
	}
	l.part()
}

// send is one of the goroutines that send to the link.
func (s *serverEndOf) send(sender int) {
	l, c := s.l, s.c
	rnd := l.w.rand(l.id, 10+uint64(sender))
	var buf []byte
	over := 0
	for seq := uint32(0); seq < uint32(l.plan.each) && over < 3; {
		m := message{l.id, uint16(sender), seq}
		n := 1
		length := size(rnd)
		if l.plan.ending == floods || l.plan.ending == deafens {
			length = 8000
		}
		var err error
		begin := l.ticket.Add(1)
		switch rnd.IntN(8) {
		default:
			buf = m.appendTo(buf[:0], length)
			err = c.Send(m.op(), buf)
			clear(buf) // Send has copied it
		case 1:
			buf = m.appendTo(buf[:0], length)
			if m.op() == transport.Text {
				err = c.SendText(string(buf))
			} else {
				err = c.Queue(m.op(), buf)
				c.Flush()
			}
		case 2, 3:
			n = 1 + rnd.IntN(4)
			frames := make([]*transport.Frame, n)
			for i := range frames {
				frames[i] = frame(message{l.id, uint16(sender), seq + uint32(i)}, length)
			}
			err = c.SendFrames(frames)
		case 4:
			// What is only queued leaves with what follows, or with the close
			// frame.
			err = c.QueueFrame(frame(m, length))
			if rnd.IntN(4) == 0 || seq+1 == uint32(l.plan.each) {
				c.Flush()
			}
		case 5:
			if rnd.IntN(8) == 0 {
				err = c.Send(m.op(), m.appendTo(nil, maxQueueBytes))
				if err == nil {
					l.failf("a message as large as the queue was taken")
				}
			} else {
				buf = m.appendTo(buf[:0], length)
				err = c.Send(transport.Text, append(buf, 0xff))
				if err == nil {
					l.failf("a text that is not UTF-8 was taken")
				}
			}
		}
		l.record(sender, seq, n, begin, err)
		seq += uint32(n)
		if errors.Is(err, transport.ErrClosed) || errors.Is(err, transport.ErrSlowConsumer) {
			over++
		} else if err == nil && over > 0 {
			l.failf("a send succeeded after one that found the connection closed")
		}
		if l.plan.ending != floods && rnd.IntN(10) == 0 {
			time.Sleep(span(rnd, 10*time.Millisecond)) // bursts, with pauses between them
		}
	}
	c.Flush()
}

func frame(m message, size int) *transport.Frame {
	f, err := transport.NewFrame(m.op(), m.appendTo(nil, size))
	if err != nil {
		panic(err) // the filling of texts is ASCII
	}
	return f
}

// group is a set of links that get the same Frames from one broadcaster.
type group struct {
	id uint32

	mu      sync.Mutex
	members map[*link]*transport.Conn
}

func (g *group) join(l *link, c *transport.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.members[l] = c
}

// leave takes the link out; when it returns, nothing is sent to it any more.
func (g *group) leave(l *link) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.members, l)
}

// broadcast sends to the group until quit is closed.
func (g *group) broadcast(w *world, every time.Duration, quit <-chan struct{}) {
	rnd := w.rand(g.id, 2)
	pace := time.NewTimer(0)
	defer pace.Stop()
	for seq := uint32(0); ; {
		select {
		case <-quit:
			return
		case <-pace.C:
			pace.Reset(span(rnd, 2*every))
		}
		frames := make([]*transport.Frame, 1+rnd.IntN(4))
		for i := range frames {
			frames[i] = frame(message{g.id, caster, seq + uint32(i)}, size(rnd))
		}
		g.mu.Lock()
		for l, c := range g.members {
			begin := l.ticket.Add(1)
			err := c.SendFrames(frames)
			l.record(caster, seq, len(frames), begin, err)
			if err != nil {
				delete(g.members, l)
			}
		}
		g.mu.Unlock()
		seq += uint32(len(frames))
	}
}

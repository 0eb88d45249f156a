package chaos_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// ending says how a client leaves.
type ending int

const (
	closes          ending = iota // sends a close frame, reads to the end
	closesHalf                    // the same, and ends its side of the stream at once
	awaits                        // waits for the server to close, and answers
	resets                        // resets the connection
	resetsInFrame                 // the same, within a frame
	hangsUp                       // closes the socket, read or not
	halves                        // ends its side of the stream, and reads to the end
	halvesInFrame                 // the same, within a frame
	closesResets                  // sends a close frame and resets
	floods                        // reads nothing until the server will not take more
	deafens                       // never reads again, then resets
	mutes                         // does not answer the server's close frame
	stopsInFrame                  // stops writing within a frame
	breaksHandshake               // never gets as far as a connection
	endings
)

func (e ending) String() string {
	return [endings]string{
		"closes", "closes, half", "awaits", "resets", "resets in frame", "hangs up", "ends", "ends in frame",
		"closes, resets", "floods", "deaf", "mute", "stops in frame", "breaks handshake",
	}[e]
}

// polite says that the client does its part, and so must get a close handshake.
func (e ending) polite() bool { return e == closes || e == closesHalf || e == awaits }

// serverEnd says how the server leaves, if the client does not come first.
type serverEnd int

const (
	stays serverEnd = iota
	closesAfter
	closesSoon
	cuts
)

// plan is what the two ends of a connection will do, drawn from the seed.
type plan struct {
	ending   ending
	server   serverEnd
	strict   bool // goes to the server with short limits
	rcvbuf   int  // 0 leaves it alone
	readMax  int  // bytes at a time
	writeMax int
	messages int // that the client sends
	replies  bool
	pauses   bool
	group    bool
	solo     int // goroutines that send
	each     int // messages of each of these
	pipeline bool
	linger   time.Duration // after the client's last message
	soon     time.Duration // when the server closes or cuts
}

func newPlan(rnd *rand.Rand, unhurried time.Duration) plan {
	pick := func(v ...int) int { return v[rnd.IntN(len(v))] }
	p := plan{
		ending:   ending(rnd.IntN(int(endings))),
		server:   serverEnd(pick(0, 0, 0, 1, 1, 2, 3)),
		strict:   rnd.IntN(2) == 0,
		rcvbuf:   pick(0, 0, 2048, 8192),
		readMax:  pick(2, 50, 1500, 64<<10, 64<<10),
		writeMax: pick(1, 7, 200, 4096, 64<<10),
		messages: pick(0, 1, 5, 20, 40),
		replies:  rnd.IntN(2) == 0,
		pauses:   rnd.IntN(3) == 0,
		group:    rnd.IntN(4) > 0,
		solo:     rnd.IntN(maxSolo + 1),
		each:     pick(1, 5, 20, 40),
		pipeline: rnd.IntN(4) == 0,
		linger:   span(rnd, unhurried),
		soon:     span(rnd, unhurried),
	}
	if rnd.IntN(3) == 0 {
		p.ending = closes // the usual thing
	}
	switch p.ending {
	case awaits:
		p.server = closesAfter + serverEnd(rnd.IntN(2))
	case mutes:
		p.server, p.strict = closesAfter, true
	case stopsInFrame:
		p.strict = true
	case floods, deafens:
		p.solo, p.each, p.rcvbuf = maxSolo, 300, 2048
		if p.ending == deafens {
			p.strict = true
		}
	}
	return p
}

// state is what became of a send.
type state uint8

const (
	accepted state = iota
	refused
	doubtful // one of several that were refused together
)

// entry is the record of a send.
type entry struct {
	seq        uint32
	begin, end uint32 // tickets
	state      state
	arrived    bool
}

// heard is one message that the client got.
type heard struct {
	sender uint16
	seq    uint32
}

// link is one connection as both ends know it.
type link struct {
	w     *world
	id    uint32
	plan  plan
	group *group

	ticket  atomic.Uint32
	parts   atomic.Int32  // ends that have not finished
	refused chan struct{} // closed at the first refusal
	once    atomic.Bool

	logs [senders][]entry // each written by its sender

	// The client's end, after it has finished.
	opened    bool
	got       []heard
	closeCode int  // of the server's close frame, 0 if none came
	orderly   bool // the stream ended, was not reset, and was read to its end
	wrote     uint32
	closed    int // code of the close frame that it has written whole; clientCode if it came first

	// The server's end.
	took    atomic.Bool // Accept was called
	inbound uint32
	cause   *transport.CloseError
}

// groupID is the origin of the broadcasts to the link.
func (l *link) groupID() uint32 {
	if l.group == nil {
		return math.MaxUint32
	}
	return l.group.id
}

func (l *link) noteRefusal() {
	if l.once.CompareAndSwap(false, true) {
		close(l.refused)
	}
}

// record notes the sends of consecutive numbers that one call was for.
func (l *link) record(sender int, seq uint32, n int, begin uint32, err error) {
	st := accepted
	switch {
	case err != nil && n > 1:
		st = doubtful
	case err != nil:
		st = refused
	}
	end := l.ticket.Add(1)
	for i := range n {
		l.logs[sender] = append(l.logs[sender], entry{seq: seq + uint32(i), begin: begin, end: end, state: st})
	}
	l.w.count(n, err)
	if errors.Is(err, transport.ErrClosed) || errors.Is(err, transport.ErrSlowConsumer) {
		l.noteRefusal()
	}
}

func (l *link) failf(format string, args ...any) {
	l.w.failf("connection %d %+v: %s", l.id, l.plan, fmt.Sprintf(format, args...))
}

// part notes that one end has finished, and verifies the link after the other.
func (l *link) part() {
	if l.parts.Add(-1) == 0 {
		l.w.forget(l)
		l.verify()
	}
}

// tally is what verify has found out about a link.
type tally struct {
	accepted, arrived, missing int
	doubtful                   int
}

// verify checks what the package comment says of each connection. Both ends have
// finished.
func (l *link) verify() {
	t, order := l.matchSenders()
	l.matchOrder(order)
	l.matchEnd(t)
	l.matchInbound()
	l.w.add(l, t)
}

// matchSenders matches what arrived with what was sent, sender by sender, and
// returns the entries in the order of arrival.
func (l *link) matchSenders() (t tally, order []*entry) {
	var at [senders]int
	for _, h := range l.got {
		log := l.logs[h.sender]
		i := at[h.sender]
		for i < len(log) && log[i].seq != h.seq && log[i].state != accepted {
			i++
		}
		if i == len(log) || log[i].seq != h.seq || log[i].state == refused {
			l.failf("sender %d: %s", h.sender, misplaced(log, at[h.sender], h.seq))
			break
		}
		log[i].arrived = true
		order = append(order, &log[i])
		at[h.sender] = i + 1
	}
	for _, log := range l.logs {
		for _, e := range log {
			switch {
			case e.state == accepted:
				t.accepted++
				if !e.arrived {
					t.missing++
				}
			case e.state == doubtful:
				t.doubtful++
			}
			if e.arrived {
				t.arrived++
			}
		}
	}
	return t, order
}

func misplaced(log []entry, at int, seq uint32) string {
	next := "none"
	for _, e := range log[at:] {
		if e.state == accepted {
			next = fmt.Sprint(e.seq)
			break
		}
	}
	for i, e := range log {
		if e.seq != seq {
			continue
		}
		switch {
		case e.state == refused:
			return fmt.Sprintf("message %d arrived, though its send failed", seq)
		case i < at:
			return fmt.Sprintf("message %d came twice or too late, next was %s", seq, next)
		}
		return fmt.Sprintf("message %d came where %s was next", seq, next)
	}
	return fmt.Sprintf("message %d arrived and was never sent; next was %s", seq, next)
}

// matchOrder checks that one order of all messages explains what arrived: a send
// that had returned before another began comes before it, and what is missing
// comes last.
func (l *link) matchOrder(order []*entry) {
	earliest := uint32(math.MaxUint32) // end of those that come later
	for _, log := range l.logs {
		for _, e := range log {
			if e.state == accepted && !e.arrived {
				earliest = min(earliest, e.end)
			}
		}
	}
	for i := len(order) - 1; i >= 0; i-- {
		if order[i].begin > earliest {
			l.failf("message %d of %d arrived before, or instead of, one whose send had returned earlier", i, len(order))
			return
		}
		earliest = min(earliest, order[i].end)
	}
}

// matchEnd checks how the connection ended, and what that says of the messages
// to the client.
func (l *link) matchEnd(t tally) {
	c := l.cause
	if c == nil {
		return // that is a failure of its own
	}
	slow := errors.Is(c.Err, transport.ErrSlowConsumer)
	switch {
	case c.Unsent < 0 || c.Unsent > t.accepted+t.doubtful:
		l.failf("Unsent is %d of %d", c.Unsent, t.accepted)
	case l.closeCode != 0 && t.missing > 0 && !slow:
		l.failf("%d of %d are missing before the close frame; OnClose with %v", t.missing, t.accepted, c)
	case (l.closeCode != 0 || l.orderly) && t.missing > c.Unsent:
		l.failf("%d of %d are missing, Unsent is %d; OnClose with %v", t.missing, t.accepted, c.Unsent, c)
	case c.Err == nil && l.closed == 0:
		l.failf("OnClose with %v and no error; the client has sent no close frame", c)
	case c.Code == transport.CloseAbnormal && c.Err == nil:
		l.failf("OnClose with %v and no error", c)
	case c.Code == transport.CloseProtocolError, c.Code == transport.CloseInvalidPayload, c.Code == transport.CloseMessageTooBig:
		l.failf("OnClose with %v, the client has kept the protocol", c)
	case l.closeCode != 0 && c.Code != l.closeCode:
		l.failf("close frame with %d, OnClose with %v", l.closeCode, c)
	case l.plan.ending.polite() && !l.plan.strict && !slow && !l.w.stood() && l.plan.server != cuts && (l.closeCode == 0 || c.Err != nil):
		l.failf("close frame with %d, OnClose with %v; the client was polite", l.closeCode, c)
	}
}

// matchInbound checks how many messages the server got; that they are the first
// ones was checked as they came.
func (l *link) matchInbound() {
	c := l.cause
	if c == nil {
		return
	}
	whole := c.Err == nil && l.closed == clientCode && c.Code == clientCode || // the client closed first
		(l.plan.ending == halves || l.plan.ending == halvesInFrame) && l.orderly &&
			c.Code == transport.CloseAbnormal && errors.Is(c.Err, io.ErrUnexpectedEOF) // so its stream was read to the end
	switch {
	case l.inbound > l.wrote:
		l.failf("%d messages got of %d sent", l.inbound, l.wrote)
	case whole && l.inbound != l.wrote:
		l.failf("%d messages got of %d sent; OnClose with %v", l.inbound, l.wrote, c)
	}
}

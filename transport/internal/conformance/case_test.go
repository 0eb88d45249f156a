package conformance_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// testCase is an exchange with the side under test, which echoes messages
// unless the case says what else it does.
type testCase struct {
	id     string
	name   string
	only   side   // the side it is for; 0 for both
	limits limits // of the side under test
	steps  []step
	end    ending

	open func(c *transport.Conn)                                  // instead of waiting for the peer
	on   func(c *transport.Conn, op transport.Op, payload []byte) // instead of an echo
}

// side is one side of a connection.
type side int

const (
	serverSide side = iota + 1
	clientSide
)

// limits names options.
type limits int

const (
	defaults limits = iota
	large           // messages of 8 MiB, and nothing else bounded
	small           // messages of 1,000 octets
	hasty           // short timeouts
	numLimits
)

func (l limits) options() *transport.Options {
	switch l {
	case large:
		return &transport.Options{
			MaxMessageBytes: 8 << 20, MaxFragments: -1, MaxControlFrames: -1,
			MaxQueueBytes: 64 << 20, MaxQueueFrames: -1,
		}
	case small:
		return &transport.Options{MaxMessageBytes: 1000}
	case hasty:
		return &transport.Options{CloseTimeout: 200 * time.Millisecond}
	}
	return &transport.Options{}
}

// step is what the peer sends at once, and what must come before the next step.
//
// What comes must be in the order of want, with two exceptions. A pong may
// overtake messages. And of several pongs in one step only the last must come:
// one for an earlier ping may be left out once another ping has arrived (RFC
// 6455, section 5.5.3).
type step struct {
	send   []sent
	chop   int  // octets that are written at a time; 0 for all
	split  int  // octets of the first write; the rest follows
	finish bool // the peer ends its write side of the TCP connection
	want   []frame
}

func send(s ...sent) step { return step{send: s} }

func (s step) chopped(n int) step    { s.chop = n; return s }
func (s step) splitAt(n int) step    { s.split = n; return s }
func (s step) wants(f ...frame) step { s.want = f; return s }
func (s step) thenFinishes() step    { s.finish = true; return s }

// echoed is a step whose messages come back as they are.
func echoed(s ...sent) step {
	st := step{send: s}
	for _, s := range s {
		st.want = append(st.want, s.frame)
	}
	return st
}

// ending says how the connection must end. In each case the side under test
// must tell its Handler the code, once.
type ending struct {
	how   how
	codes []int  // one of them
	body  string // of the close frame
}

type how int

const (
	// closed: the peer now closes with 1000, gets the same back, and then the
	// end of the TCP connection.
	closed how = iota
	// answered: the peer has sent a close frame with that body and gets the same
	// back, and then the end.
	answered
	// failed: the side under test fails the connection (RFC 6455, section
	// 7.1.7) with a close frame that has one of the codes, and then the end. No
	// further octet of the peer is needed for that.
	failed
	// replied: the side under test has begun the closing handshake, and the peer
	// has answered: only the end follows.
	replied
	// dropped: nothing more comes but the end of the TCP connection.
	dropped
)

func fails(codes ...int) ending       { return ending{how: failed, codes: codes} }
func drops() ending                   { return ending{how: dropped, codes: []int{transport.CloseAbnormal}} }
func answersClose(body string) ending { return ending{how: answered, body: body} }
func endsAfter(code int) ending       { return ending{how: replied, codes: []int{code}} }

// suite gathers the cases of a group and gives them their numbers.
type suite struct {
	cases []testCase
	major int
	minor int
	n     int
	what  string
}

// section begins the next section of the group.
func (s *suite) section(what string) { s.minor, s.n, s.what = s.minor+1, 0, what }

// add adds a case; edit says what is special about it.
func (s *suite) add(name string, end ending, steps ...step) *testCase {
	s.n++
	s.cases = append(s.cases, testCase{
		id:   fmt.Sprintf("%d.%d.%d", s.major, s.minor, s.n),
		name: s.what + ", " + name, end: end, steps: steps,
	})
	return &s.cases[len(s.cases)-1]
}

// ok adds a case that the peer closes in the end.
func (s *suite) ok(name string, steps ...step) *testCase { return s.add(name, ending{}, steps...) }

// allCases returns the cases of all groups but those for permessage-deflate.
var allCases = sync.OnceValue(func() []testCase {
	var all []testCase
	for _, g := range []struct {
		major int
		fill  func(*suite)
	}{
		{1, framing}, {2, pings}, {3, reservedBits}, {4, opcodes}, {5, fragmentation},
		{6, texts}, {7, closingCases}, {9, sizes}, {10, autoFragments},
	} {
		s := suite{major: g.major}
		g.fill(&s)
		all = append(all, s.cases...)
	}
	return all
})

// caseTimeout bounds each case. It is longer than any limit of the defaults, so
// that a side that waits for one of them is told apart from one that is stuck.
const caseTimeout = 20 * time.Second

// handler is the Handler of one connection under test.
type handler struct {
	tc    *testCase
	ended chan *transport.CloseError // gets one value

	mu     sync.Mutex
	faults []string
	over   bool
}

func newHandler(tc *testCase) *handler {
	return &handler{tc: tc, ended: make(chan *transport.CloseError, 1)}
}

func (h *handler) fault(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = append(h.faults, s)
}

func (h *handler) OnMessage(c *transport.Conn, op transport.Op, payload []byte) {
	if h.tc.on != nil {
		h.tc.on(c, op, payload)
		return
	}
	if err := c.Send(op, payload); err != nil && !errors.Is(err, transport.ErrClosed) {
		h.fault(fmt.Sprintf("echo: %v", err))
	}
}

func (h *handler) OnReadDone(*transport.Conn) {}

func (h *handler) OnClose(_ *transport.Conn, err *transport.CloseError) {
	h.mu.Lock()
	twice := h.over
	h.over = true
	h.mu.Unlock()
	if twice {
		h.fault("OnClose twice")
		return
	}
	h.ended <- err
}

// check waits for OnClose and compares its code.
func (h *handler) check(t *testing.T, codes ...int) {
	t.Helper()
	select {
	case err := <-h.ended:
		if !has(codes, err.Code) {
			t.Errorf("OnClose was given %v, want code %v", err, codes)
		}
	case <-time.After(caseTimeout):
		t.Error("OnClose was not called")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.faults {
		t.Error(f)
	}
}

func has(codes []int, code int) bool {
	for _, c := range codes {
		if c == code {
			return true
		}
	}
	return false
}

// peer is the far end of a connection under test, after the opening handshake.
type peer struct {
	nc     *net.TCPConn
	r      reader
	server bool // it is a server: what is under test is a client
	keys   uint32
}

func newPeer(nc *net.TCPConn, r *bufio.Reader, server bool) *peer {
	return &peer{nc: nc, r: reader{r: r, masked: server}, server: server}
}

// encode returns the octets of frames.
func (p *peer) encode(frames []sent) []byte {
	var b []byte
	for _, s := range frames {
		p.keys += 0x9e3779b9
		b = s.encode(b, !p.server, [4]byte(binary.BigEndian.AppendUint32(nil, p.keys)))
	}
	return b
}

// run plays the case and returns how it went wrong, if it did.
func (p *peer) run(tc *testCase) error {
	tolerant := tc.end.how == failed || tc.end.how == answered
	var writing chan error
	wait := func() error {
		if writing == nil {
			return nil
		}
		err := <-writing
		writing = nil
		if err != nil && !tolerant {
			return fmt.Errorf("write: %w", err)
		}
		return nil
	}
	defer wait()
	for i, st := range tc.steps {
		if err := wait(); err != nil {
			return err
		}
		writing = make(chan error, 1)
		go func() { writing <- p.play(st) }()
		if err := p.expect(st.want); err != nil {
			p.nc.SetDeadline(time.Unix(1, 0))
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	if err := p.finish(tc, wait); err != nil {
		p.nc.SetDeadline(time.Unix(1, 0))
		return err
	}
	return wait()
}

func (p *peer) play(st step) error {
	b := p.encode(st.send)
	if st.split > 0 {
		if err := writeChopped(p.nc, b[:st.split], st.chop); err != nil {
			return err
		}
		b = b[st.split:]
	}
	if err := writeChopped(p.nc, b, st.chop); err != nil {
		return err
	}
	if st.finish {
		return p.nc.CloseWrite()
	}
	return nil
}

// expect reads until all of want has come.
func (p *peer) expect(want []frame) error {
	mustPong := -1 // index of the pong that must come
	for i, w := range want {
		if w.first&0x0f == opPong {
			mustPong = i
		}
	}
	done := make([]bool, len(want))
	for next := 0; next < len(want); {
		got, err := p.r.next()
		if err != nil {
			return fmt.Errorf("want %v, got %w", want[next], err)
		}
		match := -1
		isPong := got.first&0x0f == opPong
		for i := next; i < len(want) && match < 0; i++ {
			switch pongWanted := want[i].first&0x0f == opPong; {
			case done[i]:
			case got == want[i]:
				match = i
			case isPong && (!pongWanted || i != mustPong): // it overtakes messages, or was superseded
			case !isPong && pongWanted && i != mustPong: // left out
			default:
				return fmt.Errorf("want %v, got %v", want[i], got)
			}
		}
		if match < 0 {
			return fmt.Errorf("got %v, which is none of those that may come now", got)
		}
		for i := next; i < match; i++ {
			if want[i].first&0x0f == opPong {
				done[i] = true
			}
		}
		done[match] = true
		for next < len(want) && done[next] {
			next++
		}
	}
	return nil
}

// finish sees the connection to its end.
func (p *peer) finish(tc *testCase, wait func() error) error {
	end := tc.end
	if end.how == closed {
		if err := wait(); err != nil {
			return err
		}
		end.body = closeBody(transport.CloseNormal, "")
		if _, err := p.nc.Write(p.encode([]sent{closing(end.body)})); err != nil {
			return fmt.Errorf("write close frame: %w", err)
		}
	}
	switch end.how {
	case closed, answered:
		want := frame{fin | opClose, end.body}
		if got, err := p.r.next(); err != nil {
			return fmt.Errorf("want %v, got %w", want, err)
		} else if got != want {
			return fmt.Errorf("want %v, got %v", want, got)
		}
	case failed:
		got, err := p.r.next()
		if err != nil {
			return fmt.Errorf("want a close frame with %v, got %w", end.codes, err)
		}
		if got.first != fin|opClose || len(got.payload) < 2 || !has(end.codes, int(binary.BigEndian.Uint16([]byte(got.payload)))) {
			return fmt.Errorf("want a close frame with %v, got %v", end.codes, got)
		}
	case replied, dropped:
	}
	if end.how != failed {
		if err := wait(); err != nil {
			return err
		}
	}
	return p.hangUp()
}

// hangUp sees the TCP connection to its end, which must come without a reset and
// without another frame. A server ends it first; towards a client the peer is
// the server (RFC 6455, section 7.1.1).
func (p *peer) hangUp() error {
	if p.server {
		p.nc.CloseWrite()
	}
	got, err := p.r.next()
	switch {
	case err == nil:
		return fmt.Errorf("got %v, want the end: %w", got, errAfterClose)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("want the end of the TCP connection, got %w", err)
	}
	return nil
}

// endCodes returns the codes of which OnClose must be given one.
func (tc *testCase) endCodes() []int {
	switch tc.end.how {
	case closed:
		return []int{transport.CloseNormal}
	case answered:
		if tc.end.body == "" {
			return []int{transport.CloseNoStatus}
		}
		return []int{int(binary.BigEndian.Uint16([]byte(tc.end.body)))}
	}
	return tc.end.codes
}

// counts is how many cases of each group ran.
type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counts) add(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = make(map[string]int)
	}
	major, _, _ := strings.Cut(id, ".")
	c.n[major]++
}

func (c *counts) log(t *testing.T, what string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	total, groups := 0, ""
	for _, g := range []string{"1", "2", "3", "4", "5", "6", "7", "9", "10", "12", "13"} {
		if c.n[g] > 0 {
			total += c.n[g]
			groups += fmt.Sprintf(" %s:%d", g, c.n[g])
		}
	}
	t.Logf("conformance: %d cases %s, by group%s", total, what, groups)
}

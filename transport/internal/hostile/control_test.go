package hostile_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// noControlLimit lets the floods through, to what lies behind the limit.
var noControlLimit = &transport.Options{MaxControlFrames: -1}

func controlCases() []hostileCase {
	// The default limit is 64 in a second.
	flood := want{code: 1008, reason: "too many control frames", pongs: true}
	ping := masked(fin|opPing, x(125))
	return []hostileCase{
		{name: "10000 pings at once", steps: []step{send(repeated(masked(fin|opPing, ""), 10_000))}, want: flood},
		{name: "10000 pings of 125 bytes", steps: []step{send(repeated(ping, 10_000))}, want: flood},
		{name: "10000 pings, pongs not read", deaf: true, steps: []step{send(repeated(ping, 10_000))}, want: flood},
		{name: "10000 pongs unasked", steps: []step{send(repeated(masked(fin|opPong, x(125)), 10_000))}, want: flood},
		// The close frame that follows is the 64th.
		{name: "pongs at the limit", steps: []step{send(repeated(masked(fin|opPong, ""), 63))}, want: want{}},
		{name: "pongs above the limit", steps: []step{send(repeated(masked(fin|opPong, ""), 65))}, want: flood},
		{name: "pings between fragments above the limit",
			steps: []step{send(masked(opText, ""), repeated(cat(masked(opCont, "x"), masked(fin|opPing, "")), 65))}, want: flood},
		{name: "ping between fragments", steps: []step{
			segment(masked(opText, "a")), segment(masked(fin|opPing, "p")), segment(masked(opCont, "b")), segment(masked(fin|opPong, "q")), segment(masked(fin|opCont, "c"))},
			want: want{frames: []frame{pong("p"), text("abc")}}},
		{name: "ping between fragments in one segment", steps: []step{
			send(masked(opText, "a"), masked(fin|opPing, "p"), masked(opCont, "b"), masked(fin|opPong, "q"), masked(fin|opCont, "c"))},
			want: want{frames: []frame{text("abc")}, pongs: true}},
		{name: "ping that is not UTF-8", steps: []step{send(masked(fin|opPing, "\xff\xfe"))}, want: want{frames: []frame{pong("\xff\xfe")}}},
		{name: "ping byte by byte inside a message", steps: []step{bytewise(masked(opText, "a"), masked(fin|opPing, "ping"), masked(fin|opCont, "b"))},
			want: want{frames: []frame{pong("ping"), text("ab")}}},
		{name: "10000 pings without limit", opts: noControlLimit, own: true, run: pingFlood},
		{name: "pings without limit, pongs not read", alone: true, run: pingsNotRead,
			opts: &transport.Options{MaxControlFrames: -1, WriteTimeout: patience}},
		{name: "pings without limit, nothing ever read", own: true, run: pingsNeverRead,
			opts: &transport.Options{MaxControlFrames: -1, MaxQueueBytes: 16 << 20, WriteTimeout: 500 * time.Millisecond}},
	}
}

func numbered(i int) string { return fmt.Sprintf("%0125d", i) }

// pingFlood has pongs come in order, and the last ping answered whatever became
// of those before it (RFC 6455, section 5.5.3).
func pingFlood(t *testing.T, s *server) {
	p := s.open(t, "", nil)
	defer p.nc.Close()
	p.listen()
	const n = 10_000
	var b []byte
	for i := range n {
		b = append(b, masked(fin|opPing, numbered(i))...)
	}
	p.write(b)
	p.wait("pong of the last ping", func() bool { return slices.Contains(p.frames, pong(numbered(n-1))) })
	pongs := p.got()
	if !slices.IsSortedFunc(pongs, func(a, b frame) int {
		if a.data <= b.data {
			return -1
		}
		return 1
	}) {
		t.Error("pongs out of order")
	}
	if len(pongs) > n {
		t.Errorf("%d pongs for %d pings", len(pongs), n)
	}
	p.check(false, want{pongs: true})
}

// pingsNotRead sends far more pings than the sockets' buffers hold pongs, and
// reads only then. Each ping must have been taken, as a pong that waits is
// replaced, and nothing may have piled up.
func pingsNotRead(t *testing.T, s *server) {
	p := s.openSmall(t, nil)
	defer p.nc.Close()
	const rounds, n, slack = 64, 2000, 4 << 20
	before := heapInUse()
	for round := range rounds { // 16 MB
		var b []byte
		for i := range n {
			b = append(b, masked(fin|opPing, numbered(round*n+i))...)
		}
		if err := p.write(b); err != nil {
			t.Fatalf("after %d pings: %v", round*n, err)
		}
	}
	eventually(t, "server reads all pings", func() bool { return int(s.srv.Stats().BytesIn) == p.sent })
	if now := heapInUse(); now > before+slack {
		t.Errorf("the heap grew from %d to %d KiB", before>>10, now>>10)
	}
	p.listen()
	p.wait("pong of the last ping", func() bool { return slices.Contains(p.frames, pong(numbered(rounds*n-1))) })
	if got := len(p.got()); got > rounds*n/10 {
		t.Errorf("%d pongs for %d pings: they were not held back", got, rounds*n)
	}
	p.check(false, want{pongs: true})
}

// pingsNeverRead sends pings until the server has had enough of a peer that takes
// nothing: that it sends something is no sign that what we write arrives. Before
// the pongs stand messages that fill the sockets' buffers, as single pongs still
// trickle into those that are nearly full.
func pingsNeverRead(t *testing.T, s *server) {
	h, stopped := pump(512)
	p := s.openSmall(t, h)
	defer p.nc.Close()
	p.write(masked(fin|opText, "go"))
	<-stopped
	b := repeated(masked(fin|opPing, x(125)), 1000)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for p.write(b) == nil {
		}
	}()
	p.checkTold(1006)
	s.idle(t) // though the peer has not closed its socket
	p.nc.Close()
	<-done
	if got := s.srv.Stats().Timeouts; got != 1 {
		t.Errorf("%d timeouts, want 1", got)
	}
}

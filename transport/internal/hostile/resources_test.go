package hostile_test

import (
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// unfinished is how many handshakes never end. Both ends are in this process,
// so they take twice as many descriptors.
const unfinished = 1950

func resourceCases() []hostileCase {
	return []hostileCase{
		{name: "handshakes that never finish", alone: true, opts: &transport.Options{HandshakeTimeout: 2 * time.Second},
			run: func(t *testing.T, s *server) { neverFinish(t, s, unfinished, proper.bytes()[:60]) }},
		{name: "connections that say nothing", alone: true, opts: &transport.Options{HandshakeTimeout: time.Second},
			run: func(t *testing.T, s *server) { neverFinish(t, s, 500, nil) }},
		{name: "connections that never answer a ping", alone: true, run: silent,
			opts: &transport.Options{PingInterval: 400 * time.Millisecond, PongTimeout: 400 * time.Millisecond}},
		{name: "connections that come and go", own: true, run: comeAndGo},
		{name: "refusals that are never read", alone: true, run: refusalsNotRead},
		{name: "slow consumers that never read", alone: true, run: slowConsumers,
			opts: &transport.Options{MaxQueueBytes: 256 << 10, WriteTimeout: patience, CloseTimeout: 500 * time.Millisecond}},
		{name: "slow consumer that reads in the end", own: true, run: lateReader,
			opts: &transport.Options{MaxQueueBytes: 256 << 10, WriteTimeout: patience, CloseTimeout: patience}},
		{name: "writes that stall", alone: true, run: stalledWrites,
			opts: &transport.Options{MaxQueueBytes: 64 << 20, MaxQueueFrames: -1, WriteTimeout: 500 * time.Millisecond}},
		{name: "echoes that are never read", alone: true, run: echoesNotRead,
			opts: &transport.Options{WriteTimeout: patience, CloseTimeout: 500 * time.Millisecond}},
		{name: "more than MaxConns", own: true, opts: &transport.Options{MaxConns: 8},
			run: func(t *testing.T, s *server) { tooMany(t, s, 8, http.StatusServiceUnavailable) }},
		{name: "more than MaxConnsPerIP", own: true, opts: &transport.Options{MaxConnsPerIP: 8},
			run: func(t *testing.T, s *server) { tooMany(t, s, 8, http.StatusTooManyRequests) }},
	}
}

// neverFinish opens n connections that send b and then nothing. A good client is
// served among them; each of them is cut without a word.
func neverFinish(t *testing.T, s *server, n int, b []byte) {
	const each = 48 << 10 // a buffer for the head, a stack, what net/http has
	before := heapInUse()
	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, nc := range conns {
			nc.Close()
		}
	}()
	for range n {
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, nc)
		nc.Write(b)
	}
	s.serves(t)
	if now := heapInUse(); now > before+uint64(n)*each {
		t.Errorf("the heap grew from %d to %d KiB", before>>10, now>>10)
	}
	until := time.Now().Add(patience)
	for i, nc := range conns {
		nc.SetReadDeadline(until)
		var one [1]byte
		got, err := nc.Read(one[:])
		if ne := net.Error(nil); got > 0 || errors.As(err, &ne) && ne.Timeout() {
			t.Fatalf("connection %d: %d bytes, %v; want it cut", i, got, err)
		}
	}
	// The peers have not closed their sockets, the server has closed its own.
	eventually(t, "handshakes are counted", func() bool { return s.hs != nil || s.srv.Stats().Refused == uint64(n) })
}

// silent has 500 peers that are pinged, do not answer, and are cut.
func silent(t *testing.T, s *server) {
	var ps []*peer
	for range 500 {
		p := s.open(t, "", nil)
		defer p.nc.Close()
		ps = append(ps, p)
	}
	s.serves(t)
	for _, p := range ps {
		p.check(false, want{frames: []frame{{fin | opPing, ""}}, cut: true})
	}
	if got := s.srv.Stats().Timeouts; got != 500 {
		t.Errorf("%d timeouts, want 500", got)
	}
}

// comeAndGo has connections end in every state that takes no time to reach.
func comeAndGo(t *testing.T, s *server) {
	for i := range 500 {
		p := s.connect(t, nil)
		switch i % 5 {
		case 1:
			p.write(proper.bytes()[:60])
		case 2:
			p.write(p.located(proper.bytes()))
		case 3:
			p.write(cat(p.located(proper.bytes()), masked(fin|opText, "Hello")))
		case 4:
			p.handshake("")
		}
		if i%2 == 0 {
			p.reset()
		} else {
			p.nc.Close()
		}
	}
}

// refusalsNotRead has 300 peers that are refused, do not read why and do not
// close: the server closes its sockets all the same.
func refusalsNotRead(t *testing.T, s *server) {
	const n = 300
	fds := openFDs()
	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, nc := range conns {
			nc.Close()
		}
	}()
	for range n {
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, nc)
		nc.Write(proper.without("Sec-WebSocket-Key").bytes())
	}
	eventually(t, "refusals are counted", func() bool { return s.srv.Stats().Refused == n })
	if fds >= 0 {
		eventually(t, "the server closes its sockets", func() bool { return openFDs() <= fds+n })
	}
}

// pump returns a handler that sends n messages of 16 KiB for the first one it
// gets, or as many as it can if n is 0, and what ended that.
func pump(n int) (onMessage, <-chan error) {
	stopped := make(chan error, 1)
	return func(c *transport.Conn, _ transport.Op, _ []byte) {
		go func() {
			payload := []byte(x(16 << 10))
			var err error
			for i := 0; err == nil && (n == 0 || i < n); i++ {
				err = c.Send(transport.Binary, payload)
			}
			stopped <- err
		}()
	}, stopped
}

// slowConsumers has 16 peers that are sent more than they take.
func slowConsumers(t *testing.T, s *server) {
	const peers, each, slack = 16, 2 * 256 << 10, 2 << 20
	before := heapInUse()
	var ps []*peer
	for range peers {
		h, stopped := pump(0)
		p := s.openSmall(t, h)
		defer p.nc.Close()
		p.write(masked(fin|opText, "go"))
		if err := <-stopped; !errors.Is(err, transport.ErrSlowConsumer) {
			t.Fatalf("send: %v, want %v", err, transport.ErrSlowConsumer)
		}
		ps = append(ps, p)
	}
	if now := heapInUse(); now > before+peers*each+slack {
		t.Errorf("the heap grew from %d to %d KiB", before>>10, now>>10)
	}
	for _, p := range ps {
		p.checkTold(4508)
	}
	s.idle(t) // though the peers have not closed their sockets
	if got := s.srv.Stats().SlowConsumers; got != peers {
		t.Errorf("%d slow consumers, want %d", got, peers)
	}
}

// lateReader is a slow consumer that gets to know that it is one.
func lateReader(t *testing.T, s *server) {
	h, stopped := pump(0)
	p := s.openSmall(t, h)
	defer p.nc.Close()
	p.write(masked(fin|opText, "go"))
	if err := <-stopped; !errors.Is(err, transport.ErrSlowConsumer) {
		t.Fatalf("send: %v, want %v", err, transport.ErrSlowConsumer)
	}
	p.listen()
	p.wait("close frame", func() bool { return len(p.frames) > 0 && p.frames[len(p.frames)-1].isClose() })
	p.write(masked(fin|opClose, closing(4508, "")))
	frames := p.waitEnd()
	for _, f := range frames[:len(frames)-1] {
		if f != binMsg(x(16<<10)) {
			t.Fatalf("got %v", f)
		}
	}
	if f := frames[len(frames)-1]; f.code() != 4508 || f.data[2:] != "slow_consumer" {
		t.Errorf("closed with %v", f)
	}
	p.checkTold(4508)
}

// stalledWrites has the server send what fits into its queue, but not into the
// buffers of the sockets.
func stalledWrites(t *testing.T, s *server) {
	h, stopped := pump(2000)
	p := s.openSmall(t, h)
	defer p.nc.Close()
	p.write(masked(fin|opText, "go"))
	if err := <-stopped; err != nil && !errors.Is(err, transport.ErrClosed) {
		t.Fatal(err)
	}
	p.checkTold(1006)
	s.idle(t) // though the peer has not closed its socket
	if got := s.srv.Stats().Timeouts; got != 1 {
		t.Errorf("%d timeouts, want 1", got)
	}
}

// echoesNotRead has 8 peers that send and never read what comes back.
func echoesNotRead(t *testing.T, s *server) {
	const peers, each, slack = 8, 2 << 20, 2 << 20
	before := heapInUse()
	var ps []*peer
	b := repeated(masked(fin|opBinary, x(8<<10)), 8)
	for range peers {
		p := s.openSmall(t, nil)
		defer p.nc.Close()
		// The server takes it until its queue is full.
		for until := time.Now().Add(patience); p.write(b) == nil && s.srv.Stats().SlowConsumers == uint64(len(ps)); {
			if time.Now().After(until) {
				t.Fatal("the server takes it for ever")
			}
		}
		ps = append(ps, p)
	}
	if now := heapInUse(); now > before+peers*each+slack {
		t.Errorf("the heap grew from %d to %d KiB", before>>10, now>>10)
	}
	for _, p := range ps {
		p.checkTold(4508)
	}
	s.idle(t)
}

// tooMany opens as many connections as may be, and then more.
func tooMany(t *testing.T, s *server, limit, status int) {
	var ps []*peer
	for range limit {
		p := s.open(t, "", nil)
		defer p.nc.Close()
		ps = append(ps, p)
	}
	for range 3 * limit {
		p := s.connect(t, nil)
		defer p.nc.Close()
		p.write(p.located(proper.bytes()))
		p.check(true, want{status: status, reason: "too many connections"})
	}
	for _, p := range ps {
		p.check(false, want{})
	}
}

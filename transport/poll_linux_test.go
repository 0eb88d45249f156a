package transport_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// cpuTime returns how long the process has been on processors.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// polledServer serves rec over loopback, and hands out its connections.
func polledServer(t testing.TB, h transport.Handler, o transport.Options) (s *transport.Server, addr string, conns <-chan *transport.Conn) {
	t.Helper()
	ch := make(chan *transport.Conn, 1)
	o.Driver = transport.DriverPoll
	s = acceptServer(t, func(c *transport.Conn, _ *transport.Handshake) transport.Handler {
		ch <- c
		return h
	}, &o)
	return s, listenTCP(t, s), ch
}

// Verify that a socket which has been full is not reported as writable for ever
// once it takes everything.
func TestPollerRestsAfterStall(t *testing.T) {
	rec := newRecorder()
	_, addr, conns := polledServer(t, rec, transport.Options{MaxQueueBytes: 64 << 20, MaxQueueFrames: -1})
	p := dialPeerTCP(t, addr)
	c := <-conns
	big := make([]byte, 1<<20)
	for range 16 {
		if err := c.Send(transport.Binary, big); err != nil {
			t.Fatal(err)
		}
	}
	for range 16 {
		p.read()
	}
	for c.Buffered() > 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(20 * time.Millisecond)
	const rest = 300 * time.Millisecond
	before := cpuTime(t)
	time.Sleep(rest)
	if used := cpuTime(t) - before; used > rest/2 {
		t.Errorf("an idle connection takes %v of processor time in %v", used, rest)
	}
	p.write(masked(fin|opClose, closing(1000, "")))
	rec.end(t)
}

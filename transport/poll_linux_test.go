package transport_test

import (
	"sync"
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

// Verify that a paused connection of which epoll has been told to report nothing
// can be cut.
func TestCutWhilePaused(t *testing.T) {
	rec := newRecorder()
	s, addr, conns := polledServer(t, rec, transport.Options{})
	p := dialPeerTCP(t, addr)
	c := <-conns
	c.Pause()
	p.write(masked(fin|opText, "not yet")) // so that the poller meets with the pause
	time.Sleep(50 * time.Millisecond)
	c.Cut()
	select {
	case <-rec.closed:
	case <-time.After(5 * time.Second):
		t.Error("the connection has not ended")
		c.Resume()
	}
	rec.end(t)
	for s.Stats().Conns > 0 {
		time.Sleep(time.Millisecond)
	}
}

// Verify that a paused connection ends when epoll does not take it back, and
// that OnClose is not called by who resumes or cuts it: that one may hold a lock
// which OnClose wants.
func TestEpollRefuses(t *testing.T) {
	for name, act := range map[string]func(*transport.Conn){
		"Resume": (*transport.Conn).Resume,
		"Close":  func(c *transport.Conn) { c.Close(1000, "") },
		"Cut":    (*transport.Conn).Cut,
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			rec := newRecorder()
			s, addr, conns := polledServer(t, &lockedClose{rec, &mu}, transport.Options{})
			p := dialPeerTCP(t, addr)
			c := <-conns
			c.Pause()
			p.write(masked(fin|opText, "not yet"))
			time.Sleep(50 * time.Millisecond)
			mend := transport.BreakEpoll(c)
			defer mend()
			acted := make(chan struct{})
			go func() {
				defer close(acted)
				mu.Lock()
				defer mu.Unlock()
				act(c)
			}()
			select {
			case <-acted:
			case <-time.After(5 * time.Second):
				t.Fatal("OnClose was called inside")
			}
			rec.end(t)
			for s.Stats().Conns > 0 {
				time.Sleep(time.Millisecond)
			}
		})
	}
}

// lockedClose is a Handler that takes a lock to learn of the end.
type lockedClose struct {
	*recorder
	mu *sync.Mutex
}

func (l *lockedClose) OnClose(c *transport.Conn, err *transport.CloseError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recorder.OnClose(c, err)
}

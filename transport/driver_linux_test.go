package transport_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// bareClient is a client that takes nothing of this process but a descriptor.
type bareClient int

// dialBare connects a bare client and does the opening handshake.
func dialBare(t testing.TB, addr string) bareClient {
	t.Helper()
	ap := netip.MustParseAddrPort(addr)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := bareClient(fd)
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}); err != nil {
		t.Fatal(err)
	}
	c.write(t, upgradeRequest("/"))
	buf := make([]byte, 512)
	n, err := syscall.Read(fd, buf)
	if err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 101 ") {
		t.Fatalf("%q, %v", buf[:n], err)
	}
	return c
}

func (c bareClient) write(t testing.TB, b []byte) {
	t.Helper()
	if n, err := syscall.Write(int(c), b); n != len(b) {
		t.Fatal(err)
	}
}

func (c bareClient) close() { _ = syscall.Close(int(c)) }

// epolls returns how many epoll sets there are.
func epolls(t testing.TB) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	for _, e := range entries {
		if to, _ := os.Readlink("/proc/self/fd/" + e.Name()); to == "anon_inode:[eventpoll]" {
			n++
		}
	}
	return n
}

// calm fails the test if the process is busy all the time.
func calm(t testing.TB, when string) {
	t.Helper()
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	const span = 100 * time.Millisecond
	var used time.Duration
	for range 10 { // a collection of garbage may be under way
		before := cpu()
		time.Sleep(span)
		if used = cpu() - before; used < span/5 {
			return
		}
	}
	t.Errorf("%s: %v of processor time in %v", when, used, span)
}

// listenSmall is listenTCP with sockets that have small buffers.
func listenSmall(t testing.TB, s *transport.Server) (addr string) {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		err2 := raw.Control(func(fd uintptr) {
			err = errors.Join(syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 8<<10),
				syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, 8<<10))
		})
		return errors.Join(err, err2)
	}}
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		shutdown(t, s)
		receive(t, "the end of Serve", done)
	})
	return l.Addr().String()
}

// dialSmall is dialPeerTCP with small buffers.
func dialSmall(t testing.TB, addr string) *peer {
	t.Helper()
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		err2 := raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 8<<10)
		})
		return errors.Join(err, err2)
	}}
	nc, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.(*net.TCPConn).SetWriteBuffer(8 << 10)
	_ = nc.SetDeadline(time.Now().Add(patience))
	p := &peer{t: t, nc: nc, r: bufio.NewReader(nc)}
	p.upgrade()
	return p
}

// Verify that idle polled connections have no goroutine and next to no heap,
// and that nothing stays when they have gone; also of net/http, from which some
// of them are taken.
func TestIdlePolled(t *testing.T) {
	const n, maxHeap = 500, 1024
	for _, mounted := range []bool{false, true} {
		t.Run(map[bool]string{false: "raw", true: "mounted"}[mounted], func(t *testing.T) {
			s := newServer(t, discarder{}, nil)
			addr := ""
			if mounted {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				hs := &http.Server{Handler: s, ReadHeaderTimeout: patience}
				done := make(chan error, 1)
				go func() { done <- hs.Serve(l) }()
				defer func() {
					_ = hs.Close()
					receive(t, "the end of Serve", done)
				}()
				addr = l.Addr().String()
			} else {
				addr = listenTCP(t, s)
			}
			clients := make([]bareClient, 0, n)
			open := func(n int) {
				for range n {
					clients = append(clients, dialBare(t, addr))
				}
				until(t, "the connections", func() bool { return s.Stats().Polled == n })
			}
			leave := func() {
				for _, c := range clients {
					c.close()
				}
				clients = clients[:0]
				until(t, "the end", func() bool { st := s.Stats(); return st.Conns == 0 && st.Polled == 0 })
			}
			open(2 * runtime.GOMAXPROCS(0)) // what is made once is made now
			leave()
			until(t, "the end of the pollers", func() bool { return epolls(t) <= 1 })
			goroutines, fds, heap := runtime.NumGoroutine(), descriptors(), liveHeap()
			open(n)
			// The wheel, the poller and two workers for each shard.
			few := 4*runtime.GOMAXPROCS(0) + 2
			until(t, "few goroutines", func() bool { return runtime.NumGoroutine() <= goroutines+few })
			if used := (int64(liveHeap()) - int64(heap)) / n; used > maxHeap {
				t.Errorf("%d bytes of heap for an idle connection, want %d at most", used, maxHeap)
			} else {
				t.Logf("%d bytes of heap", used)
			}
			leave()
			until(t, "all goroutines back", func() bool { return runtime.NumGoroutine() <= goroutines })
			until(t, "all descriptors back", func() bool { return descriptors() <= fds })
			shutdown(t, s)
		})
	}
}

// Verify that the epoll sets go a little after the last connection, that a new
// one finds a new set, or keeps the old one, and that Shutdown does not wait.
func TestPollersEnd(t *testing.T) {
	const linger = 100 * time.Millisecond
	none := epolls(t)
	s, conns := meeter(t, nil)
	addr := listenTCP(t, s)
	echo := func() *peer {
		p := dialPeerTCP(t, addr)
		m := receive(t, "the connection", conns)
		p.write(masked(fin|opText, "Hello"))
		m.rec.got(t, 1)
		if err := m.SendText("Hello"); err != nil {
			t.Fatal(err)
		}
		if f := p.read(); f.Payload != "Hello" {
			t.Errorf("got %v", f)
		}
		return p
	}
	for range 3 {
		p := echo()
		if n := epolls(t); n != none+1 {
			t.Errorf("%d sets for one connection", n-none)
		}
		begin := time.Now()
		_ = p.nc.Close()
		until(t, "the end of the set", func() bool { return epolls(t) == none })
		if d := time.Since(begin); d < linger {
			t.Errorf("the set went after %v", d)
		}
	}
	for range 20 { // one that comes meanwhile is served
		_ = echo().nc.Close()
		time.Sleep(linger / 10)
	}
	for range 5 { // also when the set is just about to go
		_ = echo().nc.Close()
		time.Sleep(linger - time.Millisecond)
	}
	_ = echo().nc.Close()
	until(t, "the end of all sets", func() bool { return epolls(t) == none })

	shortest := time.Hour
	for range 5 {
		s, conns := meeter(t, nil)
		p := dialPeerTCP(t, listenTCP(t, s))
		receive(t, "the connection", conns)
		_ = p.nc.Close()
		begin := time.Now()
		shutdown(t, s)
		until(t, "the end of the set", func() bool { return epolls(t) == none })
		shortest = min(shortest, time.Since(begin))
	}
	if shortest >= linger {
		t.Errorf("the set goes %v after Shutdown at the earliest", shortest)
	}
}

// numbered returns message i of a long run: its size depends on its number.
func numbered(i int) string {
	return fmt.Sprintf("%06d %s", i, strings.Repeat(string(rune('a'+i%26)), 1000+i*997%19_000))
}

// Verify that Pause holds the peer of a polled connection back, by way of TCP,
// that this costs no processor time, and that Resume goes on without a loss.
func TestPollPause(t *testing.T) {
	s, conns := meeter(t, nil)
	p := dialSmall(t, listenSmall(t, s))
	m := receive(t, "the connection", conns)
	var all []byte
	n := 0
	for ; len(all) < 4<<20; n++ {
		all = append(all, masked(fin|opText, numbered(n))...)
	}
	rest := all
	for round := range 3 {
		m.Pause()
		seen := len(m.rec.messages())
		_ = p.nc.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		written, err := p.nc.Write(rest[:len(all)/4])
		rest = rest[written:]
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("round %d: %d bytes went to a connection that does not read: %v", round, written, err)
		}
		if got := len(m.rec.messages()); got > seen+1 && round == 0 || got > seen+200 {
			t.Errorf("round %d: %d messages came while paused", round, got-seen)
		}
		calm(t, "paused")
		before := len(m.rec.messages())
		m.Resume()
		until(t, "the next message", func() bool { return len(m.rec.messages()) > before })
	}
	_ = p.nc.SetWriteDeadline(time.Now().Add(patience))
	if _, err := p.nc.Write(rest); err != nil {
		t.Fatal(err)
	}
	for i, got := range m.rec.got(t, n) {
		if got != text(numbered(i)) {
			t.Fatalf("message %d is %.20q", i, got.Data)
		}
	}
	calm(t, "resumed")
	_ = p.nc.Close()
	m.rec.ended(t)
}

// Verify that a reset which comes while the connection is paused is noticed
// after Resume, or when there is something to be written.
func TestPollResetWhilePaused(t *testing.T) {
	for name, act := range map[string]func(c *transport.Conn){
		"resumed":        func(c *transport.Conn) { c.Resume() },
		"written to":     func(c *transport.Conn) { _ = c.SendText("Hello") },
		"closed":         func(c *transport.Conn) { c.Close(4000, "") },
		"resumed, often": func(c *transport.Conn) { c.Resume(); c.Pause(); c.Resume() },
	} {
		t.Run(name, func(t *testing.T) {
			s, conns := meeter(t, nil)
			p := dialPeerTCP(t, listenTCP(t, s))
			m := receive(t, "the connection", conns)
			m.Pause()
			p.write(masked(fin|opText, "unread"))
			_ = p.nc.(*net.TCPConn).SetLinger(0)
			_ = p.nc.Close()
			calm(t, "reset while paused")
			if err := m.rec.closeError(); err != nil {
				t.Errorf("OnClose with %v while paused", err)
			}
			act(m.Conn)
			err := m.rec.ended(t)
			if name == "closed" && err.Code == 4000 {
				err.Code = 1006 // it was begun before the end was seen
			}
			if err.Code != 1006 || err.Err == nil {
				t.Errorf("OnClose with %#v", err)
			}
			until(t, "the end", func() bool { return s.Stats().Polled == 0 })
		})
	}
}

// Verify that a peer that does not read holds up nobody else, and that when it
// reads again all that waited comes, in order, after which nothing is busy. The
// messages are far larger than the buffers of the sockets.
func TestPollStalledPeer(t *testing.T) {
	s, conns := meeter(t, &transport.Options{MaxQueueBytes: -1, MaxMessageBytes: -1})
	addr := listenSmall(t, s)
	p := dialSmall(t, addr)
	m := receive(t, "the connection", conns)
	var others []met
	var peers []*peer
	for range 2 * runtime.GOMAXPROCS(0) {
		peers = append(peers, dialPeerTCP(t, addr))
		others = append(others, receive(t, "the connection", conns))
	}
	const n = 100
	large := func(i int) string { return strings.Repeat(numbered(i), 10) }
	for round := range 3 {
		var fs []*transport.Frame
		for i := range n {
			var err error
			if i%10 < 5 {
				err = m.SendText(large(i))
			} else {
				f, _ := transport.NewFrame(transport.Text, []byte(large(i)))
				fs = append(fs, f)
				if i%10 == 9 {
					err = m.SendBatch(transport.NewBatch(fs))
					fs = nil
				}
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := range 50 {
			for k, o := range others {
				if err := o.SendText(fmt.Sprint(i)); err != nil {
					t.Fatal(err)
				}
				if f := peers[k].read(); f.Payload != fmt.Sprint(i) {
					t.Fatalf("got %v", f)
				}
				peers[k].write(masked(fin|opText, fmt.Sprint(i)))
				o.rec.got(t, round*50+i+1)
			}
		}
		if m.Buffered() == 0 {
			t.Fatal("nothing waits for the stalled peer")
		}
		calm(t, "stalled")
		p.write(masked(fin|opText, "I am here")) // it is still heard
		m.rec.got(t, round+1)
		for i := range n {
			if f := p.read(); f.Payload != large(i) {
				t.Fatalf("round %d: message %d is %.40v", round, i, f)
			}
		}
		until(t, "an empty queue", func() bool { return m.Buffered() == 0 })
		calm(t, "after the stall")
	}
	m.Close(1000, "")
	if f := p.read(); f.closeCode() != 1000 {
		t.Errorf("got %v", f)
	}
	_ = p.nc.Close()
	m.rec.ended(t)
}

// Verify that a peer that takes nothing for WriteTimeout is cut, the others are
// not, and that its socket is closed.
func TestPollWriteTimeout(t *testing.T) {
	s, conns := meeter(t, &transport.Options{MaxQueueBytes: -1, WriteTimeout: 300 * time.Millisecond})
	addr := listenSmall(t, s)
	p := dialSmall(t, addr)
	m := receive(t, "the connection", conns)
	other := dialPeerTCP(t, addr)
	om := receive(t, "the connection", conns)
	begin := time.Now()
	for range 3 {
		if err := m.Send(transport.Binary, make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	err := m.rec.ended(t)
	if d := time.Since(begin); err.Code != 1006 || err.Err == nil || err.Unsent == 0 || d < 300*time.Millisecond {
		t.Errorf("after %v: OnClose with %#v", d, err)
	}
	until(t, "the end", func() bool { st := s.Stats(); return st.Conns == 1 && st.Polled == 1 })
	if st := s.Stats(); st.Timeouts != 1 || st.DroppedClosed == 0 {
		t.Errorf("%+v", st)
	}
	if _, err := io.Copy(io.Discard, p.r); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the socket is open")
	}
	if err := om.SendText("Hello"); err != nil {
		t.Error(err)
	}
	if f := other.read(); f.Payload != "Hello" {
		t.Errorf("got %v", f)
	}
	_ = other.nc.Close()
	om.rec.ended(t)
}

// Verify that a slow peer is not cut as long as it takes something in time.
func TestPollSlowPeer(t *testing.T) {
	s, conns := meeter(t, &transport.Options{MaxQueueBytes: -1, WriteTimeout: 500 * time.Millisecond})
	p := dialSmall(t, listenSmall(t, s))
	m := receive(t, "the connection", conns)
	payload := strings.Repeat(numbered(7), 40)
	if err := m.SendText(payload); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	got := make([]byte, 0, len(payload)+10)
	for step := 0; len(got) < len(payload)+10; step++ {
		buf := make([]byte, min((len(payload)+10)/20+1, len(payload)+10-len(got)))
		n, err := io.ReadFull(p.r, buf)
		if got = append(got, buf[:n]...); err != nil {
			t.Fatalf("%v after %d of %d bytes and %v; OnClose with %v", err, len(got), len(payload)+10, time.Since(begin), m.rec.closeError())
		}
		time.Sleep(50 * time.Millisecond)
	}
	if d := time.Since(begin); d < 700*time.Millisecond {
		t.Errorf("it took %v only", d)
	}
	if string(got) != string(plain(fin|opText, payload)) {
		t.Error("something else arrived")
	}
	_ = p.nc.Close()
	m.rec.ended(t)
}

// TestPollEnds ends polled connections in each way, from both sides, and at
// either end.
func TestPollEnds(t *testing.T) {
	tests := []struct {
		name string
		end  func(t *testing.T, c *transport.Conn, p *peer, mask func(byte, string) []byte)
		code int
	}{
		{"close frame of the peer", func(t *testing.T, _ *transport.Conn, p *peer, mask func(byte, string) []byte) {
			p.write(mask(fin|opClose, closing(4000, "bye")))
			if f := p.read(); f.closeCode() != 4000 {
				t.Errorf("got %v", f)
			}
		}, 4000},
		{"close frame of ours", func(t *testing.T, c *transport.Conn, p *peer, mask func(byte, string) []byte) {
			c.Close(4001, "bye")
			if f := p.read(); f.closeCode() != 4001 {
				t.Errorf("got %v", f)
			}
			p.write(mask(fin|opClose, closing(4001, "")))
		}, 4001},
		{"close frame behind data", func(t *testing.T, c *transport.Conn, p *peer, mask func(byte, string) []byte) {
			_ = c.SendText("last")
			c.Close(4001, "bye")
			if f := p.read(); f.Payload != "last" {
				t.Errorf("got %v", f)
			}
			if f := p.read(); f.closeCode() != 4001 {
				t.Errorf("got %v", f)
			}
			p.write(mask(fin|opClose, closing(4001, "")))
		}, 4001},
		{"both at once", func(t *testing.T, c *transport.Conn, p *peer, mask func(byte, string) []byte) {
			p.write(mask(fin|opClose, closing(4002, "")))
			c.Close(4002, "")
			if f := p.read(); f.closeCode() != 4002 {
				t.Errorf("got %v", f)
			}
		}, 4002},
		{"breach", func(t *testing.T, _ *transport.Conn, p *peer, mask func(byte, string) []byte) {
			p.write(mask(0xff, ""))
			if f := p.read(); f.closeCode() != 1002 {
				t.Errorf("got %v", f)
			}
		}, 1002},
		{"half-close", func(t *testing.T, _ *transport.Conn, p *peer, _ func(byte, string) []byte) {
			_ = p.nc.(*net.TCPConn).CloseWrite()
		}, 1006},
		{"half-close in a frame", func(t *testing.T, _ *transport.Conn, p *peer, mask func(byte, string) []byte) {
			p.write(mask(fin|opText, "Hello")[:4])
			_ = p.nc.(*net.TCPConn).CloseWrite()
		}, 1006},
		{"reset", func(_ *testing.T, _ *transport.Conn, p *peer, _ func(byte, string) []byte) {
			_ = p.nc.(*net.TCPConn).SetLinger(0)
			_ = p.nc.Close()
		}, 1006},
		{"cut", func(_ *testing.T, c *transport.Conn, _ *peer, _ func(byte, string) []byte) { c.Cut() }, 1006},
		{"cut while paused", func(_ *testing.T, c *transport.Conn, _ *peer, _ func(byte, string) []byte) { c.Pause(); c.Cut() }, 1006},
	}
	for _, tt := range tests {
		for _, dials := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, Dialer %v", tt.name, dials), func(t *testing.T) {
				fds := descriptors()
				var c *transport.Conn
				var p *peer
				var rec *recorder
				var stats func() transport.Stats
				mask := masked
				end := func() {}
				if dials {
					rec, mask = newRecorder(), plain
					d := new(transport.Dialer)
					c, p = rawServer(t, d, rec)
					stats = d.Stats
				} else {
					s, conns := meeter(t, nil)
					l, err := net.Listen("tcp", "127.0.0.1:0")
					if err != nil {
						t.Fatal(err)
					}
					done := make(chan error, 1)
					go func() { done <- s.Serve(l) }()
					p = dialPeerTCP(t, l.Addr().String())
					m := receive(t, "the connection", conns)
					c, rec, stats = m.Conn, m.rec, s.Stats
					end = func() {
						shutdown(t, s)
						receive(t, "the end of Serve", done)
					}
				}
				if c.Driver() != transport.DriverPoll {
					t.Fatalf("driver %q", c.Driver())
				}
				tt.end(t, c, p, mask)
				err := rec.ended(t)
				if err.Code != tt.code || tt.code == 1006 && err.Err == nil {
					t.Errorf("OnClose with %#v, want %d", err, tt.code)
				}
				if tt.name != "reset" && !dials {
					// The server ends its side, also of a peer that has not.
					if _, err := p.r.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("after the end: %v", err)
					}
				}
				_ = p.nc.Close()
				until(t, "the end", func() bool { st := stats(); return st.Conns == 0 && st.Polled == 0 })
				if err := c.SendText("x"); !errors.Is(err, transport.ErrClosed) {
					t.Errorf("send: %v", err)
				}
				c.Cut()
				c.Pause()
				c.Resume()
				c.Flush()
				c.Cork()
				c.Uncork()
				end()
				until(t, "all descriptors back", func() bool { return descriptors() <= fds })
			})
		}
	}
}

// Verify that a descriptor is given back although a task of its connection has
// not ended: whoever hangs up while calls wait must not fill the table of
// descriptors.
func TestPollEndsDuringTask(t *testing.T) {
	s, conns := meeter(t, nil)
	p := dialPeerTCP(t, listenTCP(t, s))
	m := receive(t, "the connection", conns)
	begun, hold := make(chan none), make(chan none)
	m.Schedule(task(func() { close(begun); <-hold }))
	defer close(hold)
	receive(t, "the task", begun)
	_ = p.nc.Close()
	m.rec.ended(t)
	until(t, "the end", func() bool { st := s.Stats(); return st.Conns == 0 && st.Polled == 0 })
}

// Verify that what comes with Shutdown under way, or after a deadline, leaves no
// descriptor.
func TestPollShutdown(t *testing.T) {
	fds, none := descriptors(), epolls(t)
	for range 5 {
		s, conns := meeter(t, nil)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- s.Serve(l) }()
		var recs []*recorder
		var peers []*peer
		for range 20 {
			peers = append(peers, dialPeerTCP(t, l.Addr().String())) // they do not answer a close frame
			recs = append(recs, receive(t, "the connection", conns).rec)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := s.Shutdown(ctx); err == nil {
			t.Error("Shutdown did not fail")
		}
		cancel()
		for _, rec := range recs {
			if err := rec.ended(t); err.Code != 1001 {
				t.Errorf("OnClose with %v", err)
			}
		}
		receive(t, "the end of Serve", done)
		until(t, "the end", func() bool { return s.Stats().Polled == 0 })
		for _, p := range peers {
			_ = p.nc.Close()
		}
	}
	until(t, "all descriptors back", func() bool { return descriptors() <= fds && epolls(t) <= none })
}

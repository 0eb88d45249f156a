package transport_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/wireroom/wireroom/transport"
)

// discarder is a Handler that does nothing.
type discarder struct{}

func (discarder) OnMessage(*transport.Conn, transport.Op, []byte) {}
func (discarder) OnReadDone(*transport.Conn)                      {}
func (discarder) OnClose(*transport.Conn, *transport.CloseError)  {}

// counter is a Handler that counts messages.
type counter struct {
	discarder
	messages int
}

func (h *counter) OnMessage(*transport.Conn, transport.Op, []byte) { h.messages++ }

// BenchmarkParse parses one masked text message per round.
func BenchmarkParse(b *testing.B) {
	for _, size := range []int{125, 1 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			h := new(counter)
			f := transport.NewFeeder(h, nil, false)
			in := masked(fin|opText, string(bytes.Repeat([]byte("x"), size)))
			buf := make([]byte, len(in))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				copy(buf, in) // it is unmasked in place
				f.Feed(buf)
			}
			if h.messages != b.N {
				b.Errorf("%d messages in %d rounds", h.messages, b.N)
			}
		})
	}
}

// discardConn takes whatever is written, and has nothing to read until it is
// closed.
type discardConn struct {
	net.Conn
	once    sync.Once
	closed  chan struct{}
	written chan struct{}
}

func newDiscardConn() *discardConn {
	_, nc := net.Pipe()
	return &discardConn{Conn: nc, closed: make(chan struct{}), written: make(chan struct{}, 1)}
}

func (c *discardConn) Write(p []byte) (int, error) {
	select {
	case c.written <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (c *discardConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// BenchmarkSend queues a message and waits until it has been written.
func BenchmarkSend(b *testing.B) {
	for _, size := range []int{125, 1 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			nc := newDiscardConn()
			conns := make(chan *transport.Conn, 1)
			s := acceptServer(b, func(c *transport.Conn, _ *transport.Handshake) transport.Handler {
				conns <- c
				return discarder{}
			}, nil)
			s.ServeConn(&scriptConn{discardConn: nc, in: upgradeRequest("/")})
			c := <-conns
			<-nc.written
			payload := bytes.Repeat([]byte("x"), size)
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Send(transport.Binary, payload); err != nil {
					b.Fatal(err)
				}
				<-nc.written
			}
			c.Cut()
			shutdown(b, s)
		})
	}
}

// scriptConn reads in first, and then nothing until it is closed.
type scriptConn struct {
	*discardConn
	in []byte
}

func (c *scriptConn) Read(p []byte) (int, error) {
	if len(c.in) > 0 {
		n := copy(p, c.in)
		c.in = c.in[n:]
		return n, nil
	}
	<-c.closed
	return 0, io.EOF
}

// BenchmarkQueueFrame queues one shared frame on many connections, per member.
func BenchmarkQueueFrame(b *testing.B) {
	for _, members := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			fs := make([]*transport.Feeder, members)
			for i := range fs {
				fs[i] = transport.NewFeeder(discarder{}, nil, false)
			}
			shared, err := transport.NewFrame(transport.Text, bytes.Repeat([]byte("x"), 125))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			rounds := 0
			for b.Loop() {
				rounds++
				for _, f := range fs {
					if err := f.QueueFrameUnsent(shared); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rounds*members), "ns/member")
		})
	}
}

// BenchmarkIdleMemory opens 2,000 connections over loopback and reports what the
// server's side of each takes while nothing happens, stacks included. The far
// ends are bare sockets.
func BenchmarkIdleMemory(b *testing.B) {
	const n = 2000
	for b.Loop() {
		b.StopTimer()
		s := acceptServer(b, func(*transport.Conn, *transport.Handshake) transport.Handler { return discarder{} }, nil)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		peers := make([]net.Conn, n)
		open := func(i int) {
			if peers[i], err = net.Dial("tcp", l.Addr().String()); err != nil {
				b.Fatal(err)
			}
			if _, err := peers[i].Write(upgradeRequest("/")); err != nil {
				b.Fatal(err)
			}
			var buf [512]byte
			if _, err := peers[i].Read(buf[:]); err != nil {
				b.Fatal(err)
			}
		}
		// What a bare socket of the runtime takes is not the server's.
		before := inUse()
		b.StartTimer()
		for i := range n {
			open(i)
		}
		b.StopTimer()
		for s.Stats().Conns < n {
			wait(b)
		}
		after := inUse()
		b.ReportMetric(float64(after-before)/n, "B/conn")
		for _, nc := range peers {
			_ = nc.Close()
		}
		shutdown(b, s)
		if err := <-served; err == nil {
			b.Error("Serve returned no error")
		}
		b.StartTimer()
	}
}

// inUse returns how much memory the live heap and the stacks take.
func inUse() uint64 {
	heap := liveHeap()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return heap + m.StackInuse
}

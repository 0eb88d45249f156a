package actor_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/codec"
)

// sink is the server's end of a connection whose peer has said hello, takes
// whatever it is sent at no cost, and says nothing until it hangs up.
type sink struct {
	hello  string
	over   chan struct{}
	once   sync.Once
	closed *atomic.Pointer[chan struct{}] // writes wait for it, if it is there
}

func newSink(closed *atomic.Pointer[chan struct{}]) *sink {
	return &sink{hello: rawUpgrade, over: make(chan struct{}), closed: closed}
}

func (s *sink) Read(b []byte) (int, error) {
	if n := copy(b, s.hello); n > 0 {
		s.hello = s.hello[n:]
		return n, nil
	}
	<-s.over
	return 0, io.EOF
}

func (s *sink) Write(b []byte) (int, error) {
	if s.closed != nil {
		if gate := s.closed.Load(); gate != nil {
			<-*gate
		}
	}
	return len(b), nil
}

func (s *sink) Close() error                     { s.once.Do(func() { close(s.over) }); return nil }
func (s *sink) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *sink) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (s *sink) SetDeadline(time.Time) error      { return nil }
func (s *sink) SetReadDeadline(time.Time) error  { return nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// crowd is an engine with connections to sinks.
type crowd struct {
	e       *actor.Engine
	opened  chan actor.WsSender
	closed  atomic.Pointer[chan struct{}]
	sinks   []*sink
	senders []actor.WsSender
}

func newCrowd(b *testing.B, n int) *crowd {
	b.Helper()
	c := new(crowd)
	opened := make(chan actor.WsSender, n)
	opts := &actor.Options{OnEvent: func(ev actor.Event) {
		if ev, ok := ev.(actor.ConnOpened); ok {
			opened <- ev.Sender
		}
	}}
	opts.Transport.MaxQueueBytes, opts.Transport.MaxQueueFrames = -1, -1
	opts.Transport.PingInterval, opts.Transport.WriteTimeout = -1, -1
	e, err := actor.New(opts)
	if err != nil {
		b.Fatal(err)
	}
	c.e = e
	c.opened = opened
	for range n {
		c.connect(rawUpgrade)
	}
	b.Cleanup(func() {
		c.hangUp()
		if err := e.Shutdown(context.Background()); err != nil {
			b.Error(err)
		}
	})
	return c
}

func (c *crowd) connect(hello string) {
	s := newSink(&c.closed)
	s.hello = hello
	c.e.ServeConn(s)
	c.sinks = append(c.sinks, s)
	c.senders = append(c.senders, <-c.opened)
}

func (c *crowd) hangUp() {
	for _, s := range c.sinks {
		_ = s.Close()
	}
}

// drain waits until everything has been written.
func (c *crowd) drain() {
	for _, s := range c.senders {
		for s.Buffered() > 0 {
			runtime.Gosched()
		}
	}
}

// hold has all writers wait; the function lets them go on and drains.
func (c *crowd) hold() (release func()) {
	gate := make(chan struct{})
	c.closed.Store(&gate)
	for _, s := range c.senders {
		_ = s.Send("held")
	}
	return func() {
		c.closed.Store(nil)
		close(gate)
		c.drain()
	}
}

// BenchmarkSend sends to one connection. While the writer is held a send is the
// queueing alone; otherwise it wakes the writer, too.
func BenchmarkSend(b *testing.B) {
	text := strings.Repeat("x", 128)
	data := []byte(text)
	type point struct {
		X int    `json:"x"`
		S string `json:"s"`
	}
	params := point{1, text}
	kinds := []struct {
		name string
		send func(actor.WsSender) error
	}{
		{"Text", func(s actor.WsSender) error { return s.Send(text) }},
		{"Binary", func(s actor.WsSender) error { return s.SendBinary(data) }},
		{"JSON", func(s actor.WsSender) error { return s.SendJSON(&params) }},
		{"Push", func(s actor.WsSender) error { return s.Push("moved", &params) }},
		{"engine", nil},
	}
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) {
			c := newCrowd(b, 1)
			s := c.senders[0]
			send := k.send
			if send == nil {
				pid := s.PID()
				send = func(actor.WsSender) error { c.e.Send(pid, actor.Text(text)); return nil }
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if err := send(s); err != nil {
					b.Fatal(err)
				}
				if n++; n%1024 == 0 { // or the queue only grows
					c.drain()
				}
			}
		})
	}
}

// adder is a service with a sender injected.
type adder struct{}

type addParams struct {
	A int `json:"a"`
	B int `json:"b"`
}

func (*adder) Add(from actor.WsSender, p addParams) (int, error) { return p.A + p.B, nil }

// BenchmarkCall makes calls through the codec, without a connection's socket.
func BenchmarkCall(b *testing.B) {
	c := newCrowd(b, 1)
	check(b, c.e.Register(&adder{}, actor.Prefix("reflect")))
	check(b, actor.Handle(c.e, "handle.add", func(_ context.Context, _ actor.WsSender, p addParams) (int, error) { return p.A + p.B, nil }))
	senders := map[codec.Codec]actor.WsSender{codec.JSON(nil): c.senders[0]}
	c.connect(strings.Replace(rawUpgrade, "\r\n\r\n", "\r\nSec-WebSocket-Protocol: "+codec.SubprotocolMsgpack+"\r\n\r\n", 1))
	senders[codec.Msgpack(nil)] = c.senders[1]
	for cd, s := range senders {
		for _, how := range []string{"reflect", "handle"} {
			id, err := cd.AppendValue(nil, 7)
			check(b, err)
			msg, err := cd.AppendRequest(nil, id, how+".add", addParams{1, 2})
			check(b, err)
			b.Run(cd.Subprotocol()+"/"+how, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if out, err := c.e.HandleMessage(context.Background(), s, msg); err != nil || len(out) == 0 {
						b.Fatal(string(out), err)
					}
				}
			})
		}
	}
}

// BenchmarkBroadcast broadcasts to the members of one room. Under queue the
// writers are held, so that it is the fan-out alone; under write each member is
// written to.
func BenchmarkBroadcast(b *testing.B) {
	params := map[string]string{"text": strings.Repeat("x", 100)}
	for _, members := range []int{100, 1_000, 10_000} {
		for _, mode := range []string{"queue", "write"} {
			b.Run(fmt.Sprintf("%s/%d", mode, members), func(b *testing.B) {
				c := newCrowd(b, members)
				r := c.e.Room("r")
				for _, s := range c.senders {
					check(b, r.Join(s))
				}
				release := func() {}
				if mode == "queue" {
					release = c.hold()
				}
				done := make(chan struct{})
				b.ReportAllocs()
				n := 0
				for b.Loop() {
					check(b, r.Broadcast("said", params))
					r.Do(func() { done <- struct{}{} })
					<-done
					if n++; n%128 == 0 { // or the queues only grow
						b.StopTimer()
						if mode == "queue" {
							release()
							release = c.hold()
						} else {
							c.drain()
						}
						b.StartTimer()
					}
				}
				release()
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*members), "ns/member")
			})
		}
	}
}

// BenchmarkConnections opens and closes 100,000 connections.
func BenchmarkConnections(b *testing.B) {
	n := 100_000
	if testing.Short() {
		n = 10_000
	}
	var memory uint64
	for b.Loop() {
		before := heapInUse()
		opened, closed := make(chan struct{}, n), make(chan struct{}, n)
		e, err := actor.New(&actor.Options{OnEvent: func(ev actor.Event) {
			switch ev.(type) {
			case actor.ConnOpened:
				opened <- struct{}{}
			case actor.ConnClosed:
				closed <- struct{}{}
			}
		}})
		check(b, err)
		sinks := make([]*sink, n)
		for i := range sinks {
			sinks[i] = newSink(nil)
			e.ServeConn(sinks[i])
		}
		for range sinks {
			<-opened
		}
		b.StopTimer()
		memory = (heapInUse() - before) / uint64(n)
		b.StartTimer()
		for _, s := range sinks {
			_ = s.Close()
		}
		for range sinks {
			<-closed
		}
		check(b, e.Shutdown(context.Background()))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/conn")
	b.ReportMetric(float64(memory), "heap-B/conn")
}

// BenchmarkSpawnStop spawns an actor and stops it.
func BenchmarkSpawnStop(b *testing.B) {
	e, _ := benchEngine(b)
	p := receive(func(*actor.Context) {})
	b.ReportAllocs()
	for b.Loop() {
		pid, err := e.Spawn(p, "a")
		check(b, err)
		check(b, e.Stop(context.Background(), pid))
	}
}

// BenchmarkActorSend sends to an actor, a thousand messages at a time.
func BenchmarkActorSend(b *testing.B) {
	e, _ := benchEngine(b)
	done := make(chan struct{})
	pid := spawnActor(b, e, "a", func(c *actor.Context) {
		if _, ok := c.Message().(chan struct{}); ok {
			done <- struct{}{}
		}
	})
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		e.Send(pid, "x")
		if n++; n%1000 == 0 {
			e.Send(pid, done)
			<-done
		}
	}
}

// BenchmarkAsk asks an actor.
func BenchmarkAsk(b *testing.B) {
	e, _ := benchEngine(b)
	pid := spawnActor(b, e, "a", func(c *actor.Context) {
		if c.Sender() != nil {
			c.Respond("answer")
		}
	})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Ask(context.Background(), pid, "question"); err != nil {
			b.Fatal(err)
		}
	}
}

func benchEngine(b *testing.B) (*actor.Engine, error) {
	b.Helper()
	e, err := actor.New(&actor.Options{OnEvent: func(actor.Event) {}})
	check(b, err)
	b.Cleanup(func() { shutdown(b, e) })
	return e, err
}

package transport_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/transport"
)

// pair returns a connection over TCP, or in memory, and what its ends are told.
func pair(t *testing.T, tcp bool, o *transport.Options) (server, client *transport.Conn, sr, cr *recorder) {
	t.Helper()
	sr, cr = newRecorder(), newRecorder()
	if !tcp {
		server, client = transport.Pipe(sr, cr, o)
		return server, client, sr, cr
	}
	conns := make(chan *transport.Conn, 1)
	s := acceptServer(t, func(c *transport.Conn, _ *transport.Handshake) transport.Handler {
		conns <- c
		return sr
	}, o)
	client, err := (&transport.Dialer{Options: o}).Dial(t.Context(), "ws://"+listenTCP(t, s)+"/", cr)
	if err != nil {
		t.Fatal(err)
	}
	return <-conns, client, sr, cr
}

// Verify that what each of many goroutines sends, by whatever call, arrives in
// its order, in both directions at once.
func TestOrder(t *testing.T) {
	const senders, each = 8, 300
	opts := &transport.Options{MaxQueueBytes: -1, MaxQueueFrames: -1}
	send := func(t *testing.T, wg *sync.WaitGroup, c *transport.Conn) {
		for sender := range senders {
			wg.Go(func() {
				for i := range each {
					m := fmt.Sprintf("%d %d %s", sender, i, strings.Repeat("x", i%200*sender))
					var err error
					switch (i + sender) % 4 {
					case 0:
						err = c.SendText(m)
					case 1:
						err = c.Send(transport.Binary, []byte(m))
					case 2:
						err = c.Queue(transport.Text, []byte(m))
					case 3:
						var f *transport.Frame
						if f, err = transport.NewFrame(transport.Binary, []byte(m)); err == nil {
							err = c.QueueFrame(f)
						}
					}
					if err != nil {
						t.Errorf("message %d of sender %d: %v", i, sender, err)
					}
				}
				c.Flush()
			})
		}
	}
	check := func(t *testing.T, msgs []message) {
		t.Helper()
		var next [senders]int
		for _, m := range msgs {
			var sender, i int
			if _, err := fmt.Sscan(m.Data, &sender, &i); err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("%d %d %s", sender, next[sender], strings.Repeat("x", next[sender]%200*sender)); m.Data != want {
				t.Fatalf("sender %d: got %.20q, want %.20q", sender, m.Data, want)
			}
			next[sender]++
		}
	}
	for name, tcp := range map[string]bool{"TCP": true, "memory": false} {
		t.Run(name, func(t *testing.T) {
			s, c, sr, cr := pair(t, tcp, opts)
			var wg sync.WaitGroup
			send(t, &wg, s)
			send(t, &wg, c)
			wg.Wait()
			check(t, sr.wait(t, senders*each))
			check(t, cr.wait(t, senders*each))
			c.Close(1000, "")
			sr.end(t)
			cr.end(t)
		})
	}
}

// countingConn counts the writes that go through it.
type countingConn struct {
	net.Conn
	writes atomic.Int32
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// Verify that messages which are queued, and those which gather while a write
// is under way, leave in one write.
func TestOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec, conns := newRecorder(), make(chan *transport.Conn, 1)
		s := acceptServer(t, func(c *transport.Conn, _ *transport.Handshake) transport.Handler {
			conns <- c
			return rec
		}, nil)
		near, far := net.Pipe()
		counted := &countingConn{Conn: far}
		s.ServeConn(counted)
		p := &peer{t: t, nc: near, r: bufio.NewReader(near)}
		p.upgrade()
		c := <-conns
		before := counted.writes.Load()
		shared, _ := transport.NewFrame(transport.Text, []byte("shared"))
		for range 100 {
			_ = c.Queue(transport.Text, []byte("queued"))
			_ = c.QueueFrame(shared)
		}
		synctest.Wait()
		if n := counted.writes.Load() - before; n != 0 {
			t.Errorf("%d writes before Flush", n)
		}
		c.Flush()
		synctest.Wait() // the peer does not read: that write is under way
		for range 100 {
			_ = c.SendText("sent")
			_ = c.SendFrames([]*transport.Frame{shared, shared})
		}
		p.listen()
		synctest.Wait()
		if n := counted.writes.Load() - before; n != 2 {
			t.Errorf("%d writes, want 2", n)
		}
		if n := len(p.frames()); n != 500 {
			t.Errorf("%d frames, want 500", n)
		}
		if st := s.Stats(); st.Writes != 2 || st.FramesOut != 500 {
			t.Errorf("%+v", st)
		}
		hangUp(t, s, p)
		rec.end(t)
	})
}

// Verify that the replies to the messages of one read can leave in one write,
// by way of OnReadDone.
func TestRepliesOfOneRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &batchEcho{recorder: newRecorder()}
		h.onMessage = func(c *transport.Conn, op transport.Op, p []byte) { _ = c.Queue(op, p) }
		s := newServer(t, h, nil)
		p := dialPeer(t, s).listen()
		var in []byte
		for i := range 50 {
			in = append(in, masked(fin|opText, fmt.Sprint(i))...)
		}
		p.write(in)
		synctest.Wait()
		if n := len(p.frames()); n != 50 {
			t.Errorf("%d frames, want 50", n)
		}
		if st := s.Stats(); st.Writes != 1 || h.reads != 1 {
			t.Errorf("%d writes for %d reads, want 1 for 1", st.Writes, h.reads)
		}
		hangUp(t, s, p)
		h.end(t)
	})
}

type batchEcho struct{ *recorder }

func (h *batchEcho) OnReadDone(c *transport.Conn) {
	h.recorder.OnReadDone(c)
	c.Flush()
}

// Verify that a Frame arrives with the same bytes over many connections and is
// not changed by any of them, the masking of the client side included.
func TestSharedFrame(t *testing.T) {
	const n = 30
	payload := strings.Repeat("shared by many, ", 500)
	f, err := transport.NewFrame(transport.Text, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	if f.Op() != transport.Text || f.Len() != len(payload) {
		t.Errorf("%v frame of %d bytes", f.Op(), f.Len())
	}
	before := bytes.Clone(transport.FrameBytes(f))
	var wg sync.WaitGroup
	for i := range n {
		s, c, sr, cr := pair(t, i%10 == 0, nil)
		for _, conn := range []*transport.Conn{s, c} {
			wg.Go(func() {
				for range 3 {
					if err := conn.SendFrames([]*transport.Frame{f, f}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Go(func() {
			for _, rec := range []*recorder{sr, cr} {
				for _, m := range rec.wait(t, 6) {
					if m != text(payload) {
						t.Error("another text arrived")
					}
				}
			}
			c.Close(1000, "")
			sr.end(t)
			cr.end(t)
		})
	}
	wg.Wait()
	if !bytes.Equal(transport.FrameBytes(f), before) {
		t.Error("the frame was changed")
	}
}

// Verify that SendFrames stops at the first that fails, and that those before
// it go out.
func TestSendFramesStops(t *testing.T) {
	for name, client := range map[string]bool{"server": false, "client": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sr, cr := newRecorder(), newRecorder()
				from, to := transport.Pipe(sr, cr, &transport.Options{MaxQueueBytes: 100})
				got := cr
				if client {
					from, to, got = to, from, sr
				}
				small, _ := transport.NewFrame(transport.Text, []byte("small"))
				large, _ := transport.NewFrame(transport.Text, make([]byte, 200))
				if err := from.SendFrames([]*transport.Frame{small, large, small}); !errors.Is(err, transport.ErrTooLarge) {
					t.Errorf("got %v", err)
				}
				synctest.Wait()
				if diff := cmp.Diff([]message{text("small")}, got.messages()); diff != "" {
					t.Error(diff)
				}
				if err := from.SendFrames(nil); err != nil {
					t.Error(err)
				}
				to.Close(1000, "")
				sr.end(t)
				cr.end(t)
			})
		})
	}
}

// Verify that Close may be called from everywhere and any number of times, that
// the first call counts, and that OnClose comes exactly once.
func TestCloseFromEverywhere(t *testing.T) {
	for name, tcp := range map[string]bool{"TCP": true, "memory": false} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				s, c, sr, cr := pair(t, tcp, nil)
				var wg sync.WaitGroup
				for i := range 8 {
					wg.Go(func() { s.Close(4000+i, "") })
					wg.Go(func() { c.Close(4100+i, "") })
				}
				wg.Wait()
				for _, rec := range []*recorder{sr, cr} {
					if err := rec.end(t); err.Code < 4000 || err.Code > 4107 {
						t.Errorf("OnClose with %v", err)
					}
				}
			}
		})
	}
}

// Verify that a handler may close from inside its calls, and gets nothing more.
func TestCloseInHandler(t *testing.T) {
	for name, closeIt := range map[string]func(c *transport.Conn){
		"Close": func(c *transport.Conn) { c.Close(4001, "") },
		"Cut":   (*transport.Conn).Cut,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec, n := newRecorder(), 0
				rec.onMessage = func(c *transport.Conn, _ transport.Op, _ []byte) {
					n++
					closeIt(c)
				}
				s := newServer(t, rec, nil)
				p := dialPeer(t, s).listen()
				p.write(cat(masked(fin|opText, "a"), masked(fin|opText, "b"), masked(opText, "c")))
				synctest.Wait()
				if n != 1 {
					t.Errorf("%d messages, want 1", n)
				}
				hangUp(t, s, p)
				rec.end(t)
			})
		})
	}
}

// Verify that every way to use and to end a connection may race with every
// other, and that all of it comes to an end.
func TestRaces(t *testing.T) {
	var accepted atomic.Int32
	var recs sync.Map
	s := acceptServer(t, func(c *transport.Conn, _ *transport.Handshake) transport.Handler {
		rec := newEcho()
		recs.Store(accepted.Add(1), rec)
		return rec
	}, &transport.Options{MaxQueueFrames: 50})
	addr := listenTCP(t, s)
	shared, _ := transport.NewFrame(transport.Binary, []byte("shared"))
	var wg sync.WaitGroup
	for i := range 60 {
		rec := newRecorder()
		c, err := transport.Dial(t.Context(), "ws://"+addr+"/", rec)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			for c.SendText("text") == nil {
			}
		})
		wg.Go(func() {
			for c.SendFrames([]*transport.Frame{shared}) == nil {
				c.Buffered()
			}
		})
		wg.Go(func() {
			for c.Queue(transport.Binary, []byte("binary")) == nil {
				c.Pause()
				c.Flush()
				c.Resume()
			}
		})
		wg.Go(func() {
			rec.waitAny(5)
			switch i % 4 {
			case 0:
				c.Close(1000, "")
			case 1:
				c.Cut()
			case 2:
				c.Close(1000, "")
				c.Cut()
			case 3: // Shutdown will do, or a queue that is full
			}
		})
		wg.Go(func() { rec.end(t) })
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	wg.Go(func() {
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	recs.Range(func(_, rec any) bool {
		rec.(*recorder).end(t)
		return true
	})
	if st := s.Stats(); st.Conns != 0 || st.Accepted != 60 {
		t.Errorf("%+v", st)
	}
}

// waitAny waits for n messages or the end.
func (r *recorder) waitAny(n int) {
	for {
		r.mu.Lock()
		got, change, cause := len(r.msgs), r.change, r.cause
		r.mu.Unlock()
		if got >= n || cause != nil {
			return
		}
		<-change
	}
}

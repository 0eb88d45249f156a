package transport_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/transport"
)

func TestMessageLimits(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	opts := &transport.Options{MaxMessageBytes: 1000, MaxFragments: 4}
	fragments := func(n int) (b []byte) {
		b = masked(opText, "")
		for range n - 2 {
			b = append(b, masked(opCont, "")...)
		}
		return append(b, masked(fin|opCont, "")...)
	}
	tests := []struct {
		name string
		in   []byte
		opts *transport.Options
		want []message
		code int
	}{
		{name: "one frame at the limit", in: masked(fin|opText, x(1000)), want: []message{text(x(1000))}},
		{name: "one frame above", in: masked(fin|opText, x(1001)), code: 1009},
		{name: "the header of one above is enough", in: masked(fin|opText, x(1001))[:8], code: 1009},
		{name: "fragments at the limit", in: cat(masked(opText, x(500)), masked(opCont, x(499)), masked(fin|opCont, "x")), want: []message{text(x(1000))}},
		{name: "fragments above", in: cat(masked(opText, x(500)), masked(opCont, x(499)), masked(fin|opCont, "xx")), code: 1009},
		{name: "an empty fragment at the limit", in: cat(masked(opText, x(1000)), masked(fin|opCont, "")), want: []message{text(x(1000))}},
		{name: "first fragment above", in: masked(opText, x(1001))[:8], code: 1009},
		{name: "each message for itself", in: cat(masked(fin|opText, x(1000)), masked(fin|opText, x(1000))), want: []message{text(x(1000)), text(x(1000))}},
		{name: "pings do not count", in: cat(masked(opText, x(1000)), masked(fin|opPing, x(125)), masked(fin|opCont, "")), want: []message{text(x(1000))}},
		{name: "fragments at their limit", in: fragments(4), want: []message{text("")}},
		{name: "fragments above their limit", in: fragments(5), code: 1008},
		{name: "fragments of each message for itself", in: cat(fragments(4), fragments(4), fragments(3)), want: []message{text(""), text(""), text("")}},
		{name: "no fragmentation", in: cat(masked(opText, "a"), masked(fin|opCont, "b")), opts: &transport.Options{MaxFragments: 1}, code: 1008},
		{name: "no limits", in: cat(fragments(3000), masked(fin|opText, x(200_000))), opts: &transport.Options{MaxMessageBytes: -1, MaxFragments: -1},
			want: []message{text(""), text(x(200_000))}},
		{name: "control frames at their limit", in: []byte(strings.Repeat(string(masked(fin|opPong, "")), 64))},
		{name: "control frames above", in: []byte(strings.Repeat(string(masked(fin|opPong, "")), 65)), code: 1008},
		{name: "control frames without limit", in: []byte(strings.Repeat(string(masked(fin|opPong, "")), 1000)), opts: &transport.Options{MaxControlFrames: -1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.opts == nil {
				tt.opts = opts
			}
			got := exchange(t, tt.opts, tt.in)
			if diff := cmp.Diff(tt.want, got.Messages); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got.Code != tt.code || tt.code != 0 && (len(got.Replies) != 1 || got.Replies[0].closeCode() != tt.code) {
				t.Errorf("OnClose with %d, replies %v; want %d", got.Code, got.Replies, tt.code)
			}
		})
	}
}

// inBubble runs f with a server, one connection of it and the raw client at its
// other end, in virtual time. The peer does not listen yet.
func inBubble(t *testing.T, o *transport.Options, f func(t *testing.T, s *transport.Server, c *transport.Conn, p *peer, rec *recorder)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		conns := make(chan *transport.Conn, 1)
		s := acceptServer(t, func(c *transport.Conn, _ *transport.Handshake) transport.Handler {
			conns <- c
			return rec
		}, o)
		p := dialPeer(t, s)
		f(t, s, <-conns, p, rec)
		hangUp(t, s, p)
		rec.end(t)
	})
}

// slack is how late the wheel may be for a limit (see the package comment).
func slack(shortest time.Duration) time.Duration {
	return min(shortest/16, 250*time.Millisecond) + time.Millisecond
}

// within fails the test if d is not a limit or a little more.
func within(t *testing.T, what string, d, limit, late time.Duration) {
	t.Helper()
	if d < limit-late || d > limit+2*late {
		t.Errorf("%s after %v, want %v", what, d, limit)
	}
}

// Verify that control frames above the limit are a matter of a second, not of
// the connection's life.
func TestControlFramesPerSecond(t *testing.T) {
	inBubble(t, &transport.Options{MaxControlFrames: 4}, func(t *testing.T, _ *transport.Server, _ *transport.Conn, p *peer, rec *recorder) {
		p.listen()
		for range 20 {
			for range 4 {
				p.write(masked(fin|opPong, ""))
			}
			time.Sleep(1100 * time.Millisecond)
		}
		if err := rec.closeError(); err != nil {
			t.Fatalf("closed with %v", err)
		}
		for range 10 {
			p.write(masked(fin|opPing, ""))
		}
		synctest.Wait()
		if err := rec.closeError(); err == nil || err.Code != 1008 {
			t.Fatalf("closed with %v, want 1008", err)
		}
	})
}

func TestFrameTimeout(t *testing.T) {
	const limit = 3 * time.Second
	whole := masked(fin|opText, "Hello")
	for name, begun := range map[string][]byte{
		"one byte":            whole[:1],
		"half a header":       whole[:4],
		"a header":            whole[:6],
		"all but a byte":      whole[:len(whole)-1],
		"after a message":     cat(whole, whole[:3]),
		"inside a fragment":   cat(masked(opText, "a"), masked(fin|opCont, "bc")[:7]),
		"inside a ping":       masked(fin|opPing, "abc")[:7],
		"behind an open text": cat(masked(opText, "a"), masked(fin|opPing, "abc")[:1]),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, &transport.Options{FrameTimeout: limit, CloseTimeout: 2 * time.Second}, func(t *testing.T, s *transport.Server, _ *transport.Conn, p *peer, rec *recorder) {
				time.Sleep(10 * time.Second) // nobody looks at it so soon
				start := time.Now()
				p.write(begun)
				if f := p.read(); f.closeCode() != 1008 {
					t.Errorf("got %v, want a close frame with 1008", f)
				}
				within(t, "closed", time.Since(start), limit, slack(2*time.Second))
				if err := rec.end(t); err.Code != 1008 || !err.Remote {
					t.Errorf("OnClose with %#v", err)
				}
				within(t, "ended", time.Since(start), limit+2*time.Second, slack(2*time.Second)*2)
				if st := s.Stats(); st.Violations != 1 {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

// Verify that FrameTimeout is a matter of one frame: a stream that is cut
// inside a header at every read, and a message whose fragments come slowly, are
// none of its business.
func TestFrameTimeoutStartsAnew(t *testing.T) {
	one := masked(fin|opText, "x")
	for name, feed := range map[string][][]byte{
		"reads end in a header": {one[:3], cat(one[3:], one[:3])},
		"reads end in a frame":  {one[:6], cat(one[6:], one[:6])},
		"fragments":             {masked(opText, "a"), masked(opCont, "b")},
		"pings in a message":    {masked(opText, "a"), masked(fin|opPing, "b")},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, &transport.Options{FrameTimeout: 2 * time.Second}, func(t *testing.T, _ *transport.Server, _ *transport.Conn, p *peer, rec *recorder) {
				p.listen()
				p.write(feed[0])
				for range 20 {
					time.Sleep(time.Second)
					p.write(feed[1])
				}
				synctest.Wait()
				if err := rec.closeError(); err != nil {
					t.Errorf("closed with %v", err)
				}
			})
		})
	}
}

// Verify that a peer which takes no byte is cut after WriteTimeout.
func TestWriteTimeout(t *testing.T) {
	inBubble(t, &transport.Options{WriteTimeout: 3 * time.Second}, func(t *testing.T, s *transport.Server, c *transport.Conn, _ *peer, rec *recorder) {
		time.Sleep(10 * time.Second) // nobody looks at it so soon
		start := time.Now()
		for range 3 {
			if err := c.SendText("nobody reads this"); err != nil {
				t.Fatal(err)
			}
		}
		err := rec.end(t)
		within(t, "cut", time.Since(start), 3*time.Second, slack(3*time.Second))
		if err.Code != 1006 || err.Err == nil || err.Unsent == 0 {
			t.Errorf("OnClose with %#v", err)
		}
		if err := c.SendText("x"); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("send: %v", err)
		}
		synctest.Wait() // the writer sees its error a moment later
		if st := s.Stats(); st.Timeouts != 1 || st.DroppedClosed != 4 {
			t.Errorf("%+v", st)
		}
	})
}

// Verify that a slow peer, which takes something now and then, is not cut.
func TestSlowReaderLives(t *testing.T) {
	inBubble(t, &transport.Options{WriteTimeout: 3 * time.Second, PingInterval: -1}, func(t *testing.T, _ *transport.Server, c *transport.Conn, p *peer, rec *recorder) {
		for i := range 20 {
			if err := c.SendText(fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			if f := p.read(); f.Payload != fmt.Sprint(i) {
				t.Errorf("got %v", f)
			}
		}
		if err := rec.closeError(); err != nil {
			t.Errorf("closed with %v", err)
		}
	})
}

// Verify that WriteTimeout is a matter of progress, not of how long it takes
// until nothing waits any more.
func TestSlowReaderOfMuch(t *testing.T) {
	inBubble(t, &transport.Options{WriteTimeout: 3 * time.Second, PingInterval: -1}, func(t *testing.T, _ *transport.Server, c *transport.Conn, p *peer, rec *recorder) {
		const size = 400_000
		if err := c.Send(transport.Binary, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		for left := size + 10; left > 0; {
			time.Sleep(2 * time.Second)
			n, err := io.ReadFull(p.r, make([]byte, min(left, 16<<10)))
			if left -= n; err != nil {
				t.Fatalf("%v with %d bytes left, OnClose with %v", err, left, rec.closeError())
			}
			synctest.Wait()
			if b := c.Buffered(); b > left {
				t.Fatalf("%d bytes buffered of %d that are left", b, left)
			}
		}
	})
}

// halfConn is a net.Pipe that can end one direction, as TCP can; to the peer it
// does not show.
type halfConn struct{ net.Conn }

func (halfConn) CloseWrite() error { return nil }

// Verify that a peer which does not hang up after the close handshake is not
// waited for longer than a second.
func TestLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		s := newServer(t, rec, &transport.Options{CloseTimeout: time.Minute, PongTimeout: time.Minute, FrameTimeout: time.Minute})
		near, far := net.Pipe()
		s.ServeConn(halfConn{far})
		p := &peer{t: t, nc: near, r: bufio.NewReader(near)}
		p.upgrade()
		p.listen()
		time.Sleep(10 * time.Second) // nobody looks at it so soon
		p.write(masked(fin|opClose, closing(1000, "")))
		start := time.Now()
		rec.end(t)
		for s.Stats().Conns > 0 {
			p.write([]byte("go on"))
			time.Sleep(10 * time.Millisecond)
		}
		within(t, "cut", time.Since(start), time.Second, 2*slack(time.Minute))
		_ = near.Close()
	})
}

// Verify that what Accept sends has all of WriteTimeout, on a server that had
// no connection for long.
func TestWriteTimeoutAfterRest(t *testing.T) {
	for name, act := range map[string]func(c *transport.Conn){
		"send":  func(c *transport.Conn) { _ = c.SendText("welcome") },
		"close": func(c *transport.Conn) { _ = c.SendText("welcome"); c.Close(4001, "full") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := newRecorder()
				s := acceptServer(t, func(c *transport.Conn, _ *transport.Handshake) transport.Handler {
					act(c)
					return rec
				}, nil)
				first := dialPeer(t, s)
				synctest.Wait()
				_ = first.nc.Close()
				<-rec.closed
				time.Sleep(time.Hour)
				rec = newRecorder()
				p := dialPeer(t, s)
				time.Sleep(2 * time.Second)
				if f := p.read(); f.Payload != "welcome" {
					t.Errorf("got %v", f)
				}
				hangUp(t, s, p)
				rec.end(t)
			})
		})
	}
}

// Verify that a silent peer is sent a ping after PingInterval ±10 %, and cut
// when PongTimeout brings nothing.
func TestPing(t *testing.T) {
	const interval, timeout = 20 * time.Second, 8 * time.Second
	spread := make(map[time.Duration]bool)
	for range 30 {
		inBubble(t, &transport.Options{PingInterval: interval, PongTimeout: timeout}, func(t *testing.T, s *transport.Server, _ *transport.Conn, p *peer, rec *recorder) {
			start := time.Now()
			if f := p.read(); f != (frame{fin | opPing, ""}) {
				t.Fatalf("got %v, want a ping", f)
			}
			d := time.Since(start)
			spread[d] = true
			if d < interval*9/10 || d > interval*11/10+2*slack(timeout) {
				t.Errorf("ping after %v", d)
			}
			start = time.Now()
			err := rec.end(t)
			within(t, "cut", time.Since(start), timeout, slack(timeout))
			if err.Code != 1006 || !err.Remote || err.Err == nil {
				t.Errorf("OnClose with %#v", err)
			}
			if st := s.Stats(); st.Pings != 1 || st.Timeouts != 1 || st.ClosedAbnormal != 1 {
				t.Errorf("%+v", st)
			}
		})
	}
	if len(spread) < 3 {
		t.Errorf("30 connections have only %d intervals", len(spread))
	}
}

// Verify that any byte from the peer counts as a sign of life, be it a pong or
// a small part of a message.
func TestLife(t *testing.T) {
	opts := &transport.Options{PingInterval: 4 * time.Second, PongTimeout: 2 * time.Second, FrameTimeout: -1, MessageTimeout: -1}
	long := masked(fin|opText, strings.Repeat("x", 60))
	t.Run("bytes", func(t *testing.T) {
		inBubble(t, opts, func(t *testing.T, s *transport.Server, _ *transport.Conn, p *peer, rec *recorder) {
			p.listen()
			for _, b := range bytewise(long) {
				p.write(b)
				time.Sleep(3 * time.Second)
			}
			if n := len(rec.messages()); n != 1 {
				t.Errorf("%d messages", n)
			}
			if n := s.Stats().Pings; n != 0 {
				t.Errorf("%d pings to a peer that was never silent", n)
			}
		})
	})
	t.Run("pongs", func(t *testing.T) {
		inBubble(t, opts, func(t *testing.T, s *transport.Server, _ *transport.Conn, p *peer, rec *recorder) {
			for range 20 {
				if f := p.read(); f.First != fin|opPing {
					t.Fatalf("got %v", f)
				}
				time.Sleep(time.Second)
				p.write(masked(fin|opPong, ""))
			}
			if err := rec.closeError(); err != nil {
				t.Errorf("closed with %v", err)
			}
		})
	})
	t.Run("something else than a pong", func(t *testing.T) {
		inBubble(t, opts, func(t *testing.T, s *transport.Server, _ *transport.Conn, p *peer, rec *recorder) {
			for range 20 {
				_ = p.read()
				p.write(masked(fin|opText, "no pong"))
			}
			if err := rec.closeError(); err != nil {
				t.Errorf("closed with %v", err)
			}
		})
	})
	t.Run("two of ours keep each other alive", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sr, cr := newRecorder(), newRecorder()
			s, _ := transport.Pipe(sr, cr, nil)
			time.Sleep(24 * time.Hour)
			if err := sr.closeError(); err != nil {
				t.Errorf("closed with %v", err)
			}
			s.Close(1000, "")
			sr.end(t)
			cr.end(t)
		})
	})
	t.Run("no pings", func(t *testing.T) {
		inBubble(t, &transport.Options{PingInterval: -1}, func(t *testing.T, s *transport.Server, _ *transport.Conn, p *peer, rec *recorder) {
			time.Sleep(24 * time.Hour)
			if err := rec.closeError(); err != nil || s.Stats().Pings != 0 {
				t.Errorf("closed with %v, %+v", err, s.Stats())
			}
		})
	})
}

// Verify that a peer which does not answer the close frame is cut after
// CloseTimeout, whatever else it says.
func TestCloseTimeout(t *testing.T) {
	for name, say := range map[string]func(p *peer){
		"silent":    func(*peer) {},
		"talkative": func(p *peer) { p.write(masked(fin|opText, "go on")) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, &transport.Options{CloseTimeout: 3 * time.Second}, func(t *testing.T, s *transport.Server, c *transport.Conn, p *peer, rec *recorder) {
				time.Sleep(10 * time.Second) // nobody looks at it so soon
				start := time.Now()
				c.Close(1000, "enough")
				p.listen()
				for range 100 {
					say(p)
					time.Sleep(20 * time.Millisecond)
				}
				err := rec.end(t)
				within(t, "cut", time.Since(start), 3*time.Second, slack(3*time.Second))
				if err.Code != 1000 || err.Remote {
					t.Errorf("OnClose with %#v", err)
				}
				if got := rec.messages(); got != nil {
					t.Errorf("got %v after Close", got)
				}
				if n := s.Stats().Timeouts; n != 1 {
					t.Errorf("%d timeouts, want 1", n)
				}
			})
		})
	}
	t.Run("does not read", func(t *testing.T) {
		inBubble(t, &transport.Options{CloseTimeout: 3 * time.Second}, func(t *testing.T, _ *transport.Server, c *transport.Conn, _ *peer, rec *recorder) {
			time.Sleep(10 * time.Second)
			start := time.Now()
			_ = c.SendText("x")
			c.Close(1000, "enough")
			rec.end(t)
			within(t, "cut", time.Since(start), 3*time.Second, slack(3*time.Second))
		})
	})
}

// Verify that Pause holds the peer back, that nobody is pinged or cut meanwhile,
// and that Resume goes on where it stopped.
func TestPause(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, s *transport.Server, c *transport.Conn, p *peer, rec *recorder) {
		p.listen()
		const n = 20
		written := make(chan int, n)
		c.Pause()
		go func() {
			defer close(written)
			for i := range n {
				p.write(masked(fin|opText, fmt.Sprint(i)))
				written <- i
			}
		}()
		time.Sleep(time.Hour)
		// The read that was waiting brings one more.
		if got := len(rec.messages()); got > 1 || len(written) > 2 {
			t.Errorf("%d messages handed over and %d taken from the peer while paused", got, len(written))
		}
		if st := s.Stats(); st.Pings != 0 || rec.closeError() != nil {
			t.Errorf("%d pings while paused, closed with %v", st.Pings, rec.closeError())
		}
		if err := c.SendText("still sending"); err != nil {
			t.Error(err)
		}
		c.Resume()
		synctest.Wait()
		got := rec.messages()
		if len(got) != n {
			t.Fatalf("%d messages, want %d", len(got), n)
		}
		for i, m := range got {
			if m != text(fmt.Sprint(i)) {
				t.Errorf("message %d is %v", i, m)
			}
		}
		if want := []frame{{fin | opText, "still sending"}}; cmp.Diff(want, p.frames()) != "" {
			t.Errorf("sent %v", p.frames())
		}
		for range 100 { // it may be called as one likes
			c.Pause()
			c.Resume()
			c.Resume()
		}
		p.write(masked(fin|opText, "last"))
		synctest.Wait()
		if got := rec.messages(); got[len(got)-1] != text("last") {
			t.Errorf("got %v", got[len(got)-1])
		}
	})
}

// Verify that the frame being received has FrameTimeout from Resume, and that
// this is not forgotten because nobody looked at the connection while it was
// paused.
func TestFrameTimeoutAfterPause(t *testing.T) {
	inBubble(t, &transport.Options{FrameTimeout: 2 * time.Second}, func(t *testing.T, _ *transport.Server, c *transport.Conn, p *peer, rec *recorder) {
		p.write(masked(fin|opText, "Hello")[:3])
		c.Pause()
		time.Sleep(time.Minute)
		if err := rec.closeError(); err != nil {
			t.Fatalf("closed with %v while paused", err)
		}
		start := time.Now()
		c.Resume()
		if f := p.read(); f.closeCode() != 1008 {
			t.Errorf("got %v", f)
		}
		within(t, "closed", time.Since(start), 2*time.Second, 2*slack(2*time.Second))
	})
}

// Verify that a paused connection can do the close handshake, from either call
// that begins it.
func TestCloseWhilePaused(t *testing.T) {
	for name, closeIt := range map[string]func(c *transport.Conn) int{
		"Close": func(c *transport.Conn) int { c.Close(4001, ""); return 4001 },
		"slow consumer": func(c *transport.Conn) int {
			for c.Queue(transport.Text, nil) == nil {
			}
			return 4508
		},
		"Cut": func(c *transport.Conn) int { c.Cut(); return 1006 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sr, cr := newRecorder(), newRecorder()
				s, c := transport.Pipe(sr, cr, nil)
				s.Pause()
				_ = c.SendText("taken by the read that was waiting")
				synctest.Wait() // now the reader stands still
				start := time.Now()
				code := closeIt(s)
				if err := sr.end(t); err.Code != code {
					t.Errorf("server: %v", err)
				}
				if err := cr.end(t); err.Code != code {
					t.Errorf("client: %v", err)
				}
				if d := time.Since(start); d != 0 {
					t.Errorf("took %v", d)
				}
			})
		})
	}
}

// Verify that a message must come whole within MessageTimeout, however its
// fragments and the pings between them are spread, and that each message has
// that time anew.
func TestMessageTimeout(t *testing.T) {
	const limit = 8 * time.Second
	opts := &transport.Options{MessageTimeout: limit}
	t.Run("late", func(t *testing.T) {
		inBubble(t, opts, func(t *testing.T, s *transport.Server, _ *transport.Conn, p *peer, rec *recorder) {
			p.listen()
			start := time.Now()
			p.write(masked(opText, "a"))
			for rec.closeError() == nil && time.Since(start) < 2*limit {
				time.Sleep(time.Second)
				p.write(masked(fin|opPing, ""))
				p.write(masked(opCont, "b"))
				synctest.Wait()
				if s.Stats().Violations > 0 {
					break
				}
			}
			within(t, "refused", time.Since(start), limit, slack(limit)+2*time.Second)
			if err := rec.end(t); err.Code != transport.ClosePolicyViolation {
				t.Errorf("closed with %v", err)
			}
		})
	})
	t.Run("anew", func(t *testing.T) {
		inBubble(t, opts, func(t *testing.T, _ *transport.Server, _ *transport.Conn, p *peer, rec *recorder) {
			p.listen()
			p.write(masked(opText, "a"))
			for range 10 {
				time.Sleep(limit / 2)
				p.write(cat(masked(fin|opCont, "b"), masked(opText, "a")))
			}
			synctest.Wait()
			if err := rec.closeError(); err != nil || len(rec.messages()) != 10 {
				t.Errorf("closed with %v after %d messages", err, len(rec.messages()))
			}
		})
	})
}

// Verify that a time in which the whole process has stood still is not held
// against a peer.
func TestStandstill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		s := acceptServer(t, func(*transport.Conn, *transport.Handshake) transport.Handler { return rec }, &transport.Options{FrameTimeout: 10 * time.Second})
		p := dialPeer(t, s)
		frame := masked(fin|opText, "whole")
		p.write(frame[:3])
		synctest.Wait()
		s.Standstill(time.Hour)
		time.Sleep(5 * time.Second)
		p.write(frame[3:])
		synctest.Wait()
		if diff := cmp.Diff([]message{text("whole")}, rec.messages()); diff != "" {
			t.Error(diff)
		}
		p.write(frame[:3])
		time.Sleep(11 * time.Second)
		if f := p.read(); f.closeCode() != 1008 {
			t.Errorf("%v instead of a close frame: there is no time any more", f)
		}
		p.nc.Close()
		rec.end(t)
	})
}

package transport_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/transport"
)

// TestSlowConsumer fills the queue of a peer that does not read, by bytes and
// by frames.
func TestSlowConsumer(t *testing.T) {
	shared, err := transport.NewFrame(transport.Binary, []byte("12345678"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		opts transport.Options
		send func(c *transport.Conn) error
		fit  int  // how many fit
		held bool // none of them is on its way
	}{
		{"bytes", transport.Options{MaxQueueBytes: 100}, func(c *transport.Conn) error { return c.SendText("12345678") }, 10, false},
		{"bytes, queued", transport.Options{MaxQueueBytes: 100}, func(c *transport.Conn) error { return c.Queue(transport.Text, []byte("12345678")) }, 10, true},
		{"bytes, shared", transport.Options{MaxQueueBytes: 105}, func(c *transport.Conn) error { return c.QueueFrame(shared) }, 10, true},
		{"frames", transport.Options{MaxQueueFrames: 7}, func(c *transport.Conn) error { return c.SendText("") }, 7, false},
		{"frames, shared", transport.Options{MaxQueueFrames: 7}, func(c *transport.Conn) error { return c.SendFrames([]*transport.Frame{shared}) }, 7, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, &tt.opts, func(t *testing.T, s *transport.Server, c *transport.Conn, p *peer, rec *recorder) {
				for i := range tt.fit {
					if err := tt.send(c); err != nil {
						t.Fatalf("message %d: %v", i, err)
					}
				}
				synctest.Wait()
				if err := tt.send(c); !errors.Is(err, transport.ErrSlowConsumer) {
					t.Fatalf("one more: %v, want ErrSlowConsumer", err)
				}
				if err := tt.send(c); !errors.Is(err, transport.ErrClosed) {
					t.Errorf("after that: %v, want ErrClosed", err)
				}
				synctest.Wait()
				if err := rec.closeError(); err != nil {
					t.Errorf("OnClose with %v before the close handshake", err)
				}
				// The peer comes back: it gets what was on its way, and the reason.
				p.listen()
				synctest.Wait()
				frames := p.frames()
				if diff := cmp.Diff(frame{fin | opClose, closing(4508, "slow_consumer")}, frames[len(frames)-1]); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				p.write(masked(fin|opClose, closing(4508, "")))
				err := rec.end(t)
				if err.Code != transport.CloseSlowConsumer || err.Remote || !errors.Is(err, transport.ErrSlowConsumer) {
					t.Errorf("OnClose with %#v", err)
				}
				st := s.Stats()
				delivered := len(frames) - 1
				if tt.held && delivered > 0 {
					t.Errorf("%d messages were kept for a peer that does not read", delivered)
				}
				if st.SlowConsumers != 1 || st.DroppedClosed != 1 || st.FramesOut != uint64(delivered) || st.DroppedSlow != uint64(tt.fit+1-delivered) {
					t.Errorf("%d delivered, %+v", delivered, st)
				}
				if st.ClosedOther != 1 {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

// Verify that a message which no queue could hold fails alone: the connection
// goes on.
func TestTooLarge(t *testing.T) {
	inBubble(t, &transport.Options{MaxQueueBytes: 100}, func(t *testing.T, s *transport.Server, c *transport.Conn, p *peer, rec *recorder) {
		p.listen()
		shared, err := transport.NewFrame(transport.Text, []byte(strings.Repeat("x", 99)))
		if err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"SendText":   c.SendText(strings.Repeat("x", 99)),
			"Send":       c.Send(transport.Binary, make([]byte, 1000)),
			"Queue":      c.Queue(transport.Binary, make([]byte, 99)),
			"QueueFrame": c.QueueFrame(shared),
		} {
			if !errors.Is(err, transport.ErrTooLarge) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := c.SendText(strings.Repeat("y", 98)); err != nil {
			t.Errorf("what just fits: %v", err)
		}
		synctest.Wait()
		if diff := cmp.Diff([]frame{{fin | opText, strings.Repeat("y", 98)}}, p.frames()); diff != "" {
			t.Error(diff)
		}
		if n := s.Stats().DroppedTooLarge; n != 4 {
			t.Errorf("%d dropped, want 4", n)
		}
	})
}

// Verify that Buffered counts what waits, frame headers included, and falls to
// nothing.
func TestBuffered(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, _ *transport.Server, c *transport.Conn, p *peer, _ *recorder) {
		want := 0
		check := func() {
			t.Helper()
			synctest.Wait()
			if n := c.Buffered(); n != want {
				t.Errorf("%d buffered, want %d", n, want)
			}
		}
		check()
		_ = c.Queue(transport.Text, []byte("12345"))
		want += 7
		check()
		shared, _ := transport.NewFrame(transport.Binary, make([]byte, 200))
		_ = c.QueueFrame(shared)
		want += 204
		check()
		_ = c.SendText("x")
		want += 3
		check() // the peer does not read
		p.listen()
		want = 0
		check()
		c.Cut()
		check()
	})
}

// Verify that queues of any size and mixture arrive whole and in order when the
// peer takes them in small pieces.
func TestLongQueue(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, s *transport.Server, c *transport.Conn, p *peer, _ *recorder) {
		shared, _ := transport.NewFrame(transport.Binary, []byte(strings.Repeat("s", 30_000)))
		var want []frame
		for i := range 60 {
			if i%3 == 0 {
				if err := c.QueueFrame(shared); err != nil {
					t.Fatal(err)
				}
				want = append(want, frame{fin | opBinary, strings.Repeat("s", 30_000)})
				continue
			}
			body := strings.Repeat(string(rune('a'+i%26)), i*i)
			if err := c.Queue(transport.Text, []byte(body)); err != nil {
				t.Fatal(err)
			}
			want = append(want, frame{fin | opText, body})
		}
		c.Flush()
		p.listen()
		synctest.Wait()
		if diff := cmp.Diff(want, p.frames()); diff != "" {
			t.Error(diff)
		}
		if st := s.Stats(); st.FramesOut != 60 || c.Buffered() != 0 {
			t.Errorf("%d buffered, %+v", c.Buffered(), st)
		}
	})
}

// Verify that the bounds are of what waits, not of what has been sent since the
// queue was empty the last time.
func TestQueueBoundsWhatWaits(t *testing.T) {
	opts := &transport.Options{MaxQueueBytes: 200, MaxQueueFrames: 4}
	inBubble(t, opts, func(t *testing.T, _ *transport.Server, c *transport.Conn, p *peer, _ *recorder) {
		body := strings.Repeat("x", 48) // 50 with its header
		for range 2 {
			if err := c.SendText(body); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		for i := range 100 { // there are always one or two
			if f := p.read(); f.Payload != body {
				t.Fatalf("got %v", f)
			}
			synctest.Wait()
			if err := c.SendText(body); err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
			if n := c.Buffered(); n != 100 {
				t.Fatalf("message %d: %d bytes buffered, want 100", i, n)
			}
		}
	})
}

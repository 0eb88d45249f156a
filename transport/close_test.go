package transport_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/transport"
)

// TestCloseCodes sends a close frame with each code there is.
func TestCloseCodes(t *testing.T) {
	allowed := func(code int) bool { // RFC 6455, section 7.4, and the IANA registry
		switch {
		case code >= 3000 && code <= 4999:
			return true
		case code == 1004 || code == 1005 || code == 1006:
			return false
		}
		return code >= 1000 && code <= 1014
	}
	for code := range 1 << 16 {
		payload := closing(code, "")
		got, sent := feedAll(t, masked(fin|opClose, payload))
		want := code
		if !allowed(code) {
			want = 1002
		}
		frames, _ := splitFrames(sent)
		if got.Code != want || len(frames) != 1 || frames[0].closeCode() != want {
			t.Fatalf("code %d: OnClose with %d, sent %v; want %d", code, got.Code, frames, want)
		}
		if want == code && frames[0].Payload != payload {
			t.Fatalf("code %d: answered with %q", code, frames[0].Payload)
		}
	}
}

func TestClosePayloads(t *testing.T) {
	tests := []struct {
		name    string
		payload string
		code    int
		reply   string // first bytes of the payload
	}{
		{"no code", "", transport.CloseNoStatus, ""},
		{"half a code", "\x03", 1002, closing(1002, "")},
		{"code", closing(1000, ""), 1000, closing(1000, "")},
		{"reason", closing(1001, "schön"), 1001, closing(1001, "schön")},
		{"longest reason", closing(4000, string(bytes.Repeat([]byte("x"), 123))), 4000, closing(4000, "xxx")},
		{"reason is not UTF-8", closing(1000, "\xff"), 1007, closing(1007, "")},
		{"reason ends in a rune", closing(1000, "\xe2\x82"), 1007, closing(1007, "")},
		{"reason has a surrogate", closing(1000, "\xed\xa0\x80"), 1007, closing(1007, "")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := exchange(t, nil, masked(fin|opClose, tt.payload))
			if got.Code != tt.code || got.Open {
				t.Errorf("OnClose with %d, socket open: %v", got.Code, got.Open)
			}
			if len(got.Replies) != 1 || got.Replies[0].First != fin|opClose ||
				!bytes.HasPrefix([]byte(got.Replies[0].Payload), []byte(tt.reply)) || tt.reply == "" && got.Replies[0].Payload != "" {
				t.Errorf("replies %v, want a close frame with %q", got.Replies, tt.reply)
			}
		})
	}
}

// Verify that nothing behind a close frame is looked at: no message, no ping,
// no breach.
func TestInputAfterClose(t *testing.T) {
	for name, after := range map[string][]byte{
		"message":      masked(fin|opText, "too late"),
		"ping":         masked(fin|opPing, "too late"),
		"second close": masked(fin|opClose, closing(1001, "")),
		"breach":       {0xff, 0xff, 0xff, 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			end := masked(fin|opClose, closing(4001, "bye"))
			want := outcome{Code: 4001, Replies: []frame{{fin | opClose, closing(4001, "bye")}}}
			if diff := cmp.Diff(want, exchange(t, nil, cat(end, after))); diff != "" {
				t.Errorf("in one read (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, exchange(t, nil, end, after)); diff != "" {
				t.Errorf("in two reads (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCloseHandshake closes from either side and looks at what both handlers
// are told.
func TestCloseHandshake(t *testing.T) {
	type end struct {
		Code   int
		Reason string
		Remote bool
	}
	tests := []struct {
		name           string
		close          func(server, client *transport.Conn)
		server, client end
	}{
		{"server closes", func(s, _ *transport.Conn) { s.Close(1000, "done") }, end{1000, "done", false}, end{1000, "done", true}},
		{"client closes", func(_, c *transport.Conn) { c.Close(4002, "done") }, end{4002, "done", true}, end{4002, "done", false}},
		{"no code", func(_, c *transport.Conn) { c.Close(transport.CloseNoStatus, "") }, end{1005, "", true}, end{1005, "", false}},
		{"both close", func(s, c *transport.Conn) { s.Close(4001, "s"); c.Close(4002, "c") }, end{4001, "s", false}, end{4002, "c", false}},
		{"server cuts", func(s, _ *transport.Conn) { s.Cut() }, end{1006, "", false}, end{1006, "", true}},
		{"client cuts", func(_, c *transport.Conn) { c.Cut() }, end{1006, "", true}, end{1006, "", false}},
		{"closes twice", func(s, _ *transport.Conn) { s.Close(4001, "first"); s.Close(4002, "second") }, end{4001, "first", false}, end{4001, "first", true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sr, cr := newRecorder(), newRecorder()
				s, c := transport.Pipe(sr, cr, nil)
				start := time.Now()
				tt.close(s, c)
				for name, r := range map[string]struct {
					rec  *recorder
					want end
				}{"server": {sr, tt.server}, "client": {cr, tt.client}} {
					err := r.rec.end(t)
					if got := (end{err.Code, err.Reason, err.Remote}); got != r.want {
						t.Errorf("%s: got %+v (%v), want %+v", name, got, err, r.want)
					}
				}
				if d := time.Since(start); d != 0 {
					t.Errorf("took %v", d)
				}
				for name, conn := range map[string]*transport.Conn{"server": s, "client": c} {
					if err := conn.SendText("x"); !errors.Is(err, transport.ErrClosed) {
						t.Errorf("%s: send after the end: %v", name, err)
					}
				}
			})
		})
	}
}

// Verify that what was queued before Close goes out before the close frame, and
// that sends fail from then on.
func TestCloseAfterQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		conns := make(chan *transport.Conn, 1)
		s := acceptServer(t, func(c *transport.Conn, _ *transport.Handshake) transport.Handler {
			conns <- c
			return rec
		}, nil)
		p := dialPeer(t, s)
		c := <-conns
		_ = c.Queue(transport.Text, []byte("one"))
		_ = c.SendText("two")
		c.Close(1000, "")
		shared, _ := transport.NewFrame(transport.Text, nil)
		for name, err := range map[string]error{
			"SendText":   c.SendText("x"),
			"Send":       c.Send(transport.Binary, nil),
			"Queue":      c.Queue(transport.Binary, nil),
			"QueueFrame": c.QueueFrame(shared),
			"SendFrames": c.SendFrames([]*transport.Frame{shared}),
		} {
			if !errors.Is(err, transport.ErrClosed) {
				t.Errorf("%s after Close: %v", name, err)
			}
		}
		p.listen()
		synctest.Wait()
		want := []frame{{fin | opText, "one"}, {fin | opText, "two"}, {fin | opClose, closing(1000, "")}}
		if diff := cmp.Diff(want, p.frames()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		// What the peer still says is its own affair.
		p.write(masked(fin|opText, "late"))
		p.write(masked(fin|opClose, closing(1000, "")))
		if err := rec.end(t); err.Code != 1000 || err.Remote || err.Unsent != 0 {
			t.Errorf("OnClose with %#v", err)
		}
		if got := rec.messages(); got != nil {
			t.Errorf("got %v after Close", got)
		}
		if n := s.Stats().DroppedClosed; n != 5 {
			t.Errorf("%d messages counted as dropped, want 5", n)
		}
		hangUp(t, s, p)
	})
}

// Verify that a ping is answered with the latest payload only while its pong
// waits (RFC 6455, section 5.5.3), and that control frames go before data.
func TestLatestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		conns := make(chan *transport.Conn, 1)
		s := acceptServer(t, func(c *transport.Conn, _ *transport.Handshake) transport.Handler {
			conns <- c
			return rec
		}, nil)
		p := dialPeer(t, s)
		c := <-conns
		_ = c.SendText("stuck") // the peer does not read
		synctest.Wait()
		_ = c.SendText("behind")
		for _, ping := range []string{"1", "2", "3"} {
			p.write(masked(fin|opPing, ping))
		}
		synctest.Wait()
		p.listen()
		synctest.Wait()
		want := []frame{{fin | opText, "stuck"}, {fin | opPong, "3"}, {fin | opText, "behind"}}
		if diff := cmp.Diff(want, p.frames()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		hangUp(t, s, p)
		rec.end(t)
	})
}

// Verify that the close frame reaches a TCP peer although input of that peer is
// left unread: closing the socket at once would let the kernel discard it.
func TestCloseFrameSurvivesInput(t *testing.T) {
	rec := newRecorder()
	s, addr := serveTCP(t, rec, &transport.Options{MaxMessageBytes: 100})
	p := dialPeerTCP(t, addr)
	// The breach is followed by more than one read of the server takes.
	p.write(cat(masked(fin|opText, string(bytes.Repeat([]byte("x"), 200))), bytes.Repeat([]byte{0}, 256<<10)))
	if f := p.read(); f.closeCode() != 1009 {
		t.Errorf("got %v", f)
	}
	if _, err := p.r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the close frame: %v", err)
	}
	rec.end(t)
	_ = p.nc.Close()
	shutdown(t, s)
}

// Verify that over TCP the server ends its side after the close handshake and
// waits for the peer to do the same.
func TestCloseTCP(t *testing.T) {
	rec := newRecorder()
	s, addr := serveTCP(t, rec, nil)
	p := dialPeerTCP(t, addr)
	p.write(masked(fin|opClose, closing(1000, "bye")))
	if diff := cmp.Diff(frame{fin | opClose, closing(1000, "bye")}, p.read()); diff != "" {
		t.Error(diff)
	}
	if _, err := p.r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("after the close frame: %v", err)
	}
	if n := s.Stats().Conns; n != 1 {
		t.Errorf("%d connections while the peer has not closed, want 1", n)
	}
	_ = p.nc.Close()
	rec.end(t)
	shutdown(t, s)
	if st := s.Stats(); st.Timeouts != 0 || st.ClosedNormal != 1 || st.Conns != 0 {
		t.Errorf("%+v", st)
	}
}

// Verify that a peer that goes away without a close frame is told as 1006, with
// what lies behind it.
func TestAbnormalClose(t *testing.T) {
	t.Run("end of the stream", func(t *testing.T) {
		rec := newRecorder()
		s, addr := serveTCP(t, rec, nil)
		p := dialPeerTCP(t, addr)
		_ = p.nc.Close()
		if err := rec.end(t); err.Code != 1006 || !err.Remote || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("OnClose with %#v", err)
		}
		shutdown(t, s)
	})
	t.Run("reset", func(t *testing.T) {
		rec := newRecorder()
		s, addr := serveTCP(t, rec, nil)
		p := dialPeerTCP(t, addr)
		_ = p.nc.(*net.TCPConn).SetLinger(0)
		_ = p.nc.Close()
		if err := rec.end(t); err.Code != 1006 || !err.Remote || err.Err == nil {
			t.Errorf("OnClose with %#v", err)
		}
		shutdown(t, s)
	})
}

// Verify that a peer that says why it closes is heard, although our writing to
// it has failed by then: over a net.Pipe, which has no half-close, a message too
// large is refused while it is still being written.
func TestCloseCodeAfterFailedWrite(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			rec := newRecorder()
			_, c := transport.Pipe(newRecorder(), rec, nil)
			if err := c.Send(transport.Binary, make([]byte, 64<<10+1)); err != nil {
				t.Fatal(err)
			}
			if end := rec.end(t); end.Code != transport.CloseMessageTooBig {
				t.Fatal(end)
			}
		})
	}
}

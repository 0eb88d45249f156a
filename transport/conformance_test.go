package transport_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/transport"
)

// TestFrames feeds a server what a client may and may not send.
func TestFrames(t *testing.T) {
	long := strings.Repeat("0123456789", 7000)
	big := &transport.Options{MaxMessageBytes: 1 << 20}
	type test struct {
		name    string
		in      []byte
		opts    *transport.Options
		want    []message
		replies []frame // pongs
		code    int     // of the close frame, 0 if the connection stays open
	}
	tests := []test{
		{name: "text", in: masked(fin|opText, "Hello"), want: []message{text("Hello")}},
		{name: "binary", in: masked(fin|opBinary, "\x00\xff"), want: []message{binaryMsg("\x00\xff")}},
		{name: "empty text", in: masked(fin|opText, ""), want: []message{text("")}},
		{name: "empty binary", in: masked(fin|opBinary, ""), want: []message{binaryMsg("")}},
		{name: "several", in: cat(masked(fin|opText, "a"), masked(fin|opText, "b"), masked(fin|opBinary, "c")),
			want: []message{text("a"), text("b"), binaryMsg("c")}},
		{name: "125 bytes", in: masked(fin|opText, long[:125]), want: []message{text(long[:125])}},
		{name: "126 bytes", in: masked(fin|opText, long[:126]), want: []message{text(long[:126])}},
		{name: "65535 bytes", in: masked(fin|opText, long[:65535]), want: []message{text(long[:65535])}},
		{name: "65536 bytes", in: masked(fin|opText, long[:65536]), want: []message{text(long[:65536])}},
		{name: "more than 64 KiB", in: masked(fin|opText, long), opts: big, want: []message{text(long)}},

		{name: "fragments", in: cat(masked(opText, "Hel"), masked(opCont, "l"), masked(fin|opCont, "o")),
			want: []message{text("Hello")}},
		{name: "empty fragments", in: cat(masked(opBinary, ""), masked(opCont, ""), masked(opCont, "x"), masked(opCont, ""), masked(fin|opCont, "")),
			want: []message{binaryMsg("x")}},
		{name: "only empty fragments", in: cat(masked(opText, ""), masked(opCont, ""), masked(fin|opCont, "")), want: []message{text("")}},
		{name: "control frames between fragments",
			in: cat(masked(opText, "Hel"), masked(fin|opPing, "p"), masked(opCont, "l"), masked(fin|opPong, ""),
				masked(fin|opCont, "o"), masked(fin|opText, "!")),
			want: []message{text("Hello"), text("!")}, replies: []frame{{fin | opPong, "p"}}},
		{name: "fragments, then a whole message", in: cat(masked(opText, "a"), masked(fin|opCont, "b"), masked(fin|opBinary, "c"), masked(opText, "d"), masked(fin|opCont, "e")),
			want: []message{text("ab"), binaryMsg("c"), text("de")}},

		{name: "continuation without start", in: masked(opCont, "x"), code: 1002},
		{name: "last continuation without start", in: cat(masked(fin|opText, "a"), masked(fin|opCont, "x")), want: []message{text("a")}, code: 1002},
		{name: "continuation after the last", in: cat(masked(opText, "a"), masked(fin|opCont, "b"), masked(fin|opCont, "c")), want: []message{text("ab")}, code: 1002},
		{name: "text inside a text", in: cat(masked(opText, "a"), masked(fin|opText, "b")), code: 1002},
		{name: "binary inside a text", in: cat(masked(opText, "a"), masked(opBinary, "b")), code: 1002},

		{name: "ping", in: masked(fin|opPing, "are you there"), replies: []frame{{fin | opPong, "are you there"}}},
		{name: "empty ping", in: masked(fin|opPing, ""), replies: []frame{{fin | opPong, ""}}},
		{name: "longest ping", in: masked(fin|opPing, long[:125]), replies: []frame{{fin | opPong, long[:125]}}},
		{name: "unasked pong", in: masked(fin|opPong, "whatever")},
		{name: "control frame of 126 bytes", in: masked(fin|opPing, long[:126]), code: 1002},
		{name: "pong of 126 bytes", in: masked(fin|opPong, long[:126]), code: 1002},
		{name: "close of 126 bytes", in: masked(fin|opClose, closing(1000, long[:124])), code: 1002},
		{name: "ping in fragments", in: masked(opPing, "x"), code: 1002},
		{name: "pong in fragments", in: masked(opPong, "x"), code: 1002},
		{name: "close in fragments", in: masked(opClose, closing(1000, "")), code: 1002},

		{name: "unmasked text", in: plain(fin|opText, "Hello"), code: 1002},
		{name: "unmasked ping", in: plain(fin|opPing, ""), code: 1002},
		{name: "unmasked continuation", in: cat(masked(opText, "a"), plain(fin|opCont, "b")), code: 1002},

		{name: "16 bit length, not minimal", in: append([]byte{fin | opText, 0x80 | 126, 0, 125}, testMask[:]...), code: 1002},
		{name: "16 bit length 0", in: append([]byte{fin | opText, 0x80 | 126, 0, 0}, testMask[:]...), code: 1002},
		{name: "64 bit length, not minimal", in: append([]byte{fin | opText, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, testMask[:]...), code: 1002},
		{name: "64 bit length 0", in: append([]byte{fin | opText, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 0}, testMask[:]...), code: 1002},
		{name: "ping with a 16 bit length", in: append([]byte{fin | opPing, 0x80 | 126, 0, 1}, testMask[:]...), code: 1002},
		{name: "64 bit length with the top bit", in: append([]byte{fin | opText, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 1}, testMask[:]...), code: 1002},
		{name: "64 bit length with all bits", in: append([]byte{fin | opText, 0x80 | 127, 255, 255, 255, 255, 255, 255, 255, 255}, testMask[:]...), code: 1002},
		{name: "largest length", in: append([]byte{fin | opText, 0x80 | 127, 0x7f, 255, 255, 255, 255, 255, 255, 255}, testMask[:]...), code: 1009},
	}
	for op := range byte(16) {
		if op > 2 && op < 8 || op > 10 {
			tests = append(tests,
				test{name: fmt.Sprintf("reserved opcode %d", op), in: masked(fin|op, "x"), code: 1002},
				test{name: fmt.Sprintf("reserved opcode %d, empty", op), in: masked(fin|op, ""), code: 1002},
				test{name: fmt.Sprintf("reserved opcode %d after a message", op), in: cat(masked(fin|opText, "a"), masked(fin|op, "")), want: []message{text("a")}, code: 1002},
				test{name: fmt.Sprintf("reserved opcode %d among fragments", op), in: cat(masked(opText, "a"), masked(fin|op, "")), code: 1002})
		}
	}
	for i, rsv := range []byte{0x40, 0x20, 0x10, 0x70} {
		for _, op := range []byte{opText, opBinary, opPing, opPong, opClose} {
			tests = append(tests, test{name: fmt.Sprintf("RSV bits %d on opcode %d", i, op), in: masked(fin|rsv|op, ""), code: 1002})
		}
		tests = append(tests, test{name: fmt.Sprintf("RSV bits %d on a continuation", i),
			in: cat(masked(opText, "a"), masked(fin|rsv|opCont, "b")), code: 1002})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := outcome{Messages: tt.want, Replies: tt.replies, Open: tt.code == 0, Code: tt.code}
			check := func(how string, got outcome) {
				t.Helper()
				if tt.code != 0 {
					n := len(got.Replies) - 1
					if n < 0 || got.Replies[n].closeCode() != tt.code {
						t.Fatalf("%s: replies %v, want a close frame with %d", how, got.Replies, tt.code)
					}
					if got.Replies = got.Replies[:n]; n == 0 {
						got.Replies = nil
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s (-want +got):\n%s", how, diff)
				}
			}
			check("whole", exchange(t, tt.opts, tt.in))
			if len(tt.in) < 200 {
				check("byte by byte", exchange(t, tt.opts, bytewise(tt.in)...))
			} else {
				check("in two", exchange(t, tt.opts, tt.in[:7], tt.in[7:]))
			}
		})
	}
}

func bytewise(b []byte) (chunks [][]byte) {
	for i := range b {
		chunks = append(chunks, b[i:i+1])
	}
	return chunks
}

// TestSplits feeds one stream with all that the parser knows, cut at every
// place and into pieces of every size.
func TestSplits(t *testing.T) {
	stream := cat(
		masked(fin|opText, "Hello"),
		masked(fin|opBinary, ""),
		masked(opText, "ä€"), masked(fin|opPing, "p1"), masked(opCont, "\xf0\x9f"), masked(opCont, ""), masked(fin|opCont, "\x98\x80."),
		masked(fin|opPong, "p2"),
		masked(fin|opBinary, strings.Repeat("b", 130)),
		masked(fin|opText, "wörld"),
		masked(opBinary, ""), masked(fin|opCont, ""),
		masked(fin|opClose, closing(3001, "schön")),
		masked(fin|opText, "after the end"),
	)
	want := outcome{
		Messages: []message{text("Hello"), binaryMsg(""), text("ä€😀."), binaryMsg(strings.Repeat("b", 130)), text("wörld"), binaryMsg("")},
		Code:     3001,
	}
	feed := func(split string, chunks [][]byte) {
		t.Helper()
		rec := newRecorder()
		f := transport.NewFeeder(rec, nil, false)
		for _, c := range chunks {
			f.Feed(bytes.Clone(c))
		}
		f.End()
		rec.check(t)
		got := outcome{Messages: rec.messages(), Code: rec.closeError().Code}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", split, diff)
		}
		if want := cat(plain(fin|opPong, "p1"), plain(fin|opClose, closing(3001, "schön"))); !bytes.Equal(f.Out, want) {
			t.Fatalf("%s: sent %x, want %x", split, f.Out, want)
		}
		if !rec.closeError().Remote {
			t.Fatalf("%s: %#v is not the peer's", split, rec.closeError())
		}
	}
	feed("whole", [][]byte{stream})
	for i := range stream {
		feed(fmt.Sprintf("at %d", i), [][]byte{stream[:i], stream[i:]})
	}
	for size := 1; size < 40; size++ {
		var chunks [][]byte
		for rest := stream; len(rest) > 0; {
			n := min(size, len(rest))
			chunks, rest = append(chunks, rest[:n]), rest[n:]
		}
		feed(fmt.Sprintf("by %d", size), chunks)
	}
	for i := 0; i < len(stream); i += 3 {
		for j := i; j < len(stream); j += 5 {
			feed(fmt.Sprintf("at %d and %d", i, j), [][]byte{stream[:i], stream[i:j], stream[j:]})
		}
	}
}

// Verify that a message and the close frame, or the breach, behind it in one
// read are handed over in order: the message, the end of the read, the end.
func TestReadDoneBeforeClose(t *testing.T) {
	for name, end := range map[string][]byte{
		"close":  masked(fin|opClose, closing(1000, "")),
		"breach": masked(opCont, ""),
	} {
		t.Run(name, func(t *testing.T) {
			got := exchange(t, nil, cat(masked(fin|opText, "last words"), end))
			if diff := cmp.Diff([]message{text("last words")}, got.Messages); diff != "" {
				t.Error(diff)
			}
			if got.Code == 0 {
				t.Error("OnClose was not called")
			}
		})
	}
}

// Verify that nothing is allocated by the size that a header declares, only by
// what arrives.
func TestDeclaredLength(t *testing.T) {
	f := transport.NewFeeder(newRecorder(), &transport.Options{MaxMessageBytes: 1 << 30}, false)
	head := binary.BigEndian.AppendUint64([]byte{opBinary, 0x80 | 127}, 1<<30)
	in := append(append(head, testMask[:]...), "some bytes"...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f.Feed(in)
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10 {
		t.Errorf("%d bytes allocated for %d that arrived", n, len(in))
	}
	if len(f.Out) > 0 {
		t.Errorf("sent %x", f.Out)
	}
}

// Verify that a connection between two messages holds no buffer.
func TestIdleHoldsNothing(t *testing.T) {
	f := transport.NewFeeder(newEcho(), nil, false)
	for _, in := range [][]byte{
		masked(fin|opText, "hello"),
		cat(masked(opText, "hel"), masked(fin|opCont, "lo")),
		masked(fin|opPing, "x"),
	} {
		for _, chunk := range bytewise(in) {
			f.Feed(bytes.Clone(chunk))
		}
		if !f.Empty() {
			t.Errorf("a buffer is held after %x", in)
		}
	}
}

// Verify that a client refuses what only a client may send, and accepts what a
// server does.
func TestClientSide(t *testing.T) {
	tests := []struct {
		name string
		in   []byte
		want []message
		code int
	}{
		{name: "text", in: plain(fin|opText, "Hello"), want: []message{text("Hello")}},
		{name: "fragments", in: cat(plain(opText, "Hel"), plain(fin|opPong, ""), plain(fin|opCont, "lo")), want: []message{text("Hello")}},
		{name: "masked text", in: masked(fin|opText, "Hello"), code: 1002},
		{name: "masked ping", in: masked(fin|opPing, ""), code: 1002},
		{name: "masked close", in: masked(fin|opClose, closing(1000, "")), code: 1002},
		{name: "RSV1", in: plain(fin|0x40|opText, "x"), code: 1002},
		{name: "not UTF-8", in: plain(fin|opText, "\xff"), code: 1007},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := newRecorder()
				c, p := dialServer(t, nil, rec)
				p.listen().write(tt.in)
				synctest.Wait()
				if diff := cmp.Diff(tt.want, rec.messages()); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				frames, code := p.frames(), 0
				if len(frames) > 0 {
					code = frames[0].closeCode()
				}
				if code != tt.code {
					t.Errorf("close code %d, want %d", code, tt.code)
				}
				c.Cut()
				rec.end(t)
			})
		})
	}
}

// Verify that each frame of a client is masked with a mask of its own.
func TestClientMasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		c, p := dialServer(t, nil, rec)
		p.listen()
		const payload = "the same again and again, and then some"
		shared, err := transport.NewFrame(transport.Text, []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		want := bytes.Clone(transport.FrameBytes(shared))
		for range 3 {
			if err := c.SendText(payload); err != nil {
				t.Fatal(err)
			}
			if err := c.SendFrames([]*transport.Frame{shared}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if !bytes.Equal(transport.FrameBytes(shared), want) {
			t.Error("a shared frame was changed")
		}
		got, _ := p.bytes()
		size := 2 + 4 + len(payload)
		if len(got) != 6*size {
			t.Fatalf("%d bytes, want 6 frames of %d", len(got), size)
		}
		seen := make(map[string]bool)
		for ; len(got) > 0; got = got[size:] {
			if got[1] != 0x80|byte(len(payload)) {
				t.Errorf("second byte is %#x", got[1])
			}
			seen[string(got[2:6])] = true
		}
		if len(seen) != 6 {
			t.Errorf("%d masks for 6 frames", len(seen))
		}
		for _, f := range p.frames() {
			if f != (frame{fin | opText, payload}) {
				t.Errorf("got %v", f)
			}
		}
		c.Cut()
		rec.end(t)
	})
}

// TestGoldenFrames compares the bytes of the frames that a server writes.
func TestGoldenFrames(t *testing.T) {
	fill := func(n int) string { return strings.Repeat("x", n) }
	opts := &transport.Options{MaxQueueBytes: 1 << 20}
	tests := []struct {
		name string
		do   func(c *transport.Conn)
		want string // header; the payload follows
		body string
	}{
		{"empty text", func(c *transport.Conn) { _ = c.SendText("") }, "\x81\x00", ""},
		{"text", func(c *transport.Conn) { _ = c.SendText("Hello") }, "\x81\x05", "Hello"},
		{"text bytes", func(c *transport.Conn) { _ = c.Send(transport.Text, []byte("Hello")) }, "\x81\x05", "Hello"},
		{"binary", func(c *transport.Conn) { _ = c.Send(transport.Binary, []byte{0, 255}) }, "\x82\x02", "\x00\xff"},
		{"queued", func(c *transport.Conn) { _ = c.Queue(transport.Text, []byte("Hello")); c.Flush() }, "\x81\x05", "Hello"},
		{"125", func(c *transport.Conn) { _ = c.SendText(fill(125)) }, "\x81\x7d", fill(125)},
		{"126", func(c *transport.Conn) { _ = c.SendText(fill(126)) }, "\x81\x7e\x00\x7e", fill(126)},
		{"65535", func(c *transport.Conn) { _ = c.SendText(fill(65535)) }, "\x81\x7e\xff\xff", fill(65535)},
		{"65536", func(c *transport.Conn) { _ = c.SendText(fill(65536)) }, "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00", fill(65536)},
		{"shared", func(c *transport.Conn) {
			f, _ := transport.NewFrame(transport.Binary, []byte(fill(300)))
			_ = c.SendFrames([]*transport.Frame{f})
		}, "\x82\x7e\x01\x2c", fill(300)},
		{"close", func(c *transport.Conn) { c.Close(1000, "") }, "\x88\x02", "\x03\xe8"},
		{"close with a reason", func(c *transport.Conn) { c.Close(4001, "schön") }, "\x88\x08", "\x0f\xa1schön"},
		{"close without a code", func(c *transport.Conn) { c.Close(transport.CloseNoStatus, "unsent") }, "\x88\x00", ""},
		{"close with a long reason", func(c *transport.Conn) { c.Close(1000, fill(200)) }, "\x88\x7d", "\x03\xe8" + fill(123)},
		{"close cut at a rune", func(c *transport.Conn) { c.Close(1000, fill(122)+"€") }, "\x88\x7c", "\x03\xe8" + fill(122)},
		{"close with a code that must not be sent", func(c *transport.Conn) { c.Close(transport.CloseAbnormal, "") }, "\x88\x02", "\x03\xf3"},
		{"close with no code at all", func(c *transport.Conn) { c.Close(70000, "") }, "\x88\x02", "\x03\xf3"},
		{"close with a reason that is not UTF-8", func(c *transport.Conn) { c.Close(1000, "a\xff") }, "\x88\x06", "\x03\xe8a\uFFFD"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := newRecorder()
				var conn *transport.Conn
				s := acceptServer(t, func(c *transport.Conn, _ *transport.Handshake) transport.Handler {
					conn = c
					return rec
				}, opts)
				p := dialPeer(t, s).listen()
				synctest.Wait()
				tt.do(conn)
				synctest.Wait()
				if got, _ := p.bytes(); string(got) != tt.want+tt.body {
					t.Errorf("sent %.200q, want %.200q", got, tt.want+tt.body)
				}
				hangUp(t, s, p)
				rec.end(t)
			})
		})
	}
	t.Run("ping", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			rec := newRecorder()
			s := newServer(t, rec, nil)
			p := dialPeer(t, s).listen()
			time.Sleep(28 * time.Second)
			if got, _ := p.bytes(); string(got) != "\x89\x00" {
				t.Errorf("sent %q", got)
			}
			hangUp(t, s, p)
			rec.end(t)
		})
	})
}

package transport_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/transport"
)

// rsv1 in the first byte of a frame says that the message is deflated.
const rsv1 = 0x40

// chat returns n bytes of messages as a chat has them, as JSON. The same seed
// gives the same text.
func chat(n int, seed uint64) string {
	r := mathrand.New(mathrand.NewPCG(seed, 0))
	words := strings.Fields("hello the room is open again for everybody message wire today who goes there")
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, `{"jsonrpc":"2.0","method":"room.message","params":{"room":"lobby-%d","id":%d,"from":"user-%04d","at":"2026-11-%02dT10:%02d:%02d.%03dZ","text":"`,
			r.IntN(9), r.IntN(9_000_000), r.IntN(9999), 1+r.IntN(30), r.IntN(60), r.IntN(60), r.IntN(1000))
		for range 5 + r.IntN(20) {
			b.WriteString(words[r.IntN(len(words))] + " ")
		}
		b.WriteString("\"}}\n")
	}
	return b.String()[:n]
}

// noise returns n bytes that cannot be deflated.
func noise(n int) string {
	r := mathrand.New(mathrand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

// zip deflates s with the standard library, as a peer does it.
func zip(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(w, s)
	_ = w.Flush()
	z, ok := strings.CutSuffix(b.String(), "\x00\x00\xff\xff")
	if !ok {
		t.Fatalf("flushed %x", b.Bytes())
	}
	return z
}

// unzip is its reverse.
func unzip(t testing.TB, z string) string {
	t.Helper()
	b, err := io.ReadAll(flate.NewReader(strings.NewReader(z + "\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
	if err != nil {
		t.Fatalf("%v in %.100x", err, z)
	}
	return string(b)
}

// deflated turns permessage-deflate on, and deflates all messages.
func deflated() *transport.Options {
	return &transport.Options{Deflate: true, DeflateThreshold: -1, MaxControlFrames: -1}
}

// feed gives chunks to one side of a connection with deflate.
func feed(t testing.TB, o *transport.Options, client bool, chunks ...[]byte) outcome {
	t.Helper()
	rec := newRecorder()
	f := transport.NewFeeder(rec, o, client)
	for _, c := range chunks {
		f.Feed(bytes.Clone(c))
	}
	out := outcome{Messages: rec.messages(), Open: true}
	var rest []byte
	if out.Replies, rest = splitFrames(f.Out); len(rest) > 0 {
		t.Errorf("half a frame was sent: %x", rest)
	}
	if err := rec.closeError(); err != nil {
		out.Open, out.Code = false, err.Code
	}
	f.End()
	rec.end(t)
	if !f.Empty() && out.Open {
		t.Error("a buffer is held between messages")
	}
	return out
}

// The examples of RFC 7692, section 7.2.3, and variations of them.
const (
	helloBlock  = "\xf2\x48\xcd\xc9\xc9\x07\x00"                         // 7.2.3.1
	helloAgain  = "\xf2\x00\x11\x00\x00"                                 // 7.2.3.2: refers to the message before
	helloStored = "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"         // 7.2.3.3
	helloFinal  = "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"                     // 7.2.3.4
	helloTwo    = "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00" // 7.2.3.5
	emptyBlock  = "\x00"                                                 // 7.2.3.6
	finalBlock  = "\xf3\x48\xcd\xc9\xc9\x07\x00"                         // 7.2.3.4 without its last byte
	emptyFinal  = "\x03\x00"                                             // an empty block with BFINAL
)

// Verify that a deflated message is read in every form that RFC 7692 has, and
// in none that it has not.
func TestInflate(t *testing.T) {
	hello := []message{text("Hello")}
	type test struct {
		name string
		in   []byte
		want []message
		code int
	}
	tests := []test{
		{name: "one block", in: masked(fin|rsv1|opText, helloBlock), want: hello},
		{name: "one block in fragments", in: cat(masked(rsv1|opText, helloBlock[:3]), masked(fin|opCont, helloBlock[3:])), want: hello},
		{name: "stored", in: masked(fin|rsv1|opText, helloStored), want: hello},
		{name: "BFINAL", in: masked(fin|rsv1|opText, helloFinal), want: hello},
		{name: "two blocks", in: masked(fin|rsv1|opText, helloTwo), want: hello},
		{name: "empty", in: masked(fin|rsv1|opText, emptyBlock), want: []message{text("")}},
		{name: "empty last fragment", in: cat(masked(rsv1|opText, helloBlock+"\x00\x00\xff\xff"), masked(fin|opCont, emptyBlock)), want: hello},
		{name: "empty first fragment", in: cat(masked(rsv1|opText, ""), masked(fin|opCont, helloBlock)), want: hello},
		{name: "empty fragments", in: cat(masked(rsv1|opText, ""), masked(opCont, helloBlock), masked(opCont, ""), masked(fin|opCont, "")), want: hello},
		{name: "binary", in: masked(fin|rsv1|opBinary, zip(t, "\xff\x00")), want: []message{binaryMsg("\xff\x00")}},
		{name: "a plain one between", in: cat(masked(fin|rsv1|opText, helloBlock), masked(fin|opText, "plain"), masked(fin|rsv1|opText, helloBlock)),
			want: []message{text("Hello"), text("plain"), text("Hello")}},
		{name: "plain fragments", in: cat(masked(opText, "a"), masked(fin|opCont, "b"), masked(rsv1|opText, helloBlock), masked(fin|opCont, ""), masked(opText, "c"), masked(fin|opCont, "d")),
			want: []message{text("ab"), text("Hello"), text("cd")}},

		{name: "blocks without an end between", in: masked(fin|rsv1|opText, "\x00\x02\x00\xfd\xffHe\x00\x03\x00\xfc\xffllo\x00"), want: hello},
		{name: "empty block with BFINAL at the end", in: masked(fin|rsv1|opText, helloBlock[:6]+"\x00\x00\x00\xff\xff\x01"), want: hello},
		{name: "only an empty block with BFINAL", in: masked(fin|rsv1|opText, "\x01"), want: []message{text("")}},
		{name: "several blocks with BFINAL", in: masked(fin|rsv1|opText, finalBlock+emptyFinal+finalBlock+emptyFinal+"\x00"), want: []message{text("HelloHello")}},
		{name: "BFINAL, then a block without", in: masked(fin|rsv1|opText, finalBlock+helloBlock), want: []message{text("HelloHello")}},
		{name: "stored block with BFINAL", in: masked(fin|rsv1|opText, "\x01\x05\x00\xfa\xffHello\x00"), want: hello},
		{name: "flushed twice", in: masked(fin|rsv1|opText, helloBlock+"\x00\x00\xff\xff\x00"), want: hello},

		{name: "reference to the message before", in: cat(masked(fin|rsv1|opText, helloBlock), masked(fin|rsv1|opText, helloAgain)), want: hello, code: 1007},
		{name: "reference behind BFINAL", in: masked(fin|rsv1|opText, finalBlock+helloAgain), code: 1007},
		{name: "no payload", in: masked(fin|rsv1|opText, ""), code: 1007},
		{name: "no payload in fragments", in: cat(masked(rsv1|opText, ""), masked(fin|opCont, "")), code: 1007},
		{name: "BFINAL without a block behind", in: masked(fin|rsv1|opText, finalBlock), code: 1007},
		{name: "with the tail", in: masked(fin|rsv1|opText, helloBlock+"\x00\x00\xff\xff"), code: 1007},
		{name: "no end of the block", in: masked(fin|rsv1|opText, helloBlock[:5]), code: 1007},
		{name: "no empty block", in: masked(fin|rsv1|opText, helloBlock[:6]), code: 1007},
		{name: "stored block without an end", in: masked(fin|rsv1|opText, helloStored[:10]), code: 1007},
		{name: "stored block cut off", in: masked(fin|rsv1|opText, helloStored[:8]), code: 1007},
		{name: "stored block that takes the tail", in: masked(fin|rsv1|opBinary, "\x00\x04\x00\xfb\xff"), code: 1007},
		{name: "the same with BFINAL", in: masked(fin|rsv1|opBinary, "\x01\x04\x00\xfb\xff"), code: 1007},
		{name: "stored block that takes more than the tail", in: masked(fin|rsv1|opBinary, "\x00\x09\x00\xf6\xff"), code: 1007},
		{name: "wrong length", in: masked(fin|rsv1|opText, "\x00\x05\x00\xfb\xffHello\x00"), code: 1007},
		{name: "reserved type of block", in: masked(fin|rsv1|opText, "\x07"), code: 1007},
		{name: "not deflated", in: masked(fin|rsv1|opText, "Hello"), code: 1007},
		{name: "noise", in: masked(fin|rsv1|opBinary, noise(100)), code: 1007},
		{name: "bytes behind", in: masked(fin|rsv1|opText, helloFinal+"\xff"), code: 1007},
		{name: "text that is not UTF-8", in: masked(fin|rsv1|opText, zip(t, "a\xff")), code: 1007},
		{name: "the same in fragments", in: cat(masked(rsv1|opText, zip(t, "a\xff")[:2]), masked(fin|opCont, zip(t, "a\xff")[2:])), code: 1007},

		{name: "RSV1 on a continuation", in: cat(masked(rsv1|opText, helloBlock[:3]), masked(fin|rsv1|opCont, helloBlock[3:])), code: 1002},
		{name: "RSV1 on a continuation of a plain one", in: cat(masked(opText, "a"), masked(fin|rsv1|opCont, "b")), code: 1002},
		{name: "RSV1 on a ping", in: masked(fin|rsv1|opPing, helloBlock), code: 1002},
		{name: "RSV1 on a pong", in: masked(fin|rsv1|opPong, ""), code: 1002},
		{name: "RSV1 on a close", in: masked(fin|rsv1|opClose, closing(1000, "")), code: 1002},
		{name: "RSV1 on a reserved opcode", in: masked(fin|rsv1|3, ""), code: 1002},
		{name: "a new message inside another", in: cat(masked(rsv1|opText, helloBlock[:3]), masked(fin|rsv1|opText, helloBlock)), code: 1002},
		{name: "unmasked", in: plain(fin|rsv1|opText, helloBlock), code: 1002},
	}
	for _, rsv := range []byte{0x10, 0x20, 0x30, 0x50, 0x60, 0x70} {
		for _, op := range []byte{opText, opBinary, opPing} {
			tests = append(tests, test{name: fmt.Sprintf("RSV %#x on opcode %d", rsv, op), in: masked(fin|rsv|op, helloBlock), code: 1002})
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := outcome{Messages: tt.want, Open: tt.code == 0, Code: tt.code}
			for how, chunks := range map[string][][]byte{"whole": {tt.in}, "byte by byte": bytewise(tt.in)} {
				got := feed(t, deflated(), false, chunks...)
				if tt.code != 0 {
					if len(got.Replies) != 1 || got.Replies[0].closeCode() != tt.code {
						t.Errorf("%s: replies %v, want a close frame with %d", how, got.Replies, tt.code)
					}
					got.Replies = nil
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", how, diff)
				}
			}
		})
	}
}

// Verify that the reason of the close frame says what is wrong.
func TestInflateReasons(t *testing.T) {
	for in, want := range map[string]string{
		"\x07":                "deflated message is corrupt",
		helloBlock[:3]:        "deflated message is incomplete",
		zip(t, "\xff"):        "text message is not UTF-8",
		zip(t, chat(2000, 1)): "message exceeds 1000 bytes",
	} {
		o := deflated()
		o.MaxMessageBytes = 1000
		got := feed(t, o, false, masked(fin|rsv1|opText, in))
		if len(got.Replies) != 1 || got.Replies[0].Payload[2:] != want {
			t.Errorf("%x: replies %v, want %q", in, got.Replies, want)
		}
	}
}

// Verify that a client reads what a server deflates, and masks what it deflates
// itself.
func TestDeflateClient(t *testing.T) {
	got := feed(t, deflated(), true, plain(fin|rsv1|opText, helloBlock), cat(plain(rsv1|opBinary, helloTwo[:4]), plain(fin|opCont, helloTwo[4:])))
	if diff := cmp.Diff([]message{text("Hello"), binaryMsg("Hello")}, got.Messages); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	f := transport.NewFeeder(discarder{}, deflated(), true)
	shared, err := transport.NewFrame(transport.Text, []byte(chat(1000, 2)))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Conn.SendFrames([]*transport.Frame{shared, shared}); err != nil {
			t.Fatal(err)
		}
	}
	frames, rest := splitFrames(f.Out)
	if len(frames) != 4 || len(rest) > 0 || f.Out[1]&0x80 == 0 {
		t.Fatalf("sent %x", f.Out)
	}
	for _, fr := range frames {
		if fr.First != fin|rsv1|opText || unzip(t, fr.Payload) != chat(1000, 2) {
			t.Errorf("sent %v", fr)
		}
	}
}

// Verify that control frames come through between the fragments of a deflated
// message, and that a connection between two messages holds no buffer.
func TestInflateFragments(t *testing.T) {
	want := chat(5000, 3)
	z := zip(t, want)
	for _, size := range []int{1, 2, 7, 100, 1000} {
		in, first := []byte(nil), byte(rsv1|opText)
		pings := 0
		for rest := z; ; first = opCont {
			n := min(size, len(rest))
			if n == len(rest) {
				in = append(in, masked(fin|first, rest)...)
				break
			}
			in = cat(in, masked(first, rest[:n]), masked(fin|opPing, "p"))
			rest = rest[n:]
			pings++
		}
		o := deflated()
		o.MaxFragments = -1
		for how, chunks := range map[string][][]byte{"whole": {in}, "byte by byte": bytewise(in)} {
			got := feed(t, o, false, chunks...)
			if diff := cmp.Diff([]message{text(want)}, got.Messages); diff != "" {
				t.Errorf("%d %s (-want +got):\n%s", size, how, diff)
			}
			// Pongs wait for nobody here, so each ping has its own.
			if len(got.Replies) != pings || !got.Open {
				t.Errorf("%d %s: %d replies to %d pings, open %v", size, how, len(got.Replies), pings, got.Open)
			}
		}
	}
}

// Verify that a message may inflate to MaxMessageBytes and no further, whatever
// that is, and that its deflated form is bounded by little more.
func TestInflateLimit(t *testing.T) {
	for _, limit := range []int{1, 2, 100, 1023, 1024, 1025, 32 << 10, 64 << 10, 100_000} {
		o := deflated()
		o.MaxMessageBytes = limit
		at, above := strings.Repeat("a", limit), strings.Repeat("a", limit+1)
		want := []message{text(at), text(at)}
		for _, last := range []string{above, strings.Repeat("a", 20*limit)} {
			in := masked(fin|rsv1|opText, zip(t, at))
			got := feed(t, o, false, in, in, masked(fin|rsv1|opText, zip(t, last)), in)
			if diff := cmp.Diff(want, got.Messages); diff != "" || got.Code != 1009 {
				t.Errorf("limit %d, %d bytes: end with %d (-want +got):\n%.300s", limit, len(last), got.Code, diff)
			}
		}
		// Blocks that hold nothing make it long.
		long := strings.Repeat("\x00\x00\x00\xff\xff", (limit+limit/256+64)/5+1) + "\x00"
		if got := feed(t, o, false, masked(fin|rsv1|opText, long)); got.Code != 1009 {
			t.Errorf("limit %d: end with %d after %d bytes that inflate to none", limit, got.Code, len(long))
		}
	}
	o := deflated()
	o.MaxMessageBytes = -1
	want := chat(300_000, 4)
	if got := feed(t, o, false, masked(fin|rsv1|opText, zip(t, want))); !cmp.Equal(got.Messages, []message{text(want)}) {
		t.Errorf("without a limit: end with %d, %d messages", got.Code, len(got.Messages))
	}
}

// Verify that what a small message claims to be is not allocated: 8 KB that
// inflate to 8 MB.
func TestInflateBomb(t *testing.T) {
	bomb := zip(t, strings.Repeat("\x00", 8<<20))
	if len(bomb) > 9<<10 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	in := masked(fin|rsv1|opBinary, bomb)
	f := transport.NewFeeder(newRecorder(), deflated(), false)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f.Feed(in)
	runtime.ReadMemStats(&after)
	if frames, _ := splitFrames(f.Out); len(frames) != 1 || frames[0].closeCode() != 1009 {
		t.Errorf("replies %v", frames)
	}
	// Twice the limit, with what it grew from, and the inflater.
	if n := after.TotalAlloc - before.TotalAlloc; n > 256<<10 {
		t.Errorf("%d bytes were allocated", n)
	}
}

// Verify which messages are deflated, and that none grows by it.
func TestDeflateThreshold(t *testing.T) {
	type test struct {
		threshold int
		payload   string
		want      bool
	}
	tests := []test{
		{0, chat(511, 5), false}, {0, chat(512, 5), true}, {0, noise(5000), false},
		{100, chat(99, 5), false}, {100, strings.Repeat("a", 100), true},
		{-1, "", false}, {-1, "a", false}, {-1, "ab", false}, {-1, strings.Repeat("a", 200), true}, {-1, noise(70_000), false},
		{1 << 20, chat(5000, 5), false},
		{-1, chat(200_000, 5), true}, // more than a pool keeps
	}
	for _, tt := range tests {
		for _, client := range []bool{false, true} {
			o := &transport.Options{Deflate: true, DeflateThreshold: tt.threshold}
			f := transport.NewFeeder(discarder{}, o, client)
			shared, err := transport.NewFrame(transport.Binary, []byte(tt.payload))
			if err != nil {
				t.Fatal(err)
			}
			for how, send := range map[string]func() error{
				"Send":       func() error { return f.Conn.Send(transport.Binary, []byte(tt.payload)) },
				"Queue":      func() error { defer f.Conn.Flush(); return f.Conn.Queue(transport.Binary, []byte(tt.payload)) },
				"QueueFrame": func() error { defer f.Conn.Flush(); return f.Conn.QueueFrame(shared) },
				"SendFrames": func() error { return f.Conn.SendFrames([]*transport.Frame{shared}) },
			} {
				f.Out = f.Out[:0]
				if err := send(); err != nil {
					t.Fatalf("%s: %v", how, err)
				}
				frames, rest := splitFrames(f.Out)
				if len(frames) != 1 || len(rest) > 0 {
					t.Fatalf("%s: %d frames", how, len(frames))
				}
				first, got := byte(fin|opBinary), frames[0].Payload
				if tt.want {
					first |= rsv1
					if len(got) >= len(tt.payload) {
						t.Errorf("%s: %d bytes became %d", how, len(tt.payload), len(got))
					}
					got = unzip(t, got)
				}
				if frames[0].First != first || got != tt.payload {
					t.Errorf("threshold %d, %d bytes, %s: first byte %#x, want %#x; same payload %v",
						tt.threshold, len(tt.payload), how, frames[0].First, first, got == tt.payload)
				}
			}
			if (transport.DeflatedFrame(shared) != nil) != (tt.threshold <= len(tt.payload) && (tt.threshold != 0 || len(tt.payload) >= 512)) {
				t.Errorf("threshold %d, %d bytes: the frame was tried: %v", tt.threshold, len(tt.payload), transport.DeflatedFrame(shared) != nil)
			}
		}
	}
	f := transport.NewFeeder(discarder{}, deflated(), false)
	if err := f.Conn.SendText(chat(3000, 6)); err != nil {
		t.Fatal(err)
	}
	if frames, _ := splitFrames(f.Out); len(frames) != 1 || frames[0].First != fin|rsv1|opText || unzip(t, frames[0].Payload) != chat(3000, 6) {
		t.Errorf("SendText sent %v", frames)
	}
	if err := f.Conn.SendText("\xff"); !errors.Is(err, transport.ErrInvalidUTF8) {
		t.Errorf("text that is not UTF-8: %v", err)
	}
}

// Verify that a Frame is deflated when the first connection wants it, once, and
// that all others share the bytes.
func TestFrameDeflatedOnce(t *testing.T) {
	shared, err := transport.NewFrame(transport.Text, []byte(chat(4000, 7)))
	if err != nil {
		t.Fatal(err)
	}
	before := bytes.Clone(transport.FrameBytes(shared))
	unwilling := transport.NewFeeder(discarder{}, nil, false)
	if err := unwilling.Conn.SendFrames([]*transport.Frame{shared}); err != nil {
		t.Fatal(err)
	}
	if transport.DeflatedFrame(shared) != nil || !bytes.Equal(unwilling.Out, before) {
		t.Error("deflated for a connection that does not want it")
	}

	const n = 20
	fs := make([]*transport.Feeder, n)
	var wg sync.WaitGroup
	for i := range fs {
		fs[i] = transport.NewFeeder(discarder{}, deflated(), i%5 == 4)
		wg.Go(func() {
			if err := fs[i].Conn.SendFrames([]*transport.Frame{shared, shared}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	form := transport.DeflatedFrame(shared)
	for i, f := range fs {
		if i%5 == 4 {
			continue // masked
		}
		if !bytes.Equal(f.Out, cat(form, form)) {
			t.Errorf("connection %d sent something else", i)
		}
	}
	if !bytes.Equal(transport.FrameBytes(shared), before) || shared.Size() != len(before) {
		t.Error("the plain form was changed")
	}
	// From here on a frame costs a connection nothing.
	if got := testing.AllocsPerRun(100, func() {
		if err := fs[0].QueueFrameUnsent(shared); err != nil {
			t.Error(err)
		}
	}); got > 0 {
		t.Errorf("%v allocations for one more connection", got)
	}
	if after := transport.DeflatedFrame(shared); &after[0] != &form[0] {
		t.Error("deflated again")
	}
}

// Verify that the bounds of the queue count what is queued, to the byte.
func TestDeflateQueueBounds(t *testing.T) {
	payload := []byte(chat(10_000, 8))
	shared, err := transport.NewFrame(transport.Text, payload)
	if err != nil {
		t.Fatal(err)
	}
	for _, client := range []bool{false, true} {
		ways := map[string]func(c *transport.Conn) error{
			"Queue":      func(c *transport.Conn) error { return c.Queue(transport.Text, payload) },
			"QueueFrame": func(c *transport.Conn) error { return c.QueueFrame(shared) },
		}
		for how, queue := range ways {
			probe := transport.NewFeeder(discarder{}, deflated(), client).Conn
			if err := queue(probe); err != nil {
				t.Fatal(err)
			}
			size := probe.Buffered()
			if size >= len(payload)/2 {
				t.Fatalf("%s: %d bytes", how, size)
			}
			with := func(limit int) *transport.Conn {
				o := deflated()
				o.MaxQueueBytes = limit
				return transport.NewFeeder(discarder{}, o, client).Conn
			}
			if err := queue(with(size)); err != nil {
				t.Errorf("%s: a queue of just its size: %v", how, err)
			}
			c := with(size - 1)
			if err := queue(c); !errors.Is(err, transport.ErrTooLarge) {
				t.Errorf("%s: a queue of a byte less: %v", how, err)
			}
			if err := c.Queue(transport.Text, []byte("goes on")); err != nil {
				t.Error(err)
			}
			c = with(3*size - 1)
			for i, want := range []error{nil, nil, transport.ErrSlowConsumer, transport.ErrClosed} {
				if err := queue(c); !errors.Is(err, want) {
					t.Errorf("%s: message %d: %v, want %v", how, i, err, want)
				}
			}
		}
	}
}

// Verify that nothing is shared that should not be: many goroutines send on many
// connections, each its own texts of all sizes, and frames for all.
func TestDeflateRaces(t *testing.T) {
	const conns, senders, each = 6, 3, 40
	shared := make([]*transport.Frame, each)
	for i := range shared {
		f, err := transport.NewFrame(transport.Text, []byte("0:"+chat(50*i, uint64(i))))
		if err != nil {
			t.Fatal(err)
		}
		shared[i] = f
	}
	var wg sync.WaitGroup
	for n := range conns {
		o := &transport.Options{Deflate: n%3 != 2, DeflateThreshold: 100, MaxQueueFrames: -1, MaxQueueBytes: -1}
		s, c, sr, cr := pair(t, n%2 == 0, o)
		for _, conn := range []*transport.Conn{s, c} {
			for k := range senders + 1 {
				wg.Go(func() {
					for i := range each {
						body := fmt.Sprint(k, ":", chat(50*i, uint64(100*k+i)))
						var err error
						switch {
						case k == 0:
							err = conn.SendFrames(shared[i : i+1])
						case i%2 == 0:
							err = conn.Send(transport.Text, []byte(body))
						default:
							err = conn.SendText(body)
						}
						if err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
		wg.Go(func() {
			for _, rec := range []*recorder{sr, cr} {
				next := [senders + 1]int{}
				for _, m := range rec.wait(t, (senders+1)*each) {
					k := int(m.Data[0] - '0')
					if want := fmt.Sprint(k, ":", chat(50*next[k], uint64(100*k+next[k]))); m.Data != want {
						t.Errorf("message %d of sender %d is not what was sent", next[k], k)
						break
					}
					next[k]++
				}
			}
			c.Close(1000, "")
			sr.end(t)
			cr.end(t)
		})
	}
	wg.Wait()
}

// Verify that a message that comes after our close frame is not inflated any
// more, and that none is deflated for a connection that is closing.
func TestDeflateClosing(t *testing.T) {
	rec := newRecorder()
	f := transport.NewFeeder(rec, deflated(), false)
	f.Conn.Close(1000, "")
	f.Feed(cat(masked(fin|rsv1|opText, helloBlock), masked(fin|rsv1|opText, "\x07"), masked(rsv1|opText, "\x07"), masked(fin|opCont, "")))
	if err := rec.closeError(); err != nil {
		t.Errorf("ended by what nobody reads: %v", err)
	}
	shared, err := transport.NewFrame(transport.Text, []byte(chat(1000, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Conn.SendFrames([]*transport.Frame{shared}); !errors.Is(err, transport.ErrClosed) || transport.DeflatedFrame(shared) != nil {
		t.Errorf("SendFrames: %v", err)
	}
	f.End()
	if got := rec.messages(); len(got) > 0 {
		t.Errorf("handed over: %v", got)
	}
	if frames, _ := splitFrames(f.Out); len(frames) != 1 || frames[0].closeCode() != 1000 {
		t.Errorf("sent %v", frames)
	}
}

// inflateReference is what inflating should say, made of the standard library.
// The end of a message shows by what it does with two different blocks behind
// it: read wrongly, one of them would not end where its bytes do. unsure is true
// if a stored block took the tail, which can be read in two ways.
func inflateReference(payload []byte, end string) (out []byte, ok bool) {
	r := bytes.NewReader(append(append(bytes.Clone(payload), "\x00\x00\xff\xff"...), end...))
	for r.Len() > 0 {
		b, err := io.ReadAll(io.LimitReader(flate.NewReader(r), 1<<20)) // a bytes.Reader is read no further than needed
		if err != nil {
			return nil, false
		}
		out = append(out, b...)
	}
	return out, true
}

// FuzzInflate compares what is made of random input with the standard library.
func FuzzInflate(f *testing.F) {
	for _, z := range []string{helloBlock, helloAgain, helloStored, helloFinal, helloTwo, emptyBlock, finalBlock, emptyFinal, "",
		finalBlock + emptyFinal + finalBlock + "\x00", "\x00\x04\x00\xfb\xff", "\x01\x04\x00\xfb\xff", "\x00\x09\x00\xf6\xff", "\x01\x09\x00\xf6\xff",
		zip(f, chat(300, 1)), zip(f, strings.Repeat("ab", 5000)), zip(f, noise(100)), noise(50),
	} {
		f.Add([]byte(z), uint16(1000))
	}
	f.Fuzz(func(t *testing.T, payload []byte, n uint16) {
		limit := int(n) + 1
		before := bytes.Clone(payload)
		got, code := transport.Inflate(payload, limit)
		if !bytes.Equal(payload, before) {
			t.Error("the input was changed")
		}
		if len(got) > limit {
			t.Fatalf("%d bytes, limit %d", len(got), limit)
		}
		a, okA := inflateReference(payload, "\x01\x00\x00\xff\xff")
		b, okB := inflateReference(payload, "\x03\x00")
		want, ok := a, okA && okB && bytes.Equal(a, b)
		switch {
		case code == 0:
			if !ok || !bytes.Equal(got, want) {
				t.Errorf("%x: got %.100x, want %.100x, %v", payload, got, want, ok)
			}
		case code == transport.CloseMessageTooBig:
			if ok && len(want) <= limit {
				t.Errorf("%x: too big with %d bytes, limit %d", payload, len(want), limit)
			}
		case code != transport.CloseInvalidPayload:
			t.Errorf("code %d", code)
		case ok && !bytes.HasSuffix(want, []byte("\x00\x00\xff\xff")): // a stored block may have taken the tail
			t.Errorf("%x: refused, want %.100x", payload, want)
		}
	})
}

// FuzzDeflateRoundTrip deflates with ours and inflates with ours and with the
// standard library, and inflates what the latter has deflated.
func FuzzDeflateRoundTrip(f *testing.F) {
	f.Add([]byte{}, uint16(0))
	f.Add([]byte("a"), uint16(70_000&0xffff))
	f.Add([]byte(chat(700, 1)), uint16(3))
	f.Add([]byte(noise(300)), uint16(2))
	f.Fuzz(func(t *testing.T, seed []byte, repeat uint16) {
		payload := bytes.Repeat(seed, 1+int(repeat)%(1+200_000/(1+len(seed))))
		check := func(how string, z []byte) {
			got, code := transport.Inflate(z, max(1, len(payload)))
			if code != 0 || !bytes.Equal(got, payload) {
				t.Errorf("%s: code %d, %d bytes of %d", how, code, len(got), len(payload))
			}
			if len(payload) > 1 {
				if _, code := transport.Inflate(z, len(payload)-1); code != transport.CloseMessageTooBig {
					t.Errorf("%s: code %d with a limit below", how, code)
				}
			}
		}
		check("theirs", []byte(zip(t, string(payload))))
		z, ok := transport.Deflate(payload)
		if !ok {
			return
		}
		if len(z) >= len(payload) {
			t.Errorf("%d bytes became %d", len(payload), len(z))
		}
		check("ours", z)
		if unzip(t, string(z)) != string(payload) {
			t.Error("the standard library reads something else")
		}
	})
}

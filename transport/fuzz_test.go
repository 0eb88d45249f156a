package transport_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/transport"
)

// Limits of the parser under fuzzing, small enough to be met.
const (
	fuzzMessageBytes  = 300
	fuzzFragments     = 5
	fuzzControlFrames = 8
)

// runePrefixes returns every beginning of an encoded rune that is not all of it.
var runePrefixes = sync.OnceValue(func() map[string]bool {
	m := make(map[string]bool)
	for r := rune(0x80); r <= utf8.MaxRune; r++ {
		if utf8.ValidRune(r) {
			s := string(r)
			for i := 1; i < len(s); i++ {
				m[s[:i]] = true
			}
		}
	}
	return m
})

// canBecomeUTF8 says whether more bytes could make s valid.
func canBecomeUTF8(s string) bool {
	for cut := range min(4, len(s)+1) {
		head, tail := s[:len(s)-cut], s[len(s)-cut:]
		if utf8.ValidString(head) && (cut == 0 || runePrefixes()[tail]) {
			return true
		}
	}
	return false
}

// reference reads a whole stream of a client as RFC 6455 says, without a
// thought for speed. code is that of the first close frame or breach, 0 if there
// is neither.
func reference(in []byte) (msgs []message, code int) {
	var op byte // of the open message, 0 if none is
	var held string
	var frames, controls int
	for {
		if len(in) < 2 {
			return msgs, 0
		}
		first, isMasked, short := in[0], in[1]&0x80 != 0, in[1]&0x7f
		at, n := 2, uint64(short)
		switch short {
		case 126:
			if len(in) < 4 {
				return msgs, 0
			}
			if at, n = 4, uint64(binary.BigEndian.Uint16(in[2:])); n <= 125 {
				return msgs, 1002
			}
		case 127:
			if len(in) < 10 {
				return msgs, 0
			}
			if at, n = 10, binary.BigEndian.Uint64(in[2:]); n <= math.MaxUint16 || n > math.MaxInt64 {
				return msgs, 1002
			}
		}
		var mask [4]byte
		if isMasked {
			if len(in) < at+4 {
				return msgs, 0
			}
			mask, at = [4]byte(in[at:]), at+4
		}
		final, rsv, kind := first&0x80 != 0, first&0x70, first&0x0f
		control := kind >= 8
		switch {
		case kind > 2 && kind < 8, kind > 10, rsv != 0, !isMasked,
			control && (n > 125 || !final),
			kind == 0 && op == 0,
			!control && kind != 0 && op != 0:
			return msgs, 1002
		}
		if !control {
			if n > uint64(fuzzMessageBytes-len(held)) {
				return msgs, 1009
			}
			if frames++; frames > fuzzFragments {
				return msgs, 1008
			}
			if kind != 0 {
				op = kind
			}
		}
		in = in[at:]
		whole := uint64(len(in)) >= n
		payload := bytes.Clone(in[:min(n, uint64(len(in)))])
		for i := range payload {
			payload[i] ^= mask[i%4]
		}
		if control {
			if !whole {
				return msgs, 0
			}
			in = in[n:]
			if controls++; controls > fuzzControlFrames {
				return msgs, 1008
			}
			if kind != 8 {
				continue
			}
			if n == 0 {
				return msgs, 1005
			}
			if n == 1 {
				return msgs, 1002
			}
			code := int(binary.BigEndian.Uint16(payload))
			if code < 1000 || code > 4999 || code >= 1004 && code <= 1006 || code >= 1015 && code < 3000 {
				return msgs, 1002
			}
			if !utf8.Valid(payload[2:]) {
				return msgs, 1007
			}
			return msgs, code
		}
		held += string(payload)
		if op == opText && (!canBecomeUTF8(held) || whole && final && !utf8.ValidString(held)) {
			return msgs, 1007
		}
		if !whole {
			return msgs, 0
		}
		in = in[n:]
		if final {
			msgs = append(msgs, message{transport.Op(op), held})
			op, held, frames = 0, "", 0
		}
	}
}

// FuzzParser feeds random bytes in random pieces and compares what comes out
// with the reference.
func FuzzParser(f *testing.F) {
	seed := func(in []byte) {
		f.Add(in, []byte{1})
		f.Add(in, []byte{255, 3, 7})
	}
	seed(cat(masked(fin|opText, "Hello"), masked(fin|opBinary, "\x00\xff"), masked(fin|opText, "")))
	seed(cat(masked(opText, "ä€"), masked(fin|opPing, "p"), masked(opCont, "\xf0\x9f"), masked(fin|opCont, "\x98\x80"), masked(fin|opClose, closing(1000, "bye"))))
	seed(cat(masked(opText, "ä€"), masked(fin|opCont, "\xed\xa0")))
	seed(masked(fin|opBinary, strings.Repeat("x", fuzzMessageBytes)))
	seed(masked(fin|opBinary, strings.Repeat("x", fuzzMessageBytes+1)))
	seed(bytes.Repeat(masked(opCont, ""), 3))
	seed(cat(masked(opBinary, ""), bytes.Repeat(masked(opCont, ""), fuzzFragments)))
	seed(bytes.Repeat(masked(fin|opPong, ""), fuzzControlFrames+1))
	seed(plain(fin|opText, "unmasked"))
	seed(masked(fin|opClose, closing(1005, "")))
	seed(masked(fin|opClose, "\x03"))
	seed([]byte{fin | opText, 0x80 | 127, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4})
	seed([]byte{fin | opText, 0x80 | 126, 0, 5})
	for _, tt := range utf8Tests {
		seed(masked(fin|opText, tt.text))
		seed(cat(masked(opText, tt.text), masked(fin|opCont, "x")))
	}
	opts := &transport.Options{MaxMessageBytes: fuzzMessageBytes, MaxFragments: fuzzFragments, MaxControlFrames: fuzzControlFrames}
	f.Fuzz(func(t *testing.T, in, sizes []byte) {
		want := outcome{}
		want.Messages, want.Code = reference(in)
		rec := newRecorder()
		feeder := transport.NewFeeder(rec, opts, false)
		for rest, i := in, 0; len(rest) > 0; i++ {
			n := len(rest)
			if len(sizes) > 0 {
				n = min(n, 1+int(sizes[i%len(sizes)]))
			}
			feeder.Feed(bytes.Clone(rest[:n]))
			rest = rest[n:]
		}
		got := outcome{Messages: rec.messages()}
		if err := rec.closeError(); err != nil {
			got.Code = err.Code
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		frames, rest := splitFrames(feeder.Out)
		if len(rest) > 0 {
			t.Errorf("half a frame was sent: %x", rest)
		}
		for i, fr := range frames {
			if last := i == len(frames)-1; fr.First == fin|opClose != (last && got.Code != 0) {
				t.Errorf("frame %d of %d is %v, end is %d", i, len(frames), fr, got.Code)
			}
			if code := fr.closeCode(); code != 0 && code != got.Code {
				t.Errorf("close frame with %d, OnClose with %d", code, got.Code)
			}
		}
		feeder.End()
		rec.end(t)
		if !feeder.Empty() && got.Code == 0 {
			t.Error("a buffer is held after the end")
		}
	})
}

// FuzzCipher compares the masking of our library with the plain loop, at every
// offset and alignment: the parser unmasks in place, wherever a frame lies.
func FuzzCipher(f *testing.F) {
	f.Add([]byte("Hello"), uint32(0x37fa213d), uint(0), uint8(0))
	f.Add(bytes.Repeat([]byte("0123456789"), 20), uint32(1), uint(3), uint8(5))
	f.Add([]byte{}, uint32(0), uint(math.MaxInt32), uint8(63))
	f.Fuzz(func(t *testing.T, payload []byte, word uint32, offset uint, shift uint8) {
		mask := [4]byte(binary.BigEndian.AppendUint32(nil, word))
		from := int(offset % (1 << 30))
		for n := len(payload); ; n /= 2 {
			room := make([]byte, 64+len(payload)+64)
			at := int(shift % 64)
			part := room[at : at+n]
			copy(part, payload)
			ws.Cipher(part, mask, from)
			for i := range n {
				if part[i] != payload[i]^mask[(from+i)%4] {
					t.Fatalf("%d bytes, offset %d, alignment %d: byte %d is wrong", n, from, at, i)
				}
			}
			if outside := cat(room[:at], room[at+n:]); len(bytes.Trim(outside, "\x00")) > 0 {
				t.Fatalf("%d bytes, offset %d, alignment %d: wrote outside", n, from, at)
			}
			if n == 0 {
				return
			}
		}
	})
}

// chopConn reads in pieces of the given sizes.
type chopConn struct {
	net.Conn
	sizes []byte
	i     int
}

func (c *chopConn) Read(p []byte) (int, error) {
	if len(c.sizes) > 0 && len(p) > 0 {
		c.i++
		p = p[:min(len(p), 1+int(c.sizes[c.i%len(c.sizes)]))]
	}
	return c.Conn.Read(p)
}

// FuzzPipeRoundTrip sends messages of all kinds and sizes from both ends, read
// in all kinds of pieces: what is sent arrives.
func FuzzPipeRoundTrip(f *testing.F) {
	f.Add([]byte("Hello"), []byte{0, 1, 2, 125, 126, 127, 250}, []byte{})
	f.Add([]byte("a"), []byte{255, 254, 253, 3, 0, 0}, []byte{0, 200, 30})
	f.Add([]byte("\xff"), []byte{10, 20}, []byte{1})
	f.Add([]byte{}, []byte("0"), []byte("0"))
	f.Fuzz(func(t *testing.T, seed, sizes, pieces []byte) {
		if len(seed) == 0 {
			seed = []byte{0} // a body of any size is made of it
		}
		var want []message
		for i, size := range sizes[:min(len(sizes), 40)] {
			n := int(size)
			if n > 200 {
				n = (n - 200) * 300 // up to 16,500: more than a read and a write
			}
			body := strings.Repeat(string(seed), n/len(seed)+1)[:n]
			op := transport.Binary
			if i%2 == 0 && utf8.ValidString(body) {
				op = transport.Text
			}
			want = append(want, message{op, body})
		}
		near, far := net.Pipe()
		sr, cr, conns := newRecorder(), newRecorder(), make(chan *transport.Conn, 1)
		s := acceptServer(t, func(c *transport.Conn, _ *transport.Handshake) transport.Handler {
			conns <- c
			return sr
		}, nil)
		s.ServeConn(&chopConn{Conn: far, sizes: pieces})
		client, err := dialerOver(&chopConn{Conn: near, sizes: pieces}, nil).Dial(t.Context(), "ws://pipe/", cr)
		if err != nil {
			t.Fatal(err)
		}
		server := <-conns
		for i, m := range want {
			for _, c := range []*transport.Conn{server, client} {
				switch i % 3 {
				case 0:
					err = c.Send(m.Op, []byte(m.Data))
				case 1:
					err = c.Queue(m.Op, []byte(m.Data))
				case 2:
					var shared *transport.Frame
					if shared, err = transport.NewFrame(m.Op, []byte(m.Data)); err == nil {
						err = c.SendFrames([]*transport.Frame{shared})
					}
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, c := range []*transport.Conn{server, client} {
			c.Flush()
		}
		for name, rec := range map[string]*recorder{"server": sr, "client": cr} {
			if diff := cmp.Diff(want, rec.wait(t, len(want))); diff != "" {
				t.Errorf("%s (-want +got):\n%.2000s", name, diff)
			}
		}
		server.Close(1000, "")
		sr.end(t)
		cr.end(t)
		shutdown(t, s)
	})
}

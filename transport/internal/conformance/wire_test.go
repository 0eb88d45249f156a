package conformance_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Bits and opcodes of a frame's first octet (RFC 6455, section 5.2).
const (
	fin  = 0x80
	rsv1 = 0x40
	rsv2 = 0x20
	rsv3 = 0x10

	opCont   = 0x0
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xa
)

// frame is a frame without its masking.
type frame struct {
	first   byte
	payload string
}

func (f frame) control() bool { return f.first&0x08 != 0 }

func (f frame) String() string {
	op := f.first & 0x0f
	name := fmt.Sprintf("opcode %d", op)
	switch op {
	case opCont:
		name = "continuation"
	case opText:
		name = "text"
	case opBinary:
		name = "binary"
	case opClose:
		name = "close"
		if len(f.payload) >= 2 {
			name = fmt.Sprintf("close %d", binary.BigEndian.Uint16([]byte(f.payload)))
		}
	case opPing:
		name = "ping"
	case opPong:
		name = "pong"
	}
	if f.first&fin == 0 {
		name += " without FIN"
	}
	if rsv := f.first & (rsv1 | rsv2 | rsv3); rsv != 0 {
		name += fmt.Sprintf(" with RSV bits %03b", rsv>>4)
	}
	if len(f.payload) > 40 {
		return fmt.Sprintf("%s %.40q… (%d octets)", name, f.payload, len(f.payload))
	}
	return fmt.Sprintf("%s %q", name, f.payload)
}

// sent is a frame as the peer sends it, with all that may be wrong about it.
type sent struct {
	frame
	wrongMask bool     // masked by a server, or not masked by a client
	key       *[4]byte // the masking key; nil for one of the peer's choice
	form      int      // octets of the extended payload length, 2 or 8; 0 for the fewest
	length    *uint64  // declared instead of what the payload has
	withhold  int      // octets of the payload that are never sent
}

// encode appends the octets of the frame.
func (s sent) encode(dst []byte, masked bool, key [4]byte) []byte {
	masked = masked != s.wrongMask
	n := uint64(len(s.payload))
	if s.length != nil {
		n = *s.length
	}
	var bit byte
	if masked {
		bit = 0x80
	}
	dst = append(dst, s.first)
	switch {
	case s.form == 8 || s.form == 0 && n > 0xffff:
		dst = binary.BigEndian.AppendUint64(append(dst, bit|127), n)
	case s.form == 2 || n > 125:
		dst = binary.BigEndian.AppendUint16(append(dst, bit|126), uint16(n))
	default:
		dst = append(dst, bit|byte(n))
	}
	if !masked {
		return append(dst, s.payload[:len(s.payload)-s.withhold]...)
	}
	if s.key != nil {
		key = *s.key
	}
	dst = append(dst, key[:]...)
	at := len(dst)
	dst = append(dst, s.payload[:len(s.payload)-s.withhold]...)
	ws.Cipher(dst[at:], key, 0)
	return dst
}

// f is a frame with nothing wrong about its form.
func f(first byte, payload string) sent { return sent{frame: frame{first, payload}} }

func text(s string) sent       { return f(fin|opText, s) }
func binaryMsg(s string) sent  { return f(fin|opBinary, s) }
func ping(s string) sent       { return f(fin|opPing, s) }
func pong(s string) sent       { return f(fin|opPong, s) }
func closing(body string) sent { return f(fin|opClose, body) }

// withheld is a frame the last n octets of whose payload are never sent.
func withheld(s sent, n int) sent {
	s.withhold = n
	return s
}

func unfit(s sent) sent {
	s.wrongMask = true
	return s
}

// closeBody is the payload of a close frame.
func closeBody(code int, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
}

// fragments cuts a message into frames of size octets.
func fragments(op byte, payload string, size int) []sent {
	var out []sent
	for first := op; ; first = opCont {
		n := min(size, len(payload))
		if n == len(payload) {
			return append(out, f(fin|first, payload))
		}
		out, payload = append(out, f(first, payload[:n])), payload[n:]
	}
}

// allowedCloseCode says whether a close frame may have this code (RFC 6455,
// section 7.4, with what IANA has registered since).
func allowedCloseCode(code int) bool {
	switch {
	case code >= 3000 && code <= 4999:
		return true
	case code == 1004, code == 1005, code == 1006:
		return false
	}
	return code >= 1000 && code <= 1014
}

// reader reads the frames of the side under test, and is strict about them.
type reader struct {
	r      *bufio.Reader
	masked bool // they come from a client
	last   [4]byte
	n      int
	noise  bool // RSV1 may be set on the first frame of a message
}

var errAfterClose = errors.New("a frame after the close frame")

// next returns the next frame. It is an error of the side under test if its
// form is not exactly what RFC 6455, section 5, demands of a sender.
func (r *reader) next() (fr frame, err error) {
	var head [8]byte
	if _, err = io.ReadFull(r.r, head[:1]); err != nil {
		return fr, err // io.EOF between two frames only
	}
	fr.first = head[0]
	inside := func(p []byte) error {
		if _, err := io.ReadFull(r.r, p); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("inside a frame: %w", err)
		}
		return nil
	}
	if err = inside(head[:1]); err != nil {
		return fr, err
	}
	masked, n := head[0]&0x80 != 0, uint64(head[0]&0x7f)
	least := uint64(0)
	switch n {
	case 126:
		err = inside(head[:2])
		n, least = uint64(binary.BigEndian.Uint16(head[:])), 126
	case 127:
		err = inside(head[:8])
		n, least = binary.BigEndian.Uint64(head[:]), 1<<16
	}
	if err != nil {
		return fr, err
	}
	op := fr.first & 0x0f
	switch {
	case masked != r.masked:
		return fr, fmt.Errorf("%v: masked is %v", fr, masked)
	case n < least:
		return fr, fmt.Errorf("%v: length %d not in the fewest octets", fr, n)
	case n > 64<<20:
		return fr, fmt.Errorf("%v: length %d", fr, n)
	case op > opBinary && op < opClose || op > opPong:
		return fr, fmt.Errorf("%v: reserved opcode", fr)
	case fr.first&(rsv2|rsv3) != 0,
		fr.first&rsv1 != 0 && (!r.noise || op != opText && op != opBinary):
		return fr, fmt.Errorf("%v: reserved bit", fr)
	case fr.control() && (n > 125 || fr.first&fin == 0):
		return fr, fmt.Errorf("%v: control frame of %d octets", fr, n)
	}
	var key [4]byte
	if masked {
		if err = inside(key[:]); err != nil {
			return fr, err
		}
		if r.n > 0 && key == r.last {
			return fr, fmt.Errorf("%v: masked with the key of the frame before", fr)
		}
		r.last = key
	}
	r.n++
	p := make([]byte, n)
	if err = inside(p); err != nil {
		return fr, err
	}
	if masked {
		ws.Cipher(p, key, 0)
	}
	fr.payload = string(p)
	if op == opClose && n > 0 {
		switch {
		case n == 1:
			return fr, errors.New("close frame with half a code")
		case !allowedCloseCode(int(binary.BigEndian.Uint16(p))):
			return fr, fmt.Errorf("%v: code that must not be sent", fr)
		case !utf8.Valid(p[2:]):
			return fr, fmt.Errorf("%v: reason is not UTF-8", fr)
		}
	}
	return fr, nil
}

// writeChopped writes b in pieces of chop octets, or whole if chop is 0.
func writeChopped(nc net.Conn, b []byte, chop int) error {
	for len(b) > 0 {
		n := len(b)
		if chop > 0 {
			n = min(n, chop)
		}
		if _, err := nc.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// filler returns n octets of text.
func filler(n int) string {
	const line = "The quick brown fox jumps over the lazy dog, 0123456789 times. "
	return strings.Repeat(line, n/len(line)+1)[:n]
}

// octets returns n octets that are noise, the same in each run.
func octets(n int) string {
	b := make([]byte, n)
	x := uint32(n)*2654435761 | 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x >> 11)
	}
	return string(b)
}

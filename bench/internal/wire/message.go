package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"
)

// Message makes the messages of a run and checks those that come back. Each
// carries the number of the connection that sent it, its sequence number on
// that connection, and a filler. A Message may be used by one goroutine at a
// time.
type Message struct {
	frame   []byte // masked, with holes
	head    int    // length of the frame's header
	size    int    // of a payload
	key     [4]byte
	holes   []hole
	text    string // what follows the connection's number, as it comes back
	binary  bool
	extract func(m *Message, payload []byte) (conn uint32, seq uint64, ok bool)
}

// hole is a place in the payload where a number goes.
type hole struct {
	offset int
	kind   holeKind
}

type holeKind uint8

const (
	connDigits holeKind = iota // ten decimal digits
	seqDigits
	seqBytes // four bytes, big-endian
)

// digits is the width of a number in text, and first the number that sequence
// number 0 goes by: it has that width, and as a JSON number no leading zero.
const (
	digits = 10
	first  = 1_000_000_000
)

// MinText is the shortest payload that Text makes.
const MinText = 2*digits + 2

var errShort = errors.New("wire: payload too short for its numbers")

// Text returns messages of exactly size bytes.
func Text(size int) (*Message, error) {
	if size < MinText {
		return nil, errShort
	}
	m := &Message{text: filler(size - MinText), extract: (*Message).extractText}
	payload := zeros + ":" + zeros + ":" + m.text
	m.build(OpText, payload, hole{0, connDigits}, hole{digits + 1, seqDigits})
	return m, nil
}

const zeros = "0000000000"

// textSize is the length of the text in a call.
const textSize = 48

// CallJSON returns JSON-RPC calls of the method echo, in JSON.
func CallJSON() *Message {
	const before, middle, after = `{"jsonrpc":"2.0","method":"echo","params":{"seq":`, `,"text":"`, `"},"id":`
	m := &Message{text: filler(textSize - digits), extract: (*Message).extractJSON}
	payload := before + zeros + middle + zeros + m.text + after + zeros + `}`
	m.build(OpText, payload,
		hole{len(before), seqDigits},
		hole{len(before) + digits + len(middle), connDigits},
		hole{len(payload) - digits - 1, seqDigits})
	return m
}

// CallMsgpack returns the same calls in MessagePack, in binary frames.
func CallMsgpack() *Message {
	const before = "\x84\xa7jsonrpc\xa32.0\xa6method\xa4echo\xa6params\x82\xa3seq\xce"
	const middle = "\xa4text\xd9\x30" // a string of 48 bytes
	const after = "\xa2id\xce"
	m := &Message{text: filler(textSize - digits), binary: true, extract: (*Message).extractMsgpack}
	payload := before + "\x00\x00\x00\x00" + middle + zeros + m.text + after + "\x00\x00\x00\x00"
	m.build(OpBinary, payload,
		hole{len(before), seqBytes},
		hole{len(before) + 4 + len(middle), connDigits},
		hole{len(payload) - 4, seqBytes})
	return m
}

// filler is text without a pattern that a shifted copy would match.
func filler(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	b := make([]byte, n)
	x := uint32(2463534242)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = letters[x>>26]
	}
	return string(b)
}

func (m *Message) build(op byte, payload string, holes ...hole) {
	m.key = [4]byte{0x5a, 0xc3, 0x96, 0x3d}
	m.frame = AppendFrame(nil, op, m.key, []byte(payload))
	m.head = len(m.frame) - len(payload)
	m.holes = holes
	if m.size == 0 {
		m.size = len(payload)
	}
}

// Append appends the masked frame of one message.
func (m *Message) Append(dst []byte, conn uint32, seq uint64) []byte {
	at := len(dst)
	dst = append(dst, m.frame...)
	payload := dst[at+m.head:]
	for _, h := range m.holes {
		switch h.kind {
		case connDigits:
			m.putDigits(payload, h.offset, uint64(conn))
		case seqDigits:
			m.putDigits(payload, h.offset, first+seq)
		case seqBytes:
			p := payload[h.offset : h.offset+4]
			binary.BigEndian.PutUint32(p, uint32(first+seq))
			Mask(m.key, p, h.offset)
		}
	}
	return dst
}

func (m *Message) putDigits(payload []byte, offset int, v uint64) {
	p := payload[offset : offset+digits]
	for i := digits - 1; i >= 0; i-- {
		p[i] = byte('0'+v%10) ^ m.key[(offset+i)&3]
		v /= 10
	}
}

// Check takes the numbers from the payload of a message that came back. It
// reports false if the message is not one that Append makes, or the answer to
// one.
func (m *Message) Check(f Frame) (conn uint32, seq uint64, ok bool) {
	if (f.Op == OpBinary) != m.binary {
		return 0, 0, false
	}
	return m.extract(m, f.Payload)
}

func (m *Message) extractText(b []byte) (conn uint32, seq uint64, ok bool) {
	if len(b) != m.size || b[digits] != ':' || b[MinText-1] != ':' || string(b[MinText:]) != m.text {
		return 0, 0, false
	}
	c, ok := number(b[:digits])
	s, ok2 := number(b[digits+1 : 2*digits+1])
	return uint32(c), s - first, ok && ok2 && s >= first
}

func (m *Message) extractJSON(b []byte) (conn uint32, seq uint64, ok bool) {
	if bytes.Contains(b, []byte(`"error"`)) {
		return 0, 0, false
	}
	text := after(b, `"text":"`)
	if len(text) <= textSize || text[textSize] != '"' || string(text[digits:textSize]) != m.text {
		return 0, 0, false
	}
	c, ok := number(text[:digits])
	s, ok2 := leading(after(b, `"seq":`))
	id, ok3 := leading(after(b, `"id":`))
	return uint32(c), s - first, ok && ok2 && ok3 && s == id && s >= first
}

func (m *Message) extractMsgpack(b []byte) (conn uint32, seq uint64, ok bool) {
	text := after(b, "\xa4text\xd9\x30")
	if len(text) < textSize || string(text[digits:textSize]) != m.text || bytes.Contains(b, []byte("\xa5error")) {
		return 0, 0, false
	}
	c, ok := number(text[:digits])
	s, ok2 := packed(after(b, "\xa3seq"))
	id, ok3 := packed(after(b, "\xa2id"))
	return uint32(c), s - first, ok && ok2 && ok3 && s == id && s >= first
}

// after returns what follows the first occurrence of name, or nothing.
func after(b []byte, name string) []byte {
	i := bytes.Index(b, []byte(name))
	if i < 0 {
		return nil
	}
	return b[i+len(name):]
}

// number reads b as a decimal number.
func number(b []byte) (v uint64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	return v, len(b) > 0
}

// leading reads the decimal number with which b begins, quoted or not.
func leading(b []byte) (v uint64, ok bool) {
	if len(b) > 0 && b[0] == '"' {
		b = b[1:]
	}
	n := 0
	for n < len(b) && n < 19 && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	return number(b[:n])
}

// packed reads the MessagePack integer with which b begins. Servers may encode
// it anew, so that all forms that hold such a number are accepted.
func packed(b []byte) (v uint64, ok bool) {
	switch {
	case len(b) >= 5 && (b[0] == 0xce || b[0] == 0xd2):
		return uint64(binary.BigEndian.Uint32(b[1:])), true
	case len(b) >= 9 && (b[0] == 0xcf || b[0] == 0xd3):
		return binary.BigEndian.Uint64(b[1:]), true
	}
	return 0, false
}

// CloseFrame returns a masked close frame with code 1000.
func CloseFrame() []byte {
	return AppendFrame(nil, OpClose, [4]byte{0x11, 0x22, 0x33, 0x44}, []byte{0x03, 0xe8})
}

// CloseCode returns the code of a close frame's payload, or "none".
func CloseCode(payload []byte) string {
	if len(payload) < 2 {
		return "none"
	}
	return strconv.Itoa(int(binary.BigEndian.Uint16(payload)))
}

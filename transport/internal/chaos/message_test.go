package chaos_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// message is what tells one message from all others.
type message struct {
	origin uint32 // the connection, or groupBit and the group
	sender uint16 // an index of link.logs, or fromClient
	seq    uint32
}

const (
	groupBit   = 1 << 31
	fromClient = 99
)

// The senders of a server: some goroutines for each connection, its handler, and
// the broadcaster of its group.
const (
	maxSolo = 4
	replier = maxSolo
	caster  = maxSolo + 1
	senders = maxSolo + 2
)

// A message begins with origin, sender, seq, length and checksum, in hex so that
// it may be text; the rest is filling.
const (
	headBytes = 18
	headSize  = 2 * headBytes
	crcAt     = 2 * 14
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// filling is what messages are filled with, by Op; text is ASCII.
var filling = func() map[transport.Op][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	text, binary := make([]byte, 640<<10), make([]byte, 640<<10)
	for i := range text {
		text[i], binary[i] = byte(' '+rnd.IntN(95)), byte(rnd.Uint32())
	}
	return map[transport.Op][]byte{transport.Text: text, transport.Binary: binary}
}()

func (m message) op() transport.Op {
	if (m.origin+uint32(m.sender)+m.seq)%3 == 0 {
		return transport.Text
	}
	return transport.Binary
}

// appendTo appends the message, made to be size bytes long.
func (m message) appendTo(b []byte, size int) []byte {
	size = max(size, headSize)
	var head [headBytes]byte
	binary.BigEndian.PutUint32(head[0:], m.origin)
	binary.BigEndian.PutUint16(head[4:], m.sender)
	binary.BigEndian.PutUint32(head[6:], m.seq)
	binary.BigEndian.PutUint32(head[10:], uint32(size))
	at := len(b)
	b = hex.AppendEncode(b, head[:14])
	fill := filling[m.op()]
	from := int((m.origin*31+uint32(m.sender)*7+m.seq)%uint32(len(fill))) / 2
	rest := fill[from : from+size-headSize]
	crc := crc32.Update(crc32.Checksum(b[at:], castagnoli), castagnoli, rest)
	binary.BigEndian.PutUint32(head[14:], crc)
	b = hex.AppendEncode(b, head[14:])
	return append(b, rest...)
}

// parse takes a message apart and checks that it is whole.
func parse(op transport.Op, b []byte) (m message, err error) {
	if len(b) < headSize {
		return m, fmt.Errorf("message of %d bytes", len(b))
	}
	var head [headBytes]byte
	if _, err := hex.Decode(head[:], b[:headSize]); err != nil {
		return m, fmt.Errorf("head of message: %w", err)
	}
	m = message{binary.BigEndian.Uint32(head[0:]), binary.BigEndian.Uint16(head[4:]), binary.BigEndian.Uint32(head[6:])}
	crc := crc32.Update(crc32.Checksum(b[:crcAt], castagnoli), castagnoli, b[headSize:])
	switch {
	case int(binary.BigEndian.Uint32(head[10:])) != len(b):
		err = fmt.Errorf("%+v has %d bytes", m, len(b))
	case binary.BigEndian.Uint32(head[14:]) != crc:
		err = fmt.Errorf("%+v fails its checksum", m)
	case op != m.op():
		err = fmt.Errorf("%+v came as %v", m, op)
	}
	return m, err
}

// size draws the length of a message: mostly short, seldom longer than what is
// written at once.
func size(rnd *rand.Rand) int {
	switch rnd.IntN(40) {
	case 0:
		return headSize + rnd.IntN(100_000)
	case 1, 2:
		return headSize + rnd.IntN(20_000)
	case 3, 4, 5, 6:
		return headSize + rnd.IntN(2000)
	}
	return headSize + rnd.IntN(200)
}

// span draws a time below d.
func span(rnd *rand.Rand, d time.Duration) time.Duration { return time.Duration(rnd.Int64N(int64(d))) }

// appendFrame appends a frame of a client (RFC 6455, section 5.2).
func appendFrame(b []byte, rnd *rand.Rand, first byte, payload []byte) []byte {
	n := len(payload)
	switch {
	case n <= 125:
		b = append(b, first, 0x80|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, first, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, first, 0x80|127), uint64(n))
	}
	mask := [4]byte(binary.BigEndian.AppendUint32(nil, rnd.Uint32()))
	b = append(b, mask[:]...)
	for i, c := range payload {
		b = append(b, c^mask[i%4])
	}
	return b
}

// First bytes of frames.
const (
	fin     = 0x80
	opCont  = 0x0
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xa
)

// appendMessage appends a message of a client, in up to five fragments with
// pings between them.
func appendMessage(b []byte, rnd *rand.Rand, m message, size int) []byte {
	payload := m.appendTo(nil, size)
	first := byte(m.op())
	for rnd.IntN(3) == 0 && len(payload) > 0 {
		n := rnd.IntN(len(payload))
		b = appendFrame(b, rnd, first, payload[:n])
		if rnd.IntN(4) == 0 {
			b = appendFrame(b, rnd, fin|opPing, payload[:min(n, rnd.IntN(126))])
		}
		first, payload = opCont, payload[n:]
	}
	return appendFrame(b, rnd, fin|first, payload)
}

var errTooLong = errors.New("frame is longer than anything that was sent")

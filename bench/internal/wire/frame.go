// Package wire is a WebSocket client reduced to what a load generator needs:
// requests to upgrade, frames masked in advance, a parser over bytes, and the
// checks that tell whether what came back is what was sent. It shares no code
// with the servers that it judges.
package wire

import (
	"encoding/binary"
	"errors"
)

// Opcodes of RFC 6455, section 5.2.
const (
	OpText   = 0x1
	OpBinary = 0x2
	OpClose  = 0x8
	OpPing   = 0x9
	OpPong   = 0xa
)

// Frame is one frame as it came. Payload is part of the buffer it was parsed
// from, already unmasked.
type Frame struct {
	Op      byte
	Masked  bool
	Payload []byte
}

// What a server may not send to this client.
var (
	ErrReserved   = errors.New("frame with reserved bits or a reserved opcode")
	ErrFragmented = errors.New("fragmented message")
	ErrTooLong    = errors.New("frame longer than any that was asked for")
)

// MaxPayload is the longest payload that Next accepts.
const MaxPayload = 1 << 20

// Next parses the frame at the beginning of b and returns its length in bytes;
// 0 means that it is not complete. A masked payload is unmasked in place.
func Next(b []byte) (f Frame, n int, err error) {
	head, size, err := measure(b)
	if err != nil || head == 0 || len(b) < head+size {
		return Frame{}, 0, err
	}
	f.Op = b[0] & 0x0f
	f.Payload = b[head : head+size]
	if f.Masked = b[1]&0x80 != 0; f.Masked {
		Mask([4]byte(b[head-4:head]), f.Payload, 0)
	}
	switch {
	case b[0]&0x70 != 0, f.Op > OpPong, f.Op > OpBinary && f.Op < OpClose:
		return Frame{}, 0, ErrReserved
	case b[0]&0x80 == 0, f.Op == 0:
		return Frame{}, 0, ErrFragmented
	}
	return f, head + size, nil
}

// Count returns how many whole frames b begins with and where they end. It
// looks at nothing but their lengths.
func Count(b []byte) (frames, end int, err error) {
	for {
		head, size, err := measure(b[end:])
		if err != nil || head == 0 || len(b)-end < head+size {
			return frames, end, err
		}
		frames++
		end += head + size
	}
}

// Length returns the length of the frame at the beginning of b, or 0 if it is
// not all there.
func Length(b []byte) int {
	head, size, err := measure(b)
	if err != nil || head == 0 || len(b) < head+size {
		return 0
	}
	return head + size
}

// measure returns the lengths of header and payload; head 0 means that the
// header is not complete.
func measure(b []byte) (head, size int, err error) {
	if len(b) < 2 {
		return 0, 0, nil
	}
	head, size = 2, int(b[1]&0x7f)
	switch size {
	case 126:
		if head = 4; len(b) < head {
			return 0, 0, nil
		}
		size = int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if head = 10; len(b) < head {
			return 0, 0, nil
		}
		long := binary.BigEndian.Uint64(b[2:])
		if long > MaxPayload {
			return 0, 0, ErrTooLong
		}
		size = int(long)
	}
	if b[1]&0x80 != 0 {
		if head += 4; len(b) < head {
			return 0, 0, nil
		}
	}
	return head, size, nil
}

// AppendFrame appends a masked frame, as a client sends it.
func AppendFrame(dst []byte, op byte, key [4]byte, payload []byte) []byte {
	dst = append(dst, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, 0x80|byte(n))
	case n < 1<<16:
		dst = append(dst, 0x80|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, 0x80|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	dst = append(dst, key[:]...)
	at := len(dst)
	dst = append(dst, payload...)
	Mask(key, dst[at:], 0)
	return dst
}

// Mask applies a mask to b, which begins at the given offset of its payload
// (RFC 6455, section 5.3).
func Mask(key [4]byte, b []byte, offset int) {
	for ; offset&3 != 0 && len(b) > 0; offset++ {
		b[0] ^= key[offset&3]
		b = b[1:]
	}
	word := uint64(binary.LittleEndian.Uint32(key[:]))
	word |= word << 32
	for ; len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^word)
	}
	for i := range b {
		b[i] ^= key[i&3]
	}
}

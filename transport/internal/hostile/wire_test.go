package hostile_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/gobwas/ws"
)

// What a peer sends is made by hand here, so that the package under test is not
// compared with itself; only the masking is the library's.

const fin = 0x80

// First bytes of frames, without FIN.
const (
	opCont   = 0x0
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xa
)

const (
	rsv1 = 0x40
	rsv2 = 0x20
	rsv3 = 0x10
)

var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d} // of the examples of RFC 6455, section 5.7

// masked returns a client's frame.
func masked(b0 byte, payload string) []byte {
	b := declared(b0, uint64(len(payload)))
	at := len(b)
	b = append(b, payload...)
	ws.Cipher(b[at:], mask, 0)
	return b
}

// declared returns the header of a client's frame, with a minimal length.
func declared(b0 byte, n uint64) []byte {
	switch {
	case n < 126:
		return lengthOf(b0, 7, n)
	case n < 1<<16:
		return lengthOf(b0, 16, n)
	}
	return lengthOf(b0, 64, n)
}

// lengthOf returns the header of a client's frame, with a length of 7, 16 or 64
// bits, minimal or not.
func lengthOf(b0 byte, bits int, n uint64) []byte {
	b := []byte{b0}
	switch bits {
	case 7:
		b = append(b, 0x80|byte(n))
	case 16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), n)
	}
	return append(b, mask[:]...)
}

// unmasked returns a short frame as servers send it.
func unmasked(b0 byte, payload string) []byte {
	return append([]byte{b0, byte(len(payload))}, payload...)
}

// closing returns the payload of a close frame.
func closing(code int, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func x(n int) string { return strings.Repeat("x", n) }

// frame is one from the server.
type frame struct {
	b0   byte
	data string
}

func text(s string) frame   { return frame{fin | opText, s} }
func binMsg(s string) frame { return frame{fin | opBinary, s} }
func pong(s string) frame   { return frame{fin | opPong, s} }

func (f frame) String() string {
	if len(f.data) > 60 {
		return fmt.Sprintf("%#x %q… (%d bytes)", f.b0, f.data[:60], len(f.data))
	}
	return fmt.Sprintf("%#x %q", f.b0, f.data)
}

func (f frame) isClose() bool { return f.b0 == fin|opClose }

// code returns the code of a close frame, 1005 if it has none.
func (f frame) code() int {
	if len(f.data) < 2 {
		return 1005
	}
	return int(binary.BigEndian.Uint16([]byte(f.data)))
}

// pathMark stands for the request target, by which the server knows the case.
const pathMark = "/PATH"

// sampleKey is the one of RFC 6455, section 1.3.
const sampleKey = "dGhlIHNhbXBsZSBub25jZQ=="

// head is a request head, line by line.
type head []string

// proper is a handshake without fault.
var proper = head{
	"GET " + pathMark + " HTTP/1.1",
	"Host: example.test",
	"Upgrade: websocket",
	"Connection: Upgrade",
	"Sec-WebSocket-Key: " + sampleKey,
	"Sec-WebSocket-Version: 13",
}

// with returns the head with more lines at its end.
func (h head) with(lines ...string) head { return append(slices.Clone(h), lines...) }

// without returns the head without the fields of this name.
func (h head) without(name string) head {
	return slices.DeleteFunc(slices.Clone(h), func(line string) bool { return strings.HasPrefix(line, name+":") })
}

// instead returns the head with these lines in the place of the field of this
// name; "" is the request line.
func (h head) instead(name string, lines ...string) head {
	i := 0
	if name != "" {
		i = slices.IndexFunc(h, func(line string) bool { return strings.HasPrefix(line, name+":") })
	}
	return slices.Replace(slices.Clone(h), i, i+1, lines...)
}

// bytes returns the head as it is sent.
func (h head) bytes() []byte { return []byte(strings.Join(h, "\r\n") + "\r\n\r\n") }

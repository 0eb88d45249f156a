package transport

import (
	"encoding/binary"
	"math"
	"sync"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Op is the kind of a message: text or binary.
type Op byte

// The two kinds of message (RFC 6455, section 5.6).
const (
	Text   = Op(ws.OpText)
	Binary = Op(ws.OpBinary)
)

// code returns the opcode: nothing but the two kinds can be sent.
func (op Op) code() ws.OpCode {
	if op == Text {
		return ws.OpText
	}
	return ws.OpBinary
}

// String returns "text" or "binary".
func (op Op) String() string {
	if op == Text {
		return "text"
	}
	return "binary"
}

// maxHeader is the size of the longest frame header (RFC 6455, section 5.2).
const maxHeader = 14

// appendHeader appends the header of an unfragmented frame (RFC 6455, section
// 5.2). A zero mask means that there is none. Reserved bits may be in op.
func appendHeader(dst []byte, op ws.OpCode, n int, masked bool, mask [4]byte) []byte {
	const fin, maskBit = 0x80, 0x80
	dst = append(dst, fin|byte(op))
	var m byte
	if masked {
		m = maskBit
	}
	switch {
	case n <= 125:
		dst = append(dst, m|byte(n))
	case n <= math.MaxUint16:
		dst = append(dst, m|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, m|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	if masked {
		dst = append(dst, mask[:]...)
	}
	return dst
}

// headerSize is the length of what appendHeader appends.
func headerSize(n int, masked bool) int {
	size := 2
	switch {
	case n > math.MaxUint16:
		size = 10
	case n > 125:
		size = 4
	}
	if masked {
		size += 4
	}
	return size
}

// Frame is a message framed once, to be sent to many connections. It is
// immutable and may be queued on any number of connections at once; the bytes
// live until the last of them has written it.
//
// Connections with permessage-deflate share a second form of it, which is made
// when the first of them wants it.
type Frame struct {
	plain frameForm
	op    Op

	once sync.Once
	z    *frameForm // after once: the deflated form, or plain if that is not smaller
}

// frameForm is a frame as it goes over the wire.
type frameForm struct {
	b  []byte // header and payload of an unmasked frame
	at int    // where the payload begins
	op ws.OpCode
}

func newFrameForm(op ws.OpCode, payload []byte) frameForm {
	at := headerSize(len(payload), false)
	b := appendHeader(make([]byte, 0, at+len(payload)), op, len(payload), false, [4]byte{})
	return frameForm{b: append(b, payload...), at: at, op: op}
}

func (f *frameForm) payload() []byte { return f.b[f.at:] }

// NewFrame frames a copy of payload. It fails with ErrInvalidUTF8 if a text
// payload is not UTF-8.
func NewFrame(op Op, payload []byte) (*Frame, error) {
	if op == Text && !utf8.Valid(payload) {
		return nil, ErrInvalidUTF8
	}
	return &Frame{plain: newFrameForm(op.code(), payload), op: op}, nil
}

// deflated returns the smaller of the two forms.
func (f *Frame) deflated() *frameForm {
	f.once.Do(func() {
		f.z = &f.plain
		if d := deflate(f.Payload()); d != nil {
			form := newFrameForm(f.plain.op|rsv1, d.out)
			f.z = &form
			putDeflater(d)
		}
	})
	return f.z
}

// Op returns the kind of the message.
func (f *Frame) Op() Op { return f.op }

// Payload returns the message. It must not be changed.
func (f *Frame) Payload() []byte { return f.plain.payload() }

// Len returns the length of the payload in bytes.
func (f *Frame) Len() int { return len(f.plain.b) - f.plain.at }

// Size returns what the frame takes of a queue, header included, if it is not
// deflated.
func (f *Frame) Size() int { return len(f.plain.b) }

// Batch is a run of frames that go together to many connections. Their bytes
// are put together once. It is as immutable as a Frame is.
type Batch struct {
	frames []*Frame
	plain  []byte

	once  sync.Once
	z     []byte // where deflated forms stand; as plain if there are none
	saved []int  // by each of these
}

// NewBatch returns a Batch of at least one frame. It keeps frames, which must
// not be changed.
func NewBatch(frames []*Frame) *Batch {
	b := &Batch{frames: frames}
	if len(frames) == 1 {
		b.plain = frames[0].plain.b
		return b
	}
	size := 0
	for _, f := range frames {
		size += f.Size()
	}
	b.plain = make([]byte, 0, size)
	for _, f := range frames {
		b.plain = append(b.plain, f.plain.b...)
	}
	return b
}

// deflated returns the frames with those deflated that have a payload of at
// least threshold bytes and become smaller by it.
func (b *Batch) deflated(threshold int) []byte {
	b.once.Do(func() {
		b.z = b.plain
		var z []byte
		for _, f := range b.frames {
			form := &f.plain
			if f.Len() >= threshold {
				form = f.deflated()
			}
			if form != &f.plain {
				b.saved = append(b.saved, f.Len()-len(form.payload()))
			}
			z = append(z, form.b...)
		}
		if len(b.saved) > 0 {
			b.z = z
		}
	})
	return b.z
}

// cutReason cuts a reason that does not fit into a close frame, at a rune
// border.
func cutReason(reason string) string {
	const limit = ws.MaxControlFramePayloadSize - 2
	if len(reason) <= limit {
		return reason
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(reason[cut]) {
		cut--
	}
	return reason[:cut]
}

// closeBody returns the payload of a close frame (RFC 6455, section 5.5.1).
func closeBody(code int, reason string) []byte {
	if code == CloseNoStatus {
		return nil
	}
	b := make([]byte, 2, 2+len(reason))
	binary.BigEndian.PutUint16(b, uint16(code))
	return append(b, reason...)
}

// ValidCloseCode reports whether a close frame may carry this code: those of RFC
// 6455, section 7.4, with the IANA registry's additions.
func ValidCloseCode(code int) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014, code >= 3000 && code <= 4999:
		return true
	}
	return false
}

package transport

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// inbound is what a connection knows of a message that has not arrived whole.
// A connection between two messages has none.
type inbound struct {
	hdr    [maxHeader]byte // a header that has arrived in part
	hdrLen int

	frame   ws.Header // the frame being received, if inFrame
	inFrame bool
	got     int // bytes of its payload so far

	fragmented bool // a message is open: its first frame was no last one
	op         ws.OpCode
	deflated   bool // RFC 7692: msg is to be inflated when it is complete
	frames     int
	msg        []byte // the message so far, unmasked
	checked    int    // how much of msg is known to be UTF-8

	ctl [ws.MaxControlFramePayloadSize]byte // payload of a control frame
}

var inboundPool = sync.Pool{New: func() any { return new(inbound) }}

// maxKept is the largest message buffer that goes back to a pool.
const maxKept = 64 << 10

func putInbound(in *inbound) {
	msg := in.msg[:0]
	if cap(msg) > maxKept {
		msg = nil
	}
	*in = inbound{msg: msg}
	inboundPool.Put(in)
}

// violation is a peer's breach of the protocol or of a limit, with the close
// code that answers it; or its close frame, which ends the input just so.
type violation struct {
	code   int
	reason string
	closed bool // no breach: the peer's close frame
}

// parseHeader reads a frame header from the beginning of b. size 0 means that
// b does not hold all of it. It checks what can be said without knowing the
// connection: minimal lengths, and no length above 2^63-1 (RFC 6455, 5.2).
func parseHeader(b []byte) (h ws.Header, size int, bad *violation) {
	if len(b) < 2 {
		return h, 0, nil
	}
	h.Fin = b[0]&0x80 != 0
	h.Rsv = b[0] & 0x70 >> 4
	h.OpCode = ws.OpCode(b[0] & 0x0f)
	h.Masked = b[1]&0x80 != 0
	n := int64(b[1] & 0x7f)
	size = 2
	switch n {
	case 126:
		if len(b) < 4 {
			return h, 0, nil
		}
		if n = int64(binary.BigEndian.Uint16(b[2:])); n < 126 {
			return h, 0, &violation{code: CloseProtocolError, reason: "payload length is not minimal"}
		}
		size = 4
	case 127:
		if len(b) < 10 {
			return h, 0, nil
		}
		u := binary.BigEndian.Uint64(b[2:])
		if u>>63 != 0 {
			return h, 0, &violation{code: CloseProtocolError, reason: "payload length has its top bit set"}
		}
		if n = int64(u); n < 1<<16 {
			return h, 0, &violation{code: CloseProtocolError, reason: "payload length is not minimal"}
		}
		size = 10
	}
	h.Length = n
	if h.Masked {
		if len(b) < size+4 {
			return h, 0, nil
		}
		copy(h.Mask[:], b[size:])
		size += 4
	}
	return h, size, nil
}

// checkHeader checks a header against the state of the connection.
func (c *Conn) checkHeader(h ws.Header) *violation {
	state := ws.StateServerSide
	if c.client {
		state = ws.StateClientSide
	}
	open, held, frames, deflated := false, 0, 0, h.Rsv != 0
	if c.in != nil && c.in.fragmented {
		open, held, frames, deflated = true, len(c.in.msg), c.in.frames, c.in.deflated
		state = state.Set(ws.StateFragmented)
	}
	if h.Rsv != 0 {
		// RFC 7692, section 6: in the first frame of a message, and no other.
		if !c.deflate || h.Rsv != byte(rsv1>>4) || h.OpCode != ws.OpText && h.OpCode != ws.OpBinary {
			return &violation{code: CloseProtocolError, reason: "reserved bit is set"}
		}
		h.Rsv = 0
	}
	if err := ws.CheckHeader(h, state); err != nil {
		return &violation{code: CloseProtocolError, reason: err.Error()}
	}
	if h.OpCode.IsControl() {
		return nil
	}
	limit := int64(c.sh.opts.MaxMessageBytes)
	if deflated {
		limit += min(limit/256+64, math.MaxInt64-limit) // noise becomes longer by it
	}
	if h.Length > limit-int64(held) {
		return tooBig(c.sh.opts.MaxMessageBytes)
	}
	if open && frames >= c.sh.opts.MaxFragments {
		return &violation{code: ClosePolicyViolation, reason: fmt.Sprintf("message has more than %d fragments", c.sh.opts.MaxFragments)}
	}
	return nil
}

func tooBig(limit int) *violation {
	return &violation{code: CloseMessageTooBig, reason: fmt.Sprintf("message exceeds %d bytes", limit)}
}

func notUTF8() *violation {
	return &violation{code: CloseInvalidPayload, reason: "text message is not UTF-8"}
}

// feed takes what has arrived, unmasks it in place, and calls the handler for
// each message that is complete. The driver calls it from one goroutine at a
// time and may use p again when it returns.
func (c *Conn) feed(p []byte) {
	sh := c.sh
	now := sh.wheel.now()
	c.lastRead.Store(now)
	total, messages, frames := len(p), 0, 0
	var bad *violation
	for len(p) > 0 && bad == nil && !c.deaf {
		if in := c.in; in != nil && in.inFrame {
			p, bad = c.resumeFrame(in, p, &messages)
			continue
		}
		var h ws.Header
		var ok bool
		if h, p, ok, bad = c.nextHeader(p); !ok {
			continue
		}
		frames++
		if h.OpCode.IsData() && h.Fin && h.Length <= int64(len(p)) && (c.in == nil || !c.in.fragmented) {
			p, bad = c.wholeMessage(h, p, &messages)
		} else {
			p, bad = c.beginFrame(h, p, &messages)
		}
	}
	sh.stats.bytesIn.Add(uint64(total))
	sh.stats.framesIn.Add(uint64(frames))
	sh.stats.messagesIn.Add(uint64(messages))
	c.keep(now, bad != nil)
	if messages > 0 {
		c.h.OnReadDone(c)
	}
	if bad != nil {
		c.endInput(bad)
	}
}

// nextHeader reads the header of the next frame, of which a part may have come
// earlier, and checks it. ok is false if it has not come whole; then what there
// is of it is kept, and rest is empty.
func (c *Conn) nextHeader(p []byte) (h ws.Header, rest []byte, ok bool, bad *violation) {
	in, b, before := c.in, p, 0
	if in != nil && in.hdrLen > 0 {
		before = in.hdrLen
		in.hdrLen += copy(in.hdr[before:], p)
		b = in.hdr[:in.hdrLen]
	}
	h, size, bad := parseHeader(b)
	switch {
	case bad != nil:
		return h, nil, false, bad
	case size == 0 && before == 0:
		in = c.inbound()
		in.hdrLen = copy(in.hdr[:], p)
		return h, nil, false, nil
	case size == 0:
		return h, nil, false, nil
	}
	if in != nil {
		in.hdrLen = 0
	}
	if bad = c.checkHeader(h); bad != nil {
		return h, nil, false, bad
	}
	return h, p[size-before:], true, nil
}

// inbound returns c.in, and makes it first if need be.
func (c *Conn) inbound() *inbound {
	if c.in == nil {
		c.in = inboundPool.Get().(*inbound)
	}
	return c.in
}

// wholeMessage handles the usual case: a message in one frame, all of it here.
func (c *Conn) wholeMessage(h ws.Header, p []byte, messages *int) (rest []byte, bad *violation) {
	payload := p[:h.Length:h.Length]
	if h.Masked {
		ws.Cipher(payload, h.Mask, 0)
	}
	if h.Rsv == 0 && h.OpCode == ws.OpText && !utf8.Valid(payload) {
		return nil, notUTF8()
	}
	if c.in != nil {
		c.frameSince.Store(0) // part of the header came earlier
	}
	if h.Rsv == 0 {
		*messages += c.deliver(Op(h.OpCode), payload)
	} else if bad = c.inflated(Op(h.OpCode), payload, messages); bad != nil {
		return nil, bad
	}
	return p[h.Length:], nil
}

// beginFrame notes the header of a frame that has to be gathered, or is a
// control frame, and takes what is here of it.
func (c *Conn) beginFrame(h ws.Header, p []byte, messages *int) (rest []byte, bad *violation) {
	in := c.inbound()
	in.frame, in.inFrame, in.got = h, true, 0
	if !h.OpCode.IsControl() {
		if h.OpCode != ws.OpContinuation {
			in.op, in.deflated = h.OpCode, h.Rsv != 0
			in.msg, in.checked, in.frames = in.msg[:0], 0, 0
		}
		in.fragmented = true // until its last byte is here
		in.frames++
	}
	return c.resumeFrame(in, p, messages)
}

// keep holds on to a message that has not come whole, and watches the time that
// a frame takes. Without one, or at the end, there is nothing to keep.
func (c *Conn) keep(now int64, end bool) {
	in := c.in
	if in != nil && !end && in.fragmented && c.msgSince.CompareAndSwap(0, now) {
		c.sh.wheel.atMost(c, now+c.sh.ticks(c.sh.opts.MessageTimeout))
	}
	switch {
	case in == nil:
	case !end && (in.inFrame || in.hdrLen > 0):
		if c.frameSince.CompareAndSwap(0, now) {
			c.sh.wheel.atMost(c, now+c.sh.ticks(c.sh.opts.FrameTimeout))
		}
	case !end && in.fragmented:
		c.frameSince.Store(0)
	default:
		c.in = nil
		c.frameSince.Store(0)
		c.msgSince.Store(0)
		putInbound(in)
	}
}

// resumeFrame takes the bytes of p that belong to the frame being received
// and returns the rest.
func (c *Conn) resumeFrame(in *inbound, p []byte, messages *int) (rest []byte, bad *violation) {
	h := &in.frame
	n := int(min(h.Length-int64(in.got), int64(len(p))))
	part := p[:n]
	if h.Masked {
		ws.Cipher(part, h.Mask, in.got)
	}
	if h.OpCode.IsControl() {
		copy(in.ctl[in.got:], part)
	} else {
		in.msg = append(in.msg, part...)
	}
	in.got += n
	rest = p[n:]
	last := int64(in.got) == h.Length

	if h.OpCode.IsControl() {
		if last {
			in.inFrame = false
			c.frameSince.Store(0)
			bad = c.control(h.OpCode, in.ctl[:in.got])
		}
		return rest, bad
	}
	if in.op == ws.OpText && !in.deflated && !in.checkUTF8(last && h.Fin) {
		return rest, notUTF8()
	}
	if !last {
		return rest, nil
	}
	in.inFrame = false
	c.frameSince.Store(0)
	if h.Fin {
		in.fragmented = false
		c.msgSince.Store(0)
		if !in.deflated {
			*messages += c.deliver(Op(in.op), in.msg)
		} else if bad = c.inflated(Op(in.op), in.msg, messages); bad != nil {
			return rest, bad
		}
		if cap(in.msg) > maxKept {
			in.msg = nil
		}
	}
	return rest, nil
}

// deliver hands a message to the handler and returns how many it handed over:
// none once we have sent our close frame, since nothing could be answered.
func (c *Conn) deliver(op Op, payload []byte) int {
	if c.closing.Load() {
		return 0
	}
	c.h.OnMessage(c, op, payload)
	return 1
}

// checkUTF8 checks what has come since its last call, and fails as soon as no
// continuation could mend the text (RFC 6455, section 8.1). A rune that is cut
// off by the end of msg waits for its rest, unless this is the end.
func (in *inbound) checkUTF8(end bool) bool {
	b := in.msg[in.checked:]
	if !end {
		for i := 1; i <= min(utf8.UTFMax-1, len(b)); i++ {
			if at := len(b) - i; utf8.RuneStart(b[at]) {
				if !utf8.FullRune(b[at:]) {
					b = b[:at]
				}
				break
			}
		}
	}
	if !utf8.Valid(b) {
		return false
	}
	in.checked += len(b)
	return true
}

// control acts on a control frame (RFC 6455, section 5.5). It returns what ends
// the input, if this does.
func (c *Conn) control(op ws.OpCode, payload []byte) *violation {
	if !c.allowControl() {
		return &violation{code: ClosePolicyViolation, reason: "too many control frames"}
	}
	switch op {
	case ws.OpPing:
		c.queuePong(payload)
	case ws.OpClose:
		code, reason := CloseNoStatus, ""
		if len(payload) == 1 {
			return &violation{code: CloseProtocolError, reason: "close frame with half a code"}
		}
		if len(payload) >= 2 {
			code = int(binary.BigEndian.Uint16(payload))
			if !ValidCloseCode(code) {
				return &violation{code: CloseProtocolError, reason: fmt.Sprintf("close code %d is not allowed", code)}
			}
			if !utf8.Valid(payload[2:]) {
				return &violation{code: CloseInvalidPayload, reason: "close reason is not UTF-8"}
			}
			reason = string(payload[2:])
		}
		return &violation{code: code, reason: reason, closed: true}
	}
	return nil
}

// allowControl counts a control frame against the limit per second.
func (c *Conn) allowControl() bool {
	second := uint32(c.lastRead.Load() / c.sh.ticksPerSecond())
	if second != c.ctlSecond {
		c.ctlSecond, c.ctlCount = second, 0
	}
	c.ctlCount++
	return int(c.ctlCount) <= c.sh.opts.MaxControlFrames
}

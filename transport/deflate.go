package transport

import (
	"errors"
	"io"
	"sync"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/klauspost/compress/flate"
)

// Messages are deflated one by one (RFC 7692, section 7.2): none refers to an
// earlier one, so that a connection keeps no window and a Frame has one deflated
// form for all connections.

// rsv1 marks the first frame of a deflated message (RFC 7692, section 6). It
// stands beside the opcode in the first byte of the frame.
const rsv1 ws.OpCode = 0x40

// deflateTail is the end of every deflated message, an empty stored block
// without its first byte. It is not sent (RFC 7692, section 7.2.1).
const deflateTail = "\x00\x00\xff\xff"

// deflateLevel was chosen with BenchmarkFlateWriters, on chat messages in JSON:
// from 1 to 16 KiB, level 4 takes 10 to 25 % more time than level 1, and its
// output is 8 to 10 % smaller; level 5 takes another 10 to 20 % for 1 to 4 %.
// Stateless deflating, with less memory to keep, would leave 16 KiB more on the
// stack of every goroutine that sends.
const deflateLevel = 4

// deflater deflates one message at a time. It takes 1 MB, so there are no more
// of them than are at work at once.
type deflater struct {
	w     *flate.Writer
	piece [1 << 10]byte
	out   []byte
	limit int // of out
}

var deflaterPool = sync.Pool{New: func() any {
	d := new(deflater)
	d.w, _ = flate.NewWriter(d, deflateLevel) // it fails only for a level that does not exist
	return d
}}

func putDeflater(d *deflater) {
	if cap(d.out) > maxKept {
		d.out = nil
	}
	deflaterPool.Put(d)
}

var errNoGain = errors.New("deflated message is not smaller")

// Write takes what the flate.Writer puts out.
func (d *deflater) Write(p []byte) (int, error) {
	if len(d.out)+len(p) > d.limit {
		return 0, errNoGain
	}
	d.out = append(d.out, p...)
	return len(p), nil
}

// deflate returns a pooled deflater that holds the deflated payload, or nil if
// that is not smaller.
func deflate[T string | []byte](payload T) *deflater {
	d := deflaterPool.Get().(*deflater)
	d.out, d.limit = d.out[:0], len(payload)-1+len(deflateTail)
	d.w.Reset(d)
	var err error
	for at := 0; at < len(payload) && err == nil; {
		n := copy(d.piece[:], payload[at:])
		_, err = d.w.Write(d.piece[:n])
		at += n
	}
	if err == nil {
		err = d.w.Flush()
	}
	if err != nil {
		putDeflater(d)
		return nil
	}
	d.out = d.out[:len(d.out)-len(deflateTail)]
	return d
}

// deflates reports whether a message of n bytes is to be deflated for c.
func (c *Conn) deflates(n int) bool {
	return c.deflate && n >= c.sh.opts.DeflateThreshold && !c.closing.Load()
}

// countDeflated counts a message that is queued in its deflated form.
func (s *counters) countDeflated(saved int) {
	s.deflatedOut.Add(1)
	s.deflateSaved.Add(uint64(saved))
}

// inflater inflates one message at a time. It takes 40 KB, and what it keeps
// of out.
type inflater struct {
	in  inflateInput
	r   io.Reader
	out []byte
}

var inflaterPool = sync.Pool{New: func() any {
	z := new(inflater)
	z.r = flate.NewReader(&z.in)
	return z
}}

func putInflater(z *inflater) {
	z.in = inflateInput{}
	if cap(z.out) > maxKept {
		z.out = nil
	}
	inflaterPool.Put(z)
}

// inflateInput is what an inflater reads: the payload, in place, and
// deflateTail. As it is an io.ByteReader, nothing behind a block with BFINAL is
// taken together with that block.
type inflateInput struct {
	payload []byte
	at      int  // in payload and tail together
	byByte  bool // the last call was ReadByte
	ended   bool // the tail ended an empty stored block, and with it the message
}

func (in *inflateInput) ReadByte() (c byte, err error) {
	in.byByte = true
	switch tail := in.at - len(in.payload); {
	case tail < 0:
		c = in.payload[in.at]
	case tail < len(deflateTail):
		c = deflateTail[tail]
	default:
		return 0, io.EOF
	}
	in.at++
	return c, nil
}

// Read is called for stored blocks only: first for the length of one, of which
// the first bytes may have been taken with what comes before it by ReadByte, and
// then for what it holds.
func (in *inflateInput) Read(p []byte) (n int, err error) {
	in.ended = in.byByte && in.at+len(p) == len(in.payload)+len(deflateTail)
	in.byByte = false
	if in.at < len(in.payload) {
		n = copy(p, in.payload[in.at:])
	}
	if tail := in.at + n - len(in.payload); tail >= 0 {
		n += copy(p[n:], deflateTail[min(tail, len(deflateTail)):])
	}
	in.at += n
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// inflate inflates a payload to at most limit bytes. The result is valid until
// z is put back.
//
// A block with BFINAL set ends a DEFLATE stream, and another one begins with the
// next byte (RFC 7692, section 7.2.3.4) and an empty window, as zlib has it. A
// message that does not end with an empty stored block, as RFC 7692, section
// 7.2.1, demands, is refused: there is no telling whether it is all there.
func (z *inflater) inflate(payload []byte, limit int) ([]byte, *violation) {
	z.in = inflateInput{payload: payload}
	z.out = z.out[:0]
	z.next()
	for {
		if len(z.out) == cap(z.out) {
			z.grow(limit)
		}
		n, err := z.r.Read(z.out[len(z.out):cap(z.out)])
		z.out = z.out[:len(z.out)+n]
		switch {
		case len(z.out) > limit:
			return nil, tooBig(limit)
		case err == nil:
		case z.in.ended:
			return z.out[:len(z.out):len(z.out)], nil
		case err == io.EOF:
			z.next()
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil, &violation{code: CloseInvalidPayload, reason: "deflated message is incomplete"}
		default:
			return nil, &violation{code: CloseInvalidPayload, reason: "deflated message is corrupt"}
		}
	}
}

// next begins a DEFLATE stream where the last one has ended.
func (z *inflater) next() {
	z.r.(flate.Resetter).Reset(&z.in, nil) //nolint:errcheck // flate.Resetter does not fail
}

// grow makes room for more output: in proportion to what has come, and for at
// most one byte more than limit. If that is used, the message is too large.
func (z *inflater) grow(limit int) {
	n := max(2*cap(z.out), 4*len(z.in.payload), minChunk)
	if n > limit {
		n = limit + 1
	}
	b := make([]byte, len(z.out), n)
	copy(b, z.out)
	z.out = b
}

// inflated hands a deflated message over, and counts it, like deliver.
func (c *Conn) inflated(op Op, payload []byte, messages *int) (bad *violation) {
	if c.closing.Load() {
		return nil // as deliver would have it
	}
	z := inflaterPool.Get().(*inflater)
	defer putInflater(z)
	msg, bad := z.inflate(payload, c.sh.opts.MaxMessageBytes)
	if bad != nil {
		return bad
	}
	if op == Text && !utf8.Valid(msg) {
		return notUTF8()
	}
	c.sh.stats.deflatedIn.Add(1)
	*messages += c.deliver(op, msg)
	return nil
}

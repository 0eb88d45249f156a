package transport

import (
	"net"
	"sync"

	"github.com/gobwas/ws"
)

// outq is what waits to be written to one connection. A connection for which
// nothing waits has none. All of it is guarded by Conn.mu, except what out and
// vec hold while the one goroutine that flushes writes it.
type outq struct {
	in     []segment // accepted, in order
	out    []segment // being written
	vec    net.Buffers
	backup net.Buffers // vec as it was: WriteTo eats its receiver
	bytes  int         // of data frames, in and out
	frames int
	waiter Task // to be scheduled when there is room

	// Control frames stand outside the bounds: there is one of each.
	ping    bool
	pong    bool
	pongLen uint8
	pongBuf [ws.MaxControlFramePayloadSize]byte
	close   []byte // payload of the close frame, if one is to be the last
	closed  bool   // the close frame is in out or written
}

// segment is a run of bytes to be written: frames of our own in a pooled
// chunk, or one shared frame.
type segment struct {
	b      []byte
	chunk  *chunk // to be given back, if b lies in one
	frames int32  // data frames that end in this segment
}

// chunk is a pooled buffer of one of the sizes below.
type chunk struct {
	b     []byte
	class int8
}

const (
	minChunk    = 1 << 10
	maxChunk    = 64 << 10
	chunkSizes  = 7 // 1, 2, 4, 8, 16, 32, 64 KiB
	growthLimit = 16 << 10
)

var chunkPools [chunkSizes]sync.Pool

// getChunk returns an empty chunk with room for n bytes. Chunks above the
// largest size are not pooled.
func getChunk(n int) *chunk {
	class, size := int8(0), minChunk
	for size < n && size < maxChunk {
		size, class = size<<1, class+1
	}
	if n > maxChunk {
		return &chunk{b: make([]byte, 0, n), class: -1}
	}
	if c, ok := chunkPools[class].Get().(*chunk); ok {
		return c
	}
	return &chunk{b: make([]byte, 0, size), class: class}
}

func putChunk(c *chunk) {
	if c == nil || c.class < 0 {
		return
	}
	c.b = c.b[:0]
	chunkPools[c.class].Put(c)
}

var outqPool = sync.Pool{New: func() any { return new(outq) }}

// maxKeptSegments bounds the slices that a pooled outq keeps.
const maxKeptSegments = 256

func putOutq(q *outq) {
	keep := func(s []segment) []segment {
		if cap(s) > maxKeptSegments {
			return nil
		}
		return s[:0]
	}
	v := q.backup
	if cap(v) > maxKeptSegments {
		v = nil
	}
	clear(v[:cap(v)]) // an earlier window was longer, perhaps, and would keep shared frames alive
	*q = outq{in: keep(q.in), out: keep(q.out), backup: v[:0]}
	outqPool.Put(q)
}

// room returns the last chunk of q.in, with room for n more bytes. A small chunk
// that is full is exchanged for a larger one, so that what is not much goes out
// in one piece.
func (q *outq) room(n int) *segment {
	if l := len(q.in); l > 0 && q.in[l-1].chunk != nil {
		s := &q.in[l-1]
		if cap(s.b)-len(s.b) >= n {
			return s
		}
		if cap(s.b) < growthLimit && len(s.b)+n <= maxChunk {
			c := getChunk(max(len(s.b)+n, 4*cap(s.b)))
			s.b = append(c.b, s.b...)
			putChunk(s.chunk)
			s.chunk = c
			return s
		}
		n = max(n, growthLimit) // more is coming: take more at a time
	}
	c := getChunk(n)
	q.in = append(q.in, segment{b: c.b, chunk: c})
	return &q.in[len(q.in)-1]
}

// idle reports that nothing waits.
func (q *outq) idle() bool {
	return len(q.in) == 0 && len(q.out) == 0 && !q.ping && !q.pong && (q.close == nil || q.closed)
}

// window prepares up to limit bytes to be written in q.vec. Only when all that
// was being written is gone does it take what has come since, so that control
// frames go between frames, never into one.
func (q *outq) window(c *Conn, limit int) *net.Buffers {
	if len(q.out) == 0 {
		q.out = q.out[:0]
		if q.pong || q.ping {
			s := getChunk(2 * (maxHeader + ws.MaxControlFramePayloadSize))
			b := s.b
			if q.pong {
				b = c.appendControl(b, ws.OpPong, q.pongBuf[:q.pongLen])
			}
			if q.ping {
				b = c.appendControl(b, ws.OpPing, nil)
			}
			q.pong, q.ping = false, false
			q.out = append(q.out, segment{b: b, chunk: s})
			q.out = append(q.out, q.in...)
			clear(q.in)
			q.in = q.in[:0]
		} else {
			q.in, q.out = q.out, q.in
		}
		if q.close != nil && !q.closed {
			q.closed = true
			q.out = append(q.out, segment{b: c.appendControl(nil, ws.OpClose, q.close)})
		}
	}
	v := q.backup[:0]
	for i := range q.out {
		b := q.out[i].b
		if len(b) > limit {
			b = b[:limit]
		}
		v = append(v, b)
		if limit -= len(b); limit == 0 {
			break
		}
	}
	q.backup, q.vec = v, v
	return &q.vec
}

// consume forgets n written bytes.
func (q *outq) consume(n int) (frames int) {
	i := 0
	for ; i < len(q.out) && n >= len(q.out[i].b); i++ {
		s := &q.out[i]
		n -= len(s.b)
		frames += int(s.frames)
		if s.frames > 0 {
			q.bytes -= len(s.b)
			q.frames -= int(s.frames)
		}
		putChunk(s.chunk)
	}
	rest := copy(q.out, q.out[i:])
	clear(q.out[rest:])
	q.out = q.out[:rest]
	if n > 0 {
		q.out[0].b = q.out[0].b[n:]
		if q.out[0].frames > 0 {
			q.bytes -= n
		}
	}
	return frames
}

// drop forgets the data that nobody has begun to write, and returns how much
// that was.
func (q *outq) drop() (frames, bytes int) {
	for i := range q.in {
		frames += int(q.in[i].frames)
		bytes += len(q.in[i].b)
		putChunk(q.in[i].chunk)
	}
	clear(q.in)
	q.in = q.in[:0]
	q.bytes -= bytes
	q.frames -= frames
	return frames, bytes
}

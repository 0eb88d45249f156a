package transport

import (
	"crypto/rand"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// SendText queues a text message and has it written. It fails with ErrClosed,
// ErrSlowConsumer, ErrTooLarge or ErrInvalidUTF8.
func (c *Conn) SendText(text string) error {
	if !utf8.ValidString(text) {
		return ErrInvalidUTF8
	}
	return enqueue(c, ws.OpText, text, true)
}

// Send queues a copy of payload as a message and has it written. It fails as
// SendText does.
func (c *Conn) Send(op Op, payload []byte) error {
	if op == Text && !utf8.Valid(payload) {
		return ErrInvalidUTF8
	}
	return enqueue(c, op.code(), payload, true)
}

// Queue is Send without the writing: the message leaves with the next Send or
// Flush. Several messages queued together leave in one write.
func (c *Conn) Queue(op Op, payload []byte) error {
	if op == Text && !utf8.Valid(payload) {
		return ErrInvalidUTF8
	}
	return enqueue(c, op.code(), payload, false)
}

// QueueFrame is Queue for a message that was framed once for many
// connections. Nothing is copied, except by the client side, which masks.
func (c *Conn) QueueFrame(f *Frame) error {
	form := c.formOf(f)
	if c.client {
		err := enqueueFrame(c, form.op, form.payload(), false)
		if err == nil {
			c.countForm(f, form)
		}
		return err
	}
	c.mu.Lock()
	err := c.refer(f, form)
	c.mu.Unlock()
	return c.refused(err)
}

// formOf returns the form in which f is sent on c. The first time that a frame
// is wanted deflated this takes time, and must not be done under mu.
func (c *Conn) formOf(f *Frame) *frameForm {
	if c.deflates(f.Len()) {
		return f.deflated()
	}
	return &f.plain
}

// refer queues a form of f by reference. mu is held.
func (c *Conn) refer(f *Frame, form *frameForm) error {
	q, err := c.admit(len(form.b), 1)
	if err != nil {
		return err
	}
	q.in = append(q.in, segment{b: form.b, frames: 1})
	c.countForm(f, form)
	return nil
}

func (c *Conn) countForm(f *Frame, form *frameForm) {
	if form != &f.plain {
		c.sh.stats.countDeflated(f.Len() - len(form.payload()))
	}
}

// SendFrames queues several messages that were framed once for many
// connections, and has them written together. At the first that fails it stops;
// those before it go out.
func (c *Conn) SendFrames(fs []*Frame) (err error) {
	if c.client {
		for _, f := range fs {
			if err = c.QueueFrame(f); err != nil {
				break
			}
		}
		c.Flush()
		return err
	}
	for _, f := range fs {
		c.formOf(f)
	}
	c.mu.Lock()
	for _, f := range fs {
		if err = c.refer(f, c.formOf(f)); err != nil {
			break
		}
	}
	wake := c.beginFlush()
	c.mu.Unlock()
	if wake {
		c.wake()
	}
	return c.refused(err)
}

// SendBatch is SendFrames for frames that have been put together, which costs
// less if they go to many connections. All of them are sent, or none, unless c is
// a client's or no queue holds them together.
func (c *Conn) SendBatch(b *Batch) error {
	data := b.plain
	if c.deflate {
		data = b.deflated(c.sh.opts.DeflateThreshold)
	}
	if c.client || len(data) > c.sh.opts.MaxQueueBytes {
		return c.SendFrames(b.frames)
	}
	c.mu.Lock()
	q, err := c.admit(len(data), len(b.frames))
	if err != nil {
		c.mu.Unlock()
		return c.refused(err)
	}
	q.in = append(q.in, segment{b: data, frames: int32(len(b.frames))})
	if c.deflate {
		for _, n := range b.saved {
			c.sh.stats.countDeflated(n)
		}
	}
	wake := c.beginFlush()
	c.mu.Unlock()
	if wake {
		c.wake()
	}
	return nil
}

// enqueue appends a message to the queue, deflated if that is agreed on and
// worth it. That is done on the sender's goroutine and before the queue is
// locked, so the messages of one goroutine stay in order.
func enqueue[T string | []byte](c *Conn, op ws.OpCode, payload T, flush bool) error {
	if c.deflates(len(payload)) {
		if d := deflate(payload); d != nil {
			defer putDeflater(d)
			err := enqueueFrame(c, op|rsv1, d.out, flush)
			if err == nil {
				c.sh.stats.countDeflated(len(payload) - len(d.out))
			}
			return err
		}
	}
	return enqueueFrame(c, op, payload, flush)
}

// enqueueFrame appends a frame to the queue. The first reserved bit may be in
// op.
func enqueueFrame[T string | []byte](c *Conn, op ws.OpCode, payload T, flush bool) error {
	size := headerSize(len(payload), c.client)
	c.mu.Lock()
	q, err := c.admit(size+len(payload), 1)
	if err != nil {
		c.mu.Unlock()
		return c.refused(err)
	}
	s := q.room(size + len(payload))
	s.b = appendFrame(s.b, op, payload, c.client)
	s.frames++
	wake := flush && c.beginFlush()
	c.mu.Unlock()
	if wake {
		c.wake()
	}
	return nil
}

// appendFrame appends a frame, masked with fresh random bytes if it is a
// client's (RFC 6455, section 5.3).
func appendFrame[T string | []byte](dst []byte, op ws.OpCode, payload T, masked bool) []byte {
	var mask [4]byte
	if masked {
		rand.Read(mask[:]) // it never fails
	}
	dst = appendHeader(dst, op, len(payload), masked, mask)
	at := len(dst)
	dst = append(dst, payload...)
	if masked {
		ws.Cipher(dst[at:], mask, 0)
	}
	return dst
}

func (c *Conn) appendControl(dst []byte, op ws.OpCode, payload []byte) []byte {
	return appendFrame(dst, op, payload, c.client)
}

// refused returns the error of admit, if any, after the caller has released mu.
func (c *Conn) refused(err error) error {
	if err == ErrSlowConsumer { //nolint:errorlint // admit returns the bare sentinel
		c.Flush() // the close frame that admit has queued
		c.driver().resume(c)
	}
	return err
}

// admit counts frames of size bytes together into the queue, or says why they
// cannot be taken; the caller passes the error through refused. mu is held.
func (c *Conn) admit(size, frames int) (*outq, error) {
	sh := c.sh
	if c.closing.Load() {
		sh.stats.dropClosed.Add(uint64(frames))
		return nil, ErrClosed
	}
	if size > sh.opts.MaxQueueBytes {
		sh.stats.dropTooLarge.Add(uint64(frames))
		return nil, ErrTooLarge
	}
	q := c.q
	if q == nil {
		q = outqPool.Get().(*outq)
		c.q = q
	}
	if q.bytes+size > sh.opts.MaxQueueBytes || q.frames > sh.opts.MaxQueueFrames-frames {
		if c.relieve() {
			return c.admit(size, frames)
		}
		sh.stats.dropSlow.Add(uint64(frames))
		sh.stats.slowConsumers.Add(1)
		// What the peer has not been sent yet would only keep its memory.
		frames, _ := q.drop()
		c.eased(q)
		sh.stats.dropSlow.Add(uint64(frames))
		c.queueClose(&CloseError{Code: CloseSlowConsumer, Reason: "slow_consumer", Err: ErrSlowConsumer, Unsent: frames})
		return nil, ErrSlowConsumer
	}
	q.bytes += size
	q.frames += frames
	return q, nil
}

package transport

import (
	"crypto/rand"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// Handler gets what happens on one connection. Its methods are called one at a
// time, OnClose last and exactly once; nothing is called after it. They run on
// the goroutine that reads the connection, and perhaps many others, or on the one
// that did its handshake, so they must not block, and must not panic: hand work
// over, to Conn.Schedule for one, and return.
type Handler interface {
	// OnMessage gets a message. payload is valid, and may be written to, until
	// OnMessage returns.
	OnMessage(c *Conn, op Op, payload []byte)

	// OnReadDone is called after the messages of one read from the socket, if
	// there were any: the moment to begin work on them together.
	OnReadDone(c *Conn)

	// OnClose says that the connection is over. err is never nil.
	OnClose(c *Conn, err *CloseError)
}

// Conn is one WebSocket connection, of a Server or from Dial. Its methods may
// be called from any goroutine and never wait for the peer: what is sent is
// queued, within the bounds of Options, and written by the driver. What one
// goroutine sends arrives in that order.
//
// A Conn keeps its socket and its buffers only while it is open; an idle one
// holds no buffer.
//
// What becomes of a connection, in the order in which it happens; each step may
// be left out but the last three:
//
//	closing   sends fail: Close, the peer's close frame, or a failed write
//	deaf      input is no longer looked at: the peer's close frame, or a breach
//	lost      writing has failed; the reader waits for the peer's reason
//	over      overSince is set, cause says why, and OnClose is called
//	fin       both close frames are done with: the write side is ended
//	eof       the reader has ended
//	cut       the socket is closed
//	gone      cut and eof: nobody knows it any more
type Conn struct {
	sh   *shard
	nc   net.Conn // nil if the driver has the socket
	sock socket
	peer address // of the peer, if nc is nil
	h    Handler

	// Touched by the reading goroutine only.
	in        *inbound
	ctlSecond uint32
	ctlCount  uint32
	deaf      bool // no more input is looked at

	drv     uint8 // which of sh.drivers
	client  bool
	deflate bool // permessage-deflate is agreed on; set before start
	fin     bool // guarded by mu: the driver was told to end the write side
	eof     bool // guarded by mu, and set by the reading goroutine: the read side has ended
	jitter  int8 // of the ping interval, in 1/1280
	slot    int32

	paused     atomic.Bool // set with mu held
	closing    atomic.Bool // our close frame is queued, or there will be none: sends fail
	lastRead   atomic.Int64
	frameSince atomic.Int64 // when the frame being received began; 0 if none is
	msgSince   atomic.Int64 // the same of the message
	due        atomic.Int64

	mu         sync.Mutex
	q          *outq
	cause      *CloseError
	lost       *CloseError   // that writing has failed
	unpaused   chan struct{} // where the reader waits while paused
	writeSince int64
	pingSince  int64
	closeSince int64
	overSince  int64
	flushing   bool // somebody writes, or will before long
	queued     bool // that is a worker, who has not begun
	corked     cork // who does not write yet, but will pull the cork
	cut        bool // the socket is closed, or is about to be
	released   bool // by the driver

	prev, next *Conn    // in the wheel's slot
	ip         *ipCount // where it counts, if connections are counted by address
	proto      *string  // nil for none
}

// cork says who keeps back what is to be written. Only that one, or who cuts the
// connection, may end it: from then on there is one who writes.
type cork uint8

const (
	uncorked cork = iota
	byHandler
	byTask
)

// driver returns what moves the bytes of c.
func (c *Conn) driver() driver { return c.sh.drivers[c.drv] }

// address is a netip.AddrPort that takes little room. It has no zone.
type address struct {
	ip   [16]byte
	port uint16
}

func newAddress(ap netip.AddrPort) address { return address{ap.Addr().As16(), ap.Port()} }

func (a address) tcp() *net.TCPAddr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom16(a.ip).Unmap(), a.port))
}

// lingerTimeout is how long the peer has to close its side of the socket after
// the close handshake. Closing earlier, with input unread, could make the
// kernel discard our close frame.
const lingerTimeout = time.Second

// newConn makes the connection over via, which is its own from now on.
func newConn(sh *shard, via carrier, client bool, proto string) *Conn {
	c := &Conn{
		sh: sh, client: client,
		slot: slotNone, jitter: int8(mathrand.IntN(256) - 128),
	}
	if i := slices.Index(sh.opts.Subprotocols, proto); i >= 0 {
		c.proto = &sh.opts.Subprotocols[i]
	} else if proto != "" {
		c.proto = &[]string{proto}[0]
	}
	via.attach(c)
	sh.work.begin()
	sh.wheel.add(c) // from here on there is a clock
	return c
}

// start hands the connection to its driver; every connection is started. rest
// are bytes that came with the handshake; they are not kept.
func (c *Conn) start(h Handler, rest []byte) {
	c.h = h
	c.sh.stats.opened.Add(1)
	c.driver().start(c, rest)
}

// Subprotocol returns what the handshake agreed on, or "".
func (c *Conn) Subprotocol() string {
	if c.proto == nil {
		return ""
	}
	return *c.proto
}

// Deflate reports whether the handshake agreed on permessage-deflate.
func (c *Conn) Deflate() bool { return c.deflate }

// Driver returns what serves the connection.
func (c *Conn) Driver() Driver { return c.driver().name() }

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() net.Addr {
	if c.nc == nil {
		return c.peer.tcp()
	}
	return c.nc.RemoteAddr()
}

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

// relieve writes what waits for somebody who has not begun to, if that does not
// wait for the peer: nobody is slow who has not been given the chance. mu is held,
// and released meanwhile.
func (c *Conn) relieve() bool {
	if c.corked == uncorked && !c.queued || c.cut || c.driver().waits() {
		return false
	}
	c.corked, c.queued = uncorked, false
	c.writeSince = c.sh.wheel.now()
	c.mu.Unlock()
	c.driver().write(c)
	c.mu.Lock()
	return true
}

// take reports whether c is still to be written by the one whom it was queued
// for, who does it then.
func (c *Conn) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.queued
	c.queued = false
	return was
}

// WhenRoom has t scheduled as soon as no more than half of what may wait in the
// queue does, or the connection is cut. If that is so already, it reports false
// and does nothing. With it, work whose results a peer takes slowly can wait for
// the peer instead of making it a slow consumer. There can be one such t at a
// time; a new one takes the place of the old one.
func (c *Conn) WhenRoom(t Task) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut || !c.crowded() {
		return false
	}
	c.q.waiter = t
	return true
}

// Crowded reports whether more than half of what may wait in the queue does.
func (c *Conn) Crowded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.crowded()
}

func (c *Conn) crowded() bool {
	o := c.sh.opts
	return c.q != nil && (c.q.frames > o.MaxQueueFrames/2 || c.q.bytes > o.MaxQueueBytes/2)
}

// eased schedules the Task that waits for room. mu is held.
func (c *Conn) eased(q *outq) {
	if t := q.waiter; t != nil {
		q.waiter = nil
		c.sh.work.add(job{c, t})
	}
}

// Flush has everything written that is queued.
func (c *Conn) Flush() {
	c.mu.Lock()
	wake := c.beginFlush()
	c.mu.Unlock()
	if wake {
		c.wake()
	}
}

// beginFlush reports whether the caller, once it has released mu, must wake
// the driver.
func (c *Conn) beginFlush() bool {
	if c.corked != uncorked {
		c.sh.work.watch()
	}
	if c.flushing || c.cut || c.lost != nil || c.q == nil || c.q.idle() {
		return false
	}
	c.flushing, c.queued = true, true
	c.writeSince = c.sh.wheel.now()
	return true
}

// wake has the driver write, after beginFlush said so. mu is not held.
func (c *Conn) wake() { c.driver().wake(c) }

// Schedule has t run soon, on a goroutine where it may wait for whatever it
// likes; connections do not wait for each other's tasks. What is sent to c
// while t runs is written in one go when t returns, or after two milliseconds
// at the latest.
func (c *Conn) Schedule(t Task) { c.sh.work.add(job{c, t}) }

// Cork has what is sent from now on wait for Uncork, to leave in one write. A
// Handler that sends from OnMessage can use it, up to OnReadDone. It must not be
// kept for longer, as nothing at all is written meanwhile, and not be used in a
// Task, for which it is done.
func (c *Conn) Cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cork(byHandler)
}

// Uncork ends Cork.
func (c *Conn) Uncork() {
	c.mu.Lock()
	push := c.corked == byHandler
	if push {
		c.corked = uncorked
		c.writeSince = c.sh.wheel.now()
		if c.q == nil && c.overSince == 0 && !c.eof {
			c.endFlush() // nothing was sent
			push = false
		}
	}
	wake := !push && c.beginFlush() // those who were at it when Cork was called may have ended
	c.mu.Unlock()
	switch {
	case push:
		c.driver().push(c)
	case wake:
		c.wake()
	}
}

// cork takes the writing upon the caller, unless somebody else is at it or
// nothing can be sent any more. Then it reports false. mu is held.
func (c *Conn) cork(by cork) bool {
	if c.flushing || c.closing.Load() {
		return false
	}
	c.flushing, c.corked = true, by
	return true
}

// uncork leaves the writing, which a task has taken upon it, to others.
func (c *Conn) uncork() {
	c.mu.Lock()
	wake := false
	if c.corked == byTask { // and not relieved
		c.corked = uncorked
		c.endFlush()
		wake = c.beginFlush()
	}
	c.mu.Unlock()
	if wake {
		c.wake()
	}
}

// endFlush says that nobody writes any more. mu is held.
func (c *Conn) endFlush() {
	c.flushing = false
	if c.cut {
		c.discard()
		c.settled()
	}
}

// nextWrite returns what is to be written now, at most limit bytes. ok is
// false when nothing is left: the flush is over then, and if fin is true the
// write side of the socket is to be ended. The caller may consume vec.
func (c *Conn) nextWrite(limit int) (vec *net.Buffers, fin, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nextLocked(limit)
}

func (c *Conn) nextLocked(limit int) (vec *net.Buffers, fin, ok bool) {
	if c.corked != uncorked {
		c.corked = uncorked
		c.writeSince = c.sh.wheel.now()
	}
	if c.cut || c.q == nil || c.q.idle() {
		c.flushing = false
		if c.q != nil && c.q.idle() && !c.q.closed {
			putOutq(c.q)
			c.q = nil
		}
		switch {
		case c.cut:
			c.endFlush()
		case c.eof:
			c.cutLocked(io.EOF) // the reader left the socket open for what is written now
		default:
			fin = c.endWrite()
		}
		return nil, fin, false
	}
	return c.q.window(c, limit), false, true
}

// wrote tells what became of those bytes, and returns what is next, as nextWrite
// does. After an error there is nothing.
func (c *Conn) wrote(n int, err error, limit int) (vec *net.Buffers, fin, ok bool) {
	c.mu.Lock()
	frames := c.q.consume(n)
	if c.q.waiter != nil && !c.crowded() {
		c.eased(c.q)
	}
	if n > 0 {
		c.writeSince = c.sh.wheel.now()
		c.sh.stats.bytesOut.Add(uint64(n))
		c.sh.stats.framesOut.Add(uint64(frames))
		c.sh.stats.writes.Add(1)
	}
	if err == nil {
		defer c.mu.Unlock()
		return c.nextLocked(limit)
	}
	c.flushing = false
	c.lose(err)
	c.discard()
	c.settled()
	c.mu.Unlock()
	c.driver().resume(c)
	return nil, false, false
}

// lose ends the writing after an error. The peer may have said why before it
// closed the socket, so reading goes on until it ends, for lingerTimeout at the
// longest. mu is held.
func (c *Conn) lose(err error) {
	if c.cut || c.eof {
		c.cutLocked(err)
		return
	}
	c.closing.Store(true)
	c.lost = &CloseError{Code: CloseAbnormal, Remote: true, Err: err}
	c.closeSince = c.sh.wheel.now()
	c.sh.wheel.atMost(c, c.closeSince+c.sh.ticks(lingerTimeout))
}

// discard forgets a queue that will never be written. mu is held.
func (c *Conn) discard() {
	q := c.q
	if q == nil || c.flushing {
		return
	}
	unsent := q.frames
	q.drop()
	c.eased(q)
	c.q = nil // not pooled: it may hold the rest of a window
	c.sh.stats.dropClosed.Add(uint64(unsent))
	switch {
	case c.cause != nil:
		c.cause.Unsent += unsent
	case c.lost != nil:
		c.lost.Unsent += unsent
	}
}

// endWrite reports, once, that both close frames are done with and the write
// side can be ended. mu is held.
func (c *Conn) endWrite() bool {
	if c.overSince == 0 || c.fin || c.flushing {
		return false
	}
	c.fin = true
	return true
}

// Buffered returns how many bytes wait to be written.
func (c *Conn) Buffered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.q == nil {
		return 0
	}
	return c.q.bytes
}

// Pause stops reading, after what has already been read or is just being read,
// so that the peer is held back by TCP. While paused no pings are sent and no
// frame is too late. On a connection that is closing it does nothing: the peer's
// close frame must get through.
func (c *Conn) Pause() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused.Store(true)
}

// Resume lets reading go on.
func (c *Conn) Resume() {
	c.mu.Lock()
	was := c.paused.Swap(false)
	now := c.sh.wheel.now()
	c.lastRead.Store(now)
	for _, since := range [...]*atomic.Int64{&c.msgSince, &c.frameSince} {
		if was := since.Load(); was != 0 {
			since.CompareAndSwap(was, now) // unless the reader has just come to its end
		}
	}
	c.mu.Unlock()
	if was {
		c.sh.wheel.atMost(c, now+1) // what was not looked at meanwhile counts again
		c.driver().resume(c)
	}
}

// Close begins the close handshake (RFC 6455, section 7.1.2) with a code and a
// reason of at most 123 bytes. What was queued before goes out first; sends
// fail from now on. It returns at once; Handler.OnClose tells the end, after
// CloseTimeout at the latest. On a connection that is closing it does nothing.
//
// A code that must not be sent, such as CloseAbnormal, goes out as
// CloseInternalError; CloseNoStatus sends no code. Of a reason that is too long,
// or not UTF-8, goes out what can.
func (c *Conn) Close(code int, reason string) {
	if code != CloseNoStatus && !ValidCloseCode(code) {
		code = CloseInternalError
	}
	c.closeFor(&CloseError{Code: code, Reason: cutReason(strings.ToValidUTF8(reason, "\uFFFD"))})
}

func (c *Conn) closeFor(cause *CloseError) {
	c.mu.Lock()
	wake := c.beginClose(cause)
	c.mu.Unlock()
	if wake {
		c.wake()
	}
	c.driver().resume(c)
}

// beginClose queues the close frame. It reports whether the caller must wake
// the driver. mu is held.
func (c *Conn) beginClose(cause *CloseError) (wake bool) {
	return c.queueClose(cause) && c.beginFlush()
}

// queueClose queues the close frame, if none is yet. mu is held.
func (c *Conn) queueClose(cause *CloseError) bool {
	if c.closing.Load() {
		if c.cause == nil { // writing has failed before
			cause.Unsent += c.lost.Unsent
			c.cause = cause
		}
		return false
	}
	c.closing.Store(true)
	c.cause = cause
	c.closeSince = c.sh.wheel.now()
	if c.q == nil {
		c.q = outqPool.Get().(*outq)
	}
	c.q.close = append([]byte{}, closeBody(cause.Code, cause.Reason)...)
	c.sh.wheel.atMost(c, c.closeSince+c.sh.ticks(c.sh.opts.CloseTimeout))
	return true
}

// Cut closes the socket without a close handshake and drops what waits.
func (c *Conn) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutLocked(errCut)
	c.discard()
}

var (
	errCut  = errors.New("connection cut")
	errQuit = errors.New("handler ended its goroutine")
)

// cutLocked closes the socket; the reading goroutine will notice. mu is held.
func (c *Conn) cutLocked(err error) {
	if c.cut {
		return
	}
	c.cut = true
	c.closing.Store(true)
	switch {
	case c.cause == nil && c.lost != nil:
		c.cause = c.lost
	case c.cause == nil:
		c.cause = &CloseError{Code: CloseAbnormal, Err: err}
	case c.cause.Err == nil && c.overSince == 0:
		c.cause.Err = err // our close frame was not answered
	}
	if c.corked != uncorked { // nobody writes, and nobody will
		c.corked, c.flushing = uncorked, false
	}
	c.driver().shut(c)
	if c.eof {
		c.gone()
	}
}

// violate answers a breach of the protocol: what was queued, then a close
// frame; no more input is looked at.
func (c *Conn) violate(v *violation) {
	c.sh.stats.violations.Add(1)
	c.endInput(v)
}

// peerClosed answers the peer's close frame with its own code (RFC 6455,
// section 5.5.1).
func (c *Conn) peerClosed(v *violation) { c.endInput(v) }

// endInput sends a close frame and looks at no more input. The reading goroutine
// has come to its end here, and writes the frame itself if that does not wait.
func (c *Conn) endInput(v *violation) {
	c.deaf = true
	c.mu.Lock()
	push := c.beginClose(&CloseError{Code: v.code, Reason: v.reason, Remote: true})
	if push {
		c.queued = false
	}
	c.mu.Unlock()
	if push {
		c.driver().push(c)
	}
	c.over(nil)
}

// ended is called by the driver when reading has ended, after the last feed.
func (c *Conn) ended(err error) {
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	c.over(err)
	if in := c.in; in != nil {
		c.in = nil
		putInbound(in)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.eof = true
	switch {
	case c.cut:
		c.gone()
	case c.flushing && c.cause.Code != CloseAbnormal:
		// A close frame is still on its way out; the writer closes the socket
		// then, or the wheel when that takes too long.
	default:
		c.cutLocked(err)
		c.discard()
	}
}

// quit ends a connection whose handler has ended the goroutine that reads
// (runtime.Goexit), on another one.
func (c *Conn) quit() {
	c.Cut()
	go func() {
		defer func() {
			if !c.eof { // OnClose has done it, too
				c.ended(errQuit)
			}
		}()
		c.ended(errQuit)
	}()
}

// over tells the handler, once, that the connection has ended. The socket may
// live a little longer, for our close frame to get through. Only the reading
// goroutine calls it. err is what ended it if no close handshake did.
func (c *Conn) over(err error) {
	c.mu.Lock()
	if c.overSince != 0 {
		c.mu.Unlock()
		return
	}
	c.overSince = max(1, c.sh.wheel.now())
	c.closing.Store(true)
	switch {
	case c.cause == nil && c.lost != nil:
		c.cause = c.lost
	case c.cause == nil:
		c.cause = &CloseError{Code: CloseAbnormal, Remote: true, Err: err}
	case c.cause.Err == nil:
		c.cause.Err = err // our close frame was not answered
	}
	if c.cause.Err == nil && c.lost != nil {
		c.cause.Err = c.lost.Err // what came meanwhile has not been delivered
	}
	cause := *c.cause
	if c.q != nil {
		cause.Unsent += c.q.frames
	}
	h := c.h
	c.h = nil
	fin := err == nil && c.endWrite()
	c.mu.Unlock()
	c.sh.wheel.atMost(c, c.overSince+c.sh.ticks(lingerTimeout))
	c.sh.stats.countClose(cause.Code)
	h.OnClose(c, &cause)
	if fin {
		c.driver().fin(c)
	}
}

// gone forgets the connection when its socket is closed and nobody reads it
// any more. mu is held.
func (c *Conn) gone() {
	c.sh.stats.closed.Add(1)
	if c.sh.leave != nil {
		c.sh.leave(c.ip)
	}
	c.settled()
	c.sh.wheel.remove(c)
	c.sh.work.end()
}

// settled lets the driver give back the socket when nobody reads or writes it
// any more. mu is held.
func (c *Conn) settled() {
	if c.cut && c.eof && !c.flushing && !c.released {
		c.released = true
		c.driver().release(c)
	}
}

// queuePong has the latest ping answered; one that still waits is replaced
// (RFC 6455, section 5.5.3).
func (c *Conn) queuePong(payload []byte) {
	c.mu.Lock()
	if c.closing.Load() {
		c.mu.Unlock()
		return
	}
	if c.q == nil {
		c.q = outqPool.Get().(*outq)
	}
	c.q.pong = true
	c.q.pongLen = uint8(copy(c.q.pongBuf[:], payload))
	wake := c.beginFlush()
	c.mu.Unlock()
	if wake {
		c.wake()
	}
}

// check does what is due by the tick now, and returns the tick at which to
// look again.
func (c *Conn) check(now int64) int64 {
	c.mu.Lock()
	due, wake := c.checkLocked(now)
	c.mu.Unlock()
	if wake {
		c.wake()
	}
	return due
}

var (
	errWriteTimeout = errors.New("peer took no byte in time")
	errCloseTimeout = errors.New("close handshake not answered in time")
	errPongTimeout  = errors.New("peer silent")
)

func (c *Conn) checkLocked(now int64) (due int64, wake bool) {
	sh, o := c.sh, c.sh.opts
	due = now + wheelSlots
	if c.cut {
		return due, false
	}
	// expired notes when to look again, or reports that the span since then
	// has passed.
	expired := func(since int64, span time.Duration) bool {
		at := since + sh.ticks(span)
		if now >= at {
			return true
		}
		due = min(due, at)
		return false
	}
	switch {
	case c.flushing && c.corked == uncorked && expired(c.writeSince, o.WriteTimeout):
		c.timeOut(errWriteTimeout)
		return due, false
	case c.overSince != 0 && !c.flushing && expired(c.overSince, lingerTimeout),
		c.overSince != 0 && expired(c.overSince, o.CloseTimeout),
		c.overSince == 0 && c.lost != nil && expired(c.closeSince, lingerTimeout),
		c.overSince == 0 && c.closeSince != 0 && expired(c.closeSince, o.CloseTimeout):
		c.timeOut(errCloseTimeout)
		return due, false
	case c.closing.Load():
		return due, false
	case c.paused.Load():
		return min(due, now+sh.ticks(o.PingInterval)), false
	}
	late := ""
	if since := c.frameSince.Load(); since != 0 && expired(since, o.FrameTimeout) {
		late = "frame not completed in time"
	}
	if since := c.msgSince.Load(); since != 0 && expired(since, o.MessageTimeout) && late == "" {
		late = "message not completed in time"
	}
	if late != "" {
		sh.stats.violations.Add(1)
		wake = c.beginClose(&CloseError{Code: ClosePolicyViolation, Reason: late, Remote: true})
		return min(due, now+sh.ticks(o.CloseTimeout)), wake
	}
	last := c.lastRead.Load()
	if c.pingSince > last {
		if expired(c.pingSince, o.PongTimeout) {
			c.timeOut(errPongTimeout)
		}
		return due, false
	}
	if expired(last, o.PingInterval+o.PingInterval/1280*time.Duration(c.jitter)) {
		c.pingSince = now
		if c.q == nil {
			c.q = outqPool.Get().(*outq)
		}
		c.q.ping = true
		sh.stats.pings.Add(1)
		return min(due, now+sh.ticks(o.PongTimeout)), c.beginFlush()
	}
	return due, false
}

// timeOut cuts a connection whose peer did not do its part.
func (c *Conn) timeOut(err error) {
	c.sh.stats.timeouts.Add(1)
	if c.cause == nil && c.lost == nil {
		c.cause = &CloseError{Code: CloseAbnormal, Remote: true, Err: err}
	}
	c.cutLocked(err)
	c.discard()
}

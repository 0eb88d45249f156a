package transport

import (
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

// endInput answers what ends the input: a breach of the protocol, or the peer's
// close frame with its own code (RFC 6455, section 5.5.1). What was queued goes out
// before our close frame; no more input is looked at. The reading goroutine has
// come to its end here, and writes the frame itself if that does not wait.
func (c *Conn) endInput(v *violation) {
	c.deaf = true
	if !v.closed {
		c.sh.stats.violations.Add(1)
	}
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

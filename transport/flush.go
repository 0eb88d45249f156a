package transport

import (
	"io"
	"net"
)

// cork says who keeps back what is to be written. Only that one, or who cuts the
// connection, may end it: from then on there is one who writes.
type cork uint8

const (
	uncorked cork = iota
	byHandler
	byTask
)

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

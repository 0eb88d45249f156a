package transport

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"syscall"
)

// goroutineDriver serves any net.Conn on every system. A connection has one
// goroutine that reads; the executor's workers write, and may wait. Where the
// system can say that a socket is readable, the reader waits without a buffer.
type goroutineDriver struct{}

func (goroutineDriver) name() Driver { return DriverGoroutine }

// readSize is how much is read at a time, and writeSize how much is written:
// a peer that takes one piece per WriteTimeout is alive.
const (
	readSize  = 16 << 10
	heldSize  = 4 << 10 // where the reader must hold a buffer while it waits
	smallRead = 4 << 10 // where deflated messages may come: a thousand times as much when inflated
	writeSize = 64 << 10
)

var readPool = sync.Pool{New: func() any { return new([readSize]byte) }}

func (d goroutineDriver) start(c *Conn, rest []byte) { go d.read(c, bytes.Clone(rest)) }

// read serves one connection until its end. It runs on a fresh goroutine,
// because the one that did the handshake has a grown stack.
func (d goroutineDriver) read(c *Conn, rest []byte) {
	done := false
	defer func() {
		if !done {
			c.quit()
		}
	}()
	if len(rest) > 0 {
		c.feed(rest)
	}
	c.ended(d.readAll(c))
	done = true
}

func (d goroutineDriver) readAll(c *Conn) error {
	if r := newReadiness(c); r != nil {
		for d.await(c) {
			if err := r.read(c); err != nil {
				return err
			}
		}
		return net.ErrClosed
	}
	buf := make([]byte, heldSize)
	for d.await(c) {
		n, err := c.nc.Read(buf)
		if n > 0 {
			c.feed(buf[:n])
		}
		if err != nil {
			return err
		}
	}
	return net.ErrClosed
}

// await waits while the connection is paused and not closing. It reports false
// when the connection has been cut.
func (goroutineDriver) await(c *Conn) bool {
	for {
		c.mu.Lock()
		if c.cut || !c.paused.Load() || c.closing.Load() {
			cut := c.cut
			c.mu.Unlock()
			return !cut
		}
		ch := make(chan struct{})
		c.unpaused = ch
		c.mu.Unlock()
		<-ch
	}
}

func (goroutineDriver) resume(c *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	unpause(c)
}

// unpause wakes the reader. mu is held.
func unpause(c *Conn) {
	if c.unpaused != nil {
		close(c.unpaused)
		c.unpaused = nil
	}
}

func (goroutineDriver) waits() bool { return true }

func (goroutineDriver) wake(c *Conn) { c.sh.work.add(job{c: c}) }

func (d goroutineDriver) push(c *Conn) {
	c.mu.Lock()
	c.queued = true
	c.mu.Unlock()
	d.wake(c)
}

// write writes until nothing is left.
func (d goroutineDriver) write(c *Conn) {
	c.sh.wheel.atMost(c, c.sh.wheel.now()+c.sh.ticks(c.sh.opts.WriteTimeout))
	_, vectored := c.nc.(*net.TCPConn)
	var scratch *[readSize]byte
	limit := writeSize
	if !vectored {
		limit = readSize
	}
	vec, fin, ok := c.nextWrite(limit)
	for ok {
		var n int64
		var err error
		switch {
		case len(*vec) == 1:
			var k int
			k, err = c.nc.Write((*vec)[0])
			n = int64(k)
		case vectored:
			n, err = vec.WriteTo(c.nc)
		default:
			// Each Write would be a TLS record or a hand-over of its own.
			if scratch == nil {
				scratch = readPool.Get().(*[readSize]byte)
			}
			b := scratch[:0]
			for _, v := range *vec {
				b = append(b, v...)
			}
			var k int
			k, err = c.nc.Write(b)
			n = int64(k)
		}
		vec, fin, ok = c.wrote(int(n), err, limit)
	}
	if fin {
		d.fin(c)
	}
	if scratch != nil {
		readPool.Put(scratch)
	}
}

func (d goroutineDriver) fin(c *Conn) {
	if c.client {
		return // the server closes first (RFC 6455, section 7.1.1)
	}
	switch nc := c.nc.(type) {
	case *tls.Conn:
		go nc.CloseWrite() //nolint:errcheck // it writes an alert, and may wait; the wheel has an eye on it
		return
	case interface{ CloseWrite() error }:
		if nc.CloseWrite() == nil {
			return
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutLocked(net.ErrClosed)
}

func (goroutineDriver) shut(c *Conn) {
	unpause(c)
	switch nc := c.nc.(type) {
	case *net.TCPConn:
		// Close waits until reads and writes under way have noticed, which takes
		// as long as the scheduler takes to get to them. The wheel, for one, must
		// not wait for that, connection by connection.
		if c.eof && !c.flushing {
			nc.Close() //nolint:errcheck // there is nobody to tell
		} else {
			go nc.Close() //nolint:errcheck // as above
		}
	case *tls.Conn:
		// Its own Close writes an alert, and may wait for a peer that does not
		// read.
		go nc.NetConn().Close() //nolint:errcheck // as above
	default:
		go nc.Close() //nolint:errcheck // as above; a foreign Close may wait
	}
}

func (goroutineDriver) release(*Conn) {}

// readiness reads a socket without holding a buffer while it waits.
type readiness struct {
	raw  syscall.RawConn
	size int // of a read
	buf  *[readSize]byte
	n    int
	err  error
	try  func(fd uintptr) bool
}

func newReadiness(c *Conn) *readiness {
	if !canTryRead {
		return nil
	}
	tcp, ok := c.nc.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	r := &readiness{raw: raw, size: readSize}
	if c.deflate {
		r.size = smallRead
	}
	r.try = r.attempt
	return r
}

// attempt reads what is there. It reports false, and keeps no buffer, when the
// socket has nothing: then the runtime waits and calls it again.
func (r *readiness) attempt(fd uintptr) bool {
	buf := readPool.Get().(*[readSize]byte)
	n, err := tryRead(fd, buf[:r.size])
	if errors.Is(err, errWouldBlock) {
		readPool.Put(buf)
		return false
	}
	r.buf, r.n, r.err = buf, n, err
	return true
}

// read waits for input and feeds it to c.
func (r *readiness) read(c *Conn) error {
	if err := r.raw.Read(r.try); err != nil {
		return err
	}
	buf, n, err := r.buf, r.n, r.err
	r.buf, r.err = nil, nil
	if n > 0 {
		c.feed(buf[:n])
	}
	readPool.Put(buf)
	return err
}

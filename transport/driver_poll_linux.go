package transport

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// canPoll says that DriverPoll works here.
const canPoll = true

// pollDriver serves sockets that have been taken out of Go's runtime, over
// epoll, level-triggered. Each shard has one poller: a goroutine that reads what
// is there into one buffer and feeds it to the connections in place. Workers of
// the shard's executor write, and the poller does what a handler has sent under a
// cork and the rest of a flush that had to wait; the system calls of both never
// wait, so they are made without telling the scheduler.
//
// A descriptor is closed by Conn.settled only, when nobody reads or writes it
// any more; until then its number cannot become another's.
type pollDriver struct{}

// socket is what the driver keeps of a connection. It is guarded by Conn.mu.
type socket struct {
	fd      int32  // valid until release
	slot    uint32 // in poller.slots
	mask    uint8  // what epoll waits for, or disarmed; 0 if it does not know the descriptor
	stalled bool   // the rest of a flush waits for EPOLLOUT
	started bool   // it has a slot
}

// disarmed as a mask means that epoll knows the descriptor and waits for nothing.
const disarmed = 0x80

// poller waits for the sockets of one shard.
//
// It waits in Go's own poller until the epoll set is readable, and then asks
// the set without waiting: no thread is held by it.
type poller struct {
	mu      sync.Mutex
	file    *os.File // the epoll set; nil while there is none
	ep      int
	slots   []slot
	free    []uint32
	n       int
	resting bool // it ends as soon as there is no connection

	// Touched by its goroutine only.
	events [maxEvents]syscall.EpollEvent
	ready  [maxEvents]polled
	buf    [64 << 10]byte
	cur    *Conn // being fed
}

// polled is what sockets belong to: a Conn, or the opening handshake before it.
type polled interface {
	handle(p *poller, events uint32)
}

// slot is a place for a socket. The generation tells an event of the one that is
// there from one of its predecessor's.
type slot struct {
	of  polled
	gen uint32
}

// maxEvents is how many sockets are read before others get the processor.
const maxEvents = 32

// lingerEmpty is how long a poller without connections stays.
const lingerEmpty = 100 * time.Millisecond

func newPoller() *poller { return new(poller) }

// add enters a socket, and opens the set if there is none.
func (p *poller) add(of polled) (at uint32, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	if p.file == nil {
		if err := p.open(); err != nil {
			p.n--
			return 0, err
		}
	}
	if l := len(p.free); l > 0 {
		at, p.free = p.free[l-1], p.free[:l-1]
	} else {
		at = uint32(len(p.slots))
		p.slots = append(p.slots, slot{})
	}
	p.slots[at].of = of
	return at, nil
}

// replace gives a slot to another, for the same socket.
func (p *poller) replace(at uint32, of polled) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.slots[at].of = of
}

// control changes what the set waits for at the socket of a slot.
func (p *poller) control(op, fd int, at uint32, events uint32) error {
	p.mu.Lock()
	gen, ep := p.slots[at].gen, p.ep
	p.mu.Unlock()
	ev := syscall.EpollEvent{Events: events, Fd: int32(at), Pad: int32(gen)}
	if errno := epollCtl(ep, op, fd, &ev); errno != 0 {
		return os.NewSyscallError("epoll_ctl", errno) // out of memory, or of watches
	}
	return nil
}

// open makes the set, and the goroutine that waits for it. mu is held.
func (p *poller) open() error {
	ep, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(ep, true); err != nil { // so that NewFile has Go's poller watch it
		syscall.Close(ep) //nolint:errcheck // the first error counts
		return os.NewSyscallError("fcntl", err)
	}
	f := os.NewFile(uintptr(ep), "epoll")
	raw, err := f.SyscallConn()
	if err == nil {
		err = f.SetReadDeadline(time.Time{}) // it fails if Go's poller could not take the set: run would spin
	}
	if err != nil {
		f.Close() //nolint:errcheck // the first error counts
		return err
	}
	p.file, p.ep = f, ep
	go p.run(f, raw)
	return nil
}

// remove takes a socket out, which has been closed.
func (p *poller) remove(at uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.slots[at]
	s.of = nil
	s.gen++
	p.free = append(p.free, at)
	if p.n--; p.n == 0 {
		p.expire()
	}
}

// rest has the poller end as soon as it can.
func (p *poller) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resting = true
	if p.n == 0 && p.file != nil {
		p.expire()
	}
}

// expire lets the goroutine look soon whether it is still needed. mu is held.
func (p *poller) expire() {
	at := time.Now()
	if !p.resting {
		at = at.Add(lingerEmpty)
	}
	p.file.SetReadDeadline(at) //nolint:errcheck // it has worked before
}

// run is the goroutine of the poller.
func (p *poller) run(f *os.File, raw syscall.RawConn) {
	done := false
	defer func() {
		if done {
			return
		}
		// A handler has ended the goroutine (runtime.Goexit) in the middle of a
		// message: its connection cannot go on, the others can.
		if c := p.cur; c != nil {
			p.cur = nil
			c.Cut()
			go func() {
				defer func() { go p.run(f, raw) }() // even if OnClose does it again
				c.ended(errQuit)
			}()
			return
		}
		go p.run(f, raw)
	}()
	for {
		err := raw.Read(p.turn)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		p.mu.Lock()
		if p.n == 0 {
			f.Close() //nolint:errcheck // nobody uses it any more
			p.file, p.slots, p.free = nil, nil, nil
			p.mu.Unlock()
			done = true
			return
		}
		f.SetReadDeadline(time.Time{}) //nolint:errcheck // it has worked before
		p.mu.Unlock()
	}
}

// turn handles events until there are none, and then reports false, so that
// the runtime waits for more.
func (p *poller) turn(ep uintptr) bool {
	for {
		n := wait(int(ep), p.events[:])
		if n == 0 {
			return false
		}
		p.mu.Lock()
		for i, ev := range p.events[:n] {
			p.ready[i] = nil // a handler that ended the goroutine has left what came behind
			if s := &p.slots[ev.Fd]; s.gen == uint32(ev.Pad) {
				p.ready[i] = s.of
			}
		}
		p.mu.Unlock()
		for i, of := range p.ready[:n] {
			if of != nil {
				of.handle(p, p.events[i].Events)
				p.ready[i] = nil
			}
		}
		runtime.Gosched() // what has been read is still warm: let it be worked on
	}
}

// handle does what the events of a connection ask for.
func (c *Conn) handle(p *poller, events uint32) {
	const gone = syscall.EPOLLERR | syscall.EPOLLHUP
	if events&(syscall.EPOLLOUT|gone) != 0 {
		c.mu.Lock()
		stalled := c.sock.stalled
		c.sock.stalled = false
		c.mu.Unlock()
		if stalled {
			pollDriver{}.write(c)
			c.rearm() // unless it has stalled again, EPOLLOUT would be reported for ever
		}
	}
	if events&(syscall.EPOLLIN|gone) == 0 {
		return
	}
	if c.paused.Load() && !c.closing.Load() {
		c.rearm()
		return
	}
	if c.eof {
		return // only this goroutine sets it
	}
	size := len(p.buf)
	if c.deflate {
		size = smallRead
	}
	n, errno := read(int(c.sock.fd), p.buf[:size])
	switch {
	case n > 0:
		p.cur = c
		c.feed(p.buf[:n])
		p.cur = nil
	case errno == 0:
		p.end(c, io.EOF)
	case errno != syscall.EAGAIN && errno != syscall.EINTR:
		p.end(c, os.NewSyscallError("read", errno))
	}
}

// end ends the reading of c.
func (p *poller) end(c *Conn, err error) {
	p.cur = c
	c.ended(err)
	p.cur = nil
	c.rearm() // something may still be to be written
}

func (c *Conn) rearm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := arm(c); err != nil {
		c.cutLocked(err)
		c.discard()
	}
}

// arm tells epoll what to wait for. Conn.mu is held.
func arm(c *Conn) error {
	s := &c.sock
	var want uint8
	if s.fd < 0 {
		return nil
	}
	if !c.eof && (!c.paused.Load() || c.closing.Load()) {
		want = syscall.EPOLLIN
	}
	if s.stalled {
		want |= syscall.EPOLLOUT
	}
	if want == s.mask {
		return nil
	}
	op := syscall.EPOLL_CTL_MOD
	switch {
	case s.mask == 0:
		op = syscall.EPOLL_CTL_ADD
	case want == 0:
		op = syscall.EPOLL_CTL_DEL // epoll would report errors all the same
	}
	if err := c.sh.poll.control(op, int(s.fd), s.slot, uint32(want)); err != nil {
		return err
	}
	s.mask = want
	return nil
}

// ---- the driver's methods

func (pollDriver) name() Driver { return DriverPoll }

func (pollDriver) start(c *Conn, rest []byte) {
	if len(rest) > 0 {
		quit := true
		defer func() {
			if quit {
				c.quit()
			}
		}()
		c.feed(rest)
		quit = false
	}
	c.mu.Lock()
	var err error
	if c.sock.mask == 0 {
		c.sock.slot, err = c.sh.poll.add(c)
	} else {
		c.sh.poll.replace(c.sock.slot, c) // it was polled for the handshake
	}
	if err == nil {
		c.sock.started = true
		err = arm(c)
	}
	c.mu.Unlock()
	if err != nil {
		c.ended(err) // the poller does not know it: nobody else will tell
	}
}

func (pollDriver) waits() bool { return false }

func (pollDriver) wake(c *Conn) { c.sh.work.flush(c) }

func (d pollDriver) push(c *Conn) { d.write(c) }

// write writes until nothing is left or the socket takes no more.
func (d pollDriver) write(c *Conn) {
	vec, fin, ok := c.nextWrite(writeSize)
	for ok {
		n, errno := writev(int(c.sock.fd), *vec)
		switch errno {
		case 0, syscall.EINTR:
			vec, fin, ok = c.wrote(n, nil, writeSize)
		case syscall.EAGAIN:
			c.stall()
			return
		default:
			vec, fin, ok = c.wrote(0, os.NewSyscallError("write", errno), writeSize)
		}
	}
	if fin {
		d.fin(c)
	}
}

// stall leaves the rest of a flush to the time when the socket takes more.
func (c *Conn) stall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		c.endFlush()
		return
	}
	c.sock.stalled = true
	c.sh.wheel.atMost(c, c.writeSince+c.sh.ticks(c.sh.opts.WriteTimeout))
	if !c.sock.started {
		return // start will arm
	}
	if err := arm(c); err != nil {
		c.cutLocked(err)
		c.discard()
	}
}

func (pollDriver) resume(c *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sock.started {
		c.readOn()
	}
}

// readOn tells epoll to report input, if it is wanted. When it does not know the
// socket and cannot take it, nobody reads, and nobody but this would tell the
// end: on a goroutine of its own, as the caller may hold locks of the handler's.
// mu is held.
func (c *Conn) readOn() {
	if err := arm(c); err != nil && c.sock.mask == 0 {
		go c.ended(err)
	}
}

func (pollDriver) fin(c *Conn) {
	if c.client {
		return // the server closes first (RFC 6455, section 7.1.1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sock.fd >= 0 && !c.cut {
		syscall.Shutdown(int(c.sock.fd), syscall.SHUT_WR) //nolint:errcheck // the peer may have gone
	}
}

// shut ends both directions, which the poller will see.
func (pollDriver) shut(c *Conn) {
	if c.sock.stalled {
		c.sock.stalled = false
		c.flushing = false
	}
	if c.eof {
		return
	}
	syscall.Shutdown(int(c.sock.fd), syscall.SHUT_RDWR) //nolint:errcheck // the peer may have gone
	if c.sock.started {
		c.readOn() // epoll may have been told to report nothing
	}
}

func (pollDriver) release(c *Conn) {
	closeFD(int(c.sock.fd))
	c.sock.fd = -1
	c.sh.stats.polled.Add(-1)
	if c.sock.started || c.sock.mask != 0 { // or it ends before it has started
		c.sh.poll.remove(c.sock.slot)
	}
}

// attachFD makes a socket the one of c.
func attachFD(c *Conn, fd int, addr netip.AddrPort) {
	c.drv, c.sock.fd, c.peer = drvPoll, int32(fd), newAddress(addr)
	c.sh.stats.polled.Add(1)
}

// detach takes the socket out of nc, which is closed then. It reports false,
// and has done nothing, if nc is none that can be polled.
func detach(nc net.Conn) (fd int, addr netip.AddrPort, ok bool) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return -1, addr, false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return -1, addr, false
	}
	fd = -1
	err = raw.Control(func(old uintptr) {
		n, _, errno := syscall.RawSyscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 0)
		if errno == 0 {
			fd = int(n)
		}
	})
	if err != nil || fd < 0 {
		return -1, addr, false
	}
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		addr = a.AddrPort()
	}
	nc.Close() //nolint:errcheck // the duplicate is what counts
	return fd, addr, true
}

// ---- system calls
//
// None of these waits. RawSyscall does not tell the scheduler, so that they
// cost no more than in C.

func read(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(sysRecv, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// maxVec is how many pieces are written at once.
const maxVec = 64

func writev(fd int, bs [][]byte) (int, syscall.Errno) {
	var n uintptr
	var errno syscall.Errno
	if len(bs) == 1 {
		b := bs[0]
		n, _, errno = syscall.RawSyscall6(sysSend, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), syscall.MSG_NOSIGNAL, 0, 0)
	} else {
		var iov [maxVec]syscall.Iovec
		k := min(len(bs), maxVec)
		for i, b := range bs[:k] {
			iov[i].Base = unsafe.SliceData(b)
			iov[i].SetLen(len(b))
		}
		n, errno = sendVec(fd, &iov, k)
	}
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// wait asks for events without waiting for them.
func wait(ep int, events []syscall.EpollEvent) int {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(unsafe.SliceData(events))),
		uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0 // EINTR does not happen without waiting
	}
	return int(n)
}

func epollCtl(ep, op, fd int, ev *syscall.EpollEvent) syscall.Errno {
	_, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_CTL, uintptr(ep), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(ev)), 0, 0)
	return errno
}

func closeFD(fd int) {
	syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0) //nolint:errcheck // there is nothing to be done about it
}

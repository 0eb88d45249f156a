package transport

import (
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// polledOpening is an opening handshake on a socket that is polled. It takes no
// goroutine until the head has come, and no buffer until its first byte has. The
// poller reads the head; the rest is a Task, since hooks may wait.
//
// The socket is watched one event at a time (EPOLLONESHOT), so that nothing is
// reported from the last byte of the head on until the connection is started.
type polledOpening struct {
	opening
	sh   *shard
	addr *net.TCPAddr
	fd   int
	slot uint32

	buf  *[]byte // what has come; nil until something has
	scan headScanner
	head int // its length, when it has come
	err  error

	prev, next *polledOpening // in Server.polled
}

// pollOpening begins the handshake on nc if its socket can be polled. Otherwise
// it reports false.
func (s *Server) pollOpening(nc net.Conn, deadline time.Time) bool {
	if s.sh.driver() != DriverPoll {
		return false
	}
	fd, addr, ok := detach(nc)
	if ok {
		s.openFD(fd, addr, deadline)
	}
	return ok
}

// acceptMore accepts what waits beside a connection that was accepted, without
// making Go's runtime know it. The listener is let go before a handshake begins:
// its Close, which Shutdown calls under Server.mu, waits for that.
func (s *Server) acceptMore(l net.Listener) {
	tcp, ok := l.(*net.TCPListener)
	if !ok || s.sh.driver() != DriverPoll {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	var batch [64]accepted
	for n := len(batch); n == len(batch); {
		n = 0
		raw.Control(func(listener uintptr) { //nolint:errcheck // Accept will tell
			for n < len(batch) {
				fd, from, err := syscall.Accept4(int(listener), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
				if err != nil {
					return // nobody waits, or Accept will tell
				}
				batch[n] = accepted{fd, from}
				n++
			}
		})
		for _, a := range batch[:n] {
			a.open(s)
		}
	}
}

// accepted is a socket that Go's runtime does not know.
type accepted struct {
	fd   int
	from syscall.Sockaddr
}

func (a accepted) open(s *Server) {
	syscall.SetsockoptInt(a.fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1) //nolint:errcheck // it would be slower, no more
	var addr netip.AddrPort
	switch from := a.from.(type) {
	case *syscall.SockaddrInet4:
		addr = netip.AddrPortFrom(netip.AddrFrom4(from.Addr), uint16(from.Port))
	case *syscall.SockaddrInet6:
		addr = netip.AddrPortFrom(netip.AddrFrom16(from.Addr).Unmap(), uint16(from.Port))
	}
	s.openFD(a.fd, addr, time.Now().Add(s.sh.opts.HandshakeTimeout))
}

// openFD begins the handshake on a socket, which it owns.
func (s *Server) openFD(fd int, addr netip.AddrPort, deadline time.Time) {
	o := &polledOpening{sh: s.sh.pick(), addr: net.TCPAddrFromAddrPort(addr), fd: fd}
	o.s, o.deadline = s, deadline
	var refusal *StatusError
	if o.ip, refusal = s.enter(nil, o.addr); refusal != nil {
		if nc := fileConn(fd); nc != nil {
			s.refuseSoon(nc, refusal)
		}
		return
	}
	s.polled.add(o)
	p := o.sh.poll
	var err error
	if o.slot, err = p.add(o); err != nil {
		o.finish(err)
		return
	}
	if err = p.control(syscall.EPOLL_CTL_ADD, fd, o.slot, syscall.EPOLLIN|syscall.EPOLLONESHOT); err != nil {
		p.remove(o.slot)
		o.finish(err)
	}
}

// handle implements polled.
func (o *polledOpening) handle(p *poller, _ uint32) {
	n, errno := read(o.fd, p.buf[:smallRead]) // what comes behind the head may be deflated messages
	if errno == 0 && n > 0 {
		limit := o.s.sh.opts.MaxHandshakeBytes
		if o.buf == nil {
			o.buf = getHeadBuffer(limit)
		}
		*o.buf = append(*o.buf, p.buf[:n]...)
		end, refused := o.scan.end(*o.buf, limit)
		switch {
		case refused != nil:
			o.fail(refused)
			return
		case end > 0:
			o.head = end
			o.finish(nil)
			return
		}
	}
	switch {
	case errno == 0 && n == 0:
		o.fail(io.ErrUnexpectedEOF)
	case errno != 0 && errno != syscall.EAGAIN && errno != syscall.EINTR:
		o.fail(os.NewSyscallError("read", errno))
	default:
		if err := p.control(syscall.EPOLL_CTL_MOD, o.fd, o.slot, syscall.EPOLLIN|syscall.EPOLLONESHOT); err != nil {
			o.fail(err)
		}
	}
}

// fail takes the socket out of the poller, and ends the handshake.
func (o *polledOpening) fail(err error) {
	p := o.sh.poll
	p.control(syscall.EPOLL_CTL_DEL, o.fd, o.slot, 0) //nolint:errcheck // it is there
	p.remove(o.slot)
	o.finish(err)
}

// finish ends the reading, and has the rest done.
func (o *polledOpening) finish(err error) {
	o.s.polled.remove(o)
	o.err = err
	o.sh.work.add(job{t: o})
}

// Run implements Task.
func (o *polledOpening) Run() {
	defer func() {
		if o.buf != nil {
			*o.buf = (*o.buf)[:0]
			putHeadBuffer(o.buf)
		}
	}()
	if o.err != nil {
		o.end(o.err, o.toNet)
		return
	}
	head, rest := (*o.buf)[:o.head:o.head], (*o.buf)[o.head:]
	o.do(o.sh, o, head, rest, nil, func() net.Conn {
		p := o.sh.poll
		p.control(syscall.EPOLL_CTL_DEL, o.fd, o.slot, 0) //nolint:errcheck // it is there
		p.remove(o.slot)
		return o.toNet()
	})
}

// cut ends the reading: the poller will see it. openings.mu is held, so that the
// socket is still there.
func (o *polledOpening) cut() {
	syscall.Shutdown(o.fd, syscall.SHUT_RDWR) //nolint:errcheck // the peer may have gone
}

// toNet makes a network connection of a socket that the poller does not know any
// more, to refuse it.
func (o *polledOpening) toNet() net.Conn { return fileConn(o.fd) }

// RemoteAddr implements carrier, as the methods below do.
func (o *polledOpening) RemoteAddr() net.Addr { return o.addr }

// Write writes the answer: a socket to which nothing has been written takes it at
// once.
func (o *polledOpening) Write(p []byte) (int, error) {
	n, errno := writev(o.fd, [][]byte{p})
	switch {
	case errno != 0:
		return 0, os.NewSyscallError("write", errno)
	case n < len(p):
		return n, io.ErrShortWrite
	}
	return n, nil
}

func (o *polledOpening) answered() error { return nil }

func (o *polledOpening) attach(c *Conn) {
	attachFD(c, o.fd, o.addr.AddrPort())
	c.sock.slot, c.sock.mask = o.slot, disarmed
}

// fileConn makes a network connection of a socket, or closes it and returns nil.
func fileConn(fd int) net.Conn {
	f := os.NewFile(uintptr(fd), "")
	defer f.Close() //nolint:errcheck // there is nothing to be done about it
	nc, err := net.FileConn(f)
	if err != nil {
		return nil
	}
	return nc
}

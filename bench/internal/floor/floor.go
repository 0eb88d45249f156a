//go:build linux

// Package floor is what a message costs before any server has done anything
// for it: one thread with epoll that reads bytes and writes the same bytes to
// the same sockets. It upgrades connections, and then looks at nothing but the
// lengths of frames, and at those only where it must know how many messages
// have come. It checks nothing, bounds nothing and is of no use to anybody.
//
// Its batching twin writes the broadcasts that came in one read to each member
// in one write.
package floor

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"syscall"

	"github.com/wireroom/wireroom/bench/internal/contract"
	"github.com/wireroom/wireroom/bench/internal/proc"
	"github.com/wireroom/wireroom/bench/internal/wire"
)

type server struct {
	app      contract.App
	batch    bool
	ep       int
	listener int
	byFD     []*conn
	members  []*conn
	buf      []byte
	events   []syscall.EpollEvent
}

type conn struct {
	fd       int
	member   int // place in server.members
	upgraded bool
	rest     []byte
}

// Main serves until the process is ended.
func Main(args []string, batch bool) error {
	cfg, err := contract.Parse(args)
	if err != nil {
		return err
	}
	control, err := contract.ServeControl(cfg.Control)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	s := &server{app: cfg.App, batch: batch, buf: make([]byte, 256<<10), events: make([]syscall.EpollEvent, 512)}
	addr, err := s.listen(cfg.Addr)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	contract.Announce(addr, control)
	runtime.LockOSThread()
	return s.serve()
}

func (s *server) listen(addr string) (net.Addr, error) {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	if s.ep, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	const flags = syscall.SOCK_STREAM | syscall.SOCK_NONBLOCK | syscall.SOCK_CLOEXEC
	if s.listener, err = syscall.Socket(syscall.AF_INET, flags, 0); err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if err := syscall.Bind(s.listener, &syscall.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}); err != nil {
		return nil, fmt.Errorf("bind: %w", err)
	}
	if err := syscall.Listen(s.listener, 4096); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if err := proc.Watch(s.ep, syscall.EPOLL_CTL_ADD, s.listener, syscall.EPOLLIN); err != nil {
		return nil, fmt.Errorf("epoll_ctl: %w", err)
	}
	sa, err := syscall.Getsockname(s.listener)
	if err != nil {
		return nil, fmt.Errorf("getsockname: %w", err)
	}
	in4, ok := sa.(*syscall.SockaddrInet4)
	if !ok {
		return nil, fmt.Errorf("listening on %T", sa)
	}
	return &net.TCPAddr{IP: in4.Addr[:], Port: in4.Port}, nil
}

func (s *server) serve() error {
	for {
		n, errno := proc.Wait(s.ep, s.events, -1)
		if errno != 0 {
			return fmt.Errorf("floor: epoll_wait: %w", errno)
		}
		for i := range n {
			fd := int(s.events[i].Fd)
			if fd == s.listener {
				s.accept()
			} else if c := s.byFD[fd]; c != nil {
				s.read(c)
			}
		}
	}
}

func (s *server) accept() {
	for {
		fd, _, err := syscall.Accept4(s.listener, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		if err != nil {
			return // nobody is there, or no descriptor is free
		}
		if syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1) != nil ||
			proc.Watch(s.ep, syscall.EPOLL_CTL_ADD, fd, syscall.EPOLLIN) != nil {
			syscall.Close(fd) //nolint:errcheck // there is nothing to be done about it
			continue
		}
		for len(s.byFD) <= fd {
			s.byFD = append(s.byFD, nil)
		}
		s.byFD[fd] = &conn{fd: fd, member: -1}
	}
}

func (s *server) read(c *conn) {
	kept := copy(s.buf, c.rest)
	n, errno := proc.Read(c.fd, s.buf[kept:])
	if errno == syscall.EAGAIN || errno == syscall.EINTR {
		return
	}
	if n == 0 {
		s.drop(c)
		return
	}
	b := s.buf[:kept+n]
	switch {
	case !c.upgraded:
		s.upgrade(c, b)
	case s.app == contract.Room:
		s.broadcast(c, b)
	default:
		s.write(c, b)
	}
}

// upgrade answers the opening handshake; nothing may follow it until then.
func (s *server) upgrade(c *conn, b []byte) {
	if !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
		c.rest = append([]byte(nil), b...)
		return
	}
	c.rest = nil
	answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	for line := range strings.SplitSeq(string(b), "\r\n") {
		switch name, value, _ := strings.Cut(line, ": "); name {
		case "Sec-WebSocket-Key":
			answer += "Sec-WebSocket-Accept: " + wire.AcceptKey(value) + "\r\n"
		case "Sec-WebSocket-Protocol":
			answer += line + "\r\n"
		}
	}
	c.upgraded = true
	if s.app == contract.Room || s.app == contract.Churn {
		c.member = len(s.members)
		s.members = append(s.members, c)
	}
	s.write(c, []byte(answer+"\r\n"))
}

// broadcast writes each whole frame of b to all members: one write for each of
// them, or one for all together.
func (s *server) broadcast(from *conn, b []byte) {
	for len(b) > 0 {
		var end int
		if s.batch {
			_, end, _ = wire.Count(b) // of a frame too long nothing comes back, which the client sees
		} else {
			end = wire.Length(b)
		}
		if end == 0 {
			break
		}
		for i := len(s.members) - 1; i >= 0; i-- { // downwards, as write may drop the member
			s.write(s.members[i], b[:end])
		}
		b = b[end:]
	}
	from.rest = append(from.rest[:0], b...)
}

// write writes all of b, or drops the connection: there is no queue.
func (s *server) write(c *conn, b []byte) {
	if n, _ := proc.Write(c.fd, b); n < len(b) {
		s.drop(c)
	}
}

func (s *server) drop(c *conn) {
	if s.byFD[c.fd] != c {
		return
	}
	s.byFD[c.fd] = nil
	if c.member >= 0 {
		last := len(s.members) - 1
		s.members[c.member] = s.members[last]
		s.members[c.member].member = c.member
		s.members[last] = nil
		s.members = s.members[:last]
	}
	syscall.Close(c.fd) //nolint:errcheck // there is nothing to be done about it
}

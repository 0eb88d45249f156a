//go:build linux

package load

import (
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/wireroom/wireroom/bench/internal/proc"
	"github.com/wireroom/wireroom/bench/internal/wire"
)

type state uint8

const (
	closed state = iota
	connecting
	upgrading
	greeting // see wire.Dialect
	open
)

// conn is one connection.
type conn struct {
	id      uint32
	fd      int
	state   state
	slow    bool   // does not read
	greeted int    // parts of the greeting that have come
	rest    []byte // the beginning of a frame
	unsent  []byte

	sent    uint64
	track   wire.Tracker
	waiting int             // sent, and not back
	times   []time.Duration // when each was sent, by sequence number; a ring
}

func sockaddr(s string) (*syscall.SockaddrInet4, error) {
	ap, err := netip.ParseAddrPort(s)
	if err != nil || !ap.Addr().Is4() {
		return nil, fmt.Errorf("%q is no IPv4 address with a port", s)
	}
	return &syscall.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}, nil
}

// Options of ip(7) and tcp(7) that package syscall does not name, or not
// everywhere.
const (
	ipBindAddressNoPort = 24
	slowReceiveBuffer   = 8 << 10
	slowSegment         = 1400 // as over Ethernet: it keeps the server's socket buffer from growing to megabytes
)

// dial begins to open a connection.
func (g *generator) dial(c *conn) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	if err := g.prepare(c, fd); err != nil {
		syscall.Close(fd) //nolint:errcheck // the error before counts
		return err
	}
	for len(g.byFD) <= fd {
		g.byFD = append(g.byFD, nil)
	}
	g.byFD[fd] = c
	c.fd, c.state = fd, connecting
	g.opening++
	return nil
}

func (g *generator) prepare(c *conn, fd int) error {
	options := [][3]int{{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1}}
	if c.slow {
		options = append(options, [3]int{syscall.SOL_SOCKET, syscall.SO_RCVBUF, slowReceiveBuffer},
			[3]int{syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, slowSegment})
	}
	if n := len(g.spec.Sources); n > 0 {
		options = append(options, [3]int{syscall.IPPROTO_IP, ipBindAddressNoPort, 1})
	}
	for _, o := range options {
		if err := syscall.SetsockoptInt(fd, o[0], o[1], o[2]); err != nil {
			return fmt.Errorf("setsockopt: %w", err)
		}
	}
	if n := len(g.spec.Sources); n > 0 {
		from, err := sockaddr(g.spec.Sources[int(c.id)%n] + ":0")
		if err != nil {
			return err
		}
		if err := syscall.Bind(fd, from); err != nil {
			return fmt.Errorf("bind: %w", err)
		}
	}
	if err := syscall.Connect(fd, g.addr); err != nil && err != syscall.EINPROGRESS {
		return fmt.Errorf("connect: %w", err)
	}
	if err := proc.Watch(g.ep, syscall.EPOLL_CTL_ADD, fd, syscall.EPOLLIN|syscall.EPOLLOUT); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// writable goes on with connecting, or with writing.
func (g *generator) writable(c *conn) {
	if c.state == connecting {
		if errno, err := syscall.GetsockoptInt(c.fd, syscall.SOL_SOCKET, syscall.SO_ERROR); err != nil || errno != 0 {
			g.fail("connect: %w", syscall.Errno(errno))
			g.drop(c)
			return
		}
		c.state = upgrading
		g.watch(c, syscall.EPOLLIN)
		g.send(c, wire.AppendUpgrade(nil, g.spec.Addr, g.spec.Path, g.spec.Subprotocol))
		return
	}
	if len(c.unsent) == 0 {
		return
	}
	b := c.unsent
	c.unsent = nil
	g.watch(c, syscall.EPOLLIN)
	g.send(c, b)
}

func (g *generator) watch(c *conn, events uint32) {
	if err := proc.Watch(g.ep, syscall.EPOLL_CTL_MOD, c.fd, events); err != nil {
		g.fail("epoll_ctl: %w", err)
	}
}

// send writes b, or keeps what the socket does not take.
func (g *generator) send(c *conn, b []byte) {
	if len(c.unsent) > 0 {
		c.unsent = append(c.unsent, b...)
		return
	}
	n, errno := proc.Write(c.fd, b)
	if errno != 0 && errno != syscall.EAGAIN && errno != syscall.EINTR {
		return // reading will tell how the connection ended
	}
	if n < len(b) {
		c.unsent = append([]byte(nil), b[n:]...)
		g.watch(c, syscall.EPOLLIN|syscall.EPOLLOUT)
	}
}

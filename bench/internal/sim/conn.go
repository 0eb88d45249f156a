package sim

import (
	"bytes"
	"io"
	"net"
	"time"

	"github.com/wireroom/wireroom/bench/internal/wire"
)

// conn is the server's end of a socket made of memory, and the client behind
// it: it asks for the upgrade, and from then on says nothing.
type conn struct {
	w        *world
	asked    bool // the request has been read
	upgraded bool
	at       int // in world.want
	closed   chan struct{}
}

var request = wire.AppendUpgrade(nil, "sim", "/room", "")

// Read implements net.Conn, as the methods below do. Only one goroutine reads.
func (c *conn) Read(b []byte) (int, error) {
	if !c.asked {
		c.asked = true
		return copy(b, request), nil
	}
	<-c.closed
	return 0, io.EOF
}

// Write takes what the server sends. Only one goroutine writes at a time.
func (c *conn) Write(b []byte) (int, error) {
	if !c.upgraded {
		c.upgraded = true
		<-c.w.slots
		if _, err := wire.CheckUpgraded(b, ""); err != nil {
			c.w.wrong.Add(1)
		}
		c.w.done()
		return len(b), nil
	}
	want := c.w.want[c.at:]
	if !bytes.HasPrefix(want, b) {
		c.w.wrong.Add(1)
	}
	if len(b) >= len(want) {
		c.at = 0
		c.w.done()
	} else {
		c.at += len(b)
	}
	return len(b), nil
}

func (c *conn) Close() error {
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	return nil
}

func (*conn) LocalAddr() net.Addr              { return addr{} }
func (*conn) RemoteAddr() net.Addr             { return addr{} }
func (*conn) SetDeadline(time.Time) error      { return nil }
func (*conn) SetReadDeadline(time.Time) error  { return nil }
func (*conn) SetWriteDeadline(time.Time) error { return nil }

type addr struct{}

func (addr) Network() string { return "sim" }
func (addr) String() string  { return "sim" }

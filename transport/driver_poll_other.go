//go:build !linux

package transport

import (
	"net"
	"net/netip"
	"time"
)

// canPoll says that there is no DriverPoll here.
const canPoll = false

type poller struct{}

func newPoller() *poller { return nil }
func (*poller) rest()    {}

func detach(net.Conn) (int, netip.AddrPort, bool) { return -1, netip.AddrPort{}, false }
func attachFD(*Conn, int, netip.AddrPort)         {}

func (*Server) pollOpening(net.Conn, time.Time) bool { return false }
func (*Server) acceptMore(net.Listener)              {}

// polledOpening is never made here.
type polledOpening struct {
	prev, next *polledOpening
	deadline   time.Time
}

func (*polledOpening) cut() {}

// pollDriver is never used here.
type pollDriver struct{ goroutineDriver }

// socket is what DriverPoll keeps of a connection.
type socket struct{}

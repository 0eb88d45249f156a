//go:build !linux

package transport

import "net"

// canPoll says that there is no DriverPoll here.
const canPoll = false

type poller struct{}

func newPoller() *poller { return nil }
func (*poller) rest()    {}

func detach(*Conn, net.Conn) bool { return false }

// pollDriver is never used here.
type pollDriver struct{ goroutineDriver }

// socket is what DriverPoll keeps of a connection.
type socket struct{}

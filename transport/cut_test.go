package transport_test

import (
	"net"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// Verify that Cut does not wait for those who use the socket: net.TCPConn.Close
// does, and the wheel cuts one connection after another.
func TestCutDoesNotWait(t *testing.T) {
	rec, conns := newRecorder(), make(chan *transport.Conn, 1)
	s := acceptServer(t, func(c *transport.Conn, _ *transport.Handshake) transport.Handler {
		conns <- c
		return rec
	}, &transport.Options{Driver: transport.DriverGoroutine})
	dialPeerTCP(t, listenTCP(t, s))
	c := <-conns
	raw, err := transport.NetConn(c).(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	cut := make(chan struct{})
	waited := false
	err = raw.Control(func(uintptr) { // the socket is in use as long as this takes
		go func() {
			defer close(cut)
			c.Cut()
		}()
		select {
		case <-cut:
		case <-time.After(10 * time.Second):
			waited = true
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	<-cut
	if waited {
		t.Error("Cut waited for the socket")
	}
	rec.end(t)
}

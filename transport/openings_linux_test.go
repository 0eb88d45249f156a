package transport_test

import (
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// Verify that each opening handshake has its deadline, also one that begins
// while those before it are being cut.
func TestOpeningsExpire(t *testing.T) {
	const timeout = 200 * time.Millisecond
	rec := newRecorder()
	held, release := make(chan struct{}, 100), make(chan struct{})
	rec.onMessage = func(*transport.Conn, transport.Op, []byte) { held <- struct{}{}; <-release }
	_, addr := serveTCP(t, &unwatched{recorder: rec}, &transport.Options{Driver: transport.DriverPoll, HandshakeTimeout: timeout})
	var peers []*peer
	for range runtime.GOMAXPROCS(0) {
		peers = append(peers, dialPeerTCP(t, addr))
	}
	for _, p := range peers { // no poller gets on
		p.write(masked(fin|opText, "x"))
		<-held
	}
	first := dialTCP(t, addr)
	time.Sleep(timeout * 3 / 2)
	second := dialTCP(t, addr) // the first one is still in the list
	time.Sleep(timeout / 4)
	close(release)
	for i, nc := range []net.Conn{first, second} {
		_ = nc.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err := nc.Read(make([]byte, 1))
		if err == nil || isTimeout(err) {
			t.Errorf("connection %d is still open: %v", i+1, err)
		}
	}
}

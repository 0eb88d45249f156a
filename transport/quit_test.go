package transport_test

import (
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// Verify that a handler which ends its goroutine under a cork leaves nothing
// behind.
func TestGoexitUnderCork(t *testing.T) {
	for _, driver := range []transport.Driver{transport.DriverAuto, transport.DriverGoroutine} {
		for _, early := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%t", driver, early), func(t *testing.T) {
				h := newRecorder()
				h.onMessage = func(c *transport.Conn, _ transport.Op, _ []byte) {
					c.Cork()
					_ = c.SendText("x")
					runtime.Goexit()
				}
				s, addr := serveTCP(t, &unwatched{h, sync.Once{}}, &transport.Options{Driver: driver})
				if early {
					p := &peer{t: t, nc: dialTCP(t, addr)}
					p.write(append(upgradeRequest("/"), masked(fin|opText, "x")...))
				} else {
					p := dialPeerTCP(t, addr)
					p.write(masked(fin|opText, "x"))
				}
				select {
				case <-h.closed:
				case <-time.After(3 * time.Second):
					t.Fatal("the connection has not ended")
				}
				for at := time.Now(); s.Stats().Conns+s.Stats().Polled > 0; time.Sleep(time.Millisecond) {
					if time.Since(at) > 3*time.Second {
						t.Fatalf("the connection is still there: %+v", s.Stats())
					}
				}
			})
		}
	}
}

// unwatched is a recorder that does not mind calls which do not return.
type unwatched struct {
	*recorder
	once sync.Once
}

func (u *unwatched) OnMessage(c *transport.Conn, op transport.Op, p []byte) { u.onMessage(c, op, p) }
func (u *unwatched) OnClose(_ *transport.Conn, _ *transport.CloseError) {
	u.once.Do(func() { close(u.closed) })
}

func dialTCP(t testing.TB, addr string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

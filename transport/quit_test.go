package transport_test

import (
	"context"
	"fmt"
	"net"
	"net/http/httptest"
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
				s, addr := serveTCP(t, &unwatched{recorder: h}, &transport.Options{Driver: driver})
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
	quits bool // OnClose does not return
	once  sync.Once
}

func (u *unwatched) OnMessage(c *transport.Conn, op transport.Op, p []byte) { u.onMessage(c, op, p) }
func (u *unwatched) OnClose(_ *transport.Conn, _ *transport.CloseError) {
	u.once.Do(func() { close(u.closed) })
	if u.quits {
		runtime.Goexit()
	}
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

// Verify that a hook which ends its goroutine leaves no handshake behind,
// whoever has read the request.
func TestGoexitInOnConnect(t *testing.T) {
	s := newServer(t, newRecorder(), &transport.Options{
		OnConnect: func(context.Context, *transport.Handshake) (any, error) {
			runtime.Goexit()
			return nil, nil
		},
	})
	hs := httptest.NewServer(s)
	defer hs.Close()
	for _, addr := range []string{listenTCP(t, s), hs.Listener.Addr().String()} {
		nc := dialTCP(t, addr)
		_, _ = nc.Write(upgradeRequest("/"))
		_ = nc.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err := nc.Read(make([]byte, 1)); n > 0 || isTimeout(err) {
			t.Errorf("read %d bytes, %v", n, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error) //nolint:errorlint // it is what Read returns
	return ok && ne.Timeout()
}

// Verify the same of OnClose: the others of its poller go on.
func TestGoexitInOnClose(t *testing.T) {
	for _, driver := range []transport.Driver{transport.DriverAuto, transport.DriverGoroutine} {
		t.Run(string(driver), func(t *testing.T) {
			h := newEcho()
			s, addr := serveTCP(t, &unwatched{recorder: h, quits: true}, &transport.Options{Driver: driver})
			var peers []*peer
			for range 4 * runtime.GOMAXPROCS(0) {
				peers = append(peers, dialPeerTCP(t, addr))
			}
			for i, p := range peers {
				p.write(masked(fin|opText, "x"))
				if f := p.read(); f.Payload != "x" {
					t.Fatalf("connection %d: %v", i, f)
				}
				_ = p.nc.Close()
			}
			for at := time.Now(); s.Stats().Conns+s.Stats().Polled > 0; time.Sleep(time.Millisecond) {
				if time.Since(at) > 3*time.Second {
					t.Fatalf("connections are still there: %+v", s.Stats())
				}
			}
		})
	}
}

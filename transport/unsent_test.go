package transport_test

import (
	"bufio"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/wireroom/wireroom/transport"
)

// brokenConn is a net.Conn whose writing can break while its reading goes on, as
// it does on a socket that the peer has reset with input unread.
type brokenConn struct {
	net.Conn
	broken atomic.Bool
}

var errBroken = errors.New("broken")

func (c *brokenConn) Write(p []byte) (int, error) {
	if c.broken.Load() {
		return 0, errBroken
	}
	return c.Conn.Write(p)
}

// Verify that messages which a failed write leaves behind are counted in Unsent,
// whatever ends the reading then, and that such an end is never one without an
// error: input that comes after the failure is not delivered any more.
func TestUnsentAfterFailedWrite(t *testing.T) {
	tests := []struct {
		name string
		end  func(c *transport.Conn, p *peer)
		code int
	}{
		{"end of the stream", func(_ *transport.Conn, p *peer) { _ = p.nc.Close() }, transport.CloseAbnormal},
		{"cut", func(c *transport.Conn, _ *peer) { c.Cut() }, transport.CloseAbnormal},
		{"close frame", func(_ *transport.Conn, p *peer) { p.write(masked(fin|opClose, closing(4000, ""))) }, 4000},
		{"close", func(c *transport.Conn, p *peer) { c.Close(4001, ""); _ = p.nc.Close() }, 4001},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec, conns := newRecorder(), make(chan *transport.Conn, 1)
				s := acceptServer(t, func(c *transport.Conn, _ *transport.Handshake) transport.Handler {
					conns <- c
					return rec
				}, nil)
				near, far := net.Pipe()
				nc := &brokenConn{Conn: far}
				s.ServeConn(nc)
				p := &peer{t: t, nc: near, r: bufio.NewReader(near)}
				p.upgrade()
				c := <-conns
				nc.broken.Store(true)
				for range 3 {
					if err := c.Queue(transport.Text, []byte("x")); err != nil {
						t.Fatal(err)
					}
				}
				c.Flush()
				synctest.Wait()
				if st := s.Stats(); st.DroppedClosed != 3 {
					t.Errorf("%+v", st)
				}
				tt.end(c, p)
				if err := rec.end(t); err.Unsent != 3 || err.Code != tt.code || err.Err == nil {
					t.Errorf("OnClose with %#v", err)
				}
				hangUp(t, s, p)
			})
		})
	}
}

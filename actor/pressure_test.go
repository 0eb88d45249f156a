package actor_test

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/transport"
)

// lateReader does not read, after the first bytes of a frame, until gate is closed.
type lateReader struct {
	net.Conn
	late atomic.Bool
	gate chan struct{}
}

func (c *lateReader) Read(p []byte) (int, error) {
	if c.late.Load() {
		<-c.gate
	}
	return c.Conn.Read(p)
}

// Verify that a peer which sends more calls than its queue takes replies, and
// begins to read late, is held back and not closed, and gets all of them; and that
// one which never reads is cut, with its hooks called.
func TestReplyPressure(t *testing.T) {
	const n = 3000
	for _, method := range []string{"queued", "inline"} {
		for _, reads := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, reads %v", method, reads), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					e, log := listEngine(t, &actor.Options{Transport: transport.Options{MaxQueueFrames: 50}})
					nop := func(context.Context, actor.WsSender, none) (int, error) { return 0, nil }
					handle(t, e, "queued", nop)
					handle(t, e, "inline", nop, actor.NonBlocking())
					client, server := newPipe()
					e.ServeConn(server)
					late := &lateReader{Conn: client, gate: make(chan struct{})}
					p := dialWire(t, late)
					synctest.Wait()
					late.late.Store(true)
					go func() {
						for i := range n {
							b := appendFrames(nil, []string{fmt.Sprintf(`{"jsonrpc":"2.0","method":%q,"id":%d}`, method, i)})
							if _, err := client.Write(b); err != nil {
								return
							}
						}
					}()
					time.Sleep(5 * time.Second)
					if !reads {
						time.Sleep(10 * time.Second)
						synctest.Wait()
						ended := eventsOf[actor.ConnClosed](log)
						if len(ended) != 1 || ended[0].Err.Code != transport.CloseAbnormal || e.Stats().Conns != 0 {
							t.Errorf("%v, %d connections", ended, e.Stats().Conns)
						}
						client.Close()
						close(late.gate)
						return
					}
					close(late.gate)
					for i := range n {
						p.want(fmt.Sprintf(`{"jsonrpc":"2.0","result":0,"id":%d}`, i))
					}
					client.Close()
				})
			})
		}
	}
}

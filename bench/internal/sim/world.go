package sim

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/wireroom/wireroom/actor"
)

// opening is how many handshakes are under way at once.
const opening = 256

// world is all simulated clients. They check every byte that they get: after
// the answer to the handshake, all get the same.
type world struct {
	conns   []conn
	want    []byte // the frames of the round
	left    atomic.Int64
	through chan struct{} // the last byte of the round has come
	wrong   atomic.Int64
	slots   chan struct{}
}

func newWorld(n int) *world {
	w := &world{conns: make([]conn, n), through: make(chan struct{}, 1), slots: make(chan struct{}, opening)}
	for i := range w.conns {
		w.conns[i].w = w
		w.conns[i].closed = make(chan struct{})
	}
	return w
}

// connect opens all connections.
func (w *world) connect(e *actor.Engine) error {
	w.left.Store(int64(len(w.conns)))
	for i := range w.conns {
		select {
		case w.slots <- struct{}{}:
		case <-time.After(patience):
			return fmt.Errorf("connections do not open: %d are left", w.left.Load())
		}
		e.ServeConn(&w.conns[i])
	}
	return w.wait("upgrades")
}

// expect begins a round, in which each client is to get k text messages.
func (w *world) expect(k int, text string) {
	w.want = w.want[:0]
	for range k {
		w.want = append(w.want, 0x81, 126, byte(len(text)>>8), byte(len(text)))
		w.want = append(w.want, text...)
	}
	w.left.Store(int64(len(w.conns)))
}

// done is told when a client has all it waits for.
func (w *world) done() {
	if w.left.Add(-1) == 0 {
		w.through <- struct{}{}
	}
}

// wait waits for the end of a round.
func (w *world) wait(what string) error {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-w.through:
	case <-timeout.C:
		return fmt.Errorf("%s: %d clients still wait after %v", what, w.left.Load(), patience)
	}
	if n := w.wrong.Load(); n > 0 {
		return fmt.Errorf("%s: %d clients got what was not sent", what, n)
	}
	return nil
}

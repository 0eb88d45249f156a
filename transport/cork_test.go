package transport_test

import (
	"bufio"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// corker is a Handler that answers each message twice: at once, under a cork,
// and from a task.
type corker struct {
	*recorder
	task bool
}

func (h *corker) OnMessage(c *transport.Conn, _ transport.Op, p []byte) {
	c.Cork()
	m := string(p)
	_ = c.SendText("now " + m)
	if h.task {
		c.Schedule(task(func() { _ = c.SendText("soon " + m) }))
	}
}

func (h *corker) OnReadDone(c *transport.Conn) { c.Uncork() }

type task func()

func (f task) Run() { f() }

// Verify that a cork of the handler's and those of tasks do not pull each other,
// so that two write at once: each message arrives once and whole.
func TestCorks(t *testing.T) {
	const n = 3000
	for _, driver := range []transport.Driver{transport.DriverAuto, transport.DriverGoroutine} {
		for _, tasks := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%t", driver, tasks), func(t *testing.T) {
				h := &corker{newRecorder(), tasks}
				_, addr := serveTCP(t, h, &transport.Options{Driver: driver, MaxQueueFrames: -1, MaxQueueBytes: -1})
				p := dialPeerTCP(t, addr)
				go func() {
					for i := range n {
						p.write(masked(fin|opText, fmt.Sprint(i)))
						if i%8 == 0 {
							runtime.Gosched()
						}
					}
				}()
				want := map[string]bool{}
				for i := range n {
					want[fmt.Sprintf("now %d", i)] = true
					if tasks {
						want[fmt.Sprintf("soon %d", i)] = true
					}
				}
				p.r = bufio.NewReaderSize(p.nc, 1<<16)
				for len(want) > 0 {
					f := p.read()
					if f.First != fin|opText || !want[f.Payload] {
						t.Fatalf("got %v, which is not wanted, or not any more", f)
					}
					delete(want, f.Payload)
				}
				p.write(masked(fin|opClose, closing(1000, "")))
				h.end(t)
			})
		}
	}
}

// Verify that a connection which is cut gives back its socket at once, though a
// task of it still runs.
func TestCutUnderCork(t *testing.T) {
	h := newRecorder()
	began, end := make(chan *transport.Conn, 1), make(chan struct{})
	h.onMessage = func(c *transport.Conn, _ transport.Op, _ []byte) {
		c.Schedule(task(func() { began <- c; <-end }))
	}
	s, addr := serveTCP(t, h, nil)
	p := dialPeerTCP(t, addr)
	p.write(masked(fin|opText, "x"))
	c := <-began
	c.Cut()
	h.end(t)
	for at := time.Now(); s.Stats().Conns+s.Stats().Polled > 0; time.Sleep(time.Millisecond) {
		if time.Since(at) > 3*time.Second {
			t.Errorf("the socket is still there: %+v", s.Stats())
			break
		}
	}
	close(end)
}

// Verify that a task which takes its time does not hold up the end of a
// connection whose close handshake is done.
func TestEndUnderCork(t *testing.T) {
	end := make(chan struct{})
	h := &closeTask{newRecorder(), make(chan struct{}), end}
	s, addr := serveTCP(t, h, nil)
	p := dialPeerTCP(t, addr)
	p.write(masked(fin|opClose, closing(1000, "")))
	for p.read().First != fin|opClose {
	}
	h.end(t)
	select {
	case <-h.began:
	case <-time.After(20 * time.Second):
		t.Fatal("the task does not run")
	}
	_ = p.nc.Close()
	for at := time.Now(); s.Stats().Conns+s.Stats().Polled > 0; time.Sleep(time.Millisecond) {
		if time.Since(at) > 3*time.Second {
			t.Errorf("the connection is still there: %+v", s.Stats())
			break
		}
	}
	close(end)
}

// closeTask is a Handler with a task that begins when the connection has ended.
type closeTask struct {
	*recorder
	began, done chan struct{}
}

func (h *closeTask) OnClose(c *transport.Conn, err *transport.CloseError) {
	h.recorder.OnClose(c, err)
	c.Schedule(task(func() {
		close(h.began)
		<-h.done
	}))
}

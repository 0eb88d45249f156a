package transport_test

import (
	"bufio"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/transport"
)

type none = struct{}

// scripted is a Handler whose methods can be given one by one.
type scripted struct {
	*recorder
	onReadDone func(c *transport.Conn)
}

func (h *scripted) OnReadDone(c *transport.Conn) {
	h.recorder.OnReadDone(c)
	if h.onReadDone != nil {
		h.onReadDone(c)
	}
}

// overBoth runs f with a connection over net.Pipe in virtual time, and with one
// over TCP, which is polled where that works. The peer listens. settle waits
// until n frames have come to it.
func overBoth(t *testing.T, h func() transport.Handler, f func(t *testing.T, s *transport.Server, c *transport.Conn, p *peer, settle func(n int) []frame)) {
	t.Helper()
	run := func(t *testing.T, dial func(s *transport.Server) *peer, settle func(p *peer, n int)) {
		conns := make(chan *transport.Conn, 1)
		s := acceptServer(t, func(c *transport.Conn, _ *transport.Handshake) transport.Handler {
			conns <- c
			return h()
		}, nil)
		p := dial(s).listen()
		f(t, s, receive(t, "the connection", conns), p, func(n int) []frame {
			t.Helper()
			settle(p, n)
			return p.frames()
		})
		hangUp(t, s, p)
	}
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			run(t, func(s *transport.Server) *peer { return dialPeer(t, s) }, func(*peer, int) { synctest.Wait() })
		})
	})
	t.Run("TCP", func(t *testing.T) {
		run(t, func(s *transport.Server) *peer { return dialPeerTCP(t, listenTCP(t, s)) }, func(p *peer, n int) {
			until(t, "frames", func() bool {
				got, open := p.bytes()
				frames, rest := splitFrames(got)
				return len(frames) >= n && len(rest) == 0 || !open
			})
		})
	})
}

func discard() transport.Handler { return discarder{} }

// numbers are the payloads 0 to n-1, as text frames.
func numbers(n int) (fs []frame) {
	for i := range n {
		fs = append(fs, frame{fin | opText, fmt.Sprint(i)})
	}
	return fs
}

// Verify that any number of tasks that wait hold up neither other tasks nor
// writes, on one processor, too.
func TestTasksWait(t *testing.T) {
	for _, procs := range []int{1, runtime.GOMAXPROCS(0)} {
		t.Run(fmt.Sprint(procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			synctest.Test(t, func(t *testing.T) {
				const n = 200
				var ran atomic.Int32
				hold := make(chan none)
				ends := make([]*transport.Conn, 0, 2*n)
				var recs []*recorder
				s, conns := meeter(t, nil)
				d := &transport.Dialer{}
				for range n {
					cr := newRecorder()
					c, err := d.Pipe(t.Context(), s, "/", cr)
					if err != nil {
						t.Fatal(err)
					}
					m := <-conns
					ends = append(ends, m.Conn, c)
					recs = append(recs, cr, m.rec)
				}
				for _, c := range ends {
					c.Schedule(task(func() { ran.Add(1); <-hold }))
				}
				synctest.Wait()
				if got := ran.Load(); got != 2*n {
					t.Errorf("%d of %d tasks have begun", got, 2*n)
				}
				for _, c := range ends {
					c.Schedule(task(func() { _ = c.SendText("from a second task") }))
					_ = c.SendText("from outside")
				}
				time.Sleep(2 * time.Millisecond) // the first tasks hold corks
				synctest.Wait()
				for i, rec := range recs {
					if got := rec.messages(); len(got) != 2 {
						t.Fatalf("end %d got %v while tasks wait", i, got)
					}
				}
				close(hold)
				for _, c := range ends {
					c.Cut()
				}
				for _, rec := range recs {
					rec.end(t)
				}
				shutdown(t, s)
			})
		})
	}
}

// Verify that what a task sends leaves in one write when it ends.
func TestTaskOneWrite(t *testing.T) {
	overBoth(t, discard, func(t *testing.T, s *transport.Server, c *transport.Conn, p *peer, settle func(int) []frame) {
		done := make(chan none)
		c.Schedule(task(func() {
			defer close(done)
			for i := range 100 {
				if i%2 == 0 {
					_ = c.SendText(fmt.Sprint(i))
				} else {
					f, _ := transport.NewFrame(transport.Text, []byte(fmt.Sprint(i)))
					_ = c.SendFrames([]*transport.Frame{f})
				}
			}
		}))
		receive(t, "the task", done)
		if diff := cmp.Diff(numbers(100), settle(100)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		until(t, "the end of the write", func() bool { return c.Buffered() == 0 })
		if n := s.Stats().Writes; n != 1 && p.nc.LocalAddr().Network() == "pipe" || n > 2 { // a tick of the real clock may be in between
			t.Errorf("%d writes", n)
		}
	})
}

// Verify that what a task sends before it waits leaves within two milliseconds,
// and so does what others send meanwhile, pongs included; later at once.
func TestTaskBlocksAfterSending(t *testing.T) {
	const limit = 2 * time.Millisecond
	for offset := range 10 { // of the task's beginning from a look at the corks
		inBubble(t, nil, func(t *testing.T, s *transport.Server, c *transport.Conn, p *peer, _ *recorder) {
			p.listen()
			hold, other := make(chan none), make(chan none)
			o, oc := transport.Pipe(newRecorder(), newRecorder(), nil)
			c.Schedule(task(func() { _ = c.SendText("first"); <-other })) // sets the watch
			time.Sleep(time.Duration(offset) * 100 * time.Microsecond)
			close(other)
			synctest.Wait()
			want := []frame{{fin | opText, "first"}}
			arrives := func(what string, limit time.Duration, f frame) {
				t.Helper()
				begin := time.Now()
				want = append(want, f)
				for synctest.Wait(); len(p.frames()) < len(want) && time.Since(begin) < limit; synctest.Wait() {
					time.Sleep(50 * time.Microsecond)
				}
				if diff := cmp.Diff(want, p.frames()); diff != "" {
					t.Errorf("offset %d: %s: (-want +got):\n%s", offset, what, diff)
				}
			}
			c.Schedule(task(func() { _ = c.SendText("sent"); <-hold }))
			arrives("what the task has sent", limit, frame{fin | opText, "sent"})
			_ = c.SendText("at once")
			synctest.Wait()
			arrives("what is sent after that", 0, frame{fin | opText, "at once"})

			again := make(chan none)
			c.Schedule(task(func() { <-again }))
			time.Sleep(time.Duration(offset) * 100 * time.Microsecond)
			_ = c.SendText("by another")
			arrives("what another sends", limit, frame{fin | opText, "by another"})
			third := make(chan none)
			c.Schedule(task(func() { <-third }))
			synctest.Wait()
			p.write(masked(fin|opPing, "are you there"))
			arrives("a pong", limit, frame{fin | opPong, "are you there"})
			fourth := make(chan none)
			c.Schedule(task(func() { <-fourth }))
			synctest.Wait()
			c.Close(4000, "bye")
			arrives("a close frame", limit, frame{fin | opClose, closing(4000, "bye")})
			for _, ch := range []chan none{hold, again, third, fourth} {
				close(ch)
			}
			o.Cut()
			oc.Cut()
			synctest.Wait()
		})
	}
}

// Verify that a task that ends its goroutine costs nothing but itself: what it
// has sent goes out, and the tasks behind it run.
func TestTaskGoexit(t *testing.T) {
	overBoth(t, discard, func(t *testing.T, _ *transport.Server, c *transport.Conn, _ *peer, settle func(int) []frame) {
		for i := range 50 {
			c.Schedule(task(func() {
				_ = c.SendText("x")
				if i%3 == 0 {
					runtime.Goexit()
				}
			}))
		}
		if got := settle(50); len(got) != 50 {
			t.Errorf("%d frames", len(got))
		}
		c.Schedule(task(func() { _ = c.SendText("y"); runtime.Goexit() }))
		if got := settle(51); len(got) != 51 || got[50].Payload != "y" {
			t.Errorf("%d frames", len(got))
		}
	})
}

// Verify that a task can be scheduled after the end of its connection, and that
// corks do no harm there.
func TestTaskAfterEnd(t *testing.T) {
	for name, tcp := range map[string]bool{"TCP": true, "memory": false} {
		t.Run(name, func(t *testing.T) {
			s, c, sr, cr := pair(t, tcp, nil)
			began, hold, done := make(chan none), make(chan none), make(chan none)
			s.Schedule(task(func() { close(began); <-hold; _ = s.SendText("late"); close(done) }))
			receive(t, "the first task", began)
			c.Cut()
			cr.ended(t)
			sr.ended(t)
			s.Cork()
			s.Uncork()
			close(hold)
			receive(t, "the first task", done)
			ran := make(chan none)
			s.Schedule(task(func() { s.Cork(); _ = s.SendText("x"); s.Uncork(); close(ran) }))
			receive(t, "the second task", ran)
		})
	}
}

// Verify that Cork in OnMessage and Uncork in OnReadDone have the replies to the
// messages of one read leave in one write.
func TestCorkReplies(t *testing.T) {
	for _, replies := range []bool{true, false} {
		handler := func() transport.Handler {
			h := &scripted{recorder: newRecorder()}
			h.onMessage = func(c *transport.Conn, op transport.Op, p []byte) {
				c.Cork()
				if replies {
					_ = c.Send(op, p)
				}
			}
			h.onReadDone = func(c *transport.Conn) { c.Uncork() }
			return h
		}
		overBoth(t, handler, func(t *testing.T, s *transport.Server, c *transport.Conn, p *peer, settle func(int) []frame) {
			for round := range 5 {
				var in []byte
				for i := range 50 {
					in = append(in, masked(fin|opText, fmt.Sprint(i))...)
				}
				p.write(in)
				if !replies {
					until(t, "the messages", func() bool { return s.Stats().MessagesIn == uint64(50*(round+1)) })
					_ = c.SendText("goes out alone")
					settle(round + 1)
					continue
				}
				got := settle(50 * (round + 1))
				if diff := cmp.Diff(numbers(50), got[50*round:]); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				until(t, "the end of the write", func() bool { return c.Buffered() == 0 })
				if n := s.Stats().Writes; n != uint64(round+1) {
					t.Errorf("%d writes for %d reads", n, round+1)
				}
			}
		})
	}
}

// Verify that Cork and Uncork of the reader and the cork of a task on the same
// connection do not pull each other's: nothing is sent twice or out of place.
func TestCorkBesideTask(t *testing.T) {
	t.Run("the task ends while the reader's write waits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			began, hold := make(chan none), make(chan none)
			h := &scripted{recorder: newRecorder()}
			h.onMessage = func(c *transport.Conn, _ transport.Op, p []byte) {
				if string(p) == "task" {
					c.Schedule(task(func() { _ = c.SendText("by the task"); close(began); <-hold }))
					return
				}
				c.Cork()
				_ = c.SendText("by the reader")
				c.Uncork()
			}
			s := newServer(t, h, nil)
			near, far := net.Pipe()
			slow := &slowConn{Conn: far, faults: make(chan string, 10)}
			s.ServeConn(slow)
			p := &peer{t: t, nc: near, r: bufio.NewReader(near)}
			p.upgrade()
			p.listen()
			p.write(masked(fin|opText, "task"))
			<-began
			p.write(masked(fin|opText, "reply"))
			time.Sleep(time.Millisecond / 2) // if somebody writes, it is still at it
			close(hold)
			time.Sleep(10 * time.Millisecond)
			for len(slow.faults) > 0 {
				t.Error(<-slow.faults)
			}
			if diff := cmp.Diff([]frame{{fin | opText, "by the task"}, {fin | opText, "by the reader"}}, p.frames()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			hangUp(t, s, p)
			h.end(t)
		})
	})
	handler := func() transport.Handler {
		h := &scripted{recorder: newRecorder()}
		h.onMessage = func(c *transport.Conn, op transport.Op, p []byte) {
			c.Cork()
			_ = c.Send(op, p)
			own := "task " + string(p)
			c.Schedule(task(func() {
				_ = c.SendText(own)
				runtime.Gosched()
				_ = c.SendText(own)
			}))
		}
		h.onReadDone = func(c *transport.Conn) { c.Uncork() }
		return h
	}
	overBoth(t, handler, func(t *testing.T, s *transport.Server, _ *transport.Conn, p *peer, settle func(int) []frame) {
		const n = 300 // fewer than a queue holds
		for i := range n {
			p.write(masked(fin|opText, fmt.Sprint(i)))
		}
		var replies []string
		tasks := make(map[string]int)
		for _, f := range settle(3 * n) {
			if strings.HasPrefix(f.Payload, "task ") {
				tasks[f.Payload]++
			} else {
				replies = append(replies, f.Payload)
			}
		}
		for i := range n {
			if k := tasks["task "+fmt.Sprint(i)]; k != 2 {
				t.Fatalf("%d messages of task %d; %+v", k, i, s.Stats())
			}
		}
		if len(replies) != n || !slices.IsSortedFunc(replies, func(a, b string) int { return len(a) - len(b) }) {
			t.Errorf("%d replies, or out of order", len(replies))
		}
	})
}

// Verify that what is queued between Cork and Uncork is written although Cork
// came while others were writing.
func TestUncorkAfterOthers(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, _ *transport.Server, c *transport.Conn, p *peer, _ *recorder) {
		_ = c.SendText("under way")
		synctest.Wait() // the peer takes nothing
		c.Cork()
		p.listen()
		synctest.Wait()
		_ = c.Queue(transport.Text, []byte("queued"))
		c.Uncork()
		synctest.Wait()
		if diff := cmp.Diff([]frame{{fin | opText, "under way"}, {fin | opText, "queued"}}, p.frames()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// Verify that a handler that ends its goroutine ends its connection, and no
// other one, and that nothing is left of it, whatever it was at.
func TestHandlerGoexit(t *testing.T) {
	for _, driver := range []transport.Driver{transport.DriverAuto, transport.DriverGoroutine} {
		for name, act := range map[string]func(c *transport.Conn){
			"plain":  func(*transport.Conn) {},
			"sends":  func(c *transport.Conn) { _ = c.SendText("x") },
			"corked": func(c *transport.Conn) { c.Cork() },
			"corked, sends": func(c *transport.Conn) {
				c.Cork()
				_ = c.SendText("x")
			},
			"closed": func(c *transport.Conn) { c.Close(4000, "") },
		} {
			for _, early := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, with the handshake %v", name, driver, early), func(t *testing.T) {
					closed := make(chan *transport.CloseError, 1)
					s := acceptServer(t, func(*transport.Conn, *transport.Handshake) transport.Handler {
						return quitter{act, closed}
					}, &transport.Options{Driver: driver})
					addr := listenTCP(t, s)
					other := dialPeerTCP(t, addr)
					nc, err := net.Dial("tcp", addr)
					if err != nil {
						t.Fatal(err)
					}
					defer nc.Close()
					msg := masked(fin|opText, "quit")
					if early {
						_, _ = nc.Write(cat(upgradeRequest("/"), msg))
					} else {
						_, _ = nc.Write(upgradeRequest("/"))
						until(t, "the connection", func() bool { return s.Stats().Conns == 2 })
						_, _ = nc.Write(msg)
					}
					if err := receive(t, "OnClose", closed); err.Code != 1006 && err.Code != 4000 {
						t.Errorf("OnClose with %v", err)
					}
					until(t, "the end", func() bool { st := s.Stats(); return st.Conns == 1 && st.Polled <= 1 })
					other.write(masked(fin|opPing, "still there"))
					if f := other.read(); f.Payload != "still there" {
						t.Errorf("got %v", f)
					}
					_ = other.nc.Close()
					receive(t, "OnClose", closed)
				})
			}
		}
	}
}

// slowConn takes a millisecond for each write, and watches that there is one at
// a time.
type slowConn struct {
	net.Conn
	busy   atomic.Int32
	faults chan string
}

func (c *slowConn) Write(p []byte) (int, error) {
	if c.busy.Add(1) > 1 {
		c.faults <- "two writes at once"
	}
	defer c.busy.Add(-1)
	time.Sleep(time.Millisecond)
	return c.Conn.Write(p)
}

// quitter ends its goroutine at the first message.
type quitter struct {
	act    func(c *transport.Conn)
	closed chan<- *transport.CloseError
}

func (q quitter) OnMessage(c *transport.Conn, _ transport.Op, _ []byte) {
	q.act(c)
	runtime.Goexit()
}
func (quitter) OnReadDone(*transport.Conn) {}
func (q quitter) OnClose(_ *transport.Conn, err *transport.CloseError) {
	q.closed <- err
	runtime.Goexit()
}

// Verify that no worker is left when all connections have gone, however many
// there were.
func TestWorkersEnd(t *testing.T) {
	for name, tcp := range map[string]bool{"TCP": true, "memory": false} {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			t.Cleanup(func() { // after the server has gone
				until(t, "no worker", func() bool { return runtime.NumGoroutine() <= before })
			})
			var ends []*transport.Conn
			var recs []*recorder
			for range 10 {
				s, c, sr, cr := pair(t, tcp, nil)
				ends, recs = append(ends, s, c), append(recs, sr, cr)
			}
			var wg sync.WaitGroup
			for _, c := range ends {
				for range 10 {
					wg.Add(1)
					c.Schedule(task(func() { defer wg.Done(); _ = c.SendText("x"); time.Sleep(time.Millisecond) }))
				}
			}
			wg.Wait()
			for _, c := range ends {
				c.Cut()
			}
			for _, rec := range recs {
				rec.ended(t)
			}
			_ = ends[0].SendText("x")
			ends[0].Schedule(task(func() {})) // and none for what comes after that
		})
	}
}

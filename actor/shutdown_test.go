package actor_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
	"github.com/wireroom/wireroom/transport"
)

// journal notes what happens in which order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.lines)
}

// worker is a service with a method and a hook that take a minute.
type worker struct{ j *journal }

func (w *worker) Work(ctx context.Context) string {
	w.j.note("call")
	time.Sleep(time.Minute)
	if context.Cause(ctx) == nil {
		w.j.note("the call's context goes on")
	}
	w.j.note("call ends")
	return "done"
}

func (w *worker) OnDisconnect(actor.WsSender, error) {
	w.j.note("hook")
	time.Sleep(time.Minute)
	w.j.note("hook ends")
}

// Verify that Shutdown closes connections with 1001, waits for the calls that
// run and the hooks after them, and then ends rooms, services and actors, each
// after what it has been sent.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := meetEngine(t, nil)
		j := new(journal)
		check(t, e.Register(&worker{j}))
		_, err := e.SpawnService(&lastWords{j})
		check(t, err)
		base := e.RegistryLen()
		var cs []*actortest.Client
		for range 3 {
			c, s := meet(t, e)
			check(t, e.Room("r").Join(s))
			cs = append(cs, c)
		}
		cs[0].Begin("work", nil)
		pid := spawnActor(t, e, "a", func(c *actor.Context) {
			switch m := c.Message().(type) {
			case string:
				time.Sleep(time.Second)
				j.note("actor " + m)
			case actor.Stopped:
				j.note("actor ends")
			}
		})
		check(t, e.Room("r").BroadcastText("last words"))
		synctest.Wait()
		e.Send(pid, "one")
		e.Send(pid, "two")
		start := time.Now()
		shutdown := make(chan error)
		go func() { shutdown <- e.Shutdown(t.Context()) }()
		for _, c := range cs {
			c.ExpectText("last words")
			if end := c.ExpectClose(); end.Code != transport.CloseGoingAway {
				t.Error(end)
			}
		}
		if d := time.Since(start); d > 2*time.Millisecond { // what is sent while a method runs may wait so long
			t.Errorf("the connections were closed after %v", d)
		}
		check(t, <-shutdown)
		if d := time.Since(start); d != 2*time.Minute {
			t.Errorf("Shutdown took %v", d)
		}
		want := []string{
			"call", "hook", "hook", "actor one", "actor two", "call ends", "hook ends", "hook ends", "hook", "hook ends",
			"service ends", "actor ends",
		}
		got := j.all()
		// The last two end at the same time.
		slices.Sort(want)
		sorted := slices.Sorted(slices.Values(got))
		if diff := cmp.Diff(want, sorted); diff != "" {
			t.Errorf("%s\n%q", diff, got)
		}
		if end := slices.Index(got, "actor ends"); end < slices.Index(got, "actor two") || end < 10 {
			t.Errorf("%q", got)
		}
		synctest.Wait()
		if st := e.Stats(); st.Rooms != 0 || st.Conns != 0 || st.ClosedGoingAway != 3 || e.Actors() != 0 {
			t.Errorf("%d rooms, %d conns, %d gone away, %d actors", st.Rooms, st.Conns, st.ClosedGoingAway, e.Actors())
		}
		if n := e.RegistryLen(); n >= base {
			t.Errorf("%d processes, had %d with the service", n, base)
		}
		if ev := eventsOf[actor.ConnClosed](log); len(ev) != 3 {
			t.Errorf("%d connections ended", len(ev))
		}
	})
}

// lastWords is a service actor that is an actor, too.
type lastWords struct{ j *journal }

func (s *lastWords) Hello() {}
func (s *lastWords) Receive(c *actor.Context) {
	if _, ok := c.Message().(actor.Stopped); ok {
		s.j.note("service ends")
	}
}

// Verify that after Shutdown everything is an error or a dead letter that is
// counted and reported, and nothing waits.
func TestAfterShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := meetEngine(t, nil)
		c, s := meet(t, e)
		r := e.Room("r")
		check(t, r.Join(s))
		room := r.PID()
		pid := spawnActor(t, e, "a", func(*actor.Context) {})
		check(t, e.Shutdown(t.Context()))
		closed := map[string]error{
			"Shutdown": e.Shutdown(t.Context()),
			"Join":     r.Join(s),
			"Send":     s.Send("x"),
			"Push":     s.Push("x", nil),
		}
		_, closed["Spawn"] = e.Spawn(receive(func(*actor.Context) {}), "a")
		_, closed["SpawnService"] = e.SpawnService(&lastWords{new(journal)})
		l, err := net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
		closed["Serve"] = e.Serve(l)
		closed["ListenAndServe"] = e.ListenAndServe("127.0.0.1:0")
		for name, err := range closed {
			if !errors.Is(err, actor.ErrClosed) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, ok := e.Sender(s.PID()); ok || r.Len() != 0 || r.PID() != nil {
			t.Error("something is left")
		}
		check(t, r.BroadcastText("to nobody"))
		check(t, r.Leave(s))
		check(t, r.Close())
		stopActor(t, e, pid)
		stopActor(t, e, s.PID())
		before := e.Stats().DeadLetters
		for _, to := range []*actor.PID{pid, s.PID(), room, nil} {
			e.Send(to, actor.Text("x"))
		}
		synctest.Wait()
		if n := e.Stats().DeadLetters - before; n != 4 || len(eventsOf[actor.DeadLetter](log)) != 4 {
			t.Errorf("%d dead letters counted, %d reported, want 4", n, len(eventsOf[actor.DeadLetter](log)))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := e.Ask(ctx, pid, "x"); !errors.Is(err, actor.ErrClosed) {
			t.Errorf("Ask: %v", err)
		}
		_, err = actortest.TryConnect(t, e)
		var status *transport.StatusError
		if !errors.As(err, &status) || status.Status != http.StatusServiceUnavailable {
			t.Errorf("connect: %v", err)
		}
		c.ExpectClose()
	})
}

// Verify that Shutdown with nothing to do does nothing, and one of many wins.
func TestShutdownOnce(t *testing.T) {
	e, _ := listEngine(t, nil)
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	for range 8 {
		wg.Go(func() { errs <- e.Shutdown(t.Context()) })
	}
	wg.Wait()
	close(errs)
	done := 0
	for err := range errs {
		switch {
		case err == nil:
			done++
		case !errors.Is(err, actor.ErrClosed):
			t.Error(err)
		}
	}
	if done != 1 {
		t.Errorf("%d of 8 shut it down", done)
	}
}

// Verify that a context that has ended is no reason to accuse connections that
// have ended, too.
func TestShutdownIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, nil)
		c, _ := meet(t, e)
		c.Close()
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		check(t, e.Shutdown(ctx))
	})
}

// Verify that Shutdown returns when its context ends, and says what has not
// stopped: calls, hooks, rooms and actors, these by name.
func TestShutdownStuck(t *testing.T) {
	hold := func(t *testing.T) gate {
		g := make(gate)
		return g
	}
	tests := map[string]struct {
		stick func(t *testing.T, e *actor.Engine, hold gate)
		want  string // in the error
	}{
		"call": {func(t *testing.T, e *actor.Engine, hold gate) {
			check(t, actor.Handle(e, "stuck", func(context.Context, actor.WsSender, struct{}) (int, error) { <-hold; return 0, nil }))
			actortest.Connect(t, e).Notify("stuck", nil)
		}, "calls or hooks of 1 connections did not end"},
		"actor": {func(t *testing.T, e *actor.Engine, hold gate) {
			e.Send(spawnActor(t, e, "stuck", func(c *actor.Context) {
				if _, ok := c.Message().(string); ok {
					<-hold
				}
			}, actor.WithID("1")), "")
			spawnActor(t, e, "not stuck", func(*actor.Context) {})
		}, "actors did not stop: stuck/1"},
		"Stopped of an actor": {func(t *testing.T, e *actor.Engine, hold gate) {
			spawnActor(t, e, "stuck", func(c *actor.Context) {
				if _, ok := c.Message().(actor.Stopped); ok {
					<-hold
				}
			}, actor.WithID("2"))
		}, "actors did not stop: stuck/2"},
		"room": {func(t *testing.T, e *actor.Engine, hold gate) {
			c, s := meet(t, e)
			check(t, e.Room("stuck").Join(s))
			e.Room("stuck").Do(func() { <-hold })
			c.Cut()
		}, "actors did not stop: room/stuck"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, _ := meetEngine(t, nil)
				h := hold(t)
				tt.stick(t, e, h)
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				start := time.Now()
				done := make(chan error, 1)
				go func() { done <- e.Shutdown(ctx) }()
				select {
				case err := <-done:
					if !strings.HasPrefix(err.Error(), "actor: shutdown: ") || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "not stuck") {
						t.Error(err)
					}
					if d := time.Since(start); d != time.Hour {
						t.Errorf("took %v", d)
					}
				case <-time.After(2 * time.Hour):
					t.Error("Shutdown does not return")
				}
				close(h)
				synctest.Wait()
				if n := e.Actors(); n != 0 || e.Stats().Rooms != 0 {
					t.Errorf("%d actors, %d rooms are left even then", n, e.Stats().Rooms)
				}
			})
		})
	}
}

// Verify that a peer that does not answer the close frame does not hold
// Shutdown for longer than the close timeout.
func TestShutdownSilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, nil)
		nc := rawPipe(t, e)
		go func() {
			for b := make([]byte, 64); ; {
				if _, err := nc.Read(b); err != nil {
					return
				}
			}
		}()
		start := time.Now()
		check(t, e.Shutdown(t.Context()))
		if d := time.Since(start); d < 4*time.Second || d > 7*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

// Verify that every dead letter that was made before Shutdown has been reported
// when it returns.
func TestShutdownReportsDeadLetters(t *testing.T) {
	for range 20 {
		e, log := listEngine(t, &actor.Options{MailboxSize: 1})
		hold := make(gate)
		pid := spawnActor(t, e, "a", func(c *actor.Context) {
			if m, ok := c.Message().(gate); ok {
				<-m
			}
		})
		e.Send(pid, hold)
		gone := &actor.PID{Address: "local", ID: "nobody"}
		const n = 100
		for range n {
			e.Send(pid, "full")
			e.Send(gone, "gone")
		}
		close(hold)
		check(t, e.Shutdown(t.Context()))
		if got := len(eventsOf[actor.DeadLetter](log)); got != 2*n {
			t.Fatalf("%d of %d dead letters reported", got, 2*n)
		}
	}
}

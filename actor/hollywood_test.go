package actor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	hw "github.com/anthdm/hollywood/actor"
	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
)

// eventLog keeps events.
type eventLog struct {
	mu  sync.Mutex
	all []actor.Event
}

func (l *eventLog) on(ev actor.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, ev)
}

// eventsOf returns the events of one type.
func eventsOf[T actor.Event](l *eventLog) (out []T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ev := range l.all {
		if ev, ok := ev.(T); ok {
			out = append(out, ev)
		}
	}
	return out
}

// receive makes a Producer of a function.
func receive(f func(*actor.Context)) actor.Producer {
	return func() actor.Receiver { return receiverFunc(f) }
}

type receiverFunc func(*actor.Context)

func (f receiverFunc) Receive(c *actor.Context) { f(c) }

// spawnActor spawns an actor that must come to be.
func spawnActor(t testing.TB, e *actor.Engine, kind string, f func(*actor.Context), opts ...actor.SpawnOption) *actor.PID {
	t.Helper()
	pid, err := e.Spawn(receive(f), kind, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// askActor asks an actor, for at most ten seconds.
func askActor(t testing.TB, e *actor.Engine, pid *actor.PID, msg any) any {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	v, err := e.Ask(ctx, pid, msg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// stopActor stops an actor, which must end within ten seconds.
func stopActor(t testing.TB, e *actor.Engine, pid *actor.PID) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := e.Stop(ctx, pid); err != nil {
		t.Fatal(err)
	}
}

// listEngine is an engine whose events are kept.
func listEngine(t testing.TB, o *actor.Options) (*actor.Engine, *eventLog) {
	t.Helper()
	var opts actor.Options
	if o != nil {
		opts = *o
	}
	log := new(eventLog)
	opts.OnEvent = log.on
	return actortest.NewEngine(t, &opts), log
}

// gate holds an actor that waits for it.
type gate chan struct{}

// Verify that an actor outlives any number of panics, with its state, and that
// each of them is an event: hollywood ends the program at the fourth.
func TestPanicsKeepActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := listEngine(t, nil)
		n := 0
		pid := spawnActor(t, e, "counter", func(c *actor.Context) {
			switch c.Message().(type) {
			case int:
				n++
				panic(fmt.Sprint("at ", n))
			case string:
				c.Respond(n)
			}
		})
		start := time.Now()
		for range 50 {
			e.Send(pid, 1)
		}
		if got := askActor(t, e, pid, ""); got != 50 {
			t.Errorf("the actor counts %v after 50 panics", got)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("the panics took %v", d)
		}
		panics := eventsOf[actor.ActorPanicked](log)
		if len(panics) != 50 {
			t.Fatalf("%d events, want 50", len(panics))
		}
		if p := panics[3]; p.PID.ID != pid.ID || p.Value != "at 4" || !strings.Contains(string(p.Stack), "hollywood_test.go") {
			t.Errorf("event %v %v\n%s", p.PID, p.Value, p.Stack)
		}
	})
}

// Verify that a panic in Stopped hurts nobody, and Stop still completes:
// hollywood ends the program.
func TestPanicInStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := listEngine(t, nil)
		pid := spawnActor(t, e, "bad", func(c *actor.Context) {
			if _, ok := c.Message().(actor.Stopped); ok {
				panic("in Stopped")
			}
		})
		stopActor(t, e, pid)
		if n := len(eventsOf[actor.ActorPanicked](log)); n != 1 {
			t.Errorf("%d events, want 1", n)
		}
		if n := e.Actors(); n != 0 {
			t.Errorf("%d actors left", n)
		}
	})
}

// Verify that panics while an actor works off what it has been sent before its
// stop lose neither the stop nor a message, and repeat none.
func TestPanicsWhileStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := listEngine(t, nil)
		hold := make(gate)
		var got []int
		pid := spawnActor(t, e, "drain", func(c *actor.Context) {
			switch m := c.Message().(type) {
			case gate:
				<-m
			case int:
				got = append(got, m)
				if m%2 == 0 {
					panic(m)
				}
			}
		})
		e.Send(pid, hold)
		for i := range 8 {
			e.Send(pid, i)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			stopActor(t, e, pid)
		}()
		synctest.Wait()
		close(hold)
		<-ended
		if diff := cmp.Diff([]int{0, 1, 2, 3, 4, 5, 6, 7}, got); diff != "" {
			t.Error(diff)
		}
	})
}

// Verify that the mailbox of an actor is bounded for whoever sends: what goes
// beyond is a dead letter that is counted, and ErrBusy where there is an error.
func TestMailboxBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := listEngine(t, &actor.Options{MailboxSize: 5})
		hold := make(gate)
		handled := 0
		f := func(c *actor.Context) {
			switch m := c.Message().(type) {
			case gate:
				<-m
			case int:
				handled++
			}
		}
		pid := spawnActor(t, e, "small", f)
		big := spawnActor(t, e, "big", f, actor.WithMailboxSize(10))
		sender := spawnActor(t, e, "sender", func(c *actor.Context) {
			if m, ok := c.Message().([]any); ok {
				for _, v := range m {
					c.Send(pid, v)
				}
			}
		})
		e.Send(pid, hold) // is being handled, and counts as long
		synctest.Wait()
		for i := range 3 {
			e.Send(pid, i)
		}
		e.Send(sender, []any{3, 4, 5})
		synctest.Wait()
		if err := e.TrySend(pid, 6); !errors.Is(err, actor.ErrBusy) {
			t.Errorf("send to a full mailbox: %v", err)
		}
		var lost []any
		for _, d := range eventsOf[actor.DeadLetter](log) {
			if !d.Target.Equals(pid) || !d.Sender.Equals(sender) {
				t.Errorf("dead letter %+v", d)
			}
			lost = append(lost, d.Message)
		}
		if diff := cmp.Diff([]any{4, 5}, lost); diff != "" {
			t.Error(diff)
		}
		if n := e.Stats().DeadLetters; n != 2 {
			t.Errorf("Stats: %d dead letters, want 2", n)
		}
		close(hold)
		synctest.Wait()
		if handled != 4 {
			t.Errorf("%d messages handled, want 4", handled)
		}
		hold = make(gate)
		e.Send(big, hold)
		for range 9 {
			e.Send(big, 1)
		}
		synctest.Wait()
		if n := e.Stats().DeadLetters; n != 2 {
			t.Errorf("WithMailboxSize: %d dead letters, want 2", n)
		}
		close(hold)
	})
}

// Verify that WithMailboxSize follows the rule of the options: zero is the
// default, and a negative value no limit.
func TestMailboxSizes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct{ size, sent, lost int }{{0, 4, 1}, {-1, 100, 0}, {7, 8, 1}} {
			e, _ := listEngine(t, &actor.Options{MailboxSize: 3})
			hold := make(gate)
			pid := spawnActor(t, e, "a", func(c *actor.Context) {
				if m, ok := c.Message().(gate); ok {
					<-m
				}
			}, actor.WithMailboxSize(tt.size))
			e.Send(pid, hold)
			for range tt.sent - 1 {
				e.Send(pid, 0)
			}
			synctest.Wait()
			if n := int(e.Stats().DeadLetters); n != tt.lost {
				t.Errorf("size %d: %d of %d lost, want %d", tt.size, n, tt.sent, tt.lost)
			}
			close(hold)
			synctest.Wait()
		}
	})
}

// Verify that a flood to an actor that is stuck takes no memory beyond its
// bound: neither the mailbox nor the reports of dead letters grow.
func TestFloodIsBounded(t *testing.T) {
	var reported atomic.Int64
	slow := make(gate)
	e := actortest.NewEngine(t, &actor.Options{MailboxSize: 16, OnEvent: func(ev actor.Event) {
		if _, ok := ev.(actor.DeadLetter); ok {
			<-slow // a handler that hangs
			reported.Add(1)
		}
	}})
	hold := make(gate)
	pid := spawnActor(t, e, "stuck", func(c *actor.Context) {
		if m, ok := c.Message().(gate); ok {
			<-m
		}
	})
	e.Send(pid, hold)
	const n, size = 100_000, 1 << 10
	before := heapInUse()
	for range n {
		e.Send(pid, make([]byte, size))
	}
	after := heapInUse()
	if grown := int64(after) - int64(before); grown > n*size/4 {
		t.Errorf("%d sends of %d bytes keep %d KiB", n, size, grown>>10)
	}
	close(slow)
	close(hold)
	stopActor(t, e, pid)
	if got := e.Stats().DeadLetters; got < n-16 || got > n {
		t.Errorf("%d dead letters counted, want %d", got, n-16)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Verify that any number of stops of one actor complete, those of hollywood's
// engine included, at once and after the end: there only one of two does.
func TestManyStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := listEngine(t, nil)
		for range 50 {
			pid := spawnActor(t, e, "a", func(*actor.Context) {}, actor.WithID("same"))
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					if i%2 == 0 {
						stopActor(t, e, pid)
						return
					}
					if err := e.PoisonRaw(pid, time.Second); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			stopActor(t, e, pid)
			if err := e.PoisonRaw(pid, time.Second); err != nil {
				t.Error(err)
			}
			// One of the stops may have returned because the name was free
			// already; the actor has ended when all have.
			synctest.Wait()
		}
		if n := len(eventsOf[actor.DeadLetter](log)); n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}

// Verify that a stop completes that meets the end of its actor after hollywood
// has looked it up: hollywood makes it a dead letter that nobody completes.
func TestStrayStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, nil)
		c, s := meet(t, e)
		c.Close()
		<-s.Done()
		gone := &actor.PID{Address: "local", ID: "gone/1"}
		for name, deliver := range map[string]func(pill any){
			"nobody":         func(pill any) { e.Hollywood().SendLocal(gone, pill, nil) },
			"own connection": func(pill any) { actor.Deliver(s, pill) },
		} {
			pill, ctx := e.StrayPill()
			deliver(pill)
			select {
			case <-ctx.Done():
			case <-time.After(time.Minute):
				t.Errorf("%s: it does not complete", name)
			}
		}
		if n := e.Stats().DeadLetters; n != 0 {
			t.Errorf("%d dead letters", n)
		}
	})
}

// Verify that an actor may stop itself through hollywood's engine, by not
// waiting for it.
func TestStopsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := listEngine(t, nil)
		stopped := false
		pid := spawnActor(t, e, "a", func(c *actor.Context) {
			switch c.Message().(type) {
			case string:
				c.Engine().Poison(c.PID())
			case actor.Stopped:
				stopped = true
			}
		})
		e.Send(pid, "stop")
		synctest.Wait()
		if !stopped || e.Actors() != 0 {
			t.Error("the actor lives")
		}
	})
}

// Verify that each message that races a stop is handled or a dead letter:
// hollywood loses some of them.
func TestStopLosesNothing(t *testing.T) {
	const senders = 4
	each, rounds := 1500, 100
	if testing.Short() || raceEnabled {
		rounds = 20
	}
	var dead atomic.Int64
	e := actortest.NewEngine(t, &actor.Options{MailboxSize: -1, OnEvent: func(ev actor.Event) {
		if _, ok := ev.(actor.DeadLetter); ok {
			dead.Add(1)
		}
	}})
	var handled atomic.Int64
	for round := range rounds {
		pid := spawnActor(t, e, "busy", func(c *actor.Context) {
			if _, ok := c.Message().(int); ok {
				handled.Add(1)
			}
		}, actor.WithID(fmt.Sprint(round)))
		var wg sync.WaitGroup
		for range senders {
			wg.Go(func() {
				for i := range each {
					e.Send(pid, i)
				}
			})
		}
		for begun := handled.Load(); handled.Load() < begun+100; {
			runtime.Gosched()
		}
		if round%2 == 0 {
			stopActor(t, e, pid)
		} else if err := e.PoisonRaw(pid, 10*time.Second); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil { // after it all dead letters have been counted
		t.Fatal(err)
	}
	sent := int64(rounds * senders * each)
	counted := int64(e.Stats().DeadLetters)
	t.Logf("%d sent, %d handled, %d dead letters, %d reported", sent, handled.Load(), counted, dead.Load())
	if lost := sent - handled.Load() - counted; lost != 0 {
		t.Errorf("%d of %d messages lost", lost, sent)
	}
}

// Verify that the PID of another node stops nobody here: hollywood looks at
// the id only.
func TestStopForeignPID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := listEngine(t, nil)
		pid := spawnActor(t, e, "hall", func(c *actor.Context) {
			if _, ok := c.Message().(string); ok {
				c.Respond("alive")
			}
		}, actor.WithID("1"))
		err := e.Stop(t.Context(), &actor.PID{Address: "10.0.0.9", ID: pid.ID})
		if !errors.Is(err, actor.ErrNotLocal) {
			t.Errorf("Stop: %v", err)
		}
		if err := e.Stop(t.Context(), nil); !errors.Is(err, actor.ErrNotLocal) {
			t.Errorf("Stop of nil: %v", err)
		}
		if got := askActor(t, e, pid, "?"); got != "alive" {
			t.Error(got)
		}
	})
}

// Verify that messages to a PID of another node, and to none, are dead
// letters: hollywood reports the one otherwise and the other not at all.
func TestSendNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := listEngine(t, nil)
		foreign := &actor.PID{Address: "10.0.0.9", ID: "room/1"}
		gone := &actor.PID{Address: "local", ID: "nobody/1"}
		e.Send(foreign, "a")
		e.Send(gone, "b")
		e.Send(nil, "c")
		synctest.Wait()
		var got []string
		for _, d := range eventsOf[actor.DeadLetter](log) {
			got = append(got, d.Message.(string))
			d.Log() // copes with whatever there is
		}
		slices.Sort(got)
		if diff := cmp.Diff([]string{"a", "b", "c"}, got); diff != "" {
			t.Error(diff)
		}
		if n := e.Stats().DeadLetters; n != 3 {
			t.Errorf("Stats: %d dead letters, want 3", n)
		}
	})
}

// Verify that a name that is taken is an error and the one who has it lives,
// and that the end of an actor frees its name: hollywood hands out the other.
func TestDuplicateName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := listEngine(t, nil)
		named := func(name string) actor.Producer {
			return receive(func(c *actor.Context) {
				if _, ok := c.Message().(string); ok {
					c.Respond(name)
				}
			})
		}
		first, err := e.Spawn(named("first"), "a", actor.WithID("x"))
		if err != nil {
			t.Fatal(err)
		}
		if pid, err := e.Spawn(named("second"), "a", actor.WithID("x")); pid != nil || !errors.Is(err, actor.ErrDuplicateName) {
			t.Errorf("a second one: %v, %v", pid, err)
		}
		if got := askActor(t, e, first, "who"); got != "first" {
			t.Errorf("%v answers", got)
		}
		stopActor(t, e, first)
		third, err := e.Spawn(named("third"), "a", actor.WithID("x"))
		if err != nil {
			t.Fatal(err)
		}
		if got := askActor(t, e, first, "who"); got != "third" {
			t.Errorf("%v answers", got)
		}
		if n := e.Actors(); n != 1 {
			t.Errorf("%d actors, want 1", n)
		}
		stopActor(t, e, third)

		// Many at once: one gets it.
		var wg sync.WaitGroup
		var won atomic.Int64
		for range 32 {
			wg.Go(func() {
				if _, err := e.Spawn(named("one"), "a", actor.WithID("y")); err == nil {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d actors under one name", won.Load())
		}
	})
}

// Verify that the end of the monitor leaves no loop behind: a subscriber of
// hollywood's events that ends without unsubscribing makes dead letters for
// ever, of which each makes the next.
func TestNoDeadLetterLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := listEngine(t, nil)
		if err := e.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		// A loop would keep the bubble from coming to rest.
		e.Send(&actor.PID{Address: "local", ID: "nobody"}, "x")
		synctest.Wait()
	})
}

// Verify that an OnEvent that sends what it gets to an actor that has ended
// makes no loop: the report of its failure is not reported.
func TestOnEventSendsEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e *actor.Engine
		var inbox atomic.Pointer[actor.PID]
		var calls atomic.Int64
		e = actortest.NewEngine(t, &actor.Options{OnEvent: func(ev actor.Event) {
			if calls.Add(1) > 100 {
				return // enough to know
			}
			if pid := inbox.Load(); pid != nil {
				e.Send(pid, ev)
			}
		}})
		pid := spawnActor(t, e, "audit", func(*actor.Context) {})
		inbox.Store(pid)
		stopActor(t, e, pid)
		e.Send(pid, "to nobody")
		synctest.Wait()
		if n := calls.Load(); n != 1 {
			t.Errorf("OnEvent was called %d times, want once", n)
		}
		if n := e.Stats().DeadLetters; n != 2 {
			t.Errorf("%d dead letters counted, want 2", n)
		}
	})
}

// Verify that an Ask that nobody answers ends with its context and leaves
// nothing, that a second answer blocks nobody, and that late ones are dead
// letters: hollywood's Request does none of it.
func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := listEngine(t, nil)
		var asker *actor.PID
		done := 0
		pid := spawnActor(t, e, "a", func(c *actor.Context) {
			m, ok := c.Message().(string)
			if !ok {
				return
			}
			asker = c.Sender()
			if m == "silence" {
				return
			}
			c.Respond("one")
			c.Respond("two")
			c.Respond("three")
			done++
		})
		base := e.RegistryLen()
		if got := askActor(t, e, pid, "answer"); got != "one" {
			t.Error(got)
		}
		synctest.Wait()
		if done != 1 {
			t.Error("the actor hangs in Respond")
		}
		if n := e.Stats().DeadLetters; n != 2 {
			t.Errorf("%d dead letters, want the two further answers", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		_, err := e.Ask(ctx, pid, "silence")
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), pid.ID) {
			t.Error(err)
		}
		if d := time.Since(start); d != time.Minute {
			t.Errorf("after %v", d)
		}
		synctest.Wait()
		if n := e.RegistryLen(); n != base {
			t.Errorf("%d processes, had %d", n, base)
		}
		e.Send(asker, "too late")
		synctest.Wait()
		if d := eventsOf[actor.DeadLetter](log); d[len(d)-1].Message != "too late" {
			t.Errorf("%+v", d)
		}
	})
}

// instant is a process that answers at once.
type instant struct {
	pid    *actor.PID
	engine *hw.Engine
}

func (p *instant) Start()               {}
func (p *instant) PID() *hw.PID         { return p.pid }
func (p *instant) Invoke([]hw.Envelope) {}
func (p *instant) Shutdown()            {}
func (p *instant) Send(_ *hw.PID, _ any, from *hw.PID) {
	p.engine.SendLocal(from, "answer", nil)
}

// Verify that an answer that has come is returned even if the context has
// ended, too: it would be lost.
func TestAskHasAnswer(t *testing.T) {
	e, _ := listEngine(t, nil)
	pid := e.Hollywood().SpawnProc(&instant{&actor.PID{Address: "local", ID: "instant/1"}, e.Hollywood()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		if v, err := e.Ask(ctx, pid, "?"); v != "answer" || err != nil {
			t.Fatal(v, err)
		}
	}
}

// Verify that each of many answers is either returned or a dead letter when
// the contexts of the Asks end at the same moment.
func TestAskRacesAnswer(t *testing.T) {
	e, _ := listEngine(t, nil)
	var answered, lost int
	pid := spawnActor(t, e, "a", func(c *actor.Context) {
		if cancel, ok := c.Message().(context.CancelFunc); ok {
			go cancel()
			runtime.Gosched()
			c.Respond("answer")
		}
	})
	const n = 2000
	for range n {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := e.Ask(ctx, pid, cancel)
		if err == nil {
			answered++
		} else {
			lost++
		}
	}
	stopActor(t, e, pid)
	if err := e.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if dead := int(e.Stats().DeadLetters); dead != lost {
		t.Errorf("%d answered, %d not, but %d dead letters", answered, lost, dead)
	}
}

// Verify that a process that waits for an answer can be stopped by the one who
// was asked, without that being the answer.
func TestStopAsker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := listEngine(t, nil)
		var err error
		pid := spawnActor(t, e, "a", func(c *actor.Context) {
			if _, ok := c.Message().(string); ok {
				err = e.PoisonRaw(c.Sender(), time.Second)
				c.Respond("answer")
			}
		})
		if got := askActor(t, e, pid, "?"); got != "answer" || err != nil {
			t.Errorf("%v, %v", got, err)
		}
	})
}

// Verify that Spawn returns a panic of the producer, and of the receiver in
// Initialized and Started, as an error and at once, and that the name is free
// again: hollywood sleeps in the spawner and starts a new receiver.
func TestSpawnPanics(t *testing.T) {
	panicOn := func(match func(any) bool) actor.Producer {
		return receive(func(c *actor.Context) {
			if match(c.Message()) {
				panic("no")
			}
		})
	}
	tests := []struct {
		name string
		p    actor.Producer
	}{
		{"producer", func() actor.Receiver { panic("no") }},
		{"nil receiver", func() actor.Receiver { return nil }},
		{"Initialized", panicOn(func(m any) bool { _, ok := m.(actor.Initialized); return ok })},
		{"Started", panicOn(func(m any) bool { _, ok := m.(actor.Started); return ok })},
		{"both, and Stopped", panicOn(func(any) bool { return true })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, _ := listEngine(t, nil)
				base := e.RegistryLen()
				start := time.Now()
				pid, err := e.Spawn(tt.p, "bad", actor.WithID("x"))
				if err == nil || pid != nil {
					t.Fatalf("Spawn: %v, %v", pid, err)
				}
				if !strings.HasPrefix(err.Error(), "actor: spawn bad: ") {
					t.Error(err)
				}
				if d := time.Since(start); d != 0 {
					t.Errorf("took %v", d)
				}
				synctest.Wait()
				if n := e.RegistryLen(); n != base {
					t.Errorf("%d processes, had %d", n, base)
				}
				if n := e.Actors(); n != 0 {
					t.Errorf("%d actors", n)
				}
				spawnActor(t, e, "bad", func(*actor.Context) {}, actor.WithID("x"))
			})
		})
	}
}

// Verify that an actor knows itself by the PID that Spawn returns, that what it
// sends to itself while it starts arrives after that, and that answers to it
// arrive: the hollywood actor behind the mailbox has another key.
func TestOwnPID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := listEngine(t, nil)
		echo := spawnActor(t, e, "echo", func(c *actor.Context) {
			if m, ok := c.Message().(int); ok {
				c.Respond(fmt.Sprint(m))
			}
		})
		var pids []string
		var got []any
		pid := spawnActor(t, e, "self", func(c *actor.Context) {
			pids = append(pids, c.PID().String())
			switch m := c.Message().(type) {
			case actor.Initialized:
				c.Send(c.PID(), "from Initialized")
			case actor.Started:
				c.Send(c.PID(), "from Started")
				c.Send(echo, 7)
			case string:
				got = append(got, m)
				if c.GetPID("self/1") != nil && !c.GetPID("self/1").Equals(c.PID()) {
					t.Error("GetPID has another PID")
				}
			}
		}, actor.WithID("1"))
		synctest.Wait()
		if diff := cmp.Diff([]any{"from Initialized", "from Started", "7"}, got); diff != "" {
			t.Error(diff)
		}
		for _, p := range pids {
			if p != pid.String() || p != "local/self/1" {
				t.Errorf("PID %s inside, %s outside", p, pid)
			}
		}
	})
}

// Verify that what is sent to a name while its actor starts arrives when it has
// started.
func TestSendWhileStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := listEngine(t, nil)
		pid := &actor.PID{Address: "local", ID: "late/1"}
		hold := make(gate)
		var got []any
		spawned := make(chan struct{})
		go func() {
			defer close(spawned)
			spawnActor(t, e, "late", func(c *actor.Context) {
				switch m := c.Message().(type) {
				case actor.Started:
					<-hold
					got = append(got, "started")
				case int:
					got = append(got, m)
				}
			}, actor.WithID("1"))
		}()
		synctest.Wait()
		for i := range 5 {
			e.Send(pid, i)
		}
		synctest.Wait()
		close(hold)
		<-spawned
		synctest.Wait()
		if diff := cmp.Diff([]any{"started", 0, 1, 2, 3, 4}, got); diff != "" {
			t.Error(diff)
		}
	})
}

// Verify that an actor that is stopped while it is being made ends: by its
// name, and by the end of the engine.
func TestStopWhileSpawning(t *testing.T) {
	t.Run("while it starts", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e, _ := listEngine(t, nil)
			hold := make(gate)
			stopped := false
			go func() {
				_, _ = e.Spawn(receive(func(c *actor.Context) {
					switch c.Message().(type) {
					case actor.Started:
						<-hold
					case actor.Stopped:
						stopped = true
					}
				}), "late", actor.WithID("1"))
			}()
			synctest.Wait()
			done := make(chan struct{})
			go func() {
				defer close(done)
				stopActor(t, e, &actor.PID{Address: "local", ID: "late/1"})
			}()
			synctest.Wait()
			close(hold)
			<-done
			if !stopped || e.Actors() != 0 {
				t.Error("the actor lives")
			}
		})
	})
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprintf("Shutdown while its producer runs, which fails: %v", fails), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, _ := listEngine(t, nil)
				hold := make(gate)
				stopped := false
				spawned := make(chan error)
				go func() {
					_, err := e.Spawn(func() actor.Receiver {
						<-hold
						if fails {
							panic("no")
						}
						return receiverFunc(func(c *actor.Context) {
							if _, ok := c.Message().(actor.Stopped); ok {
								stopped = true
							}
						})
					}, "late", actor.WithID("1"))
					spawned <- err
				}()
				synctest.Wait()
				done := make(chan error)
				go func() {
					ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
					defer cancel()
					done <- e.Shutdown(ctx)
				}()
				synctest.Wait()
				close(hold)
				if err := <-spawned; fails != (err != nil) {
					t.Errorf("Spawn: %v", err)
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
				if stopped == fails {
					t.Errorf("the actor has got Stopped: %v", stopped)
				}
			})
		})
	}
}

// Verify that nobody can end, or start, an actor by sending it the messages
// that tell it of its life, or forwarding them: they are dead letters.
func TestForgedLifecycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := listEngine(t, nil)
		var life []string
		pid := spawnActor(t, e, "a", func(c *actor.Context) {
			switch c.Message().(type) {
			case actor.Initialized, actor.Started, actor.Stopped:
				life = append(life, fmt.Sprintf("%T", c.Message()))
			case string:
				c.Respond("alive")
			}
		})
		spawnActor(t, e, "forwarder", func(c *actor.Context) { c.Forward(pid) }) // Initialized and Started
		for range 3 {
			e.Send(pid, actor.Stopped{})
		}
		if got := askActor(t, e, pid, "?"); got != "alive" {
			t.Error(got)
		}
		synctest.Wait()
		if n := len(eventsOf[actor.DeadLetter](log)); n != 5 {
			t.Errorf("%d dead letters, want 5", n)
		}
		stopActor(t, e, pid)
		if diff := cmp.Diff([]string{"actor.Initialized", "actor.Started", "actor.Stopped"}, life); diff != "" {
			t.Error(diff)
		}
	})
}

// Verify that Guard keeps a child from ending the program, with its state, and
// that children end with their parent.
func TestGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := listEngine(t, nil)
		n, stopped := 0, 0
		child := e.Guard(receive(func(c *actor.Context) {
			switch c.Message().(type) {
			case int:
				n++
				panic("child")
			case string:
				c.Respond(n)
			case actor.Stopped:
				stopped++
				panic("again")
			}
		}))
		var childPID *actor.PID
		pid := spawnActor(t, e, "parent", func(c *actor.Context) {
			if _, ok := c.Message().(actor.Started); ok {
				childPID = c.SpawnChild(child, "child")
			}
		})
		for range 5 {
			e.Send(childPID, 1)
		}
		if got := askActor(t, e, childPID, "?"); got != 5 {
			t.Errorf("the child counts %v", got)
		}
		stopActor(t, e, pid)
		if stopped != 1 {
			t.Errorf("the child has got Stopped %d times", stopped)
		}
		if n := len(eventsOf[actor.ActorPanicked](log)); n != 6 {
			t.Errorf("%d events, want 6", n)
		}
	})
}

// Verify that New notices when the pinned library's way to stop an actor is not
// what the fence was built for.
func TestSelfTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := actor.LearnPill(); err != nil {
			t.Error(err)
		}
		if err := actor.LearnPill("wireroom-probe/1"); !errors.Is(err, actor.ErrLibrary) {
			t.Errorf("Poison does not reach the process: %v", err)
		}
		if err := actor.LearnPill("wireroom-end/2"); !errors.Is(err, actor.ErrLibrary) {
			t.Errorf("the pill is not completed: %v", err)
		}
	})
}

// Verify that the PID and the sender of a connection that has ended keep its
// shell only: the transport's connection, with its buffers, is collected.
func TestPIDPinsShell(t *testing.T) {
	e := actortest.NewEngine(t, nil)
	var from actor.WsSender
	if err := actor.Handle(e, "hello", func(_ context.Context, s actor.WsSender, _ struct{}) (struct{}, error) {
		from = s
		return struct{}{}, nil
	}); err != nil {
		t.Fatal(err)
	}
	c := actortest.Connect(t, e)
	if err := c.Call("hello", nil, nil); err != nil {
		t.Fatal(err)
	}
	pid := from.PID()
	conn := weak.Make(actor.TransportConn(from))
	if conn.Value() == nil {
		t.Fatal("no connection")
	}
	c.Close()
	<-from.Done()
	if !collected(func() bool { return conn.Value() == nil }) {
		t.Error("the connection is kept")
	}
	if actor.ConnShell > 256 {
		t.Errorf("a shell takes %d bytes", actor.ConnShell)
	}
	runtime.KeepAlive(from)
	runtime.KeepAlive(pid)
}

// collected collects garbage until done reports true, for at most ten seconds.
func collected(done func() bool) bool {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); runtime.Gosched() {
		runtime.GC()
		if done() {
			return true
		}
	}
	return false
}

// Verify that every Stop waits for the end of Stopped: hollywood tells all but
// the first that the actor has ended as soon as its name is free.
func TestSecondStopWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := listEngine(t, nil)
		const ending = time.Minute
		pid := spawnActor(t, e, "slow", func(c *actor.Context) {
			if _, ok := c.Message().(actor.Stopped); ok {
				time.Sleep(ending)
			}
		})
		start := time.Now()
		ended := make(chan time.Duration, 2)
		for range 2 {
			go func() {
				if err := e.Stop(t.Context(), pid); err != nil {
					t.Error(err)
				}
				ended <- time.Since(start)
			}()
			synctest.Wait()
		}
		for range 2 {
			if d := <-ended; d != ending {
				t.Errorf("a Stop returned after %v", d)
			}
		}
	})
}

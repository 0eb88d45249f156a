package actor_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
	"github.com/wireroom/wireroom/transport"
)

// Verify that connections leave nothing behind: after thousands of them, with
// calls, rooms and pushes, goroutines, processes, rooms and the heap are back
// where they were.
func TestNoLeaks(t *testing.T) {
	e := actortest.NewEngine(t, &actor.Options{OnEvent: func(actor.Event) {}})
	check(t, e.Register(&visitors{e: e}))
	url := "ws://" + serveTCP(t, e) + "/ws"
	d := new(transport.Dialer)
	visit := func(i int) error {
		l, err := dialLine(t.Context(), d, url)
		if err != nil {
			return err
		}
		if err := l.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"visit","params":["room %d"]}`, i%7)); err != nil {
			return err
		}
		for answered := false; !answered; {
			answered = l.next(t) == `{"jsonrpc":"2.0","result":"welcome","id":1}`
		}
		switch i % 3 {
		case 0:
			l.conn.Close(transport.CloseNormal, "")
		case 1:
			l.conn.Cut()
		case 2:
			if err := l.send(`{"jsonrpc":"2.0","method":"go_away"}`); err != nil {
				return err
			}
		}
		<-l.end
		return nil
	}
	round := func(n int) {
		next := make(chan int)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for i := range next {
					if err := visit(i); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for i := range n {
			next <- i
		}
		close(next)
		wg.Wait()
		eventually(t, func() error {
			if st := e.Stats(); st.Conns != 0 || d.Stats().Conns != 0 || st.Rooms != 0 {
				return fmt.Errorf("%d and %d conns, %d rooms", st.Conns, d.Stats().Conns, st.Rooms)
			}
			return nil
		})
	}
	n := 2000
	if testing.Short() {
		n = 300
	}
	round(200) // fills the pools
	processes := e.RegistryLen()
	var goroutines int
	eventually(t, func() error { // timers' goroutines end when they look next
		goroutines = runtime.NumGoroutine()
		if goroutines > 12 {
			return fmt.Errorf("%d goroutines", goroutines)
		}
		return nil
	})
	before := heapInUse()
	round(n)
	if got := e.RegistryLen(); got != processes {
		t.Errorf("%d processes, had %d", got, processes)
	}
	eventually(t, func() error {
		if got := runtime.NumGoroutine(); got > goroutines {
			return fmt.Errorf("%d goroutines, had %d", got, goroutines)
		}
		return nil
	})
	grown := int64(heapInUse()) - int64(before)
	t.Logf("%d connections left %d bytes of heap", n, grown)
	if grown > 256<<10 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	if n := e.Stats().DeadLetters; n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// visitors is a service that keeps nobody.
type visitors struct{ e *actor.Engine }

func (v *visitors) Visit(from actor.WsSender, room string) (string, error) {
	r := v.e.Room(room)
	if err := r.Join(from); err != nil {
		return "", err
	}
	_ = from.Push("hello", []string{from.ID()})
	return "welcome", r.Broadcast("visitor", []string{from.ID()})
}

func (v *visitors) GoAway(from actor.WsSender) { _ = from.CloseWith(4000, "you asked for it") }

// Verify that an idle connection's actor takes at most 512 bytes beside what the
// transport has for it.
func TestIdleCost(t *testing.T) {
	e, _ := listEngine(t, nil)
	const n = 10_000
	if _, err := e.NewShells(n); err != nil { // grows hollywood's table
		t.Fatal(err)
	}
	before := heapInUse()
	shells, err := e.NewShells(n)
	check(t, err)
	each := (int64(heapInUse()) - int64(before)) / n
	t.Logf("%d bytes for an idle connection's actor, %d of them itself", each, actor.ConnShell)
	if each > 512 {
		t.Error("more than 512")
	}
	runtime.KeepAlive(shells)
}

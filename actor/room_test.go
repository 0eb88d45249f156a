package actor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
	"github.com/wireroom/wireroom/transport"
)

// check fails the test if err is not nil.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// holdRoom keeps the room's actor from going on until the function is called.
func holdRoom(t testing.TB, r actor.Room) (release func()) {
	t.Helper()
	hold := make(gate)
	held := make(gate)
	if !r.Do(func() { close(held); <-hold }) {
		t.Fatalf("no room %q", r.Name())
	}
	<-held
	return func() { close(hold) }
}

// TestRoom joins, broadcasts and leaves.
func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, nil)
		r := e.Room("lobby")
		a, sa := meet(t, e)
		b, sb := meet(t, e)
		if r.Name() != "lobby" || r != e.Room("lobby") {
			t.Error("handles of one room differ")
		}
		check(t, r.Join(sa))
		check(t, r.Broadcast("first", nil))
		check(t, r.Join(sb))
		check(t, r.Join(sb)) // is joining once
		if n := r.Len(); n != 2 {
			t.Errorf("%d members", n)
		}
		members := map[actor.WsSender]bool{}
		for _, s := range r.Members() {
			members[s] = true
		}
		if diff := cmp.Diff(map[actor.WsSender]bool{sa: true, sb: true}, members, cmp.Comparer(func(a, b actor.WsSender) bool { return a == b })); diff != "" {
			t.Error(diff)
		}
		check(t, r.Broadcast("second", []int{2}))
		check(t, r.Leave(sa))
		check(t, r.Leave(sa)) // does nothing
		check(t, r.Broadcast("third", map[string]string{"k": "v"}))
		check(t, r.BroadcastText("text"))
		check(t, r.BroadcastBinary([]byte{1, 2}))
		check(t, r.BroadcastJSON(struct {
			A int `json:"a"`
		}{1}))
		a.ExpectText(`{"jsonrpc":"2.0","method":"first"}`)
		a.ExpectText(`{"jsonrpc":"2.0","method":"second","params":[2]}`)
		a.ExpectNothing(time.Hour)
		b.ExpectText(`{"jsonrpc":"2.0","method":"second","params":[2]}`)
		b.ExpectText(`{"jsonrpc":"2.0","method":"third","params":{"k":"v"}}`)
		b.ExpectText("text")
		b.ExpectBinary([]byte{1, 2})
		b.ExpectText(`{"a":1}`)
		st := e.Stats()
		if st.Rooms != 1 || st.Broadcasts != 6 || st.Deliveries != 7 {
			t.Errorf("%d rooms, %d broadcasts, %d deliveries; want 1, 6, 7", st.Rooms, st.Broadcasts, st.Deliveries)
		}
	})
}

// Verify that Join and Leave hold for what is broadcast after they have
// returned, and not for what was before, even while the room is behind.
func TestMembershipIsOrdered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, nil)
		r := e.Room("r")
		a, sa := meet(t, e)
		b, sb := meet(t, e)
		check(t, r.Join(sa))
		release := holdRoom(t, r)
		check(t, r.Broadcast("to a", nil))
		var confirmed atomic.Int64
		var wg sync.WaitGroup
		wg.Go(func() { check(t, r.Join(sb)); confirmed.Add(1) })
		synctest.Wait()
		check(t, r.Broadcast("to both", nil))
		wg.Go(func() { check(t, r.Leave(sa)); confirmed.Add(1) })
		synctest.Wait()
		check(t, r.Broadcast("to b", nil))
		if n := confirmed.Load(); n != 0 {
			t.Errorf("%d were confirmed before the room came to them", n)
		}
		release()
		wg.Wait()
		for _, m := range []string{"to a", "to both"} {
			a.Expect(m, nil)
		}
		for _, m := range []string{"to both", "to b"} {
			b.Expect(m, nil)
		}
		a.ExpectNothing(time.Hour)
		b.ExpectNothing(time.Hour)
	})
}

// TestExcept leaves members out, alone and between other broadcasts.
func TestExcept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, nil)
		r := e.Room("r")
		var cs []*actortest.Client
		var ss []actor.WsSender
		for i := range 3 {
			var opts []actortest.Option
			if i == 2 {
				opts = append(opts, actortest.Msgpack())
			}
			c, s := meet(t, e, opts...)
			cs, ss = append(cs, c), append(ss, s)
			check(t, r.Join(s))
		}
		send := func() {
			check(t, r.Broadcast("m0", nil, actor.Except(ss[0])))
			check(t, r.Broadcast("all", nil))
			check(t, r.Broadcast("m12", nil, actor.Except(ss[1]), actor.Except(ss[2])))
			check(t, r.Broadcast("none", nil, actor.Except(ss...)))
			check(t, r.Broadcast("zero", nil, actor.Except(actor.WsSender{})))
		}
		expect := func() {
			for i, want := range []string{"all m12 zero", "m0 all zero", "m0 all zero"} {
				for _, m := range strings.Fields(want) {
					cs[i].Expect(m, nil)
				}
				cs[i].ExpectNothing(time.Minute)
			}
		}
		send()
		expect()
		release := holdRoom(t, r) // the same, as one batch
		send()
		release()
		expect()
	})
}

// counted counts how often it is encoded.
type counted struct{ json, msgpack *atomic.Int64 }

func (c counted) MarshalJSON() ([]byte, error) {
	c.json.Add(1)
	return []byte(`"counted"`), nil
}

func (c counted) EncodeMsgpack(e *msgpack.Encoder) error {
	c.msgpack.Add(1)
	return e.EncodeString("counted")
}

// Verify that a broadcast is encoded once for each codec that members use, and
// not for others.
func TestEncodedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct{ json, packed int }{{3, 0}, {0, 3}, {3, 3}} {
			e, _ := meetEngine(t, nil)
			r := e.Room("r")
			var cs []*actortest.Client
			for i := range tt.json + tt.packed {
				var opts []actortest.Option
				if i >= tt.json {
					opts = append(opts, actortest.Msgpack())
				}
				c, s := meet(t, e, opts...)
				check(t, r.Join(s))
				cs = append(cs, c)
			}
			p := counted{new(atomic.Int64), new(atomic.Int64)}
			check(t, r.Broadcast("m", map[string]any{"v": p}))
			for _, c := range cs {
				var got map[string]string
				c.Expect("m", &got)
				if got["v"] != "counted" {
					t.Errorf("got %v", got)
				}
			}
			if j, m := p.json.Load(), p.msgpack.Load(); j != int64(min(tt.json, 1)) || m != int64(min(tt.packed, 1)) {
				t.Errorf("%d JSON and %d MessagePack members: encoded %d and %d times", tt.json, tt.packed, j, m)
			}
		}
	})
}

// Verify that the first member with a codec gets what was encoded for the other
// when it joined while that was on its way.
func TestFirstOfItsCodec(t *testing.T) {
	for _, first := range []string{"JSON", "MessagePack"} {
		t.Run(first, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, _ := meetEngine(t, nil)
				r := e.Room("r")
				j, sj := meet(t, e)
				m, sm := meet(t, e, actortest.Msgpack())
				if first == "MessagePack" {
					j, m, sj, sm = m, j, sm, sj
				}
				check(t, r.Join(sj))
				release := holdRoom(t, r)
				var wg sync.WaitGroup
				wg.Go(func() { check(t, r.Join(sm)) })
				synctest.Wait()
				want := map[string]any{"a": "x", "b": []any{true, nil, "y"}}
				check(t, r.Broadcast("m", want)) // knows of the one codec only
				check(t, r.Broadcast("none", nil))
				check(t, r.BroadcastText("raw"))
				release()
				wg.Wait()
				for _, c := range []*actortest.Client{j, m} {
					var got map[string]any
					c.Expect("m", &got)
					if diff := cmp.Diff(want, got); diff != "" {
						t.Error(diff)
					}
					c.Expect("none", nil)
					c.ExpectText("raw")
				}
			})
		})
	}
}

// TestBroadcastErrors broadcasts what cannot be, and to nobody.
func TestBroadcastErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, nil)
		r := e.Room("r")
		check(t, r.Broadcast("nobody is there", nil))
		check(t, r.BroadcastText("nobody is there"))
		if r.Len() != 0 || r.Members() != nil || r.PID() != nil {
			t.Error("a room that is not there has something")
		}
		check(t, r.Close())
		check(t, r.Leave(actor.WsSender{}))
		c, s := meet(t, e)
		check(t, r.Leave(s))
		check(t, r.Join(s))
		if err := r.Broadcast("m", 1i); err == nil || !strings.HasPrefix(err.Error(), "actor: broadcast m: ") {
			t.Errorf("params that cannot be encoded: %v", err)
		}
		if err := r.BroadcastJSON(1i); err == nil {
			t.Error("a value that cannot be encoded: no error")
		}
		if err := r.BroadcastText("\xff"); !errors.Is(err, actor.ErrInvalidUTF8) {
			t.Errorf("text that is none: %v", err)
		}
		check(t, r.BroadcastText("fine"))
		c.ExpectText("fine")
		c.ExpectNothing(time.Hour)
	})
}

// Verify that a broadcast that no member's queue could hold is an error to the
// caller, and takes nothing else with it.
func TestBroadcastTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := new(actor.Options)
		opts.Transport.MaxQueueBytes = 1000
		e, _ := meetEngine(t, opts)
		r := e.Room("r")
		c, s := meet(t, e)
		check(t, r.Join(s))
		release := holdRoom(t, r)
		check(t, r.BroadcastText("before"))
		for _, n := range []int{1000, 997, 5000} { // a header takes 4 bytes
			if err := r.BroadcastText(strings.Repeat("x", n)); !errors.Is(err, actor.ErrTooLarge) {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
		check(t, r.BroadcastText("after"))
		release()
		c.ExpectText("before")
		c.ExpectText("after")
		synctest.Wait() // nothing else is in the queue
		fits := strings.Repeat("x", 996)
		check(t, r.BroadcastText(fits))
		c.ExpectText(fits)
		c.ExpectNothing(time.Minute)
	})
}

// Verify that a connection leaves its rooms by itself, however it ends, and that
// a room without members is gone, comes back, and leaves nothing behind.
func TestRoomsEmpty(t *testing.T) {
	ends := map[string]func(t *testing.T, e *actor.Engine, c *actortest.Client, s actor.WsSender){
		"Close":          func(_ *testing.T, _ *actor.Engine, _ *actortest.Client, s actor.WsSender) { _ = s.Close() },
		"peer closes":    func(_ *testing.T, _ *actor.Engine, c *actortest.Client, _ actor.WsSender) { c.Close() },
		"broken network": func(_ *testing.T, _ *actor.Engine, c *actortest.Client, _ actor.WsSender) { c.Cut() },
		"Stop":           func(t *testing.T, e *actor.Engine, _ *actortest.Client, s actor.WsSender) { stopActor(t, e, s.PID()) },
		"Leave": func(t *testing.T, e *actor.Engine, _ *actortest.Client, s actor.WsSender) {
			check(t, e.Room("a").Leave(s))
			check(t, e.Room("b").Leave(s))
			_ = s.Close()
		},
		"Room.Close": func(t *testing.T, e *actor.Engine, c *actortest.Client, s actor.WsSender) {
			check(t, e.Room("a").BroadcastText("before"))
			check(t, e.Room("a").Close())
			check(t, e.Room("b").Close())
			c.ExpectText("before")
			check(t, s.Send("still open"))
			c.ExpectText("still open")
			_ = s.Close()
		},
		"stop of the rooms": func(t *testing.T, e *actor.Engine, c *actortest.Client, s actor.WsSender) {
			stopActor(t, e, e.Room("a").PID())
			check(t, e.PoisonRaw(e.Room("b").PID(), time.Second))
			check(t, s.Send("still open"))
			c.ExpectText("still open")
			_ = s.Close()
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, log := meetEngine(t, nil)
				base := e.RegistryLen()
				for round := range 3 {
					c, s := meet(t, e)
					other, so := meet(t, e)
					for _, name := range []string{"a", "b"} {
						check(t, e.Room(name).Join(s))
					}
					check(t, e.Room("c").Join(so))
					check(t, e.Room("c").Join(s))
					check(t, e.Room("c").Leave(s))
					if n := e.Stats().Rooms; n != 3 {
						t.Errorf("%d rooms, want 3", n)
					}
					end(t, e, c, s)
					<-s.Done()
					synctest.Wait()
					if n := e.Stats().Rooms; n != 1 || e.Room("a").Len() != 0 || e.Room("a").PID() != nil {
						t.Errorf("round %d: %d rooms left, %d members", round, n, e.Room("a").Len())
					}
					check(t, e.Room("c").BroadcastText("c"))
					other.ExpectText("c")
					other.Close()
					synctest.Wait()
					if n := e.RegistryLen(); n != base || e.Stats().Rooms != 0 {
						t.Errorf("round %d: %d processes, had %d; %d rooms", round, n, base, e.Stats().Rooms)
					}
				}
				if d := eventsOf[actor.DeadLetter](log); d != nil {
					t.Errorf("dead letters %v", d)
				}
			})
		})
	}
}

// TestJoinClosed joins with senders whose connection is not there.
func TestJoinClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, nil)
		other, _ := meetEngine(t, nil)
		c, ended := meet(t, e)
		c.Close()
		<-ended.Done()
		_, foreign := meet(t, other)
		var decoded actor.WsSender
		text, err := foreign.MarshalText()
		check(t, err)
		check(t, decoded.UnmarshalText(text))
		for name, s := range map[string]actor.WsSender{"ended": ended, "zero": {}, "of another engine": foreign, "decoded": decoded} {
			err := e.Room("r").Join(s)
			if !errors.Is(err, actor.ErrClosed) || !strings.HasPrefix(err.Error(), `actor: join room "r": `) {
				t.Errorf("%s: %v", name, err)
			}
			check(t, e.Room("r").Leave(s))
		}
		synctest.Wait()
		if n := e.Stats().Rooms; n != 0 {
			t.Errorf("%d rooms", n)
		}
	})
}

// Verify that a connection keeps nothing of the rooms that it has left.
func TestLeftRoomsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, nil)
		_, s := meet(t, e)
		for i := range 10 {
			r := e.Room(fmt.Sprint(i))
			check(t, r.Join(s))
			if i%2 == 0 {
				check(t, r.Leave(s))
			} else {
				check(t, r.Close())
			}
		}
		check(t, e.Room("stays").Join(s))
		if n := actor.RoomsOf(s); n != 1 {
			t.Errorf("it knows %d rooms, is in 1", n)
		}
	})
}

// leaving is a service whose hook joins a room and ends its goroutine.
type leaving struct {
	e    *actor.Engine
	from actor.WsSender
}

func (l *leaving) OnConnect(from actor.WsSender, _ *actor.Handshake) error {
	l.from = from
	if err := l.e.Room("r").Join(from); err != nil {
		return err
	}
	runtime.Goexit()
	return nil
}

// Verify that a connection whose hook ends its goroutine ends as others do, and
// leaves the rooms that it was in.
func TestGoexitAfterJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := listEngine(t, nil)
		base := e.RegistryLen()
		l := &leaving{e: e}
		check(t, e.Register(l))
		actortest.Connect(t, e).ExpectClose()
		synctest.Wait()
		if n := e.RegistryLen(); n != base || e.Room("r").Len() != 0 {
			t.Errorf("%d processes, had %d; %d members", n, base, e.Room("r").Len())
		}
		if !errors.Is(l.from.Err(), actor.ErrClosed) || l.from.Context().Err() == nil {
			t.Errorf("ended with %v", l.from.Err())
		}
		if n := len(eventsOf[actor.ConnClosed](log)); n != 1 {
			t.Errorf("%d events", n)
		}
	})
}

// Verify that a join that races the end of its connection fails, or is undone
// by that: no member is left behind.
func TestJoinRacesClose(t *testing.T) {
	e, _ := meetEngine(t, nil)
	rounds := 300
	if testing.Short() {
		rounds = 50
	}
	keeper, sk := meet(t, e)
	check(t, e.Room("kept").Join(sk))
	for i := range rounds {
		c, s := meet(t, e)
		var wg sync.WaitGroup
		for _, name := range []string{"kept", "own", "own"} {
			wg.Go(func() {
				if err := e.Room(name).Join(s); err != nil && !errors.Is(err, actor.ErrClosed) {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			if i%2 == 0 {
				_ = s.Close()
			} else {
				c.Cut()
			}
		})
		wg.Wait()
		<-s.Done()
	}
	eventually(t, func() error {
		if st := e.Stats(); st.Rooms != 1 || e.Room("kept").Len() != 1 {
			return fmt.Errorf("%d rooms, %d members", st.Rooms, e.Room("kept").Len())
		}
		return nil
	})
	keeper.Close()
}

// eventually waits, up to ten seconds, until f returns nil.
func eventually(t testing.TB, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Error(err)
}

// Verify that rooms come to no harm by everything at once: joins, leaves,
// broadcasts, closes of rooms and of connections.
func TestRoomStress(t *testing.T) {
	e, _ := meetEngine(t, nil)
	base := e.RegistryLen()
	steps := 400
	if testing.Short() {
		steps = 100
	}
	var mu sync.Mutex
	senders := make([]actor.WsSender, 8)
	for i := range senders {
		_, senders[i] = meet(t, e)
	}
	pick := func() actor.WsSender {
		mu.Lock()
		defer mu.Unlock()
		return senders[rand.IntN(len(senders))]
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range steps {
				r := e.Room(fmt.Sprint("room ", rand.IntN(3)))
				s := pick()
				var err error
				switch rand.IntN(12) {
				case 0, 1, 2, 3:
					err = r.Join(s)
				case 4, 5:
					err = r.Leave(s)
				case 6, 7, 8:
					err = r.Broadcast("m", []int{1}, actor.Except(s))
				case 9:
					for _, m := range r.Members() {
						if m.IsZero() {
							t.Error("zero member")
						}
					}
					r.Len()
				case 10:
					e.Send(r.PID(), actor.Text("x"))
				case 11:
					if rand.IntN(8) == 0 {
						err = r.Close()
					}
				}
				if err != nil && !errors.Is(err, actor.ErrClosed) {
					t.Error(err)
				}
			}
		})
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i = (i + 1) % len(senders) {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
			}
			c, s := meet(t, e)
			mu.Lock()
			old := senders[i]
			senders[i] = s
			mu.Unlock()
			_ = c
			_ = old.Close()
		}
	}()
	wg.Wait()
	close(stop)
	<-done
	for _, s := range senders {
		_ = s.Close()
		<-s.Done()
	}
	eventually(t, func() error {
		if st, n := e.Stats(), e.RegistryLen(); st.Rooms != 0 || n != base {
			return fmt.Errorf("%d rooms, %d processes, had %d", st.Rooms, n, base)
		}
		return nil
	})
}

// Verify that each member gets the broadcasts of one goroutine in their order,
// whatever others broadcast, and all of them.
func TestBroadcastOrder(t *testing.T) {
	e, _ := meetEngine(t, nil)
	r := e.Room("r")
	var cs []*actortest.Client
	for range 3 {
		c, s := meet(t, e)
		check(t, r.Join(s))
		cs = append(cs, c)
	}
	const broadcasters, each = 4, 200
	var wg sync.WaitGroup
	for b := range broadcasters {
		wg.Go(func() {
			for i := range each {
				if err := r.Broadcast("m", [2]int{b, i}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for _, c := range cs {
		var next [broadcasters]int
		for range broadcasters * each {
			var m [2]int
			c.Expect("m", &m)
			if m[1] != next[m[0]] {
				t.Fatalf("broadcaster %d: got %d, want %d", m[0], m[1], next[m[0]])
			}
			next[m[0]]++
		}
	}
	wg.Wait()
}

// Verify that what a room delivers together is no more than half of what a queue
// takes, and that no limit is no limit.
func TestFanLimit(t *testing.T) {
	for frames, want := range map[int]int{0: 64, -1: 64, 1: 1, 2: 1, 3: 1, 50: 25, 1 << 20: 64} {
		e := actortest.NewEngine(t, &actor.Options{Transport: transport.Options{MaxQueueFrames: frames}})
		if got := actor.FanLimit(e); got != want {
			t.Errorf("MaxQueueFrames %d: %d, want %d", frames, got, want)
		}
	}
}

// Verify that broadcasts that wait together leave in one write per member.
func TestBroadcastsCoalesce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, nil)
		r := e.Room("r")
		a, sa := meet(t, e)
		b, sb := meet(t, e)
		check(t, r.Join(sa))
		check(t, r.Join(sb))
		synctest.Wait()
		release := holdRoom(t, r)
		before := e.Stats()
		for i := range 50 {
			check(t, r.Broadcast("m", []int{i}))
		}
		release()
		synctest.Wait()
		after := e.Stats()
		if n := after.Writes - before.Writes; n != 2 {
			t.Errorf("50 broadcasts to 2 members took %d writes", n)
		}
		if n := after.Deliveries - before.Deliveries; n != 100 {
			t.Errorf("%d deliveries", n)
		}
		for _, c := range []*actortest.Client{a, b} {
			for i := range 50 {
				var got []int
				if c.Expect("m", &got); got[0] != i {
					t.Fatalf("got %v, want %d", got, i)
				}
			}
		}
	})
}

// Verify that a panic in a room's actor costs the message that it was in, and
// neither the members nor the rest of the batch.
func TestRoomPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := meetEngine(t, nil)
		r := e.Room("r")
		a, sa := meet(t, e)
		b, sb := meet(t, e)
		check(t, r.Join(sa))
		release := holdRoom(t, r)
		check(t, r.BroadcastText("one"))
		for range 5 {
			r.Do(func() { panic("in the room") })
		}
		check(t, r.BroadcastText("two"))
		var wg sync.WaitGroup
		wg.Go(func() { check(t, r.Join(sb)) })
		synctest.Wait()
		check(t, r.BroadcastText("three"))
		r.Do(func() { panic("at the end") })
		release()
		wg.Wait()
		for _, m := range []string{"one", "two", "three"} {
			a.ExpectText(m)
		}
		b.ExpectText("three")
		if r.Len() != 2 {
			t.Errorf("%d members", r.Len())
		}
		synctest.Wait()
		ev := eventsOf[actor.RoomPanicked](log)
		if len(ev) != 6 || ev[0].Room != "r" || ev[0].Value != "in the room" || len(ev[0].Stack) == 0 {
			t.Errorf("%d events: %+v", len(ev), ev)
		}
	})
}

// Verify that what waits in a room is bounded in number and in bytes; the
// broadcast that goes beyond fails with ErrBusy, or is a dead letter, and those
// that were taken arrive.
func TestRoomBusy(t *testing.T) {
	tests := []struct {
		name  string
		opts  actor.Options
		taken int // broadcasts of 100 bytes
	}{
		{"messages", actor.Options{MaxRoomMessages: 7}, 7},
		{"bytes", actor.Options{MaxRoomBytes: 1000}, 9},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, log := meetEngine(t, &tt.opts)
				r := e.Room("r")
				c, s := meet(t, e)
				check(t, r.Join(s))
				for range 2 {
					release := holdRoom(t, r)
					n := 0
					var err error
					for ; n < 100; n++ {
						if err = r.BroadcastText(fmt.Sprintf("%0100d", n)); err != nil {
							break
						}
					}
					if n < tt.taken || n > tt.taken+1 || !errors.Is(err, actor.ErrBusy) {
						t.Errorf("%d were taken, then %v", n, err)
					}
					e.Send(r.PID(), actor.Text(strings.Repeat("y", 100)))
					release()
					for i := range n {
						c.ExpectText(fmt.Sprintf("%0100d", i))
					}
					c.ExpectNothing(time.Minute)
				}
				if n := e.Stats().Busy; n != 4 {
					t.Errorf("Stats: %d busy, want 4", n)
				}
				if n := len(eventsOf[actor.DeadLetter](log)); n != 2 {
					t.Errorf("%d dead letters, want 2", n)
				}
			})
		})
	}
}

// Verify that a broadcast larger than all that may wait is taken when nothing
// waits: otherwise it never could be.
func TestRoomTakesOneLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, &actor.Options{MaxRoomBytes: 10})
		c, s := meet(t, e)
		check(t, e.Room("r").Join(s))
		check(t, e.Room("r").BroadcastText(strings.Repeat("x", 100)))
		c.ExpectText(strings.Repeat("x", 100))
	})
}

// TestSendToRoom sends to the PID of a room.
func TestSendToRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := meetEngine(t, nil)
		c, s := meet(t, e)
		check(t, e.Room("r").Join(s))
		pid := e.Room("r").PID()
		e.Send(pid, actor.Text("text"))
		e.Send(pid, actor.Binary("binary"))
		e.Send(pid, actor.JSON{Value: 1})
		e.Send(pid, actor.Push{Method: "pushed", Params: []int{1}})
		bad := []any{"unknown", 1, actor.Push{Method: "m", Params: 1i}, actor.Close{Code: 1000}}
		for _, m := range bad {
			e.Send(pid, m)
		}
		c.ExpectText("text")
		c.ExpectBinary([]byte("binary"))
		c.ExpectText("1")
		c.ExpectText(`{"jsonrpc":"2.0","method":"pushed","params":[1]}`)
		c.ExpectNothing(time.Minute)
		if diff := cmp.Diff(bad, deadLetters(t, log, pid)); diff != "" {
			t.Error(diff)
		}
		c.Close()
		synctest.Wait()
		e.Send(pid, actor.Text("late"))
		synctest.Wait()
		if diff := cmp.Diff(append(bad, actor.Text("late")), deadLetters(t, log, pid)); diff != "" {
			t.Error(diff)
		}
	})
}

// Verify that any string names a room, and different ones different rooms.
func TestRoomNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, nil)
		names := []string{"", "a", "a/", "/a", "a/b", "a\x00", "\x00a", "ä", "部屋", "\xff", "room/a", strings.Repeat("long", 1000)}
		cs := make(map[string]*actortest.Client)
		for _, name := range names {
			c, s := meet(t, e)
			check(t, e.Room(name).Join(s))
			cs[name] = c
		}
		for i, name := range names {
			check(t, e.Room(name).BroadcastJSON(i))
			e.Send(e.Room(name).PID(), actor.JSON{Value: -i})
		}
		for i, name := range names {
			cs[name].ExpectText(fmt.Sprint(i))
			cs[name].ExpectText(fmt.Sprint(-i))
			cs[name].ExpectNothing(time.Second)
		}
	})
}

// Verify that the kinds of connections and rooms are nobody else's, so that what
// the engine sends to such a PID reaches what it takes it for.
func TestReservedKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, nil)
		for _, kind := range []string{"ws", "room"} {
			if pid, err := e.Spawn(receive(func(*actor.Context) {}), kind, actor.WithID("x")); err == nil {
				t.Errorf("%v was spawned", pid)
			}
		}
	})
}

// Verify that what was broadcast before Shutdown arrives before the close frame,
// however long the room's inbox is.
func TestShutdownAfterBroadcasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := actor.New(nil)
		check(t, err)
		check(t, actor.Handle(e, "join", func(_ context.Context, from actor.WsSender, _ struct{}) (struct{}, error) {
			return struct{}{}, e.Room("r").Join(from)
		}))
		c := actortest.Connect(t, e)
		check(t, c.Call("join", nil, nil))
		const n = 500
		for i := range n {
			check(t, e.Room("r").BroadcastJSON(i))
		}
		check(t, e.Shutdown(t.Context()))
		for i := range n {
			c.ExpectText(fmt.Sprint(i))
		}
		if end := c.ExpectClose(); end.Code != 1001 {
			t.Error(end)
		}
	})
}

// TestRoomFromMethods joins and broadcasts as methods do.
func TestRoomFromMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, nil)
		type enter struct {
			Room string `json:"room"`
		}
		check(t, actor.Handle(e, "enter", func(_ context.Context, from actor.WsSender, p enter) (int, error) {
			r := e.Room(p.Room)
			if err := r.Join(from); err != nil {
				return 0, err
			}
			return r.Len(), r.Broadcast("entered", []string{from.ID()}, actor.Except(from))
		}))
		var cs []*actortest.Client
		for i := range 3 {
			c, s := meet(t, e)
			cs = append(cs, c)
			var n int
			check(t, c.Call("enter", enter{"r"}, &n))
			if n != i+1 {
				t.Errorf("%d members, want %d", n, i+1)
			}
			for _, other := range cs[:i] {
				var who []string
				if other.Expect("entered", &who); who[0] != s.ID() {
					t.Errorf("%v has entered", who)
				}
			}
			c.ExpectNothing(time.Second)
		}
	})
}

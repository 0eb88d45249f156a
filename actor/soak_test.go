package actor_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
)

// Verify that, whatever clients do for hours, rooms have the members that they
// should have, each of whom gets what it should get, and nothing is left.
func TestSoak(t *testing.T) {
	steps := 3000
	if testing.Short() || raceEnabled {
		steps = 600
	}
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { soak(t, rand.New(rand.NewPCG(seed, 0)), steps) })
		})
	}
}

func soak(t *testing.T, rnd *rand.Rand, steps int) {
	type guest struct {
		c *actortest.Client
		s actor.WsSender
	}
	e, log := meetEngine(t, nil)
	base := e.RegistryLen()
	rooms := make([]map[*guest]bool, 4) // what they should be
	for i := range rooms {
		rooms[i] = make(map[*guest]bool)
	}
	var guests []*guest
	arrive := func() {
		var opts []actortest.Option
		if rnd.IntN(3) == 0 {
			opts = append(opts, actortest.Msgpack())
		}
		c, s := meet(t, e, opts...)
		guests = append(guests, &guest{c, s})
	}
	part := func(i int, end func(*guest)) {
		g := guests[i]
		guests = append(guests[:i], guests[i+1:]...)
		end(g)
		<-g.s.Done()
		for _, r := range rooms {
			delete(r, g)
		}
	}
	for step := range steps {
		if len(guests) < 3 {
			arrive()
		}
		i := rnd.IntN(len(guests))
		g := guests[i]
		n := rnd.IntN(len(rooms))
		r := e.Room(fmt.Sprint(n))
		switch rnd.IntN(20) {
		case 0, 1:
			if len(guests) < 20 {
				arrive()
			}
		case 2:
			part(i, func(g *guest) { _ = g.s.Close() })
		case 3:
			part(i, func(g *guest) { g.c.Close() })
		case 4:
			part(i, func(g *guest) { g.c.Cut() })
		case 5, 6, 7, 8:
			check(t, r.Join(g.s))
			rooms[n][g] = true
		case 9, 10:
			check(t, r.Leave(g.s))
			delete(rooms[n], g)
		case 11:
			check(t, r.Close())
			clear(rooms[n])
		case 12:
			time.Sleep(time.Duration(rnd.IntN(100)) * time.Second)
		default:
			except := guests[rnd.IntN(len(guests))]
			batch := 1 + rnd.IntN(5)
			for k := range batch {
				check(t, r.Broadcast("m", []int{step, k}))
				check(t, r.Broadcast("not all", []int{step, k}, actor.Except(except.s)))
			}
			for g := range rooms[n] {
				for k := range batch {
					var got []int
					if g.c.Expect("m", &got); got[0] != step || got[1] != k {
						t.Fatalf("step %d: got %v, want %d", step, got, k)
					}
					if g != except {
						g.c.Expect("not all", nil)
					}
				}
			}
		}
		synctest.Wait()
		there := 0
		for n, want := range rooms {
			r := e.Room(fmt.Sprint(n))
			got := make(map[actor.WsSender]bool)
			for _, s := range r.Members() {
				got[s] = true
			}
			ok := len(got) == len(want) && r.Len() == len(want)
			for g := range want {
				ok = ok && got[g.s]
			}
			if !ok {
				t.Fatalf("step %d: room %d has %v, want %v", step, n, got, want)
			}
			if len(want) > 0 {
				there++
			}
		}
		if st := e.Stats(); st.Rooms != there || st.Conns != len(guests) || e.RegistryLen() != base+there+len(guests) {
			t.Fatalf("step %d: %d rooms, want %d; %d conns, want %d; %d processes", step, st.Rooms, there, st.Conns, len(guests), e.RegistryLen()-base)
		}
	}
	for _, g := range guests {
		g.c.ExpectNothing(time.Second)
		g.c.Close()
	}
	synctest.Wait()
	if n := e.RegistryLen(); n != base || e.Stats().Rooms != 0 {
		t.Errorf("%d processes, had %d; %d rooms", n, base, e.Stats().Rooms)
	}
	if d := eventsOf[actor.DeadLetter](log); len(d) != 0 {
		t.Errorf("dead letters: %v", d)
	}
}

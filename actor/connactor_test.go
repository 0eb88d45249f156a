package actor_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
)

// meetEngine is a listEngine whose connections can be met.
func meetEngine(t testing.TB, o *actor.Options) (*actor.Engine, *eventLog) {
	t.Helper()
	e, log := listEngine(t, o)
	who := func(_ context.Context, from actor.WsSender, _ struct{}) (string, error) { return from.ID(), nil }
	if err := actor.Handle(e, "who", who); err != nil {
		t.Fatal(err)
	}
	return e, log
}

// meet connects a client and returns the sender of its connection.
func meet(t testing.TB, e *actor.Engine, opts ...actortest.Option) (*actortest.Client, actor.WsSender) {
	t.Helper()
	c := actortest.Connect(t, e, opts...)
	var id string
	if err := c.Call("who", nil, &id); err != nil {
		t.Fatal(err)
	}
	s, ok := e.Sender(&actor.PID{Address: "local", ID: "ws/" + id})
	if !ok || s.ID() != id {
		t.Fatalf("no sender for %s", id)
	}
	return c, s
}

// deadLetters returns the messages of the dead letters so far, which all went
// to pid.
func deadLetters(t testing.TB, log *eventLog, pid *actor.PID) (out []any) {
	t.Helper()
	for _, d := range eventsOf[actor.DeadLetter](log) {
		if !d.Target.Equals(pid) {
			t.Errorf("dead letter for %v", d.Target)
		}
		out = append(out, d.Message)
	}
	return out
}

// TestSendToConnection sends each kind of message to the PID of a connection,
// by the engine and by an actor.
func TestSendToConnection(t *testing.T) {
	for _, name := range []string{"engine", "actor"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, log := meetEngine(t, nil)
				c, s := meet(t, e)
				mp, packed := meet(t, e, actortest.Msgpack())
				send := e.Send
				if name == "actor" {
					type letter struct {
						to  *actor.PID
						msg any
					}
					pid := spawnActor(t, e, "postman", func(c *actor.Context) {
						if l, ok := c.Message().(letter); ok {
							c.Send(l.to, l.msg)
						}
					})
					send = func(to *actor.PID, msg any) { e.Send(pid, letter{to, msg}) }
				}
				for i := range 20 {
					send(s.PID(), actor.Text(fmt.Sprint("text ", i)))
					send(s.PID(), actor.Binary{byte(i)})
					send(s.PID(), actor.JSON{Value: []int{i}})
					send(s.PID(), actor.Push{Method: "pushed", Params: []int{i}})
					send(packed.PID(), actor.Push{Method: "pushed", Params: []int{i}})
				}
				send(s.PID(), actor.Close{Code: 3001, Reason: "enough"})
				for i := range 20 {
					c.ExpectText(fmt.Sprint("text ", i))
					c.ExpectBinary([]byte{byte(i)})
					c.ExpectText(fmt.Sprintf("[%d]", i))
					c.ExpectText(fmt.Sprintf(`{"jsonrpc":"2.0","method":"pushed","params":[%d]}`, i))
					var got []int
					mp.Expect("pushed", &got)
					if diff := cmp.Diff([]int{i}, got); diff != "" {
						t.Error(diff)
					}
				}
				if end := c.ExpectClose(); end.Code != 3001 || end.Reason != "enough" {
					t.Error(end)
				}
				if d := deadLetters(t, log, nil); d != nil {
					t.Errorf("dead letters %v", d)
				}
			})
		})
	}
}

// Verify that a message that a connection has no use for, cannot encode, or
// gets after its end, is a dead letter, and hurts nothing.
func TestConnectionDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := meetEngine(t, nil)
		c, s := meet(t, e)
		bad := []any{"a string", 1, nil, actor.JSON{Value: 1i}, actor.Push{Method: "m", Params: 1i},
			actor.Text("\xff"), actor.Close{Code: 1006}}
		for _, m := range bad {
			e.Send(s.PID(), m)
		}
		e.Send(s.PID(), actor.Text("fine"))
		c.ExpectText("fine")
		synctest.Wait()
		if diff := cmp.Diff(bad, deadLetters(t, log, s.PID())); diff != "" {
			t.Error(diff)
		}
		c.Close()
		synctest.Wait()
		late := []any{actor.Text("late"), actor.Binary("late"), actor.JSON{Value: "late"}, actor.Push{Method: "late"}, actor.Close{Code: 1000}}
		for _, m := range late {
			e.Send(s.PID(), m)
		}
		synctest.Wait()
		if diff := cmp.Diff(append(bad, late...), deadLetters(t, log, s.PID())); diff != "" {
			t.Error(diff)
		}
		if n := e.Stats().DeadLetters; n != uint64(len(bad)+len(late)) {
			t.Errorf("Stats: %d dead letters, want %d", n, len(bad)+len(late))
		}
	})
}

// Verify that a connection can be stopped as any actor can, by the engine and
// by hollywood's own, any number of times and after its end.
func TestStopConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := meetEngine(t, nil)
		base := e.RegistryLen()
		stops := map[string]func(*actor.PID){
			"Stop": func(pid *actor.PID) { stopActor(t, e, pid) },
			"hollywood": func(pid *actor.PID) {
				if err := e.PoisonRaw(pid, 10*time.Second); err != nil {
					t.Error(err)
				}
			},
		}
		for name, stop := range stops {
			c, s := meet(t, e)
			_ = s.Send("before")
			go stop(s.PID())
			go stop(s.PID())
			stop(s.PID())
			if s.Err() == nil {
				t.Errorf("%s: the connection has not ended", name)
			}
			c.ExpectText("before")
			if end := c.ExpectClose(); end.Code != 1000 {
				t.Errorf("%s: closed with %v", name, end)
			}
			stop(s.PID())
			synctest.Wait()
		}
		if n := e.RegistryLen(); n != base {
			t.Errorf("%d processes, had %d", n, base)
		}
		if d := eventsOf[actor.DeadLetter](log); d != nil {
			t.Errorf("dead letters %v", d)
		}
	})
}

// Verify that an actor can poison a connection through its Context, and that
// this completes though the peer does not answer the close frame.
func TestActorPoisonsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, nil)
		c, s := meet(t, e)
		c.Stall()
		synctest.Wait()
		start := time.Now()
		pid := spawnActor(t, e, "killer", func(c *actor.Context) {
			if pid, ok := c.Message().(*actor.PID); ok {
				<-c.Engine().Poison(pid).Done()
				c.Respond("done")
			}
		})
		askActor(t, e, pid, s.PID())
		if d := time.Since(start); d > 6*time.Second {
			t.Errorf("took %v", d)
		}
		<-s.Done()
	})
}

// TestEngineSender looks up senders by PID.
func TestEngineSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := meetEngine(t, nil)
		c, s := meet(t, e)
		if got, ok := e.Sender(s.PID()); !ok || got != s {
			t.Errorf("live: %v, %v", got, ok)
		}
		copied := &actor.PID{Address: s.PID().Address, ID: s.PID().ID}
		if got, ok := e.Sender(copied); !ok || got != s {
			t.Errorf("copy of the PID: %v, %v", got, ok)
		}
		other := spawnActor(t, e, "a", func(c *actor.Context) {
			switch c.Message().(type) {
			case actor.Initialized, actor.Started, actor.Stopped:
			default:
				t.Errorf("the actor got %#v", c.Message())
			}
		})
		c.Close()
		synctest.Wait()
		for name, pid := range map[string]*actor.PID{
			"ended":           s.PID(),
			"nil":             nil,
			"unknown":         {Address: "local", ID: "ws/unknown"},
			"another actor":   other,
			"another address": {Address: "10.0.0.9", ID: s.PID().ID},
		} {
			if got, ok := e.Sender(pid); ok || !got.IsZero() {
				t.Errorf("%s: %v, %v", name, got, ok)
			}
		}
		synctest.Wait()
		if n := e.Stats().DeadLetters; n != 0 {
			t.Errorf("%d dead letters: %v", n, eventsOf[actor.DeadLetter](log))
		}
	})
}

// Verify that a question to a connection, which answers none, ends with its
// context and leaves nothing.
func TestAskConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, nil)
		c, s := meet(t, e)
		base := e.RegistryLen()
		for _, msg := range []any{actor.Text("hi"), "unknown"} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := e.Ask(ctx, s.PID(), msg)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v: %v", msg, err)
			}
		}
		c.ExpectText("hi")
		if n := e.RegistryLen(); n != base {
			t.Errorf("%d processes, had %d", n, base)
		}
	})
}

// Verify that a sender answers ErrClosed as soon as its connection is closing,
// however that came, and tells how it ended.
func TestSenderAfterEnd(t *testing.T) {
	ends := map[string]struct {
		end  func(*actortest.Client, actor.WsSender)
		code int
	}{
		"Close":          {func(_ *actortest.Client, s actor.WsSender) { _ = s.Close() }, 1000},
		"CloseWith":      {func(_ *actortest.Client, s actor.WsSender) { _ = s.CloseWith(4001, "x") }, 4001},
		"Close twice":    {func(_ *actortest.Client, s actor.WsSender) { _ = s.CloseWith(4001, "x"); _ = s.Close() }, 4001},
		"peer closes":    {func(c *actortest.Client, _ actor.WsSender) { c.Conn().Close(3000, "bye") }, 3000},
		"broken network": {func(c *actortest.Client, _ actor.WsSender) { c.Cut() }, 1006},
	}
	for name, tt := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, log := meetEngine(t, nil)
				c, s := meet(t, e)
				if s.Err() != nil || s.Context().Err() != nil {
					t.Error("ended before the end")
				}
				tt.end(c, s)
				<-s.Done()
				for _, err := range []error{
					s.Send("x"), s.SendBinary(nil), s.SendJSON(1), s.Push("m", nil), s.Err(), context.Cause(s.Context()),
				} {
					if !errors.Is(err, actor.ErrClosed) {
						t.Errorf("%v", err)
					}
				}
				var ce *actor.CloseError
				if !errors.As(s.Err(), &ce) || ce.Code != tt.code {
					t.Errorf("ended with %v, want %d", s.Err(), tt.code)
				}
				if s.Close() != nil || s.Buffered() != 0 {
					t.Error("Close or Buffered after the end")
				}
				synctest.Wait()
				if ev := eventsOf[actor.ConnClosed](log); len(ev) != 1 || ev[0].Sender != s || ev[0].Err.Code != tt.code {
					t.Errorf("events %+v", ev)
				}
			})
		})
	}
}

// Verify that messages may be handled in the name of a connection while it
// ends.
func TestHandleMessageRacesEnd(t *testing.T) {
	e, _ := meetEngine(t, nil)
	check(t, e.Register(&principals{}))
	for range 20 {
		c, s := meet(t, e)
		var wg sync.WaitGroup
		wg.Go(func() {
			for s.Err() == nil {
				if _, err := e.HandleMessage(t.Context(), s, []byte(`{"jsonrpc":"2.0","id":1,"method":"who"}`)); err != nil {
					t.Error(err)
				}
			}
		})
		c.Close()
		wg.Wait()
	}
}

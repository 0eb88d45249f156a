package actor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
)

// provoke makes one event of each type but SlowConsumer, in its order.
func provoke(t *testing.T, e *actor.Engine) {
	t.Helper()
	check(t, actor.Handle(e, "boom", func(context.Context, actor.WsSender, struct{}) (int, error) { panic("boom") }))
	check(t, actor.Handle(e, "fail", func(context.Context, actor.WsSender, struct{}) (int, error) {
		return 0, errors.New("the database is down")
	}))
	c, s := meet(t, e)
	if err := c.Call("boom", nil, nil); err == nil {
		t.Error("no error")
	}
	if err := c.Call("fail", nil, nil); err == nil {
		t.Error("no error")
	}
	pid := spawnActor(t, e, "clumsy", func(c *actor.Context) {
		if m, ok := c.Message().(string); ok {
			panic(m)
		}
	}, actor.WithID("1"))
	e.Send(pid, "ouch")
	synctest.Wait()
	check(t, e.Room("r").Join(s))
	e.Room("r").Do(func() { panic(fmt.Errorf("in the room")) })
	check(t, e.Room("r").BroadcastText("goes on"))
	c.ExpectText("goes on")
	stopActor(t, e, pid)
	e.Send(pid, "late")
	synctest.Wait()
	c.Close()
	synctest.Wait()
}

// Verify that OnEvent gets each type of event.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, log := meetEngine(t, nil)
		provoke(t, e)
		var types []string
		for _, ev := range log.all {
			types = append(types, reflect.TypeOf(ev).Name())
		}
		want := []string{"ConnOpened", "CallPanicked", "CallFailed", "ActorPanicked", "RoomPanicked", "DeadLetter", "ConnClosed"}
		if diff := cmp.Diff(want, types); diff != "" {
			t.Error(diff)
		}
		opened, closed := eventsOf[actor.ConnOpened](log)[0], eventsOf[actor.ConnClosed](log)[0]
		if opened.Sender != closed.Sender || closed.Err.Code != 1000 || !closed.Err.Remote {
			t.Errorf("%+v, %+v", opened, closed)
		}
		if ev := eventsOf[actor.CallPanicked](log)[0]; ev.Method != "boom" || ev.Value != "boom" || ev.Sender != opened.Sender ||
			!strings.Contains(string(ev.Stack), "events_test.go") {
			t.Errorf("%+v\n%s", ev, ev.Stack)
		}
		if ev := eventsOf[actor.CallFailed](log)[0]; ev.Method != "fail" || ev.Err.Error() != "the database is down" || ev.Sender != opened.Sender {
			t.Errorf("%+v", ev)
		}
		if ev := eventsOf[actor.DeadLetter](log)[0]; ev.Message != "late" || ev.Target.ID != "clumsy/1" || ev.Sender != nil {
			t.Errorf("%+v", ev)
		}
	})
}

// Verify that an OnEvent that panics hurts neither connections nor calls, rooms
// or actors.
func TestOnEventPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		e := actortest.NewEngine(t, &actor.Options{OnEvent: func(actor.Event) { calls.Add(1); panic("OnEvent") }})
		who := func(_ context.Context, from actor.WsSender, _ struct{}) (string, error) { return from.ID(), nil }
		check(t, actor.Handle(e, "who", who))
		provoke(t, e)
		if st := e.Stats(); calls.Load() != 7 || st.DeadLetters != 1 || st.Panics != 1 {
			t.Errorf("%d calls of OnEvent, %d dead letters, %d panics", calls.Load(), st.DeadLetters, st.Panics)
		}
	})
}

// TestLogEvents writes each type of event to a logger.
func TestLogEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var buf bytes.Buffer
		h := slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case slog.TimeKey:
				return slog.Attr{}
			case "stack":
				return slog.String("stack", fmt.Sprint(strings.HasPrefix(a.Value.String(), "goroutine ")))
			}
			return a
		}})
		on := actor.LogEvents(slog.New(h))
		e, log := meetEngine(t, nil)
		provoke(t, e)
		_, s := meet(t, e)
		events := slices.Clone(log.all)
		events = append(events, actor.SlowConsumer{Room: "r", Sender: s}, actor.DeadLetter{Message: 1},
			actor.CallPanicked{Method: "OnMessage", Value: 7, Stack: []byte("goroutine 1")})
		for _, ev := range events {
			on(ev)
		}
		got := regexp.MustCompile(`conn=[0-9A-Z]+`).ReplaceAllString(buf.String(), "conn=ID")
		want := `level=DEBUG msg="connection opened" conn=ID
level=ERROR msg="method panicked" method=boom conn=ID value=boom stack=true
level=ERROR msg="method failed" method=fail conn=ID err="the database is down"
level=ERROR msg="actor panicked" pid=local/clumsy/1 value=ouch stack=true
level=ERROR msg="room panicked" room=r value="in the room" stack=true
level=DEBUG msg="dead letter" target=local/clumsy/1 type=string
level=DEBUG msg="connection closed" conn=ID err="closed with 1000"
level=DEBUG msg="connection opened" conn=ID
level=INFO msg="slow consumer left room" room=r conn=ID
level=DEBUG msg="dead letter" target=<nil> type=int
level=ERROR msg="method panicked" method=OnMessage conn="" value=7 stack=true
`
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// Verify that without a logger events go to what slog.Default is at the time.
func TestLogEventsDefault(t *testing.T) {
	was := slog.Default()
	defer slog.SetDefault(was)
	on := actor.LogEvents(nil)
	var buf bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&buf, nil)))
	on(actor.SlowConsumer{Room: "r"})
	if !strings.Contains(buf.String(), "room=r") {
		t.Errorf("%q", buf.String())
	}
}

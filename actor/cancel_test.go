package actor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
)

// waiter has methods that wait until their context ends, and note why it did.
type waiter struct {
	begun  chan string
	causes chan error
}

func newWaiter() *waiter {
	return &waiter{begun: make(chan string, 100), causes: make(chan error, 100)}
}

func (w *waiter) Wait(ctx context.Context, name string) error {
	w.begun <- name
	<-ctx.Done()
	w.causes <- context.Cause(ctx)
	return ctx.Err()
}

// Note is a method without a context.
func (w *waiter) Note(name string) string {
	w.begun <- name
	return name
}

// begins returns which calls have begun since it was last asked.
func (w *waiter) begins() []string {
	synctest.Wait()
	out := []string{}
	for len(w.begun) > 0 {
		out = append(out, <-w.begun)
	}
	return out
}

// cause returns why the context of the call that ended first did.
func (w *waiter) cause(t *testing.T) error {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-w.causes:
		return err
	default:
		t.Fatal("no context has ended")
		return nil
	}
}

// serve registers w as a service of one of the kinds.
func (w *waiter) serve(t *testing.T, e *actor.Engine, kind string) {
	t.Helper()
	var err error
	switch kind {
	case "shared":
		err = e.Register(w)
	case "concurrent":
		err = e.Register(w, actor.Method("Wait", actor.Concurrent(3)))
	case "actor":
		_, err = e.SpawnService(w)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Verify that a call that is cancelled while it runs gets a context with that
// cause, and the peer a reply that says so.
func TestCancelRunning(t *testing.T) {
	inBothCodecs(t, func(t *testing.T, codec ...actortest.Option) {
		for _, kind := range []string{"shared", "concurrent", "actor"} {
			step(t, kind, func() {
				var log callLog
				e := actortest.NewEngine(t, &actor.Options{OnEvent: log.add})
				w := newWaiter()
				w.serve(t, e, kind)
				c := actortest.Connect(t, e, codec...)
				p := c.Begin("wait", []string{"a"})
				if diff := cmp.Diff([]string{"a"}, w.begins()); diff != "" {
					t.Fatalf("begun (-want +got):\n%s", diff)
				}
				p.Cancel()
				if got := wantCode(t, p.Wait(nil), -32800); got.Message != "request cancelled" {
					t.Errorf("message %q", got.Message)
				}
				if err := w.cause(t); !errors.Is(err, actor.ErrCancelled) {
					t.Errorf("cause %v, want ErrCancelled", err)
				}
				if err := c.Call("note", []string{"after"}, nil); err != nil {
					t.Errorf("the next call: %v", err)
				}
				if failed, panicked := log.take(); len(failed)+len(panicked) > 0 {
					t.Errorf("events %v, %v", failed, panicked)
				}
			})
		}
	})
}

// Verify that a call that is cancelled while it waits for its turn is not
// begun, and is answered.
func TestCancelWaiting(t *testing.T) {
	inBothCodecs(t, func(t *testing.T, codec ...actortest.Option) {
		e := actortest.NewEngine(t, nil)
		w := newWaiter()
		w.serve(t, e, "shared")
		c := actortest.Connect(t, e, codec...)
		running := c.Begin("wait", []string{"running"})
		withContext := c.Begin("wait", []string{"x"})
		without := c.Begin("note", []string{"y"})
		last := c.Begin("note", []string{"z"})
		synctest.Wait()
		withContext.Cancel()
		without.Cancel()
		if diff := cmp.Diff([]string{"running"}, w.begins()); diff != "" {
			t.Errorf("begun (-want +got):\n%s", diff)
		}
		running.Cancel()
		for _, p := range []*actortest.Pending{running, withContext, without} {
			wantCode(t, p.Wait(nil), -32800)
		}
		if err := last.Wait(nil); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"z"}, w.begins()); diff != "" {
			t.Errorf("begun (-want +got):\n%s", diff)
		}
	})
}

// Verify that a call that waits for a free slot of Concurrent, and those behind
// it, can be cancelled.
func TestCancelWaitingForSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		w := newWaiter()
		w.serve(t, e, "concurrent")
		c := actortest.Connect(t, e)
		var running []*actortest.Pending
		for range 3 {
			running = append(running, c.Begin("wait", []string{"r"}))
		}
		atTheBound, behind := c.Begin("wait", []string{"x"}), c.Begin("wait", []string{"y"})
		synctest.Wait()
		atTheBound.Cancel()
		behind.Cancel()
		if diff := cmp.Diff([]string{"r", "r", "r"}, w.begins()); diff != "" {
			t.Errorf("begun (-want +got):\n%s", diff)
		}
		running[1].Cancel()
		for _, p := range []*actortest.Pending{running[1], atTheBound, behind} {
			wantCode(t, p.Wait(nil), -32800)
		}
		if diff := cmp.Diff([]string{}, w.begins()); diff != "" {
			t.Errorf("begun (-want +got):\n%s", diff)
		}
		running[0].Cancel()
		running[2].Cancel()
	})
}

// Verify the forms of rpc.cancel in JSON, byte for byte in what is answered.
func TestCancelForms(t *testing.T) {
	const cancelled = `{"jsonrpc":"2.0","error":{"code":-32800,"message":"request cancelled"},"id":%s}`
	for _, tt := range []struct {
		name, id, params string
		want             bool // is cancelled
	}{
		{"number by name", `7`, `{"id":7}`, true},
		{"number by position", `7`, `[7]`, true},
		{"several", `7`, `[1,2,7]`, true},
		{"string", `"a b"`, `{"id":"a b"}`, true},
		{"string by position", `"é"`, `["é"]`, true},
		{"large number", `9007199254740993`, `[9007199254740993]`, true},
		{"null", `null`, `{"id":null}`, true},
		{"further members", `7`, `{"reason":"bored","id":7}`, true},
		{"other number", `7`, `{"id":8}`, false},
		{"string for a number", `7`, `{"id":"7"}`, false},
		{"no id", `7`, `{}`, false},
		{"nothing", `7`, `[]`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := actortest.NewEngine(t, nil)
				w := newWaiter()
				w.serve(t, e, "shared")
				c := connectRaw(t, e)
				c.text(`{"jsonrpc":"2.0","method":"wait","params":["a"],"id":` + tt.id + `}`)
				w.begins()
				c.text(`{"jsonrpc":"2.0","method":"rpc.cancel","params":` + tt.params + `}`)
				if !tt.want {
					c.want()
					c.text(`{"jsonrpc":"2.0","method":"rpc.cancel","params":[` + tt.id + `]}`)
				}
				c.want(fmt.Sprintf(cancelled, tt.id))
			})
		})
	}
}

// Verify that what is to be cancelled but does not run or wait is ignored, also
// later, when a call has that id.
func TestCancelUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		w := newWaiter()
		w.serve(t, e, "shared")
		c := connectRaw(t, e)
		note := func() {
			t.Helper()
			c.text(`{"jsonrpc":"2.0","method":"note","params":["a"],"id":1}`)
			c.want(`{"jsonrpc":"2.0","result":"a","id":1}`)
		}
		c.text(`{"jsonrpc":"2.0","method":"rpc.cancel","params":[1]}`)
		note()
		c.text(`{"jsonrpc":"2.0","method":"rpc.cancel","params":{"id":1}}`)
		note()
		c.text(`{"jsonrpc":"2.0","method":"rpc.cancel"}`)
		note()

		// While another call runs, a cancellation is kept, but not for ever.
		c.text(`{"jsonrpc":"2.0","method":"wait","params":["w"],"id":9}`)
		synctest.Wait()
		c.text(`{"jsonrpc":"2.0","method":"rpc.cancel","params":[1,9]}`)
		c.want(`{"jsonrpc":"2.0","error":{"code":-32800,"message":"request cancelled"},"id":9}`)
		note()
	})
}

// Verify that rpc.cancel with an id, which makes it a request, cancels and is
// answered, as every request is; and that so it is in a batch, in its turn.
func TestCancelAsRequest(t *testing.T) {
	const cancelled = `{"jsonrpc":"2.0","error":{"code":-32800,"message":"request cancelled"},"id":1}`
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		w := newWaiter()
		w.serve(t, e, "concurrent")
		c := connectRaw(t, e)
		for _, tt := range []struct{ cancel, answer string }{
			{`{"jsonrpc":"2.0","method":"rpc.cancel","params":[1],"id":2}`, `{"jsonrpc":"2.0","result":null,"id":2}`},
			{`[{"jsonrpc":"2.0","method":"rpc.cancel","params":[1]}]`, ""},
			{`[{"jsonrpc":"2.0","method":"rpc.cancel","params":{"id":1},"id":3}]`, `[{"jsonrpc":"2.0","result":null,"id":3}]`},
		} {
			step(t, tt.cancel, func() {
				c.text(`{"jsonrpc":"2.0","method":"wait","params":["a"],"id":1}`)
				w.begins()
				c.text(tt.cancel)
				got := map[string]bool{c.next(): true}
				want := map[string]bool{cancelled: true}
				if tt.answer != "" {
					got[c.next()], want[tt.answer] = true, true // in either order
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("messages (-want +got):\n%s", diff)
				}
				c.want()
			})
		}
	})
}

// Verify that rpc.cancel with an id is not kept from being answered by lenient
// mode, where there are no notifications.
func TestCancelLenient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, &actor.Options{Lenient: true})
		w := newWaiter()
		w.serve(t, e, "concurrent")
		c := connectRaw(t, e)
		c.text(`{"method":"wait","params":["a"],"id":1}`)
		w.begins()
		c.text(`{"method":"rpc.cancel","params":[1]}`)
		got := map[string]bool{c.next(): true, c.next(): true}
		want := map[string]bool{
			`{"error":{"code":-32800,"message":"request cancelled"},"id":1}`: true,
			`{"result":{"success":true},"id":null}`:                          true,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("messages (-want +got):\n%s", diff)
		}
	})
}

// Verify that ids are compared in MessagePack, too, whatever their type.
func TestCancelMsgpackIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		w := newWaiter()
		w.serve(t, e, "shared")
		c := connectRaw(t, e, "wireroom.v1.msgpack")
		for _, id := range []string{"\x07", "\xcd\x01\x00", "\xa1x", "\xc0", "\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"} {
			c.binary("\x84\xa7jsonrpc\xa32.0\xa6method\xa4wait\xa6params\x91\xa1a\xa2id" + id)
			w.begins()
			c.binary("\x83\xa7jsonrpc\xa32.0\xa6method\xaarpc.cancel\xa6params\x81\xa2id" + id)
			c.want("\x83\xa7jsonrpc\xa32.0\xa5error\x82\xa4code\xd2\xff\xff\x7f\xe0\xa7message\xb1request cancelled\xa2id" + id)
		}
	})
}

// Verify that a method that ends well although it was cancelled is answered
// with its result.
func TestCancelTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		handle(t, e, "stubborn", func(ctx context.Context, _ actor.WsSender, _ none) (string, error) {
			<-ctx.Done()
			return "done", nil
		})
		c := actortest.Connect(t, e)
		p := c.Begin("stubborn", nil)
		synctest.Wait()
		p.Cancel()
		var got string
		if err := p.Wait(&got); err != nil || got != "done" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// Verify that the contexts of calls end with the connection, and say how it
// ended; that calls which wait are made all the same; and that this is nothing
// that the log should tell of.
func TestContextEndsWithConnection(t *testing.T) {
	for _, kind := range []string{"shared", "concurrent", "actor"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log callLog
				e := actortest.NewEngine(t, &actor.Options{OnEvent: log.add})
				w := newWaiter()
				w.serve(t, e, kind)
				c := actortest.Connect(t, e)
				c.Begin("wait", []string{"a"})
				c.Begin("wait", []string{"b"})
				synctest.Wait()
				c.Conn().Close(4001, "bye")
				for range 2 {
					var ce *actor.CloseError
					if err := w.cause(t); !errors.As(err, &ce) || ce.Code != 4001 || ce.Reason != "bye" || !errors.Is(err, actor.ErrClosed) {
						t.Errorf("cause %v, want the CloseError with 4001", err)
					}
				}
				if failed, panicked := log.take(); len(failed)+len(panicked) > 0 {
					t.Errorf("events %v, %v", failed, panicked)
				}
			})
		})
	}
}

// Verify that the context of a call ends when the method has returned, and that
// of its sender goes on until the connection ends.
func TestContextEndsWithCall(t *testing.T) {
	inBothCodecs(t, func(t *testing.T, codec ...actortest.Option) {
		e := actortest.NewEngine(t, nil)
		var call, conn context.Context
		handle(t, e, "keep", func(ctx context.Context, from actor.WsSender, _ none) (none, error) {
			call, conn = ctx, from.Context()
			return none{}, ctx.Err()
		})
		c := actortest.Connect(t, e, codec...)
		if err := c.Call("keep", nil, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !errors.Is(call.Err(), context.Canceled) || !errors.Is(context.Cause(call), context.Canceled) {
			t.Errorf("the call's context: %v, cause %v", call.Err(), context.Cause(call))
		}
		time.Sleep(time.Hour)
		if conn.Err() != nil {
			t.Errorf("the sender's context ended: %v", context.Cause(conn))
		}
		c.Close()
		synctest.Wait()
		var ce *actor.CloseError
		if err := context.Cause(conn); !errors.As(err, &ce) || ce.Code != 1000 {
			t.Errorf("cause %v of the sender's context, want a CloseError with 1000", err)
		}
	})
}

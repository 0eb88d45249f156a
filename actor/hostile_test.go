package actor_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
	"github.com/wireroom/wireroom/transport"
)

// quitter ends its goroutine, as a t.Fatal in the wrong place does.
type quitter struct{}

func (quitter) Quit()        { runtime.Goexit() }
func (quitter) Stay() string { return "here" }

// Verify that a method of a service actor that ends its goroutine is answered
// with an error, that the actor counts as ended, and that nothing hangs.
func TestGoexitInServiceActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := make(chan actor.Event, 100)
		e := actortest.NewEngine(t, &actor.Options{OnEvent: func(ev actor.Event) { events <- ev }})
		if _, err := e.SpawnService(quitter{}); err != nil {
			t.Fatal(err)
		}
		c := actortest.Connect(t, e)
		for _, method := range []string{"quit", "stay"} {
			if err := c.Call(method, nil, nil); err == nil || err.Error() != "Internal error (-32603)" {
				t.Errorf("%s: %v", method, err)
			}
		}
		quit := 0
		for len(events) > 0 {
			if _, ok := (<-events).(actor.ActorPanicked); ok {
				quit++
			}
		}
		if quit != 1 {
			t.Errorf("%d events tell of the end", quit)
		}
	})
}

// hooked has the OnConnect that a test wants.
type hooked struct {
	connect    func()
	disconnect func()
}

func (h *hooked) OnConnect(actor.WsSender, *actor.Handshake) error { h.connect(); return nil }
func (h *hooked) OnDisconnect(actor.WsSender, error)               { h.disconnect() }

// Verify that an OnConnect that ends its goroutine ends the connection, and
// leaves nothing for Shutdown to wait for.
func TestGoexitInOnConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		h := &hooked{connect: runtime.Goexit, disconnect: func() { t.Error("OnDisconnect without OnConnect") }}
		if err := e.Register(h); err != nil {
			t.Fatal(err)
		}
		c := actortest.Connect(t, e)
		if err := c.ExpectClose(); err.Code != 1006 {
			t.Errorf("closed with %v", err)
		}
	})
}

// Verify that a service actor that is stuck keeps a new connection waiting for
// no longer than the handshake may take, and is not told of it afterwards.
func TestOnConnectOfStuckServiceActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		told := 0
		block := make(chan struct{})
		h := &hooked{
			connect: func() {
				if told++; told == 1 {
					<-block
				}
			},
			disconnect: func() {},
		}
		if _, err := e.SpawnService(h); err != nil {
			t.Fatal(err)
		}
		first := actortest.Connect(t, e)
		synctest.Wait()
		start := time.Now()
		second := actortest.Connect(t, e)
		if err := second.ExpectClose(); err.Code != 1013 {
			t.Errorf("closed with %v", err)
		}
		if d := time.Since(start); d != 5*time.Second {
			t.Errorf("closed after %v", d)
		}
		close(block)
		synctest.Wait()
		if err := first.Err(); err != nil {
			t.Errorf("the first one ended: %v", err)
		}
		if told != 1 {
			t.Errorf("OnConnect was called %d times", told)
		}
	})
}

// Verify that a method of a shared service that ends its goroutine is answered,
// and that what waits behind it is handled.
func TestGoexitInSharedService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		if err := e.Register(quitter{}); err != nil {
			t.Fatal(err)
		}
		c := actortest.Connect(t, e)
		quit, stay := c.Begin("quit", nil), c.Begin("stay", nil)
		if err := quit.Wait(nil); err == nil || err.Error() != "Internal error (-32603)" {
			t.Error(err)
		}
		if err := stay.Wait(nil); err != nil {
			t.Error(err)
		}
	})
}

// Verify that connections that have ended, but whose hooks have not, count: a
// service that is stuck would gather them without a bound.
func TestStuckHooksBoundConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, &actor.Options{Transport: transport.Options{MaxConns: 8}})
		block := make(chan struct{})
		if err := e.Register(&hooked{connect: func() {}, disconnect: func() { <-block }}); err != nil {
			t.Fatal(err)
		}
		served := 0
		for range 200 {
			c := actortest.Connect(t, e)
			synctest.Wait()
			if c.Err() != nil {
				if end := c.ExpectClose(); end.Code != 1013 {
					t.Errorf("refused with %v", end)
				}
				break
			}
			served++
			c.Close()
			synctest.Wait()
		}
		if served != 8+64 {
			t.Errorf("%d connections were served", served)
		}
		close(block)
		synctest.Wait()
		actortest.Connect(t, e).Close()
	})
}

// Verify that what a peer cancels ahead is bounded in number and in bytes, and
// that the rest is counted.
func TestCancelIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		block := make(chan struct{})
		if err := actor.Handle(e, "wait", func(context.Context, actor.WsSender, struct{}) (struct{}, error) {
			<-block
			return struct{}{}, nil
		}); err != nil {
			t.Fatal(err)
		}
		c := actortest.Connect(t, e)
		p := c.Begin("wait", nil)
		synctest.Wait()
		c.Notify("rpc.cancel", []string{strings.Repeat("x", 60_000)})
		for i := range 1000 {
			c.Notify("rpc.cancel", []int{1_000_000 + i})
		}
		synctest.Wait()
		close(block)
		if err := p.Wait(nil); err != nil {
			t.Error(err)
		}
		if n := e.Stats().Uncancelled; n != 1+1000-256 {
			t.Errorf("%d ids were not kept", n)
		}
	})
}

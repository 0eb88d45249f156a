package actor_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
)

type chat struct {
	e  *actor.Engine
	mu sync.Mutex
	n  int
}

type joinParams struct {
	Room string `json:"room"`
	Name string `json:"name,omitempty"`
}

func (c *chat) JoinRoom(ctx context.Context, from actor.WsSender, p joinParams) (string, error) {
	from.Push("welcome", []string{p.Room})
	return "joined " + p.Room, c.e.Room(p.Room).Join(from)
}
func (c *chat) Say(room, text string) error {
	return c.e.Room(room).Broadcast("said", map[string]string{"text": text})
}
func (c *chat) Slow(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
func (c *chat) Boom()                          { panic("boom") }
func (c *chat) Fail() error                    { return errors.New("secret") }
func (c *chat) Add(nums ...int) (n int) {
	for _, v := range nums {
		n += v
	}
	return n
}

func TestSmoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		if err := e.Register(&chat{e: e}, actor.Method("Say", actor.Params("room", "text"))); err != nil {
			t.Fatal(err)
		}
		a, b := actortest.Connect(t, e), actortest.Connect(t, e, actortest.Msgpack())
		for _, c := range []*actortest.Client{a, b} {
			var s string
			if err := c.Call("join_room", joinParams{Room: "r"}, &s); err != nil || s != "joined r" {
				t.Fatal(s, err)
			}
			c.Expect("welcome", nil)
		}
		if err := a.Call("say", []string{"r", "hi"}, nil); err != nil {
			t.Fatal(err)
		}
		for _, c := range []*actortest.Client{a, b} {
			var m map[string]string
			c.Expect("said", &m)
			if m["text"] != "hi" {
				t.Fatal(m)
			}
		}
		var n int
		if err := b.Call("add", []int{1, 2, 3}, &n); err != nil || n != 6 {
			t.Fatal(n, err)
		}
		t.Log(a.Call("say", map[string]any{"room": "r"}, nil), a.Call("boom", nil, nil), a.Call("fail", nil, nil), a.Call("say", []any{"r", 1}, nil), b.Call("say", []any{"r", 1}, nil))
		p := a.Begin("slow", nil)
		synctest.Wait()
		p.Cancel()
		t.Log(p.Wait(nil))
		time.Sleep(time.Hour)
		a.ExpectNothing(time.Hour)
		t.Logf("%+v", e.Stats())
		t.Log(e.Methods())
		b.Close()
		synctest.Wait()
		if n := len(e.Room("r").Members()); n != 1 {
			t.Fatal(n)
		}
	})
}

package actortest_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
	"github.com/wireroom/wireroom/transport"
)

// Board is the service that is tested: a board on which clients write, and
// which tells all that watch it.
type Board struct {
	room actor.Room

	mu    sync.Mutex
	notes []string
}

// NewBoard returns a Board whose watchers are in a room of e.
func NewBoard(e *actor.Engine) *Board { return &Board{room: e.Room("board")} }

// Watch makes the caller a watcher, and returns what has been written so far.
func (b *Board) Watch(from actor.WsSender) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.notes, b.room.Join(from)
}

// WriteParams are the parameters of Write.
type WriteParams struct {
	Text string `json:"text"`
}

// Write adds a note.
func (b *Board) Write(p WriteParams) (int, error) {
	if p.Text == "" {
		return 0, actor.Errorf(1, "there is no text")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notes = append(b.notes, p.Text)
	return len(b.notes), b.room.Broadcast("written", p)
}

// serveBoard is what all tests begin with.
func serveBoard(t *testing.T, o *actor.Options) *actor.Engine {
	e := actortest.NewEngine(t, o)
	if err := e.Register(NewBoard(e)); err != nil {
		t.Fatal(err)
	}
	return e
}

// watchersSee tests the service: calls, errors, and what is pushed to whom.
func watchersSee(t *testing.T) {
	e := serveBoard(t, nil)
	ada := actortest.Connect(t, e)
	bob := actortest.Connect(t, e, actortest.Msgpack())

	if err := bob.Call("watch", nil, nil); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := ada.Call("write", WriteParams{"hello"}, &n); err != nil || n != 1 {
		t.Fatalf("write: %d, %v", n, err)
	}
	var seen WriteParams
	if bob.Expect("written", &seen); seen.Text != "hello" {
		t.Errorf("Bob saw %q", seen.Text)
	}
	ada.ExpectNothing(time.Second) // she does not watch

	var refused *actor.Error
	if err := ada.Call("write", WriteParams{}, nil); !errors.As(err, &refused) || refused.Code != 1 {
		t.Errorf("an empty note: %v", err)
	}
}

// silentPeersGo tests a ping timeout. In the bubble the minutes take no time.
func silentPeersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := serveBoard(t, nil)
		alive, dead := actortest.Connect(t, e), actortest.Connect(t, e)
		dead.Stall() // it answers no ping from now on

		time.Sleep(10 * time.Minute)
		if err := alive.Call("watch", nil, nil); err != nil {
			t.Errorf("the one that answers pings: %v", err)
		}
		dead.Read()
		if end := dead.ExpectClose(); end.Code != transport.CloseAbnormal {
			t.Errorf("the silent one: %v", end)
		}
	})
}

// slowWatchersGo tests that a watcher that does not read keeps nobody waiting.
func slowWatchersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := serveBoard(t, &actor.Options{Transport: transport.Options{MaxQueueFrames: 10}})
		slow, quick, writer := actortest.Connect(t, e), actortest.Connect(t, e), actortest.Connect(t, e)
		for _, c := range []*actortest.Client{slow, quick} {
			if err := c.Call("watch", nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		slow.Stall()
		for range 100 {
			if err := writer.Call("write", []string{"a long story"}, nil); err != nil {
				t.Fatal(err)
			}
			quick.Expect("written", nil)
		}
		if n := e.Room("board").Len(); n != 1 {
			t.Errorf("%d watchers are left, want 1", n)
		}
		slow.Read()
		if end := slow.ExpectClose(); end.Code != transport.CloseSlowConsumer {
			t.Errorf("the slow one: %v", end)
		}
	})
}

// The functions above are tests of a service, each to be called by go test as
// func TestX(t *testing.T).
func Example() {
	tests := []testing.InternalTest{
		{Name: "TestWatchersSee", F: watchersSee},
		{Name: "TestSilentPeersGo", F: silentPeersGo},
		{Name: "TestSlowWatchersGo", F: slowWatchersGo},
	}
	_ = tests
}

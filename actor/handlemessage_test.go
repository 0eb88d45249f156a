package actor_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
)

// teller tells what a method was given besides its parameters.
type teller struct{}

func (teller) Tell(ctx context.Context, from actor.WsSender, hs *actor.Handshake, text string) string {
	path := "none"
	if hs != nil {
		path = hs.Path
	}
	return fmt.Sprint(text, " ", !from.IsZero(), " ", path, " ", ctx.Value(ctxKey{}))
}
func (teller) Beside(n int) int { return n }
func (teller) Fail() error      { return actor.Errorf(5, "five") }
func (teller) Wait(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestHandleMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		register(t, e, teller{}, actor.Method("Beside", actor.Concurrent(2)))
		jsonSender, packSender := liveSender(t, e), liveSender(t, e, actortest.Msgpack())
		closed := liveSender(t, e)
		closed.Close()
		synctest.Wait()
		ctx := context.WithValue(t.Context(), ctxKey{}, "v")
		for _, tt := range []struct {
			name      string
			from      actor.WsSender
			msg, want string
		}{
			{"zero sender", actor.WsSender{}, `{"jsonrpc":"2.0","method":"tell","params":["x"],"id":1}`, `{"jsonrpc":"2.0","result":"x false none v","id":1}`},
			{"live sender", jsonSender, `{"jsonrpc":"2.0","method":"tell","params":["x"],"id":1}`, `{"jsonrpc":"2.0","result":"x true /ws v","id":1}`},
			{"closed sender", closed, `{"jsonrpc":"2.0","method":"tell","params":["x"],"id":1}`, `{"jsonrpc":"2.0","result":"x true none v","id":1}`},
			{
				"msgpack sender", packSender, "\x84\xa7jsonrpc\xa32.0\xa6method\xa4tell\xa6params\x91\xa1x\xa2id\x01",
				"\x83\xa7jsonrpc\xa32.0\xa6result\xacx true /ws v\xa2id\x01",
			},
			{"notification", jsonSender, `{"jsonrpc":"2.0","method":"tell","params":["x"]}`, ""},
			{"failed notification", jsonSender, `{"jsonrpc":"2.0","method":"fail"}`, ""},
			{"error", jsonSender, `{"jsonrpc":"2.0","method":"fail","id":"a"}`, `{"jsonrpc":"2.0","error":{"code":5,"message":"five"},"id":"a"}`},
			{"concurrent", jsonSender, `{"jsonrpc":"2.0","method":"beside","params":[3],"id":1}`, `{"jsonrpc":"2.0","result":3,"id":1}`},
			{"response", jsonSender, `{"jsonrpc":"2.0","result":3,"id":1}`, ""},
			{"cancel", jsonSender, `{"jsonrpc":"2.0","method":"rpc.cancel","params":[1]}`, ""},
			{"no JSON", jsonSender, `{`, `{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"},"id":null}`},
			{"empty", jsonSender, ``, `{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"},"id":null}`},
			{
				"batch", jsonSender, `[{"jsonrpc":"2.0","method":"beside","params":[1],"id":1},{"jsonrpc":"2.0","method":"fail"},{"jsonrpc":"2.0","method":"fail","id":2}]`,
				`[{"jsonrpc":"2.0","result":1,"id":1},{"jsonrpc":"2.0","error":{"code":5,"message":"five"},"id":2}]`,
			},
			{"batch of notifications", jsonSender, `[{"jsonrpc":"2.0","method":"fail"}]`, ""},
		} {
			got, err := e.HandleMessage(ctx, tt.from, []byte(tt.msg))
			if err != nil || string(got) != tt.want {
				t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
			}
			if tt.want == "" && got != nil {
				t.Errorf("%s: got an empty reply, want nil", tt.name)
			}
		}
	})
}

// liveSender connects a client and returns the server's sender to it.
func liveSender(t *testing.T, e *actor.Engine, opts ...actortest.Option) actor.WsSender {
	t.Helper()
	_, from := connected(t, e, opts...)
	return from
}

var senderSeq struct {
	sync.Mutex
	n int
}

// connected is liveSender with the client.
func connected(t *testing.T, e *actor.Engine, opts ...actortest.Option) (*actortest.Client, actor.WsSender) {
	t.Helper()
	senderSeq.Lock()
	senderSeq.n++
	name := fmt.Sprint("whoami", senderSeq.n)
	senderSeq.Unlock()
	var from actor.WsSender
	handle(t, e, name, func(_ context.Context, s actor.WsSender, _ none) (none, error) {
		from = s
		return none{}, nil
	}, actor.Hidden())
	c := actortest.Connect(t, e, opts...)
	if err := c.Call(name, nil, nil); err != nil {
		t.Fatal(err)
	}
	return c, from
}

func TestHandleMessageContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log callLog
		e := actortest.NewEngine(t, &actor.Options{OnEvent: log.add})
		register(t, e, teller{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan string)
		go func() {
			got, err := e.HandleMessage(ctx, actor.WsSender{}, []byte(`{"jsonrpc":"2.0","method":"wait","id":1}`))
			done <- fmt.Sprintf("%s %v", got, err)
		}()
		synctest.Wait()
		cancel()
		if got, want := <-done, `{"jsonrpc":"2.0","error":{"code":-32603,"message":"Internal error"},"id":1} <nil>`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		got, err := e.HandleMessage(ctx, actor.WsSender{}, []byte(`{"jsonrpc":"2.0","method":"beside","params":[1],"id":1}`))
		if got != nil || !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that is done: %q, %v", got, err)
		}
		if s := e.Stats().Calls; s != 1 {
			t.Errorf("%d calls, want 1", s)
		}
	})
}

// Verify that the reply is the caller's to keep, and that messages may be
// handled by many goroutines at once, also while the connection ends.
func TestHandleMessageConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		register(t, e, teller{})
		c, from := connected(t, e)
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				var kept [][]byte
				for i := range 50 {
					got, err := e.HandleMessage(t.Context(), from, fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"beside","params":[%d],"id":%d}`, i, g))
					if err != nil {
						t.Error(err)
					}
					kept = append(kept, got)
				}
				for i, got := range kept {
					if want := fmt.Sprintf(`{"jsonrpc":"2.0","result":%d,"id":%d}`, i, g); string(got) != want {
						t.Errorf("got %s, want %s", got, want)
					}
				}
			})
		}
		wg.Go(c.Close)
		wg.Wait()
	})
}

// Verify that a method can have a message handled, and a service actor's
// methods be reached that way.
func TestHandleMessageNested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		if _, err := e.SpawnService(teller{}); err != nil {
			t.Fatal(err)
		}
		handle(t, e, "outer", func(ctx context.Context, from actor.WsSender, n int) (string, error) {
			got, err := e.HandleMessage(ctx, from, fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"beside","params":[%d],"id":"in"}`, n))
			return string(got), err
		})
		c := actortest.Connect(t, e)
		var got string
		if err := c.Call("outer", list{7}, &got); err != nil || got != `{"jsonrpc":"2.0","result":7,"id":"in"}` {
			t.Errorf("got %s, %v", got, err)
		}
	})
}

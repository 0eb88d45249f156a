package actortest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
	"github.com/wireroom/wireroom/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestExample(t *testing.T) {
	t.Run("WatchersSee", watchersSee)
	t.Run("SilentPeersGo", silentPeersGo)
	t.Run("SlowWatchersGo", slowWatchersGo)
}

// fakeT is the testing.TB of a test that may fail without this one failing.
type fakeT struct {
	testing.TB
	mu      sync.Mutex
	logs    []string
	failed  []string
	cleanup []func()
}

func (f *fakeT) Helper()          {}
func (f *fakeT) Cleanup(g func()) { f.cleanup = append(f.cleanup, g) }
func (f *fakeT) Logf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logs = append(f.logs, fmt.Sprintf(format, args...))
}
func (f *fakeT) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = append(f.failed, fmt.Sprintf(format, args...))
}
func (f *fakeT) Fatalf(format string, args ...any) { f.Errorf(format, args...); runtime.Goexit() }
func (f *fakeT) Fatal(args ...any)                 { f.Fatalf("%s", fmt.Sprint(args...)) }

// run runs f as a test with its cleanups, and returns how it failed.
func (f *fakeT) run(test func(t testing.TB)) []string {
	do := func(g func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			g()
		}()
		<-done
	}
	do(func() { test(f) })
	for len(f.cleanup) > 0 {
		last := len(f.cleanup) - 1
		g := f.cleanup[last]
		f.cleanup = f.cleanup[:last]
		do(g)
	}
	return f.failed
}

// service has what the tests below call.
type service struct{}

func (service) Add(a, b int) int                            { return a + b }
func (service) Fail() error                                 { return actor.Errorf(7, "seven") }
func (service) Secret() error                               { return errors.New("secret") }
func (service) Wait(ctx context.Context) error              { <-ctx.Done(); return ctx.Err() }
func (service) Say(from actor.WsSender, text string) error  { return from.Push("said", []string{text}) }
func (service) Text(from actor.WsSender, text string) error { return from.Send(text) }
func (service) Bytes(from actor.WsSender, b []byte) error   { return from.SendBinary(b) }
func (service) Leave(from actor.WsSender) error             { return from.CloseWith(4000, "go") }
func (service) Path(hs *actor.Handshake) string {
	return hs.Path + " " + hs.RawQuery + " " + hs.Header.Get("X-A") + " " + hs.Subprotocol
}

func serve(t testing.TB, o *actor.Options) *actor.Engine {
	t.Helper()
	e := actortest.NewEngine(t, o)
	if err := e.Register(service{}); err != nil {
		t.Fatal(err)
	}
	return e
}

// inBothCodecs runs f in a bubble per codec.
func inBothCodecs(t *testing.T, f func(t *testing.T, codec ...actortest.Option)) {
	t.Run("json", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t) }) })
	t.Run("msgpack", func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, actortest.Msgpack()) }) })
}

func TestClient(t *testing.T) {
	inBothCodecs(t, func(t *testing.T, codec ...actortest.Option) {
		c := actortest.Connect(t, serve(t, nil), codec...)
		var n int
		if err := c.Call("add", []int{1, 2}, &n); err != nil || n != 3 {
			t.Errorf("Call: %d, %v", n, err)
		}
		if err := c.Call("add", []int{1, 2}, nil); err != nil {
			t.Errorf("Call without a result: %v", err)
		}
		var e *actor.Error
		if err := c.Call("fail", nil, &n); !errors.As(err, &e) || *e != (actor.Error{Code: 7, Message: "seven"}) {
			t.Errorf("Call that fails: %v", err)
		}
		if err := c.Call("add", []any{"x", 1}, nil); !errors.As(err, &e) {
			t.Errorf("Call that fails: %v", err)
		} else if diff := cmp.Diff(any(map[string]any{"parameter": "#1"}), e.Data); diff != "" {
			t.Errorf("data (-want +got):\n%s", diff)
		}

		// Replies can be waited for in any order, and do not mix with pushes.
		first, second := c.Begin("add", []int{1, 1}), c.Begin("say", []string{"hi"})
		if err := second.Wait(nil); err != nil {
			t.Error(err)
		}
		var said []string
		if c.Expect("said", &said); len(said) != 1 || said[0] != "hi" {
			t.Errorf("pushed %q", said)
		}
		if err := first.Wait(&n); err != nil || n != 2 {
			t.Errorf("Wait: %d, %v", n, err)
		}

		p := c.Begin("wait", nil)
		synctest.Wait()
		p.Cancel()
		if err := p.Wait(nil); !errors.As(err, &e) || e.Code != -32800 {
			t.Errorf("a cancelled call: %v", err)
		}

		c.Notify("say", []string{"a"})
		c.Notify("text", []string{"b"})
		c.Notify("bytes", [][]byte{{0, 1}})
		c.Notify("say", []string{"c"})
		c.Expect("said", nil)
		c.ExpectText("b")
		c.ExpectBinary([]byte{0, 1})
		if m := c.Next(); m.Method != "said" || m.Params == nil || m.Binary != (codec != nil) || len(m.Data) < len(m.Params) {
			t.Errorf("Next: %+v", m)
		}
		before := time.Now()
		c.ExpectNothing(time.Hour)
		if took := time.Since(before); took != time.Hour {
			t.Errorf("ExpectNothing took %v", took)
		}
		if c.Err() != nil {
			t.Errorf("Err of an open connection: %v", c.Err())
		}
	})
}

func TestConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := serve(t, &actor.Options{Transport: transport.Options{
			OnConnect: func(_ context.Context, hs *actor.Handshake) (any, error) {
				if hs.Path == "/secret" {
					return nil, actor.Refuse(401, "who are you?")
				}
				return nil, nil
			},
		}})
		for _, tt := range []struct {
			opts []actortest.Option
			want string
		}{
			{nil, "/ws   "},
			{[]actortest.Option{actortest.Path("/a?b=c"), actortest.Header("X-A", "1")}, "/a b=c 1 "},
			{[]actortest.Option{actortest.Msgpack()}, "/ws   wireroom.v1.msgpack"},
			{[]actortest.Option{actortest.Subprotocols("x", "wireroom.v1.json")}, "/ws   wireroom.v1.json"},
		} {
			var got string
			if err := actortest.Connect(t, e, tt.opts...).Call("path", nil, &got); err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		}
		_, err := actortest.TryConnect(t, e, actortest.Path("/secret"))
		var refused *transport.StatusError
		if !errors.As(err, &refused) || refused.Status != 401 {
			t.Errorf("TryConnect: %v", err)
		}

		c := actortest.Connect(t, e, actortest.Limits(&transport.Options{MaxMessageBytes: 100}))
		c.Notify("text", []string{strings.Repeat("x", 101)})
		if end := c.ExpectClose(); end.Code != transport.CloseMessageTooBig {
			t.Errorf("a client with a limit: %v", end)
		}
	})
}

func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := serve(t, nil)

		c := actortest.Connect(t, e)
		c.Close()
		if end := c.ExpectClose(); end.Code != 1000 || !errors.Is(c.Err(), actor.ErrClosed) {
			t.Errorf("Close: %v, Err %v", end, c.Err())
		}
		if err := c.Call("add", []int{1, 2}, nil); !errors.Is(err, actor.ErrClosed) || !strings.HasPrefix(err.Error(), "add: ") {
			t.Errorf("Call after the end: %v", err)
		}

		c = actortest.Connect(t, e)
		p := c.Begin("wait", nil)
		synctest.Wait()
		c.Cut()
		if err := p.Wait(nil); !errors.Is(err, actor.ErrClosed) {
			t.Errorf("Wait for a reply that cannot come: %v", err)
		}
		if end := c.ExpectClose(); end.Code != transport.CloseAbnormal {
			t.Errorf("Cut: %v", end)
		}

		// What came before the end can be had after it.
		c = actortest.Connect(t, e)
		p = c.Begin("add", []int{1, 2})
		c.Notify("text", []string{"last"})
		c.Notify("leave", nil)
		if end := c.ExpectClose(); end.Code != 4000 || end.Reason != "go" {
			t.Errorf("closed by the server: %v", end)
		}
		c.ExpectText("last")
		c.ExpectNothing(time.Minute)
		var n int
		if err := p.Wait(&n); err != nil || n != 3 {
			t.Errorf("Wait: %d, %v", n, err)
		}
	})
}

func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := actortest.Connect(t, serve(t, nil))
		c.Stall()
		for i := range 1000 {
			c.Notify("text", []string{fmt.Sprint(i, strings.Repeat(".", 100))})
		}
		synctest.Wait()
		time.Sleep(time.Second)
		c.Read()
		for i := range 1000 {
			c.ExpectText(fmt.Sprint(i, strings.Repeat(".", 100)))
		}
	})
}

// Verify that what fails a test says what was wanted and what came.
func TestFailures(t *testing.T) {
	for _, tt := range []struct {
		name string
		test func(t testing.TB, c *actortest.Client)
		want []string // parts of the failure
	}{
		{"Expect another push", func(_ testing.TB, c *actortest.Client) {
			c.Notify("say", []string{"x"})
			c.Expect("sung", nil)
		}, []string{`{\"jsonrpc\":\"2.0\",\"method\":\"said\",\"params\":[\"x\"]}`, "sung"}},
		{"Expect other params", func(_ testing.TB, c *actortest.Client) {
			c.Notify("say", []string{"x"})
			var n int
			c.Expect("said", &n)
		}, []string{"params of said", "expected a number"}},
		{"ExpectText", func(_ testing.TB, c *actortest.Client) {
			c.Notify("text", []string{"a"})
			c.ExpectText("b")
		}, []string{`got text "a", want text "b"`}},
		{"ExpectBinary", func(_ testing.TB, c *actortest.Client) {
			c.Notify("bytes", [][]byte{{1}})
			c.ExpectBinary([]byte{2})
		}, []string{"got binary 01, want binary 02"}},
		{"ExpectBinary of text", func(_ testing.TB, c *actortest.Client) {
			c.Notify("text", []string{"\x02"})
			c.ExpectBinary([]byte{2})
		}, []string{`got text "\x02", want binary 02`}},
		{"ExpectNothing", func(_ testing.TB, c *actortest.Client) {
			c.Notify("text", []string{"a"})
			c.ExpectNothing(time.Minute)
		}, []string{`got text "a", want nothing`}},
		{"Next", func(_ testing.TB, c *actortest.Client) { c.Next() }, []string{"nothing came"}},
		{"Next after the end", func(_ testing.TB, c *actortest.Client) {
			c.Notify("leave", nil)
			c.Next()
		}, []string{"nothing came", "4000"}},
		{"ExpectClose", func(_ testing.TB, c *actortest.Client) { c.ExpectClose() }, []string{"does not end"}},
		{"no reply", func(_ testing.TB, c *actortest.Client) {
			p := c.Begin("wait", nil)
			defer p.Cancel()
			_ = p.Wait(nil)
		}, []string{"wait: no reply"}},
		{"another result", func(_ testing.TB, c *actortest.Client) {
			var s string
			_ = c.Call("add", []int{1, 2}, &s)
		}, []string{"add: decode the result", "expected a string"}},
		{"params that cannot be encoded", func(_ testing.TB, c *actortest.Client) { c.Notify("add", []any{func() {}}) }, []string{"add: "}},
		{"Send after the end", func(_ testing.TB, c *actortest.Client) {
			c.Close()
			c.Send("x")
		}, []string{"send: connection closed"}},
		{"SendBinary after the end", func(_ testing.TB, c *actortest.Client) {
			c.Close()
			c.SendBinary(nil)
		}, []string{"send: connection closed"}},
		{"Connect", func(t testing.TB, c *actortest.Client) {
			actortest.Connect(t, serve(t, nil), actortest.Subprotocols("x"))
		}, []string{"connect: ", "400"}},
		{"NewEngine", func(t testing.TB, _ *actortest.Client) {
			actortest.NewEngine(t, &actor.Options{Transport: transport.Options{AllowedOrigins: []string{"%"}}})
		}, []string{"actortest: ", "origin"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := new(fakeT)
				failed := fake.run(func(t testing.TB) { tt.test(t, actortest.Connect(t, serve(t, nil))) })
				if len(failed) != 1 || !strings.HasPrefix(failed[0], "actortest: ") {
					t.Fatalf("failures %q, want one", failed)
				}
				for _, part := range tt.want {
					if !strings.Contains(failed[0], part) {
						t.Errorf("%q does not contain %q", failed[0], part)
					}
				}
			})
		})
	}
}

// Verify that events from warnings upwards go to the log of the test, and that
// a test fails whose engine cannot be stopped.
func TestNewEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := new(fakeT)
		failed := fake.run(func(t testing.TB) {
			_ = actortest.Connect(t, serve(t, nil)).Call("secret", nil, nil)
		})
		if logs := strings.Join(fake.logs, "\n"); len(failed) != 0 || len(fake.logs) != 1 || !strings.Contains(logs, "secret") {
			t.Errorf("failures %q, log %q", failed, logs)
		}

		open := make(chan struct{})
		fake = new(fakeT)
		failed = fake.run(func(t testing.TB) {
			e := actortest.NewEngine(t, nil)
			err := actor.Handle(e, "stuck", func(context.Context, actor.WsSender, struct{}) (struct{}, error) {
				<-open
				return struct{}{}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			actortest.Connect(t, e).Notify("stuck", nil)
			synctest.Wait()
		})
		if len(failed) != 1 || !strings.Contains(failed[0], "did not end") {
			t.Errorf("failures %q, want that a call did not end", failed)
		}
		close(open)

		// A test may shut its engine down itself.
		fake = new(fakeT)
		failed = fake.run(func(t testing.TB) {
			if err := actortest.NewEngine(t, nil).Shutdown(context.Background()); err != nil {
				t.Fatal(err)
			}
		})
		if len(failed) != 0 {
			t.Errorf("failures %q", failed)
		}
	})
}

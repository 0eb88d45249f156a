package actor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
	"github.com/wireroom/wireroom/transport"
)

// diary is what the services of a test write to, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) write(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// read returns what has been written, and begins a new page.
func (d *diary) read() []string {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	out := d.lines
	d.lines = nil
	return out
}

func (d *diary) want(t *testing.T, lines ...string) {
	t.Helper()
	if diff := cmp.Diff(lines, d.read()); diff != "" {
		t.Errorf("what happened (-want +got):\n%s", diff)
	}
}

// porter has hooks and a method.
type porter struct {
	d       *diary
	name    string
	refusal error
	panics  bool
	greet   func(actor.WsSender, *actor.Handshake)
	dismiss func(actor.WsSender, error)
}

func (p *porter) OnConnect(from actor.WsSender, hs *actor.Handshake) error {
	p.d.write("%s greets", p.name)
	if p.greet != nil {
		p.greet(from, hs)
	}
	if p.panics {
		panic("greet " + p.name)
	}
	return p.refusal
}

func (p *porter) OnDisconnect(from actor.WsSender, err error) {
	p.d.write("%s dismisses", p.name)
	if p.dismiss != nil {
		p.dismiss(from, err)
	}
	if p.panics {
		panic("dismiss " + p.name)
	}
}

func (p *porter) Work(n int) { p.d.write("%s works %d", p.name, n) }

// hosts are the two ways to register a service.
var hosts = map[string]func(e *actor.Engine, svc any, opts ...actor.ServiceOption) error{
	"shared": (*actor.Engine).Register,
	"actor": func(e *actor.Engine, svc any, opts ...actor.ServiceOption) error {
		_, err := e.SpawnService(svc, opts...)
		return err
	},
}

// eachHost runs f in a bubble of its own per way to register.
func eachHost(t *testing.T, f func(t *testing.T, host func(e *actor.Engine, svc any, opts ...actor.ServiceOption) error)) {
	t.Helper()
	for name, host := range hosts {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, host) })
		})
	}
}

func TestHooksOrder(t *testing.T) {
	eachHost(t, func(t *testing.T, host func(*actor.Engine, any, ...actor.ServiceOption) error) {
		e := actortest.NewEngine(t, nil)
		var d diary
		var end error
		var sender, gone actor.WsSender
		a := &porter{d: &d, name: "a"}
		a.greet = func(from actor.WsSender, hs *actor.Handshake) {
			sender = from
			if hs.Path != "/ws" || from.Err() != nil {
				t.Errorf("OnConnect: path %q, %v", hs.Path, from.Err())
			}
			if err := from.Push("hello", []int{1}); err != nil {
				t.Error(err)
			}
			if err := from.Send("text"); err != nil {
				t.Error(err)
			}
		}
		a.dismiss = func(from actor.WsSender, err error) {
			gone, end = from, err
			if err := from.Send("too late"); !errors.Is(err, actor.ErrClosed) {
				t.Errorf("Send in OnDisconnect: %v, want ErrClosed", err)
			}
		}
		for i, p := range []*porter{a, {d: &d, name: "b"}} {
			if err := host(e, p, actor.Prefix(string(rune('a'+i)))); err != nil {
				t.Fatal(err)
			}
		}
		c := actortest.Connect(t, e)
		d.want(t, "a greets", "b greets")
		for i := range 3 {
			c.Notify("b.work", []int{i})
		}
		if err := c.Call("a.work", []int{9}, nil); err != nil {
			t.Fatal(err)
		}
		c.Expect("hello", nil)
		c.ExpectText("text")
		c.Conn().Close(4001, "bye")
		d.want(t, "b works 0", "b works 1", "b works 2", "a works 9", "a dismisses", "b dismisses")
		var ce *actor.CloseError
		if !errors.As(end, &ce) || ce.Code != 4001 || ce.Reason != "bye" || !errors.Is(end, actor.ErrClosed) {
			t.Errorf("OnDisconnect got %#v", end)
		}
		if sender != gone || sender.Err() == nil || sender.Err().Error() != end.Error() {
			t.Errorf("senders %v and %v, Err %v", sender, gone, sender.Err())
		}
	})
}

// Verify that pushes from OnConnect arrive before any reply, also to a call
// that came in one write with the handshake.
func TestPushesFromOnConnectComeFirst(t *testing.T) {
	eachHost(t, func(t *testing.T, host func(*actor.Engine, any, ...actor.ServiceOption) error) {
		e := actortest.NewEngine(t, nil)
		var d diary
		p := &porter{d: &d, name: "p", greet: func(from actor.WsSender, _ *actor.Handshake) {
			time.Sleep(time.Second)
			_ = from.Push("hello", nil)
		}}
		if err := host(e, p); err != nil {
			t.Fatal(err)
		}
		client, server := newPipe()
		e.ServeConn(server)
		nc := &tap{Conn: client}
		dialRaw(t, nc, "", `{"jsonrpc":"2.0","method":"work","params":[1],"id":1}`)
		synctest.Wait()
		time.Sleep(2 * time.Second)
		want := "\x81\x22" + `{"jsonrpc":"2.0","method":"hello"}` + "\x81\x26" + `{"jsonrpc":"2.0","result":null,"id":1}`
		if got := nc.after("\r\n\r\n"); got != want {
			t.Errorf("the peer read %q, want %q", got, want)
		}
		client.Close()
	})
}

// Verify that an error of OnConnect closes the connection with the code that it
// chose, and that only those services which have greeted it dismiss it; that
// the peer's calls are not made; and that no text of a plain error gets out.
func TestOnConnectRefuses(t *testing.T) {
	for _, tt := range []struct {
		name       string
		err        error
		panics     bool
		wantCode   int
		wantReason string
		wantEvent  string
	}{
		{name: "chosen", err: &actor.CloseError{Code: 4003, Reason: "banned"}, wantCode: 4003, wantReason: "banned"},
		{name: "wrapped", err: fmt.Errorf("x: %w", &actor.CloseError{Code: 4004}), wantCode: 4004},
		{name: "plain", err: errors.New("secret"), wantCode: 1008, wantReason: "refused", wantEvent: "secret"},
		{
			name: "a code that may not be sent", err: &actor.CloseError{Code: 1006, Reason: "x"},
			wantCode: 1008, wantReason: "refused", wantEvent: "1006",
		},
		{name: "panic", panics: true, wantCode: 1008, wantReason: "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachHost(t, func(t *testing.T, host func(*actor.Engine, any, ...actor.ServiceOption) error) {
				var log callLog
				e := actortest.NewEngine(t, &actor.Options{OnEvent: log.add})
				var d diary
				var end *actor.CloseError
				for i, p := range []*porter{
					{d: &d, name: "a", dismiss: func(_ actor.WsSender, err error) { errors.As(err, &end) }},
					{d: &d, name: "b", refusal: tt.err, panics: tt.panics},
					{d: &d, name: "c"},
				} {
					if err := host(e, p, actor.Prefix(string(rune('a'+i)))); err != nil {
						t.Fatal(err)
					}
				}
				client, server := newPipe()
				e.ServeConn(server)
				nc := &tap{Conn: client}
				dialRaw(t, nc, "", `{"jsonrpc":"2.0","method":"a.work","params":[1],"id":1}`)
				synctest.Wait()
				want := string([]byte{0x88, byte(2 + len(tt.wantReason)), byte(tt.wantCode >> 8), byte(tt.wantCode)}) + tt.wantReason
				if got := nc.after("\r\n\r\n"); got != want {
					t.Errorf("the peer read %q, want a close frame with %d %s", got, tt.wantCode, tt.wantReason)
				}
				d.want(t, "a greets", "b greets", "a dismisses")
				if end == nil || end.Code != tt.wantCode || end.Reason != tt.wantReason {
					t.Errorf("OnDisconnect got %v, want %d %s", end, tt.wantCode, tt.wantReason)
				}
				client.Close()
				d.want(t)
				failed, panicked := log.take()
				switch {
				case tt.panics:
					if len(panicked) != 1 || panicked[0].Value != "greet b" {
						t.Errorf("%d panics, want that of OnConnect", len(panicked))
					}
				case tt.wantEvent == "":
					if len(failed)+len(panicked) > 0 {
						t.Errorf("events %v", failed)
					}
				default:
					if len(failed) != 1 || failed[0].Method != "*actor_test.porter.OnConnect" {
						t.Errorf("events %v, want that OnConnect failed", failed)
					}
				}
			})
		})
	}
}

// Verify that a panic in OnDisconnect keeps no other service from its own.
func TestOnDisconnectPanics(t *testing.T) {
	eachHost(t, func(t *testing.T, host func(*actor.Engine, any, ...actor.ServiceOption) error) {
		var log callLog
		e := actortest.NewEngine(t, &actor.Options{OnEvent: log.add})
		var d diary
		first := &porter{d: &d, name: "a"}
		for i, p := range []*porter{first, {d: &d, name: "b"}} {
			if err := host(e, p, actor.Prefix(string(rune('a'+i)))); err != nil {
				t.Fatal(err)
			}
		}
		c := actortest.Connect(t, e)
		synctest.Wait()
		first.panics = true
		c.Close()
		d.want(t, "a greets", "b greets", "a dismisses", "b dismisses")
		log.wantPanicked(t, "*actor_test.porter.OnDisconnect", "dismiss a")
	})
}

// Verify that OnDisconnect comes after the last call, also after one that runs
// beside the others, and that Shutdown waits for both.
func TestOnDisconnectAfterTheLastCall(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts []actor.MethodOption
	}{
		{"in order", nil},
		{"concurrent", []actor.MethodOption{actor.Concurrent(2)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := actortest.NewEngine(t, nil)
				var d diary
				register(t, e, &porter{d: &d, name: "p"})
				handle(t, e, "slow", func(context.Context, actor.WsSender, none) (none, error) {
					time.Sleep(time.Minute)
					d.write("slow ends")
					return none{}, nil
				}, tt.opts...)
				c := actortest.Connect(t, e)
				c.Begin("slow", nil)
				c.Begin("work", []int{1})
				synctest.Wait()
				c.Cut()
				if tt.opts == nil {
					d.want(t, "p greets")
					time.Sleep(2 * time.Minute)
					d.want(t, "slow ends", "p works 1", "p dismisses")
				} else {
					d.want(t, "p greets", "p works 1")
					time.Sleep(2 * time.Minute)
					d.want(t, "slow ends", "p dismisses")
				}

				actortest.Connect(t, e).Begin("slow", nil)
				synctest.Wait()
				if err := e.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				d.want(t, "p greets", "slow ends", "p dismisses")
			})
		})
	}
}

// Verify that a service that is registered while a connection is open has
// neither greeted it nor dismisses it.
func TestHooksOfLateService(t *testing.T) {
	eachHost(t, func(t *testing.T, host func(*actor.Engine, any, ...actor.ServiceOption) error) {
		e := actortest.NewEngine(t, nil)
		var d diary
		if err := host(e, &porter{d: &d, name: "a"}, actor.Prefix("a")); err != nil {
			t.Fatal(err)
		}
		c := actortest.Connect(t, e)
		d.want(t, "a greets")
		if err := host(e, &porter{d: &d, name: "late"}, actor.Prefix("late")); err != nil {
			t.Fatal(err)
		}
		if err := c.Call("late.work", []int{1}, nil); err != nil {
			t.Error(err)
		}
		c.Close()
		d.want(t, "late works 1", "a dismisses")
	})
}

// onlyGreets and onlyDismisses have one hook each.
type onlyGreets struct{ *diary }

func (s onlyGreets) OnConnect(actor.WsSender, *actor.Handshake) error { s.write("greets"); return nil }

type onlyDismisses struct{ *diary }

func (s onlyDismisses) OnDisconnect(actor.WsSender, error) { s.write("dismisses") }

func TestOneHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		var d diary
		register(t, e, onlyGreets{&d})
		register(t, e, onlyDismisses{&d})
		if got := e.Methods(); len(got) != 0 {
			t.Errorf("Methods: %v, want none: hooks are not methods", got)
		}
		c := actortest.Connect(t, e)
		wantCode(t, c.Call("on_connect", nil, nil), -32601)
		wantCode(t, c.Call("on_disconnect", nil, nil), -32601)
		c.Close()
		d.want(t, "greets", "dismisses")
	})
}

// notHooks has methods by the names of the hooks, with other signatures.
type notHooks struct{}

func (notHooks) OnConnect(n int) int       { return n }
func (notHooks) OnDisconnect() string      { return "d" }
func (notHooks) Receive(s []string) string { return s[0] }

// Verify that only the hooks' signatures make a hook.
func TestNamesakesOfHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		register(t, e, notHooks{})
		c := actortest.Connect(t, e)
		var n int
		if err := c.Call("on_connect", []int{3}, &n); err != nil || n != 3 {
			t.Error(n, err)
		}
		var s string
		if err := c.Call("receive", []any{[]string{"x"}}, &s); err != nil || s != "x" {
			t.Error(s, err)
		}
	})
}

// Verify that a service actor's hooks and calls, and what other actors send it,
// run one at a time, in the order of their coming.
func TestServiceActorReceives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		var d diary
		svc := &receiver{diary: &d}
		pid, err := e.SpawnService(svc, actor.ID("one"), actor.Prefix("svc"))
		if err != nil {
			t.Fatal(err)
		}
		if pid.ID != "service/svc/one" {
			t.Errorf("PID %s", pid.ID)
		}
		c := actortest.Connect(t, e)
		if err := c.Call("svc.work", nil, nil); err != nil {
			t.Error(err)
		}
		e.Send(pid, "a message")
		c.Close()
		d.want(t, "actor.Initialized", "actor.Started", "greets", "works", "a message", "dismisses")
		if err := e.Stop(t.Context(), pid); err != nil {
			t.Error(err)
		}
		d.want(t, "actor.Stopped")
	})
}

type receiver struct{ *diary }

func (r *receiver) Receive(c *actor.Context) {
	if text, ok := c.Message().(string); ok {
		r.write("%s", text)
		return
	}
	r.write("%T", c.Message())
}
func (r *receiver) OnConnect(actor.WsSender, *actor.Handshake) error { r.write("greets"); return nil }
func (r *receiver) OnDisconnect(actor.WsSender, error)               { r.write("dismisses") }
func (r *receiver) Work()                                            { r.write("works") }

// ---- interceptors

type ctxKey struct{}

func TestInterceptors(t *testing.T) {
	inBothCodecs(t, func(t *testing.T, codec ...actortest.Option) {
		var d diary
		var log callLog
		around := func(name string) actor.Interceptor {
			return func(ctx context.Context, call *actor.Call, next func(context.Context) (any, error)) (any, error) {
				d.write("%s before %s", name, call.Method)
				r, err := next(context.WithValue(ctx, ctxKey{}, fmt.Sprint(ctx.Value(ctxKey{}), name)))
				d.write("%s after: %v, %v", name, r, err)
				return r, err
			}
		}
		guard := func(ctx context.Context, call *actor.Call, next func(context.Context) (any, error)) (any, error) {
			switch call.Method {
			case "forbidden":
				return nil, actor.Errorf(403, "%v may not", call.Handshake.Principal)
			case "answered":
				return "by the guard", nil
			case "boom":
				panic("guard")
			}
			if call.Group != "g" || call.Handshake.Header.Get("X-Tag") != "t" || call.Sender.IsZero() {
				t.Errorf("call %+v", call)
			}
			return next(ctx)
		}
		e := actortest.NewEngine(t, &actor.Options{
			OnEvent:      log.add,
			Interceptors: []actor.Interceptor{around("1"), around("2"), guard},
			Transport: transport.Options{OnConnect: func(context.Context, *actor.Handshake) (any, error) {
				return "ada", nil
			}},
		})
		for _, name := range []string{"allowed", "forbidden", "answered", "boom", "fails", "panics"} {
			handle(t, e, name, func(ctx context.Context, _ actor.WsSender, _ none) (string, error) {
				d.write("method gets %v", ctx.Value(ctxKey{}))
				switch name {
				case "fails":
					return "", actor.Errorf(7, "seven")
				case "panics":
					panic("method")
				}
				return "result", nil
			}, actor.Group("g"))
		}
		c := actortest.Connect(t, e, append(codec, actortest.Header("X-Tag", "t"))...)
		var got string

		if err := c.Call("allowed", nil, &got); err != nil || got != "result" {
			t.Error(got, err)
		}
		d.want(t, "1 before allowed", "2 before allowed", "method gets <nil>12", "2 after: result, <nil>", "1 after: result, <nil>")

		if e := wantCode(t, c.Call("forbidden", nil, nil), 403); e.Message != "ada may not" {
			t.Error(e)
		}
		d.want(t, "1 before forbidden", "2 before forbidden", "2 after: <nil>, ada may not (403)", "1 after: <nil>, ada may not (403)")

		if err := c.Call("answered", nil, &got); err != nil || got != "by the guard" {
			t.Error(got, err)
		}
		d.read()

		wantCode(t, c.Call("fails", nil, nil), 7)
		d.want(t, "1 before fails", "2 before fails", "method gets <nil>12", "2 after: <nil>, seven (7)", "1 after: <nil>, seven (7)")

		// A panic of the method is an error to the interceptors; their own ends
		// the call.
		wantCode(t, c.Call("panics", nil, nil), -32603)
		log.wantPanicked(t, "panics", "method")
		d.want(t, "1 before panics", "2 before panics", "method gets <nil>12",
			"2 after: <nil>, Internal error (-32603)", "1 after: <nil>, Internal error (-32603)")
		wantCode(t, c.Call("boom", nil, nil), -32603)
		log.wantPanicked(t, "boom", "guard")
		d.read()

		if err := c.Call("allowed", nil, nil); err != nil {
			t.Error(err)
		}
	})
}

// Verify that parameters that do not bind are seen by interceptors, and that
// an unknown method is not: there is nothing to stand around.
func TestInterceptorsAndErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		e := actortest.NewEngine(t, &actor.Options{Interceptors: []actor.Interceptor{
			func(ctx context.Context, call *actor.Call, next func(context.Context) (any, error)) (any, error) {
				r, err := next(ctx)
				seen = append(seen, fmt.Sprint(call.Method, " ", err))
				return r, err
			},
		}})
		handle(t, e, "m", func(context.Context, actor.WsSender, int) (int, error) { return 1, nil })
		c := actortest.Connect(t, e)
		wantCode(t, c.Call("m", nil, nil), -32602)
		wantCode(t, c.Call("unknown", nil, nil), -32601)
		if want := []string{`m missing parameter "#1" (-32602)`}; !slices.Equal(seen, want) {
			t.Errorf("seen %q, want %q", seen, want)
		}
	})
}

// Verify that an interceptor that bounds a call's time reaches the method, in
// whichever way it is called.
func TestInterceptorTimeout(t *testing.T) {
	for _, kind := range []string{"shared", "concurrent", "actor"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log callLog
				e := actortest.NewEngine(t, &actor.Options{OnEvent: log.add, Interceptors: []actor.Interceptor{
					func(ctx context.Context, _ *actor.Call, next func(context.Context) (any, error)) (any, error) {
						ctx, cancel := context.WithTimeout(ctx, time.Second)
						defer cancel()
						return next(ctx)
					},
				}})
				w := newWaiter()
				w.serve(t, e, kind)
				c := actortest.Connect(t, e)
				start := time.Now()
				wantCode(t, c.Call("wait", []string{"a"}, nil), -32603)
				if took := time.Since(start); took != time.Second {
					t.Errorf("took %v", took)
				}
				log.wantFailed(t, "wait", "deadline")
			})
		})
	}
}

// ---- raw messages

func TestOnMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log callLog
		var got []string
		e := actortest.NewEngine(t, &actor.Options{
			OnEvent: log.add,
			OnMessage: func(ctx context.Context, from actor.WsSender, m actor.Message) {
				got = append(got, fmt.Sprintf("%t %s", m.Binary, m.Data))
				if string(m.Data) == "boom" {
					panic("raw")
				}
				if ctx != from.Context() || ctx.Err() != nil {
					t.Errorf("context %v", ctx.Err())
				}
				var err error
				if m.Binary {
					err = from.SendBinary(m.Data)
				} else {
					err = from.Send(string(m.Data))
				}
				if err != nil {
					t.Error(err)
				}
			},
		})
		handle(t, e, "m", func(context.Context, actor.WsSender, none) (int, error) {
			t.Error("a method was called")
			return 0, nil
		})
		for _, offer := range [][]string{nil, {"mqtt"}, {"wireroom.v1.msgpack"}} {
			c := connectRaw(t, e, offer...)
			got = nil
			c.text("one")
			c.text("boom")
			c.text("")
			c.text(`{"jsonrpc":"2.0","method":"m","id":1}`)
			c.text(`{"jsonrpc":"2.0","method":"rpc.cancel","params":[1]}`)
			c.binary("\x00\xff")
			c.want("one", "", `{"jsonrpc":"2.0","method":"m","id":1}`, `{"jsonrpc":"2.0","method":"rpc.cancel","params":[1]}`, "\x00\xff")
			if diff := cmp.Diff([]string{
				"false one", "false boom", "false ", `false {"jsonrpc":"2.0","method":"m","id":1}`,
				`false {"jsonrpc":"2.0","method":"rpc.cancel","params":[1]}`, "true \x00\xff",
			}, got); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
			log.wantPanicked(t, "OnMessage", "raw")
		}
	})
}

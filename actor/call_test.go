package actor_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
	"github.com/wireroom/wireroom/transport"
)

// ---- helpers of the tests of services and calls

// inBothCodecs runs f in a bubble of its own per codec.
func inBothCodecs(t *testing.T, f func(t *testing.T, codec ...actortest.Option)) {
	t.Helper()
	t.Run("json", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t) })
	})
	t.Run("msgpack", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, actortest.Msgpack()) })
	})
}

// step runs a part of a test that runs in a bubble, where there can be no
// subtests, and names it if it is the first to fail.
func step(t *testing.T, name string, f func()) {
	t.Helper()
	before := t.Failed()
	defer func() {
		if t.Failed() && !before {
			t.Errorf("… in step %q", name)
		}
	}()
	f()
}

// register registers a service and fails the test if that fails.
func register(t *testing.T, e *actor.Engine, svc any, opts ...actor.ServiceOption) {
	t.Helper()
	if err := e.Register(svc, opts...); err != nil {
		t.Fatal(err)
	}
}

// handle is actor.Handle for a function that must be accepted.
func handle[P, R any](t *testing.T, e *actor.Engine, name string, f func(context.Context, actor.WsSender, P) (R, error), opts ...actor.MethodOption) {
	t.Helper()
	if err := actor.Handle(e, name, f, opts...); err != nil {
		t.Fatal(err)
	}
}

// none is the result and the parameter of a method that has none.
type none = struct{}

// wantCode fails unless err is an error of the peer's with this code.
func wantCode(t *testing.T, err error, code int) *actor.Error {
	t.Helper()
	var e *actor.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got %v, want an error with code %d", err, code)
	}
	return e
}

// wantParameter fails unless err says that this parameter is at fault.
func wantParameter(t *testing.T, err error, name string) {
	t.Helper()
	e := wantCode(t, err, -32602)
	if diff := cmp.Diff(any(map[string]any{"parameter": name}), e.Data); diff != "" {
		t.Errorf("%v: data (-want +got):\n%s", err, diff)
	}
}

// callLog keeps the events of an engine.
type callLog struct {
	mu   sync.Mutex
	list []actor.Event
}

func (l *callLog) add(ev actor.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, ev)
}

// take returns the events so far that are calls gone wrong, and forgets all.
func (l *callLog) take() (failed []actor.CallFailed, panicked []actor.CallPanicked) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ev := range l.list {
		switch ev := ev.(type) {
		case actor.CallFailed:
			failed = append(failed, ev)
		case actor.CallPanicked:
			panicked = append(panicked, ev)
		}
	}
	l.list = nil
	return failed, panicked
}

// wantFailed fails unless all that went wrong is this method, with this error.
func (l *callLog) wantFailed(t *testing.T, method string, text string) {
	t.Helper()
	failed, panicked := l.take()
	if len(failed) != 1 || len(panicked) != 0 || failed[0].Method != method || !strings.Contains(failed[0].Err.Error(), text) {
		t.Errorf("events %v and %d panics: want only that %s failed with %q", failed, len(panicked), method, text)
	}
}

// wantPanicked fails unless all that went wrong is a panic in this method.
func (l *callLog) wantPanicked(t *testing.T, method string, value string) {
	t.Helper()
	failed, panicked := l.take()
	if len(failed) != 0 || len(panicked) != 1 {
		t.Fatalf("%d calls failed and %d panicked: want only that %s panicked", len(failed), len(panicked), method)
	}
	p := panicked[0]
	if p.Method != method || !strings.Contains(fmt.Sprint(p.Value), value) || !strings.Contains(string(p.Stack), "_test.go") {
		t.Errorf("event %s: %v\n%s\nwant a panic of %s with %q and its stack", p.Method, p.Value, p.Stack, method, value)
	}
}

// rawClient is a client that shows all that comes, replies too, as it is.
type rawClient struct {
	t    *testing.T
	conn *transport.Conn
	got  chan string
	end  chan *actor.CloseError
}

// connectRaw connects a client that sends and gets bytes.
func connectRaw(t *testing.T, e *actor.Engine, subprotocols ...string) *rawClient {
	t.Helper()
	c := &rawClient{t: t, got: make(chan string, 1<<14), end: make(chan *actor.CloseError, 1)}
	d := &transport.Dialer{Subprotocols: subprotocols}
	conn, err := d.Pipe(t.Context(), e.Transport(), "/ws", c)
	if err != nil {
		t.Fatal(err)
	}
	c.conn = conn
	t.Cleanup(conn.Cut)
	return c
}

func (c *rawClient) OnMessage(_ *transport.Conn, _ transport.Op, p []byte) { c.got <- string(p) }
func (c *rawClient) OnReadDone(*transport.Conn)                            {}
func (c *rawClient) OnClose(_ *transport.Conn, err *actor.CloseError)      { c.end <- err }

// text sends a text message.
func (c *rawClient) text(s string) {
	c.t.Helper()
	if err := c.conn.SendText(s); err != nil {
		c.t.Fatal(err)
	}
}

// binary sends a binary message.
func (c *rawClient) binary(s string) {
	c.t.Helper()
	if err := c.conn.Send(transport.Binary, []byte(s)); err != nil {
		c.t.Fatal(err)
	}
}

// next returns the next message; it must be called in a bubble.
func (c *rawClient) next() string {
	c.t.Helper()
	select {
	case s := <-c.got:
		return s
	case <-time.After(time.Hour):
		c.t.Fatal("nothing came")
		return ""
	}
}

// want fails unless just these messages come next.
func (c *rawClient) want(messages ...string) {
	c.t.Helper()
	var got []string
	for range messages {
		got = append(got, c.next())
	}
	synctest.Wait()
	for len(c.got) > 0 {
		got = append(got, <-c.got)
	}
	if diff := cmp.Diff(messages, got); diff != "" {
		c.t.Fatalf("messages (-want +got):\n%s", diff)
	}
}

// turnstile is a method that says when it has begun and waits until it may end.
type turnstile struct {
	begun chan string
	open  chan none
}

func newTurnstile() *turnstile {
	return &turnstile{begun: make(chan string, 1000), open: make(chan none, 1000)}
}

func (g *turnstile) pass(_ context.Context, _ actor.WsSender, p named) (string, error) {
	g.begun <- p.Name
	<-g.open
	return p.Name, nil
}

// opened lets n calls end.
func (g *turnstile) opened(n int) {
	for range n {
		g.open <- none{}
	}
}

// begins returns who has begun and not been asked for, sorted.
func (g *turnstile) begins() []string {
	synctest.Wait()
	out := []string{}
	for len(g.begun) > 0 {
		out = append(out, <-g.begun)
	}
	slices.Sort(out)
	return out
}

type named struct {
	Name string `json:"name"`
}

// ---- errors

type codedError struct {
	code int
	data any
}

func (e codedError) Error() string  { return "coded" }
func (e codedError) ErrorCode() int { return e.code }
func (e codedError) ErrorData() any { return e.data }

type onlyCodeError int

func (e onlyCodeError) Error() string  { return "only a code" }
func (e onlyCodeError) ErrorCode() int { return int(e) }

func TestErrors(t *testing.T) {
	tests := []struct {
		name  string
		err   error
		want  *actor.Error
		event string // part of the CallFailed event's error; empty for no event
	}{
		{name: "Error", err: &actor.Error{Code: 7, Message: "seven", Data: "d"}, want: &actor.Error{Code: 7, Message: "seven", Data: "d"}},
		{name: "Errorf", err: actor.Errorf(8, "no %s", "way"), want: &actor.Error{Code: 8, Message: "no way"}},
		{
			name: "wrapped Error", err: fmt.Errorf("outer: %w", actor.Errorf(9, "inner")),
			want: &actor.Error{Code: 9, Message: "inner"},
		},
		{
			name: "code and data", err: codedError{10, map[string]any{"k": "v"}},
			want: &actor.Error{Code: 10, Message: "coded", Data: map[string]any{"k": "v"}},
		},
		{
			name: "wrapped code and data", err: fmt.Errorf("outer: %w", codedError{11, "x"}),
			want: &actor.Error{Code: 11, Message: "coded", Data: "x"},
		},
		{name: "only a code", err: onlyCodeError(12), want: &actor.Error{Code: 12, Message: "only a code"}},
		{name: "joined", err: errors.Join(errors.New("secret"), onlyCodeError(13)), want: &actor.Error{Code: 13, Message: "only a code"}},
		{
			name: "data that cannot be encoded", err: &actor.Error{Code: 14, Message: "m", Data: func() {}},
			want: &actor.Error{Code: 14, Message: "m"},
		},
		{name: "plain", err: errors.New("secret"), want: &actor.Error{Code: -32603, Message: "Internal error"}, event: "secret"},
		{
			name: "deadline", err: context.DeadlineExceeded,
			want: &actor.Error{Code: -32603, Message: "Internal error"}, event: "deadline",
		},
		{
			name: "somebody else's cancellation", err: context.Canceled,
			want: &actor.Error{Code: -32603, Message: "Internal error"}, event: "canceled",
		},
	}
	inBothCodecs(t, func(t *testing.T, codec ...actortest.Option) {
		var log callLog
		e := actortest.NewEngine(t, &actor.Options{OnEvent: log.add})
		var err error
		handle(t, e, "fail", func(context.Context, actor.WsSender, none) (int, error) { return 1, err })
		c := actortest.Connect(t, e, codec...)
		for _, tt := range tests {
			step(t, tt.name, func() {
				log.take()
				err = tt.err
				var got *actor.Error
				if !errors.As(c.Call("fail", nil, nil), &got) {
					t.Fatal("no error")
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("error (-want +got):\n%s", diff)
				}
				if tt.event != "" {
					log.wantFailed(t, "fail", tt.event)
				} else if failed, panicked := log.take(); len(failed)+len(panicked) > 0 {
					t.Errorf("unexpected events %v, %v", failed, panicked)
				}
			})
		}
		if got := e.Stats(); got.Calls != uint64(len(tests)) || got.Errors != uint64(len(tests)) {
			t.Errorf("Stats: %d calls, %d errors, want %d of both", got.Calls, got.Errors, len(tests))
		}
	})
}

// hostile is a value whose methods panic.
type hostile struct{}

func (hostile) MarshalJSON() ([]byte, error)   { panic("marshal") }
func (hostile) MarshalBinary() ([]byte, error) { panic("marshal") }
func (*hostile) UnmarshalText([]byte) error    { panic("unmarshal") }

// hostileError is an error whose methods panic.
type hostileError struct{}

func (hostileError) Error() string  { return "hostile" }
func (hostileError) ErrorCode() int { panic("code") }

// Verify that a panic costs the call an internal error, and neither the
// connection nor the process: in the method, in the methods of its parameters
// and of its result, and in those of its error.
func TestPanics(t *testing.T) {
	inBothCodecs(t, func(t *testing.T, codec ...actortest.Option) {
		for _, where := range []string{"shared", "actor", "concurrent"} {
			step(t, where, func() {
				var log callLog
				e := actortest.NewEngine(t, &actor.Options{OnEvent: log.add})
				svc := &panicky{}
				switch where {
				case "shared":
					register(t, e, svc)
				case "actor":
					if _, err := e.SpawnService(svc); err != nil {
						t.Fatal(err)
					}
				case "concurrent":
					register(t, e, svc, actor.Each(actor.Concurrent(2)))
				}
				c := actortest.Connect(t, e, codec...)
				for _, tt := range []struct {
					method, value string
					params        any
				}{
					{"plain", "boom", nil},
					{"wrapped", "runtime error: index out of range", nil},
					{"takes", "unmarshal", []string{"x"}},
					{"returns", "marshal", nil},
					{"fails", "code", nil},
					{"nil_pointer", "nil pointer", nil},
				} {
					step(t, tt.method, func() {
						got := wantCode(t, c.Call(tt.method, tt.params, nil), -32603)
						if diff := cmp.Diff(&actor.Error{Code: -32603, Message: "Internal error"}, got); diff != "" {
							t.Errorf("error (-want +got):\n%s", diff)
						}
						log.wantPanicked(t, tt.method, tt.value)
						c.Notify(tt.method, tt.params)
						if err := c.Call("fine", nil, nil); err != nil {
							t.Errorf("the next call: %v", err)
						}
						synctest.Wait()
						log.take()
					})
				}
				if got := e.Stats().Panics; got < 6 {
					t.Errorf("Stats().Panics = %d, want at least 6", got)
				}
			})
		}
	})
}

type panicky struct{}

func (*panicky) Plain()           { panic("boom") }
func (*panicky) Wrapped() int     { return []int{}[len(fmt.Sprint())] }
func (*panicky) Takes(hostile)    {}
func (*panicky) Returns() hostile { return hostile{} }
func (*panicky) Fails() error     { return hostileError{} }
func (*panicky) NilPointer() int {
	return len(nobody.Name)
}
func (*panicky) Fine() {}

var nobody *named

// Verify that a method whose error is a nil *Error in an interface, the
// commonest of slips, gets an internal error and does not end the process.
func TestNilErrorPointer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log callLog
		e := actortest.NewEngine(t, &actor.Options{OnEvent: log.add})
		handle(t, e, "slip", func(context.Context, actor.WsSender, none) (int, error) {
			var err *actor.Error
			return 1, err
		})
		c := actortest.Connect(t, e)
		wantCode(t, c.Call("slip", nil, nil), -32603)
		if failed, panicked := log.take(); len(failed)+len(panicked) != 1 {
			t.Errorf("events %v, %v: want one", failed, panicked)
		}
	})
}

// ---- results

type returns struct{}

type cat struct {
	Name  string   `json:"name"`
	Lives *int     `json:"lives,omitempty"`
	Toys  []string `json:"toys"`
}

func (returns) None()                      {}
func (returns) NoError() error             { return nil }
func (returns) Int() int                   { return 7 }
func (returns) Text() (string, error)      { return "t", nil }
func (returns) NilPointer() *cat           { return nil }
func (returns) Pointer() *cat              { return &cat{Name: "Tom", Toys: []string{"mouse"}} }
func (returns) Struct() cat                { return cat{Name: "Kit"} }
func (returns) Slice() []int               { return []int{1, 2} }
func (returns) EmptySlice() []int          { return []int{} }
func (returns) NilSlice() []int            { return nil }
func (returns) Map() map[string]int        { return map[string]int{"a": 1} }
func (returns) Any() any                   { return "any" }
func (returns) NilAny() (any, error)       { return nil, nil }
func (returns) Time() time.Time            { return time.Unix(1e9, 0).UTC() }
func (returns) Bytes() []byte              { return []byte("hi") }
func (returns) Raw() json.RawMessage       { return json.RawMessage(`{"x": 1}`) }
func (returns) Both() (int, error)         { return 1, actor.Errorf(5, "five") }
func (returns) NotEncodable() (any, error) { return func() {}, nil }
func (returns) NaN() float64               { return math.NaN() }

func TestResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log callLog
		e := actortest.NewEngine(t, &actor.Options{OnEvent: log.add})
		register(t, e, returns{})
		c := connectRaw(t, e)
		for _, tt := range [][2]string{
			{"none", `"result":null`},
			{"no_error", `"result":null`},
			{"int", `"result":7`},
			{"text", `"result":"t"`},
			{"nil_pointer", `"result":null`},
			{"pointer", `"result":{"name":"Tom","toys":["mouse"]}`},
			{"struct", `"result":{"name":"Kit","toys":null}`},
			{"slice", `"result":[1,2]`},
			{"empty_slice", `"result":[]`},
			{"nil_slice", `"result":null`},
			{"map", `"result":{"a":1}`},
			{"any", `"result":"any"`},
			{"nil_any", `"result":null`},
			{"time", `"result":"2001-09-09T01:46:40Z"`},
			{"bytes", `"result":"aGk="`},
			{"raw", `"result":{"x":1}`},
			{"both", `"error":{"code":5,"message":"five"}`},
		} {
			c.text(`{"jsonrpc":"2.0","method":"` + tt[0] + `","id":1}`)
			c.want(`{"jsonrpc":"2.0",` + tt[1] + `,"id":1}`)
		}
		if failed, panicked := log.take(); len(failed)+len(panicked) > 0 {
			t.Errorf("unexpected events %v, %v", failed, panicked)
		}
		for _, method := range []string{"not_encodable", "na_n"} {
			c.text(`{"jsonrpc":"2.0","method":"` + method + `","id":1}`)
			c.want(`{"jsonrpc":"2.0","error":{"code":-32603,"message":"Internal error"},"id":1}`)
			log.wantFailed(t, method, "encode the result")
		}
	})
}

func TestResultsMsgpack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log callLog
		e := actortest.NewEngine(t, &actor.Options{OnEvent: log.add})
		register(t, e, returns{})
		c := actortest.Connect(t, e, actortest.Msgpack())
		for _, tt := range []struct {
			method string
			want   any
		}{
			{"none", nil},
			{"no_error", nil},
			{"int", int64(7)},
			{"text", "t"},
			{"nil_pointer", nil},
			{"pointer", map[string]any{"name": "Tom", "toys": []any{"mouse"}}},
			{"slice", []any{int64(1), int64(2)}},
			{"nil_slice", nil},
			{"bytes", []byte("hi")},
		} {
			var got any = "nothing"
			if err := c.Call(tt.method, nil, &got); err != nil {
				t.Errorf("%s: %v", tt.method, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.method, diff)
			}
		}
		wantCode(t, c.Call("not_encodable", nil, nil), -32603)
		log.wantFailed(t, "not_encodable", "encode the result")
	})
}

// Verify that a reply that no queue could hold is an error to the caller and
// not the end of the connection; in a batch, to the items that do not fit. All
// items are run.
func TestReplyTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, &actor.Options{Transport: transport.Options{MaxQueueBytes: 4096}})
		handle(t, e, "spam", func(_ context.Context, _ actor.WsSender, n int) (string, error) {
			return strings.Repeat("x", n), nil
		})
		handle(t, e, "beside", func(_ context.Context, _ actor.WsSender, n int) (string, error) {
			return strings.Repeat("x", n), nil
		}, actor.Concurrent(1))
		c := connectRaw(t, e)
		c.text(`{"jsonrpc":"2.0","method":"spam","params":[5000],"id":"a"}`)
		c.want(`{"jsonrpc":"2.0","error":{"code":-32603,"message":"response is too large"},"id":"a"}`)
		c.text(`{"jsonrpc":"2.0","method":"beside","params":[5000],"id":"b"}`)
		c.want(`{"jsonrpc":"2.0","error":{"code":-32603,"message":"response is too large"},"id":"b"}`)
		c.text(`[{"jsonrpc":"2.0","method":"spam","params":[3000],"id":1},{"jsonrpc":"2.0","method":"spam","params":[3000],"id":2},{"jsonrpc":"2.0","method":"spam","params":[1],"id":4}]`)
		c.want(`[{"jsonrpc":"2.0","result":"` + strings.Repeat("x", 3000) + `","id":1},` +
			`{"jsonrpc":"2.0","error":{"code":-32603,"message":"response is too large"},"id":2},` +
			`{"jsonrpc":"2.0","result":"x","id":4}]`)
		c.text(`{"jsonrpc":"2.0","method":"spam","params":[1],"id":3}`)
		c.want(`{"jsonrpc":"2.0","result":"x","id":3}`)
	})
}

// ---- notifications, unknown methods, batches

type tally struct {
	mu   sync.Mutex
	seen []string
}

func (s *tally) Note(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, text)
	return text
}
func (s *tally) Fail(text string) error { s.Note(text); return errors.New("secret " + text) }
func (s *tally) Boom(text string)       { s.Note(text); panic(text) }

func (s *tally) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.seen
	s.seen = nil
	return out
}

// Verify that a notification is never answered, and that one that fails does
// not fail in silence.
func TestNotifications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log callLog
		e := actortest.NewEngine(t, &actor.Options{OnEvent: log.add})
		svc := &tally{}
		register(t, e, svc)
		c := connectRaw(t, e)
		send := func(method, params string) {
			c.text(`{"jsonrpc":"2.0","method":"` + method + `","params":` + params + `}`)
			c.want()
		}
		send("note", `["a"]`)
		send("note", `[1]`)      // wrong parameter
		send("unknown", `["b"]`) // no such method
		send("unknown", `{"x":1}`)
		if diff := cmp.Diff([]string{"a"}, svc.take()); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		if failed, panicked := log.take(); len(failed)+len(panicked) > 0 {
			t.Errorf("unexpected events %v, %v", failed, panicked)
		}
		send("fail", `["c"]`)
		log.wantFailed(t, "fail", "secret c")
		send("boom", `["d"]`)
		log.wantPanicked(t, "boom", "d")
		if got := e.Stats(); got.Calls != 6 || got.Errors != 5 || got.Panics != 1 {
			t.Errorf("Stats: %d calls, %d errors, %d panics, want 6, 5, 1", got.Calls, got.Errors, got.Panics)
		}
	})
}

func TestUnknownMethod(t *testing.T) {
	inBothCodecs(t, func(t *testing.T, codec ...actortest.Option) {
		e := actortest.NewEngine(t, nil)
		register(t, e, &tally{})
		c := actortest.Connect(t, e, codec...)
		for _, name := range []string{"", "Note", "not", "note ", "rpc.discover", "x.note"} {
			got := wantCode(t, c.Call(name, nil, nil), -32601)
			if got.Message != "Method not found" || got.Data != nil {
				t.Errorf("%q: got %+v", name, got)
			}
		}
	})
}

func TestBatch(t *testing.T) {
	const (
		a       = `{"jsonrpc":"2.0","method":"note","params":["a"],"id":1}`
		b       = `{"jsonrpc":"2.0","method":"note","params":["b"],"id":2}`
		silent  = `{"jsonrpc":"2.0","method":"note","params":["c"]}`
		unknown = `{"jsonrpc":"2.0","method":"x","id":3}`
		fail    = `{"jsonrpc":"2.0","method":"fail","params":["f"],"id":4}`
		boom    = `{"jsonrpc":"2.0","method":"boom","params":["p"],"id":5}`
		reply   = `{"jsonrpc":"2.0","result":1,"id":6}`

		gotA       = `{"jsonrpc":"2.0","result":"a","id":1}`
		gotB       = `{"jsonrpc":"2.0","result":"b","id":2}`
		gotUnknown = `{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":3}`
		gotFail    = `{"jsonrpc":"2.0","error":{"code":-32603,"message":"Internal error"},"id":4}`
		gotBoom    = `{"jsonrpc":"2.0","error":{"code":-32603,"message":"Internal error"},"id":5}`
		tooMany    = `{"jsonrpc":"2.0","error":{"code":-32600,"message":`
	)
	join := func(items ...string) string { return "[" + strings.Join(items, ",") + "]" }
	tests := []struct {
		name, send string
		want       string // empty for no reply; its beginning, if it ends with a colon
		calls      []string
	}{
		{"one", join(a), join(gotA), []string{"a"}},
		{"two in order", join(b, a), join(gotB, gotA), []string{"b", "a"}},
		{"mixed", join(a, silent, unknown, b), join(gotA, gotUnknown, gotB), []string{"a", "c", "b"}},
		{"only notifications", join(silent, silent), "", []string{"c", "c"}},
		{"failures", join(fail, boom, a), join(gotFail, gotBoom, gotA), []string{"f", "p", "a"}},
		{"responses", join(reply, reply), "", nil},
		{"response among requests", join(reply, a), join(gotA), []string{"a"}},
		{"limit", join(a, a, a, a), join(gotA, gotA, gotA, gotA), []string{"a", "a", "a", "a"}},
		{"above the limit", join(a, a, a, a, a), tooMany, nil},
	}
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, &actor.Options{MaxBatch: 4, OnEvent: func(actor.Event) {}})
		svc := &tally{}
		register(t, e, svc, actor.Method("Note", actor.Concurrent(3)))
		c := connectRaw(t, e)
		for _, tt := range tests {
			step(t, tt.name, func() {
				c.text(tt.send)
				switch {
				case tt.want == "":
					c.want()
				case strings.HasSuffix(tt.want, ":"):
					if got := c.next(); !strings.HasPrefix(got, tt.want) {
						t.Errorf("got %s, want %s…", got, tt.want)
					}
				default:
					c.want(tt.want)
				}
				if diff := cmp.Diff(tt.calls, svc.take()); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
			})
		}
	})
}

// Verify that MaxBatch is the only limit of a batch's items: a larger one than
// the codec's own default takes effect, and so does none.
func TestMaxBatchAboveTheCodecs(t *testing.T) {
	for _, limit := range []int{2000, -1} {
		synctest.Test(t, func(t *testing.T) {
			e := actortest.NewEngine(t, &actor.Options{MaxBatch: limit})
			handle(t, e, "n", func(context.Context, actor.WsSender, none) (int, error) { return 1, nil })
			c := connectRaw(t, e)
			item := `{"jsonrpc":"2.0","method":"n","id":1}`
			c.text("[" + strings.Repeat(item+",", 1499) + item + "]")
			var replies []any
			if err := json.Unmarshal([]byte(c.next()), &replies); err != nil || len(replies) != 1500 {
				t.Errorf("MaxBatch %d: got %d replies (%v), want 1500", limit, len(replies), err)
			}
		})
	}
}

// Verify that responses to nothing are dropped, counted and never answered.
func TestStrayResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		c := connectRaw(t, e)
		c.text(`{"jsonrpc":"2.0","result":1,"id":1}`)
		c.text(`{"jsonrpc":"2.0","error":{"code":1,"message":"m"},"id":null}`)
		c.want()
		if got := e.Stats(); got.Unmatched != 2 || got.Calls != 0 || got.Errors != 0 {
			t.Errorf("Stats: %d unmatched, %d calls, %d errors, want 2, 0, 0", got.Unmatched, got.Calls, got.Errors)
		}
	})
}

// ---- order

// Verify that the calls of one connection run one after the other, that their
// replies come in their order, and that what a method pushes precedes its reply.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		var running atomic.Int32
		handle(t, e, "n", func(_ context.Context, from actor.WsSender, n int) (int, error) {
			if running.Add(1) != 1 {
				t.Error("two calls of one connection at once")
			}
			defer running.Add(-1)
			time.Sleep(time.Duration(n%7) * time.Millisecond)
			return n, from.Push("at", []int{n})
		})
		c := connectRaw(t, e)
		var want []string
		for n := range 200 {
			c.text(fmt.Sprintf(`{"jsonrpc":"2.0","method":"n","params":[%d],"id":%d}`, n, n))
			want = append(want,
				fmt.Sprintf(`{"jsonrpc":"2.0","method":"at","params":[%d]}`, n),
				fmt.Sprintf(`{"jsonrpc":"2.0","result":%d,"id":%d}`, n, n))
		}
		c.want(want...)
	})
}

// Verify that a call that waits keeps back its own connection only.
func TestConnectionsInParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		g := newTurnstile()
		handle(t, e, "pass", g.pass)
		a, b := actortest.Connect(t, e), actortest.Connect(t, e, actortest.Msgpack())
		a1, a2, b1 := a.Begin("pass", named{"a1"}), a.Begin("pass", named{"a2"}), b.Begin("pass", named{"b1"})
		if diff := cmp.Diff([]string{"a1", "b1"}, g.begins()); diff != "" {
			t.Errorf("running (-want +got):\n%s", diff)
		}
		g.opened(1)
		g.opened(2)
		for _, p := range []*actortest.Pending{a2, a1, b1} {
			if err := p.Wait(nil); err != nil {
				t.Error(err)
			}
		}
	})
}

// Verify that the calls of a service actor run one at a time, whoever calls.
func TestServiceActorOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		svc := &lonely{t: t}
		if _, err := e.SpawnService(svc); err != nil {
			t.Fatal(err)
		}
		var pending []*actortest.Pending
		for i := range 8 {
			var opts []actortest.Option
			if i%2 == 1 {
				opts = append(opts, actortest.Msgpack())
			}
			c := actortest.Connect(t, e, opts...)
			for range 50 {
				pending = append(pending, c.Begin("count", nil))
			}
		}
		for _, p := range pending {
			if err := p.Wait(nil); err != nil {
				t.Fatal(err)
			}
		}
		if svc.n != 400 {
			t.Errorf("%d calls, want 400", svc.n)
		}
	})
}

type lonely struct {
	t       *testing.T
	n       int
	running atomic.Bool
}

func (s *lonely) Count() int {
	if s.running.Swap(true) {
		s.t.Error("two calls at once")
	}
	defer s.running.Store(false)
	runtime.Gosched()
	s.n++
	return s.n
}

// Verify that a service actor whose mailbox is full answers that it is busy.
func TestServiceActorBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, &actor.Options{MailboxSize: 2, OnEvent: func(actor.Event) {}})
		svc := &slowActor{g: newTurnstile()}
		if _, err := e.SpawnService(svc); err != nil {
			t.Fatal(err)
		}
		var first []*actortest.Pending
		for range 2 {
			first = append(first, actortest.Connect(t, e).Begin("pass", []string{"x"}))
			synctest.Wait()
		}
		c := actortest.Connect(t, e)
		got := wantCode(t, c.Call("pass", []string{"late"}, nil), -32000)
		if got.Message != "server is busy" {
			t.Errorf("message %q", got.Message)
		}
		svc.g.opened(2)
		for _, p := range first {
			if err := p.Wait(nil); err != nil {
				t.Error(err)
			}
		}
	})
}

type slowActor struct{ g *turnstile }

func (s *slowActor) Pass(name string) string {
	got, _ := s.g.pass(nil, actor.WsSender{}, named{name}) //nolint:staticcheck // it uses no context
	return got
}

// ---- Concurrent

// Verify that Concurrent(n) lets n calls run at once and no more, that later
// calls of other methods go on beside them until then, and that each reply
// carries the id of its call.
func TestConcurrent(t *testing.T) {
	inBothCodecs(t, func(t *testing.T, codec ...actortest.Option) {
		e := actortest.NewEngine(t, nil)
		g := newTurnstile()
		handle(t, e, "pass", g.pass, actor.Concurrent(2))
		handle(t, e, "quick", func(_ context.Context, _ actor.WsSender, n int) (int, error) { return n, nil })
		c := actortest.Connect(t, e, codec...)
		a, b := c.Begin("pass", named{"a"}), c.Begin("pass", named{"b"})
		if diff := cmp.Diff([]string{"a", "b"}, g.begins()); diff != "" {
			t.Fatalf("running (-want +got):\n%s", diff)
		}
		var n int
		if err := c.Call("quick", []int{5}, &n); err != nil || n != 5 {
			t.Errorf("a call beside: %d, %v", n, err)
		}

		third, after := c.Begin("pass", named{"third"}), c.Begin("quick", []int{6})
		if diff := cmp.Diff([]string{}, g.begins()); diff != "" {
			t.Errorf("begun above the bound (-want +got):\n%s", diff)
		}
		other := actortest.Connect(t, e, codec...) // has a bound of its own
		d := other.Begin("pass", named{"d"})
		if diff := cmp.Diff([]string{"d"}, g.begins()); diff != "" {
			t.Errorf("of another connection (-want +got):\n%s", diff)
		}
		g.opened(4)
		if err := after.Wait(&n); err != nil || n != 6 {
			t.Errorf("the call after: %d, %v", n, err)
		}
		for want, p := range map[string]*actortest.Pending{"a": a, "b": b, "third": third, "d": d} {
			var got string
			if err := p.Wait(&got); err != nil || got != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		}
	})
}

// Verify that at most n calls of a method run at once, with many of them.
func TestConcurrentBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		var running, most atomic.Int32
		handle(t, e, "work", func(_ context.Context, _ actor.WsSender, n int) (int, error) {
			if now := running.Add(1); now > most.Load() {
				most.Store(now)
			}
			defer running.Add(-1)
			time.Sleep(time.Duration(n%5) * time.Millisecond)
			return n, nil
		}, actor.Concurrent(3))
		c := actortest.Connect(t, e)
		var pending []*actortest.Pending
		for n := range 100 {
			pending = append(pending, c.Begin("work", []int{n}))
		}
		for want, p := range pending {
			var got int
			if err := p.Wait(&got); err != nil || got != want {
				t.Fatalf("got %d, %v, want %d", got, err, want)
			}
		}
		if got := most.Load(); got != 3 {
			t.Errorf("%d calls at once, want 3", got)
		}
	})
}

// Verify that a panic or an error in a concurrent call gives its slot back.
func TestConcurrentSlotAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, &actor.Options{OnEvent: func(actor.Event) {}})
		handle(t, e, "f", func(_ context.Context, _ actor.WsSender, how string) (int, error) {
			switch how {
			case "panic":
				panic("x")
			case "error":
				return 0, errors.New("x")
			case "exit":
				runtime.Goexit()
			}
			return 1, nil
		}, actor.Concurrent(1))
		c := actortest.Connect(t, e)
		for range 3 {
			for _, how := range []string{"panic", "error"} {
				wantCode(t, c.Call("f", []string{how}, nil), -32603)
			}
			c.Notify("f", []string{"exit"})
			if err := c.Call("f", []string{""}, nil); err != nil {
				t.Error(err)
			}
		}
	})
}

// ---- runtime.Goexit

// Verify that a method that ends its goroutine does not end its connection:
// what comes after it, in the same read or later, is handled in order.
func TestGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		svc := &tally{}
		register(t, e, svc)
		handle(t, e, "exit", func(context.Context, actor.WsSender, none) (int, error) {
			runtime.Goexit()
			return 1, nil
		})
		client, server := newPipe()
		e.ServeConn(server)
		p := dialRaw(t, client, "")
		p.frames(
			`{"jsonrpc":"2.0","method":"note","params":["a"]}`,
			`{"jsonrpc":"2.0","method":"exit","id":1}`,
			`{"jsonrpc":"2.0","method":"note","params":["b"]}`,
			`{"jsonrpc":"2.0","method":"exit"}`,
			`{"jsonrpc":"2.0","method":"exit"}`,
			`{"jsonrpc":"2.0","method":"note","params":["c"],"id":2}`,
		)
		synctest.Wait()
		p.frames(`{"jsonrpc":"2.0","method":"note","params":["d"]}`, `{"jsonrpc":"2.0","method":"exit"}`)
		synctest.Wait()
		if diff := cmp.Diff([]string{"a", "b", "c", "d"}, svc.take()); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		client.Close()
	})
}

// Verify that the order holds, too, when more comes while such a method runs.
func TestGoexitWithMoreToCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		svc := &tally{}
		register(t, e, svc)
		handle(t, e, "exit", func(context.Context, actor.WsSender, none) (none, error) {
			time.Sleep(time.Second)
			runtime.Goexit()
			return none{}, nil
		})
		client, server := newPipe()
		e.ServeConn(server)
		note := func(text string) string { return `{"jsonrpc":"2.0","method":"note","params":["` + text + `"]}` }
		p := dialRaw(t, client, "", `{"jsonrpc":"2.0","method":"exit"}`, note("a"), note("b"))
		synctest.Wait()
		p.frames(note("c"), `{"jsonrpc":"2.0","method":"exit"}`, note("d"))
		p.frames(note("e"))
		time.Sleep(time.Minute)
		if diff := cmp.Diff([]string{"a", "b", "c", "d", "e"}, svc.take()); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		client.Close()
	})
}

// Verify that a hook that ends its goroutine does not end the process, nor
// keeps Shutdown waiting.
func TestGoexitInHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, nil)
		svc := &leaver{}
		register(t, e, svc)
		actortest.Connect(t, e).Close()
		synctest.Wait()
		if got := svc.n.Load(); got != 1 {
			t.Errorf("OnDisconnect was called %d times, want 1", got)
		}
	})
}

type leaver struct{ n atomic.Int32 }

func (l *leaver) OnDisconnect(actor.WsSender, error) {
	l.n.Add(1)
	runtime.Goexit()
}

// ---- kinds of frames, subprotocols, lenient mode

func TestWrongKindOfFrame(t *testing.T) {
	for _, tt := range []struct {
		proto  []string
		binary bool
		reason string
	}{
		{nil, true, "expected text messages"},
		{[]string{"wireroom.v1.json"}, true, "expected text messages"},
		{[]string{"wireroom.v1.msgpack"}, false, "expected binary messages"},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := actortest.NewEngine(t, nil)
			c := connectRaw(t, e, tt.proto...)
			if tt.binary {
				c.binary("\x01")
			} else {
				c.text("{}")
			}
			if end := <-c.end; end.Code != transport.CloseUnsupportedData || end.Reason != tt.reason {
				t.Errorf("%v: closed with %v, want 1003 %s", tt.proto, end, tt.reason)
			}
		})
	}
}

func TestSubprotocols(t *testing.T) {
	for _, tt := range []struct {
		offer []string
		want  string // empty for a refusal, unless nothing was offered
	}{
		{nil, ""},
		{[]string{"wireroom.v1.json"}, "wireroom.v1.json"},
		{[]string{"wireroom.v1.msgpack"}, "wireroom.v1.msgpack"},
		{[]string{"chat", "wireroom.v1.msgpack"}, "wireroom.v1.msgpack"},
		{[]string{"chat"}, ""},
		{[]string{"wireroom.v2.json", "WIREROOM.V1.JSON"}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := actortest.NewEngine(t, nil)
			c, err := actortest.TryConnect(t, e, actortest.Subprotocols(tt.offer...))
			if tt.want == "" && tt.offer != nil {
				var refused *transport.StatusError
				if !errors.As(err, &refused) || refused.Status != 400 {
					t.Errorf("%q: got %v, want a refusal with 400", tt.offer, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("%q: %v", tt.offer, err)
			}
			if got := c.Conn().Subprotocol(); got != tt.want {
				t.Errorf("%q: agreed on %q, want %q", tt.offer, got, tt.want)
			}
		})
	}
}

func TestLenient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := actortest.NewEngine(t, &actor.Options{Lenient: true, OnEvent: func(actor.Event) {}})
		register(t, e, &tally{}, actor.Method("Note", actor.Params("text")))
		register(t, e, returns{})
		c := connectRaw(t, e)
		for _, tt := range [][2]string{
			{`{"method":"note","params":["a"],"id":1}`, `{"result":"a","id":1}`},
			{`{"method":"note","params":{"text":"a"},"id":"x"}`, `{"result":"a","id":"x"}`},
			{`{"method":"note","params":["a"]}`, `{"result":"a","id":null}`},
			{`{"method":"none"}`, `{"result":{"success":true},"id":null}`},
			{`{"method":"no_error","id":2}`, `{"result":{"success":true},"id":2}`},
			{`{"method":"nil_pointer","id":2}`, `{"result":null,"id":2}`},
			{`{"method":"x","id":3}`, `{"error":{"code":-32601,"message":"Method not found"},"id":3}`},
			{`{"method":"fail","params":["f"]}`, `{"error":{"code":-32603,"message":"Internal error"},"id":null}`},
			{`{"jsonrpc":"2.0","method":"none","id":4}`, `{"jsonrpc":"2.0","result":null,"id":4}`},
			{`[{"method":"none","id":5},{"jsonrpc":"2.0","method":"none","id":6}]`, `[{"result":{"success":true},"id":5},{"jsonrpc":"2.0","result":null,"id":6}]`},
		} {
			c.text(tt[0])
			c.want(tt[1])
		}
		c.text(`{"jsonrpc":"2.0","method":"none"}`)
		c.want()

		strict := connectRaw(t, actortest.NewEngine(t, nil))
		strict.text(`{"method":"none","id":1}`)
		strict.want(`{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":1}`)
	})
}

// ---- inbound bounds

// Verify that a connection with too much waiting is not read any further, so
// that its peer's writes stall, and that all of it is handled in the end.
func TestPendingBounds(t *testing.T) {
	const total = 3000
	for _, tt := range []struct {
		name string
		opts actor.Options
		most int // messages that may be taken before the first has ended
	}{
		// One read brings 4 KiB here, of frames of some 70 bytes.
		{"messages", actor.Options{MaxPendingMessages: 10}, 10 + 4096/60},
		{"bytes", actor.Options{MaxPendingBytes: 1000}, 1000/60 + 4096/60 + 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := actortest.NewEngine(t, &tt.opts)
				g := newTurnstile()
				var handled []int
				handle(t, e, "pass", g.pass)
				handle(t, e, "n", func(_ context.Context, _ actor.WsSender, n int) (int, error) {
					handled = append(handled, n)
					return n, nil
				})
				client, server := newPipe()
				e.ServeConn(server)
				p := dialRaw(t, client, "")
				p.frames(`{"jsonrpc":"2.0","method":"pass","params":["slow"]}`)
				synctest.Wait()
				var written atomic.Int32
				go func() {
					for n := range total {
						p.frames(fmt.Sprintf(`{"jsonrpc":"2.0","method":"n","params":[%04d]}`, 1000+n))
						written.Add(1)
					}
				}()
				synctest.Wait()
				time.Sleep(time.Minute) // it is slow, and neither side ends
				if got := int(written.Load()); got > tt.most || got < 5 {
					t.Errorf("the peer could write %d messages, want at most %d", got, tt.most)
				}
				g.opened(1)
				synctest.Wait()
				if len(handled) != total || !slices.IsSorted(handled) {
					t.Errorf("%d messages handled, in order: %t; want %d", len(handled), slices.IsSorted(handled), total)
				}
				client.Close()
			})
		})
	}
}

// ---- a peer that writes frames itself

// newPipe returns the two ends of a connection in memory.
func newPipe() (client, server net.Conn) { return net.Pipe() }

// tap is a connection that remembers what was read from it.
type tap struct {
	net.Conn
	mu   sync.Mutex
	read []byte
}

// Read implements net.Conn.
func (c *tap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = append(c.read, p[:n]...)
	return n, err
}

// after returns what was read behind the first sep.
func (c *tap) after(sep string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, rest, _ := strings.Cut(string(c.read), sep)
	return rest
}

// framer is a peer that decides what goes out in one write.
type framer struct {
	t  *testing.T
	nc net.Conn
}

// dialRaw does the opening handshake on nc, and from then on drops what comes.
func dialRaw(t *testing.T, nc net.Conn, proto string, first ...string) *framer {
	t.Helper()
	head := "GET /ws HTTP/1.1\r\nHost: pipe\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	if proto != "" {
		head += "Sec-WebSocket-Protocol: " + proto + "\r\n"
	}
	f := &framer{t, nc}
	if _, err := nc.Write(append([]byte(head+"\r\n"), appendFrames(nil, first)...)); err != nil {
		t.Fatal(err)
	}
	if _, err := http.ReadResponse(bufio.NewReaderSize(nc, 16), nil); err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, nc)
	return f
}

// frames writes messages, each in a text frame, in one write.
func (f *framer) frames(messages ...string) {
	f.t.Helper()
	if _, err := f.nc.Write(appendFrames(nil, messages)); err != nil {
		f.t.Error(err)
	}
}

// appendFrames appends text frames that are masked with zeros.
func appendFrames(dst []byte, messages []string) []byte {
	for _, m := range messages {
		switch {
		case len(m) < 126:
			dst = append(dst, 0x81, 0x80|byte(len(m)))
		default:
			dst = append(dst, 0x81, 0x80|126, byte(len(m)>>8), byte(len(m)))
		}
		dst = append(dst, 0, 0, 0, 0)
		dst = append(dst, m...)
	}
	return dst
}

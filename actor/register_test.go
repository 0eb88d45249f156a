package actor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
)

// names lists what can be called.
func names(e *actor.Engine) []string {
	out := []string{}
	for _, m := range e.Methods() {
		out = append(out, m.Name)
	}
	return out
}

func newEngine(t *testing.T) *actor.Engine {
	t.Helper()
	return actortest.NewEngine(t, nil)
}

type naming struct{}

func (naming) JoinRoom()       {}
func (naming) GetHTTPStatus()  {}
func (naming) ID()             {}
func (naming) A()              {}
func (naming) GetURL2()        {}
func (naming) XMLHTTPRequest() {}
func (naming) V2Get()          {}
func (naming) Snake_Case()     {}
func (naming) UserID()         {}
func (naming) ÄrgerNis()       {}
func (naming) AB()             {}
func (naming) ABc()            {}
func (naming) Is3D()           {}
func (naming) unexported()     {} //nolint:unused // it is not to be found

func TestNames(t *testing.T) {
	e := newEngine(t)
	register(t, e, naming{})
	want := []string{
		"a", "ab", "a_bc", "get_http_status", "get_url2", "id", "is3_d", "join_room", "snake_case", "user_id",
		"v2_get", "xmlhttp_request", "ärger_nis",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, names(e)); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

// many has one method of each shape.
type many struct{ Unused int }

func (*many) Plain()                                                            {}
func (*many) Two(a int, b *string) string                                       { return "" }
func (*many) Sum(first int, more ...int) (int, error)                           { return 0, nil }
func (*many) Named(from actor.WsSender, p named) named                          { return p }
func (*many) Injected(hs *actor.Handshake, c context.Context, s actor.WsSender) {}
func (*many) Whole(m map[string]any) any                                        { return m }

// Verify that Methods lists what dispatch accepts, with what can be said of it.
func TestMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		register(t, e, &many{}, actor.Prefix("a.b"), actor.Each(actor.Group("all")),
			actor.Method("Plain", actor.Name("simple"), actor.Group("one")),
			actor.Method("Two", actor.Params("a", "b"), actor.Default("a", 7), actor.Concurrent(4)),
			actor.Method("Sum", actor.Params("first", "more")),
			actor.Method("Whole", actor.Hidden()))
		handle(t, e, "fn", func(context.Context, actor.WsSender, []int) (none, error) { return none{}, nil })
		want := []actor.MethodInfo{
			{Name: "a.b.injected", Group: "all"},
			{Name: "a.b.named", Group: "all", Result: "actor_test.named", Params: []actor.ParamInfo{{Name: "name", Type: "string"}}},
			{Name: "a.b.simple", Group: "one"},
			{Name: "a.b.sum", Group: "all", Result: "int", Variadic: true, Params: []actor.ParamInfo{
				{Name: "first", Type: "int"}, {Name: "more", Type: "int", Optional: true},
			}},
			{Name: "a.b.two", Group: "all", Result: "string", Concurrent: 4, Params: []actor.ParamInfo{
				{Name: "a", Type: "int", Optional: true, Default: 7}, {Name: "b", Type: "*string", Optional: true},
			}},
			{Name: "fn", Params: []actor.ParamInfo{{Type: "[]int"}}},
		}
		if diff := cmp.Diff(want, e.Methods()); diff != "" {
			t.Errorf("Methods (-want +got):\n%s", diff)
		}
		c := actortest.Connect(t, e)
		params := map[string]any{
			"a.b.named": []string{"x"}, "a.b.sum": []int{1}, "fn": []any{[]int{1}}, "a.b.whole": map[string]any{},
		}
		for _, name := range append(names(e), "a.b.whole") {
			if err := c.Call(name, params[name], nil); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, name := range []string{"simple", "b.simple", "a.b.plain", "a.b", "a", "two"} {
			wantCode(t, c.Call(name, nil, nil), -32601)
		}
	})
}

func TestSkipAndEach(t *testing.T) {
	e := newEngine(t)
	register(t, e, &many{}, actor.Method("Plain", actor.Skip()), actor.Each(actor.Hidden()), actor.Method("Two", actor.Name("2")))
	if got := names(e); len(got) != 0 {
		t.Errorf("Methods: %v, want none: all are hidden", got)
	}
	ctx := t.Context()
	for method, want := range map[string]string{
		"plain": `{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":1}`,
		"two":   `{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":1}`,
		"2":     `{"jsonrpc":"2.0","result":"","id":1}`,
	} {
		got, err := e.HandleMessage(ctx, actor.WsSender{}, fmt.Appendf(nil, `{"jsonrpc":"2.0","method":%q,"params":[1],"id":1}`, method))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v", method, got, err)
		}
	}
}

// ---- what embedding brings

type base struct{}

func (base) Inherited() string { return "inherited" }
func (base) Hidden() string    { return "of the base" }

// lockable hides the method of the mutex that is in it.
type lockable struct{ sync.Mutex }

func (*lockable) Lock() string { return "own lock" }

type embedder struct {
	sync.Mutex
	base
	*slog.Logger
	io.Closer
	fmt.Stringer
}

func (*embedder) Hidden() string          { return "own" }
func (*embedder) Error(text string) error { return actor.Errorf(1, "%s", text) } // hides Logger's
func (*embedder) Own() string             { return "own" }

// ownLock hides a method of a mutex, one level down.
type ownLock struct{ lockable }

// Verify that what types of other packages bring along is no method of the
// wire, whatever they are embedded as, but what the package's own bring is, and
// so is a method that hides another.
func TestPromotedMethods(t *testing.T) {
	e := newEngine(t)
	register(t, e, &embedder{})
	if diff := cmp.Diff([]string{"error", "hidden", "inherited", "own"}, names(e)); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	got, err := e.HandleMessage(t.Context(), actor.WsSender{}, []byte(`{"jsonrpc":"2.0","method":"hidden","id":1}`))
	if want := `{"jsonrpc":"2.0","result":"own","id":1}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}

	e = newEngine(t)
	register(t, e, &ownLock{})
	if diff := cmp.Diff([]string{"lock"}, names(e)); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}

	// An option for a promoted method is a wish for it.
	e = newEngine(t)
	register(t, e, &embedder{}, actor.Method("TryLock", actor.Name("try")))
	if diff := cmp.Diff([]string{"error", "hidden", "inherited", "own", "try"}, names(e)); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

// ---- errors

type (
	twoSenders    struct{}
	twoContexts   struct{}
	twoHandshakes struct{}
	channel       struct{}
	function      struct{}
	complexNumber struct{}
	nonEmpty      struct{}
	pointerToChan struct{}
	fieldChan     struct{}
	twoResults    struct{}
	threeResults  struct{}
	errorFirst    struct{}
	channelResult struct{}
	concreteError struct{}
	sequence      struct{}
	clash         struct{}
	badDefault    struct{}
	twins         struct{}
	shy           struct{}
	onPointer     struct{}
	mixed         struct{}
)

func (twoSenders) M(a, b actor.WsSender)                   {}
func (twoContexts) M(a context.Context, b context.Context) {}
func (twoHandshakes) M(a, b *actor.Handshake)              {}
func (channel) M(chan int)                                 {}
func (function) M(int, func())                             {}
func (complexNumber) M(complex128)                         {}
func (nonEmpty) M(io.Reader)                               {}
func (pointerToChan) M(**chan int)                         {}
func (fieldChan) M(struct{ C chan int })                   {}
func (twoResults) M() (int, string)                        { return 0, "" }
func (threeResults) M() (int, string, error)               { return 0, "", nil }
func (errorFirst) M() (error, int)                         { return nil, 0 }
func (channelResult) M() (<-chan int, error)               { return nil, nil }
func (concreteError) M() *actor.Error                      { return nil }
func (sequence) M() func(func(int) bool)                   { return nil }
func (clash) JoinRoom()                                    {}
func (clash) Join_Room()                                   {}
func (badDefault) M(struct {
	N int `default:"many"`
}) {
}
func (twins) M(struct {
	X int
	B int `json:"X"`
}) {
}
func (shy) unexported()   {} //nolint:unused // that is the point
func (*onPointer) M()     {}
func (mixed) OnValue()    {}
func (*mixed) OnPointer() {}

func TestRegisterErrors(t *testing.T) {
	type svcOpts = []actor.ServiceOption
	tests := []struct {
		name string
		svc  any
		opts svcOpts
		want []string // parts of the text
	}{
		{"two senders", twoSenders{}, nil, []string{"actor_test.twoSenders.M", "two parameters of type actor.WsSender", "remove one"}},
		{"two contexts", twoContexts{}, nil, []string{"twoContexts.M", "two parameters of type context.Context", "remove one"}},
		{"two handshakes", twoHandshakes{}, nil, []string{"twoHandshakes.M", "two parameters of type *transport.Handshake"}},
		{"chan", channel{}, nil, []string{"channel.M", "parameter of type chan int", "Skip"}},
		{"func", function{}, nil, []string{"function.M", "parameter of type func()", "Skip"}},
		{"complex", complexNumber{}, nil, []string{"complexNumber.M", "complex128"}},
		{"interface", nonEmpty{}, nil, []string{"nonEmpty.M", "io.Reader", "concrete type or any"}},
		{"pointer to pointer to chan", pointerToChan{}, nil, []string{"pointerToChan.M", "**chan int"}},
		{"field", fieldChan{}, nil, []string{"fieldChan.M", "field C", "chan int"}},
		{"two results", twoResults{}, nil, []string{"twoResults.M", "must return nothing, a result, an error, or a result and an error"}},
		{"three results", threeResults{}, nil, []string{"threeResults.M", "must return"}},
		{"error first", errorFirst{}, nil, []string{"errorFirst.M", "must return"}},
		{"chan result", channelResult{}, nil, []string{"channelResult.M", "<-chan int"}},
		{"func result", sequence{}, nil, []string{"sequence.M", "result of type func"}},
		{"error of a concrete type", concreteError{}, nil, []string{"concreteError.M", "*codec.Error", "return error"}},
		{"same name", clash{}, nil, []string{"clash.J", `"join_room"`, "name is taken", "Name"}},
		{"bad default", badDefault{}, nil, []string{"badDefault.M", "field N", `"many"`}},
		{"two fields of a name", twins{}, nil, []string{"twins.M", "field B", `"X" is taken`}},
		{"no methods", shy{}, nil, []string{"no exported method"}},
		{"all skipped", naming{}, svcOpts{actor.Each(actor.Skip())}, []string{"no exported method"}},
		{"nil", nil, nil, []string{"service is nil"}},
		{"nil pointer", (*many)(nil), nil, []string{"service is nil", "*actor_test.many"}},
		{"methods on the pointer", onPointer{}, nil, []string{"methods on the pointer", "register &actor_test.onPointer{…}"}},
		{"some methods on the pointer", mixed{}, nil, []string{"methods on the pointer", "register &actor_test.mixed{…}"}},
		{"rpc. prefix", naming{}, svcOpts{actor.Prefix("rpc")}, []string{"naming.A", `"rpc.a"`, "reserved"}},
		{"rpc. name", naming{}, svcOpts{actor.Method("A", actor.Name("rpc.a"))}, []string{"naming.A", "reserved", "Name"}},
		{"empty name", naming{}, svcOpts{actor.Method("A", actor.Name(""))}, []string{"naming.A", "empty"}},
		{"empty name behind a prefix", naming{}, svcOpts{actor.Prefix("p"), actor.Method("A", actor.Name(""))}, []string{"naming.A", "empty"}},
		{"prefix with a dot", naming{}, svcOpts{actor.Prefix("a.")}, []string{`"a."`, "leave out the dot"}},
		{"unknown method", &many{}, svcOpts{actor.Method("Plane")}, []string{`"Plane"`, "*actor_test.many", `did you mean "Plain"?`}},
		{"unknown method by wire name", naming{}, svcOpts{actor.Method("join_room")}, []string{`did you mean "JoinRoom"?`}},
		{"unknown method unlike any", &many{}, svcOpts{actor.Method("Xyzzy")}, []string{`"Xyzzy"`, "no such exported method"}},
		{"too few Params", &many{}, svcOpts{actor.Method("Two", actor.Params("a"))}, []string{"many.Two", "names 1 parameters", "it has 2"}},
		{"too many Params", &many{}, svcOpts{actor.Method("Plain", actor.Params("a"))}, []string{"many.Plain", "names 1 parameters", "it has 0"}},
		{"injected in Params", &many{}, svcOpts{actor.Method("Named", actor.Params("from", "p"))}, []string{"many.Named", "it has 1 without the injected ones"}},
		{"same Params", &many{}, svcOpts{actor.Method("Two", actor.Params("a", "a"))}, []string{"many.Two", `"a" twice`}},
		{"empty Params", &many{}, svcOpts{actor.Method("Two", actor.Params("a", ""))}, []string{"many.Two", `""`}},
		{"Default of none", &many{}, svcOpts{actor.Method("Two", actor.Params("a", "b"), actor.Default("c", 1))}, []string{"many.Two", `Default of "c"`, "no such parameter"}},
		{"Default without Params", &many{}, svcOpts{actor.Method("Two", actor.Default("a", 1))}, []string{"many.Two", `Default of "a"`}},
		{"Default of another type", &many{}, svcOpts{actor.Method("Two", actor.Params("a", "b"), actor.Default("a", "x"))}, []string{"many.Two", `"a" must be of type int, not string`}},
		{"Default of nil", &many{}, svcOpts{actor.Method("Two", actor.Params("a", "b"), actor.Default("a", nil))}, []string{"many.Two", `"a" must be of type int`}},
		{"Default that would be cut", &many{}, svcOpts{actor.Method("Two", actor.Params("a", "b"), actor.Default("a", 1.5))}, []string{"many.Two", `"a" must be of type int, not float64`}},
		{"Default that would be a rune", textOnly{}, svcOpts{actor.Method("M", actor.Params("s"), actor.Default("s", 65))}, []string{"textOnly.M", `"s" must be of type string, not int`}},
		{"Default that overflows", small{}, svcOpts{actor.Method("M", actor.Params("n"), actor.Default("n", 300))}, []string{"small.M", `"n" must be of type int8`}},
		{"negative Default", unsigned{}, svcOpts{actor.Method("M", actor.Params("n"), actor.Default("n", -1))}, []string{"unsigned.M", `"n" must be of type uint, not int`}},
		{"Default for a struct", &many{}, svcOpts{actor.Method("Named", actor.Default("name", "x"))}, []string{"many.Named", "tag default"}},
		{"Concurrent(0)", &many{}, svcOpts{actor.Method("Plain", actor.Concurrent(0))}, []string{"many.Plain", "Concurrent(0)", "at least 1"}},
		{"Concurrent(-1)", &many{}, svcOpts{actor.Each(actor.Concurrent(-1))}, []string{"many.Plain", "many.Two", "Concurrent(-1)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for kind, host := range hosts {
				e := newEngine(t)
				err := host(e, tt.svc, tt.opts...)
				if err == nil {
					t.Fatalf("%s: no error", kind)
				}
				for _, part := range tt.want {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%s: %q does not contain %q", kind, err, part)
					}
				}
				if got := names(e); len(got) != 0 {
					t.Errorf("%s: %v has been registered", kind, got)
				}
			}
		})
	}
}

type textOnly struct{}

func (textOnly) M(string) {}

type unsigned struct{}

func (unsigned) M(uint) {}

type small struct{}

func (small) M(int8) {}

// Verify that a name that another service has is refused, with both named, and
// that the whole of the second service is.
func TestDuplicateNames(t *testing.T) {
	for kind, host := range hosts {
		t.Run(kind, func(t *testing.T) {
			e := newEngine(t)
			register(t, e, naming{}, actor.Method("ID", actor.Skip()))
			before := names(e)
			err := host(e, otherNaming{})
			if !errors.Is(err, actor.ErrDuplicateName) {
				t.Fatalf("got %v, want ErrDuplicateName", err)
			}
			for _, part := range []string{"otherNaming.JoinRoom", "actor_test.naming.JoinRoom", `"join_room"`, "Name or Prefix"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not contain %q", err, part)
				}
			}
			if diff := cmp.Diff(before, names(e)); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			if err := host(e, otherNaming{}, actor.Prefix("other")); err != nil {
				t.Errorf("under a prefix: %v", err)
			}
			err = actor.Handle(e, "join_room", func(context.Context, actor.WsSender, none) (none, error) { return none{}, nil })
			if !errors.Is(err, actor.ErrDuplicateName) {
				t.Errorf("Handle: %v, want ErrDuplicateName", err)
			}
		})
	}
}

type otherNaming struct{}

func (otherNaming) JoinRoom() {}
func (otherNaming) ID()       {}

func TestHandleErrors(t *testing.T) {
	ok := func(context.Context, actor.WsSender, int) (int, error) { return 0, nil }
	e := newEngine(t)
	for _, tt := range []struct {
		name string
		err  error
		want []string
	}{
		{"empty name", actor.Handle(e, "", ok), []string{`handle ""`, "empty"}},
		{"rpc.", actor.Handle(e, "rpc.x", ok), []string{`"rpc.x"`, "reserved"}},
		{"options", actor.Handle(e, "x", ok, actor.Concurrent(0)), []string{`handle "x"`, "Concurrent(0)"}},
		{"params", actor.Handle(e, "x", ok, actor.Params("a", "b")), []string{`handle "x"`, "Params names 2"}},
		{"nil", actor.Handle[int, int](e, "x", nil), []string{`handle "x"`, "nil"}},
		{"chan", actor.Handle(e, "x", func(context.Context, actor.WsSender, chan int) (int, error) { return 0, nil }), []string{"chan int"}},
		{"second sender", actor.Handle(e, "x", func(context.Context, actor.WsSender, actor.WsSender) (int, error) { return 0, nil }), []string{"two parameters of type actor.WsSender"}},
		{"Skip", actor.Handle(e, "x", ok, actor.Skip()), []string{`handle "x"`, "Skip"}},
	} {
		if tt.err == nil {
			t.Errorf("%s: no error", tt.name)
			continue
		}
		for _, part := range tt.want {
			if !strings.Contains(tt.err.Error(), part) {
				t.Errorf("%s: %q does not contain %q", tt.name, tt.err, part)
			}
		}
	}
	if got := names(e); len(got) != 0 {
		t.Errorf("%v has been registered", got)
	}
}

// ---- identity of types

// WsSender is a user's own type of that name.
type WsSender struct {
	Name string `json:"name"`
}

// Context is a user's own type of that name.
type Context struct {
	Name string `json:"name"`
}

// Handshake is a user's own type of that name.
type Handshake struct {
	Name string `json:"name"`
}

type namesakes struct{}

func (namesakes) Sender(ours actor.WsSender, theirs WsSender) string {
	return theirs.Name + ours.ID()[:0]
}
func (namesakes) Ctx(theirs Context) string      { return theirs.Name }
func (namesakes) Shake(theirs *Handshake) string { return theirs.Name }

// Verify that types are told apart by identity, not by name.
func TestNamesakesOfInjectedTypes(t *testing.T) {
	inBothCodecs(t, func(t *testing.T, codec ...actortest.Option) {
		e := newEngine(t)
		register(t, e, namesakes{})
		c := actortest.Connect(t, e, codec...)
		for _, method := range []string{"sender", "ctx", "shake"} {
			var got string
			if err := c.Call(method, named{"x"}, &got); err != nil || got != "x" {
				t.Errorf("%s: %q, %v", method, got, err)
			}
		}
	})
}

type wantsHandshake struct{}

func (wantsHandshake) Path(hs *actor.Handshake) string { return hs.Path }

// Verify that a method that wants the handshake is refused as long as there may
// be connections that have not kept theirs, and only then.
func TestLateHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		c := actortest.Connect(t, e)
		synctest.Wait() // until the server knows of it
		err := e.Register(wantsHandshake{})
		if err == nil || !strings.Contains(err.Error(), "wantsHandshake.Path") || !strings.Contains(err.Error(), "before serving") {
			t.Errorf("got %v", err)
		}
		wantCode(t, c.Call("path", nil, nil), -32601)
		register(t, e, naming{}) // anything else may come late
		if err := c.Call("a", nil, nil); err != nil {
			t.Error(err)
		}

		e = newEngine(t)
		register(t, e, wantsHandshake{}, actor.Prefix("early"))
		c = actortest.Connect(t, e, actortest.Path("/x"))
		register(t, e, wantsHandshake{}, actor.Prefix("late"))
		for _, method := range []string{"early.path", "late.path"} {
			var got string
			if err := c.Call(method, nil, &got); err != nil || got != "/x" {
				t.Errorf("%s: %q, %v", method, got, err)
			}
		}
	})
}

// Verify that a table of methods can grow while calls are made.
func TestRegisterWhileServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		handle(t, e, "m", func(context.Context, actor.WsSender, none) (none, error) { return none{}, nil })
		var wg sync.WaitGroup
		for range 4 {
			c := actortest.Connect(t, e)
			wg.Go(func() {
				for range 50 {
					c.Notify("m", nil)
				}
			})
		}
		for i := range 20 {
			register(t, e, naming{}, actor.Prefix(fmt.Sprint("p", i)))
		}
		wg.Wait()
		synctest.Wait()
		if got := e.Stats().Calls; got != 200 {
			t.Errorf("%d calls, want 200", got)
		}
	})
}

package actor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
)

// board is found by its name.
type board struct {
	name  string
	posts []string
}

type post struct {
	Text string `json:"text"`
	Pin  bool   `json:"pin,omitempty"`
}

func (b *board) Name() string { return b.name }
func (b *board) Post(ctx context.Context, from actor.WsSender, p post) (int, error) {
	if ctx.Value(ctxKey{}) != nil {
		return 0, errors.New("a stranger's context")
	}
	b.posts = append(b.posts, p.Text)
	return len(b.posts), from.Push("posted", []any{b.name, p.Text, p.Pin})
}
func (b *board) Where(hs *actor.Handshake, suffix string) string { return hs.Path + suffix }
func (b *board) Sum(nums ...int) (n int) {
	for _, k := range nums {
		n += k
	}
	return n
}
func (b *board) Boom()                                            { panic("board " + b.name) }
func (b *board) OnConnect(actor.WsSender, *actor.Handshake) error { return nil }

// boards finds boards.
type boards map[string]*board

func (bs boards) find(_ context.Context, name string) (*board, error) {
	switch name {
	case "secret":
		return nil, errors.New("hidden text")
	case "panic":
		panic("find")
	}
	if b := bs[name]; b != nil {
		return b, nil
	}
	return nil, actor.Errorf(404, "no board %q", name)
}

func TestMount(t *testing.T) {
	tests := []struct {
		method string
		params any
		want   any
		param  string // the one at fault
		code   int
	}{
		{method: "board.name", params: object{"id": "a"}, want: "a"},
		{method: "board.name", params: list{"b"}, want: "b"},
		{method: "board.name", params: list{"b", 1}, code: -32602},
		{method: "board.name", param: "id"},
		{method: "board.name", params: object{"id": nil}, param: "id"},
		{method: "board.name", params: list{7}, param: "id"},
		{method: "board.name", params: object{"id": "x"}, code: 404},
		{method: "board.post", params: object{"id": "a", "text": "hi", "pin": true}, want: 1},
		{method: "board.post", params: list{"a", "again"}, want: 2},
		{method: "board.post", params: object{"id": "a"}, param: "text"},
		{method: "board.post", params: object{"text": "x"}, param: "id"},
		{method: "board.where", params: object{"id": "a", "suffix": "!"}, want: "/ws!"},
		{method: "board.where", params: list{"a", "?"}, want: "/ws?"},
		{method: "board.where", params: list{"a"}, param: "suffix"},
		{method: "board.sum", params: list{"a", 1, 2, 3}, want: 6},
		{method: "board.sum", params: list{"a"}, want: 0},
		{method: "board.sum", params: list{}, param: "id"},
		{method: "board.name", params: list{"secret"}, code: -32603},
		{method: "board.name", params: list{"panic"}, code: -32603},
		{method: "board.boom", params: list{"a"}, code: -32603},
		{method: "board.on_connect", params: list{"a"}, code: -32601},
		{method: "name", params: list{"a"}, code: -32601},
	}
	inBothCodecs(t, func(t *testing.T, codec ...actortest.Option) {
		e := actortest.NewEngine(t, &actor.Options{OnEvent: func(actor.Event) {}})
		bs := boards{"a": {name: "a"}, "b": {name: "b"}}
		if err := actor.Mount(e, "board", "id", bs.find, actor.Method("Where", actor.Params("suffix")), actor.Each(actor.Strict())); err != nil {
			t.Fatal(err)
		}
		c := actortest.Connect(t, e, codec...)
		for _, tt := range tests {
			step(t, fmt.Sprint(tt.method, tt.params), func() {
				var got any
				err := c.Call(tt.method, tt.params, &got)
				switch {
				case tt.param != "":
					wantParameter(t, err, tt.param)
				case tt.code != 0:
					if e := wantCode(t, err, tt.code); strings.Contains(e.Message, "hidden") {
						t.Errorf("the error of find got out: %v", e)
					}
				case err != nil || fmt.Sprint(got) != fmt.Sprint(tt.want):
					t.Errorf("got %v, %v, want %v", got, err, tt.want)
				}
			})
		}
		var pushed list
		c.Expect("posted", &pushed)
		if diff := cmp.Diff(list{"a", "hi", true}, pushed); diff != "" {
			t.Errorf("push (-want +got):\n%s", diff)
		}
		c.Expect("posted", nil)
	})
}

// Verify that a mount is listed with its key, and that its methods can be
// reached by what the listing says.
func TestMountListing(t *testing.T) {
	e := newEngine(t)
	err := actor.Mount(e, "a.board", "id", boards{}.find,
		actor.Method("Where", actor.Params("suffix"), actor.Default("suffix", "/")), actor.Each(actor.Group("g")))
	if err != nil {
		t.Fatal(err)
	}
	id := actor.ParamInfo{Name: "id", Type: "string"}
	if diff := cmp.Diff([]actor.MethodInfo{
		{Name: "a.board.boom", Group: "g", Params: []actor.ParamInfo{id}},
		{Name: "a.board.name", Group: "g", Params: []actor.ParamInfo{id}, Result: "string"},
		{Name: "a.board.post", Group: "g", Params: []actor.ParamInfo{id, {Name: "text", Type: "string"}, {Name: "pin", Type: "bool", Optional: true}}, Result: "int"},
		{Name: "a.board.sum", Group: "g", Params: []actor.ParamInfo{id, {Type: "int", Optional: true}}, Result: "int", Variadic: true},
		{Name: "a.board.where", Group: "g", Params: []actor.ParamInfo{id, {Name: "suffix", Type: "string", Optional: true, Default: "/"}}, Result: "string"},
	}, e.Methods()); diff != "" {
		t.Errorf("Methods (-want +got):\n%s", diff)
	}
}

// Verify that keys may be of other types than string.
func TestMountKeys(t *testing.T) {
	inBothCodecs(t, func(t *testing.T, codec ...actortest.Option) {
		e := newEngine(t)
		type pair struct{ A, B int }
		if err := errors.Join(
			actor.Mount(e, "num", "n", func(_ context.Context, n int) (*board, error) { return &board{name: fmt.Sprint(n)}, nil }),
			actor.Mount(e, "pair", "p", func(_ context.Context, p pair) (*board, error) { return &board{name: fmt.Sprint(p)}, nil }),
			actor.Mount(e, "any", "v", func(_ context.Context, v any) (*board, error) { return &board{name: fmt.Sprint(v)}, nil }),
			actor.Mount(e, "nobody", "v", func(context.Context, int) (*board, error) { return nil, nil }),
		); err != nil {
			t.Fatal(err)
		}
		c := actortest.Connect(t, e, codec...)
		for _, tt := range []struct {
			method string
			params any
			want   string
		}{
			{"num.name", list{7}, "7"},
			{"num.name", object{"n": 7}, "7"},
			{"pair.name", list{object{"A": 1, "B": 2}}, "{1 2}"},
			{"pair.name", object{"p": object{"A": 1, "B": 2}}, "{1 2}"},
			{"any.name", list{"x"}, "x"},
		} {
			var got string
			if err := c.Call(tt.method, tt.params, &got); err != nil || got != tt.want {
				t.Errorf("%s %v: %q, %v, want %q", tt.method, tt.params, got, err, tt.want)
			}
		}
		wantCode(t, c.Call("nobody.name", list{1}, nil), -32603) // the method meets a nil pointer
	})
}

func TestMountErrors(t *testing.T) {
	find := boards{}.find
	e := newEngine(t)
	register(t, e, naming{}, actor.Prefix("taken"))
	before := names(e)
	for _, tt := range []struct {
		name string
		err  error
		want []string
	}{
		{"no prefix", actor.Mount(e, "", "id", find), []string{"a mount needs a prefix"}},
		{"no key", actor.Mount(e, "b", "", find), []string{"name of its key"}},
		{"rpc", actor.Mount(e, "rpc", "id", find), []string{`mount *actor_test.board as "rpc"`, "reserved"}},
		{"dot", actor.Mount(e, "b.", "id", find), []string{"leave out the dot"}},
		{"nil", actor.Mount[string, *board](e, "b", "id", nil), []string{`as "b"`, "nil"}},
		{"chan key", actor.Mount(e, "b", "id", func(context.Context, chan int) (*board, error) { return nil, nil }), []string{"chan int"}},
		{"no methods", actor.Mount(e, "b", "id", func(context.Context, int) (*shy, error) { return nil, nil }), []string{"no exported method"}},
		{"value", actor.Mount(e, "b", "id", func(context.Context, int) (onPointer, error) { return onPointer{}, nil }), []string{"no exported method"}},
		{"interface", actor.Mount(e, "b", "id", func(context.Context, int) (fmt.Stringer, error) { return nil, nil }), []string{"concrete type"}},
		{"key is a field", actor.Mount(e, "b", "text", find), []string{"board.Post", `"text" is taken`}},
		{"key is a parameter", actor.Mount(e, "b", "id", find, actor.Method("Where", actor.Params("id"))), []string{"board.Where", `"id" twice`}},
		{"unknown method", actor.Mount(e, "b", "id", find, actor.Method("Pots")), []string{`"Pots"`, `did you mean "Post"?`}},
		{"taken", actor.Mount(e, "taken", "id", func(context.Context, int) (otherNaming, error) { return otherNaming{}, nil }), []string{"name is taken", "otherNaming.JoinRoom"}},
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
	if diff := cmp.Diff(before, names(e)); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

// Verify that find gets the context of the call, which ends when the peer
// cancels it.
func TestMountFindIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		err := actor.Mount(e, "slow", "id", func(ctx context.Context, _ string) (*board, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		c := actortest.Connect(t, e)
		p := c.Begin("slow.name", list{"a"})
		synctest.Wait()
		p.Cancel()
		wantCode(t, p.Wait(nil), -32800)
	})
}

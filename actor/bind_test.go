package actor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
)

// form writes down what a method got, without addresses.
func form(args ...any) string {
	var b strings.Builder
	for i, a := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		switch a := a.(type) {
		case *int:
			if a == nil {
				b.WriteString("nil")
			} else {
				fmt.Fprintf(&b, "&%d", *a)
			}
		case *string:
			if a == nil {
				b.WriteString("nil")
			} else {
				fmt.Fprintf(&b, "&%s", *a)
			}
		default:
			fmt.Fprintf(&b, "%+v", a)
		}
	}
	return b.String()
}

// binding has methods of many shapes, which tell what they got.
type bindings struct{}

func (bindings) None() string                             { return "none" }
func (bindings) Int(n int) string                         { return form(n) }
func (bindings) Two(a int, b string) string               { return form(a, b) }
func (bindings) Opt(a int, b *string, c *int) string      { return form(a, b, c) }
func (bindings) Defaults(a int, b string, c []int) string { return form(a, b, c) }
func (bindings) Sum(first int, more ...int) string        { return form(first, more) }
func (bindings) All(more ...string) string                { return form(len(more), more) }
func (bindings) Time(t time.Time) string                  { return t.UTC().Format(time.RFC3339) }
func (bindings) Map(m map[string]int) string              { return form(m) }
func (bindings) Two2(m map[string]int, s []string) string { return form(m, s) }
func (bindings) Any(v any) string                         { return form(v) }
func (bindings) Bytes(b []byte) string                    { return form(string(b)) }
func (bindings) Small(a int8, b uint8) string             { return form(a, b) }
func (bindings) Uint(a uint64) string                     { return form(a) }
func (bindings) Float(a float32, b float64) string        { return form(a, b) }
func (bindings) Bool(a bool) string                       { return form(a) }
func (bindings) Slice(a []int) string                     { return form(a == nil, a) }
func (bindings) Array(a [2]int) string                    { return form(a) }
func (bindings) Nested(p named, q []named) string         { return form(p, q) }
func (bindings) Struct(p everyField) string               { return p.String() }
func (bindings) Pointer(p *everyField) string             { return p.String() }
func (bindings) Mixed(a int, from actor.WsSender, b string, ctx context.Context, c bool, hs *actor.Handshake) string {
	return form(a, b, c, from.ID() != "", ctx != nil, hs.Path)
}
func (bindings) Last(p named, from actor.WsSender) string { return form(p.Name, from.ID() != "") }
func (bindings) Tags(p tagged) string                     { return form(p) }
func (bindings) Nulls(p nulls) string {
	return form(p.S == nil, p.M == nil, p.P == nil, p.A == nil, p.N)
}
func (bindings) Embedded(p outer) string         { return form(p) }
func (bindings) Strict(p named) string           { return form(p) }
func (bindings) Strict2(a, b int) string         { return form(a, b) }
func (bindings) WithDefaults(p defaulted) string { return p.String() }
func (bindings) Sender(p withSender) string      { return form(p.To.IsZero(), p.To.ID()) }
func (bindings) Named2(p json.Number) string     { return form(p) }
func (bindings) Duration(d time.Duration) string { return form(d) }
func (bindings) Text(p textual) string           { return form(p.s) }

// textual decodes itself.
type textual struct{ s string }

func (t *textual) UnmarshalText(b []byte) error { t.s = "<" + string(b) + ">"; return nil }

type withSender struct {
	To actor.WsSender `json:"to,omitempty"`
}

type everyField struct {
	Plain    string
	Renamed  int     `json:"renamed"`
	Optional float64 `json:",omitempty"`
	Zero     bool    `json:"zero,omitzero"`
	Pointer  *string
	Left     string `json:"-"`
	hidden   int    //nolint:unused // it is not to be found
}

func (f everyField) String() string {
	return form(f.Plain, f.Renamed, f.Optional, f.Zero, f.Pointer, f.Left)
}

type tagged struct {
	A int `json:"a" default:"5"`
	B int `json:"-,"` // its name is "-"
}

type nulls struct {
	S []int          `json:"s"`
	M map[string]int `json:"m"`
	P *int           `json:"p"`
	A any            `json:"a"`
	N int            `json:"n,omitempty"`
}

type Inner struct {
	X int `json:"x"`
	Y int `json:"y,omitempty"`
}

type private struct {
	Z int `json:"z,omitempty"`
}

type outer struct {
	Inner
	private
	Kept Inner `json:"kept,omitzero"`
	W    int
}

type defaulted struct {
	Int     int            `default:"7"`
	Text    string         `default:"some, text"`
	Bool    bool           `default:"true"`
	Float   float64        `default:"1.5"`
	Slice   []int          `default:"[1,2]"`
	Map     map[string]int `default:"{\"a\":1}"`
	Pointer *int           `default:"3"`
	PText   *string        `default:"p"`
	Struct  Inner          `default:"{\"x\":4}"`
	Dur     time.Duration  `default:"1000"`
	Time    time.Time      `default:"\"2001-09-09T01:46:40Z\""`
	Empty   string         `default:""`
}

func (d defaulted) String() string {
	return form(d.Int, d.Text, d.Bool, d.Float, d.Slice, d.Map, d.Pointer, d.PText, d.Struct, d.Dur, d.Time.Unix(), d.Empty == "")
}

type (
	list   = []any
	object = map[string]any
)

// raws is what a test sends in JSON only.
func raws(s string) any { return json.RawMessage(s) }

func TestBinding(t *testing.T) {
	options := []actor.ServiceOption{
		actor.Method("Two", actor.Params("a", "b")),
		actor.Method("Opt", actor.Params("a", "b", "c")),
		actor.Method("Defaults", actor.Params("a", "b", "c"), actor.Default("a", 1), actor.Default("b", "two"), actor.Default("c", []int{3})),
		actor.Method("Sum", actor.Params("first", "more")),
		actor.Method("Mixed", actor.Params("a", "b", "c")),
		actor.Method("Slice", actor.Params("a")),
		actor.Method("Small", actor.Params("a", "b")),
		actor.Method("Strict", actor.Strict()),
		actor.Method("Strict2", actor.Strict(), actor.Params("a", "b")),
	}
	tests := []struct {
		method string
		params any
		want   string // what the method got, or
		param  string // the parameter that is at fault, or
		text   string // the beginning of the error's text
	}{
		// None.
		{method: "none", want: "none"},
		{method: "none", params: list{}, want: "none"},
		{method: "none", params: object{}, want: "none"},
		{method: "none", params: object{"x": 1}, want: "none"},
		{method: "none", params: list{1}, text: "too many parameters: at most 0"},

		// By position.
		{method: "int", params: list{5}, want: "5"},
		{method: "int", params: list{-5}, want: "-5"},
		{method: "int", params: list{}, param: "#1"},
		{method: "int", param: "#1"},
		{method: "int", params: list{nil}, param: "#1"},
		{method: "int", params: list{"5"}, param: "#1"},
		{method: "int", params: list{true}, param: "#1"},
		{method: "int", params: list{1.5}, param: "#1"},
		{method: "int", params: list{list{1}}, param: "#1"},
		{method: "int", params: list{1, 2}, text: "too many parameters: at most 1"},
		{method: "int", params: object{"n": 1}, text: "parameters are taken by position only"},
		{method: "int", params: object{}, param: "#1"},
		{method: "two", params: list{1, "x"}, want: "1 x"},
		{method: "two", params: list{1}, param: "b"},
		{method: "two", params: list{"x", 1}, param: "a"},
		{method: "two", params: list{1, 2}, param: "b"},
		{method: "two", params: list{1, "x", nil}, text: "too many parameters: at most 2"},

		// By name.
		{method: "two", params: object{"a": 1, "b": "x"}, want: "1 x"},
		{method: "two", params: object{"b": "x", "a": 1, "c": 3}, want: "1 x"},
		{method: "two", params: object{"a": 1}, param: "b"},
		{method: "two", params: object{"a": 1, "B": "x"}, param: "b"},
		{method: "two", params: object{"a": "1", "b": "x"}, param: "a"},
		{method: "strict2", params: object{"a": 1, "b": 2}, want: "1 2"},
		{method: "strict2", params: object{"a": 1, "b": 2, "c": 3}, param: "c"},
		{method: "strict2", params: list{1, 2}, want: "1 2"},

		// Optional.
		{method: "opt", params: list{1}, want: "1 nil nil"},
		{method: "opt", params: list{1, nil, 3}, want: "1 nil &3"},
		{method: "opt", params: object{"a": 1, "c": 3}, want: "1 nil &3"},
		{method: "opt", params: object{"a": 1, "b": nil, "c": nil}, want: "1 nil nil"},
		{method: "opt", params: object{"a": 1, "c": "3"}, param: "c"},
		{method: "defaults", want: "1 two [3]"},
		{method: "defaults", params: list{nil, nil, nil}, want: "1 two [3]"},
		{method: "defaults", params: list{0, "", list{}}, want: "0  []"},
		{method: "defaults", params: object{"b": "x"}, want: "1 x [3]"},
		{method: "defaults", params: object{"a": "x"}, param: "a"},
		{method: "with_defaults", want: "7 some, text true 1.5 [1 2] map[a:1] &3 &p {X:4 Y:0} 1µs 1000000000 true"},
		{method: "with_defaults", params: object{"Int": nil, "Slice": nil, "Pointer": nil}, want: "7 some, text true 1.5 [1 2] map[a:1] &3 &p {X:4 Y:0} 1µs 1000000000 true"},
		{
			method: "with_defaults", params: object{"Int": 0, "Text": "", "Bool": false, "Slice": list{}, "Pointer": 0, "Struct": object{"y": 1}},
			want: "0  false 1.5 [] map[a:1] &0 &p {X:0 Y:1} 1µs 1000000000 true",
		},

		// Variadic.
		{method: "sum", params: list{1}, want: "1 []"},
		{method: "sum", params: list{1, 2, 3}, want: "1 [2 3]"},
		{method: "sum", params: list{1, 2, "x"}, param: "more"},
		{method: "sum", params: list{}, param: "first"},
		{method: "sum", params: object{"first": 1}, want: "1 []"},
		{method: "sum", params: object{"first": 1, "more": list{2, 3}}, want: "1 [2 3]"},
		{method: "sum", params: object{"first": 1, "more": nil}, want: "1 []"},
		{method: "sum", params: object{"first": 1, "more": 2}, param: "more"},
		{method: "sum", params: object{"more": list{2}}, param: "first"},
		{method: "all", want: "0 []"},
		{method: "all", params: list{}, want: "0 []"},
		{method: "all", params: list{"a", "b"}, want: "2 [a b]"},
		{method: "all", params: list{"a", 2}, param: "#2"},

		// Structs.
		{method: "struct", params: object{"Plain": "p", "renamed": 2}, want: "p 2 0 false nil "},
		{method: "struct", params: list{"p", 2, 1.5, true, "x"}, want: "p 2 1.5 true &x "},
		{method: "struct", params: list{"p", 2}, want: "p 2 0 false nil "},
		{method: "struct", params: list{"p", 2, nil, nil, nil}, want: "p 2 0 false nil "},
		{method: "struct", params: object{"plain": "p", "RENAMED": 2}, want: "p 2 0 false nil "},
		{method: "struct", params: object{"Plain": "p", "Renamed": 2}, want: "p 2 0 false nil "},
		{method: "struct", params: object{"Plain": "p", "renamed": 2, "Left": "x", "-": "x", "hidden": 1}, want: "p 2 0 false nil "},
		{method: "struct", params: object{"Plain": "p"}, param: "renamed"},
		{method: "struct", params: object{"renamed": 1}, param: "Plain"},
		{method: "struct", params: object{"Plain": "p", "renamed": "2"}, param: "renamed"},
		{method: "struct", params: object{"Plain": nil, "renamed": 2}, param: "Plain"},
		{method: "struct", params: list{"p"}, param: "renamed"},
		{method: "struct", params: list{"p", 1, 1.5, true, "x", "y"}, text: "too many parameters: at most 5"},
		{method: "struct", param: "Plain"},
		{method: "pointer", params: object{"Plain": "p", "renamed": 2, "zero": true}, want: "p 2 0 true nil "},
		{method: "pointer", params: list{"p", 2}, want: "p 2 0 false nil "},
		{method: "pointer", param: "Plain"},
		{method: "tags", params: object{"a": 1, "-": 2}, want: "{A:1 B:2}"},
		{method: "tags", params: object{"-": 2}, want: "{A:5 B:2}"},
		{method: "tags", params: object{"a": 1}, param: "-"},
		{method: "strict", params: object{"name": "n"}, want: "{Name:n}"},
		{method: "strict", params: object{"NAME": "n"}, want: "{Name:n}"},
		{method: "strict", params: object{"name": "n", "nam": 1}, param: "nam"},
		{method: "strict", params: object{"name": "n", "nam": nil}, param: "nam"},
		{method: "embedded", params: object{"x": 1, "W": 2}, want: "{Inner:{X:1 Y:0} private:{Z:0} Kept:{X:0 Y:0} W:2}"},
		{method: "embedded", params: object{"x": 1, "y": 3, "z": 4, "kept": object{"x": 9}, "W": 2}, want: "{Inner:{X:1 Y:3} private:{Z:4} Kept:{X:9 Y:0} W:2}"},
		{method: "embedded", params: list{1, 2, 3, object{"x": 4}, 5}, want: "{Inner:{X:1 Y:2} private:{Z:3} Kept:{X:4 Y:0} W:5}"},
		{method: "embedded", params: object{"W": 2}, param: "x"},
		{method: "nested", params: list{object{"name": "a"}, list{object{"name": "b"}}}, want: "{Name:a} [{Name:b}]"},
		{method: "nested", params: list{object{"name": 1}, list{}}, param: "#1"},

		// Null.
		{method: "nulls", params: object{"s": nil, "m": nil, "p": nil, "a": nil, "n": nil}, want: "true true true true 0"},
		{method: "nulls", params: object{"s": list{}, "m": object{}, "p": 1, "a": "x", "n": 2}, want: "false false false false 2"},
		{method: "nulls", params: object{"m": nil, "a": nil}, param: "s"},
		{method: "slice", params: list{nil}, want: "true []"},
		{method: "slice", params: list{list{}}, want: "false []"},
		{method: "slice", params: list{list{1, 2}}, want: "false [1 2]"},
		{method: "slice", params: list{list{1, "x"}}, param: "a"},
		{method: "slice", params: object{"a": list{1}}, want: "false [1]"},

		// Other types.
		{method: "bool", params: list{true}, want: "true"},
		{method: "bool", params: list{1}, param: "#1"},
		{method: "float", params: list{1.5, 2}, want: "1.5 2"},
		{method: "uint", params: list{uint64(1<<64 - 1)}, want: "18446744073709551615"},
		{method: "uint", params: list{-1}, param: "#1"},
		{method: "small", params: list{127, 255}, want: "127 255"},
		{method: "small", params: list{128, 0}, param: "a"},
		{method: "small", params: list{-129, 0}, param: "a"},
		{method: "small", params: list{0, 256}, param: "b"},
		{method: "small", params: list{0, -1}, param: "b"},
		{method: "array", params: list{list{1, 2}}, want: "[1 2]"},
		{method: "bytes", params: list{[]byte("hi")}, want: "hi"},
		{method: "bytes", params: list{5}, param: "#1"},
		{method: "time", params: list{time.Unix(1e9, 0).UTC()}, want: "2001-09-09T01:46:40Z"},
		{method: "time", params: list{"yesterday"}, param: "#1"},
		{method: "time", param: "#1"},
		{method: "duration", params: list{1000}, want: "1µs"},
		{method: "map", params: object{"a": 1}, want: "map[a:1]"},
		{method: "map", params: object{}, want: "map[]"},
		{method: "map", want: "map[]"},
		{method: "map", params: object{"a": "x"}, text: "invalid params: "},
		{method: "map", params: list{1}, text: "invalid params: "},
		{method: "two2", params: list{object{"a": 1}, list{"x"}}, want: "map[a:1] [x]"},
		{method: "any", params: object{"a": "b"}, want: "map[a:b]"},
		{method: "any", params: list{"b", true}, want: "[b true]"},
		{method: "any", want: "<nil>"},

		// Injected.
		{method: "mixed", params: list{1, "x", true}, want: "1 x true true true /ws"},
		{method: "mixed", params: object{"c": true, "b": "x", "a": 1}, want: "1 x true true true /ws"},
		{method: "last", params: named{"n"}, want: "n true"},
		{method: "last", params: list{"n"}, want: "n true"},

		// A sender is a value, too, inside a struct.
		{method: "sender", params: object{}, want: "true "},
		{method: "sender", params: object{"to": ""}, want: "true "},
		{method: "sender", params: object{"to": "local/ws/abc"}, want: "false abc"},
		{method: "sender", params: object{"to": "abc"}, param: "to"},
	}
	inBothCodecs(t, func(t *testing.T, codec ...actortest.Option) {
		for kind, host := range hosts {
			e := newEngine(t)
			if err := host(e, bindings{}, options...); err != nil {
				t.Fatal(err)
			}
			c := actortest.Connect(t, e, codec...)
			for _, tt := range tests {
				if tt.want == "" && tt.param == "" && tt.text == "" {
					continue
				}
				step(t, fmt.Sprintf("%s: %s %v", kind, tt.method, tt.params), func() {
					var got string
					err := c.Call(tt.method, tt.params, &got)
					switch {
					case tt.param != "":
						wantParameter(t, err, tt.param)
					case tt.text != "":
						e := wantCode(t, err, -32602)
						if !strings.HasPrefix(e.Message, tt.text) || e.Data != nil {
							t.Errorf("error %+v, want text %q and no data", e, tt.text)
						}
					case err != nil || got != tt.want:
						t.Errorf("the method got %q, %v, want %q", got, err, tt.want)
					}
				})
			}
		}
	})
}

// Verify what can be said in JSON text only.
func TestBindingJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		register(t, e, bindings{}, actor.Method("Two", actor.Params("a", "b")))
		c := actortest.Connect(t, e)
		for _, tt := range []struct{ method, params, want, param string }{
			{"two", `{"a":1,"b":"x","a":2}`, "2 x", ""},     // the last one counts
			{"two", `{"a":"1","b":"x"}`, "", "a"},           //
			{"two", `{"a":1,"b":"x","b":null}`, "", "b"},    // null is none
			{"two", `{"\u0061":1,"b":"\u0078"}`, "1 x", ""}, // names may be escaped
			{"nulls", `{"s":[1],"m":{},"a":1,"n":5,"n":null}`, "false false true false 0", ""},
			{"nulls", `{"s":[1],"m":{},"a":1,"p":5,"p":null}`, "false false true false 0", ""},
			{"int", `[9223372036854775808]`, "", "#1"},
			{"int", `[1e2]`, "", "#1"},
			{"int", `[ 12 ]`, "12", ""},
			{"named2", `[12345678901234567890.5]`, "12345678901234567890.5", ""},
			{"bytes", `["aGk="]`, "hi", ""},
			{"bytes", `["%"]`, "", "#1"},
			{"text", `["x"]`, "<x>", ""},
			{"map", `{"a":1,"a":2}`, "map[a:2]", ""},
		} {
			step(t, tt.method+tt.params, func() {
				var got string
				err := c.Call(tt.method, raws(tt.params), &got)
				if tt.param != "" {
					wantParameter(t, err, tt.param)
				} else if err != nil || got != tt.want {
					t.Errorf("the method got %q, %v, want %q", got, err, tt.want)
				}
			})
		}
	})
}

// Verify that a json.RawMessage takes params as they came, and a parameter as
// it came.
func TestBindingRaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		handle(t, e, "whole", func(_ context.Context, _ actor.WsSender, p json.RawMessage) (string, error) {
			return string(p), nil
		})
		handle(t, e, "part", func(_ context.Context, _ actor.WsSender, p struct{ V json.RawMessage }) (string, error) {
			return string(p.V), nil
		})
		c := actortest.Connect(t, e)
		for _, tt := range []struct {
			method string
			params any
			want   string
		}{
			{"whole", raws(`{"a": [1, 2.50]}`), `{"a":[1,2.50]}`},
			{"whole", raws(`[1]`), `[1]`},
			{"whole", nil, ``},
			{"part", raws(`{"V":{"x":1.0}}`), `{"x":1.0}`},
			{"part", raws(`[null]`), `null`},
		} {
			var got string
			if err := c.Call(tt.method, tt.params, &got); err != nil || got != tt.want {
				t.Errorf("%s %s: got %q, %v, want %q", tt.method, tt.params, got, err, tt.want)
			}
		}
	})
}

// Verify what Handle makes of P and R.
func TestHandle(t *testing.T) {
	inBothCodecs(t, func(t *testing.T, codec ...actortest.Option) {
		e := newEngine(t)
		handle(t, e, "none", func(context.Context, actor.WsSender, none) (none, error) { return none{}, nil })
		handle(t, e, "scalar", func(_ context.Context, _ actor.WsSender, n int) (int, error) { return n + 1, nil })
		handle(t, e, "by name", func(_ context.Context, _ actor.WsSender, n int) (int, error) { return n + 1, nil },
			actor.Params("n"), actor.Default("n", 41))
		handle(t, e, "struct", func(_ context.Context, _ actor.WsSender, p named) (named, error) { return p, nil })
		handle(t, e, "pointer", func(_ context.Context, _ actor.WsSender, p *named) (*named, error) { return p, nil })
		handle(t, e, "slice", func(_ context.Context, _ actor.WsSender, p []int) (int, error) { return len(p), nil })
		handle(t, e, "map", func(_ context.Context, _ actor.WsSender, p map[string]int) (int, error) { return len(p), nil })
		handle(t, e, "handshake", func(_ context.Context, _ actor.WsSender, hs *actor.Handshake) (string, error) { return hs.Path, nil })
		c := actortest.Connect(t, e, codec...)
		call := func(method string, params any) any {
			t.Helper()
			var got any = "nothing"
			if err := c.Call(method, params, &got); err != nil {
				t.Fatalf("%s: %v", method, err)
			}
			return got
		}
		tests := []struct {
			method string
			params any
			want   any
		}{
			{"none", nil, nil},
			{"none", object{"x": 1}, nil},
			{"scalar", list{1}, 2},
			{"by name", object{"n": 1}, 2},
			{"by name", nil, 42},
			{"struct", object{"name": "x"}, object{"name": "x"}},
			{"struct", list{"x"}, object{"name": "x"}},
			{"pointer", object{"name": "x"}, object{"name": "x"}},
			{"slice", list{list{1, 2}}, 2},
			{"map", object{"a": 1}, 1},
			{"handshake", nil, "/ws"},
		}
		for _, tt := range tests {
			if got := call(tt.method, tt.params); fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("%s %v: got %v, want %v", tt.method, tt.params, got, tt.want)
			}
		}
		wantParameter(t, c.Call("scalar", nil, nil), "#1")
		wantParameter(t, c.Call("struct", nil, nil), "name")
	})
}

// sharing changes what it gets.
type sharing struct{}

type shared struct {
	Slice  []int          `json:"slice" default:"[1,2]"`
	Map    map[string]int `json:"map" default:"{\"a\":1}"`
	Ptr    *int           `json:"ptr" default:"3"`
	Struct struct {
		Deep []int `json:"deep"`
	} `json:"struct" default:"{\"deep\":[4]}"`
	Array [1][]int `json:"array" default:"[[5]]"`
}

func (sharing) Tags(p shared) string {
	out := form(p.Slice, p.Map, p.Ptr, p.Struct.Deep, p.Array)
	p.Slice[0], p.Map["a"], *p.Ptr, p.Struct.Deep[0], p.Array[0][0] = 9, 9, 9, 9, 9
	return out
}

func (sharing) Options(s []int, m map[string][]int, p *int) string {
	out := form(s, m, p)
	s[0], m["a"][0], *p = 9, 9, 9
	m["b"] = nil
	return out
}

// Verify that no call sees what another did to a default, nor Methods, nor the
// value that was given for it.
func TestDefaultsAreNotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		s, m, n := []int{1, 2}, map[string][]int{"a": {1}}, 3
		register(t, e, sharing{}, actor.Method("Options", actor.Params("s", "m", "p"),
			actor.Default("s", s), actor.Default("m", m), actor.Default("p", &n)))
		before := fmt.Sprintf("%+v", e.Methods()[0].Params[:2])
		c := actortest.Connect(t, e)
		for method, want := range map[string]string{
			"tags":    "[1 2] map[a:1] &3 [4] [[5]]",
			"options": "[1 2] map[a:[1]] &3",
		} {
			for range 3 {
				var got string
				if err := c.Call(method, nil, &got); err != nil || got != want {
					t.Errorf("%s: %q, %v, want %q", method, got, err, want)
				}
			}
		}
		if got := fmt.Sprintf("%+v", e.Methods()[0].Params[:2]); got != before {
			t.Errorf("Methods: %s, before %s", got, before)
		}
		if s[0] != 1 || m["a"][0] != 1 || len(m) != 1 || n != 3 {
			t.Errorf("the values given for defaults are now %v %v %v", s, m, n)
		}
	})
}

// Verify that parameters share no memory with the message they came in, which
// is used again.
func TestParametersAreKept(t *testing.T) {
	inBothCodecs(t, func(t *testing.T, codec ...actortest.Option) {
		e := newEngine(t)
		var kept []string
		var bytes [][]byte
		handle(t, e, "keep", func(_ context.Context, _ actor.WsSender, p struct {
			S string
			B []byte
		}) (none, error) {
			kept, bytes = append(kept, p.S), append(bytes, p.B)
			return none{}, nil
		})
		c := actortest.Connect(t, e, codec...)
		for i := range 20 {
			text := strings.Repeat(string(rune('a'+i)), 30)
			if err := c.Call("keep", list{text, []byte(text)}, nil); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 20 {
			want := strings.Repeat(string(rune('a'+i)), 30)
			if kept[i] != want || string(bytes[i]) != want {
				t.Errorf("%d: kept %q and %q, want %q", i, kept[i], bytes[i], want)
			}
		}
	})
}

// embedsPointer embeds a pointer to a struct.
type embedsPointer struct {
	*Inner
	N int `json:"n"`
}

func (bindings2) M(p embedsPointer) string {
	if p.Inner == nil {
		return form("nil", p.N)
	}
	return form(*p.Inner, p.N)
}

type bindings2 struct{}

// Verify that an embedded pointer to a struct brings its fields along, as with
// encoding/json, and stays nil if none of them is given.
func TestBindingEmbeddedPointer(t *testing.T) {
	inBothCodecs(t, func(t *testing.T, codec ...actortest.Option) {
		e := newEngine(t)
		register(t, e, bindings2{})
		c := actortest.Connect(t, e, codec...)
		for _, tt := range []struct {
			params any
			want   string
		}{
			{object{"x": 1, "n": 2}, "{X:1 Y:0} 2"},
			{list{1, 2, 3}, "{X:1 Y:2} 3"},
		} {
			var got string
			if err := c.Call("m", tt.params, &got); err != nil || got != tt.want {
				t.Errorf("%v: got %q, %v, want %q", tt.params, got, err, tt.want)
			}
		}
		wantParameter(t, c.Call("m", object{"n": 2}, nil), "x")
		if diff := cmp.Diff([]actor.ParamInfo{
			{Name: "x", Type: "int"}, {Name: "y", Type: "int", Optional: true}, {Name: "n", Type: "int"},
		}, e.Methods()[0].Params); diff != "" {
			t.Errorf("parameters (-want +got):\n%s", diff)
		}
	})
}

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log"
	"math"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
	"github.com/wireroom/wireroom/codec"
	"github.com/wireroom/wireroom/examples/internal/program"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // what notifications log
	goleak.VerifyTestMain(m)
}

// spec holds the examples of the JSON-RPC 2.0 specification, section 7, in its
// order and with its text. An empty answer stands for none.
var spec = []struct{ name, request, answer string }{
	{
		"positional parameters",
		`{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}`,
		`{"jsonrpc": "2.0", "result": 19, "id": 1}`,
	},
	{
		"positional parameters, the other way round",
		`{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}`,
		`{"jsonrpc": "2.0", "result": -19, "id": 2}`,
	},
	{
		"named parameters",
		`{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}`,
		`{"jsonrpc": "2.0", "result": 19, "id": 3}`,
	},
	{
		"named parameters, the other way round",
		`{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}`,
		`{"jsonrpc": "2.0", "result": 19, "id": 4}`,
	},
	{
		"notification",
		`{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}`,
		``,
	},
	{
		"notification of a non-existent method",
		`{"jsonrpc": "2.0", "method": "foobar"}`,
		``,
	},
	{
		"call of a non-existent method",
		`{"jsonrpc": "2.0", "method": "foobar", "id": "1"}`,
		`{"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "1"}`,
	},
	{
		"invalid JSON",
		`{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`,
		`{"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}`,
	},
	{
		"invalid request object",
		`{"jsonrpc": "2.0", "method": 1, "params": "bar"}`,
		`{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}`,
	},
	{
		"batch, invalid JSON",
		`[
			{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
			{"jsonrpc": "2.0", "method"
		]`,
		`{"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}`,
	},
	{
		"empty batch",
		`[]`,
		`{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}`,
	},
	{
		"invalid batch, not empty",
		`[1]`,
		`[
			{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}
		]`,
	},
	{
		"invalid batch",
		`[1,2,3]`,
		`[
			{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
			{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
			{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}
		]`,
	},
	{
		"batch",
		`[
			{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
			{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
			{"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
			{"foo": "boo"},
			{"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
			{"jsonrpc": "2.0", "method": "get_data", "id": "9"}
		]`,
		`[
			{"jsonrpc": "2.0", "result": 7, "id": "1"},
			{"jsonrpc": "2.0", "result": 19, "id": "2"},
			{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null},
			{"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "5"},
			{"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"}
		]`,
	},
	{
		"batch, all notifications",
		`[
			{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
			{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
		]`,
		``,
	},
}

// TestSpecJSON compares answers byte for byte, without the blanks of the
// specification's text.
func TestSpecJSON(t *testing.T) {
	e := newEngine(t)
	for _, ex := range spec {
		t.Run(ex.name, func(t *testing.T) {
			got, err := e.HandleMessage(t.Context(), actor.WsSender{}, []byte(ex.request))
			if err != nil {
				t.Fatal(err)
			}
			var want bytes.Buffer
			if ex.answer != "" {
				if err := json.Compact(&want, []byte(ex.answer)); err != nil {
					t.Fatal(err)
				}
			}
			if string(got) != want.String() {
				t.Errorf("got  %s\nwant %s", got, &want)
			}
		})
	}
}

// TestSpecMsgpack makes the same calls in MessagePack. Answers are compared by
// value.
func TestSpecMsgpack(t *testing.T) {
	e := newEngine(t)
	// HandleMessage speaks the codec of the connection whose sender it is given.
	g := &greeter{make(chan actor.WsSender, 1)}
	if err := e.Register(g); err != nil {
		t.Fatal(err)
	}
	actortest.Connect(t, e, actortest.Msgpack())
	from := <-g.senders

	msgpack := codec.Msgpack(nil)
	for _, ex := range spec {
		t.Run(ex.name, func(t *testing.T) {
			request := toMsgpack(t, ex.request)
			answer, err := e.HandleMessage(t.Context(), from, request)
			if err != nil {
				t.Fatal(err)
			}
			if ex.answer == "" || answer == nil {
				if ex.answer != "" || answer != nil {
					t.Errorf("got %x, want %s", answer, ex.answer)
				}
				return
			}
			var got, want any
			if err := msgpack.Decode(answer, &got); err != nil {
				t.Fatal(err)
			}
			// Through JSON, so that numbers are of one type.
			text, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(ex.answer), &want); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

type greeter struct{ senders chan actor.WsSender }

func (g *greeter) OnConnect(from actor.WsSender, _ *actor.Handshake) error {
	g.senders <- from
	return nil
}

// toMsgpack converts a request. Of one that is no JSON it makes one that is no
// MessagePack either: an array of two, with a byte in it that no value has.
func toMsgpack(t *testing.T, request string) []byte {
	if !json.Valid([]byte(request)) {
		return []byte{0x92, 0x01, 0xc1}
	}
	d := json.NewDecoder(strings.NewReader(request))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	raw, err := codec.Msgpack(nil).AppendValue(nil, integers(v))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// integers makes numbers what they are in MessagePack.
func integers(v any) any {
	switch v := v.(type) {
	case json.Number:
		n, _ := v.Int64() // the specification has no others
		return n
	case []any:
		for i := range v {
			v[i] = integers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = integers(v[k])
		}
	}
	return v
}

// Verify what the specification has no example of.
func TestErrors(t *testing.T) {
	c := actortest.Connect(t, newEngine(t))
	for _, tt := range []struct {
		method string
		params any
		code   int
	}{
		{"subtract", []any{42}, codec.CodeInvalidParams},
		{"subtract", []any{1, 2, 3}, codec.CodeInvalidParams},
		{"subtract", []any{"forty-two", 23}, codec.CodeInvalidParams},
		{"subtract", map[string]any{"minuend": 42}, codec.CodeInvalidParams},
		{"sum", map[string]any{"numbers": []int{1}}, codec.CodeInvalidParams},
		{"sum", []any{math.MaxFloat64, math.MaxFloat64}, codeOverflow},
		{"subtract", []any{-math.MaxFloat64, math.MaxFloat64}, codeOverflow},
		{"finite", []any{1}, codec.CodeMethodNotFound},
	} {
		var rpc *actor.Error
		if err := c.Call(tt.method, tt.params, nil); !errors.As(err, &rpc) || rpc.Code != tt.code {
			t.Errorf("%s %v: %v, want code %d", tt.method, tt.params, err, tt.code)
		}
	}
	var sum float64
	if err := c.Call("sum", nil, &sum); err != nil || sum != 0 {
		t.Errorf("the sum of nothing is %v, %v", sum, err)
	}
	result := any("unset")
	if err := c.Call("update", []int{1}, &result); err != nil || result != nil {
		t.Errorf("update, called as a request, answers %v, %v, want null", result, err)
	}
}

// Verify that the program itself starts, stops and fails as it should.
func TestProgram(t *testing.T) { program.Test(t) }

func newEngine(t *testing.T) *actor.Engine {
	e := actortest.NewEngine(t, nil)
	if err := register(e); err != nil {
		t.Fatal(err)
	}
	return e
}

package actor_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
	"github.com/wireroom/wireroom/codec"
)

// specService has the methods of the examples in section 7 of the JSON-RPC 2.0
// specification.
type specService struct{}

func (specService) Subtract(minuend, subtrahend int) int { return minuend - subtrahend }
func (specService) Update(...int)                        {}
func (specService) NotifyHello(int)                      {}
func (specService) NotifySum(...int)                     {}
func (specService) GetData() []any                       { return []any{"hello", 5} }
func (specService) Sum(nums ...int) (n int) {
	for _, k := range nums {
		n += k
	}
	return n
}

func newSpecEngine(t *testing.T) *actor.Engine {
	t.Helper()
	e := newEngine(t)
	register(t, e, specService{}, actor.Method("Subtract", actor.Params("minuend", "subtrahend")))
	return e
}

// specExamples are the examples of section 7, in its order, as it prints them,
// but for the spaces in what is wanted.
var specExamples = []struct {
	name, send string
	want       string // empty for none
}{
	{
		"positional parameters",
		`{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}`,
		`{"jsonrpc":"2.0","result":19,"id":1}`,
	},
	{
		"positional parameters, the other way round",
		`{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}`,
		`{"jsonrpc":"2.0","result":-19,"id":2}`,
	},
	{
		"named parameters",
		`{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}`,
		`{"jsonrpc":"2.0","result":19,"id":3}`,
	},
	{
		"named parameters, in another order",
		`{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}`,
		`{"jsonrpc":"2.0","result":19,"id":4}`,
	},
	{"a notification", `{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}`, ``},
	{"a notification of an unknown method", `{"jsonrpc": "2.0", "method": "foobar"}`, ``},
	{
		"call of non-existent method",
		`{"jsonrpc": "2.0", "method": "foobar", "id": "1"}`,
		`{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":"1"}`,
	},
	{
		"call with invalid JSON",
		`{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`,
		`{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"},"id":null}`,
	},
	{
		"call with invalid request object",
		`{"jsonrpc": "2.0", "method": 1, "params": "bar"}`,
		`{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":null}`,
	},
	{
		"call of a batch, invalid JSON",
		`[
  {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
  {"jsonrpc": "2.0", "method"
]`,
		`{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"},"id":null}`,
	},
	{
		"call with an empty array",
		`[]`,
		`{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":null}`,
	},
	{
		"call with an invalid batch, but not empty",
		`[1]`,
		`[{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":null}]`,
	},
	{
		"call with invalid batch",
		`[1,2,3]`,
		`[{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":null},` +
			`{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":null},` +
			`{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":null}]`,
	},
	{
		"call of a batch",
		`[
        {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
        {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "get_data", "id": "9"}
]`,
		`[{"jsonrpc":"2.0","result":7,"id":"1"},{"jsonrpc":"2.0","result":19,"id":"2"},` +
			`{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":null},` +
			`{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":"5"},` +
			`{"jsonrpc":"2.0","result":["hello",5],"id":"9"}]`,
	},
	{
		"call of a batch, all notifications",
		`[
        {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
]`,
		``,
	},
}

// Verify the examples of the specification byte for byte, over a connection.
func TestSpec(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connectRaw(t, newSpecEngine(t))
		for _, tt := range specExamples {
			step(t, tt.name, func() {
				c.text(tt.send)
				if tt.want == "" {
					c.want()
				} else {
					c.want(tt.want)
				}
			})
		}
	})
}

// Verify that one client finds its replies among the answers to all of them.
func TestSpecWithClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := actortest.Connect(t, newSpecEngine(t))
		for _, tt := range specExamples {
			c.Send(tt.send)
		}
		for _, tt := range specExamples {
			if strings.HasPrefix(tt.want, "[") {
				c.ExpectText(tt.want) // batches are none of the client's
			}
		}
		c.ExpectNothing(time.Minute)
	})
}

// asMsgpack translates a JSON text.
func asMsgpack(t *testing.T, text string) string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return "\xc1" // no MessagePack either
	}
	var whole func(any) any
	whole = func(v any) any {
		switch v := v.(type) {
		case json.Number:
			n, _ := v.Int64()
			return n
		case []any:
			for i := range v {
				v[i] = whole(v[i])
			}
		case map[string]any:
			for k := range v {
				v[k] = whole(v[k])
			}
		}
		return v
	}
	out, err := codec.Msgpack(nil).AppendValue(nil, whole(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Verify that the examples mean the same in MessagePack.
func TestSpecMsgpack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connectRaw(t, newSpecEngine(t), codec.SubprotocolMsgpack)
		decode := func(raw string) (v any) {
			if err := codec.Msgpack(nil).Decode([]byte(raw), &v); err != nil {
				t.Fatal(err)
			}
			return v
		}
		for _, tt := range specExamples {
			step(t, tt.name, func() {
				c.binary(asMsgpack(t, tt.send))
				if tt.want == "" {
					c.want()
					return
				}
				if diff := cmp.Diff(decode(asMsgpack(t, tt.want)), decode(c.next())); diff != "" {
					t.Errorf("reply (-want +got):\n%s", diff)
				}
				c.want()
			})
		}
	})
}

// Verify that ids are echoed byte for byte, whatever they look like, and that
// those of other types than the specification allows are refused.
func TestIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		handle(t, e, "m", func(context.Context, actor.WsSender, none) (int, error) { return 1, nil })
		c := connectRaw(t, e)
		for _, id := range []string{
			`1`, `-1`, `0`, `1.0`, `1e3`, `9007199254740993`, `123456789012345678901234567890`,
			`""`, `"a"`, `"\u00e9\n"`, `"1"`, `null`,
		} {
			c.text(`{"id":` + id + `,"jsonrpc":"2.0","method":"m"}`)
			c.want(`{"jsonrpc":"2.0","result":1,"id":` + id + `}`)
			c.text(`{"id":` + id + `,"jsonrpc":"2.0","method":"x"}`)
			c.want(`{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":` + id + `}`)
		}
		for _, id := range []string{`[1]`, `{}`, `true`, `false`} {
			c.text(`{"id":` + id + `,"jsonrpc":"2.0","method":"m"}`)
			c.want(`{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request","data":"id must be a string, a number or null"},"id":null}`)
		}
	})
}

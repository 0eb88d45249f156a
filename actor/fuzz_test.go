package actor_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/wireroom/wireroom/actor"
)

// fuzzService has a method of each kind, none of which waits.
type fuzzService struct{}

func (fuzzService) Echo(v any) any                           { return v }
func (fuzzService) Two(a int, b *string) int                 { return a }
func (fuzzService) Sum(nums ...float64) (s float64)          { return s }
func (fuzzService) Struct(p defaulted) string                { return p.String() }
func (fuzzService) Fail(text string) error                   { return errors.New(text) }
func (fuzzService) Code(code int, data any) error            { return codedError{code, data} }
func (fuzzService) Boom()                                    { panic("boom") }
func (fuzzService) Ctx(ctx context.Context, b []byte) []byte { return b }

// replies counts the replies that a JSON-RPC message must get, by the rules of
// the specification: one for each item that is not a notification or a
// response.
func replies(msg []byte) (n int) {
	var items []json.RawMessage
	if err := json.Unmarshal(msg, &items); err != nil {
		items = []json.RawMessage{msg}
	}
	for _, item := range items {
		var env map[string]json.RawMessage
		if json.Unmarshal(item, &env) != nil || env == nil {
			n++
			continue
		}
		id, hasID := env["id"]
		badID := hasID && (id[0] == '{' || id[0] == '[' || id[0] == 't' || id[0] == 'f')
		var version, method string
		valid := json.Unmarshal(env["jsonrpc"], &version) == nil && version == "2.0" && env["jsonrpc"][0] == '"' && !badID
		params, hasParams := env["params"]
		_, hasMethod := env["method"]
		_, hasResult := env["result"]
		_, hasError := env["error"]
		switch {
		case !valid:
			n++
		case !hasMethod && hasID && (hasResult || hasError): // a response
		case !hasMethod, json.Unmarshal(env["method"], &method) != nil, env["method"][0] != '"':
			n++
		case hasParams && params[0] != '[' && params[0] != '{':
			n++
		case hasID:
			n++
		}
	}
	return n
}

// Verify that no message makes the engine panic, that each reply is a valid
// one, and that there are as many as there must be.
func FuzzHandleMessage(f *testing.F) {
	for _, tt := range specExamples {
		f.Add([]byte(tt.send))
	}
	for _, method := range []string{"echo", "two", "sum", "struct", "fail", "code", "boom", "ctx", "nope", "rpc.cancel"} {
		for _, params := range []string{``, `,"params":[]`, `,"params":[1,"x"]`, `,"params":{"a":null}`, `,"params":["YQ=="]`, `,"params":1`} {
			msg := `{"jsonrpc":"2.0","method":"` + method + `"` + params
			f.Add([]byte(msg + `,"id":1}`))
			f.Add([]byte(`[` + msg + `},` + msg + `,"id":"x"}]`))
		}
	}
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"id":[],"method":"echo"}`))
	f.Add([]byte(`{"jsonrpc":"2.0","result":1,"id":1}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`[null]`))

	e, err := actor.New(&actor.Options{OnEvent: func(actor.Event) {}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		if err := e.Shutdown(context.Background()); err != nil {
			f.Error(err)
		}
	})
	if err := e.Register(fuzzService{}, actor.Method("Two", actor.Params("a", "b")), actor.Method("Code", actor.Params("code", "data"))); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		reply, err := e.HandleMessage(t.Context(), actor.WsSender{}, append([]byte{}, msg...))
		if err != nil {
			t.Fatal(err)
		}
		var got []json.RawMessage
		switch {
		case reply == nil:
		case reply[0] == '[':
			if err := json.Unmarshal(reply, &got); err != nil || len(got) == 0 {
				t.Fatalf("reply %q: %v", reply, err)
			}
		default:
			got = []json.RawMessage{reply}
		}
		for _, r := range got {
			var env struct {
				Version string          `json:"jsonrpc"`
				Result  json.RawMessage `json:"result"`
				Error   *struct {
					Code    *int    `json:"code"`
					Message *string `json:"message"`
				} `json:"error"`
				ID json.RawMessage `json:"id"`
			}
			if err := json.Unmarshal(r, &env); err != nil || env.Version != "2.0" || env.ID == nil ||
				(env.Result == nil) == (env.Error == nil) || env.Error != nil && (env.Error.Code == nil || env.Error.Message == nil) {
				t.Fatalf("reply %q: %v", r, err)
			}
		}
		if !json.Valid(msg) || len(got) == 1 && isWhole(got[0]) {
			if len(got) != 1 {
				t.Fatalf("%d replies to %q, want one parse error", len(got), msg)
			}
			return
		}
		if want := replies(msg); len(got) != want {
			t.Fatalf("%d replies to %q, want %d: %s", len(got), msg, want, reply)
		}
	})
}

// isWhole reports whether the reply answers a message as a whole: a parse error
// (of what encoding/json is laxer about), or that of a batch's length.
func isWhole(reply []byte) bool {
	var env struct {
		Error struct {
			Code int
		}
		ID any
	}
	return json.Unmarshal(reply, &env) == nil && env.ID == nil && (env.Error.Code == -32700 || env.Error.Code == -32600)
}

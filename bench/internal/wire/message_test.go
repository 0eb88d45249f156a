package wire_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/wireroom/wireroom/bench/internal/wire"
)

func text(t *testing.T, size int) *wire.Message {
	m, err := wire.Text(size)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Verify that a message that comes back as it was sent has the numbers it was
// sent with, and that no change to a byte goes unnoticed.
func TestMessages(t *testing.T) {
	for name, m := range map[string]*wire.Message{"text": text(t, 125), "shortest": text(t, wire.MinText), "long": text(t, 1024)} {
		for _, n := range []struct {
			conn uint32
			seq  uint64
		}{{0, 0}, {1, 2}, {4294967295, 3_000_000_000}} {
			f, _, err := wire.Next(m.Append([]byte("before")[:0], n.conn, n.seq))
			if err != nil {
				t.Fatal(err)
			}
			conn, seq, ok := m.Check(f)
			if !ok || conn != n.conn || seq != n.seq {
				t.Errorf("%s: %d, %d, %v; want %v", name, conn, seq, ok, n)
			}
			for i := range f.Payload {
				f.Payload[i] ^= 1
				if c, s, ok := m.Check(f); ok && c == n.conn && s == n.seq {
					t.Errorf("%s: byte %d may change", name, i)
				}
				f.Payload[i] ^= 1
			}
			f.Payload = f.Payload[:len(f.Payload)-1]
			if _, _, ok := m.Check(f); ok {
				t.Errorf("%s: may be cut", name)
			}
		}
	}
	if _, err := wire.Text(wire.MinText - 1); err == nil {
		t.Error("a payload without room for its numbers was made")
	}
}

// call is a request, and the reply to it, as a server may write it.
type call struct {
	Version string  `json:"jsonrpc" msgpack:"jsonrpc"`
	Method  string  `json:"method,omitempty" msgpack:"method,omitempty"`
	Params  *params `json:"params,omitempty" msgpack:"params,omitempty"`
	Result  *params `json:"result,omitempty" msgpack:"result,omitempty"`
	Error   any     `json:"error,omitempty" msgpack:"error,omitempty"`
	ID      uint64  `json:"id" msgpack:"id"`
}

type params struct {
	Seq  uint64 `json:"seq" msgpack:"seq"`
	Text string `json:"text" msgpack:"text"`
}

// Verify that calls are valid in their format, and that replies are checked.
func TestCalls(t *testing.T) {
	for _, tt := range []struct {
		name   string
		m      *wire.Message
		op     byte
		decode func([]byte, any) error
		encode func(any) ([]byte, error)
	}{
		{"json", wire.CallJSON(), wire.OpText, json.Unmarshal, json.Marshal},
		{"msgpack", wire.CallMsgpack(), wire.OpBinary, msgpack.Unmarshal, msgpack.Marshal},
	} {
		f, _, err := wire.Next(tt.m.Append(nil, 77, 123456))
		if err != nil || f.Op != tt.op {
			t.Fatalf("%s: op %d, %v", tt.name, f.Op, err)
		}
		if conn, seq, ok := tt.m.Check(f); !ok || conn != 77 || seq != 123456 {
			t.Errorf("%s: the request itself: %d, %d, %v", tt.name, conn, seq, ok)
		}
		var c call
		if err := tt.decode(f.Payload, &c); err != nil {
			t.Fatalf("%s: %v: %q", tt.name, err, f.Payload)
		}
		if c.Version != "2.0" || c.Method != "echo" || c.Params.Seq != c.ID || len(c.Params.Text) != 48 {
			t.Errorf("%s: %+v %+v", tt.name, c, c.Params)
		}
		good := call{Version: "2.0", Result: c.Params, ID: c.ID}
		other := *c.Params
		other.Seq++
		for _, r := range []struct {
			what string
			ok   bool
			call call
		}{
			{"reply", true, good},
			{"reply to another call", false, call{Version: "2.0", Result: c.Params, ID: c.ID + 1}},
			{"other result", false, call{Version: "2.0", Result: &other, ID: c.ID}},
			{"other text", false, call{Version: "2.0", Result: &params{c.Params.Seq, "0" + c.Params.Text[:47]}, ID: c.ID}},
			{"error", false, call{Version: "2.0", Result: c.Params, Error: "x", ID: c.ID}},
			{"no result", false, call{Version: "2.0", ID: c.ID}},
		} {
			b, err := tt.encode(&r.call)
			if err != nil {
				t.Fatal(err)
			}
			conn, seq, ok := tt.m.Check(wire.Frame{Op: tt.op, Payload: b})
			if ok != r.ok || ok && (conn != 77 || seq != 123456) {
				t.Errorf("%s: %s: %d, %d, %v", tt.name, r.what, conn, seq, ok)
			}
		}
		if _, _, ok := tt.m.Check(wire.Frame{Op: tt.op ^ 3, Payload: f.Payload}); ok {
			t.Errorf("%s: the kind of the message does not count", tt.name)
		}
	}
}

// Verify that payloads are found in the messages of a dialect.
func TestDialect(t *testing.T) {
	d := &wire.Dialect{
		Hello: []string{"40"}, Ready: []string{"sid", "40{"}, Before: `42["m","`, After: `"]`,
		Answers: map[string]string{"2": "3"},
	}
	m := text(t, 125)
	m.Dress(d)
	f, _, err := wire.Next(m.Append(nil, 5, 6))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(f.Payload, []byte(`42["m","`)) || !bytes.HasSuffix(f.Payload, []byte(`"]`)) {
		t.Errorf("dressed: %q", f.Payload)
	}
	both := append(append(bytes.Clone(f.Payload), '\n'), f.Payload...)
	found := 0
	m.Undress(wire.Frame{Op: wire.OpText, Payload: both}, func(f wire.Frame) {
		if conn, seq, ok := m.Check(f); ok && conn == 5 && seq == 6 {
			found++
		}
	})
	if found != 2 {
		t.Errorf("%d payloads were found, want 2", found)
	}
	m.Undress(wire.Frame{Op: wire.OpText, Payload: []byte(`{"id":1}`)}, func(wire.Frame) { t.Error("a payload was found where none is") })
	if a, _, err := wire.Next(d.Answer(wire.Frame{Payload: []byte("2\n")})); err != nil || string(a.Payload) != "3" {
		t.Errorf("answer %q, %v", a.Payload, err)
	}
	if d.Answer(wire.Frame{Payload: []byte("x")}) != nil {
		t.Error("an answer where none is wanted")
	}
	if h, _, err := wire.Next(d.Greeting()); err != nil || string(h.Payload) != "40" {
		t.Errorf("greeting %q, %v", h.Payload, err)
	}
	n := d.Greeted(0, wire.Frame{Payload: []byte("40{}")})
	if n != 0 {
		t.Errorf("the second part came first: %d", n)
	}
	if n = d.Greeted(d.Greeted(0, wire.Frame{Payload: []byte(`0{"sid":1}`)}), wire.Frame{Payload: []byte("40{}")}); n != 2 {
		t.Errorf("both parts: %d", n)
	}
}

package codec_test

import (
	"bytes"
	stdjson "encoding/json"
	"math"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/wireroom/wireroom/codec"
)

var seeds = []string{
	`{"jsonrpc":"2.0","method":"m","params":[1,2.5e-3,"x"],"id":1}`,
	`{"jsonrpc":"2.0","method":"m","params":{"a":{"b":[null,true,false]}},"id":"\u00e9\ud83d\ude00"}`,
	`{"\u006asonrpc":"2.0","method":"m"}`,
	`[{"jsonrpc":"2.0","result":{},"id":null},{},1,[],"x"]`,
	`{"jsonrpc":"2.0","error":{"code":-1,"message":"m"},"id":-0.0E+1}`,
	`[]`, ` null `, `"\ud800"`, "\"\xff\"", `[[[[]]]`, `{"a":1,}`, `-`, `01`, `1e`, ``,
}

// depthOf returns how deep the valid JSON text b nests.
func depthOf(b []byte) int {
	depth, deepest, inString := 0, 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// checkSplit checks what is true of the envelopes of any message.
func checkSplit(t *testing.T, c codec.Codec, envs []codec.Envelope) {
	t.Helper()
	for _, e := range envs {
		if (e.Kind == codec.Invalid) != (e.Err != nil) {
			t.Fatalf("kind %d with error %v", e.Kind, e.Err)
		}
		if e.Bare {
			t.Fatalf("a strict codec passed a bare message: %+v", e)
		}
		switch e.Kind {
		case codec.Request, codec.Notification:
			if (e.ID == nil) != (e.Kind == codec.Notification) {
				t.Fatalf("kind %d with id %q", e.Kind, e.ID)
			}
			// Written again and split again, it must be the same.
			var params any
			if e.Params != nil {
				params = raw{e.Params}
			}
			msg, err := c.AppendRequest(nil, e.ID, string(e.Method), params)
			if err != nil {
				t.Fatalf("AppendRequest: %v", err)
			}
			again, _, serr := c.Split(nil, msg)
			if serr != nil || len(again) != 1 {
				t.Fatalf("Split(%q) = %d, %v", msg, len(again), serr)
			}
			a := again[0]
			if a.Kind != e.Kind || !bytes.Equal(a.ID, e.ID) || !bytes.Equal(a.Method, e.Method) || (a.Params == nil) != (e.Params == nil) {
				t.Fatalf("%q became %+v", msg, a)
			}
			if c.Binary() && !bytes.Equal(a.Params, e.Params) {
				t.Fatalf("params %x became %x", e.Params, a.Params)
			}
		case codec.Response:
			if e.ID == nil || e.Result == nil && e.Error == nil {
				t.Fatalf("response without its members: %+v", e)
			}
		}
		if e.ID != nil {
			msg := c.AppendError(nil, e.ID, false, &codec.Error{Code: 1})
			again, _, err := c.Split(nil, msg)
			if err != nil || len(again) != 1 || !bytes.Equal(again[0].ID, e.ID) {
				t.Fatalf("id %q does not survive in %q", e.ID, msg)
			}
		}
		for _, part := range [][]byte{e.Params, e.Result, e.Error} {
			n := 0
			c.Elements(part, func(int, []byte) bool { n++; return n < 100 })
			c.Members(part, func(_, _ []byte) bool { n++; return n < 100 })
			c.IsNull(part)
		}
	}
}

// raw is a value that is encoded already.
type raw struct{ b []byte }

func (r raw) MarshalJSON() ([]byte, error)           { return r.b, nil }
func (r raw) EncodeMsgpack(e *msgpack.Encoder) error { return e.Encode(msgpack.RawMessage(r.b)) }

func FuzzJSONSplit(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	strict := codec.JSON(&codec.Options{MaxBatch: -1})
	lenient := codec.JSON(&codec.Options{Lenient: true})
	f.Fuzz(func(t *testing.T, msg []byte) {
		envs, _, err := strict.Split(nil, msg)
		malformed := err != nil && err.Code == codec.CodeParseError
		// encoding/json passes strings that are not UTF-8, and nests deeper.
		want := !stdjson.Valid(msg) || !utf8.Valid(msg) || depthOf(msg) > codec.MaxDepth
		if malformed != want {
			t.Fatalf("Split(%q): %v; malformed should be %v", msg, err, want)
		}
		checkSplit(t, strict, envs)
		lenient.Split(nil, msg)
		strict.Elements(msg, func(int, []byte) bool { return true })
		strict.Members(msg, func(_, _ []byte) bool { return true })
		strict.IsNull(msg)

		// What has no type decodes as it does in encoding/json.
		var got, ref any
		gotErr, refErr := strict.Decode(msg, &got), stdjson.Unmarshal(msg, &ref)
		if (gotErr != nil) != (refErr != nil) || refErr == nil && !cmp.Equal(got, ref) {
			t.Fatalf("Decode(%q) = %#v, %v; encoding/json: %#v, %v", msg, got, gotErr, ref, refErr)
		}
		var m, refM map[string]any
		gotErr, refErr = strict.Decode(msg, &m), stdjson.Unmarshal(msg, &refM)
		if (gotErr != nil) != (refErr != nil) || refErr == nil && !cmp.Equal(m, refM) {
			t.Fatalf("Decode(%q) = %#v, %v; encoding/json: %#v, %v", msg, m, gotErr, refM, refErr)
		}
		for _, v := range []any{new(kinds), new([]int8), new(string), new(int), new(bool), new(map[string]stdjson.Number), new([]byte)} {
			ref := newLike(v)
			gotErr, refErr := strict.Decode(msg, v), stdjson.Unmarshal(msg, ref)
			if (gotErr != nil) != (refErr != nil) || refErr == nil && !cmp.Equal(deref(v), deref(ref), cmpOpts) {
				t.Fatalf("Decode(%q, %T) = %#v, %v; encoding/json: %#v, %v", msg, v, deref(v), gotErr, deref(ref), refErr)
			}
		}
	})
}

func FuzzMsgpackSplit(f *testing.F) {
	strict := codec.Msgpack(&codec.Options{MaxBatch: -1})
	lenient := codec.Msgpack(&codec.Options{Lenient: true})
	for _, s := range seeds {
		var v any
		if stdjson.Unmarshal([]byte(s), &v) == nil {
			b, _ := strict.AppendValue(nil, v)
			f.Add(b)
		}
	}
	for _, s := range []string{"\xdf\xff\xff\xff\xff", "\xdd\x00\x00\x00\x01\xc0", "\xc1", "\xd6\xff\x00\x00\x00\x00", "\xc7\x0c\xff123456789abc", "\xa1\xff", "\x91\x91\x91"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		envs, _, err := strict.Split(nil, msg)
		checkSplit(t, strict, envs)
		lenient.Split(nil, msg)
		strict.Elements(msg, func(int, []byte) bool { return true })
		strict.Members(msg, func(_, _ []byte) bool { return true })
		strict.IsNull(msg)
		if err == nil || err.Code != codec.CodeParseError {
			// What is well formed can also be walked over by the library.
			d := msgpack.NewDecoder(bytes.NewReader(msg))
			if e := d.Skip(); e != nil {
				t.Fatalf("%x passes here, but not there: %v", msg, e)
			}
		}
		for _, v := range []any{new(any), new(kinds), new([]int8), new(map[string]uint8), new([]float32), new(string), new([]byte), new(map[any]any)} {
			_ = strict.Decode(msg, v)
		}
	})
}

// shape is what the round trip fuzzers send there and back.
type shape struct {
	S  string            `json:"s"`
	I  int64             `json:"i"`
	U  uint64            `json:"u"`
	F  float64           `json:"f"`
	N  int8              `json:"n"`
	W  uint16            `json:"w"`
	B  []byte            `json:"b"`
	O  bool              `json:"o,omitempty"`
	L  []string          `json:"l"`
	M  map[string]int64  `json:"m"`
	P  *float32          `json:"p"`
	In struct{ A any }   `json:"in"`
	T  map[string]*shape `json:"t,omitempty"`
}

func roundTrip(f *testing.F, c codec.Codec) {
	f.Add("x", int64(-1), uint64(1)<<63, 1.5, []byte{0}, true)
	f.Add("<é\u2028\x00\"\\", int64(math.MaxInt64), uint64(math.MaxUint64), -1e-9, []byte(nil), false)
	f.Add("bad\xff", int64(math.MinInt64), uint64(0), math.MaxFloat64, []byte("abc"), true)
	f.Fuzz(func(t *testing.T, s string, i int64, u uint64, x float64, b []byte, o bool) {
		if math.IsNaN(x) || math.IsInf(x, 0) || !utf8.ValidString(s) {
			t.Skip("not of this world")
		}
		p := float32(i)
		want := shape{S: s, I: i, U: u, F: x, N: int8(i), W: uint16(u), B: b, O: o, L: []string{s, ""}, M: map[string]int64{s: i}, P: &p}
		want.In.A = s
		want.T = map[string]*shape{s: {S: s, I: -i, L: []string{}, B: []byte{}, M: map[string]int64{}}, "nil": nil}
		msg, err := c.AppendResult(nil, nil, false, want)
		if err != nil {
			t.Fatal(err)
		}
		envs, _, serr := c.Split(nil, msg)
		if serr != nil || len(envs) != 1 || envs[0].Kind != codec.Response {
			t.Fatalf("Split(%q) = %+v, %v", msg, envs, serr)
		}
		var got shape
		if err := c.Decode(envs[0].Result, &got); err != nil {
			t.Fatalf("Decode(%q): %v", envs[0].Result, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		for _, v := range []any{&s, &i, &u, &x, &b, &o} {
			raw, err := c.AppendValue(nil, deref(v))
			if err != nil {
				t.Fatal(err)
			}
			got := newLike(v)
			if err := c.Decode(raw, got); err != nil {
				t.Fatalf("Decode(%q, %T): %v", raw, got, err)
			}
			if diff := cmp.Diff(deref(v), deref(got), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("%q: (-want +got):\n%s", raw, diff)
			}
			// The same value inside of another goes through the library.
			lib, err := c.AppendValue(nil, []any{deref(v)})
			if err != nil || !bytes.Contains(lib, raw) {
				t.Fatalf("%#v: %q here, %q there, %v", deref(v), raw, lib, err)
			}
		}
	})
}

func FuzzJSONRoundTrip(f *testing.F) { roundTrip(f, codec.JSON(nil)) }

func FuzzMsgpackRoundTrip(f *testing.F) { roundTrip(f, codec.Msgpack(nil)) }

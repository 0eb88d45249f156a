package codec_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/codec"
)

// env is an Envelope in a form that is easy to write down and to compare.
type env struct {
	Kind          codec.Kind
	Bare          bool
	ID            string // "-" is nil
	Method        string
	Params        string
	Result, Error string
	Code          int
}

func part(b []byte) string {
	if b == nil {
		return "-"
	}
	return string(b)
}

func view(envs []codec.Envelope) []env {
	var out []env
	for _, e := range envs {
		v := env{
			Kind: e.Kind, Bare: e.Bare, ID: part(e.ID), Method: string(e.Method),
			Params: string(e.Params), Result: string(e.Result), Error: string(e.Error),
		}
		if e.Err != nil {
			v.Code = e.Err.Code
		}
		out = append(out, v)
	}
	return out
}

type splitCase struct {
	name  string
	msg   string
	want  []env
	batch bool
	code  int // of the error of Split
}

func invalidEnv(id string) []env {
	return []env{{Kind: codec.Invalid, ID: id, Code: codec.CodeInvalidRequest}}
}

func runSplit(t *testing.T, c codec.Codec, cases []splitCase) {
	t.Helper()
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			// What is in dst already must survive.
			first := codec.Envelope{Kind: codec.Response}
			envs, batch, err := c.Split([]codec.Envelope{first}, []byte(tc.msg))
			if len(envs) == 0 || envs[0].Kind != codec.Response {
				t.Fatalf("Split lost what dst held: %+v", envs)
			}
			code := 0
			if err != nil {
				code = err.Code
			}
			if batch != tc.batch || code != tc.code {
				t.Errorf("batch %v, code %d; want %v, %d", batch, code, tc.batch, tc.code)
			}
			if diff := cmp.Diff(tc.want, view(envs[1:])); diff != "" {
				t.Errorf("envelopes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestJSONSplit(t *testing.T) {
	const v = `"jsonrpc":"2.0"`
	request := func(id, params string) []env {
		return []env{{Kind: codec.Request, ID: id, Method: "m", Params: params}}
	}
	note := []env{{Kind: codec.Notification, ID: "-", Method: "m"}}
	runSplit(t, codec.JSON(nil), []splitCase{
		{name: "request", msg: `{` + v + `,"method":"m","params":[1,2],"id":1}`, want: request("1", "[1,2]")},
		{name: "object params", msg: `{` + v + `,"method":"m","params":{"a":{}},"id":1}`, want: request("1", `{"a":{}}`)},
		{name: "white space", msg: " {\n" + v + "\t,\r\"method\" : \"m\" , \"params\" : [ 1 ] , \"id\" : 1 } \n", want: request("1", "[ 1 ]")},
		{name: "notification", msg: `{` + v + `,"method":"m"}`, want: note},
		{name: "id last wins", msg: `{"id":1,` + v + `,"method":"m","id":2}`, want: request("2", "")},
		{name: "id valid after invalid", msg: `{"id":{},` + v + `,"method":"m","id":2}`, want: request("2", "")},
		{name: "id invalid after valid", msg: `{"id":2,` + v + `,"method":"m","id":{}}`, want: invalidEnv("-")},
		{name: "method last wins", msg: `{"method":1,` + v + `,"method":"m","id":2}`, want: request("2", "")},
		{name: "id string", msg: `{` + v + `,"method":"m","id":"\u0031 x"}`, want: request(`"\u0031 x"`, "")},
		{name: "id null", msg: `{` + v + `,"method":"m","id":null}`, want: request("null", "")},
		{name: "id beyond 2^53", msg: `{` + v + `,"method":"m","id":9007199254740993}`, want: request("9007199254740993", "")},
		{name: "id fraction", msg: `{` + v + `,"method":"m","id":1.0}`, want: request("1.0", "")},
		{name: "id exponent", msg: `{` + v + `,"method":"m","id":-1E+2}`, want: request("-1E+2", "")},
		{name: "id true", msg: `{` + v + `,"method":"m","id":true}`, want: invalidEnv("-")},
		{name: "id array", msg: `{` + v + `,"method":"m","id":[1]}`, want: invalidEnv("-")},
		{name: "extra members", msg: `{"x":[{}],` + v + `,"method":"m","Method":1,"id":1,"result":1}`, want: request("1", "")},
		{name: "escaped names", msg: `{"\u006asonrpc":"2\u002e0","meth\u006fd":"m","\u0069d":1}`, want: request("1", "")},
		{name: "escaped long name", msg: `{` + v + `,"method":"m","id":1,"` + strings.Repeat(`\u0069`, 50) + `":1}`, want: request("1", "")},
		{name: "escaped method", msg: `{` + v + `,"method":"a\u002fb\n\ud83d\ude00\ud800"}`, want: []env{{Kind: codec.Notification, ID: "-", Method: "a/b\n😀\uFFFD"}}},
		{name: "empty method", msg: `{` + v + `,"method":"","id":1}`, want: []env{{Kind: codec.Request, ID: "1"}}},
		{name: "utf8", msg: `{` + v + `,"method":"méthode"}`, want: []env{{Kind: codec.Notification, ID: "-", Method: "méthode"}}},
		{name: "no version", msg: `{"method":"m","id":1}`, want: invalidEnv("1")},
		{name: "version 1.0", msg: `{"jsonrpc":"1.0","method":"m","id":1}`, want: invalidEnv("1")},
		{name: "version number", msg: `{"jsonrpc":2.0,"method":"m","id":1}`, want: invalidEnv("1")},
		{name: "method number", msg: `{` + v + `,"method":1,"id":"x"}`, want: invalidEnv(`"x"`)},
		{name: "method number, no id", msg: `{` + v + `,"method":1,"params":"bar"}`, want: invalidEnv("-")},
		{name: "method null", msg: `{` + v + `,"method":null,"id":1}`, want: invalidEnv("1")},
		{name: "params string", msg: `{` + v + `,"method":"m","params":"bar","id":1}`, want: invalidEnv("1")},
		{name: "params null", msg: `{` + v + `,"method":"m","params":null,"id":1}`, want: invalidEnv("1")},
		{name: "params valid after invalid", msg: `{` + v + `,"method":"m","params":1,"params":[],"id":1}`, want: request("1", "[]")},
		{name: "empty object", msg: `{}`, want: invalidEnv("-")},
		{name: "number", msg: `1`, want: invalidEnv("-")},
		{name: "string", msg: `"x"`, want: invalidEnv("-")},
		{name: "null", msg: `null`, want: invalidEnv("-")},
		{name: "result", msg: `{` + v + `,"result":null,"id":1}`, want: []env{{Kind: codec.Response, ID: "1", Result: "null"}}},
		{name: "error", msg: `{` + v + `,"error":{"code":1},"id":null}`, want: []env{{Kind: codec.Response, ID: "null", Error: `{"code":1}`}}},
		{name: "result without id", msg: `{` + v + `,"result":1}`, want: invalidEnv("-")},
		{name: "only id", msg: `{` + v + `,"id":1}`, want: invalidEnv("1")},
		{name: "bare response", msg: `{"result":1,"id":1}`, want: invalidEnv("1")},

		{name: "batch", msg: ` [ {` + v + `,"method":"m"} , 1,[], {} ] `, batch: true,
			want: append(append([]env{}, note...), invalidEnv("-")[0], invalidEnv("-")[0], invalidEnv("-")[0])},
		{name: "empty batch", msg: `[ ]`, batch: true, code: codec.CodeInvalidRequest},
		{name: "empty batch, trailing", msg: `[]x`, batch: true, code: codec.CodeParseError},
		{name: "batch, trailing comma", msg: `[{},]`, batch: true, code: codec.CodeParseError},
		{name: "batch, no comma", msg: `[{}{}]`, batch: true, code: codec.CodeParseError},
		{name: "batch, unclosed", msg: `[{}`, batch: true, code: codec.CodeParseError},
		{name: "batch, bad item", msg: `[{},{]`, batch: true, code: codec.CodeParseError},
		{name: "batch, trailing", msg: `[1]1`, batch: true, code: codec.CodeParseError},

		{name: "nothing", msg: ``, code: codec.CodeParseError},
		{name: "blank", msg: ` `, code: codec.CodeParseError},
		{name: "trailing", msg: `{}{}`, code: codec.CodeParseError},
		{name: "trailing comma", msg: `{"a":1,}`, code: codec.CodeParseError},
		{name: "single quotes", msg: `{'a':1}`, code: codec.CodeParseError},
		{name: "bare name", msg: `{a:1}`, code: codec.CodeParseError},
		{name: "invalid UTF-8", msg: "{\"a\":\"\xff\"}", code: codec.CodeParseError},
		{name: "invalid UTF-8 in a name", msg: "{\"\xc0\x80\":1}", code: codec.CodeParseError},
		{name: "surrogate in UTF-8", msg: "{\"a\":\"\xed\xa0\x80\"}", code: codec.CodeParseError},
		{name: "invalid UTF-8 outside", msg: "{\"a\":1}\xff", code: codec.CodeParseError},
		{name: "byte order mark", msg: "\ufeff{}", code: codec.CodeParseError},
		{name: "control character", msg: "{\"a\":\"\n\"}", code: codec.CodeParseError},
		{name: "bad escape", msg: `{"a":"\x"}`, code: codec.CodeParseError},
		{name: "short escape", msg: `{"a":"\u12"}`, code: codec.CodeParseError},
		{name: "leading zero", msg: `{"a":01}`, code: codec.CodeParseError},
		{name: "bare minus", msg: `{"a":-}`, code: codec.CodeParseError},
		{name: "bare point", msg: `{"a":1.}`, code: codec.CodeParseError},
		{name: "bare exponent", msg: `{"a":1e+}`, code: codec.CodeParseError},
		{name: "plus", msg: `{"a":+1}`, code: codec.CodeParseError},
		{name: "NaN", msg: `{"a":NaN}`, code: codec.CodeParseError},
		{name: "half a word", msg: `{"a":tru}`, code: codec.CodeParseError},
		{name: "mixed brackets", msg: `{"a":[}]`, code: codec.CodeParseError},
		{name: "mixed brackets deep", msg: `{"a":[{"b":1]}}`, code: codec.CodeParseError},
		{name: "colon in an array", msg: `{"a":["b":1]}`, code: codec.CodeParseError},
	})
}

func TestJSONSplitLenient(t *testing.T) {
	runSplit(t, codec.JSON(&codec.Options{Lenient: true}), []splitCase{
		{name: "request", msg: `{"method":"m","id":1}`, want: []env{{Kind: codec.Request, Bare: true, ID: "1", Method: "m"}}},
		{name: "no id", msg: `{"method":"m"}`, want: []env{{Kind: codec.Request, Bare: true, ID: "-", Method: "m"}}},
		{name: "strict request", msg: `{"jsonrpc":"2.0","method":"m","id":1}`, want: []env{{Kind: codec.Request, ID: "1", Method: "m"}}},
		{name: "strict notification", msg: `{"jsonrpc":"2.0","method":"m"}`, want: []env{{Kind: codec.Notification, ID: "-", Method: "m"}}},
		{name: "wrong version", msg: `{"jsonrpc":"1.1","method":"m","id":1}`, want: invalidEnv("1")},
		{name: "response", msg: `{"result":1,"id":1}`, want: []env{{Kind: codec.Response, Bare: true, ID: "1", Result: "1"}}},
		{name: "bad params", msg: `{"method":"m","params":1,"id":1}`, want: []env{{Kind: codec.Invalid, Bare: true, ID: "1", Code: codec.CodeInvalidRequest}}},
		{name: "bad id", msg: `{"method":"m","id":[]}`, want: []env{{Kind: codec.Invalid, Bare: true, ID: "-", Code: codec.CodeInvalidRequest}}},
		{name: "no method", msg: `{"id":1}`, want: []env{{Kind: codec.Invalid, Bare: true, ID: "1", Code: codec.CodeInvalidRequest}}},
		{name: "empty object", msg: `{}`, want: []env{{Kind: codec.Invalid, Bare: true, ID: "-", Code: codec.CodeInvalidRequest}}},
		{name: "not an object", msg: `1`, want: invalidEnv("-")},
	})
}

// mp builds MessagePack from pairs of names and encoded values.
func mp(pairs ...string) string {
	var b strings.Builder
	b.WriteByte(0x80 | byte(len(pairs)/2))
	for i, p := range pairs {
		if i%2 == 0 {
			b.WriteByte(0xa0 | byte(len(p)))
		}
		b.WriteString(p)
	}
	return b.String()
}

func TestMsgpackSplit(t *testing.T) {
	const v2 = "\xa32.0"
	m := func(pairs ...string) string {
		return mp(append([]string{"jsonrpc", v2, "method", "\xa1m"}, pairs...)...)
	}
	request := func(id, params string) []env {
		return []env{{Kind: codec.Request, ID: id, Method: "m", Params: params}}
	}
	note := []env{{Kind: codec.Notification, ID: "-", Method: "m"}}
	ids := []splitCase{}
	for _, id := range []string{
		"\x01", "\xff", "\xcc\x01", "\xcd\x00\x01", "\xce\x00\x00\x00\x01", "\xcf\x00\x20\x00\x00\x00\x00\x00\x01",
		"\xd0\x01", "\xd1\x00\x01", "\xd2\x00\x00\x00\x01", "\xd3\x80\x00\x00\x00\x00\x00\x00\x01",
		"\xca\x3f\x80\x00\x00", "\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", "\xc0", "\xa1x", "\xd9\x01x", "\xda\x00\x01x", "\xdb\x00\x00\x00\x01x",
	} {
		ids = append(ids, splitCase{name: fmt.Sprintf("id %x", id), msg: m("id", id), want: request(id, "")})
	}
	for _, id := range []string{"\xc2", "\xc3", "\xc4\x01x", "\x90", "\x80", "\xd4\x01\x00", "\xc7\x00\x01"} {
		ids = append(ids, splitCase{name: fmt.Sprintf("bad id %x", id), msg: m("id", id), want: invalidEnv("-")})
	}
	c := codec.Msgpack(nil)
	runSplit(t, c, ids)
	runSplit(t, c, []splitCase{
		{name: "array params", msg: m("params", "\x92\x01\x02", "id", "\x01"), want: request("\x01", "\x92\x01\x02")},
		{name: "map params", msg: m("params", "\x81\xa1a\xd6\xff\x00\x00\x00\x00", "id", "\x01"), want: request("\x01", "\x81\xa1a\xd6\xff\x00\x00\x00\x00")},
		{name: "any key in params", msg: m("params", "\x81\x01\x02"), want: []env{{Kind: codec.Notification, ID: "-", Method: "m", Params: "\x81\x01\x02"}}},
		{name: "array16 params", msg: m("params", "\xdc\x00\x01\xc0", "id", "\x01"), want: request("\x01", "\xdc\x00\x01\xc0")},
		{name: "ext params", msg: m("params", "\xd4\x05\x00", "id", "\x01"), want: invalidEnv("\x01")},
		{name: "params nil", msg: m("params", "\xc0", "id", "\x01"), want: invalidEnv("\x01")},
		{name: "notification", msg: m(), want: note},
		{name: "map16", msg: "\xde\x00\x02" + m()[1:], want: note},
		{name: "map32", msg: "\xdf\x00\x00\x00\x02" + m()[1:], want: note},
		{name: "str8 names", msg: "\x82\xd9\x07jsonrpc\xa32.0\xd9\x06method\xd9\x01m", want: note},
		{name: "bin name is no name", msg: "\x82\xc4\x07jsonrpc\xa32.0\xa6method\xa1m", want: invalidEnv("-")},
		{name: "bin method", msg: mp("jsonrpc", v2, "method", "\xc4\x01m", "id", "\x01"), want: invalidEnv("\x01")},
		{name: "extra members", msg: "\x84\x01\x02\x91\x03\xc0" + m()[1:], want: note},
		{name: "last wins", msg: m("id", "\x01", "id", "\x90", "id", "\x02"), want: request("\x02", "")},
		{name: "no version", msg: mp("method", "\xa1m", "id", "\x01"), want: invalidEnv("\x01")},
		{name: "version float", msg: mp("jsonrpc", "\x02", "method", "\xa1m", "id", "\x01"), want: invalidEnv("\x01")},
		{name: "version bin", msg: mp("jsonrpc", "\xc4\x032.0", "method", "\xa1m", "id", "\x01"), want: invalidEnv("\x01")},
		{name: "empty map", msg: "\x80", want: invalidEnv("-")},
		{name: "number", msg: "\x01", want: invalidEnv("-")},
		{name: "result", msg: mp("jsonrpc", v2, "result", "\xc0", "id", "\x01"), want: []env{{Kind: codec.Response, ID: "\x01", Result: "\xc0"}}},
		{name: "error", msg: mp("jsonrpc", v2, "error", "\x80", "id", "\xc0"), want: []env{{Kind: codec.Response, ID: "\xc0", Error: "\x80"}}},
		{name: "result without id", msg: mp("jsonrpc", v2, "result", "\x01"), want: invalidEnv("-")},

		{name: "batch", msg: "\x93" + m() + "\x01\x90", batch: true, want: []env{note[0], invalidEnv("-")[0], invalidEnv("-")[0]}},
		{name: "empty batch", msg: "\x90", batch: true, code: codec.CodeInvalidRequest},
		{name: "empty batch, trailing", msg: "\x90\x00", batch: true, code: codec.CodeParseError},
		{name: "batch, cut short", msg: "\x92" + m(), batch: true, code: codec.CodeParseError},

		{name: "nothing", msg: "", code: codec.CodeParseError},
		{name: "trailing", msg: m() + "\xc0", code: codec.CodeParseError},
		{name: "never used", msg: "\xc1", code: codec.CodeParseError},
		{name: "never used inside", msg: mp("a", "\x91\xc1"), code: codec.CodeParseError},
		{name: "invalid UTF-8", msg: mp("a", "\xa1\xff"), code: codec.CodeParseError},
		{name: "invalid UTF-8 in a name", msg: mp("\xff", "\x01"), code: codec.CodeParseError},
		{name: "bin need not be UTF-8", msg: mp("a", "\xc4\x01\xff"), want: invalidEnv("-")},
	})
}

func TestMsgpackSplitLenient(t *testing.T) {
	runSplit(t, codec.Msgpack(&codec.Options{Lenient: true}), []splitCase{
		{name: "request", msg: mp("method", "\xa1m", "id", "\x01"), want: []env{{Kind: codec.Request, Bare: true, ID: "\x01", Method: "m"}}},
		{name: "no id", msg: mp("method", "\xa1m"), want: []env{{Kind: codec.Request, Bare: true, ID: "-", Method: "m"}}},
		{name: "wrong version", msg: mp("jsonrpc", "\xa31.0", "method", "\xa1m"), want: invalidEnv("-")},
	})
}

// Verify that a batch longer than MaxBatch is refused as a whole, and that its
// rest is still checked.
func TestMaxBatch(t *testing.T) {
	for kind, c := range codecs(&codec.Options{MaxBatch: 2}) {
		item, _ := c.AppendRequest(nil, nil, "m", nil)
		for n := 1; n <= 4; n++ {
			msg := c.AppendBatch(nil, [][]byte{item, item, item, item}[:n])
			envs, batch, err := c.Split(nil, msg)
			if n <= 2 && (err != nil || len(envs) != n) {
				t.Errorf("%s: %d of 2: %d, %v", kind, n, len(envs), err)
			}
			if n > 2 && (err == nil || err.Code != codec.CodeInvalidRequest || len(envs) != 0 || !batch) {
				t.Errorf("%s: %d of 2: %d, %v, %v", kind, n, len(envs), batch, err)
			}
			if _, _, err := c.Split(nil, append(msg, '!')); err == nil || err.Code != codec.CodeParseError {
				t.Errorf("%s: trailing byte behind %d of 2: %v", kind, n, err)
			}
		}
		many := make([][]byte, codec.DefaultMaxBatch+1)
		for i := range many {
			many[i] = item
		}
		for name, d := range codecs(nil) {
			if name != kind {
				continue
			}
			if _, _, err := d.Split(nil, d.AppendBatch(nil, many)); err == nil {
				t.Errorf("%s: the default lets %d pass", kind, len(many))
			}
			if _, _, err := d.Split(nil, d.AppendBatch(nil, many[1:])); err != nil {
				t.Errorf("%s: the default refuses %d: %v", kind, len(many)-1, err)
			}
		}
	}
}

// Verify that MaxDepth levels pass, that one more is a parse error, and that
// no depth makes the scanners recurse.
func TestDepth(t *testing.T) {
	nest := func(open, mid, end string, n int) string {
		return strings.Repeat(open, n) + mid + strings.Repeat(end, n)
	}
	cases := []struct {
		name string
		c    codec.Codec
		msg  func(n int) string // nests n levels
	}{
		{"json arrays", codec.JSON(nil), func(n int) string { return nest("[", "", "]", n) }},
		{"json objects", codec.JSON(nil), func(n int) string { return nest(`{"a":`, "1", "}", n) }},
		{"json mixed", codec.JSON(nil), func(n int) string { return `{"a":` + nest("[", "", "]", n-1) + `}` }},
		{"json in a batch", codec.JSON(nil), func(n int) string { return `[{"a":` + nest("[", "", "]", n-2) + `}]` }},
		{"msgpack arrays", codec.Msgpack(nil), func(n int) string { return strings.Repeat("\x91", n-1) + "\x90" }},
		{"msgpack maps", codec.Msgpack(nil), func(n int) string { return strings.Repeat("\x81\xa1a", n-1) + "\x80" }},
		{"msgpack map names", codec.Msgpack(nil), func(n int) string { return strings.Repeat("\x81", n-1) + "\x80" + strings.Repeat("\x01", n-1) }},
		{"msgpack in a batch", codec.Msgpack(nil), func(n int) string { return "\x91\x81\xa1a" + strings.Repeat("\x91", n-3) + "\x90" }},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if _, _, err := tc.c.Split(nil, []byte(tc.msg(codec.MaxDepth))); err != nil {
				t.Errorf("%d levels: %v", codec.MaxDepth, err)
			}
			for _, n := range []int{codec.MaxDepth + 1, 1_000_000} {
				_, _, err := tc.c.Split(nil, []byte(tc.msg(n)))
				if err == nil || err.Code != codec.CodeParseError {
					t.Errorf("%d levels: %v", n, err)
				}
			}
		})
	}
}

// Verify that lengths beyond the bytes that are there are refused, and cost no
// memory.
func TestMsgpackHugeLengths(t *testing.T) {
	c := codec.Msgpack(nil)
	for _, head := range []string{
		"\xdf\xff\xff\xff\xff", "\xdd\xff\xff\xff\xff", "\xdb\xff\xff\xff\xff", "\xc6\xff\xff\xff\xff", "\xc9\xff\xff\xff\xff\x01",
		"\xde\xff\xff", "\xdc\xff\xff", "\xda\xff\xff", "\xc5\xff\xff", "\xc8\xff\xff\x01", "\x8f", "\x9f", "\xbf", "\xd9\xff", "\xc4\xff", "\xc7\xff\x01", "\xd8\x01",
	} {
		for _, msg := range []string{head, head + "\x00", mp("a", head), mp("jsonrpc", "\xa32.0", "method", "\xa1m", "params", head), "\x91" + head} {
			_, _, err := c.Split(nil, []byte(msg))
			if err == nil || err.Code != codec.CodeParseError {
				t.Errorf("Split(%x): %v", msg, err)
			}
			for _, v := range []any{new(any), new(string), new([]byte), new([]int), new(map[string]any), new([]any)} {
				if err := c.Decode([]byte(msg), v); err == nil {
					t.Errorf("Decode(%x, %T): no error", msg, v)
				}
			}
		}
	}
	allocated := testing.AllocsPerRun(10, func() {
		var v any
		_ = c.Decode([]byte("\xdd\x7f\xff\xff\xff\x00"), &v)
	})
	if allocated > 4 {
		t.Errorf("%v allocations for a declared length", allocated)
	}
}

// Verify that a message cut short anywhere is a parse error.
func TestTruncated(t *testing.T) {
	for kind, c := range codecs(nil) {
		id := map[string][]byte{"json": []byte(`"é"`), "msgpack": []byte("\xa2é")}[kind]
		one, err := c.AppendRequest(nil, id, "méthode", samplePoint)
		if err != nil {
			t.Fatal(err)
		}
		for _, msg := range [][]byte{one, c.AppendBatch(nil, [][]byte{one, one})} {
			for n := range msg {
				// A copy with no room behind it, so that -race and bounds
				// checks see a read too far.
				cut := bytes.Clone(msg[:n:n])
				envs, _, err := c.Split(nil, cut)
				if err == nil || err.Code != codec.CodeParseError || len(envs) != 0 {
					t.Errorf("%s: %q: %v, %d envelopes", kind, cut, err, len(envs))
				}
				var v any
				if err := c.Decode(cut, &v); err == nil {
					t.Errorf("%s: Decode(%q) = %v", kind, cut, v)
				}
				c.Elements(cut, func(int, []byte) bool { return true })
				c.Members(cut, func(_, _ []byte) bool { return true })
				c.IsNull(cut)
			}
			if _, _, err := c.Split(nil, msg); err != nil {
				t.Errorf("%s: %q: %v", kind, msg, err)
			}
		}
	}
}

func TestElementsAndMembers(t *testing.T) {
	collect := func(c codec.Codec, raw string) (elems []string, ok bool) {
		ok = c.Elements([]byte(raw), func(i int, elem []byte) bool {
			if i != len(elems) {
				t.Errorf("element %d came as %d", len(elems), i)
			}
			elems = append(elems, string(elem))
			return true
		})
		return elems, ok
	}
	members := func(c codec.Codec, raw string) (out []string, ok bool) {
		ok = c.Members([]byte(raw), func(name, value []byte) bool {
			out = append(out, string(name)+"="+string(value))
			return true
		})
		return out, ok
	}
	j, m := codec.JSON(nil), codec.Msgpack(nil)
	for _, tc := range []struct {
		c    codec.Codec
		raw  string
		want []string
		ok   bool
	}{
		{j, ` [ 1 , [2,3],{"a":"]"} ] `, []string{"1", "[2,3]", `{"a":"]"}`}, true},
		{j, `[ ]`, nil, true},
		{j, `{}`, nil, false},
		{j, `null`, nil, false},
		{j, ``, nil, false},
		{j, `[1,`, []string{"1"}, false},
		{j, `[1 2]`, []string{"1"}, false},
		{m, "\x93\x01\x92\x02\x03\xa1a", []string{"\x01", "\x92\x02\x03", "\xa1a"}, true},
		{m, "\x90", nil, true},
		{m, "\x80", nil, false},
		{m, "\xc0", nil, false},
		{m, "", nil, false},
		{m, "\x92\x01", nil, false},
		{m, "\x92\x01\xc1", []string{"\x01"}, false},
	} {
		got, ok := collect(tc.c, tc.raw)
		if diff := cmp.Diff(tc.want, got); diff != "" || ok != tc.ok {
			t.Errorf("Elements(%q) = %v (-want +got):\n%s", tc.raw, ok, diff)
		}
	}
	for _, tc := range []struct {
		c    codec.Codec
		raw  string
		want []string
		ok   bool
	}{
		{j, ` { "a" : 1 , "\u0062\n":{"c":2}, "a":3 } `, []string{"a=1", "b\n={\"c\":2}", "a=3"}, true},
		{j, `{ }`, nil, true},
		{j, `[]`, nil, false},
		{j, `null`, nil, false},
		{j, ``, nil, false},
		{j, `{"a":1,`, []string{"a=1"}, false},
		{j, `{"a":1;`, []string{"a=1"}, false},
		{m, "\x82\xa1a\x01\xd9\x01b\x81\xa1c\x02", []string{"a=\x01", "b=\x81\xa1c\x02"}, true},
		{m, "\x80", nil, true},
		{m, "\x90", nil, false},
		{m, "\xc0", nil, false},
		{m, "\x81\x01\x02", nil, false},
		{m, "", nil, false},
	} {
		got, ok := members(tc.c, tc.raw)
		if diff := cmp.Diff(tc.want, got); diff != "" || ok != tc.ok {
			t.Errorf("Members(%q) = %v (-want +got):\n%s", tc.raw, ok, diff)
		}
	}

	// Verify that yield ends the walk.
	calls := 0
	stop := func(int, []byte) bool { calls++; return false }
	if !j.Elements([]byte(`[1,2]`), stop) || !m.Elements([]byte("\x92\x01\x02"), stop) || calls != 2 {
		t.Errorf("Elements went on: %d calls", calls)
	}
	calls = 0
	stopM := func(_, _ []byte) bool { calls++; return false }
	if !j.Members([]byte(`{"a":1,"b":2}`), stopM) || !m.Members([]byte("\x82\xa1a\x01\xa1b\x02"), stopM) || calls != 2 {
		t.Errorf("Members went on: %d calls", calls)
	}
}

func TestIsNull(t *testing.T) {
	j, m := codec.JSON(nil), codec.Msgpack(nil)
	for raw, want := range map[string]bool{"null": true, "\tnull": true, "nul": false, "nulls": false, "": false, "0": false, `"null"`: false} {
		if got := j.IsNull([]byte(raw)); got != want {
			t.Errorf("json: IsNull(%q) = %v", raw, got)
		}
	}
	for raw, want := range map[string]bool{"\xc0": true, "": false, "\x00": false, "\xc0\xc0": false, "\xa0": false} {
		if got := m.IsNull([]byte(raw)); got != want {
			t.Errorf("msgpack: IsNull(%q) = %v", raw, got)
		}
	}
}

// Verify that splitting allocates nothing for what arrives in numbers.
func TestSplitAllocs(t *testing.T) {
	for kind, c := range codecs(nil) {
		id, _ := c.AppendValue(nil, 12345)
		msg, err := c.AppendRequest(nil, id, "chat.send", samplePoint)
		if err != nil {
			t.Fatal(err)
		}
		envs := make([]codec.Envelope, 0, 4)
		batch := c.AppendBatch(nil, [][]byte{msg, msg})
		// A func that captures variables is itself an allocation of the
		// caller's, so these are made once.
		var sum int
		member := func(n, v []byte) bool { sum += len(n) + len(v); return true }
		element := func(_ int, e []byte) bool { sum += len(e); return true }
		checks := map[string]func(){
			"Split":          func() { envs, _, _ = c.Split(envs[:0], msg) },
			"Split of batch": func() { envs, _, _ = c.Split(envs[:0], batch) },
			"Members":        func() { c.Members(envs[0].Params, member) },
			"Elements":       func() { c.Elements(batch, element) },
		}
		checks["Split"]()
		for name, f := range checks {
			if n := testing.AllocsPerRun(100, f); n != 0 {
				t.Errorf("%s: %s allocates %v times", kind, name, n)
			}
		}
		out := make([]byte, 0, 512)
		for name, v := range map[string]any{"string": "hello", "int": 300, "struct": &samplePoint} {
			n := testing.AllocsPerRun(100, func() { out, _ = c.AppendResult(out[:0], id, false, v) })
			// The libraries allocate for time.Time and for omitempty.
			if limit := map[string]float64{"struct": 4}[name]; n > limit && !raceEnabled {
				t.Errorf("%s: AppendResult of %s allocates %v times", kind, name, n)
			}
		}
	}
}

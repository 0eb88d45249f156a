package codec_test

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"math"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/wireroom/wireroom/codec"
)

type Base struct {
	ID   uint16 `json:"id"`
	Note string `json:"note,omitempty"`
}

type kinds struct {
	Base
	*Extra
	B     bool              `json:"b"`
	I8    int8              `json:"i8"`
	I64   int64             `json:"i64"`
	U8    uint8             `json:"u8"`
	U64   uint64            `json:"u64"`
	F32   float32           `json:"f32"`
	F64   float64           `json:"f64"`
	S     string            `json:"s"`
	Raw   []byte            `json:"raw"`
	Arr   [3]int            `json:"arr"`
	Hash  [4]byte           `json:"hash"`
	List  []Base            `json:"list"`
	Map   map[string]int    `json:"map"`
	IDs   map[int]string    `json:"ids"`
	Any   any               `json:"any"`
	Ptr   *int              `json:"ptr"`
	PP    **string          `json:"pp"`
	Nil   *Base             `json:"nil"`
	At    time.Time         `json:"at"`
	For   time.Duration     `json:"for"`
	Addr  netip.Addr        `json:"addr"`
	Self  *kinds            `json:"self,omitempty"`
	Skip  int               `json:"-"`
	Plain int               // no tag
	Names map[string]string `json:"names"`
}

type Extra struct {
	Extra string `json:"extra"`
}

func sampleKinds() kinds {
	n, s := 7, "pp"
	ps := &s
	return kinds{
		Base: Base{ID: 65535, Note: "n"}, Extra: &Extra{"e"}, B: true,
		I8: -128, I64: math.MinInt64, U8: 255, U64: math.MaxUint64, F32: 0.25, F64: -1e300,
		S: "héllo", Raw: []byte{0, 255}, Arr: [3]int{1, 2, 3}, Hash: [4]byte{1, 2, 3, 4},
		List: []Base{{ID: 1}, {ID: 2, Note: "x"}}, Map: map[string]int{"a": 1, "b": -1},
		IDs: map[int]string{-5: "x"}, Any: "any", Ptr: &n, PP: &ps,
		At:  time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
		For: time.Second, Addr: netip.MustParseAddr("10.0.0.1"),
		Self: &kinds{S: "inner", Any: true, At: time.Unix(0, 0).UTC()}, Plain: 9,
		Names: map[string]string{"k": "v"},
	}
}

var cmpOpts = cmp.Options{
	cmp.AllowUnexported(kinds{}),
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
}

// Verify that structs of all kinds of fields come back as they went out.
func TestRoundTripStruct(t *testing.T) {
	for kind, c := range codecs(nil) {
		want := sampleKinds()
		raw, err := c.AppendValue(nil, &want)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		var got kinds
		if err := c.Decode(raw, &got); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if diff := cmp.Diff(want, got, cmpOpts); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
	}
}

// Verify that the fast paths for common kinds write what the libraries write.
func TestFastPathsMatchLibraries(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	values := []any{
		nil, "", "a", long[:31], long[:32], long[:255], long[:256], long[:65535], long,
		"<a&b>\"\\\b\f\n\r\t\x00\x1f\x7f é\u2028\u2029😀\uFFFD", "bad\xff\xc0utf8\xed\xa0\x80",
		true, false, []byte(nil), []byte{}, []byte("x"), []byte(long[:256]), []byte(long),
		math.NaN(), math.Inf(1), 0.0, math.Copysign(0, -1), 1.0, 1e20, 1e21, 1e-6, 1e-7, -1.5e-9, 1e100, math.MaxFloat64, math.SmallestNonzeroFloat64,
		int8(-128), int16(-32768), int32(math.MinInt32), uint8(255), uint16(65535), uint32(math.MaxUint32), uint(7), uint64(math.MaxUint64),
	}
	for shift := range 64 {
		for _, d := range []int64{-1, 0, 1} {
			n := int64(1)<<shift + d
			values = append(values, n, -n, int(n), uint64(n))
		}
	}
	j, m := codec.JSON(nil), codec.Msgpack(nil)
	for _, v := range values {
		var want bytes.Buffer
		enc := stdjson.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		wantErr := enc.Encode(v)
		got, err := j.AppendValue(nil, v)
		// Built with GOEXPERIMENT=jsonv2, encoding/json writes U+FFFD itself.
		wantText := strings.TrimSuffix(want.String(), "\n")
		if s, ok := v.(string); ok && !utf8.ValidString(s) {
			wantText = strings.ReplaceAll(wantText, "\uFFFD", `\ufffd`)
		}
		if (err != nil) != (wantErr != nil) || string(got) != wantText {
			t.Errorf("json: %#v: %.99q, %v; want %.99q, %v", v, got, err, want.String(), wantErr)
		}

		want.Reset()
		menc := msgpack.NewEncoder(&want)
		menc.UseCompactInts(true)
		wantErr = menc.Encode(v)
		got, err = m.AppendValue(nil, v)
		if (err != nil) != (wantErr != nil) || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("msgpack: %#v: %.99x, %v; want %.99x, %v", v, got, err, want.Bytes(), wantErr)
		}
	}
}

// Verify that nothing on the wire is escaped for HTML, and that no newline is
// left behind.
func TestJSONNoHTMLEscapes(t *testing.T) {
	raw, err := codec.JSON(nil).AppendValue(nil, map[string]any{"<": stdjson.RawMessage(`{ "a" : "<&>" }`), "n": stdjson.Number("12")})
	if err != nil || string(raw) != `{"<":{"a":"<&>"},"n":12}` {
		t.Errorf("%s, %v", raw, err)
	}
}

// color decodes itself from text.
type color struct{ name string }

func (c *color) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		return errors.New("codec_test.color: secret internals")
	}
	c.name = string(b)
	return nil
}

func (c color) MarshalText() ([]byte, error) { return []byte(c.name), nil }

// odd refuses every value, with words that a peer must not read.
type odd int

func (o *odd) UnmarshalJSON([]byte) error    { return errors.New("odd: secret internals") }
func (o *odd) UnmarshalMsgpack([]byte) error { return errors.New("odd: secret internals") }

type decodeCase struct {
	json, msgpack string // one of both may be empty
	into          any    // a pointer to a zero value
	want          any    // what it points to afterwards; nil if there is an error
	err           string
}

func TestDecode(t *testing.T) {
	type nested struct {
		User struct {
			Age  int8     `json:"age"`
			Tags []string `json:"tags"`
		} `json:"user"`
	}
	cases := []decodeCase{
		{json: `5`, msgpack: "\x05", into: new(int), want: 5},
		{json: `-5`, msgpack: "\xfb", into: new(int64), want: int64(-5)},
		{json: `9223372036854775807`, msgpack: "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", into: new(int64), want: int64(math.MaxInt64)},
		{json: `9223372036854775808`, msgpack: "\xcf\x80\x00\x00\x00\x00\x00\x00\x00", into: new(int64), err: "number out of range"},
		{json: `9223372036854775808`, msgpack: "\xcf\x80\x00\x00\x00\x00\x00\x00\x00", into: new(int), err: "number out of range"},
		{json: `18446744073709551615`, msgpack: "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", into: new(uint64), want: uint64(math.MaxUint64)},
		{json: `127`, msgpack: "\xcc\x7f", into: new(int8), want: int8(127)},
		{json: `128`, msgpack: "\xcc\x80", into: new(int8), err: "number out of range"},
		{json: `300`, msgpack: "\xcd\x01\x2c", into: new(int8), err: "number out of range"},
		{json: `-129`, msgpack: "\xd1\xff\x7f", into: new(int8), err: "number out of range"},
		{json: `-32769`, msgpack: "\xd2\xff\xff\x7f\xff", into: new(int16), err: "number out of range"},
		{json: `2147483648`, msgpack: "\xce\x80\x00\x00\x00", into: new(int32), err: "number out of range"},
		{json: `-1`, msgpack: "\xff", into: new(uint), err: "number out of range"},
		{json: `-1`, msgpack: "\xd3\xff\xff\xff\xff\xff\xff\xff\xff", into: new(uint64), err: "number out of range"},
		{json: `256`, msgpack: "\xcd\x01\x00", into: new(uint8), err: "number out of range"},
		{json: `255`, msgpack: "\xcd\x00\xff", into: new(uint8), want: uint8(255)},
		{json: `1.5`, msgpack: "\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", into: new(int), err: "expected an integer, without fraction or exponent"},
		{json: `1e3`, msgpack: "\xca\x3f\xc0\x00\x00", into: new(uint8), err: "expected an integer, without fraction or exponent"},
		{json: `1.0`, msgpack: "\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00", into: new(int), err: "expected an integer, without fraction or exponent"},
		{json: `1.5`, msgpack: "\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", into: new(float64), want: 1.5},
		{json: `1.5`, msgpack: "\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", into: new(float32), want: float32(1.5)},
		{json: `1.5`, msgpack: "\xca\x3f\xc0\x00\x00", into: new(float64), want: 1.5},
		{json: `7`, msgpack: "\x07", into: new(float64), want: 7.0},
		{json: `18446744073709551615`, msgpack: "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", into: new(float64), want: float64(math.MaxUint64)},
		{json: `1e39`, msgpack: "\xcb\x48\x07\x82\x87\xf4\x9c\x4a\x1d", into: new(float32), err: "number out of range"},
		{json: `1e999`, into: new(float64), err: "number out of range"},
		{json: `"5"`, msgpack: "\xa15", into: new(int), err: "expected a number, got a string"},
		{json: `"5"`, msgpack: "\xa15", into: new(float64), err: "expected a number, got a string"},
		{json: `true`, msgpack: "\xc3", into: new(int64), err: "expected a number, got a boolean"},
		{json: `[]`, msgpack: "\x90", into: new(uint), err: "expected a number, got an array"},
		{json: `{}`, msgpack: "\x80", into: new(float32), err: "expected a number, got an object"},
		{json: `1`, msgpack: "\x01", into: new(string), err: "expected a string, got a number"},
		{json: `[1]`, msgpack: "\x91\x01", into: new(string), err: "expected a string, got an array"},
		{msgpack: "\xc4\x01a", into: new(string), err: "expected a string, got binary data"},
		{msgpack: "\xd4\x05\x01", into: new(string), err: "expected a string, got an extension value"},
		{json: `"a\n"`, msgpack: "\xd9\x02a\n", into: new(string), want: "a\n"},
		{json: `"a"`, msgpack: "\xa1a", into: new(string), want: "a"},
		{json: `1`, msgpack: "\x01", into: new(bool), err: "expected a boolean, got a number"},
		{json: `true`, msgpack: "\xc3", into: new(bool), want: true},
		{json: `{}`, msgpack: "\x80", into: new([]int), err: "expected an array, got an object"},
		{json: `"x"`, msgpack: "\xa1x", into: new([2]int), err: "expected an array, got a string"},
		{json: `[1,2,3]`, msgpack: "\x93\x01\x02\x03", into: new([2]int), want: [2]int{1, 2}},
		{json: `[1]`, msgpack: "\x91\x01", into: new([2]int), want: [2]int{1, 0}},
		{json: `[1,"x"]`, msgpack: "\x92\x01\xa1x", into: new([]int), err: "1: expected a number, got a string"},
		{json: `[]`, msgpack: "\x90", into: new(Base), err: "expected an object, got an array"},
		{json: `[]`, msgpack: "\x90", into: new(map[string]int), err: "expected an object, got an array"},
		{json: `{"a":"x"}`, msgpack: "\x81\xa1a\xa1x", into: new(map[string]int), err: "a: expected a number, got a string"},
		{json: `{"a":1}`, msgpack: "\x81\xa1a\x01", into: new(map[string]int8), want: map[string]int8{"a": 1}},
		{json: `{"user":{"age":"x"}}`, msgpack: "\x81\xa4user\x81\xa3age\xa1x", into: new(nested), err: "user.age: expected a number, got a string"},
		{json: `{"user":{"age":200}}`, msgpack: "\x81\xa4user\x81\xa3age\xcc\xc8", into: new(nested), err: "user.age: number out of range"},
		{json: `{"user":{"tags":["a",{}]}}`, msgpack: "\x81\xa4user\x81\xa4tags\x92\xa1a\x80", into: new(nested), err: "user.tags.1: expected a string, got an object"},
		{json: `{"id":7,"other":[{}],"note":"n"}`, msgpack: "\x84\xa2id\x07\xa5other\x91\x80\x01\x02\xa4note\xa1n", into: new(Base), want: Base{7, "n"}},
		{json: `"AP8="`, msgpack: "\xc4\x02\x00\xff", into: new([]byte), want: []byte{0, 255}},
		{json: `5`, msgpack: "\x05", into: new([]byte), err: ""},
		{json: `"*"`, into: new([]byte), err: "expected a string in base64"},
		{msgpack: "\xa1x", into: new([]byte), want: []byte("x")},
		{msgpack: "\xc4\x03abc", into: new([4]byte), err: "expected 4 bytes"},

		{json: `null`, msgpack: "\xc0", into: new(int), want: 0},
		{json: `null`, msgpack: "\xc0", into: new(string), want: ""},
		{json: `null`, msgpack: "\xc0", into: new(Base), want: Base{}},
		{json: `null`, msgpack: "\xc0", into: new([]int), want: []int(nil)},
		{json: `null`, msgpack: "\xc0", into: new(*int), want: (*int)(nil)},
		{json: `null`, msgpack: "\xc0", into: new(any), want: any(nil)},
		{json: `null`, msgpack: "\xc0", into: new(time.Time), want: time.Time{}},
		{json: `null`, msgpack: "\xc0", into: new([2]int), want: [2]int{}},
		{json: `null`, msgpack: "\xc0", into: new(map[string]int), want: map[string]int(nil)},
		{json: `null`, msgpack: "\xc0", into: new(bool), want: false},
		{json: `null`, msgpack: "\xc0", into: new(float64), want: 0.0},

		{json: `"2026-01-02T03:04:05Z"`, msgpack: "\xb42026-01-02T03:04:05Z", into: new(time.Time), want: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		{msgpack: "\xd6\xff\x00\x00\x00\x05", into: new(time.Time), want: time.Unix(5, 0)},
		{json: `"soon"`, into: new(time.Time), err: "expected a time as in RFC 3339"},
		{json: `5`, into: new(time.Time), err: "expected a time as in RFC 3339"},
		{msgpack: "\xa4soon", into: new(time.Time), err: "expected a time: a timestamp, or a string as in RFC 3339"},
		{msgpack: "\xd4\xff\x00", into: new(time.Time), err: "expected a time: a timestamp, or a string as in RFC 3339"},
		{json: `"red"`, msgpack: "\xa3red", into: new(color), want: color{"red"}},
		{msgpack: "\xc4\x03red", into: new(color), want: color{"red"}},
		{json: `""`, msgpack: "\xa0", into: new(color), err: "invalid value"},
		{json: `5`, into: new(color), err: "expected a string, got a number"},
		{json: `[1]`, msgpack: "\x91\x01", into: new([]odd), err: "0: invalid value"},
		{json: `123456789012345678901234567890`, into: new(big.Int), want: *func() *big.Int { n, _ := new(big.Int).SetString("123456789012345678901234567890", 10); return n }()},
		{json: `12`, into: new(stdjson.Number), want: stdjson.Number("12")},
		{json: `"-1.5e3"`, into: new(stdjson.Number), want: stdjson.Number("-1.5e3")},
		{json: `null`, into: new(stdjson.Number), want: stdjson.Number("")},
		{json: `"x"`, into: new(stdjson.Number), err: "expected a number"},
		{json: `""`, into: new(stdjson.Number), err: "expected a number"},
		{json: `[]`, into: new(stdjson.Number), err: "expected a number"},
		{json: `[1, 2]`, into: new(stdjson.RawMessage), want: stdjson.RawMessage(`[1, 2]`)},
		{msgpack: "\x92\x01\x02", into: new(msgpack.RawMessage), want: msgpack.RawMessage("\x92\x01\x02")},
		{json: `1`, msgpack: "\x01", into: new(chan int), err: "invalid value"},
		{json: `1`, msgpack: "\x01", into: new(error), err: "invalid value"},

		{json: `5`, into: new(any), want: any(5.0)},
		{json: `{"a":[1,"x",null,true]}`, into: new(any), want: any(map[string]any{"a": []any{1.0, "x", nil, true}})},
		{msgpack: "\x81\xa1a\x96\x01\xd0\xff\xa1x\xc0\xc3\xca\x3f\xc0\x00\x00", into: new(any),
			want: any(map[string]any{"a": []any{int64(1), int64(-1), "x", nil, true, 1.5}})},
		{msgpack: "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", into: new(any), want: any(uint64(math.MaxUint64))},
		{msgpack: "\xc4\x01\xff", into: new(any), want: any([]byte{255})},
		{msgpack: "\xd6\xff\x00\x00\x00\x05", into: new(any), want: any(time.Unix(5, 0))},
		{msgpack: "\xc7\x0c\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05", into: new(any), want: any(time.Unix(5, 0))},
		{msgpack: "\x91\xd4\x05\x01", into: new(any), err: "0: invalid value"},
		{msgpack: "\x81\xa1a\x81\x01\x02", into: new(any), err: "a: in a name: expected a string, got a number"},
		{msgpack: "\x81\x90\x02", into: new(map[any]int), err: "in a name: invalid value"},
		{msgpack: "\x81\x05\x02", into: new(map[int8]int), want: map[int8]int{5: 2}},
		{msgpack: "\x81\xcd\x01\x00\x02", into: new(map[int8]int), err: "in a name: number out of range"},
		{json: `{"x":1`, msgpack: "\x81\xa1x", into: new(map[string]int), err: "malformed value"},
		{json: ``, msgpack: "", into: new(int), err: "malformed value"},
		{json: `1 2`, msgpack: "\x01\x02", into: new(int), err: "malformed value"},
	}
	for kind, c := range codecs(nil) {
		for i, tc := range cases {
			raw := tc.json
			if kind == "msgpack" {
				raw = tc.msgpack
			}
			if raw == "" && tc.err != "malformed value" {
				continue
			}
			into := newLike(tc.into)
			err := c.Decode([]byte(raw), into)
			if tc.want == nil && tc.err != "" || tc.err != "" {
				if err == nil || err.Error() != tc.err {
					t.Errorf("%s: case %d: Decode(%q, %T) = %v; want %q", kind, i, raw, into, err, tc.err)
				}
				continue
			}
			if tc.want == nil && err == nil && !isNilAny(into) {
				t.Errorf("%s: case %d: Decode(%q, %T): no error", kind, i, raw, into)
			}
			if tc.want == nil {
				continue
			}
			if err != nil {
				t.Errorf("%s: case %d: Decode(%q, %T): %v", kind, i, raw, into, err)
				continue
			}
			if diff := cmp.Diff(tc.want, deref(into), cmpOpts, cmp.AllowUnexported(color{}),
				cmp.Comparer(func(a, b big.Int) bool { return a.Cmp(&b) == 0 })); diff != "" {
				t.Errorf("%s: case %d: Decode(%q, %T) (-want +got):\n%s", kind, i, raw, into, diff)
			}
		}
	}
}

// Verify that no error of Decode speaks of Go, and that what does is kept.
func TestDecodeErrorsAreForPeers(t *testing.T) {
	for kind, c := range codecs(nil) {
		for _, v := range []any{0, -1, 1.5, 1e300, "x", true, []int{1}, map[string]int{"a": 1}, []byte{1}, samplePoint, uint64(math.MaxUint64)} {
			raw, err := c.AppendValue(nil, v)
			if err != nil {
				t.Fatal(err)
			}
			for _, into := range []any{
				new(int8), new(uint16), new(float32), new(string), new(bool), new([]string), new([1]bool), new([]byte),
				new(Base), new(kinds), new(map[string]bool), new(map[int]int), new(time.Time), new(netip.Addr), new(odd), new(color), new(func()), new(complex64),
			} {
				err := c.Decode(raw, into)
				if err == nil {
					continue
				}
				for _, word := range []string{"json", "msgpack", "Go ", "codec", "struct", "int8", "uint", "float", "code=", "secret", "nil", "unmarshal", "netip", "kind", "reflect"} {
					if strings.Contains(err.Error(), word) {
						t.Errorf("%s: %s into %T: %q", kind, raw, into, err)
					}
				}
			}
		}
		raw, _ := c.AppendValue(nil, 1)
		if err := c.Decode(raw, new(odd)); errors.Unwrap(err) == nil || !strings.Contains(errors.Unwrap(err).Error(), "secret") {
			t.Errorf("%s: the cause is lost: %v", kind, errors.Unwrap(err))
		}
	}
}

func TestDecodeNotPointer(t *testing.T) {
	for kind, c := range codecs(nil) {
		raw, _ := c.AppendValue(nil, 1)
		for _, v := range []any{nil, 1, "x", (*int)(nil), (*int64)(nil), (*string)(nil), (*bool)(nil), (*float64)(nil), (*Base)(nil)} {
			if err := c.Decode(raw, v); err == nil {
				t.Errorf("%s: Decode into %#v: no error", kind, v)
			}
		}
	}
}

// Verify that what Decode fills shares no memory with the message.
func TestDecodeCopies(t *testing.T) {
	type target struct {
		S string
		B []byte
		A any
		R stdjson.RawMessage
		M msgpack.RawMessage
	}
	for kind, c := range codecs(nil) {
		want := target{S: "abc", B: []byte("def"), A: "ghi"}
		raw, err := c.AppendValue(nil, map[string]any{"S": want.S, "B": want.B, "A": want.A})
		if err != nil {
			t.Fatal(err)
		}
		var got target
		if err := c.Decode(raw, &got); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		clear(raw)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
	}
}

// Verify that variables that hold something are decoded into, not replaced,
// where encoding/json does so.
func TestDecodeIntoFilled(t *testing.T) {
	for kind, c := range codecs(nil) {
		raw, _ := c.AppendValue(nil, map[string]any{"id": 5})
		inner := Base{ID: 1, Note: "keep"}
		var v any = &inner
		if err := c.Decode(raw, &v); err != nil || inner != (Base{5, "keep"}) {
			t.Errorf("%s: through an interface: %+v, %v", kind, inner, err)
		}
		m := map[string]int{"old": 1}
		if err := c.Decode(raw, &m); err != nil || !cmp.Equal(m, map[string]int{"old": 1, "id": 5}) {
			t.Errorf("%s: map: %v, %v", kind, m, err)
		}
		list, _ := c.AppendValue(nil, []int{9})
		s := []int{1, 2, 3}
		if err := c.Decode(list, &s); err != nil || !cmp.Equal(s, []int{9}) {
			t.Errorf("%s: slice: %v, %v", kind, s, err)
		}
	}
}

// Verify that a value that contains itself is an error and does not overflow
// the stack, which nobody can recover from.
func TestEncodeCycle(t *testing.T) {
	type node struct {
		Next *node `json:"next"`
	}
	ring := &node{}
	ring.Next = ring
	list := make([]any, 1)
	list[0] = list
	dict := map[string]any{}
	dict["a"] = dict
	for kind, c := range codecs(nil) {
		for _, v := range []any{ring, list, dict} {
			dst := []byte("x")
			out, err := c.AppendValue(dst, v)
			if err == nil || string(out) != "x" {
				t.Errorf("%s: %T: %d bytes, %v", kind, v, len(out), err)
			}
		}
		// Large flat values pass.
		big := make([][]int, codec.FirstCheck)
		for i := range big {
			big[i] = []int{1, 2, 3}
		}
		if _, err := c.AppendValue(nil, big); err != nil {
			t.Errorf("%s: a large value: %v", kind, err)
		}
	}
}

// Verify that methods of pointers are found in a struct passed by value.
func TestEncodeByValue(t *testing.T) {
	type pair struct {
		A pointerText `json:"a"`
	}
	raw, err := codec.Msgpack(nil).AppendValue(nil, pair{})
	if err != nil || string(raw) != "\x81\xa1a\xc4\x03ptr" {
		t.Errorf("%x, %v", raw, err)
	}
}

type pointerText struct{}

func (*pointerText) MarshalText() ([]byte, error) { return []byte("ptr"), nil }

// Verify that both codecs see embedded structs as the library that encodes
// them does, and that structs with tags of the library's own still work.
func TestMsgpackTags(t *testing.T) {
	type inner struct {
		A int `json:"a"`
		B int `json:"b"`
	}
	type shadow struct {
		A     int `json:"a"`
		inner     // its a is taken: the library nests it
	}
	type renamed struct {
		A int `msgpack:"x,omitempty" json:"y"`
	}
	type alias struct {
		A int `msgpack:"a,alias:old"`
	}
	type array struct {
		_msgpack struct{} `msgpack:",as_array"` //nolint:unused // the library looks for the name
		A, B     int
	}
	c := codec.Msgpack(nil)
	for _, v := range []any{
		&struct{ inner }{inner{1, 2}}, &renamed{3}, &renamed{}, &alias{4}, &array{A: 5, B: 6},
		&struct{ Base }{Base{7, "n"}}, &struct{ *Extra }{&Extra{"x"}}, &struct{ *Extra }{}, &struct{ time.Time }{time.Unix(5, 0)},
	} {
		raw, err := c.AppendValue(nil, v)
		if err != nil {
			t.Errorf("%T: %v", v, err)
			continue
		}
		got := newLike(v)
		if err := c.Decode(raw, got); err != nil {
			t.Errorf("%T: %x: %v", v, raw, err)
			continue
		}
		again, err := c.AppendValue(nil, got)
		if err != nil || !bytes.Equal(raw, again) {
			t.Errorf("%T: %x became %x, %v", v, raw, again, err)
		}
	}
	raw, err := c.AppendValue(nil, shadow{1, inner{2, 3}})
	if err != nil {
		t.Fatal(err)
	}
	var s shadow
	if err := c.Decode(raw, &s); err != nil || s.A != 1 {
		t.Errorf("shadow: %+v, %v", s, err)
	}
}

package codec

import (
	"bytes"
	"encoding/base64"
	stdjson "encoding/json"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// Values are encoded by encoding/json and decoded by go-json-experiment/json,
// set to the semantics of encoding/json, whose next version it is. Five
// libraries were compared in one run on a struct of six fields, in messages of
// 125 bytes and of 1 KiB (time relative to encoding/json, allocations):
//
//	                         decode 125 B   decode 1 KiB  encode 125 B  encode 1 KiB
//	encoding/json            1      11      1      11     1     0       1     0
//	go-json-experiment (v1)  0.59    3      0.35    4     1.51  0       1.11  0
//	segmentio/encoding       0.24    5      0.11    5     0.46  0       0.32  0
//	goccy/go-json            0.18    5      0.10    5     0.58  1       0.48  1
//	bytedance/sonic          0.26    8      0.16    8     0.69  2       0.50  2
//
// The three fastest write through unsafe pointers into the variables of our
// users (34, 104 and 69 of their files import unsafe), sonic with machine code
// that it generates and seven more modules; a mistake there is memory corruption
// that a peer can reach. go-json-experiment imports unsafe nowhere and nothing
// but the standard library. It promises no stable API, hence the pinned commit
// and the use in this file only. What would change our mind: a Go release whose
// encoding/json decodes as fast, which lets the dependency go.

// legacy are the semantics of encoding/json, except that decoding stops at the
// first error, which keeps the error's details.
var legacy = json.JoinOptions(jsonv1.DefaultOptionsV1(), jsonv1.ReportErrorsWithLegacySemantics(false))

// withNumbers is legacy for types in which there is a json.Number of the
// standard library: go-json-experiment takes that for a string. It makes
// decoding slower, so that other types go without.
var withNumbers = json.JoinOptions(legacy, json.WithUnmarshalers(json.UnmarshalFromFunc(decodeNumber)))

func decodeNumber(dec *jsontext.Decoder, n *stdjson.Number) error {
	switch dec.PeekKind() {
	case jsontext.KindNull:
		_, err := dec.ReadToken()
		return err
	case jsontext.KindNumber, jsontext.KindString:
		raw, err := dec.ReadValue()
		if err != nil {
			return err
		}
		// As encoding/json: a string will do if a number is in it.
		text := strings.Trim(string(raw), `"`)
		if i := skipNumber([]byte(text+" "), 0); i != len(text) {
			return errNumber
		}
		*n = stdjson.Number(text)
		return nil
	}
	return errNumber
}

var errNumber = errors.New("not a number")

// hasNumbers reports whether a json.Number can be in a variable of type t.
func (c *jsonCodec) hasNumbers(t reflect.Type) bool {
	if has, ok := c.numbers.Load(t); ok {
		return has.(bool)
	}
	has := findNumber(t, make(map[reflect.Type]bool))
	c.numbers.Store(t, has)
	return has
}

func findNumber(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.String:
		return t == reflect.TypeFor[stdjson.Number]()
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return findNumber(t.Elem(), seen)
	case reflect.Map:
		return findNumber(t.Key(), seen) || findNumber(t.Elem(), seen)
	case reflect.Struct:
		for f := range t.Fields() {
			if findNumber(f.Type, seen) {
				return true
			}
		}
	}
	return false
}

// jsonEncoder is an encoding/json Encoder that appends.
type jsonEncoder struct {
	enc *stdjson.Encoder
	out []byte
}

func (e *jsonEncoder) Write(p []byte) (int, error) {
	e.out = append(e.out, p...)
	return len(p), nil
}

var jsonEncoders = sync.Pool{New: func() any {
	e := new(jsonEncoder)
	e.enc = stdjson.NewEncoder(e)
	e.enc.SetEscapeHTML(false)
	return e
}}

func (c *jsonCodec) AppendValue(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case string:
		return appendJSONString(dst, v), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case int8:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case int16:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case int32:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case uint:
		return strconv.AppendUint(dst, uint64(v), 10), nil
	case uint8:
		return strconv.AppendUint(dst, uint64(v), 10), nil
	case uint16:
		return strconv.AppendUint(dst, uint64(v), 10), nil
	case uint32:
		return strconv.AppendUint(dst, uint64(v), 10), nil
	case uint64:
		return strconv.AppendUint(dst, v, 10), nil
	case float64:
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			return appendJSONFloat(dst, v), nil
		}
	case []byte:
		if v == nil {
			return append(dst, "null"...), nil
		}
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v)
		return append(dst, '"'), nil
	}

	e := jsonEncoders.Get().(*jsonEncoder)
	e.out = dst
	err := e.enc.Encode(v)
	out := e.out
	e.out = nil // dst is the caller's
	jsonEncoders.Put(e)
	if err != nil {
		return dst, err
	}
	return out[:len(out)-1], nil // without the newline that Encode adds
}

const hexDigits = "0123456789abcdef"

// appendJSONString appends s as encoding/json does with HTML escaping off.
func appendJSONString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plainJSON[c] {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\b':
				dst = append(dst, `\b`...)
			case '\f':
				dst = append(dst, `\f`...)
			case '\n':
				dst = append(dst, `\n`...)
			case '\r':
				dst = append(dst, `\r`...)
			case '\t':
				dst = append(dst, `\t`...)
			default:
				dst = append(dst, `\u00`...)
				dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029': // line ends in JavaScript before 2019
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\u202`...)
			dst = append(dst, hexDigits[r&15])
			start = i + size
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// appendJSONFloat appends the finite number f as encoding/json does: as
// ECMAScript formats numbers.
func appendJSONFloat(dst []byte, f float64) []byte {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	dst = strconv.AppendFloat(dst, f, format, -1, 64)
	if n := len(dst); format == 'e' && n >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1] // e-09 is written e-9
		dst = dst[:n-1]
	}
	return dst
}

func (c *jsonCodec) Decode(raw []byte, v any) error {
	if decodeSimple(raw, v) {
		return nil
	}
	if p := reflect.ValueOf(v); p.Kind() != reflect.Pointer || p.IsNil() {
		return errNotPointer
	}
	opts := legacy
	if c.hasNumbers(reflect.TypeOf(v)) {
		opts = withNumbers
	}
	if err := json.Unmarshal(raw, v, opts); err != nil {
		return jsonError(err)
	}
	return nil
}

// decodeSimple decodes the scalars that most positional parameters are, and
// what has no type. It reports false, and has done nothing, if the value is of another form or does
// not fit: the library knows what to do then.
func decodeSimple(raw []byte, v any) bool {
	if len(raw) == 0 {
		return false
	}
	switch v := v.(type) {
	case *string:
		if raw[0] != '"' || v == nil {
			return false
		}
		end, escaped := skipString(raw, 0)
		if escaped || end != len(raw) {
			return false
		}
		*v = string(raw[1 : end-1])
		return true
	case *int:
		n, ok := simpleInt(raw)
		if !ok || v == nil || int64(int(n)) != n {
			return false
		}
		*v = int(n)
		return true
	case *int64:
		n, ok := simpleInt(raw)
		if !ok || v == nil {
			return false
		}
		*v = n
		return true
	case *uint:
		n, ok := simpleInt(raw)
		if !ok || v == nil || raw[0] == '-' || uint64(uint(n)) != uint64(n) {
			return false
		}
		*v = uint(n)
		return true
	case *uint64:
		n, ok := simpleInt(raw)
		if !ok || v == nil || raw[0] == '-' {
			return false
		}
		*v = uint64(n)
		return true
	case *float64:
		n, ok := simpleInt(raw)
		if !ok || v == nil || n == 0 || len(raw) > 15 { // -0 is no integer; up to 15 digits are exact
			return false
		}
		*v = float64(n)
		return true
	case *bool:
		if v == nil || string(raw) != "true" && string(raw) != "false" {
			return false
		}
		*v = raw[0] == 't'
		return true
	case *any:
		if v == nil || *v != nil {
			return false
		}
		x, ok := decodeJSONAny(raw)
		if ok {
			*v = x
		}
		return ok
	case *map[string]any:
		if v == nil || *v != nil {
			return false
		}
		x, _ := decodeJSONAny(raw)
		m, ok := x.(map[string]any)
		if ok {
			*v = m
		}
		return ok
	}
	return false
}

// simpleInt returns the integer that raw is, if it is one of up to 18 digits.
func simpleInt(raw []byte) (int64, bool) {
	digits := raw
	if raw[0] == '-' {
		digits = raw[1:]
	}
	if len(digits) == 0 || len(digits) > 18 || digits[0] == '0' && len(digits) > 1 {
		return 0, false
	}
	var n int64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if raw[0] == '-' {
		n = -n
	}
	return n, true
}

var (
	timeType            = reflect.TypeFor[time.Time]()
	jsonUnmarshalerType = reflect.TypeFor[stdjson.Unmarshaler]()
)

// jsonError puts what the library said into words for the peer.
func jsonError(err error) error {
	var sem *json.SemanticError
	if !errors.As(err, &sem) {
		return &decodeError{text: textMalformed, cause: err}
	}
	e := &decodeError{text: textInvalid, cause: err}
	t := sem.GoType
	var want, got string
	if t != nil {
		want = wanted(t, wordBase64)
		if t.Kind() != reflect.Pointer {
			t = reflect.PointerTo(t)
		}
	}
	switch sem.JSONKind {
	case jsontext.KindNull:
		got = "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		got = "a boolean"
	case jsontext.KindNumber:
		got = "a number"
	case jsontext.KindString:
		got = "a string"
	case jsontext.KindBeginObject:
		got = "an object"
	case jsontext.KindBeginArray:
		got = "an array"
	}
	switch {
	case t == nil:
	case errors.Is(sem.Err, errNumber):
		e.text = "expected a number"
	case t.Elem() == timeType:
		e.text = "expected a time as in RFC 3339"
	case t.Implements(jsonUnmarshalerType):
		// What the type's own method said was not written for the peer.
	case t.Implements(textUnmarshalerType):
		if got != "" && got != "a string" {
			e.text = mismatch("a string", got).text
		}
	case want == "" || got == "":
	case want == got && (errors.Is(sem.Err, strconv.ErrRange) || isWhole(sem.JSONValue)):
		e.text = textRange
	case want == got && isInteger(t.Elem().Kind()):
		e.text = textInteger
	case want != got && !(want == wordBase64 && got == "a string"):
		e.text = mismatch(want, got).text
	case want == wordBase64:
		e.text = "expected " + want
	}
	if p := strings.TrimPrefix(string(sem.JSONPointer), "/"); p != "" {
		p = strings.NewReplacer("/", ".", "~1", "/", "~0", "~").Replace(p)
		return e.in(p)
	}
	return e
}

// isWhole reports whether the number raw is written without fraction and
// exponent.
func isWhole(raw []byte) bool {
	return len(raw) > 0 && !bytes.ContainsAny(raw, ".eE")
}

package codec

import (
	"bytes"
	"encoding"
	"encoding/binary"
	"math"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// The library decodes 300 into an int8 as 44 and -1 into a uint as 2^64-1,
// refuses the doubles that JavaScript sends for a float32, allocates by
// declared sizes and speaks of codes in its errors. So the plain kinds of Go
// are decoded here, and the library is asked for what has rules of its own:
// time.Time, extension types, types with their own unmarshaler, and structs
// whose tags ask for more than a name. Differences from the JSON codec: names
// of struct fields must match in case, maps may have keys that are no strings
// if the Go map has such keys, and bytes are binary data.

// decodeFunc decodes the value at b[i] into v, and returns the index behind it.
// b has been walked over before: it holds whole values only.
type decodeFunc func(b []byte, i int, v reflect.Value) (int, *decodeError)

func (c *msgpackCodec) Decode(raw []byte, v any) error {
	// This walk is what lets everything below trust lengths and nesting.
	if mpSkip(raw, 0, 0) != len(raw) {
		return &decodeError{text: textMalformed}
	}
	if decodeMpSimple(raw, v) {
		return nil
	}
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return errNotPointer
	}
	p = p.Elem()
	if _, err := c.decoder(p.Type())(raw, 0, p); err != nil {
		return err
	}
	return nil
}

// decodeMpSimple decodes the scalars that most positional parameters are. It
// reports false, and has done nothing, if the value is another or does not fit.
func decodeMpSimple(raw []byte, v any) bool {
	switch v := v.(type) {
	case *string:
		s, ok := mpText(raw)
		if !ok || v == nil {
			return false
		}
		*v = string(s)
		return true
	case *int:
		n, ok := mpInteger(raw, 0)
		if !ok || v == nil || !n.fits(strconv.IntSize) {
			return false
		}
		*v = int(n.signed)
		return true
	case *int64:
		n, ok := mpInteger(raw, 0)
		if !ok || v == nil || !n.fits(64) {
			return false
		}
		*v = n.signed
		return true
	case *float64:
		if raw[0] != mpFloat64 || v == nil {
			return false
		}
		*v = math.Float64frombits(binary.BigEndian.Uint64(raw[1:]))
		return true
	}
	return false
}

// decoder returns the function that decodes into variables of type t.
func (c *msgpackCodec) decoder(t reflect.Type) decodeFunc {
	if f, ok := c.decoders.Load(t); ok {
		return f.(decodeFunc)
	}
	// Types may contain themselves. Whoever asks for t before its function is
	// made gets one that waits for it.
	var (
		ready sync.WaitGroup
		f     decodeFunc
	)
	ready.Add(1)
	wait := decodeFunc(func(b []byte, i int, v reflect.Value) (int, *decodeError) {
		ready.Wait()
		return f(b, i, v)
	})
	if other, loaded := c.decoders.LoadOrStore(t, wait); loaded {
		return other.(decodeFunc)
	}
	f = c.newDecoder(t)
	ready.Done()
	c.decoders.Store(t, f)
	return f
}

func (c *msgpackCodec) newDecoder(t reflect.Type) decodeFunc {
	if t.Kind() != reflect.Pointer && decodesItself(t) {
		return decodeOwn
	}
	switch t.Kind() {
	case reflect.Pointer:
		return c.pointerDecoder(t)
	case reflect.Interface:
		return c.decodeInterface
	case reflect.Bool:
		return decodeBool
	case reflect.String:
		return decodeString
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return decodeInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return decodeUint
	case reflect.Float32, reflect.Float64:
		return decodeFloat
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return decodeBytes
		}
		return c.sliceDecoder(t)
	case reflect.Array:
		return c.arrayDecoder(t)
	case reflect.Map:
		return c.mapDecoder(t)
	case reflect.Struct:
		return c.structDecoder(t)
	}
	return func(b []byte, i int, v reflect.Value) (int, *decodeError) {
		return 0, &decodeError{text: textInvalid}
	}
}

var (
	textUnmarshalerType = reflect.TypeFor[encoding.TextUnmarshaler]()

	ownDecoders = []reflect.Type{
		reflect.TypeFor[msgpack.CustomDecoder](),
		reflect.TypeFor[msgpack.Unmarshaler](),
		reflect.TypeFor[encoding.BinaryUnmarshaler](),
		textUnmarshalerType,
	}
	ownEncoders = []reflect.Type{
		reflect.TypeFor[msgpack.CustomEncoder](),
		reflect.TypeFor[msgpack.Marshaler](),
		reflect.TypeFor[encoding.BinaryMarshaler](),
		reflect.TypeFor[encoding.TextMarshaler](),
	}
)

// implementsAny reports whether t or a pointer to it is one of ifaces.
func implementsAny(t reflect.Type, ifaces []reflect.Type) bool {
	p := reflect.PointerTo(t)
	for _, iface := range ifaces {
		if t.Implements(iface) || p.Implements(iface) {
			return true
		}
	}
	return false
}

// decodesItself reports whether t has a method that the library decodes with.
func decodesItself(t reflect.Type) bool {
	return t.Kind() != reflect.Interface && implementsAny(t, ownDecoders)
}

// mpDecoder is the library's decoder, reading from a slice.
type mpDecoder struct {
	dec *msgpack.Decoder
	r   bytes.Reader
}

var mpDecoders = sync.Pool{New: func() any {
	return &mpDecoder{dec: msgpack.NewDecoder(nil)}
}}

// maxPooled is the size of a value whose decoder is still worth keeping: the
// decoder keeps a buffer of the largest string it has read.
const maxPooled = 16 << 10

// decodeOwn lets the library decode.
func decodeOwn(b []byte, i int, v reflect.Value) (int, *decodeError) {
	end := mpSkip(b, i, 0)
	if b[i] == mpNilCode {
		return end, decodeNil(v)
	}
	d := mpDecoders.Get().(*mpDecoder)
	d.r.Reset(b[i:end])
	d.dec.Reset(&d.r)
	d.dec.SetCustomStructTag(structTag)
	err := d.dec.Decode(v.Addr().Interface())
	d.r.Reset(nil)
	if err != nil {
		// The decoder goes with the error: it may be left recording what it
		// reads for an unmarshaler that is no longer there.
		text := textInvalid
		if v.Type() == timeType {
			text = "expected a time: a timestamp, or a string as in RFC 3339"
		}
		return 0, &decodeError{text: text, cause: err}
	}
	if end-i <= maxPooled {
		mpDecoders.Put(d)
	}
	return end, nil
}

// decodeNil does with v what encoding/json does for null.
func decodeNil(v reflect.Value) *decodeError {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		v.SetZero()
	}
	return nil
}

// mismatchAt is the error for the value at b[i] where want was wanted.
func mismatchAt(b []byte, i int, want string) *decodeError {
	return mismatch(want, kindOf(b[i]).String())
}

// integer is an integer of any of MessagePack's widths.
type integer struct {
	signed   int64  // the value, unless big
	unsigned uint64 // the value, unless it is negative
	big      bool   // more than math.MaxInt64
}

// fits reports whether n fits into a signed integer of so many bits.
func (n integer) fits(bits int) bool {
	return !n.big && n.signed>>(bits-1) == n.signed>>63
}

// fitsUnsigned reports whether n fits into an unsigned integer of so many bits.
func (n integer) fitsUnsigned(bits int) bool {
	return (n.big || n.signed >= 0) && (bits == 64 || n.unsigned>>bits == 0)
}

// mpInteger reads the integer at b[i]; ok is false if that is something else.
func mpInteger(b []byte, i int) (n integer, ok bool) {
	c := b[i]
	rest := b[i+1:]
	switch {
	case c < 0x80:
		n.signed = int64(c)
	case c >= 0xe0:
		n.signed = int64(int8(c))
	case c == mpUint8:
		n.signed = int64(rest[0])
	case c == mpUint16:
		n.signed = int64(binary.BigEndian.Uint16(rest))
	case c == mpUint32:
		n.signed = int64(binary.BigEndian.Uint32(rest))
	case c == mpUint64:
		u := binary.BigEndian.Uint64(rest)
		return integer{signed: int64(u), unsigned: u, big: u > math.MaxInt64}, true
	case c == mpInt8:
		n.signed = int64(int8(rest[0]))
	case c == mpInt16:
		n.signed = int64(int16(binary.BigEndian.Uint16(rest)))
	case c == mpInt32:
		n.signed = int64(int32(binary.BigEndian.Uint32(rest)))
	case c == mpInt64:
		n.signed = int64(binary.BigEndian.Uint64(rest))
	default:
		return integer{}, false
	}
	n.unsigned = uint64(n.signed)
	return n, true
}

// after returns the index behind the scalar at b[i].
func after(b []byte, i int) int {
	_, next, _ := mpHead(b, i)
	return next
}

func decodeBool(b []byte, i int, v reflect.Value) (int, *decodeError) {
	switch b[i] {
	case mpNilCode:
	case mpFalse, mpTrue:
		v.SetBool(b[i] == mpTrue)
	default:
		return 0, mismatchAt(b, i, "a boolean")
	}
	return i + 1, nil
}

func decodeString(b []byte, i int, v reflect.Value) (int, *decodeError) {
	kind, next, n := mpHead(b, i)
	switch kind {
	case mpNil:
	case mpStr:
		v.SetString(string(b[next : next+n]))
	default:
		return 0, mismatchAt(b, i, "a string")
	}
	return next + n, nil
}

// notInteger is the error for the value at b[i], which is not the integer that
// was wanted.
func notInteger(b []byte, i int) *decodeError {
	if kindOf(b[i]) == mpFloat {
		return &decodeError{text: textInteger}
	}
	return mismatchAt(b, i, "a number")
}

func decodeInt(b []byte, i int, v reflect.Value) (int, *decodeError) {
	n, ok := mpInteger(b, i)
	switch {
	case ok && n.fits(v.Type().Bits()):
		v.SetInt(n.signed)
	case ok:
		return 0, &decodeError{text: textRange}
	case b[i] != mpNilCode:
		return 0, notInteger(b, i)
	}
	return after(b, i), nil
}

func decodeUint(b []byte, i int, v reflect.Value) (int, *decodeError) {
	n, ok := mpInteger(b, i)
	switch {
	case ok && n.fitsUnsigned(v.Type().Bits()):
		v.SetUint(n.unsigned)
	case ok:
		return 0, &decodeError{text: textRange}
	case b[i] != mpNilCode:
		return 0, notInteger(b, i)
	}
	return after(b, i), nil
}

// mpNumber reads the number at b[i], of any type, as a float64.
func mpNumber(b []byte, i int) (f float64, ok bool) {
	switch b[i] {
	case mpFloat32:
		return float64(math.Float32frombits(binary.BigEndian.Uint32(b[i+1:]))), true
	case mpFloat64:
		return math.Float64frombits(binary.BigEndian.Uint64(b[i+1:])), true
	}
	n, ok := mpInteger(b, i)
	if n.big {
		return float64(n.unsigned), ok
	}
	return float64(n.signed), ok
}

func decodeFloat(b []byte, i int, v reflect.Value) (int, *decodeError) {
	f, ok := mpNumber(b, i)
	switch {
	case ok && (math.IsInf(f, 0) || !v.OverflowFloat(f)):
		v.SetFloat(f)
	case ok:
		return 0, &decodeError{text: textRange}
	case b[i] != mpNilCode:
		return 0, mismatchAt(b, i, "a number")
	}
	return after(b, i), nil
}

func decodeBytes(b []byte, i int, v reflect.Value) (int, *decodeError) {
	kind, next, n := mpHead(b, i)
	switch kind {
	case mpNil:
		v.SetZero()
	case mpBin, mpStr:
		v.SetBytes(append(make([]byte, 0, n), b[next:next+n]...))
	default:
		return 0, mismatchAt(b, i, wordBinary)
	}
	return next + n, nil
}

func (c *msgpackCodec) pointerDecoder(t reflect.Type) decodeFunc {
	elem := c.decoder(t.Elem())
	return func(b []byte, i int, v reflect.Value) (int, *decodeError) {
		if b[i] == mpNilCode {
			v.SetZero()
			return i + 1, nil
		}
		if v.IsNil() {
			v.Set(reflect.New(t.Elem()))
		}
		return elem(b, i, v.Elem())
	}
}

func (c *msgpackCodec) sliceDecoder(t reflect.Type) decodeFunc {
	elem := c.decoder(t.Elem())
	return func(b []byte, i int, v reflect.Value) (int, *decodeError) {
		kind, next, n := mpHead(b, i)
		if kind == mpNil {
			v.SetZero()
			return next, nil
		}
		if kind != mpArray {
			return 0, mismatchAt(b, i, "an array")
		}
		if v.Cap() < n || v.IsNil() {
			v.Set(reflect.MakeSlice(t, n, n))
		} else {
			v.SetLen(n)
			v.Clear()
		}
		return decodeElements(b, next, n, v, elem)
	}
}

func (c *msgpackCodec) arrayDecoder(t reflect.Type) decodeFunc {
	elem := c.decoder(t.Elem())
	isBytes := t.Elem().Kind() == reflect.Uint8
	return func(b []byte, i int, v reflect.Value) (int, *decodeError) {
		kind, next, n := mpHead(b, i)
		switch {
		case kind == mpNil:
			return next, nil
		case isBytes && kind == mpBin:
			if n != v.Len() {
				return 0, &decodeError{text: "expected " + strconv.Itoa(v.Len()) + " bytes"}
			}
			reflect.Copy(v, reflect.ValueOf(b[next:next+n]))
			return next + n, nil
		case kind != mpArray:
			return 0, mismatchAt(b, i, wanted(t, wordBinary))
		}
		// As encoding/json: what is too much is left, what is missing is zero.
		v.SetZero()
		i, err := decodeElements(b, next, min(n, v.Len()), v, elem)
		for ; err == nil && n > v.Len(); n-- {
			i = mpSkip(b, i, 0)
		}
		return i, err
	}
}

// decodeElements decodes the n values from b[i] on into the elements of v.
func decodeElements(b []byte, i, n int, v reflect.Value, elem decodeFunc) (int, *decodeError) {
	for j := range n {
		var err *decodeError
		if i, err = elem(b, i, v.Index(j)); err != nil {
			return 0, err.in(strconv.Itoa(j))
		}
	}
	return i, nil
}

// maxHint bounds the size a Go map is made with: the names in a message may
// all be the same.
const maxHint = 256

func (c *msgpackCodec) mapDecoder(t reflect.Type) decodeFunc {
	key, elem := c.decoder(t.Key()), c.decoder(t.Elem())
	return func(b []byte, i int, v reflect.Value) (int, *decodeError) {
		kind, next, n := mpHead(b, i)
		if kind == mpNil {
			v.SetZero()
			return next, nil
		}
		if kind != mpMap {
			return 0, mismatchAt(b, i, "an object")
		}
		if v.IsNil() {
			v.Set(reflect.MakeMapWithSize(t, min(n/2, maxHint)))
		}
		i = next
		for ; n > 0; n -= 2 {
			k := reflect.New(t.Key()).Elem()
			e := reflect.New(t.Elem()).Elem()
			value, err := key(b, i, k)
			if err == nil && !k.Comparable() {
				err = &decodeError{text: textInvalid}
			}
			if err != nil {
				err.text = "in a name: " + err.text
				return 0, err
			}
			end, err := elem(b, value, e)
			if err != nil {
				if name, ok := mpText(b[i:value]); ok {
					err = err.in(string(name))
				}
				return 0, err
			}
			v.SetMapIndex(k, e)
			i = end
		}
		return i, nil
	}
}

func (c *msgpackCodec) decodeInterface(b []byte, i int, v reflect.Value) (int, *decodeError) {
	if b[i] != mpNilCode && !v.IsNil() {
		// As encoding/json: a variable that is there already is decoded into.
		if p := v.Elem(); p.Kind() == reflect.Pointer && !p.IsNil() {
			return c.decoder(p.Type().Elem())(b, i, p.Elem())
		}
	}
	if b[i] != mpNilCode && v.NumMethod() > 0 {
		return 0, &decodeError{text: textInvalid}
	}
	value, next, err := decodeAny(b, i)
	if err != nil {
		return 0, err
	}
	if value == nil {
		v.SetZero()
	} else {
		v.Set(reflect.ValueOf(value))
	}
	return next, nil
}

// decodeAny decodes the value at b[i] into the type that is natural for it:
// nil, bool, int64 (uint64 if it is too large for that), float64, string,
// []byte, []any, map[string]any, time.Time, or a registered extension type.
func decodeAny(b []byte, i int) (any, int, *decodeError) {
	kind, next, n := mpHead(b, i)
	switch kind {
	case mpNil:
		return nil, next, nil
	case mpBool:
		return b[i] == mpTrue, next, nil
	case mpInt:
		n, _ := mpInteger(b, i)
		if n.big {
			return n.unsigned, next, nil
		}
		return n.signed, next, nil
	case mpFloat:
		f, _ := mpNumber(b, i)
		return f, next, nil
	case mpStr:
		return string(b[next : next+n]), next + n, nil
	case mpBin:
		return append(make([]byte, 0, n), b[next:next+n]...), next + n, nil
	case mpArray:
		s := make([]any, n)
		for j := range s {
			var err *decodeError
			if s[j], next, err = decodeAny(b, next); err != nil {
				return nil, 0, err.in(strconv.Itoa(j))
			}
		}
		return s, next, nil
	case mpMap:
		m := make(map[string]any, min(n/2, maxHint))
		for ; n > 0; n -= 2 {
			name, ok := mpText(b[next:])
			if !ok {
				err := mismatchAt(b, next, "a string")
				err.text = "in a name: " + err.text
				return nil, 0, err
			}
			v, end, err := decodeAny(b, mpSkip(b, next, 0))
			if err != nil {
				return nil, 0, err.in(string(name))
			}
			m[string(name)], next = v, end
		}
		return m, next, nil
	}

	if isTimestamp(b, i) {
		var t time.Time
		end, err := decodeOwn(b, i, reflect.ValueOf(&t).Elem())
		return t, end, err
	}
	var v any
	end, err := decodeOwn(b, i, reflect.ValueOf(&v).Elem())
	return v, end, err
}

// isTimestamp reports whether the extension value at b[i] is of type -1.
func isTimestamp(b []byte, i int) bool {
	switch {
	case b[i] >= 0xd4: // fixext: the type follows at once
		return b[i+1] == 0xff
	default:
		return b[i+1+int(mpSizes[b[i]-0xc0])-1] == 0xff
	}
}

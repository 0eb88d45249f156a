package codec

import (
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"sync"

	"github.com/vmihailenco/msgpack/v5"
)

// First bytes of encoded values.
const (
	mpFixMap   = 0x80
	mpFixArray = 0x90
	mpFixStr   = 0xa0
	mpNilCode  = 0xc0
	mpFalse    = 0xc2
	mpTrue     = 0xc3
	mpBin8     = 0xc4
	mpBin16    = 0xc5
	mpBin32    = 0xc6
	mpFloat32  = 0xca
	mpFloat64  = 0xcb
	mpUint8    = 0xcc
	mpUint16   = 0xcd
	mpUint32   = 0xce
	mpUint64   = 0xcf
	mpInt8     = 0xd0
	mpInt16    = 0xd1
	mpInt32    = 0xd2
	mpInt64    = 0xd3
	mpStr8     = 0xd9
	mpStr16    = 0xda
	mpStr32    = 0xdb
)

// structTag is the tag that names struct fields which have no "msgpack" tag.
const structTag = "json"

func (c *msgpackCodec) AppendValue(dst []byte, v any) ([]byte, error) {
	// What the library would write for these, byte for byte.
	switch v := v.(type) {
	case nil:
		return append(dst, mpNilCode), nil
	case string:
		return appendMpString(dst, v), nil
	case bool:
		if v {
			return append(dst, mpTrue), nil
		}
		return append(dst, mpFalse), nil
	case int:
		return appendMpInt(dst, int64(v)), nil
	case int8:
		return appendMpInt(dst, int64(v)), nil
	case int16:
		return appendMpInt(dst, int64(v)), nil
	case int32:
		return appendMpInt(dst, int64(v)), nil
	case int64:
		return appendMpInt(dst, v), nil
	case uint:
		return appendMpUint(dst, uint64(v)), nil
	case uint8:
		return appendMpUint(dst, uint64(v)), nil
	case uint16:
		return appendMpUint(dst, uint64(v)), nil
	case uint32:
		return appendMpUint(dst, uint64(v)), nil
	case uint64:
		return appendMpUint(dst, v), nil
	case float64:
		dst = append(dst, mpFloat64)
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(v)), nil
	case []byte:
		if v == nil {
			return append(dst, mpNilCode), nil
		}
		return appendMpBytes(dst, v), nil
	}

	out, err := mpEncode(dst, v)
	if err == nil {
		return out, nil
	}
	// The library refuses methods of pointers on what has no address, as in a
	// struct that is passed by value. A copy has one.
	if r := reflect.ValueOf(v); r.Kind() == reflect.Struct || r.Kind() == reflect.Array {
		p := reflect.New(r.Type())
		p.Elem().Set(r)
		if out, err = mpEncode(dst, p.Interface()); err == nil {
			return out, nil
		}
	}
	return dst, err
}

func mpEncode(dst []byte, v any) ([]byte, error) {
	e := mpEncoders.Get().(*mpEncoder)
	out, err := e.encode(dst, v)
	mpEncoders.Put(e)
	return out, err
}

func appendMpString(dst []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		dst = append(dst, mpFixStr|byte(n))
	case n <= math.MaxUint8:
		dst = append(dst, mpStr8, byte(n))
	case n <= math.MaxUint16:
		dst = append(dst, mpStr16, byte(n>>8), byte(n))
	default:
		dst = append(dst, mpStr32, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, s...)
}

func appendMpBytes(dst, b []byte) []byte {
	switch n := len(b); {
	case n <= math.MaxUint8:
		dst = append(dst, mpBin8, byte(n))
	case n <= math.MaxUint16:
		dst = append(dst, mpBin16, byte(n>>8), byte(n))
	default:
		dst = append(dst, mpBin32, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, b...)
}

// appendMpInt appends n in the fewest bytes.
func appendMpInt(dst []byte, n int64) []byte {
	switch {
	case n >= 0:
		return appendMpUint(dst, uint64(n))
	case n >= -32:
		return append(dst, byte(n))
	case n >= math.MinInt8:
		return append(dst, mpInt8, byte(n))
	case n >= math.MinInt16:
		return append(dst, mpInt16, byte(n>>8), byte(n))
	case n >= math.MinInt32:
		return append(dst, mpInt32, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, mpInt64), uint64(n))
}

// appendMpUint appends n in the fewest bytes.
func appendMpUint(dst []byte, n uint64) []byte {
	switch {
	case n <= math.MaxInt8:
		return append(dst, byte(n))
	case n <= math.MaxUint8:
		return append(dst, mpUint8, byte(n))
	case n <= math.MaxUint16:
		return append(dst, mpUint16, byte(n>>8), byte(n))
	case n <= math.MaxUint32:
		return append(dst, mpUint32, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, mpUint64), n)
}

// mpEncoder is the library's encoder, appending to a slice.
//
// The library follows a value that contains itself until the goroutine's stack
// overflows, which ends the process. All it does on the way is to write, so the
// writer is where such a value can be stopped.
type mpEncoder struct {
	enc   *msgpack.Encoder
	out   []byte
	start int // where this value begins in out
	check int // the length of out at which to look how deep it nests
}

const (
	// firstCheck is how much a value may write before it is looked at; from
	// there on it is looked at whenever its size has doubled.
	firstCheck = 64 << 10

	// maxEncodeDepth is how deep a value may nest when it is looked at.
	maxEncodeDepth = 10_000
)

var errCycle = errors.New("codec: the value nests too deep, or contains itself")

var mpEncoders = sync.Pool{New: func() any {
	e := new(mpEncoder)
	e.enc = msgpack.NewEncoder(e)
	e.enc.UseCompactInts(true)
	e.enc.SetCustomStructTag(structTag)
	return e
}}

func (e *mpEncoder) encode(dst []byte, v any) ([]byte, error) {
	e.out, e.start, e.check = dst, len(dst), len(dst)+firstCheck
	e.enc.ResetWriter(e) // forgets the strings interned for the message before
	err := e.enc.Encode(v)
	out := e.out
	e.out = nil // dst is the caller's
	return out, err
}

func (e *mpEncoder) Write(p []byte) (int, error) {
	e.out = append(e.out, p...)
	return len(p), e.limit()
}

func (e *mpEncoder) WriteByte(c byte) error {
	e.out = append(e.out, c)
	return e.limit()
}

func (e *mpEncoder) limit() error {
	if len(e.out) < e.check {
		return nil
	}
	written := e.out[e.start:]
	if mpNests(written, maxEncodeDepth) {
		return errCycle
	}
	e.check = e.start + 2*len(written)
	return nil
}

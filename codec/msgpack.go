package codec

import (
	"math"
	"strings"
	"sync"
	"unicode/utf8"
)

// Msgpack returns the codec for JSON-RPC 2.0 in MessagePack, for binary frames:
// each message is a map with the members that the JSON text would have. Values
// follow the struct tags "msgpack" or, without those, "json".
func Msgpack(o *Options) Codec { return &msgpackCodec{opts: o.resolve()} }

type msgpackCodec struct {
	opts     Options
	decoders sync.Map // of reflect.Type to decodeFunc; only ever filled
}

func (c *msgpackCodec) Subprotocol() string { return SubprotocolMsgpack }

func (c *msgpackCodec) Binary() bool { return true }

func (c *msgpackCodec) Split(dst []Envelope, msg []byte) ([]Envelope, bool, *Error) {
	n := len(dst)
	kind, next, count := mpHead(msg, 0)
	if next < 0 {
		return dst, false, parseError()
	}
	if kind != mpArray {
		dst = append(dst, Envelope{})
		if c.split(&dst[n], msg, 0, 0) != len(msg) {
			return dst[:n], false, parseError()
		}
		return dst, false, nil
	}

	tooMany := count > c.opts.MaxBatch
	i := next
	for range count {
		if tooMany {
			i = mpSkip(msg, i, 1)
		} else {
			dst = append(dst, Envelope{})
			i = c.split(&dst[len(dst)-1], msg, i, 1)
		}
		if i < 0 {
			return dst[:n], true, parseError()
		}
	}
	switch {
	case i != len(msg):
		return dst[:n], true, parseError()
	case tooMany:
		return dst[:n], true, invalidRequest(errBigBatch)
	case count == 0:
		return dst, true, invalidRequest("")
	}
	return dst, true, nil
}

// split cuts the value at b[i] into env, and returns the index behind it, or -1
// if the bytes are malformed. depth counts the arrays and maps around it.
func (c *msgpackCodec) split(env *Envelope, b []byte, i, depth int) int {
	kind, next, n := mpHead(b, i)
	if next < 0 {
		return -1
	}
	if kind != mpMap {
		invalid(env, "")
		return mpSkip(b, i, depth)
	}
	depth++
	var p parts
	i = next
	for ; n > 0; n -= 2 {
		kind, start, length := mpHead(b, i)
		value := mpSkip(b, i, depth)
		if value < 0 {
			return -1
		}
		end := mpSkip(b, value, depth)
		if end < 0 {
			return -1
		}
		if kind == mpStr {
			p.setMsgpack(b[start:start+length], b[value:end])
		}
		i = end
	}
	p.envelope(c.opts.Lenient, env)
	return i
}

// setMsgpack notes the member name, if it is one of an envelope.
func (p *parts) setMsgpack(name, value []byte) {
	switch string(name) {
	case "jsonrpc":
		p.version = wrong
		if s, ok := mpText(value); ok && string(s) == "2.0" {
			p.version = valid
		}
	case "id":
		switch kindOf(value[0]) {
		case mpStr, mpInt, mpFloat, mpNil:
			p.id, p.idBad = value, false
		default:
			p.id, p.idBad = nil, true
		}
	case "method":
		p.methodAs = wrong
		if s, ok := mpText(value); ok {
			p.method, p.methodAs = s, valid
		}
	case "params":
		k := kindOf(value[0])
		p.params, p.noParams = value, k != mpMap && k != mpArray
	case "result":
		p.result = value
	case "error":
		p.err = value
	}
}

// mpText returns the text of the encoded string raw.
func mpText(raw []byte) ([]byte, bool) {
	kind, next, n := mpHead(raw, 0)
	if kind != mpStr {
		return nil, false
	}
	return raw[next : next+n], true
}

func (c *msgpackCodec) Elements(raw []byte, yield func(i int, elem []byte) bool) bool {
	kind, i, n := mpHead(raw, 0)
	if kind != mpArray {
		return false
	}
	for j := range n {
		end := mpSkip(raw, i, 1)
		if end < 0 {
			return false
		}
		if !yield(j, raw[i:end]) {
			return true
		}
		i = end
	}
	return true
}

func (c *msgpackCodec) Members(raw []byte, yield func(name, value []byte) bool) bool {
	kind, i, n := mpHead(raw, 0)
	if kind != mpMap {
		return false
	}
	for ; n > 0; n -= 2 {
		value := mpSkip(raw, i, 1)
		if value < 0 {
			return false
		}
		name, ok := mpText(raw[i:value])
		end := mpSkip(raw, value, 1)
		if !ok || end < 0 {
			return false
		}
		if !yield(name, raw[value:end]) {
			return true
		}
		i = end
	}
	return true
}

func (c *msgpackCodec) IsNull(raw []byte) bool { return len(raw) == 1 && raw[0] == mpNilCode }

// The names of members and what never changes around them, encoded. They are
// written in the order in which the examples of the specification have them.
const (
	mpVersion = "\xa7jsonrpc\xa32.0"
	mpMethod  = "\xa6method"
	mpParams  = "\xa6params"
	mpResult  = "\xa6result"
	mpError   = "\xa5error"
	mpID      = "\xa2id"
	mpCode    = "\xa4code"
	mpMessage = "\xa7message"
	mpData    = "\xa4data"
)

func (c *msgpackCodec) AppendRequest(dst, id []byte, method string, params any) ([]byte, error) {
	n := len(dst)
	members := byte(2)
	if params != nil {
		members++
	}
	if id != nil {
		members++
	}
	dst = append(dst, mpFixMap|members)
	dst = append(dst, mpVersion...)
	dst = append(dst, mpMethod...)
	dst = appendMpText(dst, method)
	if params != nil {
		var err error
		dst = append(dst, mpParams...)
		if dst, err = c.AppendValue(dst, params); err != nil {
			return dst[:n], err
		}
	}
	if id != nil {
		dst = append(dst, mpID...)
		dst = append(dst, id...)
	}
	return dst, nil
}

func (c *msgpackCodec) AppendResult(dst, id []byte, bare bool, result any) ([]byte, error) {
	n := len(dst)
	dst = append(appendMpHead(dst, bare), mpResult...)
	dst, err := c.AppendValue(dst, result)
	if err != nil {
		return dst[:n], err
	}
	return appendMpTail(dst, id), nil
}

func (c *msgpackCodec) AppendError(dst, id []byte, bare bool, e *Error) []byte {
	dst = append(appendMpHead(dst, bare), mpError...)
	members := len(dst)
	dst = append(dst, mpFixMap|2)
	dst = append(dst, mpCode...)
	dst = appendMpInt(dst, int64(e.Code))
	dst = append(dst, mpMessage...)
	dst = appendMpText(dst, e.Message)
	if e.Data != nil {
		if out, ok := appendData(c, append(dst, mpData...), e.Data); ok {
			dst = out
			dst[members]++
		}
	}
	return appendMpTail(dst, id)
}

func appendMpHead(dst []byte, bare bool) []byte {
	if bare {
		return append(dst, mpFixMap|2)
	}
	dst = append(dst, mpFixMap|3)
	return append(dst, mpVersion...)
}

func appendMpTail(dst, id []byte) []byte {
	dst = append(dst, mpID...)
	if id == nil {
		return append(dst, mpNilCode)
	}
	return append(dst, id...)
}

func (c *msgpackCodec) AppendBatch(dst []byte, items [][]byte) []byte {
	switch n := len(items); {
	case n < 16:
		dst = append(dst, mpFixArray|byte(n))
	case n <= math.MaxUint16:
		dst = append(dst, 0xdc, byte(n>>8), byte(n))
	default:
		dst = append(dst, 0xdd, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	for _, item := range items {
		dst = append(dst, item...)
	}
	return dst
}

// appendMpText appends a string of ours to an envelope. A peer would refuse the
// whole message for one byte that is not UTF-8, so such bytes are replaced, as
// JSON does it.
func appendMpText(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return appendMpString(dst, s)
}

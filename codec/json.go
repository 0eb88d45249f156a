package codec

import (
	"bytes"
	"strconv"
	"sync"
)

// JSON returns the codec for JSON-RPC 2.0 in JSON text, for text frames.
// Values follow the rules of encoding/json (json tags, json.Marshaler,
// json.RawMessage, time.Time, …), except that <, > and & go out as they are.
func JSON(o *Options) Codec { return &jsonCodec{opts: o.resolve()} }

type jsonCodec struct {
	opts    Options
	numbers sync.Map // of reflect.Type to bool: see hasNumbers; only ever filled
}

func (c *jsonCodec) Subprotocol() string { return SubprotocolJSON }

func (c *jsonCodec) Binary() bool { return false }

func (c *jsonCodec) Split(dst []Envelope, msg []byte) ([]Envelope, bool, *Error) {
	n := len(dst)
	i := skipSpace(msg, 0)
	if i == len(msg) {
		return dst, false, parseError()
	}
	if msg[i] != '[' {
		dst = append(dst, Envelope{})
		i = c.split(&dst[n], msg, i, 0)
		if i < 0 || skipSpace(msg, i) != len(msg) {
			return dst[:n], false, parseError()
		}
		return dst, false, nil
	}

	i = skipSpace(msg, i+1)
	if i < len(msg) && msg[i] == ']' {
		if skipSpace(msg, i+1) != len(msg) {
			return dst, true, parseError()
		}
		return dst, true, invalidRequest("")
	}
	for count := 1; ; count++ {
		if count <= c.opts.MaxBatch {
			dst = append(dst, Envelope{})
			i = c.split(&dst[len(dst)-1], msg, i, 1)
		} else {
			i = skipJSON(msg, i, 1)
		}
		if i < 0 {
			return dst[:n], true, parseError()
		}
		i = skipSpace(msg, i)
		if i < len(msg) && msg[i] == ',' {
			i = skipSpace(msg, i+1)
			continue
		}
		if i >= len(msg) || msg[i] != ']' || skipSpace(msg, i+1) != len(msg) {
			return dst[:n], true, parseError()
		}
		if count > c.opts.MaxBatch {
			return dst[:n], true, invalidRequest(errBigBatch)
		}
		return dst, true, nil
	}
}

// split cuts the value that begins at b[i] into env, and returns the index
// behind it, or -1 if the text is malformed. depth counts the arrays and
// objects around it.
func (c *jsonCodec) split(env *Envelope, b []byte, i, depth int) int {
	if i >= len(b) || b[i] != '{' {
		invalid(env, "")
		return skipJSON(b, i, depth)
	}
	depth++
	var p parts
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		p.envelope(c.opts.Lenient, env)
		return i + 1
	}
	for {
		start, ns, ne, escaped := skipName(b, i)
		if start < 0 {
			return -1
		}
		if i = skipJSON(b, start, depth); i < 0 {
			return -1
		}
		p.setJSON(b[ns:ne], escaped, b[start:i])
		i = skipSpace(b, i)
		if i >= len(b) {
			return -1
		}
		switch b[i] {
		case ',':
			i++
		case '}':
			p.envelope(c.opts.Lenient, env)
			return i + 1
		default:
			return -1
		}
	}
}

// setJSON notes the member name, if it is one of an envelope. value is valid
// and has no white space around it.
func (p *parts) setJSON(name []byte, escaped bool, value []byte) {
	if escaped {
		if len(name) > maxEscaped {
			return
		}
		var buf [maxEscaped]byte
		name = unescape(buf[:0], name)
	}
	switch string(name) {
	case "jsonrpc":
		p.version = wrong
		if value[0] == '"' {
			s := value[1 : len(value)-1]
			if sameText(s, bytes.IndexByte(s, '\\') >= 0, "2.0") {
				p.version = valid
			}
		}
	case "id":
		switch value[0] {
		case '{', '[', 't', 'f':
			p.id, p.idBad = nil, true
		default:
			p.id, p.idBad = value, false
		}
	case "method":
		p.methodAs = wrong
		if value[0] == '"' {
			p.methodAs = valid
			p.method = unquote(value)
		}
	case "params":
		p.params, p.noParams = value, value[0] != '{' && value[0] != '['
	case "result":
		p.result = value
	case "error":
		p.err = value
	}
}

// unquote returns the text of a valid JSON string: a part of it, or a new
// slice if it was written with escapes.
func unquote(s []byte) []byte {
	s = s[1 : len(s)-1]
	if bytes.IndexByte(s, '\\') < 0 {
		return s
	}
	return unescape(make([]byte, 0, len(s)), s)
}

func (c *jsonCodec) Elements(raw []byte, yield func(i int, elem []byte) bool) bool {
	i := skipSpace(raw, 0)
	if i >= len(raw) || raw[i] != '[' {
		return false
	}
	i = skipSpace(raw, i+1)
	if i < len(raw) && raw[i] == ']' {
		return true
	}
	for n := 0; ; n++ {
		start := skipSpace(raw, i)
		if i = skipJSON(raw, start, 1); i < 0 {
			return false
		}
		if !yield(n, raw[start:i]) {
			return true
		}
		i = skipSpace(raw, i)
		if i >= len(raw) || raw[i] != ',' {
			return i < len(raw) && raw[i] == ']'
		}
		i++
	}
}

func (c *jsonCodec) Members(raw []byte, yield func(name, value []byte) bool) bool {
	i := skipSpace(raw, 0)
	if i >= len(raw) || raw[i] != '{' {
		return false
	}
	i = skipSpace(raw, i+1)
	if i < len(raw) && raw[i] == '}' {
		return true
	}
	for {
		start, ns, ne, escaped := skipName(raw, i)
		if start < 0 {
			return false
		}
		if i = skipJSON(raw, start, 1); i < 0 {
			return false
		}
		name := raw[ns:ne]
		if escaped {
			name = unescape(make([]byte, 0, len(name)), name)
		}
		if !yield(name, raw[start:i]) {
			return true
		}
		i = skipSpace(raw, i)
		if i >= len(raw) || raw[i] != ',' {
			return i < len(raw) && raw[i] == '}'
		}
		i++
	}
}

func (c *jsonCodec) IsNull(raw []byte) bool {
	i := skipSpace(raw, 0)
	i = skipWord(raw, i, "null")
	return i >= 0 && skipSpace(raw, i) == len(raw)
}

// The members of a message are written in the order in which the examples of
// the specification have them.

func (c *jsonCodec) AppendRequest(dst, id []byte, method string, params any) ([]byte, error) {
	n := len(dst)
	dst = append(dst, `{"jsonrpc":"2.0","method":`...)
	dst = appendJSONString(dst, method)
	if params != nil {
		var err error
		dst = append(dst, `,"params":`...)
		if dst, err = c.AppendValue(dst, params); err != nil {
			return dst[:n], err
		}
	}
	if id != nil {
		dst = append(dst, `,"id":`...)
		dst = append(dst, id...)
	}
	return append(dst, '}'), nil
}

func (c *jsonCodec) AppendResult(dst, id []byte, bare bool, result any) ([]byte, error) {
	n := len(dst)
	dst = append(appendJSONHead(dst, bare), `"result":`...)
	dst, err := c.AppendValue(dst, result)
	if err != nil {
		return dst[:n], err
	}
	return appendJSONTail(dst, id), nil
}

func (c *jsonCodec) AppendError(dst, id []byte, bare bool, e *Error) []byte {
	dst = append(appendJSONHead(dst, bare), `"error":{"code":`...)
	dst = strconv.AppendInt(dst, int64(e.Code), 10)
	dst = append(dst, `,"message":`...)
	dst = appendJSONString(dst, e.Message)
	if e.Data != nil {
		if out, ok := appendData(c, append(dst, `,"data":`...), e.Data); ok {
			dst = out
		}
	}
	return appendJSONTail(append(dst, '}'), id)
}

func appendJSONHead(dst []byte, bare bool) []byte {
	if bare {
		return append(dst, '{')
	}
	return append(dst, `{"jsonrpc":"2.0",`...)
}

func appendJSONTail(dst, id []byte) []byte {
	if id == nil {
		return append(dst, `,"id":null}`...)
	}
	dst = append(dst, `,"id":`...)
	dst = append(dst, id...)
	return append(dst, '}')
}

func (c *jsonCodec) AppendBatch(dst []byte, items [][]byte) []byte {
	dst = append(dst, '[')
	for i, item := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, item...)
	}
	return append(dst, ']')
}

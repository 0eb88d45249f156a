package codec

import "strconv"

// Values without a Go type of their own, which the library is slow at, are
// decoded here: into nil, bool, float64, string, []any and map[string]any, as
// encoding/json does it.

// decodeJSONAny decodes raw. It reports false for what the library must look
// at: malformed text, or a number that no float64 can hold.
func decodeJSONAny(raw []byte) (any, bool) {
	i := skipSpace(raw, 0)
	end := skipJSON(raw, i, 0)
	if end < 0 || skipSpace(raw, end) != len(raw) {
		return nil, false
	}
	v, _, ok := jsonAny(raw, i)
	return v, ok
}

// jsonAny decodes the value at b[i]. The text is valid and nests no deeper than
// MaxDepth.
func jsonAny(b []byte, i int) (v any, next int, ok bool) {
	switch b[i] {
	case 'n':
		return nil, i + 4, true
	case 't':
		return true, i + 4, true
	case 'f':
		return false, i + 5, true
	case '"':
		s, next := jsonText(b, i)
		return s, next, true
	case '[':
		s := []any{}
		for i = skipSpace(b, i+1); b[i] != ']'; {
			if v, i, ok = jsonAny(b, i); !ok {
				return nil, 0, false
			}
			s = append(s, v)
			i = skipComma(b, i)
		}
		return s, i + 1, true
	case '{':
		m := make(map[string]any)
		for i = skipSpace(b, i+1); b[i] != '}'; {
			var name string
			name, i = jsonText(b, i)
			i = skipSpace(b, skipSpace(b, i)+1)
			if v, i, ok = jsonAny(b, i); !ok {
				return nil, 0, false
			}
			m[name] = v
			i = skipComma(b, i)
		}
		return m, i + 1, true
	}
	next = skipNumber(b, i)
	// Up to 15 digits are exact in a float64. -0 is not the integer 0.
	if n, ok := simpleInt(b[i:next]); ok && next-i <= 15 && n != 0 {
		return float64(n), next, true
	}
	f, err := strconv.ParseFloat(string(b[i:next]), 64)
	return f, next, err == nil
}

// jsonText decodes the string at b[i].
func jsonText(b []byte, i int) (s string, next int) {
	next, escaped := skipString(b, i)
	text := b[i+1 : next-1]
	if escaped {
		text = unescape(make([]byte, 0, len(text)), text)
	}
	return string(text), next
}

// skipComma walks to the next element or member, or to the closing bracket.
func skipComma(b []byte, i int) int {
	i = skipSpace(b, i)
	if b[i] == ',' {
		i = skipSpace(b, i+1)
	}
	return i
}

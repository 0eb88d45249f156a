package codec

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// The functions of this file walk over JSON text (RFC 8259) without decoding
// it. All take an index and return the index behind what they walked over, or
// -1 if the text is malformed there. None recurses or allocates.

// plainJSON tells the bytes that stand for themselves inside a string and need
// no second look.
var plainJSON = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// skipSpace walks over white space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// skipString walks over the string that begins at b[i], which is its opening
// quote. escaped reports that it holds a backslash. The bytes must be valid
// UTF-8; escapes of lone surrogates pass, as they do in encoding/json.
func skipString(b []byte, i int) (end int, escaped bool) {
	i++
	start, ascii := i, true
	for {
		for {
			if len(b)-i < 8 {
				for i < len(b) && plainJSON[b[i]] {
					i++
				}
				break
			}
			if n := plainPrefix(binary.LittleEndian.Uint64(b[i:])); n < 8 {
				i += n
				break
			}
			i += 8
		}
		if i >= len(b) {
			return -1, false
		}
		switch c := b[i]; {
		case c == '"':
			if !ascii && !utf8.Valid(b[start:i]) {
				return -1, false
			}
			return i + 1, escaped
		case c == '\\':
			escaped = true
			if i = skipEscape(b, i); i < 0 {
				return -1, false
			}
		case c < 0x20:
			return -1, false
		default:
			ascii = false
			i++
		}
	}
}

// plainPrefix returns how many of the eight bytes of x, the lowest first, are
// plain before the first that is not. The subtractions borrow from a higher
// byte only behind a byte that is not plain, so that the lowest mark is right.
func plainPrefix(x uint64) int {
	const each, high = 0x0101010101010101, 0x8080808080808080
	marks := x | (x - each*0x20) | ((x ^ each*'"') - each) | ((x ^ each*'\\') - each)
	return bits.TrailingZeros64(marks&high) / 8
}

// skipEscape walks over one escape sequence; b[i] is its backslash.
func skipEscape(b []byte, i int) int {
	if i+1 >= len(b) {
		return -1
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		if i+6 <= len(b) && hex4(b[i+2:]) >= 0 {
			return i + 6
		}
	}
	return -1
}

// hex4 returns the number that the first four hexadecimal digits of b stand
// for, or -1.
func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// skipDigits walks over at least one decimal digit.
func skipDigits(b []byte, i int) int {
	start := i
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

// skipNumber walks over a number.
func skipNumber(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if i = skipDigits(b, i); i < 0 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i = skipDigits(b, i+1); i < 0 {
			return -1
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		i = skipDigits(b, i)
	}
	return i
}

// skipWord walks over a literal name.
func skipWord(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

// skipScalar walks over a value that is neither an array nor an object.
func skipScalar(b []byte, i int) int {
	switch c := b[i]; {
	case c == '"':
		i, _ = skipString(b, i)
		return i
	case c == '-' || '0' <= c && c <= '9':
		return skipNumber(b, i)
	case c == 't':
		return skipWord(b, i, "true")
	case c == 'f':
		return skipWord(b, i, "false")
	case c == 'n':
		return skipWord(b, i, "null")
	}
	return -1
}

// skipName walks over the name of a member, the colon behind it, and the white
// space around both. The name itself is b[start:end], without its quotes.
func skipName(b []byte, i int) (next, start, end int, escaped bool) {
	i = skipSpace(b, i)
	if i >= len(b) || b[i] != '"' {
		return -1, 0, 0, false
	}
	start = i + 1
	if i, escaped = skipString(b, i); i < 0 {
		return -1, 0, 0, false
	}
	end = i - 1
	i = skipSpace(b, i)
	if i >= len(b) || b[i] != ':' {
		return -1, 0, 0, false
	}
	return skipSpace(b, i+1), start, end, escaped
}

// skipJSON walks over one value and the white space before it. depth is how
// many arrays and objects are already open around it; more than MaxDepth make
// the text malformed.
func skipJSON(b []byte, i, depth int) int {
	i = skipSpace(b, i)
	if i >= len(b) {
		return -1
	}
	if c := b[i]; c != '{' && c != '[' {
		return skipScalar(b, i)
	}

	// One bit for each level that is open: set for an object.
	var objects [MaxDepth/64 + 1]uint64
	outside := depth
	for {
		// A value begins at b[i].
		switch b[i] {
		case '{', '[':
			object := b[i] == '{'
			if depth++; depth > MaxDepth {
				return -1
			}
			i = skipSpace(b, i+1)
			if i >= len(b) {
				return -1
			}
			if object && b[i] == '}' || !object && b[i] == ']' {
				i++
				depth--
				break
			}
			if object {
				objects[depth/64] |= 1 << (depth % 64)
				if i, _, _, _ = skipName(b, i); i < 0 || i >= len(b) {
					return -1
				}
			} else {
				objects[depth/64] &^= 1 << (depth % 64)
			}
			continue
		default:
			if i = skipScalar(b, i); i < 0 {
				return -1
			}
		}

		// A value ended before b[i].
		for {
			if depth == outside {
				return i
			}
			i = skipSpace(b, i)
			if i >= len(b) {
				return -1
			}
			object := objects[depth/64]&(1<<(depth%64)) != 0
			if b[i] == ',' {
				if object {
					i, _, _, _ = skipName(b, i+1)
				} else {
					i = skipSpace(b, i+1)
				}
				if i < 0 || i >= len(b) {
					return -1
				}
				break
			}
			if object && b[i] != '}' || !object && b[i] != ']' {
				return -1
			}
			i++
			depth--
		}
	}
}

// unescape appends the text that s, the inside of a valid JSON string, stands
// for. A lone surrogate becomes U+FFFD.
func unescape(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		switch c = s[i+1]; c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := hex4(s[i+2:])
			i += 6
			if 0xD800 <= r && r < 0xE000 {
				r, i = surrogates(s, r, i)
			}
			dst = utf8.AppendRune(dst, r)
			continue
		}
		dst = append(dst, c)
		i += 2
	}
	return dst
}

// surrogates completes the surrogate hi with the escape that follows at s[i],
// if that is the other half of a pair.
func surrogates(s []byte, hi rune, i int) (rune, int) {
	if hi < 0xDC00 && i+6 <= len(s) && s[i] == '\\' && s[i+1] == 'u' {
		if lo := hex4(s[i+2:]); 0xDC00 <= lo && lo < 0xE000 {
			return (hi-0xD800)<<10 | (lo - 0xDC00) + 0x10000, i + 6
		}
	}
	return utf8.RuneError, i
}

// maxEscaped is how long the name of an envelope member can be when every
// character of it is written as an escape.
const maxEscaped = len("jsonrpc") * len(`\u0000`)

// sameText reports whether s, the inside of a valid JSON string, stands for
// want, which is at most seven ASCII characters.
func sameText(s []byte, escaped bool, want string) bool {
	if !escaped {
		return string(s) == want
	}
	if len(s) > maxEscaped {
		return false
	}
	var buf [maxEscaped]byte
	return string(unescape(buf[:0], s)) == want
}

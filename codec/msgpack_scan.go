package codec

import (
	"encoding/binary"
	"unicode/utf8"
)

// The functions of this file walk over MessagePack bytes without decoding them.
// They believe no declared length before they have compared it with the bytes
// that are there, do not recurse, and allocate nothing.

// mpKind is what a value is, whatever the width it is written in.
type mpKind uint8

const (
	mpInvalid mpKind = iota
	mpNil
	mpBool
	mpInt
	mpFloat
	mpStr
	mpBin
	mpArray
	mpMap
	mpExt
)

// String returns the word for k in errors that peers read.
func (k mpKind) String() string {
	return [...]string{
		"something malformed", "null", "a boolean", "a number", "a number",
		"a string", wordBinary, "an array", "an object", "an extension value",
	}[k]
}

// mpKinds are the kinds that the first bytes 0xc0 to 0xdf announce.
var mpKinds = [32]mpKind{
	mpNil, mpInvalid, mpBool, mpBool, mpBin, mpBin, mpBin, mpExt,
	mpExt, mpExt, mpFloat, mpFloat, mpInt, mpInt, mpInt, mpInt,
	mpInt, mpInt, mpInt, mpInt, mpExt, mpExt, mpExt, mpExt,
	mpExt, mpStr, mpStr, mpStr, mpArray, mpArray, mpMap, mpMap,
}

// mpSizes are, for the same bytes, how many bytes must follow at once: the
// payload of a scalar, or the length field of anything else. A fixext has its
// type byte there and its payload's size in its name.
var mpSizes = [32]uint8{
	0, 0, 0, 0, 1, 2, 4, 2,
	3, 5, 4, 8, 1, 2, 4, 8,
	1, 2, 4, 8, 1 + 1, 1 + 2, 1 + 4, 1 + 8,
	1 + 16, 1, 2, 4, 2, 4, 2, 4,
}

// kindOf returns the kind of the value whose first byte is c.
func kindOf(c byte) mpKind {
	switch {
	case c < 0x80 || c >= 0xe0:
		return mpInt
	case c < 0x90:
		return mpMap
	case c < 0xa0:
		return mpArray
	case c < 0xc0:
		return mpStr
	}
	return mpKinds[c-0xc0]
}

// mpHead reads the head of the value at b[i]. next is the index behind the
// head, or -1 if the bytes are malformed or cut short. n is how many bytes (of
// a string, binary data or an extension) or values (of an array; twice the
// members of a map) follow; for scalars it is 0, and next is behind them.
func mpHead(b []byte, i int) (kind mpKind, next, n int) {
	if i >= len(b) {
		return mpInvalid, -1, 0
	}
	c := b[i]
	if c < 0x80 || c >= 0xe0 {
		return mpInt, i + 1, 0
	}
	if c >= 0xa0 && c < 0xc0 {
		if n = int(c & 0x1f); n > len(b)-i-1 {
			return mpInvalid, -1, 0
		}
		return mpStr, i + 1, n
	}
	kind, next, length := mpDeclared(b, i)
	// Every value has at least one byte, so that this bounds arrays and maps
	// as well as strings.
	if next < 0 || length > uint64(len(b)-next) {
		return mpInvalid, -1, 0
	}
	return kind, next, int(length)
}

// mpDeclared is mpHead before the declared length is compared with the bytes
// that are there.
func mpDeclared(b []byte, i int) (kind mpKind, next int, length uint64) {
	if i >= len(b) {
		return mpInvalid, -1, 0
	}
	c := b[i]
	i++
	switch {
	case c < 0x80 || c >= 0xe0:
		return mpInt, i, 0
	case c < 0x90:
		return mpMap, i, 2 * uint64(c&0x0f)
	case c < 0xa0:
		return mpArray, i, uint64(c & 0x0f)
	case c < 0xc0:
		return mpStr, i, uint64(c & 0x1f)
	}
	kind = mpKinds[c-0xc0]
	size := int(mpSizes[c-0xc0])
	if kind == mpInvalid || len(b)-i < size {
		return mpInvalid, -1, 0
	}
	field := b[i : i+size]
	i += size
	switch kind {
	case mpNil, mpBool, mpInt, mpFloat:
		return kind, i, 0
	case mpExt:
		if c >= 0xd4 {
			return kind, i, 0 // fixext: its payload is behind i already
		}
		field = field[:size-1] // the type follows the length
	}
	switch len(field) {
	case 1:
		length = uint64(field[0])
	case 2:
		length = uint64(binary.BigEndian.Uint16(field))
	default:
		length = uint64(binary.BigEndian.Uint32(field))
	}
	if kind == mpMap {
		length *= 2
	}
	return kind, i, length
}

// mpShallow is how deep mpSkip can walk on a small stack; deeper values, which
// are rare, are walked over again on a stack for MaxDepth.
const mpShallow = 16

// mpTooDeep is what mpWalk returns when its stack does not suffice.
const mpTooDeep = -2

// mpSkip returns the index behind the value at b[i], or -1 if that is malformed
// or cut short. depth is how many arrays and maps are already open around it;
// more than MaxDepth make it malformed.
func mpSkip(b []byte, i, depth int) int {
	kind, next, n := mpHead(b, i)
	switch kind {
	case mpInvalid:
		return -1
	case mpStr:
		if !utf8.Valid(b[next : next+n]) {
			return -1
		}
	case mpArray, mpMap:
		end := mpSkipShallow(b, i, depth)
		if end == mpTooDeep {
			return mpSkipDeep(b, i, depth)
		}
		return end
	}
	return next + n
}

// The stacks are in functions of their own, so that only who needs one pays for
// clearing it.

//go:noinline
func mpSkipShallow(b []byte, i, depth int) int {
	var open [mpShallow]int
	return mpWalk(b, i, depth, open[:])
}

//go:noinline
func mpSkipDeep(b []byte, i, depth int) int {
	var open [MaxDepth]int
	return mpWalk(b, i, depth, open[:])
}

// mpWalk is mpSkip with room for as many levels as open is long. open[l] is how
// many values are still to come in level l.
func mpWalk(b []byte, i, depth int, open []int) int {
	level := 0
	for {
		kind, next, n := mpHead(b, i)
		if next < 0 {
			return -1
		}
		i = next
		switch kind {
		case mpStr:
			if !utf8.Valid(b[i : i+n]) {
				return -1
			}
			i += n
		case mpBin, mpExt:
			i += n
		case mpArray, mpMap:
			if depth+level >= MaxDepth {
				return -1
			}
			if n > 0 {
				if level == len(open) {
					return mpTooDeep
				}
				open[level] = n
				level++
				continue
			}
		}
		for level > 0 {
			open[level-1]--
			if open[level-1] > 0 {
				break
			}
			level--
		}
		if level == 0 {
			return i
		}
	}
}

// mpNests reports whether b, the beginning of a value, has more than limit
// arrays and maps open at its end.
func mpNests(b []byte, limit int) bool {
	var open []uint64
	for i := 0; ; {
		kind, next, n := mpDeclared(b, i)
		if next < 0 {
			return len(open) > limit
		}
		i = next
		if kind == mpArray || kind == mpMap {
			if n > 0 {
				open = append(open, n)
				continue
			}
		} else if n > uint64(len(b)-i) {
			return len(open) > limit
		}
		i += int(n)
		for len(open) > 0 {
			open[len(open)-1]--
			if open[len(open)-1] > 0 {
				break
			}
			open = open[:len(open)-1]
		}
		if len(open) == 0 {
			return false
		}
	}
}

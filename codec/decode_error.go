package codec

import (
	"errors"
	"reflect"
	"strings"
)

// decodeError says why a value does not fit the variable it was to be decoded
// into. Its text is for the peer, so it speaks of the message and not of Go;
// what the library said is kept in cause, for the log.
type decodeError struct {
	path  string // where in the value, as in "user.tags.2"; empty for the value itself
	text  string
	cause error
}

func (e *decodeError) Error() string {
	if e.path == "" {
		return e.text
	}
	return e.path + ": " + e.text
}

// Unwrap returns what a library or a type's own unmarshaler said, if one did.
func (e *decodeError) Unwrap() error { return e.cause }

const (
	textMalformed = "malformed value"
	textInvalid   = "invalid value"
	textRange     = "number out of range"
	textInteger   = "expected an integer, without fraction or exponent"
)

var errNotPointer = errors.New("codec: Decode needs a pointer that is not nil")

// maxPath bounds the path in an error's text: the peer chooses member names.
const maxPath = 120

// mismatch is the error for a value of another type than the one wanted.
func mismatch(want, got string) *decodeError {
	return &decodeError{text: "expected " + want + ", got " + got}
}

// in returns e as seen from the value around the member or element name.
func (e *decodeError) in(name string) *decodeError {
	switch {
	case e.path == "":
		e.path = name
	case len(name)+1+len(e.path) <= maxPath:
		e.path = name + "." + e.path
	}
	if len(e.path) > maxPath {
		e.path = strings.ToValidUTF8(e.path[:maxPath], "") + "…"
	}
	return e
}

// wanted names what a Go type asks for, in words of the wire. It returns "" for
// types that the wire has no word for.
func wanted(t reflect.Type, bytes string) string {
	switch t.Kind() {
	case reflect.Bool:
		return "a boolean"
	case reflect.String:
		return "a string"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 && (t.Kind() == reflect.Slice || bytes == wordBinary) {
			return bytes
		}
		return "an array"
	case reflect.Pointer:
		return wanted(t.Elem(), bytes)
	}
	if isInteger(t.Kind()) || t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64 {
		return "a number"
	}
	return ""
}

func isInteger(k reflect.Kind) bool { return reflect.Int <= k && k <= reflect.Uintptr }

// Words for byte slices, which the two formats write in different ways.
const (
	wordBase64 = "a string in base64"
	wordBinary = "binary data"
)

package codec_test

import "reflect"

// newLike returns a pointer to a new zero value of the type that p points to.
func newLike(p any) any { return reflect.New(reflect.TypeOf(p).Elem()).Interface() }

// deref returns what p points to.
func deref(p any) any { return reflect.ValueOf(p).Elem().Interface() }

// isNilAny reports whether p points to a nil interface.
func isNilAny(p any) bool {
	v, ok := p.(*any)
	return ok && *v == nil
}

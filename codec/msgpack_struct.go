package codec

import (
	"reflect"
	"strings"
)

// mpField is a field of a struct on the wire. index leads through the embedded
// structs around it.
type mpField struct {
	name   string
	index  []int
	decode decodeFunc
}

// structDecoder decodes maps into structs of type t. The library encodes them,
// so fields are named as it names them.
func (c *msgpackCodec) structDecoder(t reflect.Type) decodeFunc {
	list, ok := mpFields(t)
	if !ok {
		return decodeOwn
	}
	fields := make(map[string]*mpField, len(list))
	for i := range list {
		f := &list[i]
		f.decode = c.decoder(t.FieldByIndex(f.index).Type)
		fields[f.name] = f
	}
	return func(b []byte, i int, v reflect.Value) (int, *decodeError) {
		kind, next, n := mpHead(b, i)
		switch kind {
		case mpNil:
			return next, nil
		case mpExt:
			return decodeOwn(b, i, v) // a type that the user registered
		case mpMap:
		default:
			return 0, mismatchAt(b, i, "an object")
		}
		i = next
		for ; n > 0; n -= 2 {
			value := mpSkip(b, i, 0)
			name, ok := mpText(b[i:value])
			f := fields[string(name)]
			if !ok || f == nil {
				i = mpSkip(b, value, 0)
				continue
			}
			target, err := fieldOf(v, f.index, b[value] != mpNilCode)
			switch {
			case err != nil:
			case target.IsValid():
				i, err = f.decode(b, value, target)
			default:
				i = value + 1
			}
			if err != nil {
				return 0, err.in(f.name)
			}
		}
		return i, nil
	}
}

// fieldOf returns the field of v that index leads to. An embedded struct that
// is nil is made on the way, or, if grow is false, is why there is no field.
func fieldOf(v reflect.Value, index []int, grow bool) (reflect.Value, *decodeError) {
	for _, i := range index[:len(index)-1] {
		if v = v.Field(i); v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if !grow {
					return reflect.Value{}, nil
				}
				if !v.CanSet() { // a pointer to an unexported type
					return v, &decodeError{text: textInvalid}
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
	}
	return v.Field(index[len(index)-1]), nil
}

// mpFields lists the fields of t as the library sees them. It reports false if
// a tag asks for something that only the library does: then it must decode t,
// too.
func mpFields(t reflect.Type) (list []mpField, ok bool) {
	taken := make(map[string]bool)
	add := func(name string, index []int) {
		taken[name] = true
		list = append(list, mpField{name: name, index: index})
	}
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("msgpack")
		if tag == "" {
			tag = f.Tag.Get(structTag)
		}
		name, options, _ := strings.Cut(tag, ",")
		if name == "-" {
			continue
		}
		if onlyLibrary(options) {
			return nil, false
		}
		if !f.IsExported() && !f.Anonymous {
			continue
		}
		if f.Anonymous {
			inner, inline, ok := mpEmbedded(f.Type, taken)
			if !ok {
				return nil, false
			}
			if inline {
				for _, in := range inner {
					add(in.name, append([]int{i}, in.index...))
				}
				continue
			}
			if !f.IsExported() {
				continue
			}
		}
		if name == "" {
			name = f.Name
		}
		add(name, []int{i})
	}
	return list, true
}

// onlyLibrary reports whether the options of a tag change how its field, or its
// struct, is written.
func onlyLibrary(options string) bool {
	for o := range strings.SplitSeq(options, ",") {
		o, _, _ = strings.Cut(o, ":")
		switch o {
		case "inline", "noinline", "alias", "intern", "as_array", "asArray":
			return true
		}
	}
	return false
}

// mpEmbedded returns the fields of an embedded type. inline is false if it is
// written like any other field: it is no struct, has methods that encode it, or
// one of its names is taken.
func mpEmbedded(t reflect.Type, taken map[string]bool) (list []mpField, inline, ok bool) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == timeType ||
		implementsAny(t, ownDecoders) || implementsAny(t, ownEncoders) {
		return nil, false, true
	}
	list, ok = mpFields(t)
	if !ok {
		return nil, false, false
	}
	for _, f := range list {
		if taken[f.name] {
			return nil, false, true
		}
	}
	return list, true, true
}

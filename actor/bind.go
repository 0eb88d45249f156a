package actor

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/wireroom/wireroom/codec"
)

// binder decodes the params of a request into the variables of a method. It is
// made once, at registration.
type binder struct {
	types    []reflect.Type // of the variables
	params   []param        // what can be given: the variables, or the fields of one that is a struct
	index    map[string]int // params by name
	pointers []int          // variables that point to a struct with fields among params
	whole    bool           // the one variable takes the params as they are
	variadic bool
}

// param is one thing that a request can give.
type param struct {
	name     string
	typ      reflect.Type
	variable int
	path     []int // of a field in the variable, for FieldByIndex
	optional bool
	nullable bool          // null is a value of its type
	def      reflect.Value // invalid if there is no default; calls get a fresh copy
}

var (
	typeJSONUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	typeTextUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	typeRawMessage      = reflect.TypeFor[json.RawMessage]()
)

// newBinder plans the binding of variables of the given types. key, if it is not
// empty, names the first of them: the key of a mount, which comes before the
// method's own.
func newBinder(key string, types []reflect.Type, variadic bool, cfg *methodConfig) (binder, error) {
	b := binder{types: types, variadic: variadic, index: make(map[string]int)}
	own := types
	if key != "" {
		b.index[key] = 0
		b.params = append(b.params, param{name: key, typ: types[0]})
		own = types[1:]
	}
	first := len(b.params)
	if len(own) == 1 && len(cfg.params) == 0 && !variadic {
		t := own[0]
		base := t
		if t.Kind() == reflect.Pointer {
			base = t.Elem()
		}
		switch {
		case base.Kind() == reflect.Struct && !decodesItself(base):
			if t.Kind() == reflect.Pointer {
				b.pointers = append(b.pointers, first)
			}
			if len(cfg.defaults) > 0 {
				return b, errors.New(`Default is for parameters that Params has named: give the field a tag default:"…"`)
			}
			return b, b.addFields(base, first, nil)
		case key == "" && (base.Kind() == reflect.Map || t == typeRawMessage || t.Kind() == reflect.Interface):
			b.whole = true
			b.params = []param{{typ: t, optional: true, nullable: true}}
			return b, nil
		}
	}
	if n := len(cfg.params); n > 0 && n != len(own) {
		return b, fmt.Errorf("Params names %d parameters, it has %d without the injected ones", n, len(own))
	}
	for i, t := range own {
		p := param{typ: t, variable: first + i, optional: t.Kind() == reflect.Pointer, nullable: nullable(t)}
		if variadic && i == len(own)-1 {
			p.typ, p.optional = t.Elem(), true
		}
		if len(cfg.params) > 0 {
			p.name = cfg.params[i]
			if _, dup := b.index[p.name]; dup || p.name == "" {
				return b, fmt.Errorf("Params names %q twice, or not at all", p.name)
			}
			b.index[p.name] = first + i
			if d, ok := cfg.defaults[p.name]; ok {
				v, ok := convertDefault(reflect.ValueOf(d), t)
				if !ok {
					return b, fmt.Errorf("Default of %q must be of type %s, not %T", p.name, t, d)
				}
				p.optional, p.def = true, fresh(v)
			}
		}
		b.params = append(b.params, p)
	}
	for name := range cfg.defaults {
		if at, ok := b.index[name]; !ok || at < first {
			return b, fmt.Errorf("Default of %q: Params names no such parameter", name)
		}
	}
	return b, nil
}

// maxEmbedding bounds how deeply structs may be embedded in a parameter.
const maxEmbedding = 16

// decodesItself reports whether a struct type stands for a single value, such
// as time.Time.
func decodesItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(typeJSONUnmarshaler) || p.Implements(typeTextUnmarshaler)
}

func nullable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return true
	}
	return false
}

// addFields adds the exported fields of a struct, those of embedded structs
// included, under the names that encoding/json gives them.
func (b *binder) addFields(t reflect.Type, variable int, path []int) error {
	for i := range t.NumField() {
		f := t.Field(i)
		at := slices.Concat(path, []int{i})
		tag, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Tag.Get("json") == "-" {
			continue
		}
		if f.Anonymous && tag == "" {
			base := f.Type
			if base.Kind() == reflect.Pointer && f.IsExported() {
				base = base.Elem() // made when one of its fields is given
			}
			if base.Kind() == reflect.Struct && !decodesItself(base) {
				if len(at) > maxEmbedding {
					return fmt.Errorf("field %s: embedded too deeply, or in itself", f.Name)
				}
				if err := b.addFields(base, variable, at); err != nil {
					return err
				}
				continue
			}
		}
		if !f.IsExported() {
			continue
		}
		if err := checkParam(f.Type); err != nil {
			return fmt.Errorf("field %s: %w", f.Name, err)
		}
		p := param{name: tag, typ: f.Type, variable: variable, path: at, nullable: nullable(f.Type)}
		if p.name == "" {
			p.name = f.Name
		}
		for o := range strings.SplitSeq(rest, ",") {
			p.optional = p.optional || o == "omitempty" || o == "omitzero"
		}
		p.optional = p.optional || f.Type.Kind() == reflect.Pointer
		if text, ok := f.Tag.Lookup("default"); ok {
			v, err := parseDefault(f.Type, text)
			if err != nil {
				return fmt.Errorf("field %s: default %q: %w", f.Name, text, err)
			}
			p.optional, p.def = true, v
		}
		if _, dup := b.index[p.name]; dup {
			return fmt.Errorf("field %s: the name %q is taken", f.Name, p.name)
		}
		b.index[p.name] = len(b.params)
		b.params = append(b.params, p)
	}
	return nil
}

// convertDefault converts a value to t, if that keeps it what it is.
func convertDefault(v reflect.Value, t reflect.Type) (reflect.Value, bool) {
	if !v.IsValid() || !v.CanConvert(t) {
		return v, false
	}
	if v.Type().AssignableTo(t) || v.Kind() == t.Kind() {
		return v.Convert(t), true
	}
	// Numbers are left, and what would not be the same any more.
	if t.Kind() < reflect.Int || t.Kind() > reflect.Float64 || v.Kind() < reflect.Int || v.Kind() > reflect.Float64 {
		return v, false
	}
	out := v.Convert(t)
	negative := func(v reflect.Value) bool { return v.CanInt() && v.Int() < 0 || v.CanFloat() && v.Float() < 0 }
	return out, out.Convert(v.Type()).Equal(v) && negative(out) == negative(v)
}

// fresh copies a default, with all of it that a method could change.
func fresh(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(fresh(v.Elem()))
		}
	case reflect.Interface:
		if !v.IsNil() {
			out.Set(fresh(v.Elem()))
		}
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice && !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		}
		for i := range v.Len() {
			out.Index(i).Set(fresh(v.Index(i)))
		}
	case reflect.Map:
		if !v.IsNil() {
			out.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
		}
		for key, value := range v.Seq2() {
			out.SetMapIndex(key, fresh(value))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if out.Field(i).CanSet() {
				out.Field(i).Set(fresh(v.Field(i)))
			}
		}
	}
	return out
}

// parseDefault reads the text of a default tag: a string as it is, anything
// else as JSON.
func parseDefault(t reflect.Type, text string) (reflect.Value, error) {
	v := reflect.New(t)
	base := v.Elem()
	for base.Kind() == reflect.Pointer {
		base.Set(reflect.New(base.Type().Elem()))
		base = base.Elem()
	}
	if base.Kind() == reflect.String {
		base.SetString(text)
		return v.Elem(), nil
	}
	return v.Elem(), json.Unmarshal([]byte(text), base.Addr().Interface())
}

// values appends new variables to bind into.
func (b *binder) values(vs []reflect.Value) []reflect.Value {
	for _, t := range b.types {
		vs = append(vs, reflect.New(t).Elem())
	}
	return vs
}

// binding is the state of one bind, pooled with its callbacks.
type binding struct {
	b      *binder
	cd     codec.Codec
	vars   []reflect.Value
	seen   []bool
	strict bool
	err    *Error

	onMember func(name, value []byte) bool
	onElem   func(i int, elem []byte) bool
}

var bindingPool = sync.Pool{New: func() any {
	g := new(binding)
	g.onMember, g.onElem = g.member, g.elem
	return g
}}

// bind decodes params, which may be nil, into vars.
func (b *binder) bind(cd codec.Codec, raw []byte, vars []reflect.Value, strict bool) error {
	if b.whole {
		if raw == nil {
			return nil
		}
		if err := cd.Decode(raw, vars[0].Addr().Interface()); err != nil {
			return invalidParams("", err)
		}
		return nil
	}
	g := bindingPool.Get().(*binding)
	g.b, g.cd, g.vars, g.strict, g.err = b, cd, vars, strict, nil
	g.seen = append(g.seen[:0], make([]bool, len(b.params))...)
	for _, i := range b.pointers {
		vars[i].Set(reflect.New(b.types[i].Elem()))
	}
	err := g.bind(raw)
	g.b, g.cd, g.vars, g.err = nil, nil, nil, nil
	bindingPool.Put(g)
	if err != nil {
		return err
	}
	return nil
}

func (g *binding) bind(raw []byte) *Error {
	if raw != nil && !g.cd.Elements(raw, g.onElem) {
		switch {
		case len(g.b.index) > 0 || len(g.b.params) == 0:
			g.cd.Members(raw, g.onMember)
		default:
			g.cd.Members(raw, func(_, _ []byte) bool {
				g.err = &Error{Code: codec.CodeInvalidParams, Message: "parameters are taken by position only"}
				return false
			})
		}
	}
	if g.err != nil {
		return g.err
	}
	for i := range g.b.params {
		p := &g.b.params[i]
		switch {
		case g.seen[i]:
		case p.def.IsValid():
			g.target(i).Set(fresh(p.def))
		case !p.optional:
			return missing(p, i)
		}
	}
	return nil
}

// target is the variable of a parameter.
func (g *binding) target(i int) reflect.Value {
	p := &g.b.params[i]
	v := g.vars[p.variable]
	for _, field := range p.path {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(field)
	}
	return v
}

func (g *binding) member(name, value []byte) bool {
	i, ok := g.b.index[string(name)]
	if !ok {
		// As encoding/json does, if no field has just this name.
		for at := range g.b.params {
			if p := &g.b.params[at]; p.path != nil && strings.EqualFold(p.name, string(name)) {
				i, ok = at, true
				break
			}
		}
	}
	if !ok {
		if g.strict {
			g.err = &Error{
				Code: codec.CodeInvalidParams, Message: fmt.Sprintf("unknown parameter %q", name),
				Data: parameterData{string(name)},
			}
		}
		return !g.strict
	}
	if g.b.variadic && i == len(g.b.params)-1 {
		// By name, all values of it come as one array.
		if err := g.cd.Decode(value, g.target(i).Addr().Interface()); err != nil {
			g.err = invalidParams(g.b.params[i].name, err)
			return false
		}
		g.seen[i] = true
		return true
	}
	return g.set(i, value)
}

func (g *binding) elem(i int, value []byte) bool {
	n := len(g.b.params)
	if g.b.variadic && i >= n-1 {
		list := g.target(n - 1)
		v := reflect.New(list.Type().Elem())
		if err := g.cd.Decode(value, v.Interface()); err != nil {
			g.err = invalidParams(label(&g.b.params[n-1], i), err)
			return false
		}
		list.Set(reflect.Append(list, v.Elem()))
		g.seen[n-1] = true
		return true
	}
	if i >= n {
		g.err = &Error{Code: codec.CodeInvalidParams, Message: fmt.Sprintf("too many parameters: at most %d", n)}
		return false
	}
	return g.set(i, value)
}

// set decodes one parameter. A null is the same as none, unless the type has
// one.
func (g *binding) set(i int, value []byte) bool {
	p := &g.b.params[i]
	v := g.target(i)
	if g.seen[i] {
		v.SetZero() // a name that is given twice: the last one counts
	}
	if g.cd.IsNull(value) && (!p.nullable || p.def.IsValid()) {
		g.seen[i] = false
		return true
	}
	if err := g.cd.Decode(value, v.Addr().Interface()); err != nil {
		g.err = invalidParams(label(p, i), err)
		return false
	}
	g.seen[i] = true
	return true
}

// parameterData is the data of an error about a parameter.
type parameterData struct {
	Parameter string `json:"parameter"`
}

// label names a parameter for the peer: by its name, or else by its position.
func label(p *param, i int) string {
	if p.name != "" {
		return p.name
	}
	return fmt.Sprintf("#%d", i+1)
}

func missing(p *param, i int) *Error {
	name := label(p, i)
	return &Error{
		Code: codec.CodeInvalidParams, Message: fmt.Sprintf("missing parameter %q", name),
		Data: parameterData{name},
	}
}

func invalidParams(name string, err error) *Error {
	if name == "" {
		return &Error{Code: codec.CodeInvalidParams, Message: "invalid params: " + err.Error()}
	}
	return &Error{
		Code: codec.CodeInvalidParams, Message: fmt.Sprintf("parameter %q: %s", name, err),
		Data: parameterData{name},
	}
}

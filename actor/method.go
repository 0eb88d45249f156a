package actor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"unicode"

	"github.com/wireroom/wireroom/transport"
)

// Handshake is the opening handshake of a connection: path, query, headers,
// remote address, and the principal that Options.Transport.OnConnect returned.
// A method or hook that has a parameter of type *Handshake gets that of the
// calling connection. It must not be changed.
type Handshake = transport.Handshake

// A MethodOption says how one method is called over the wire.
type MethodOption func(*methodConfig)

type methodConfig struct {
	name       string
	params     []string
	defaults   map[string]any
	hidden     bool
	skip       bool
	strict     bool
	group      string
	concurrent int
	inline     bool
	errs       []error
}

// Name gives a method another wire name than the snake case of its Go name.
func Name(wire string) MethodOption { return func(c *methodConfig) { c.name = wire } }

// Params names the parameters of a method, in order and without the injected
// ones, so that they can be given by name as well as by position. A single
// struct parameter needs none: it has the names of its fields.
func Params(names ...string) MethodOption { return func(c *methodConfig) { c.params = names } }

// Default makes a parameter that Params has named optional, and gives its
// value. For fields of a struct parameter there is the tag `default:"…"`.
func Default(param string, value any) MethodOption {
	return func(c *methodConfig) {
		if c.defaults == nil {
			c.defaults = make(map[string]any)
		}
		c.defaults[param] = value
	}
}

// Hidden leaves a method out of Methods; it can be called all the same.
func Hidden() MethodOption { return func(c *methodConfig) { c.hidden = true } }

// Skip makes an exported method no method of the wire.
func Skip() MethodOption { return func(c *methodConfig) { c.skip = true } }

// Strict refuses parameters that the method does not know. Otherwise they are
// ignored.
func Strict() MethodOption { return func(c *methodConfig) { c.strict = true } }

// Group gives a method a heading in listings.
func Group(name string) MethodOption { return func(c *methodConfig) { c.group = name } }

// Concurrent lets up to n calls of a method by one connection run at the
// same time, and beside the calls that follow. Replies then come in the order
// in which the calls end. Without it the calls of one connection run one after
// the other. Items of a batch always do.
func Concurrent(n int) MethodOption {
	return func(c *methodConfig) {
		if n < 1 {
			c.errs = append(c.errs, fmt.Errorf("Concurrent(%d): the bound must be at least 1", n))
		}
		c.concurrent = n
	}
}

// NonBlocking says that a method never waits: for no lock that is held for long,
// no channel, no disk and no network. It is then called on the goroutine that
// reads its connection, and many others, which spares a hand-over; one that
// waits there all the same holds all of them up. Sends through a WsSender and
// broadcasts do not wait, but joining and leaving a room does. Interceptors of
// such a method must not wait either. It cannot be combined with Concurrent, nor
// be a method of a service actor.
func NonBlocking() MethodOption { return func(c *methodConfig) { c.inline = true } }

// method is the plan by which calls of one wire name are made.
type method struct {
	name       string
	goName     string
	group      string
	hidden     bool
	strict     bool
	concurrent int
	inline     bool // never waits
	svc        *service

	wantContext   bool
	wantHandshake bool
	hasResult     bool
	hasError      bool
	resultType    reflect.Type

	args   []argument // the Go parameters, in order
	binder binder

	// The function is called by reflection, with its receiver first, or direct
	// does it all.
	fn     reflect.Value
	recv   reflect.Value // the service, unless mount finds it by a key
	mount  func(cl *call, key reflect.Value) (reflect.Value, error)
	direct func(cl *call) (any, error)
}

type argKind uint8

const (
	argParam argKind = iota
	argContext
	argSender
	argHandshake
)

type argument struct {
	kind argKind
	typ  reflect.Type
}

var (
	typeContext   = reflect.TypeFor[context.Context]()
	typeSender    = reflect.TypeFor[WsSender]()
	typeHandshake = reflect.TypeFor[*Handshake]()
	typeError     = reflect.TypeFor[error]()
)

// mountKey is the parameter by which a mount chooses its service.
type mountKey struct {
	name string
	typ  reflect.Type
}

// planFunc plans calls of a function of the given type. skip is how many
// parameters at the beginning are not looked at (the receiver). key is nil
// unless it belongs to a mount.
func planFunc(t reflect.Type, skip int, key *mountKey, cfg *methodConfig) (*method, error) {
	m := &method{
		name: cfg.name, group: cfg.group, hidden: cfg.hidden, strict: cfg.strict, concurrent: cfg.concurrent, inline: cfg.inline,
	}
	errs := slices.Clone(cfg.errs)
	var params []reflect.Type
	keyName := ""
	if key != nil {
		keyName, params = key.name, append(params, key.typ)
	}
	seen := make(map[argKind]bool)
	for i := skip; i < t.NumIn(); i++ {
		in := t.In(i)
		kind := argParam
		switch in {
		case typeContext:
			kind, m.wantContext = argContext, true
		case typeSender:
			kind = argSender
		case typeHandshake:
			kind, m.wantHandshake = argHandshake, true
		default:
			if err := checkParam(in); err != nil {
				errs = append(errs, err)
			}
			params = append(params, in)
		}
		if kind != argParam && seen[kind] {
			errs = append(errs, fmt.Errorf("it has two parameters of type %s: remove one", in))
		}
		seen[kind] = true
		m.args = append(m.args, argument{kind, in})
	}
	switch n := t.NumOut(); {
	case n == 0:
	case n == 1 && t.Out(0) == typeError:
		m.hasError = true
	case n == 1 && t.Out(0).Implements(typeError):
		errs = append(errs, fmt.Errorf("its only result is of type %s: return error, so that nil means success", t.Out(0)))
	case n == 1:
		m.hasResult, m.resultType = true, t.Out(0)
	case n == 2 && t.Out(1) == typeError:
		m.hasResult, m.hasError, m.resultType = true, true, t.Out(0)
	default:
		errs = append(errs, errors.New("it must return nothing, a result, an error, or a result and an error"))
	}
	if m.hasResult {
		if err := checkResult(m.resultType); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		var err error
		if m.binder, err = newBinder(keyName, params, t.IsVariadic(), cfg); err != nil {
			errs = append(errs, err)
		}
	}
	return m, errors.Join(errs...)
}

// checkParam fails for types that no message can carry.
func checkParam(t reflect.Type) error {
	base := t
	for base.Kind() == reflect.Pointer {
		base = base.Elem()
	}
	switch base.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return fmt.Errorf("no message can carry its parameter of type %s: change the type, or leave the method out with Skip", t)
	case reflect.Interface:
		if base.NumMethod() > 0 {
			return fmt.Errorf("no message can carry its parameter of type %s: use a concrete type or any, or leave the method out with Skip", t)
		}
	}
	return nil
}

func checkResult(t reflect.Type) error {
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return fmt.Errorf("no message can carry its result of type %s: change the type, or leave the method out with Skip", t)
	}
	return nil
}

// invoke makes the call: it binds the parameters and runs the method, here or
// in the service's actor.
func (m *method) invoke(cl *call) (any, error) {
	if m.direct != nil {
		return m.runDirect(cl)
	}
	if err := m.bindArgs(cl); err != nil {
		return nil, err
	}
	if a := m.svc.actor; a != nil {
		return a.call(cl)
	}
	return m.runArgs(cl)
}

func (m *method) runDirect(cl *call) (result any, err error) {
	defer cl.e.recovered(m.name, cl.sender, &err)
	return m.direct(cl)
}

// runArgs runs the method with the arguments that bindArgs has made.
func (m *method) runArgs(cl *call) (result any, err error) {
	defer cl.e.recovered(m.name, cl.sender, &err)
	if m.mount != nil {
		if cl.args[0], err = m.mount(cl, cl.vars[0]); err != nil {
			return nil, err
		}
	}
	var out []reflect.Value
	if m.binder.variadic {
		out = m.fn.CallSlice(cl.args)
	} else {
		out = m.fn.Call(cl.args)
	}
	if m.hasError {
		if e, _ := out[len(out)-1].Interface().(error); e != nil {
			return nil, e
		}
	}
	if m.hasResult {
		return out[0].Interface(), nil
	}
	return nil, nil
}

// bindArgs makes the arguments of the call. The key of a mount stays in
// cl.vars[0].
func (m *method) bindArgs(cl *call) error {
	cl.vars = m.binder.values(cl.vars[:0])
	if err := m.binder.bind(cl.wire.codec, cl.params, cl.vars, m.strict); err != nil {
		return err
	}
	params := cl.vars
	if m.mount != nil {
		params = params[1:]
	}
	cl.args = append(cl.args[:0], m.recv)
	for _, a := range m.args {
		var v reflect.Value
		switch a.kind {
		case argContext:
			v = reflect.ValueOf(&cl.ctx).Elem()
		case argSender:
			v = reflect.ValueOf(cl.sender)
		case argHandshake:
			v = reflect.ValueOf(cl.hs)
		default:
			v, params = params[0], params[1:]
		}
		cl.args = append(cl.args, v)
	}
	return nil
}

// snake turns a Go name into a wire name: JoinRoom → join_room, GetURL2 →
// get_url2.
func snake(name string) string {
	r := []rune(name)
	var b strings.Builder
	for i, c := range r {
		if unicode.IsUpper(c) && i > 0 {
			next := i+1 < len(r) && unicode.IsLower(r[i+1])
			if before := r[i-1]; before != '_' && (!unicode.IsUpper(before) || next) {
				b.WriteByte('_')
			}
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// promoted reports whether the method is one that the struct type t has from
// an embedded type of another package, such as Lock from a sync.Mutex.
func promoted(t reflect.Type, name string) bool {
	s := t
	if s.Kind() == reflect.Pointer {
		s = s.Elem()
	}
	if s.Kind() != reflect.Struct || declares(s, name) {
		return false
	}
	for f := range s.Fields() {
		if !f.Anonymous {
			continue
		}
		all, base := f.Type, f.Type // all has all methods that the field brings along
		switch base.Kind() {
		case reflect.Pointer:
			base = base.Elem()
		case reflect.Interface:
		default:
			all = reflect.PointerTo(base)
		}
		if _, ok := all.MethodByName(name); ok {
			return base.PkgPath() != s.PkgPath() || promoted(base, name)
		}
	}
	return false
}

// declares reports whether a method is the type's own, which may hide that of
// an embedded one: then it stands in a file.
func declares(t reflect.Type, name string) bool {
	for _, v := range []reflect.Type{t, reflect.PointerTo(t)} {
		if m, ok := v.MethodByName(name); ok {
			if f := runtime.FuncForPC(m.Func.Pointer()); f != nil {
				if file, _ := f.FileLine(f.Entry()); file != "<autogenerated>" {
					return true
				}
			}
		}
	}
	return false
}

// MethodInfo describes a method that can be called over the wire.
type MethodInfo struct {
	Name        string
	Group       string
	Params      []ParamInfo
	Variadic    bool   // the last parameter takes any number of values
	Result      string // Go type; empty if there is none
	Concurrent  int    // how many calls of one connection may run at once; 0 means in order
	NonBlocking bool   // see there
}

// ParamInfo describes a parameter of a method.
type ParamInfo struct {
	Name     string // empty if it can only be given by position
	Type     string // Go type
	Optional bool
	Default  any // nil if there is none
}

// Methods lists the methods that can be called, sorted by name, without hidden
// ones. It reads the table by which calls are dispatched.
func (e *Engine) Methods() []MethodInfo {
	var out []MethodInfo
	for _, m := range e.table.Load().methods {
		if m.hidden {
			continue
		}
		info := MethodInfo{Name: m.name, Group: m.group, Variadic: m.binder.variadic, Concurrent: m.concurrent, NonBlocking: m.inline}
		if m.hasResult {
			info.Result = m.resultType.String()
		}
		for _, p := range m.binder.params {
			pi := ParamInfo{Name: p.name, Type: p.typ.String(), Optional: p.optional}
			if p.def.IsValid() {
				pi.Default = fresh(p.def).Interface()
			}
			info.Params = append(info.Params, pi)
		}
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b MethodInfo) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

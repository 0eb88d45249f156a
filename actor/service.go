package actor

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"

	hw "github.com/anthdm/hollywood/actor"
)

// ConnectHook is implemented by services that want to know of connections.
// OnConnect is called once per connection, before any of its calls, and
// OnDisconnect after the last of them, if OnConnect has returned nil. (A call
// that still waits in a service actor when the connection ends comes before that
// actor's own OnDisconnect, but perhaps after that of other services.) An error
// of OnConnect closes the connection: with the code and reason of a
// *CloseError, otherwise with 1008 and no text of it.
//
// The two methods are optional, each by itself, and are no methods of the wire.
type ConnectHook interface {
	OnConnect(from WsSender, hs *Handshake) error
}

// DisconnectHook is the counterpart of ConnectHook. err says how the connection
// ended; it is a *CloseError.
type DisconnectHook interface {
	OnDisconnect(from WsSender, err error)
}

// A ServiceOption says how a service is registered.
type ServiceOption func(*serviceConfig)

type serviceConfig struct {
	prefix  string
	id      string
	each    []MethodOption
	methods map[string][]MethodOption // by Go name
}

// Prefix mounts the service: its methods are called prefix.method.
func Prefix(prefix string) ServiceOption { return func(c *serviceConfig) { c.prefix = prefix } }

// ID gives a service actor its PID's id; otherwise it is random.
func ID(id string) ServiceOption { return func(c *serviceConfig) { c.id = id } }

// Each applies options to all methods of the service.
func Each(opts ...MethodOption) ServiceOption {
	return func(c *serviceConfig) { c.each = append(c.each, opts...) }
}

// Method applies options to the method with the given Go name.
func Method(goName string, opts ...MethodOption) ServiceOption {
	return func(c *serviceConfig) { c.methods[goName] = append(c.methods[goName], opts...) }
}

// service is what a method belongs to.
type service struct {
	name         string // Go type
	actor        *serviceActor
	onConnect    func(WsSender, *Handshake) error
	onDisconnect func(WsSender, error)
}

// Names that are hooks, not methods of the wire.
const (
	nameOnConnect    = "OnConnect"
	nameOnDisconnect = "OnDisconnect"
	nameReceive      = "Receive"
)

func newServiceConfig(opts []ServiceOption) *serviceConfig {
	cfg := &serviceConfig{methods: make(map[string][]MethodOption)}
	for _, o := range opts {
		o(cfg)
	}
	return cfg
}

// plan makes the methods of a service type.
func (cfg *serviceConfig) plan(t reflect.Type, svc *service, key *mountKey) ([]*method, error) {
	var errs []error
	if err := checkPrefix(cfg.prefix); err != nil {
		return nil, err
	}
	var out []*method
	var names []string
	for i := range t.NumMethod() {
		rm := t.Method(i)
		names = append(names, rm.Name)
		opts, chosen := cfg.methods[rm.Name]
		if !chosen && (isHook(t, rm.Name) || promoted(t, rm.Name)) {
			continue
		}
		mc := &methodConfig{name: snake(rm.Name)}
		for _, o := range slices.Concat(cfg.each, opts) {
			o(mc)
		}
		if mc.skip {
			continue
		}
		if cfg.prefix != "" && mc.name != "" {
			mc.name = cfg.prefix + "." + mc.name
		}
		m, err := planFunc(rm.Type, 1, key, mc)
		if err == nil {
			err = checkWireName(m.name)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("method %s.%s: %w", t, rm.Name, err))
			continue
		}
		m.goName, m.svc, m.fn = rm.Name, svc, rm.Func
		out = append(out, m)
	}
	for name := range cfg.methods {
		if !slices.Contains(names, name) {
			errs = append(errs, fmt.Errorf("option for method %q: %s has no such exported method%s", name, t, hint(name, names)))
		}
	}
	return out, errors.Join(errs...)
}

// isHook reports whether the method is called by the engine itself.
func isHook(t reflect.Type, name string) bool {
	switch name {
	case nameOnConnect:
		return t.Implements(reflect.TypeFor[ConnectHook]())
	case nameOnDisconnect:
		return t.Implements(reflect.TypeFor[DisconnectHook]())
	case nameReceive:
		return t.Implements(reflect.TypeFor[Receiver]())
	}
	return false
}

func checkPrefix(p string) error {
	if strings.HasPrefix(p, ".") || strings.HasSuffix(p, ".") {
		return fmt.Errorf("prefix %q: leave out the dot at its end", p)
	}
	return nil
}

// checkWireName keeps out what the specification reserves (section 4.3).
func checkWireName(name string) error {
	switch {
	case name == "":
		return errors.New("its wire name is empty")
	case strings.HasPrefix(name, "rpc."):
		return fmt.Errorf("its wire name %q begins with rpc., which is reserved: give it another with Name", name)
	}
	return nil
}

// checkService fails for values that can have no methods of their own.
func checkService(svc any) (reflect.Value, error) {
	v := reflect.ValueOf(svc)
	switch {
	case !v.IsValid(), v.Kind() == reflect.Pointer && v.IsNil():
		return v, errors.New("service is nil")
	case v.Kind() == reflect.Struct && v.NumMethod() < reflect.PointerTo(v.Type()).NumMethod():
		return v, fmt.Errorf("%s has methods on the pointer: register &%s{…}", v.Type(), v.Type())
	}
	return v, nil
}

// Register makes the exported methods of svc callable over the wire. The value
// is shared: its methods run one after the other for one connection, and at the
// same time for different ones. Their names are the snake case of the Go names,
// unless options say otherwise; see the package documentation for what a method
// may look like. A signature that cannot be called, or a name that is taken, is
// an error that names the method and the mend, and then nothing is registered.
// A method that takes a *Handshake can only be registered before the first
// connection.
func (e *Engine) Register(svc any, opts ...ServiceOption) error {
	if err := e.register(svc, nil, newServiceConfig(opts)); err != nil {
		return fmt.Errorf("actor: register %T: %w", svc, err)
	}
	return nil
}

func (e *Engine) register(value any, a *serviceActor, cfg *serviceConfig) error {
	v, err := checkService(value)
	if err != nil {
		return err
	}
	svc := &service{name: v.Type().String(), actor: a}
	if h, ok := value.(ConnectHook); ok {
		svc.onConnect = h.OnConnect
	}
	if h, ok := value.(DisconnectHook); ok {
		svc.onDisconnect = h.OnDisconnect
	}
	methods, err := cfg.plan(v.Type(), svc, nil)
	if err != nil {
		return err
	}
	for _, m := range methods {
		m.recv = v
	}
	if len(methods) == 0 && svc.onConnect == nil && svc.onDisconnect == nil {
		return errors.New("it has no exported method")
	}
	return e.addMethods(methods, svc)
}

// Mount registers the methods of S under prefix, as methods that take a further
// parameter before their own: the key, which find turns into the service to
// call. The parameter is the first by position, and has the given name. An
// error of find is the error of the call.
//
//	actor.Mount(e, "room", "id", func(_ context.Context, id string) (*Room, error) { … })
//
// makes Room.Post callable as room.post with {"id": …, "text": …}. What is
// injected into methods is injected here too. Hooks of S are not called: it is
// not known which of its values a connection belongs to.
func Mount[K, S any](e *Engine, prefix, key string, find func(ctx context.Context, key K) (S, error), opts ...ServiceOption) error {
	cfg := newServiceConfig(opts)
	cfg.prefix = prefix
	t := reflect.TypeFor[S]()
	err := func() error {
		switch {
		case prefix == "" || key == "":
			return errors.New("a mount needs a prefix and the name of its key")
		case find == nil:
			return errors.New("the function that finds the service is nil")
		case t.Kind() == reflect.Interface:
			return errors.New("a mount needs a concrete type, whose methods are known")
		}
		if err := checkParam(reflect.TypeFor[K]()); err != nil {
			return err
		}
		svc := &service{name: t.String()}
		methods, err := cfg.plan(t, svc, &mountKey{key, reflect.TypeFor[K]()})
		if err != nil {
			return err
		}
		for _, m := range methods {
			m.wantContext = true // find gets it
			m.mount = func(cl *call, key reflect.Value) (reflect.Value, error) {
				s, err := find(cl.ctx, *key.Addr().Interface().(*K))
				return reflect.ValueOf(&s).Elem(), err
			}
		}
		if len(methods) == 0 {
			return errors.New("it has no exported method")
		}
		return e.addMethods(methods, svc)
	}()
	if err != nil {
		return fmt.Errorf("actor: mount %s as %q: %w", t, prefix, err)
	}
	return nil
}

// Handle makes a function callable over the wire, without reflection at the
// call. P is a struct whose fields are the parameters by name (and, in their
// order, by position), or any other type that is then the only parameter;
// struct{} takes none. A result of type struct{} is null.
//
//	actor.Handle(e, "join", func(ctx context.Context, from actor.WsSender, p JoinParams) (Joined, error) { … })
func Handle[P, R any](e *Engine, name string, f func(context.Context, WsSender, P) (R, error), opts ...MethodOption) error {
	mc := &methodConfig{name: name}
	for _, o := range opts {
		o(mc)
	}
	m, err := planFunc(reflect.TypeOf(f), 0, nil, mc)
	switch {
	case err != nil:
	case f == nil:
		err = errors.New("the function is nil")
	case mc.skip:
		err = errors.New("Skip is for methods of services")
	default:
		err = checkWireName(m.name)
	}
	if err != nil {
		return fmt.Errorf("actor: handle %q: %w", name, err)
	}
	if m.resultType == reflect.TypeFor[struct{}]() {
		m.hasResult = false
	}
	m.svc = &service{name: "func"}
	m.direct = func(cl *call) (any, error) {
		var p P
		vars := [1]reflect.Value{reflect.ValueOf(&p).Elem()}
		if hs, ok := any(&p).(**Handshake); ok {
			*hs = cl.hs // it is injected, and not among the parameters
		}
		if err := m.binder.bind(cl.wire.codec, cl.params, vars[:], m.strict); err != nil {
			return nil, err
		}
		r, err := f(cl.ctx, cl.sender, p)
		if err != nil || !m.hasResult {
			return nil, err
		}
		return r, nil
	}
	if err := e.addMethods([]*method{m}, m.svc); err != nil {
		return fmt.Errorf("actor: handle %q: %w", name, err)
	}
	return nil
}

// hint returns the name among names that is most like s, for error texts.
func hint(s string, names []string) string {
	best, score := "", 0
	for _, n := range names {
		if k := common(strings.ToLower(s), strings.ToLower(n)); k > score {
			best, score = n, k
		}
	}
	if score*2 < len(s) {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// common counts the letters that a and b begin and end with alike.
func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	k := 0
	for k < len(a)-n && k < len(b)-n && a[len(a)-1-k] == b[len(b)-1-k] {
		k++
	}
	return n + k
}

// ---- services that are actors

// SpawnService registers svc as Register does, and makes it an actor: its
// methods and hooks run one at a time, whoever calls, so that its state needs
// no lock. If svc is a Receiver too, it gets what other actors send to the PID
// that is returned, in the same order.
//
// A method that waits keeps all other callers waiting. When more than
// Options.MailboxSize calls wait, further ones are answered with a busy error.
func (e *Engine) SpawnService(svc any, opts ...ServiceOption) (*PID, error) {
	pid, err := e.spawnService(svc, newServiceConfig(opts))
	if err != nil {
		return nil, fmt.Errorf("actor: spawn service %T: %w", svc, err)
	}
	return pid, nil
}

func (e *Engine) spawnService(svc any, cfg *serviceConfig) (*PID, error) {
	if _, err := checkService(svc); err != nil {
		return nil, err
	}
	a := &serviceActor{e: e}
	a.inner, _ = svc.(Receiver)
	kind := "service"
	if cfg.prefix != "" {
		kind += "/" + cfg.prefix
	}
	m, err := e.sys.spawn(func() Receiver { return a }, kind, cfg.id, e.opts.MailboxSize)
	if err != nil {
		return nil, err
	}
	a.m = m
	if err := e.register(svc, a, cfg); err != nil {
		m.stop(nil)
		<-m.done
		return nil, err
	}
	return &m.pid, nil
}

// serviceActor is the actor around a service.
type serviceActor struct {
	e     *Engine
	m     *mailbox
	inner Receiver // the service, if it is one
}

// job is what a service actor is to run.
type job struct {
	run   func()
	state atomic.Int32
	done  chan struct{} // closed when it has run, or was left out
}

// The states of a job.
const (
	jobWaits int32 = iota
	jobRuns
	jobRan
	jobDropped
)

// drop leaves the job out, if the actor has not come to it.
func (j *job) drop() bool { return j.state.CompareAndSwap(jobWaits, jobDropped) }

// Receive implements Receiver.
func (a *serviceActor) Receive(c *hw.Context) {
	switch m := c.Message().(type) {
	case *job:
		defer close(m.done)
		if m.state.CompareAndSwap(jobWaits, jobRuns) {
			m.run()
			m.state.Store(jobRan)
		}
	case Initialized, Started, Stopped:
		if a.inner != nil {
			a.inner.Receive(c)
		}
	default:
		if a.inner == nil {
			a.e.sys.deadLetter(c.PID(), m, c.Sender())
			return
		}
		a.inner.Receive(c)
	}
}

// post has f run in the actor, unless bound other messages wait for it.
func (a *serviceActor) post(bound int64, f func()) (*job, error) {
	j := &job{run: f, done: make(chan struct{})}
	return j, a.m.trySend(j, nil, bound)
}

// wait waits until the job has run, or for ctx.
func (a *serviceActor) wait(ctx context.Context, j *job) error {
	select {
	case <-j.done:
	case <-a.m.done:
	case <-ctx.Done():
		select {
		case <-j.done: // it is there after all
		default:
			return context.Cause(ctx)
		}
	}
	if j.state.Load() != jobRan {
		return errQuit
	}
	return nil
}

// call runs a call in the actor. If the connection ends or the peer cancels
// first, it does not wait; the call is made in its turn all the same, with a
// context that has ended.
func (a *serviceActor) call(cl *call) (any, error) {
	var result any
	var err error
	j, e := a.post(a.m.max, func() { result, err = cl.m.runArgs(cl) })
	if e == nil {
		e = a.wait(cl.ctx, j)
	}
	if e != nil {
		return nil, e
	}
	return result, err
}

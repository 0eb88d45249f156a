package actor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/wireroom/wireroom/codec"
	"github.com/wireroom/wireroom/transport"
)

// Engine is one node of the runtime: it accepts connections, calls the methods
// of services, and holds actors and rooms. All its methods may be called by any
// number of goroutines at once. An Engine ends with Shutdown.
type Engine struct {
	opts      Options
	sys       *system
	onEvent   func(Event)
	server    *transport.Server
	wires     [wireCount]wire
	maxReply  int
	maxFrames int // that wait for a connection
	stats     counters

	regMu   sync.Mutex // registration
	table   atomic.Pointer[table]
	serving atomic.Bool // a connection has been there

	conns   sync.WaitGroup // actors of connections, until their hooks have run
	maxLive int64          // connections of which something is there, also of those that have ended
	live    atomic.Int64   // how many those are
	rooms   rooms
	ended   atomic.Bool
}

// table is what has been registered. It is replaced as a whole.
type table struct {
	methods       map[string]*method
	services      []*service // that have hooks
	wantHandshake bool       // some method or interceptor gets it
	inline        bool       // some method is NonBlocking, or OnMessage
}

// New returns an Engine. A nil *Options means the defaults. It fails if an
// option makes no sense.
func New(o *Options) (*Engine, error) {
	e := &Engine{opts: o.withDefaults()}
	e.onEvent = e.opts.OnEvent
	e.rooms.e = e
	e.table.Store(&table{wantHandshake: len(e.opts.Interceptors) > 0, inline: e.opts.OnMessage != nil && e.opts.NonBlocking})
	copts := &codec.Options{Lenient: e.opts.Lenient, MaxBatch: e.opts.MaxBatch}
	e.wires = [wireCount]wire{
		wireJSON:    {codec.JSON(copts), transport.Text},
		wireMsgpack: {codec.Msgpack(copts), transport.Binary},
	}
	t := e.opts.Transport
	if e.opts.OnMessage == nil {
		t.Subprotocols = []string{codec.SubprotocolJSON, codec.SubprotocolMsgpack}
	}
	if hook := t.OnConnect; hook != nil {
		t.OnConnect = func(ctx context.Context, hs *Handshake) (principal any, err error) {
			err = errHook //nolint:wastedassign // what a panic of the hook leaves behind
			defer e.recovered("Options.Transport.OnConnect", WsSender{}, nil)
			return hook(ctx, hs)
		}
	}
	var err error
	if e.sys, err = newSystem(e.event); err != nil {
		return nil, fmt.Errorf("actor: new engine: %w", err)
	}
	if e.server, err = transport.NewServer(e.accept, &t); err != nil {
		return nil, fmt.Errorf("actor: new engine: %w", err)
	}
	limits := e.server.Options()
	e.maxReply, e.maxFrames = limits.MaxQueueBytes, limits.MaxQueueFrames
	e.maxLive = int64(limits.MaxConns)
	if e.maxLive < math.MaxInt64/2 {
		e.maxLive += max(e.maxLive/4, 64)
	}
	return e, nil
}

// errHook is what the handshake of a connection ends with whose hook panicked.
var errHook = transport.Refuse(http.StatusInternalServerError, "")

// addMethods adds what has been planned to the table, or nothing.
func (e *Engine) addMethods(methods []*method, svc *service) error {
	e.regMu.Lock()
	defer e.regMu.Unlock()
	old := e.table.Load()
	t := &table{methods: maps.Clone(old.methods), services: old.services, wantHandshake: old.wantHandshake, inline: old.inline}
	if t.methods == nil {
		t.methods = make(map[string]*method)
	}
	var errs []error
	for _, m := range methods {
		if was := t.methods[m.name]; was != nil {
			errs = append(errs, fmt.Errorf("method %s: %w: %q belongs to %s: give one of them another with Name or Prefix",
				m.label(), ErrDuplicateName, m.name, was.label()))
			continue
		}
		if m.wantHandshake && !t.wantHandshake {
			if e.serving.Load() {
				errs = append(errs, fmt.Errorf("method %s takes a *Handshake, which connections that are open have not kept: register it before serving", m.label()))
			}
			t.wantHandshake = true
		}
		if m.inline && (m.concurrent > 0 || m.svc.actor != nil) {
			errs = append(errs, fmt.Errorf("method %s: NonBlocking goes neither with Concurrent nor with a service actor: leave it out", m.label()))
		}
		t.inline = t.inline || m.inline
		t.methods[m.name] = m
	}
	if svc.onConnect != nil || svc.onDisconnect != nil {
		t.services = append(slices.Clip(t.services), svc)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	e.table.Store(t)
	return nil
}

func (m *method) label() string {
	if m.goName == "" {
		return m.name
	}
	return m.svc.name + "." + m.goName
}

// ---- connections

// accept makes the actor of a new connection, and asks the hooks.
func (e *Engine) accept(tc *transport.Conn, hs *Handshake) transport.Handler {
	if !e.serving.Load() {
		e.regMu.Lock() // a registration sees it, or its table is the one below
		e.serving.Store(true)
		e.regMu.Unlock()
	}
	t := e.table.Load()
	c := &conn{e: e}
	if hs.Subprotocol == codec.SubprotocolMsgpack {
		c.wireID = wireMsgpack
	}
	if t.wantHandshake {
		c.hs = hs
	}
	c.tc.Store(tc)
	c.pid.Address, c.pid.ID = e.sys.hw.Address(), connKind+"/"+randomID()
	for e.sys.register(c) != nil { // 128 random bits: never, as good as
		c.pid.ID = connKind + "/" + randomID()
	}
	e.conns.Add(1)
	e.live.Add(1)
	accepted := false
	defer func() {
		if !accepted { // a hook has ended the goroutine; the transport cuts the connection
			c.OnClose(tc, &CloseError{Code: transport.CloseAbnormal, Err: errQuit})
		}
	}()
	e.event(ConnOpened{WsSender{c}})
	if n := e.live.Load(); n > e.maxLive {
		// So many have ended whose calls or hooks have not: more would make them
		// more without a bound.
		accepted = true
		tc.Close(transport.CloseTryAgainLater, "busy")
		return c
	}
	for i, svc := range t.services {
		if err := e.greet(svc, c, hs); err != nil {
			e.dismiss(t.services[:i], c, e.refuse(c, tc, svc, err))
			accepted = true
			return c
		}
	}
	c.greeted, accepted = int32(len(t.services)), true
	tc.Flush()
	return c
}

// hookBound is the bound for hooks in a service actor's mailbox: none, for there
// are no more of them than connections, and a lost OnDisconnect would leave the
// service with a connection that is gone.
const hookBound = math.MaxInt64

// greet calls a service's OnConnect.
func (e *Engine) greet(svc *service, c *conn, hs *Handshake) (err error) {
	if svc.onConnect == nil {
		return nil
	}
	call := func() {
		defer e.recovered(svc.name+"."+nameOnConnect, WsSender{c}, &err)
		err = svc.onConnect(WsSender{c}, hs)
	}
	if svc.actor == nil {
		call()
		return err
	}
	j, failed := svc.actor.post(hookBound, call)
	if failed != nil {
		return failed
	}
	ctx, cancel := context.WithTimeout(context.Background(), e.server.Options().HandshakeTimeout)
	defer cancel()
	failed = svc.actor.wait(ctx, j)
	switch {
	case ctx.Err() == nil || failed == nil:
	case j.drop():
		return &CloseError{Code: transport.CloseTryAgainLater, Reason: "busy", Err: ErrBusy}
	default: // it has begun: only its end tells
		failed = svc.actor.wait(context.Background(), j)
	}
	if failed != nil {
		return failed
	}
	return err
}

// refuse closes a connection whose OnConnect has failed, and says how.
func (e *Engine) refuse(c *conn, tc *transport.Conn, svc *service, err error) *CloseError {
	end := &CloseError{Code: transport.ClosePolicyViolation, Reason: "refused", Err: err}
	var ce *CloseError
	if errors.As(err, &ce) && transport.ValidCloseCode(ce.Code) {
		end.Code, end.Reason = ce.Code, ce.Reason
	} else {
		e.event(CallFailed{Method: svc.name + "." + nameOnConnect, Sender: WsSender{c}, Err: err})
	}
	tc.Close(end.Code, end.Reason)
	return end
}

// dismisses reports whether some service has an OnDisconnect for c.
func (e *Engine) dismisses(c *conn) bool {
	return slices.ContainsFunc(e.table.Load().services[:c.greeted], func(s *service) bool { return s.onDisconnect != nil })
}

// dismiss calls the OnDisconnect of services.
func (e *Engine) dismiss(services []*service, c *conn, end *CloseError) {
	for _, svc := range services {
		if svc.onDisconnect == nil {
			continue
		}
		call := func() {
			defer e.recovered(svc.name+"."+nameOnDisconnect, WsSender{c}, nil)
			svc.onDisconnect(WsSender{c}, end)
		}
		if svc.actor == nil {
			call()
			continue
		}
		j, err := svc.actor.post(hookBound, call)
		if err == nil {
			err = svc.actor.wait(context.Background(), j)
		}
		if err != nil {
			e.event(CallFailed{Method: svc.name + "." + nameOnDisconnect, Sender: WsSender{c}, Err: err})
		}
	}
}

// disconnected is the end of a connection, after its last call.
func (e *Engine) disconnected(c *conn, end *CloseError) {
	defer e.conns.Done()
	defer e.live.Add(-1)
	e.dismiss(e.table.Load().services[:c.greeted], c, end) // later ones have not greeted it
	c.mu.Lock()
	c.hs = nil
	c.mu.Unlock()
	e.event(ConnClosed{WsSender{c}, end})
}

// Sender returns the sender of the connection with the given PID. It reports
// false if there is none, or no more.
func (e *Engine) Sender(pid *PID) (WsSender, bool) {
	if !e.sys.local(pid) || !strings.HasPrefix(pid.ID, connKind+"/") {
		return WsSender{}, false
	}
	var l lookup
	e.sys.hw.SendLocal(pid, &l, nil)
	return WsSender(l), l.c != nil
}

// ---- serving

// ServeHTTP upgrades a request to a WebSocket connection: mount the Engine in a
// net/http mux, or in any router that takes an http.Handler.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.server.ServeHTTP(w, r) }

// Serve accepts connections from l, without net/http, until Shutdown. Then it
// returns an error for which errors.Is(err, ErrClosed) holds.
func (e *Engine) Serve(l net.Listener) error {
	err := e.server.Serve(l)
	if errors.Is(err, transport.ErrServerClosed) {
		return ErrClosed
	}
	return err
}

// ListenAndServe listens on a TCP address and serves it, as Serve does.
func (e *Engine) ListenAndServe(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("actor: listen: %w", err)
	}
	return e.Serve(l)
}

// ServeConn does the opening handshake on nc, in the background, and serves the
// connection. It owns nc from now on.
func (e *Engine) ServeConn(nc net.Conn) { e.server.ServeConn(nc) }

// Transport returns the server under the engine, for transport.Dialer.Pipe and
// for tools.
func (e *Engine) Transport() *transport.Server { return e.server }

// ---- actors

// A SpawnOption says how an actor is spawned.
type SpawnOption func(*spawnConfig)

type spawnConfig struct {
	id      string
	mailbox int
}

// WithID gives an actor its id; otherwise it is random.
func WithID(id string) SpawnOption { return func(c *spawnConfig) { c.id = id } }

// WithMailboxSize bounds the messages that wait for the actor. Zero means
// Options.MailboxSize and a negative value no limit.
func WithMailboxSize(n int) SpawnOption {
	return func(c *spawnConfig) {
		switch {
		case n > 0:
			c.mailbox = n
		case n < 0:
			c.mailbox = math.MaxInt
		}
	}
}

// Spawn starts a hollywood actor. Its PID's ID is kind/id. It goes on with its
// state after a panic, which costs it the message; its mailbox is bounded. It
// fails with ErrDuplicateName if the name is taken, and with the panic if the
// producer, or the receiver on Initialized or Started, panics. The kinds ws and
// room are the engine's own.
func (e *Engine) Spawn(p Producer, kind string, opts ...SpawnOption) (*PID, error) {
	cfg := spawnConfig{mailbox: e.opts.MailboxSize}
	for _, o := range opts {
		o(&cfg)
	}
	var m *mailbox
	var err error
	if kind == connKind || kind == roomKind {
		err = errors.New("this kind is the engine's own")
	} else {
		m, err = e.sys.spawn(p, kind, cfg.id, cfg.mailbox)
	}
	if err != nil {
		return nil, fmt.Errorf("actor: spawn %s: %w", kind, err)
	}
	return &m.pid, nil
}

// Send sends a message to an actor: any message to one that was spawned; Text,
// Binary, JSON, Push or Close to a connection; Text, Binary, JSON or Push to a
// room. It does not wait. What cannot be delivered is a dead letter.
func (e *Engine) Send(pid *PID, msg any) { e.sys.send(pid, msg, nil) }

// Ask sends a message to an actor and waits for what it answers with
// Context.Respond, or for ctx. It fails at once with ErrClosed, ErrBusy or
// ErrNotLocal if the message cannot be sent. Do not call it in Receive: it would wait for an
// actor while others wait for this one.
func (e *Engine) Ask(ctx context.Context, pid *PID, msg any) (any, error) {
	v, err := e.sys.ask(ctx, pid, msg)
	if err != nil {
		return nil, fmt.Errorf("actor: ask %v: %w", pid, err)
	}
	return v, nil
}

// Stop ends an actor, after what it has been sent, and waits until it has
// ended, or for ctx. A connection is closed with 1000. Stopping one that has
// ended does nothing; it may be stopped by many at once, but not by itself.
func (e *Engine) Stop(ctx context.Context, pid *PID) error {
	if err := e.sys.stop(ctx, pid); err != nil {
		return fmt.Errorf("actor: stop %v: %w", pid, err)
	}
	return nil
}

// ---- the end

// Shutdown ends the engine: it stops accepting, closes every connection with
// 1001 (going away), lets the calls that run come to their end and the hooks be
// called, then ends rooms, services and actors, each after what it has been
// sent. If ctx is done first it cuts what is left, and the error says what did
// not stop. The engine cannot be used again.
func (e *Engine) Shutdown(ctx context.Context) error {
	if e.ended.Swap(true) {
		return ErrClosed
	}
	var errs []error
	e.rooms.settle(ctx) // what was broadcast before goes out before the close frames
	if err := e.server.Shutdown(ctx); err != nil {
		errs = append(errs, err)
	}
	calls := make(chan struct{})
	go func() {
		e.conns.Wait()
		close(calls)
	}()
	select {
	case <-calls:
	case <-ctx.Done():
		if n := e.live.Load(); n > 0 {
			errs = append(errs, fmt.Errorf("calls or hooks of %d connections did not end: %w", n, ctx.Err()))
		}
	}
	left := e.rooms.closeAll(ctx)
	if left = append(left, e.sys.stopAll(ctx)...); len(left) > 0 {
		errs = append(errs, fmt.Errorf("actors did not stop: %s", strings.Join(left, ", ")))
	}
	e.sys.close(ctx)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("actor: shutdown: %w", err)
	}
	return nil
}

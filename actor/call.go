package actor

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/wireroom/wireroom/codec"
	"github.com/wireroom/wireroom/transport"
)

// Call is what an Interceptor learns of a call.
type Call struct {
	Method    string // wire name
	Group     string
	Sender    WsSender
	Handshake *Handshake // nil for a call that did not come over a connection
}

// Interceptor stands around each call of a method. It calls next, at most once,
// or answers for it. The context that it hands to next is the one the method
// gets.
type Interceptor func(ctx context.Context, call *Call, next func(context.Context) (any, error)) (any, error)

// cancelMethod is the notification by which a peer cancels its calls: with
// {"id": id} or with [id, …].
const cancelMethod = "rpc.cancel"

var cancelName = []byte(cancelMethod)

var errUnknownMessage = errors.New("message of unknown type")

// exchange handles messages, one at a time. It has what they have in common,
// and buffers to be used again.
type exchange struct {
	e      *Engine
	conn   *conn // nil for HandleMessage
	sender WsSender
	hs     *Handshake
	wire   *wire
	base   context.Context // what the calls' contexts derive from; nil means Background

	envs  []codec.Envelope
	out   []byte
	items [][]byte
}

var exchangePool = sync.Pool{New: func() any { return new(exchange) }}

func getExchange(e *Engine) *exchange {
	x := exchangePool.Get().(*exchange)
	x.e = e
	return x
}

func putExchange(x *exchange) {
	clear(x.envs)
	clear(x.items)
	out := x.out[:0]
	if cap(out) > maxKeptScratch {
		out = nil
	}
	*x = exchange{envs: x.envs[:0], items: x.items[:0], out: out}
	exchangePool.Put(x)
}

// receive handles a message of the connection and sends the reply, if there is
// one.
func (x *exchange) receive(op transport.Op, msg []byte) {
	if f := x.e.opts.OnMessage; f != nil {
		x.raw(f, op, msg)
		return
	}
	if reply := x.process(msg); reply != nil {
		x.reply(reply)
	}
}

// reply sends an encoded reply. One that does not fit is replaced by an error.
func (x *exchange) reply(reply []byte) {
	err := x.sender.write(x.wire.op, reply)
	if !errors.Is(err, ErrTooLarge) {
		return
	}
	envs, batch, _ := x.wire.codec.Split(nil, reply)
	var id []byte
	if len(envs) == 1 && !batch {
		id = envs[0].ID
	}
	_ = x.sender.write(x.wire.op, x.wire.codec.AppendError(nil, id, false, errReplyTooLarge)) // the peer may have gone
}

var (
	errReplyTooLarge = &Error{Code: codec.CodeInternalError, Message: "response is too large"}
	errInternal      = &Error{Code: codec.CodeInternalError, Message: "Internal error"}
)

func (x *exchange) raw(f func(context.Context, WsSender, Message), op transport.Op, msg []byte) {
	defer x.e.recovered("OnMessage", x.sender, nil)
	f(x.sender.Context(), x.sender, Message{Binary: op == transport.Binary, Data: msg})
}

// recovered ends a panic of the user's code; *err then says what the peer is
// told. It is to be deferred.
func (e *Engine) recovered(name string, from WsSender, err *error) {
	v := recover()
	if v == nil {
		return
	}
	e.stats.panics.Add(1)
	if err != nil {
		*err = &Error{Code: codec.CodeInternalError, Message: "Internal error"}
	}
	e.event(CallPanicked{Method: name, Sender: from, Value: v, Stack: debug.Stack()})
}

// process handles one JSON-RPC message. The reply is valid until the next one;
// nil means that there is none.
func (x *exchange) process(msg []byte) []byte {
	cd := x.wire.codec
	envs, batch, bad := cd.Split(x.envs[:0], msg)
	x.envs = envs
	if bad != nil {
		x.e.stats.errors.Add(1)
		x.out = cd.AppendError(x.out[:0], nil, false, bad)
		return x.out
	}
	if !batch {
		out, answered := x.single(x.out[:0], &envs[0], false)
		x.out = out
		if !answered {
			return nil
		}
		return out
	}
	x.items = x.items[:0]
	total := 0
	for i := range envs {
		item, answered := x.single(nil, &envs[i], true)
		if !answered {
			continue
		}
		total += len(item)
		if total > x.e.maxReply {
			// What has been answered so far only keeps memory: no queue holds it.
			x.out = cd.AppendError(x.out[:0], nil, false, errReplyTooLarge)
			return x.out
		}
		x.items = append(x.items, item)
	}
	if len(x.items) == 0 {
		return nil
	}
	x.out = cd.AppendBatch(x.out[:0], x.items)
	return x.out
}

// single handles one envelope and appends the reply to out, if there is one
// now: a method that runs concurrently replies by itself, later.
func (x *exchange) single(out []byte, env *codec.Envelope, batch bool) (_ []byte, answered bool) {
	e, cd := x.e, x.wire.codec
	switch env.Kind {
	case codec.Response:
		e.stats.unmatched.Add(1) // we have not asked anything
		return out, false
	case codec.Invalid:
		e.stats.errors.Add(1)
		return cd.AppendError(out, env.ID, env.Bare, env.Err), true
	}
	e.stats.calls.Add(1)
	m := e.table.Load().methods[string(env.Method)]
	if m == nil {
		if string(env.Method) == cancelMethod {
			return x.cancel(out, env, batch)
		}
		e.stats.errors.Add(1)
		if env.Kind == codec.Notification {
			return out, false
		}
		return cd.AppendError(out, env.ID, env.Bare, &Error{Code: codec.CodeMethodNotFound, Message: "Method not found"}), true
	}
	cl := callPool.Get().(*call)
	cl.e, cl.m, cl.wire, cl.conn, cl.sender, cl.hs, cl.base = e, m, x.wire, x.conn, x.sender, x.hs, x.base
	cl.id, cl.params, cl.bare, cl.silent = env.ID, env.Params, env.Bare, env.Kind == codec.Notification
	if m.concurrent > 0 && x.conn != nil && !batch {
		cl.detach()
		return out, false
	}
	out, answered = cl.answer(out)
	if m.svc.actor == nil && len(e.opts.Interceptors) == 0 {
		putCall(cl) // nobody else can have kept it
	}
	return out, answered
}

// call is one call of a method, under way.
type call struct {
	e      *Engine
	m      *method
	wire   *wire
	conn   *conn
	sender WsSender
	hs     *Handshake
	base   context.Context
	id     []byte
	params []byte
	bare   bool
	silent bool // a notification

	ctx    context.Context
	cancel context.CancelCauseFunc
	begun  bool  // begin has been called
	failed error // what it said

	vars []reflect.Value // what the params are bound to
	args []reflect.Value // of the method, its receiver first
}

var callPool = sync.Pool{New: func() any { return new(call) }}

func putCall(cl *call) {
	clear(cl.vars)
	clear(cl.args)
	*cl = call{vars: cl.vars[:0], args: cl.args[:0]}
	callPool.Put(cl)
}

// answer runs the call and appends the reply to out.
func (cl *call) answer(out []byte) (_ []byte, answered bool) {
	result, err := cl.run()
	if cl.silent {
		if err != nil {
			_ = cl.explain(err) // nobody is told, but the log is
		}
		return out, false
	}
	if err == nil {
		var reply []byte
		if reply, err = cl.encode(out, result); err == nil {
			return reply, true
		}
	}
	return cl.wire.codec.AppendError(out, cl.id, cl.bare, cl.explain(err)), true
}

// lenientNull is what lenient peers get from a method that returns nothing.
var lenientNull = map[string]bool{"success": true}

// encode appends the reply with a result, whose own methods may panic.
func (cl *call) encode(out []byte, result any) (reply []byte, err error) {
	defer cl.e.recovered(cl.m.name, cl.sender, &err)
	if cl.bare && !cl.m.hasResult {
		result = lenientNull
	}
	if reply, err = cl.wire.codec.AppendResult(out, cl.id, cl.bare, result); err != nil {
		return nil, fmt.Errorf("encode the result: %w", err)
	}
	return reply, nil
}

// run runs the call, with its context, interceptors and the recovery from
// panics around it.
func (cl *call) run() (result any, err error) {
	if !cl.begun {
		cl.failed = cl.begin()
	}
	if cl.failed != nil {
		return nil, cl.failed
	}
	defer cl.finish()
	defer cl.e.recovered(cl.m.name, cl.sender, &err)
	if len(cl.e.opts.Interceptors) == 0 {
		return cl.m.invoke(cl)
	}
	info := &Call{Method: cl.m.name, Group: cl.m.group, Sender: cl.sender, Handshake: cl.hs}
	next := func(ctx context.Context) (any, error) {
		cl.ctx = ctx
		return cl.m.invoke(cl)
	}
	for _, f := range slices.Backward(cl.e.opts.Interceptors) {
		inner := next
		next = func(ctx context.Context) (any, error) { return f(ctx, info, inner) }
	}
	return next(cl.ctx)
}

// begin makes the context, if the method or an interceptor wants one.
func (cl *call) begin() error {
	base := cl.base
	if base == nil {
		base = context.Background()
	}
	if cl.conn == nil {
		cl.ctx = base
		return base.Err()
	}
	if cl.m.wantContext || len(cl.e.opts.Interceptors) > 0 || cl.m.svc.actor != nil {
		cl.ctx, cl.cancel = context.WithCancelCause(base)
	}
	return cl.conn.beginCall(cl)
}

func (cl *call) finish() {
	if cl.conn == nil {
		return
	}
	cl.conn.endCall(cl)
	if cl.cancel != nil {
		cl.cancel(context.Canceled)
	}
}

// explain turns an error into what the peer is told. The text of an error that
// is not meant for it stays here. Its methods may panic, too.
func (cl *call) explain(err error) (told *Error) {
	cl.e.stats.errors.Add(1)
	var failed error
	defer func() {
		if failed != nil {
			told = errInternal
		}
	}()
	defer cl.e.recovered(cl.m.name, cl.sender, &failed)
	var own *Error
	if errors.As(err, &own) && own != nil {
		return own
	}
	var coded interface {
		error
		ErrorCode() int
	}
	if errors.As(err, &coded) {
		out := &Error{Code: coded.ErrorCode(), Message: coded.Error()}
		var data interface{ ErrorData() any }
		if errors.As(err, &data) {
			out.Data = data.ErrorData()
		}
		return out
	}
	switch {
	case errors.Is(err, ErrCancelled),
		cl.ctx != nil && errors.Is(err, context.Canceled) && errors.Is(context.Cause(cl.ctx), ErrCancelled):
		return &Error{Code: codec.CodeCancelled, Message: "request cancelled"}
	case errors.Is(err, ErrBusy):
		return &Error{Code: codeBusy, Message: "server is busy"}
	}
	if gone := cl.sender.Err() != nil && cl.conn != nil; !gone || !errors.Is(err, context.Canceled) && !errors.Is(err, ErrClosed) {
		cl.e.event(CallFailed{Method: cl.m.name, Sender: cl.sender, Err: err})
	}
	return errInternal
}

// detach runs the call on a goroutine of its own, as soon as the method's
// bound allows it; until then the connection waits.
func (cl *call) detach() {
	cl.id, cl.params = slices.Clone(cl.id), slices.Clone(cl.params)
	c := cl.conn
	c.mu.Lock()
	if c.calls == nil {
		c.calls = new(calls)
	}
	t := c.calls
	t.beside++
	slot := t.slot(cl.m)
	c.mu.Unlock()
	slot <- struct{}{}                     // at the bound: later messages wait for one to end
	cl.begun, cl.failed = true, cl.begin() // here, so that a cancellation finds it
	go func() {
		defer func() {
			<-slot
			c.endBeside()
		}()
		buf := getScratch()
		defer putScratch(buf)
		reply, answered := cl.answer(buf.b)
		buf.b = reply
		if answered {
			x := exchange{e: cl.e, sender: cl.sender, wire: cl.wire}
			x.reply(reply)
		}
	}()
}

// endBeside notes the end of a detached call. The last one after the end of the
// connection has the rest run: OnDisconnect waits for all calls.
func (c *conn) endBeside() {
	c.mu.Lock()
	c.calls.beside--
	last := c.end != nil && !c.running && c.calls.ended()
	if last {
		c.running = true
	}
	c.mu.Unlock()
	if last {
		go c.run()
	}
}

// ---- cancellation

// calls are the calls of a connection that are under way.
type calls struct {
	active    []*call
	cancelled [][]byte // ids of calls that wait, and are not to be begun
	slots     map[*method]chan struct{}
	beside    int // detached calls that have not ended
}

// maxCancelled bounds the ids that a peer may have cancelled ahead.
const maxCancelled = 1024

func (t *calls) slot(m *method) chan struct{} {
	if t.slots == nil {
		t.slots = make(map[*method]chan struct{})
	}
	ch := t.slots[m]
	if ch == nil {
		ch = make(chan struct{}, m.concurrent)
		t.slots[m] = ch
	}
	return ch
}

// idle is called when no message waits.
func (t *calls) idle() {
	if t != nil {
		t.cancelled = nil
	}
}

// ended reports that no detached call runs.
func (t *calls) ended() bool { return t == nil || t.beside == 0 }

func (t *calls) cancelAll(cause error) {
	for _, cl := range t.active {
		if cl.cancel != nil {
			cl.cancel(cause)
		}
	}
}

// beginCall enters the call among those that can be cancelled, unless it has
// been cancelled already.
func (c *conn) beginCall(cl *call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cl.cancel == nil && (c.calls == nil || len(c.calls.cancelled) == 0) {
		return nil
	}
	if c.calls == nil {
		c.calls = new(calls)
	}
	t := c.calls
	for i, id := range t.cancelled {
		if cl.id != nil && string(id) == string(cl.id) {
			t.cancelled = slices.Delete(t.cancelled, i, i+1)
			if cl.cancel != nil {
				cl.cancel(ErrCancelled)
			}
			return ErrCancelled
		}
	}
	if cl.cancel == nil {
		return nil
	}
	t.active = append(t.active, cl)
	if c.end != nil {
		cl.cancel(c.end)
	}
	return nil
}

func (c *conn) endCall(cl *call) {
	if cl.cancel == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.calls
	if i := slices.Index(t.active, cl); i >= 0 {
		t.active = slices.Delete(t.active, i, i+1)
	}
}

// cancelCall looks for rpc.cancel as it arrives, ahead of what waits, and does
// it. It reports whether that is all there is to do: one that is a request is
// answered in its turn, and one in a batch has its turn in the batch.
func (c *conn) cancelCall(msg []byte) bool {
	envs, batch, bad := c.wire().codec.Split(nil, msg)
	if bad != nil || batch || string(envs[0].Method) != cancelMethod {
		return false
	}
	c.cancelIDs(envs[0].Params)
	return envs[0].Kind == codec.Notification
}

// cancel handles what cancelCall has left.
func (x *exchange) cancel(out []byte, env *codec.Envelope, batch bool) (_ []byte, answered bool) {
	if batch && x.conn != nil {
		x.conn.cancelIDs(env.Params)
	}
	if env.Kind == codec.Notification {
		return out, false
	}
	var result any
	if env.Bare {
		result = lenientNull
	}
	out, err := x.wire.codec.AppendResult(out, env.ID, env.Bare, result)
	return out, err == nil
}

// cancelIDs cancels the calls with the ids in params.
func (c *conn) cancelIDs(params []byte) {
	cd := c.wire().codec
	cancel := func(id []byte) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if t := c.calls; t != nil {
			for _, cl := range t.active {
				if string(cl.id) == string(id) {
					cl.cancel(ErrCancelled)
					return
				}
			}
		}
		if c.in == nil && !c.running {
			return // nothing waits
		}
		if c.calls == nil {
			c.calls = new(calls)
		}
		if t := c.calls; len(t.cancelled) < maxCancelled {
			t.cancelled = append(t.cancelled, slices.Clone(id))
		}
	}
	if !cd.Elements(params, func(_ int, id []byte) bool { cancel(id); return true }) {
		cd.Members(params, func(name, id []byte) bool {
			if string(name) == "id" {
				cancel(id)
			}
			return true
		})
	}
}

// HandleMessage handles one JSON-RPC message as if it had come over a
// connection, and returns the reply, or nil if there is none. The codec is the
// one of sender's connection, or JSON for the zero WsSender; the methods get
// sender as it is. It fails if ctx is done before the message is handled.
func (e *Engine) HandleMessage(ctx context.Context, sender WsSender, msg []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("actor: handle message: %w", err)
	}
	x := getExchange(e)
	defer putExchange(x)
	x.sender, x.base, x.wire = sender, ctx, &e.wires[wireJSON]
	if sender.c != nil && sender.c.e == e {
		x.hs, x.wire = sender.c.handshake(), sender.c.wire()
	}
	reply := x.process(msg)
	if reply == nil {
		return nil, nil
	}
	return slices.Clone(reply), nil
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

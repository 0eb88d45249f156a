package actor

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/wireroom/wireroom/codec"
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
	returned := false
	defer func() {
		if !returned {
			cl.quit()
		}
	}()
	result, err := cl.run()
	returned = true
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

// quit answers a call whose method has ended the goroutine (runtime.Goexit).
func (cl *call) quit() {
	cl.e.event(CallPanicked{Method: cl.m.name, Sender: cl.sender, Value: errQuit, Stack: debug.Stack()})
	if !cl.silent && cl.conn != nil {
		x := exchange{e: cl.e, sender: cl.sender, wire: cl.wire}
		x.reply(cl.wire.codec.AppendError(nil, cl.id, cl.bare, errInternal))
	}
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
		go c.Run()
	}
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

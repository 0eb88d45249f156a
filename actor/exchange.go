package actor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/wireroom/wireroom/codec"
	"github.com/wireroom/wireroom/transport"
)

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
	ctx    context.Context // of the connection, for Options.OnMessage; nil until then
	queue  bool            // replies are queued only: whoever runs the exchange has them written
	queued bool            // some wait for that
	count  int             // messages since isTime, and their bytes
	bytes  int

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
	if x.queued { // this message may take its time
		x.queued = false
		if tc := x.sender.live(); tc != nil {
			tc.Flush()
		}
	}
	if f := x.e.opts.OnMessage; f != nil {
		x.raw(f, op, msg)
		return
	}
	if reply := x.process(msg); reply != nil {
		x.reply(reply)
	}
}

// maxUnchecked is how many messages are handled, and maxUncheckedBytes how much,
// before it is looked whether the peer takes the replies.
const (
	maxUnchecked      = 16
	maxUncheckedBytes = 32 << 10
)

// isTime reports, before a message of n bytes, whether to look.
func (x *exchange) isTime(n int) bool {
	x.count++
	x.bytes += n
	if x.count <= maxUnchecked && x.bytes <= maxUncheckedBytes {
		return false
	}
	x.count, x.bytes = 0, 0
	return true
}

// reply sends an encoded reply. One that cannot be sent is replaced by an error.
func (x *exchange) reply(reply []byte) {
	err := x.send(reply)
	told := errReplyTooLarge
	switch {
	case err == nil, errors.Is(err, ErrClosed), errors.Is(err, ErrSlowConsumer):
		return // sent, or there is nobody to tell
	case !errors.Is(err, ErrTooLarge):
		// A marshaler of the user's has made what no text message can carry.
		told = errInternal
		x.e.event(CallFailed{Method: "reply", Sender: x.sender, Err: err})
	}
	envs, batch, _ := x.wire.codec.Split(nil, reply)
	var id []byte
	if len(envs) == 1 && !batch {
		id = envs[0].ID
	}
	_ = x.send(x.wire.codec.AppendError(nil, id, false, told)) // the peer may have gone
}

func (x *exchange) send(reply []byte) error {
	if !x.queue {
		return x.sender.write(x.wire.op, reply)
	}
	x.queued = true
	tc := x.sender.live()
	if tc == nil {
		return ErrClosed
	}
	return tc.Queue(x.wire.op, reply)
}

// batchErrorSize is room for errReplyTooLarge, with a usual id.
const batchErrorSize = 128

var (
	errReplyTooLarge = &Error{Code: codec.CodeInternalError, Message: "response is too large"}
	errInternal      = &Error{Code: codec.CodeInternalError, Message: "Internal error"}
)

func (x *exchange) raw(f func(context.Context, WsSender, Message), op transport.Op, msg []byte) {
	defer x.e.recovered("OnMessage", x.sender, nil)
	if x.ctx == nil {
		x.ctx = x.sender.Context()
	}
	f(x.ctx, x.sender, Message{Binary: op == transport.Binary, Data: msg})
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
		out, answered := x.single(x.out[:0], &envs[0], x.method(&envs[0]), false)
		x.out = out
		if !answered {
			return nil
		}
		return out
	}
	x.items = x.items[:0]
	total, limit := 0, x.e.maxReply-len(envs)*batchErrorSize
	for i := range envs {
		item, answered := x.single(nil, &envs[i], x.method(&envs[i]), true)
		if !answered {
			continue
		}
		if total+len(item) > limit {
			// No queue would hold them all: from here on each item is told so.
			item = cd.AppendError(nil, envs[i].ID, envs[i].Bare, errReplyTooLarge)
		}
		total += len(item) + 1
		x.items = append(x.items, item)
	}
	if len(x.items) == 0 {
		return nil
	}
	x.out = cd.AppendBatch(x.out[:0], x.items)
	return x.out
}

// method returns what an envelope calls, or nil.
func (x *exchange) method(env *codec.Envelope) *method {
	return x.e.table.Load().methods[string(env.Method)]
}

// single handles one envelope, which calls m, and appends the reply to out, if there is one
// now: a method that runs concurrently replies by itself, later.
func (x *exchange) single(out []byte, env *codec.Envelope, m *method, batch bool) (_ []byte, answered bool) {
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

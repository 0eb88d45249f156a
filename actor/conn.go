package actor

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"

	hw "github.com/anthdm/hollywood/actor"

	"github.com/wireroom/wireroom/codec"
	"github.com/wireroom/wireroom/transport"
)

// Text is a text message: sent to the PID of a connection, to its peer; sent to
// the PID of a room, to all members.
type Text string

// Binary is the same for a binary message.
type Binary []byte

// JSON is the same for a value, encoded as JSON, in a text message.
type JSON struct{ Value any }

// Push is the same for a JSON-RPC notification in the codec of each connection.
type Push struct {
	Method string
	Params any
}

// Close closes the connection to whose PID it is sent, as WsSender.CloseWith
// does.
type Close struct {
	Code   int
	Reason string
}

// connKind is the kind of a connection's PID.
const connKind = "ws"

// conn is the actor of one connection: a hollywood process whose mailbox is
// the outbound queue of the transport. It is what a WsSender points to, so that
// it outlives the connection; what it refers to does not.
//
// Inbound, the transport's reader gathers the messages of a read, and a
// goroutine that exists only while there is work runs them in order.
type conn struct {
	pid PID
	e   *Engine
	tc  atomic.Pointer[transport.Conn] // nil when the connection has ended
	hs  *Handshake                     // nil unless some method asks for it

	wireID  uint8
	started bool  // Start was called: the name is ours
	greeted int32 // services of the table whose OnConnect has succeeded; touched before and by run

	// Of the read under way; touched by the reader only.
	x   *exchange // handles the messages that never wait
	got *inbox    // gathers the others

	mu      sync.Mutex
	in      *inbox // waits to be handled; nil while nothing does
	running bool   // a goroutine is in run
	paused  bool   // reading has stopped because too much waits
	calls   *calls // under way; nil while none can be cancelled
	rooms   []*room
	life    *life // nil until somebody asks
	end     *CloseError
}

// life is what few connections need.
type life struct {
	ctx    context.Context // that ends with the connection; nil until somebody asks
	cancel context.CancelCauseFunc
	pills  []any // to be completed at the end
}

// inbox gathers messages, one after the other in buf.
type inbox struct {
	buf  []byte
	msgs []inboxItem
}

type inboxItem struct {
	end int // in buf; it begins where the one before ends
	op  transport.Op
}

func (in *inbox) add(op transport.Op, msg []byte) {
	in.buf = append(in.buf, msg...)
	in.msgs = append(in.msgs, inboxItem{end: len(in.buf), op: op})
}

// addAll adds the messages of another inbox.
func (in *inbox) addAll(other *inbox) {
	at := 0
	for _, m := range other.msgs {
		in.add(m.op, other.buf[at:m.end])
		at = m.end
	}
}

var inboxPool = sync.Pool{New: func() any { return new(inbox) }}

// maxKeptScratch is the largest buffer that goes back to a pool.
const maxKeptScratch = 64 << 10

func putInbox(in *inbox) {
	if cap(in.buf) > maxKeptScratch {
		return
	}
	in.buf, in.msgs = in.buf[:0], in.msgs[:0]
	inboxPool.Put(in)
}

// ---- hollywood's Processer

func (c *conn) Start()               { c.started = true }
func (c *conn) began() bool          { return c.started }
func (c *conn) PID() *PID            { return &c.pid }
func (c *conn) Invoke([]hw.Envelope) {}
func (c *conn) Shutdown()            {}

// lookup, sent to a PID, learns whose it is.
type lookup struct{ c *conn }

// Send takes a message from any actor. It writes it to the connection's queue
// at once: there is no other mailbox.
func (c *conn) Send(_ *PID, msg any, from *PID) {
	s := WsSender{c}
	var err error
	switch m := msg.(type) {
	case Text:
		err = s.Send(string(m))
	case Binary:
		err = s.SendBinary(m)
	case JSON:
		err = s.SendJSON(m.Value)
	case Push:
		err = s.Push(m.Method, m.Params)
	case Close:
		err = s.CloseWith(m.Code, m.Reason)
	case *lookup:
		m.c = c
	default:
		if c.e.sys.isPill(msg) {
			c.stop(msg)
			return
		}
		err = errUnknownMessage
	}
	if err != nil {
		c.e.sys.deadLetter(&c.pid, msg, from)
	}
}

// stop is hollywood's Poison: the connection closes, and the pill is completed
// when it has ended.
func (c *conn) stop(pill any) {
	c.mu.Lock()
	ended := c.end != nil
	if !ended {
		if c.life == nil {
			c.life = new(life)
		}
		c.life.pills = append(c.life.pills, pill)
	}
	c.mu.Unlock()
	if ended {
		c.e.sys.finish(pill)
		return
	}
	if tc := c.tc.Load(); tc != nil {
		tc.Close(transport.CloseNormal, "")
	}
}

func (c *conn) wire() *wire { return &c.e.wires[c.wireID] }

// ---- the transport's Handler

// OnMessage gathers a message for run.
func (c *conn) OnMessage(tc *transport.Conn, op transport.Op, payload []byte) {
	e := c.e
	if e.opts.OnMessage == nil {
		if op != c.wire().op {
			tc.Close(transport.CloseUnsupportedData, "expected "+c.wire().op.String()+" messages")
			return
		}
		if bytes.Contains(payload, cancelName) {
			c.endInline(tc)
			c.publish(tc) // so that a call before this one is known to wait
			if c.cancelCall(payload) {
				return
			}
		}
	}
	if e.table.Load().inline && c.inline(tc, op, payload) {
		return
	}
	if c.got == nil {
		c.got = inboxPool.Get().(*inbox)
	}
	c.got.add(op, payload)
}

// inline handles a message at once if nothing is before it and it never waits.
// Otherwise it reports false.
func (c *conn) inline(tc *transport.Conn, op transport.Op, payload []byte) bool {
	if c.got != nil {
		return false
	}
	if c.x == nil {
		c.mu.Lock()
		behind := c.running || c.in != nil
		c.mu.Unlock()
		if behind {
			return false
		}
		c.x = c.exchange()
		tc.Cork()
	}
	x := c.x
	if x.isTime(len(payload)) && tc.Crowded() {
		return false // Run waits for room
	}
	if c.e.opts.OnMessage != nil {
		x.receive(op, payload)
		return true
	}
	envs, batch, bad := x.wire.codec.Split(x.envs[:0], payload)
	x.envs = envs
	if batch || bad != nil {
		return false
	}
	m := x.method(&envs[0])
	if m == nil || !m.inline {
		return false
	}
	if out, answered := x.single(x.out[:0], &envs[0], m, false); answered {
		x.out = out
		x.reply(out)
	}
	return true
}

// endInline ends a run of inline calls: what comes next looks anew at what is
// before it.
func (c *conn) endInline(tc *transport.Conn) {
	if c.x == nil {
		return
	}
	putExchange(c.x)
	c.x = nil
	tc.Uncork()
}

// OnReadDone begins to work on what has been gathered.
func (c *conn) OnReadDone(tc *transport.Conn) {
	c.endInline(tc)
	c.publish(tc)
	c.mu.Lock()
	start := !c.running && c.in != nil
	c.running = c.running || start
	c.mu.Unlock()
	if start {
		tc.Schedule(c)
	}
}

// publish lets run have what the reader has gathered.
func (c *conn) publish(tc *transport.Conn) {
	if c.got == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.in == nil {
		c.in = c.got
	} else {
		c.in.addAll(c.got)
		putInbox(c.got)
	}
	c.got = nil
	o := &c.e.opts
	if !c.paused && (len(c.in.msgs) >= o.MaxPendingMessages || len(c.in.buf) >= o.MaxPendingBytes) {
		c.paused = true
		tc.Pause()
	}
}

// OnClose ends the actor. What has arrived is still run, then the hooks.
func (c *conn) OnClose(tc *transport.Conn, err *transport.CloseError) {
	c.e.sys.remove(&c.pid)
	c.tc.Store(nil)
	c.mu.Lock()
	c.end = err
	rooms := c.rooms
	c.rooms = nil
	var pills []any
	var cancel context.CancelCauseFunc
	if l := c.life; l != nil {
		pills, cancel = l.pills, l.cancel
		l.pills = nil
	}
	if c.calls != nil {
		c.calls.cancelAll(err)
	}
	start := !c.running
	c.running = true
	rest := c.in != nil || !c.calls.ended() || c.e.dismisses(c)
	c.mu.Unlock()
	if cancel != nil {
		cancel(err)
	}
	for _, r := range rooms {
		r.depart(c)
	}
	for _, p := range pills {
		c.e.sys.finish(p)
	}
	switch {
	case !start:
	case rest:
		tc.Schedule(c)
	default:
		c.e.disconnected(c, err) // there is nothing that could wait
	}
}

// ---- the work

// exchange returns one for messages of the connection.
func (c *conn) exchange() *exchange {
	x := getExchange(c.e)
	x.conn, x.sender, x.hs, x.wire, x.queue = c, WsSender{c}, c.hs, c.wire(), true
	x.count = maxUnchecked
	return x
}

// Run handles what has been gathered, in order. It is a transport.Task, and
// schedules itself again for what comes meanwhile.
func (c *conn) Run() {
	x := c.exchange()
	done := false
	var in *inbox
	next := 0
	defer func() {
		if done {
			putExchange(x)
			return
		}
		// A method ended the goroutine (runtime.Goexit): go on with what is left.
		if in != nil {
			c.giveBack(in, next)
		}
		if tc := c.tc.Load(); tc != nil {
			tc.Schedule(c)
		} else {
			go c.Run()
		}
	}()
	for first := true; ; first = false {
		c.mu.Lock()
		if c.in != nil && !first {
			if tc := c.tc.Load(); tc != nil {
				c.mu.Unlock()
				done = true
				tc.Schedule(c)
				return
			}
		}
		in, next = c.in, 0
		c.in = nil
		if c.paused && in == nil {
			c.paused = false
			if tc := c.tc.Load(); tc != nil {
				tc.Resume() // with the lock held, as Pause is called: they must not overtake each other
			}
		}
		end := c.end
		over := end != nil && c.calls.ended()
		if in == nil && !over {
			c.running = false
			c.calls.idle()
		}
		c.mu.Unlock()
		if in == nil {
			done = true
			if over {
				c.e.disconnected(c, end)
			}
			return
		}
		at := 0
		for next < len(in.msgs) {
			m := in.msgs[next]
			if tc := c.tc.Load(); tc != nil && x.isTime(m.end-at) && tc.Crowded() {
				// The peer sends faster than it takes the replies: go on when it has
				// taken some. Meanwhile what it sends waits, and then holds it back.
				c.giveBack(in, next)
				putInbox(in)
				done = true
				if !tc.WhenRoom(c) {
					tc.Schedule(c)
				}
				return
			}
			next++
			x.receive(m.op, in.buf[at:m.end])
			at = m.end
		}
		putInbox(in)
		in = nil
	}
}

// giveBack puts the messages of in from the given one on before those that
// have come since.
func (c *conn) giveBack(in *inbox, from int) {
	at := 0
	if from > 0 {
		at = in.msgs[from-1].end
	}
	rest := &inbox{buf: slices.Clone(in.buf[at:])}
	for _, m := range in.msgs[from:] {
		rest.msgs = append(rest.msgs, inboxItem{end: m.end - at, op: m.op})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.in != nil {
		rest.addAll(c.in)
	}
	c.in = rest
}

// ---- life

// context returns the context that ends with the connection. It is made when
// first asked for.
func (c *conn) context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life == nil {
		c.life = new(life)
	}
	l := c.life
	if l.ctx == nil {
		l.ctx, l.cancel = context.WithCancelCause(context.Background())
		if c.end != nil {
			l.cancel(c.end)
		}
	}
	return l.ctx
}

// handshake returns the handshake, if some method asks for it and the
// connection has not ended.
func (c *conn) handshake() *Handshake {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hs
}

func (c *conn) endErr() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end == nil {
		return nil
	}
	return c.end
}

// joined notes that the connection is a member of r. It reports false if the
// connection has ended.
func (c *conn) joined(r *room) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end != nil || c.tc.Load() == nil {
		return false
	}
	c.rooms = append(c.rooms, r)
	return true
}

// left notes that the connection is no longer a member of r.
func (c *conn) left(r *room) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.rooms, r); i >= 0 {
		c.rooms = slices.Delete(c.rooms, i, i+1)
	}
	if len(c.rooms) == 0 {
		c.rooms = nil
	}
}

// wire is a codec with the kind of message that it travels in.
type wire struct {
	codec codec.Codec
	op    transport.Op
}

// The wires of an engine, by index.
const (
	wireJSON = iota
	wireMsgpack
	wireCount
)

// scratch is a pooled buffer for encoding.
type scratch struct{ b []byte }

var scratchPool = sync.Pool{New: func() any { return &scratch{b: make([]byte, 0, 512)} }}

func getScratch() *scratch { return scratchPool.Get().(*scratch) }

func putScratch(s *scratch) {
	if cap(s.b) > maxKeptScratch {
		return
	}
	s.b = s.b[:0]
	scratchPool.Put(s)
}

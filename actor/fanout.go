package actor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/wireroom/wireroom/transport"
)

// A BroadcastOption narrows a broadcast.
type BroadcastOption func(*broadcast)

// Except leaves members out, as a rule the one who caused the broadcast.
func Except(senders ...WsSender) BroadcastOption {
	return func(b *broadcast) {
		for _, s := range senders {
			if s.c != nil {
				b.except = append(b.except, s.c)
			}
		}
	}
}

// broadcast is a message on its way through a room. It has been encoded and
// framed once for each codec that members use.
type broadcast struct {
	frames [wireCount]*transport.Frame
	failed [wireCount]bool // a frame that cannot be made
	rpc    *rpcBody        // how to make a frame that is missing; nil for raw messages
	except []*conn
	size   int
}

// rpcBody is the notification in one codec.
type rpcBody struct {
	wire int
	raw  []byte
}

// Broadcast sends a JSON-RPC notification to the members, each in its codec. It
// returns when the room has taken it, with ErrBusy if too much waits there
// already, or with the error of the encoding. To whom it was delivered is not
// told: a member whose queue is full is closed with 4508 and leaves the room.
// params is encoded before Broadcast returns.
func (r Room) Broadcast(method string, params any, opts ...BroadcastOption) error {
	rm, _ := r.e.rooms.get(r.name, false)
	if rm == nil {
		return nil // nobody is there
	}
	b := new(broadcast)
	buf := getScratch()
	defer putScratch(buf)
	for id := range b.frames {
		if rm.wires[id].Load() == 0 {
			continue
		}
		w := &r.e.wires[id]
		var err error
		if buf.b, err = w.codec.AppendRequest(buf.b[:0], nil, method, params); err != nil {
			return fmt.Errorf("actor: broadcast %s: %w", method, err)
		}
		if b.frames[id], err = transport.NewFrame(w.op, buf.b); err != nil {
			return fmt.Errorf("actor: broadcast %s: %w", method, err)
		}
		b.rpc = &rpcBody{wire: id, raw: b.frames[id].Payload()}
	}
	if b.rpc == nil {
		return nil
	}
	return r.send(rm, b, opts)
}

// BroadcastText sends a text message to the members, as Broadcast does.
func (r Room) BroadcastText(text string, opts ...BroadcastOption) error {
	return r.raw(transport.Text, []byte(text), opts)
}

// BroadcastBinary sends a copy of data as a binary message to the members, as
// Broadcast does.
func (r Room) BroadcastBinary(data []byte, opts ...BroadcastOption) error {
	return r.raw(transport.Binary, data, opts)
}

// BroadcastJSON sends v, encoded as JSON, in a text message to the members, as
// Broadcast does.
func (r Room) BroadcastJSON(v any, opts ...BroadcastOption) error {
	buf := getScratch()
	defer putScratch(buf)
	var err error
	if buf.b, err = r.e.wires[wireJSON].codec.AppendValue(buf.b, v); err != nil {
		return fmt.Errorf("actor: broadcast: %w", err)
	}
	return r.raw(transport.Text, buf.b, opts)
}

func (r Room) raw(op transport.Op, data []byte, opts []BroadcastOption) error {
	rm, _ := r.e.rooms.get(r.name, false)
	if rm == nil {
		return nil
	}
	f, err := transport.NewFrame(op, data)
	if err != nil {
		return fmt.Errorf("actor: broadcast: %w", err)
	}
	b := new(broadcast)
	for id := range b.frames {
		b.frames[id] = f
	}
	return r.send(rm, b, opts)
}

func (r Room) send(rm *room, b *broadcast, opts []BroadcastOption) error {
	for _, o := range opts {
		o(b)
	}
	for id, f := range b.frames {
		if f == nil || slices.Contains(b.frames[:id], f) {
			continue // a raw message has one frame for all
		}
		if f.Size() > r.e.maxReply {
			return fmt.Errorf("actor: broadcast to room %q: %w", r.name, ErrTooLarge) // no queue holds it
		}
		b.size += f.Len()
	}
	if err := rm.offer(b); err != nil {
		return fmt.Errorf("actor: broadcast to room %q: %w", r.name, err)
	}
	r.e.stats.broadcasts.Add(1)
	return nil
}

// frame returns the broadcast's frame for a codec. One that is missing, because
// the first member with that codec came while the broadcast was on its way, is
// made from another.
func (b *broadcast) frame(e *Engine, id uint8) *transport.Frame {
	if f := b.frames[id]; f != nil || b.failed[id] {
		return f
	}
	b.frames[id] = b.convert(e, id)
	if b.failed[id] = b.frames[id] == nil; b.failed[id] {
		e.stats.unconverted.Add(1)
	}
	return b.frames[id]
}

// convert makes the frame for a codec from the one of another.
func (b *broadcast) convert(e *Engine, id uint8) *transport.Frame {
	from, to := e.wires[b.rpc.wire], e.wires[id]
	envs, _, bad := from.codec.Split(nil, b.rpc.raw)
	if bad != nil {
		return nil
	}
	var params any
	if envs[0].Params != nil && from.codec.Decode(envs[0].Params, &params) != nil {
		return nil
	}
	raw, err := to.codec.AppendRequest(nil, nil, string(envs[0].Method), params)
	if err != nil {
		return nil
	}
	f, err := transport.NewFrame(to.op, raw)
	if err != nil || f.Size() > e.maxReply {
		return nil
	}
	return f
}

// maxFan bounds the broadcasts that are delivered together, and maxFanBytes what
// they come to, beyond the first. Neither is more than half of what a queue takes.
const (
	maxFan      = 64
	maxFanBytes = 64 << 10
)

// fanLimit is maxFan for queues of the given number of frames.
func fanLimit(maxFrames int) int { return min(maxFan, max(1, maxFrames/2)) }

// fanout gathers the broadcasts of a batch, so that each member is visited once
// for all of them, and has them written together.
type fanout struct {
	bs     []*broadcast
	bytes  int
	batch  [wireCount]*transport.Batch // for members that get all of bs; nil if there is nothing for them
	except []*conn                     // those that some broadcast leaves out
	some   []*transport.Frame
	gone   []*conn
}

func (f *fanout) add(r *room, b *broadcast) {
	if f.bytes += b.size; f.bytes > min(maxFanBytes, r.e.maxReply/2) {
		r.flush()
		f.bytes = b.size
	}
	f.bs = append(f.bs, b)
	f.except = append(f.except, b.except...)
	if len(f.bs) >= fanLimit(r.e.maxFrames) {
		r.flush()
	}
}

// flush delivers what has been gathered.
func (r *room) flush() {
	f := &r.fan
	if len(f.bs) == 0 {
		return
	}
	defer f.reset() // also when something panics: what was delivered must not be again
	var count [wireCount]int
	for id := range f.batch {
		if r.wires[id].Load() == 0 {
			continue
		}
		frames := make([]*transport.Frame, 0, len(f.bs))
		for _, b := range f.bs {
			if fr := b.frame(r.e, uint8(id)); fr != nil {
				frames = append(frames, fr)
			}
		}
		if count[id] = len(frames); count[id] > 0 {
			f.batch[id] = transport.NewBatch(frames)
		}
	}
	delivered := 0
	for _, c := range r.members {
		tc := c.tc.Load()
		if tc == nil {
			continue // it has ended; its leave is on the way
		}
		var err error
		n := 0
		if len(f.except) > 0 && slices.Contains(f.except, c) {
			n, err = r.flushSome(c, tc)
		} else if b := f.batch[c.wireID]; b != nil {
			n, err = count[c.wireID], tc.SendBatch(b)
		}
		switch {
		case err == nil:
			delivered += n
		case errors.Is(err, transport.ErrTooLarge):
			// Its queue is too small for this one; the others get it.
		default:
			f.gone = append(f.gone, c)
			if errors.Is(err, transport.ErrSlowConsumer) {
				r.e.sys.tell(SlowConsumer{Room: r.name, Sender: WsSender{c}})
			}
		}
	}
	r.e.stats.deliveries.Add(uint64(delivered))
	for _, c := range f.gone {
		r.drop(c)
	}
}

// flushSome delivers to a member that some broadcasts leave out.
func (r *room) flushSome(c *conn, tc *transport.Conn) (n int, err error) {
	f := &r.fan
	f.some = f.some[:0]
	for _, b := range f.bs {
		if fr := b.frame(r.e, c.wireID); fr != nil && !slices.Contains(b.except, c) {
			f.some = append(f.some, fr)
		}
	}
	return len(f.some), tc.SendFrames(f.some)
}

func (f *fanout) reset() {
	clear(f.bs)
	clear(f.except)
	clear(f.some)
	clear(f.gone)
	*f = fanout{bs: f.bs[:0], except: f.except[:0], some: f.some[:0], gone: f.gone[:0]}
}

package actor

import (
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	hw "github.com/anthdm/hollywood/actor"
)

// Room is a handle on a room: a name to which connections belong, and to which
// can be broadcast. Handles are cheap, may be copied and compared, and may be
// used by any number of goroutines at once. The room behind it, an actor, is
// there while it has members; a connection that closes leaves by itself.
//
// Broadcasts, Join and Leave of one room take effect in the order of the calls
// of each goroutine. None of them waits for a peer.
type Room struct {
	e    *Engine
	name string
}

// Room returns the handle of the room with that name.
func (e *Engine) Room(name string) Room { return Room{e, name} }

// Name returns the name of the room.
func (r Room) Name() string { return r.name }

// Join makes the connection a member. When it returns, the connection gets what
// is broadcast from now on. Joining twice is joining once. It fails with
// ErrClosed if the connection has ended, or the engine is shutting down.
func (r Room) Join(s WsSender) error {
	if s.live() == nil || s.c.e != r.e {
		return fmt.Errorf("actor: join room %q: %w", r.name, ErrClosed)
	}
	for {
		rm, err := r.e.rooms.get(r.name, true)
		if err != nil {
			return fmt.Errorf("actor: join room %q: %w", r.name, err)
		}
		m := &join{c: s.c, done: make(chan error, 1)}
		if !rm.post(m) {
			continue // it has just lost its last member: the next one is new
		}
		if err := <-m.done; err != nil {
			return fmt.Errorf("actor: join room %q: %w", r.name, err)
		}
		return nil
	}
}

// Leave ends the membership. When it returns, the connection gets no later
// broadcast. Leaving a room that one is not in does nothing.
func (r Room) Leave(s WsSender) error {
	rm, _ := r.e.rooms.get(r.name, false)
	if rm == nil || s.c == nil {
		return nil
	}
	m := &leave{c: s.c, done: make(chan struct{})}
	if rm.post(m) {
		<-m.done
	}
	return nil
}

// Members returns the senders of the members, in no particular order.
func (r Room) Members() []WsSender {
	rm, _ := r.e.rooms.get(r.name, false)
	if rm == nil {
		return nil
	}
	m := &members{got: make(chan []WsSender, 1)}
	if !rm.post(m) {
		return nil
	}
	return <-m.got
}

// Len returns the number of members.
func (r Room) Len() int {
	rm, _ := r.e.rooms.get(r.name, false)
	if rm == nil {
		return 0
	}
	return int(rm.size.Load())
}

// Close ends all memberships; the connections stay open. What was broadcast
// before is delivered.
func (r Room) Close() error {
	rm, _ := r.e.rooms.get(r.name, false)
	if rm == nil {
		return nil
	}
	m := &dissolve{done: make(chan struct{})}
	if rm.post(m) {
		<-m.done
	}
	return nil
}

// PID returns the PID of the room's actor, to which any actor can send Text,
// Binary, JSON and Push for all members. It is nil while the room has none.
func (r Room) PID() *PID {
	rm, _ := r.e.rooms.get(r.name, false)
	if rm == nil {
		return nil
	}
	return &rm.pid
}

// ---- the rooms of an engine

type rooms struct {
	e  *Engine
	mu sync.RWMutex
	by map[string]*room

	closed bool
}

func (rs *rooms) get(name string, create bool) (*room, error) {
	rs.mu.RLock()
	r := rs.by[name]
	rs.mu.RUnlock()
	if r != nil || !create {
		return r, nil
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.closed {
		return nil, ErrClosed
	}
	if r := rs.by[name]; r != nil {
		return r, nil
	}
	r = newRoom(rs.e, name)
	if err := rs.e.sys.register(r); err != nil {
		return nil, err
	}
	if rs.by == nil {
		rs.by = make(map[string]*room)
	}
	rs.by[name] = r
	return r, nil
}

func (rs *rooms) len() int {
	rs.mu.RLock()
	defer rs.mu.RUnlock()
	return len(rs.by)
}

// retire takes a room without members out, unless something waits for it.
func (rs *rooms) retire(r *room) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r.seal() {
		delete(rs.by, r.name)
		rs.e.sys.remove(&r.pid)
	}
}

// settle waits until all that has been broadcast is in the queues of the
// members, or for ctx.
func (rs *rooms) settle(ctx context.Context) {
	rs.mu.RLock()
	all := slices.Collect(maps.Values(rs.by))
	rs.mu.RUnlock()
	for _, r := range all {
		m := &members{got: make(chan []WsSender, 1)}
		if !r.post(m) {
			continue
		}
		select {
		case <-m.got:
		case <-ctx.Done():
			return
		}
	}
}

// closeAll ends all rooms; there will be no more. It returns those that have
// not ended when ctx is done.
func (rs *rooms) closeAll(ctx context.Context) (left []string) {
	rs.mu.Lock()
	rs.closed = true
	all := slices.Collect(maps.Values(rs.by))
	rs.mu.Unlock()
	for _, r := range all {
		m := &dissolve{done: make(chan struct{})}
		if !r.post(m) {
			continue
		}
		select {
		case <-m.done:
		case <-ctx.Done():
			select {
			case <-m.done:
			default:
				left = append(left, r.pid.ID)
			}
		}
	}
	return left
}

// ---- the actor

// room is the actor: a hollywood process with hollywood's inbox, bounded at the
// sender. It gets what waits as a batch, so that broadcasts that wait together
// leave together.
type room struct {
	pid     PID
	e       *Engine
	name    string
	started bool // Start was called: the name is ours
	inbox   *hw.Inbox

	mu      sync.Mutex // admission
	sealed  bool
	entries int // all that waits
	waiting int // broadcasts among it
	bytes   int // of them

	size  atomic.Int64
	wires [wireCount]atomic.Int64 // members by codec, so that a broadcast is encoded for those in use

	// Touched by the actor only.
	members []*conn
	index   map[*conn]int
	fan     fanout
	ending  []*dissolve // of this batch
}

// What a room is sent.
type (
	join struct {
		c    *conn
		done chan error
	}
	leave struct {
		c    *conn
		done chan struct{} // nil if nobody waits
	}
	members struct {
		got chan []WsSender
	}
	dissolve struct {
		done chan struct{}
		pill any
	}
)

const roomKind = "room"

func newRoom(e *Engine, name string) *room {
	r := &room{e: e, name: name, index: make(map[*conn]int), inbox: hw.NewInbox(16)}
	r.pid.Address, r.pid.ID = e.sys.hw.Address(), roomKind+"/"+name
	return r
}

// Start implements hollywood's Processer, as the methods below do.
func (r *room) Start() {
	r.started = true
	r.inbox.Start(r)
}
func (r *room) began() bool { return r.started }
func (r *room) PID() *PID   { return &r.pid }
func (r *room) Shutdown()   {}

// Send takes broadcasts from any actor. They are encoded here, by the sender.
func (r *room) Send(_ *PID, msg any, from *PID) {
	var err error
	room := Room{r.e, r.name}
	switch m := msg.(type) {
	case Text:
		err = room.BroadcastText(string(m))
	case Binary:
		err = room.BroadcastBinary(m)
	case JSON:
		err = room.BroadcastJSON(m.Value)
	case Push:
		err = room.Broadcast(m.Method, m.Params)
	default:
		if r.e.sys.isPill(msg) {
			if !r.post(&dissolve{done: make(chan struct{}), pill: msg}) {
				r.e.sys.finish(msg)
			}
			return
		}
		err = errUnknownMessage
	}
	if err != nil {
		r.e.sys.deadLetter(&r.pid, msg, from)
	}
}

// post puts a message in the inbox. It reports false if the room is sealed.
func (r *room) post(msg any) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sealed {
		return false
	}
	r.entries++
	r.inbox.Send(hw.Envelope{Msg: msg})
	return true
}

// offer is post for a broadcast, which counts against the room's bounds.
func (r *room) offer(b *broadcast) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch o := &r.e.opts; {
	case r.sealed:
		return nil // it has no members
	case r.waiting >= o.MaxRoomMessages || r.bytes+b.size > o.MaxRoomBytes && r.bytes > 0:
		r.e.stats.busy.Add(1)
		return ErrBusy
	}
	r.entries++
	r.waiting++
	r.bytes += b.size
	r.inbox.Send(hw.Envelope{Msg: b})
	return nil
}

// seal closes an inbox in which nothing waits, for good.
func (r *room) seal() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sealed || r.entries > 0 {
		return false
	}
	r.sealed = true
	_ = r.inbox.Stop() // it has no error to return
	return true
}

// depart is leave, when the connection has closed: nobody waits for it.
func (r *room) depart(c *conn) { r.post(&leave{c: c}) }

// Invoke handles what waits, as one batch.
func (r *room) Invoke(batch []hw.Envelope) {
	for len(batch) > 0 {
		batch = batch[r.some(batch):]
	}
	if len(r.members) == 0 {
		r.e.rooms.retire(r)
	}
	for _, m := range r.ending { // who waits for the end finds no room any more
		close(m.done)
		if m.pill != nil {
			r.e.sys.finish(m.pill)
		}
	}
	r.ending = nil
}

// some handles messages up to the end, or up to one that panics, and flushes.
func (r *room) some(batch []hw.Envelope) (n int) {
	defer func() {
		if v := recover(); v != nil {
			r.e.sys.tell(RoomPanicked{Room: r.name, Value: v, Stack: debug.Stack()})
		}
	}()
	for n < len(batch) {
		msg := batch[n].Msg
		n++
		r.mu.Lock()
		r.entries--
		if b, ok := msg.(*broadcast); ok {
			r.waiting--
			r.bytes -= b.size
		}
		r.mu.Unlock()
		r.handle(msg)
	}
	r.flush()
	return n
}

func (r *room) handle(msg any) {
	if b, ok := msg.(*broadcast); ok {
		r.fan.add(r, b)
		return
	}
	r.flush() // membership is ordered with broadcasts
	switch m := msg.(type) {
	case *join:
		m.done <- r.join(m.c)
	case *leave:
		r.drop(m.c)
		if m.done != nil {
			close(m.done)
		}
	case *members:
		m.got <- r.senders()
	case *dissolve:
		for _, c := range slices.Clone(r.members) {
			r.drop(c)
		}
		r.ending = append(r.ending, m)
	case interface{ inRoom(*room) }:
		m.inRoom(r) // tests reach in so
	}
}

func (r *room) senders() []WsSender {
	out := make([]WsSender, len(r.members))
	for i, c := range r.members {
		out[i] = WsSender{c}
	}
	return out
}

func (r *room) join(c *conn) error {
	if _, ok := r.index[c]; ok {
		return nil
	}
	if !c.joined(r) {
		return ErrClosed
	}
	r.index[c] = len(r.members)
	r.members = append(r.members, c)
	r.size.Add(1)
	r.wires[c.wireID].Add(1)
	return nil
}

// drop takes a member out, and moves the last one to its place.
func (r *room) drop(c *conn) {
	i, ok := r.index[c]
	if !ok {
		return
	}
	last := len(r.members) - 1
	r.members[i] = r.members[last]
	r.index[r.members[i]] = i
	r.members[last] = nil
	r.members = r.members[:last]
	delete(r.index, c)
	r.size.Add(-1)
	r.wires[c.wireID].Add(-1)
	c.left(r)
}

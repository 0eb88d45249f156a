package actor

import (
	"slices"

	"github.com/wireroom/wireroom/codec"
)

// cancelMethod is the notification by which a peer cancels its calls: with
// {"id": id} or with [id, …].
const cancelMethod = "rpc.cancel"

var cancelName = []byte(cancelMethod)

// calls are the calls of a connection that are under way.
type calls struct {
	active    []*call
	cancelled [][]byte // ids of calls that wait, and are not to be begun
	slots     map[*method]chan struct{}
	beside    int // detached calls that have not ended
}

// maxCancelled bounds the ids of calls that wait and that a peer has cancelled,
// and maxCancelledID what one of them may take: they are kept beside the bounds
// for what waits.
const (
	maxCancelled   = 256
	maxCancelledID = 64
)

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
		t := c.calls
		if len(t.cancelled) == maxCancelled || len(id) > maxCancelledID {
			c.e.stats.uncancelled.Add(1)
			return
		}
		t.cancelled = append(t.cancelled, slices.Clone(id))
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

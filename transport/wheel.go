package transport

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// wheel looks at each connection when something may be due on it: a ping, the
// end of a close handshake, a write that has stalled. It is coarse, at most one
// tick late, and lazy: a connection that is busy does not touch it; what has
// become of a connection is looked up when its time comes. The goroutine
// behind it runs while there are connections.
type wheel struct {
	tick  time.Duration
	start time.Time
	ticks atomic.Int64 // now, in ticks since start

	mu      sync.Mutex
	slots   [wheelSlots]*Conn
	n       int // connections, those in hand included
	running bool
	quit    chan struct{} // holds a token when n fell to 0: the goroutine looks
	empty   chan struct{} // closed when n falls to 0, if somebody waits
	at      int64         // the last tick whose slot was looked at
	hand    []*Conn       // taken out to be looked at
}

const wheelSlots = 512

// inHand stands for Conn.due while the wheel looks at the connection.
const inHand = math.MaxInt64

func newWheel(tick time.Duration) *wheel {
	return &wheel{tick: tick, start: time.Now(), quit: make(chan struct{}, 1)}
}

// now is the current tick. It begins at 1, so that 0 can mean "not set".
func (w *wheel) now() int64 { return w.ticks.Load() }

// add begins to watch c, and counts it as heard of now.
func (w *wheel) add(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	if !w.running {
		w.running = true
		w.advance(math.MaxInt64 / 2)
		w.at = w.ticks.Load()
		go w.run()
	}
	c.lastRead.Store(w.now())
	w.insert(c, w.at+1)
}

// advance moves the time to now, but not by more than most ticks. mu is held.
func (w *wheel) advance(most int64) {
	now := int64(time.Since(w.start)/w.tick) + 1
	if late := now - w.ticks.Load() - most; late > 0 {
		now -= late
		w.start = w.start.Add(time.Duration(late) * w.tick)
	}
	w.ticks.Store(now)
}

// maxStep is how far the wheel turns at once while there are connections. If the
// process has stood still for longer, the peers are not to blame for it, and what
// they have sent meanwhile is still to be read.
const maxStep = 8

// insert puts c into the slot of due, or into the furthest if due is beyond
// the horizon: there it is looked at and put forward again.
func (w *wheel) insert(c *Conn, due int64) {
	c.due.Store(due)
	slot := min(due, w.at+wheelSlots-1) % wheelSlots
	c.slot = int32(slot)
	c.prev, c.next = nil, w.slots[slot]
	if c.next != nil {
		c.next.prev = c
	}
	w.slots[slot] = c
}

func (w *wheel) unlink(c *Conn) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		w.slots[c.slot] = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
}

// atMost has c looked at by the given tick, if it would be later.
func (w *wheel) atMost(c *Conn, due int64) {
	if c.due.Load() <= due {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case c.slot == slotGone || c.due.Load() <= due:
	case c.slot == slotHand:
		c.due.Store(due) // reinsert takes the earlier one
	default:
		w.unlink(c)
		w.insert(c, max(due, w.at+1))
	}
}

// Values of Conn.slot beside the slots.
const (
	slotNone int32 = -1 // not yet added
	slotHand int32 = -2 // taken out to be looked at
	slotGone int32 = -3 // removed
)

// remove ends the watch. It may be called more than once.
func (w *wheel) remove(c *Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch c.slot {
	case slotGone, slotNone:
		c.slot = slotGone
		return
	case slotHand:
	default:
		w.unlink(c)
	}
	c.slot = slotGone
	w.n--
	if w.n > 0 {
		return
	}
	select {
	case w.quit <- struct{}{}:
	default:
	}
	if w.empty != nil {
		close(w.empty)
		w.empty = nil
	}
}

// whenEmpty returns a channel that is closed when no connection is left.
func (w *wheel) whenEmpty() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.empty == nil {
		w.empty = make(chan struct{})
		if w.n == 0 {
			ch := w.empty
			close(ch)
			w.empty = nil
			return ch
		}
	}
	return w.empty
}

// appendAll appends the connections being watched.
func (w *wheel) appendAll(cs []*Conn) []*Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.slots {
		for ; c != nil; c = c.next {
			cs = append(cs, c)
		}
	}
	for _, c := range w.hand {
		if c != nil && c.slot == slotHand {
			cs = append(cs, c)
		}
	}
	return cs
}

func (w *wheel) run() {
	t := time.NewTicker(w.tick)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-w.quit:
		}
		if !w.turn() {
			return
		}
	}
}

// turn looks at all that is due by now. It reports false, and the goroutine
// ends, when nothing is left to watch.
func (w *wheel) turn() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.advance(maxStep)
	now := w.now()
	for w.at < now {
		w.at++
		if now-w.at >= wheelSlots {
			continue // after a long sleep one round is enough
		}
		w.hand = w.hand[:0]
		for c := w.slots[w.at%wheelSlots]; c != nil; {
			next := c.next
			c.prev, c.next, c.slot = nil, nil, slotHand
			c.due.Store(inHand)
			w.hand = append(w.hand, c)
			c = next
		}
		w.slots[w.at%wheelSlots] = nil
		for i, c := range w.hand {
			w.mu.Unlock()
			due := c.check(now)
			w.mu.Lock()
			w.hand[i] = nil
			if c.slot == slotHand {
				w.insert(c, max(min(due, c.due.Load()), w.at+1))
			}
		}
		w.hand = w.hand[:0]
	}
	if w.n == 0 {
		w.running = false
		return false
	}
	return true
}

package transport

import (
	"net"
	"runtime"
	"sync/atomic"
	"time"
)

// shared is what the connections of one Server or Dialer have in common. They
// are dealt out to shards, one for each processor, so that those of different
// shards have nothing to contend for.
type shared struct {
	opts   Options
	shards []*shard
	next   atomic.Uint32
}

// shard is a part of the connections, with what serves them.
type shard struct {
	opts    *Options
	wheel   *wheel
	work    executor
	poll    *poller // nil if no connection is polled
	drivers [2]driver
	stats   counters
	leave   func(*ipCount) // counts a connection out of its Server; nil if there is none
}

// What Conn.drv can be.
const (
	drvGoroutine = iota
	drvPoll
)

func newShared(o *Options) *shared {
	return newSharedOf(o, runtime.GOMAXPROCS(0))
}

func newSharedOf(o *Options, shards int) *shared {
	sh := &shared{opts: o.withDefaults(), shards: make([]*shard, shards)}
	p := &sh.opts
	tick := min(p.FrameTimeout, p.MessageTimeout, p.WriteTimeout, p.CloseTimeout, p.PingInterval, p.PongTimeout) / 16
	tick = max(min(tick, 250*time.Millisecond), time.Millisecond)
	for i := range sh.shards {
		s := &shard{opts: p, wheel: newWheel(tick), drivers: [...]driver{goroutineDriver{}, pollDriver{}}}
		if p.Driver != DriverGoroutine && canPoll {
			s.poll = newPoller()
		}
		sh.shards[i] = s
	}
	return sh
}

// driver returns what serves plaintext TCP.
func (sh *shared) driver() Driver {
	if sh.shards[0].poll != nil {
		return DriverPoll
	}
	return DriverGoroutine
}

// pick returns the shard for a new connection.
func (sh *shared) pick() *shard {
	return sh.shards[sh.next.Add(1)%uint32(len(sh.shards))]
}

// stats returns counters for what happens to no connection.
func (sh *shared) stats() *counters { return &sh.shards[0].stats }

// all returns the connections that are there.
func (sh *shared) all() (cs []*Conn) {
	for _, s := range sh.shards {
		cs = s.wheel.appendAll(cs)
	}
	return cs
}

// empty waits until no connection is left. None may be added meanwhile.
func (sh *shared) empty() {
	for _, s := range sh.shards {
		<-s.wheel.whenEmpty()
	}
}

// rest ends what runs beside connections as soon as there are none.
func (sh *shared) rest() {
	for _, s := range sh.shards {
		if s.poll != nil {
			s.poll.rest()
		}
	}
}

func (sh *shared) snapshot() Stats {
	st := Stats{Driver: sh.driver()}
	for _, s := range sh.shards {
		s.stats.addTo(&st)
	}
	return st
}

// carrier is what a connection comes over, until its driver has it.
type carrier interface {
	RemoteAddr() net.Addr

	// Write writes the answer of the opening handshake, which may take until the
	// deadline of that.
	Write(p []byte) (int, error)

	// answered says that this has been done: the deadline is no more.
	answered() error

	// attach gives c, whose shard is set, its driver and its socket.
	attach(c *Conn)
}

// netCarrier is a network connection. A socket that can be polled is taken out
// of it, and it is closed.
type netCarrier struct{ net.Conn }

func (n netCarrier) answered() error { return n.SetDeadline(time.Time{}) }

func (n netCarrier) attach(c *Conn) {
	if c.sh.poll != nil {
		if fd, addr, ok := detach(n.Conn); ok {
			attachFD(c, fd, addr)
			return
		}
	}
	c.nc = n.Conn
}

// ticks converts a span to ticks of the wheel, rounding up.
func (s *shard) ticks(d time.Duration) int64 {
	return int64((d + s.wheel.tick - 1) / s.wheel.tick)
}

func (s *shard) ticksPerSecond() int64 { return max(1, int64(time.Second/s.wheel.tick)) }

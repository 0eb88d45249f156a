//go:build linux

package load

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/wireroom/wireroom/bench/internal/measure"
	"github.com/wireroom/wireroom/bench/internal/proc"
	"github.com/wireroom/wireroom/bench/internal/record"
	"github.com/wireroom/wireroom/bench/internal/wire"
)

// work is what a kind of scenario does with connections. All its methods are
// called by the generator's only thread.
type work interface {
	begin()                            // all are connected
	opened(c *conn)                    // c has been upgraded
	message(c *conn, f wire.Frame)     // a text or binary message has come
	readDone(c *conn)                  // after the messages of one read
	closed(c *conn, code string) error // the server has ended c; code "" means without a close frame
	turn()                             // after all that was there to be read
	timer(due int)                     // due ticks of the timer have passed since
	waiting() uint64                   // messages that are still to come
	enough() bool                      // the measured part may end early
	account(res *record.Load)          // at the end
}

// base has the methods that few kinds of work need.
type base struct{ g *generator }

func (base) opened(*conn)               {}
func (base) readDone(*conn)             {}
func (base) turn()                      {}
func (base) timer(int)                  {}
func (base) enough() bool               { return false }
func (base) closed(*conn, string) error { return errEnded }

var errEnded = errors.New("the server ended the connection")

// How long the generator waits.
const (
	openTimeout = 20 * time.Second // for all connections
	stallTime   = 5 * time.Second  // for anything at all, while messages are under way; Spec.Patience
	drainTime   = 2 * time.Second  // the same, at the end
	maxOpening  = 128              // connections that are being opened at once
)

type generator struct {
	spec  Spec
	work  work
	msg   *wire.Message
	res   record.Load
	hist  measure.Histogram
	start time.Time
	now   time.Duration // since start, when the last read returned

	ep     int
	addr   syscall.Sockaddr
	byFD   []*conn
	conns  []*conn
	events []syscall.EpollEvent
	in     []byte
	out    []byte
	clock  *ticker

	open     int
	opening  int
	begun    bool          // work.begin has been called
	stopping bool          // nothing new is begun
	progress time.Duration // when a message was last as it should be
	rss      *proc.Resident
	rssNext  time.Duration
	failure  error
}

func newGenerator(spec Spec) (*generator, error) {
	g := &generator{spec: spec, start: time.Now(), in: make([]byte, 256<<10), events: make([]syscall.EpollEvent, 512)}
	var err error
	if g.msg, err = spec.message(); err != nil {
		return nil, err
	}
	if g.addr, err = sockaddr(spec.Addr); err != nil {
		return nil, err
	}
	if g.ep, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	if g.rss, err = proc.OpenResident(spec.Server); err != nil {
		return nil, err
	}
	for i := range spec.Connections {
		g.conns = append(g.conns, &conn{id: uint32(i), fd: -1})
	}
	switch spec.Kind {
	case record.Echo, record.RPC:
		g.work = newEcho(g)
	case record.Broadcast, record.Paced, record.SlowKind:
		g.work = newBroadcast(g)
	case record.Churn:
		g.work = newChurn(g)
	case record.IdleKind:
		g.work = newIdle(g)
	default:
		return nil, fmt.Errorf("no work of kind %q", spec.Kind)
	}
	return g, nil
}

// since returns the time since the generator was made.
func (g *generator) since() time.Duration { return time.Since(g.start) }

// fail ends the run; the first failure counts.
func (g *generator) fail(format string, args ...any) {
	if g.failure == nil {
		g.failure = fmt.Errorf(format, args...)
	}
}

// poll handles what happens within timeout milliseconds, once.
func (g *generator) poll(timeout int) {
	n, errno := proc.Wait(g.ep, g.events, timeout)
	if errno != 0 {
		g.fail("epoll_wait: %w", errno)
		return
	}
	for i := range n {
		ev := &g.events[i]
		if g.clock != nil && int(ev.Fd) == g.clock.fd {
			g.now = g.since()
			g.work.timer(g.clock.due())
			continue
		}
		if c := g.byFD[ev.Fd]; c != nil {
			g.event(c, ev.Events)
		}
	}
	if g.begun {
		g.work.turn()
	}
	if now := g.since(); now > g.rssNext {
		g.rssNext = now + 20*time.Millisecond
		g.res.RSSPeak = max(g.res.RSSPeak, g.rss.Bytes())
	}
}

// event handles what epoll says of one connection.
func (g *generator) event(c *conn, events uint32) {
	if events&(syscall.EPOLLOUT|syscall.EPOLLERR) != 0 {
		g.writable(c)
	}
	if c.fd >= 0 && events&(syscall.EPOLLIN|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 && c.state != connecting {
		g.readable(c)
	}
}

// readable reads once, and handles what has come.
func (g *generator) readable(c *conn) {
	kept := copy(g.in, c.rest)
	n, errno := proc.Read(c.fd, g.in[kept:])
	if errno == syscall.EAGAIN || errno == syscall.EINTR {
		return
	}
	g.now = g.since()
	if n == 0 {
		g.ended(c, "", errno)
		return
	}
	b := g.in[:kept+n]
	if c.state == upgrading {
		used, err := wire.CheckUpgraded(b, g.spec.Subprotocol)
		if err != nil {
			g.fail("%w", err)
			return
		}
		if used > 0 {
			b = b[used:]
			g.upgraded(c)
		}
	}
	for c.state >= greeting && len(b) > 0 {
		f, n, err := wire.Next(b)
		if err != nil {
			g.fail("connection %d: %w", c.id, err)
			return
		}
		if n == 0 {
			break
		}
		b = b[n:]
		g.frame(c, f)
	}
	if c.fd < 0 {
		return
	}
	c.rest = append(c.rest[:0], b...)
	if g.begun {
		g.work.readDone(c)
	}
}

// frame handles one frame.
func (g *generator) frame(c *conn, f wire.Frame) {
	switch {
	case f.Masked && !g.spec.Masked:
		g.fail("connection %d: the server masked a frame (RFC 6455, section 5.1)", c.id)
	case f.Op == wire.OpPing:
		g.send(c, wire.AppendFrame(nil, wire.OpPong, [4]byte{1, 2, 3, 4}, f.Payload))
	case f.Op == wire.OpClose:
		g.ended(c, wire.CloseCode(f.Payload), 0)
	case f.Op == wire.OpPong:
	case g.spec.Dialect != nil:
		g.undress(c, f)
	default:
		g.work.message(c, f)
	}
}

// upgraded goes on after the opening handshake.
func (g *generator) upgraded(c *conn) {
	if d := g.spec.Dialect; d != nil {
		c.state, c.greeted = greeting, 0
		if hello := d.Greeting(); len(hello) > 0 {
			g.send(c, hello)
		}
		if len(d.Ready) > 0 {
			return
		}
	}
	g.ready(c)
}

// ready ends the opening of a connection.
func (g *generator) ready(c *conn) {
	c.state = open
	g.opening--
	g.open++
	g.work.opened(c)
}

// undress handles a message of a dialect.
func (g *generator) undress(c *conn, f wire.Frame) {
	d := g.spec.Dialect
	if answer := d.Answer(f); answer != nil {
		g.send(c, answer)
		return
	}
	if c.state == greeting {
		if c.greeted = d.Greeted(c.greeted, f); c.greeted == len(d.Ready) {
			g.ready(c)
		}
		return
	}
	g.msg.Undress(f, func(f wire.Frame) { g.work.message(c, f) })
}

// got counts a message that came back, by what the tracker says of it. It
// reports whether it was one that was waited for.
func (g *generator) got(v wire.Verdict) bool {
	switch v {
	case wire.Late:
		g.res.Reordered++
	case wire.Repeated:
		g.res.Repeated++
		return false
	case wire.Unsent:
		g.res.Corrupt++
		return false
	}
	g.res.Messages++
	g.progress = g.now
	return true
}

// ended is the end of a connection by the server.
func (g *generator) ended(c *conn, code string, errno syscall.Errno) {
	was := c.state
	g.drop(c)
	switch {
	case was == upgrading, was == greeting:
		g.fail("the server ended a connection instead of upgrading it (%d were open)", g.open)
	case g.work.closed(c, code) != nil:
		g.res.Closed++
		if code == "" && errno != 0 {
			code = errno.Error()
		}
		if code == "" {
			code = "end of file"
		}
		g.fail("the server ended connection %d: %s", c.id, code)
	}
}

// drop closes the socket of a connection.
func (g *generator) drop(c *conn) {
	if c.fd < 0 {
		return
	}
	switch c.state {
	case connecting, upgrading, greeting:
		g.opening--
	case open:
		g.open--
	}
	g.byFD[c.fd] = nil
	syscall.Close(c.fd) //nolint:errcheck // there is nothing to be done about it
	c.fd, c.state, c.rest, c.unsent = -1, closed, c.rest[:0], nil
}

package chaos_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

var (
	flagConns  = flag.Int("chaos.conns", 400, "connections that are opened, for each driver")
	flagLive   = flag.Int("chaos.live", 400, "connections that are open at once, at most")
	flagTime   = flag.Duration("chaos.time", 0, "how long to go on at least")
	flagSeed   = flag.Uint64("chaos.seed", 0, "of all that is drawn; 0 draws one")
	flagDriver = flag.String("chaos.driver", "", "poll or goroutine; empty for both")
)

const (
	// patience is how long anything may take that must happen.
	patience = 60 * time.Second

	// strictTimeout is every time limit of the strict server.
	strictTimeout = 250 * time.Millisecond

	maxQueueBytes = 256 << 10
)

// TestChaos is what the package comment describes.
func TestChaos(t *testing.T) {
	seed := *flagSeed
	for seed == 0 {
		seed = rand.Uint64()
	}
	for _, driver := range []transport.Driver{transport.DriverGoroutine, transport.DriverPoll} {
		t.Run(string(driver), func(t *testing.T) {
			switch {
			case *flagDriver != "" && *flagDriver != string(driver):
				t.Skip("not asked for")
			case driver == transport.DriverPoll && runtime.GOOS != "linux":
				t.Skip("only on Linux")
			}
			t.Logf("-chaos.seed=%d", seed)
			storm(t, driver, seed+1, min(*flagConns, 5), 0) // what is made once is made now
			grow(10 * min(*flagLive, *flagConns))
			before := measure()
			report := storm(t, driver, seed, *flagConns, *flagTime)
			after := settle(before)
			for _, u := range []struct {
				when string
				usage
			}{{"before", before}, {"after", after}} {
				fmt.Fprintf(report, "\n%-42s %10d goroutines, %d descriptors, %d KiB of heap", u.when, u.goroutines, u.descriptors, u.heap>>10)
			}
			t.Log(report)
			if after.goroutines > before.goroutines || after.descriptors > before.descriptors || after.heap > before.heap+4<<20 {
				t.Errorf("left behind: %+v, had %+v", after, before)
			}
		})
	}
}

// world is one run: the servers, the links between them and their clients, and
// the account.
type world struct {
	t       *testing.T
	seed    uint64
	hurry   time.Duration
	servers [2]*transport.Server // the patient and the strict one
	addrs   [2]string
	groups  []*group

	mu    sync.Mutex
	links map[uint32]*link

	running sync.WaitGroup // the servers' ends
	accepts atomic.Uint64
	inbound atomic.Uint64
	failed  atomic.Int32
	stall   atomic.Int64 // the longest time that this process stood still

	refusedClosed, refusedSlow, refusedTooLarge, refusedUTF8 atomic.Uint64
	doubtfulCalls                                            atomic.Uint64

	total struct { // guarded by mu
		tally
		opened, nothing int // of the links
		unsent          uint64
		sentIn, gotIn   uint64
		ends            map[string]int
	}
}

// storm opens connections until there were as many as that and the time is over,
// and returns the account, to be completed.
func storm(t *testing.T, driver transport.Driver, seed uint64, conns int, atLeast time.Duration) *strings.Builder {
	begin := time.Now()
	live := min(*flagLive, conns)
	w := &world{t: t, seed: seed, links: make(map[uint32]*link)}
	w.total.ends = make(map[string]int)
	w.hurry = 300*time.Millisecond + time.Duration(live)*500*time.Microsecond
	w.start(driver)
	for i := range max(2, live/100) {
		w.groups = append(w.groups, &group{id: groupBit | uint32(i), members: make(map[*link]*transport.Conn)})
	}
	quit := make(chan struct{})
	var casters sync.WaitGroup
	casters.Go(func() { w.watch(quit) })
	for _, g := range w.groups {
		casters.Go(func() { g.broadcast(w, time.Duration(10+live/20)*time.Millisecond, quit) })
	}

	var next atomic.Uint32
	var clients sync.WaitGroup
	for range live {
		clients.Go(func() {
			for w.failed.Load() < maxFailures {
				id := next.Add(1)
				if int(id) > conns && time.Since(begin) >= atLeast {
					return
				}
				w.connect(w.newLink(id, nil), nil)
			}
		})
	}
	clients.Wait()

	// The last ones meet the shutdown.
	var last, opened sync.WaitGroup
	for i := range min(live, 100) {
		l := w.newLink(1<<30+uint32(i), func(p *plan) {
			p.ending, p.server = awaits, stays
		})
		opened.Add(1)
		last.Go(func() { w.connect(l, opened.Done) })
	}
	opened.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, s := range w.servers {
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	}
	last.Wait()
	close(quit)
	casters.Wait()
	w.running.Wait()
	for _, l := range w.links {
		w.total.nothing++
		if l.took.Load() || l.opened || len(l.got) > 0 {
			l.failf("opened %t, accepted %t, and one end has not finished", l.opened, l.took.Load())
		}
	}
	w.balance()
	t.Logf("%s: %v", driver, time.Since(begin).Round(time.Millisecond))
	return w.report()
}

// start starts the servers.
func (w *world) start(driver transport.Driver) {
	for i, o := range []*transport.Options{{
		HandshakeTimeout: patience, FrameTimeout: patience / 2, MessageTimeout: patience / 2, WriteTimeout: patience / 2,
		CloseTimeout: patience / 2, PingInterval: time.Second, PongTimeout: patience / 2,
		MaxQueueBytes: maxQueueBytes,
	}, {
		HandshakeTimeout: patience, FrameTimeout: strictTimeout, MessageTimeout: strictTimeout, WriteTimeout: strictTimeout,
		CloseTimeout: strictTimeout, PingInterval: strictTimeout, PongTimeout: strictTimeout,
		MaxQueueBytes: maxQueueBytes / 2, MaxQueueFrames: 64,
	}} {
		o.Driver, o.MaxControlFrames = driver, -1
		s, err := transport.NewServer(w.accept, o)
		if err != nil {
			w.t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			w.t.Fatal(err)
		}
		w.servers[i], w.addrs[i] = s, l.Addr().String()
		w.running.Go(func() {
			if err := s.Serve(l); !errors.Is(err, transport.ErrServerClosed) {
				w.t.Errorf("Serve: %v", err)
			}
		})
	}
}

func (w *world) addr(l *link) string {
	if l.plan.strict {
		return w.addrs[1]
	}
	return w.addrs[0]
}

// watch measures how long the process stands still, which time limits take for
// the silence of peers.
func (w *world) watch(quit <-chan struct{}) {
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for last := time.Now(); ; {
		select {
		case <-quit:
			return
		case <-t.C:
		}
		w.stall.Store(max(w.stall.Load(), int64(time.Since(last))))
		last = time.Now()
	}
}

// stood reports that the process stood still for so long that a patient server
// may have lost its patience with a polite client.
func (w *world) stood() bool { return time.Duration(w.stall.Load()) > patience/10 }

// rand returns a source of randomness for one purpose of one link or group.
func (w *world) rand(id uint32, purpose uint64) *rand.Rand {
	return rand.New(rand.NewPCG(w.seed, uint64(id)<<8|purpose))
}

func (w *world) newLink(id uint32, change func(*plan)) *link {
	rnd := w.rand(id, 0)
	l := &link{w: w, id: id, plan: newPlan(rnd, w.hurry), refused: make(chan struct{})}
	if change != nil {
		change(&l.plan)
	}
	if l.plan.group {
		l.group = w.groups[rnd.IntN(len(w.groups))]
	}
	l.parts.Store(2)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.links[id] = l
	return l
}

func (w *world) link(id uint32) *link {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.links[id]
}

func (w *world) forget(l *link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.links, l.id)
}

// maxFailures ends a run.
const maxFailures = 20

func (w *world) failf(format string, args ...any) {
	if w.failed.Add(1) <= maxFailures {
		w.t.Errorf(format, args...)
	}
}

// count counts the refusal of a call that was to send n messages.
func (w *world) count(n int, err error) {
	switch {
	case err == nil:
		return
	case errors.Is(err, transport.ErrClosed):
		w.refusedClosed.Add(1)
	case errors.Is(err, transport.ErrSlowConsumer):
		w.refusedSlow.Add(1)
	case errors.Is(err, transport.ErrTooLarge):
		w.refusedTooLarge.Add(1)
	case errors.Is(err, transport.ErrInvalidUTF8):
		w.refusedUTF8.Add(1)
	default:
		w.failf("send: %v", err)
	}
	if n > 1 {
		w.doubtfulCalls.Add(1)
	}
}

// add adds a verified link to the account.
func (w *world) add(l *link, t tally) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := &w.total
	n.accepted += t.accepted
	n.arrived += t.arrived
	n.missing += t.missing
	n.doubtful += t.doubtful
	n.opened++
	n.sentIn += uint64(l.wrote)
	n.gotIn += uint64(l.inbound)
	if l.cause != nil {
		n.unsent += uint64(l.cause.Unsent)
		n.ends[endOf(l.cause)]++
	}
}

// endOf names the end of a connection for the account.
func endOf(c *transport.CloseError) string {
	var no syscall.Errno
	var why string
	switch {
	case c.Err == nil:
		return fmt.Sprintf("%d, close handshake", c.Code)
	case errors.Is(c.Err, io.ErrUnexpectedEOF):
		why = "end of stream"
	case errors.As(c.Err, &no):
		why = no.Error()
	case errors.Is(c.Err, net.ErrClosed):
		why = net.ErrClosed.Error()
	default:
		why = c.Err.Error()
	}
	return fmt.Sprintf("%d, %s", c.Code, why)
}

// balance compares the account with Stats. Dropped messages are counted a moment
// after their connection has gone, when the writer sees its error.
func (w *world) balance() {
	var faults []string
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if faults = w.faults(); len(faults) == 0 || w.failed.Load() > 0 || time.Now().After(deadline) {
			break
		}
	}
	for _, f := range faults {
		w.failf("%s", f)
	}
}

func (w *world) faults() (faults []string) {
	must := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	var sum transport.Stats
	for _, s := range w.servers {
		st := s.Stats()
		sum.Conns += st.Conns
		sum.Accepted += st.Accepted
		sum.MessagesIn += st.MessagesIn
		sum.FramesOut += st.FramesOut
		sum.SlowConsumers += st.SlowConsumers
		sum.DroppedSlow += st.DroppedSlow
		sum.DroppedClosed += st.DroppedClosed
		sum.DroppedTooLarge += st.DroppedTooLarge
		sum.ClosedNormal += st.ClosedNormal + st.ClosedGoingAway + st.ClosedAbnormal + st.ClosedOther
	}
	n := &w.total
	must(sum.Conns == 0, "Stats: %d connections at the end", sum.Conns)
	must(sum.Accepted == w.accepts.Load(), "Stats: %d accepted, Accept was called %d times", sum.Accepted, w.accepts.Load())
	must(sum.ClosedNormal == sum.Accepted, "Stats: %d ends of %d connections", sum.ClosedNormal, sum.Accepted)
	must(sum.MessagesIn == w.inbound.Load(), "Stats: %d messages in, OnMessage was called %d times", sum.MessagesIn, w.inbound.Load())
	must(sum.SlowConsumers == w.refusedSlow.Load(), "Stats: %d slow consumers, %d sends failed so", sum.SlowConsumers, w.refusedSlow.Load())
	must(sum.DroppedTooLarge == w.refusedTooLarge.Load(), "Stats: %d too large, %d sends failed so", sum.DroppedTooLarge, w.refusedTooLarge.Load())

	// Each refused call counts as one dropped message; the others had been
	// accepted.
	dropped := sum.DroppedSlow + sum.DroppedClosed - w.refusedSlow.Load() - w.refusedClosed.Load()
	taken, least := sum.FramesOut+dropped, uint64(n.accepted)
	must(taken >= least && taken <= least+uint64(n.doubtful)-w.doubtfulCalls.Load(),
		"Stats: %d written and %d dropped, but %d were accepted, and of %d some", sum.FramesOut, dropped, n.accepted, n.doubtful)
	must(n.unsent >= dropped, "Stats: %d accepted messages were dropped; Unsent says %d in all", dropped, n.unsent)
	return faults
}

// report returns a table of the account.
func (w *world) report() *strings.Builder {
	out := new(strings.Builder)
	n := &w.total
	row := func(name string, v any) { fmt.Fprintf(out, "\n%-42s %10v", name, v) }
	row("connections", n.opened+n.nothing)
	row("  handshake broken off", n.nothing)
	for _, end := range slices.Sorted(maps.Keys(n.ends)) {
		row("  "+end, n.ends[end])
	}
	row("longest standstill of the process", time.Duration(w.stall.Load()).Round(time.Millisecond))
	row("messages to clients, accepted", n.accepted)
	row("  delivered", n.arrived)
	row("  lost with their connection", n.missing)
	row("  of these unsent, by OnClose", n.unsent)
	row("refused: closed", w.refusedClosed.Load())
	row("  slow consumer", w.refusedSlow.Load())
	row("  too large", w.refusedTooLarge.Load())
	row("  not UTF-8", w.refusedUTF8.Load())
	row("messages to the server, written whole", n.sentIn)
	row("  delivered", n.gotIn)
	return out
}

// usage is what a process has in use.
type usage struct {
	goroutines, descriptors int
	heap                    uint64
}

// grow has n goroutines at once, and waits for their end: the runtime keeps what
// describes a goroutine for ever, to use it again.
func grow(n int) {
	var all sync.WaitGroup
	end := make(chan struct{})
	for range n {
		all.Go(func() { <-end })
	}
	close(end)
	all.Wait()
}

func measure() usage {
	runtime.GC()
	runtime.GC() // the pools are empty now
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := usage{goroutines: runtime.NumGoroutine(), heap: m.HeapAlloc}
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		u.descriptors = len(entries)
	}
	return u
}

// settle measures until all is back to what it was, or patience ends.
func settle(before usage) usage {
	for deadline := time.Now().Add(patience / 2); ; time.Sleep(20 * time.Millisecond) {
		u := measure()
		if u.goroutines <= before.goroutines && u.descriptors <= before.descriptors && u.heap <= before.heap+4<<20 || time.Now().After(deadline) {
			return u
		}
	}
}

package hostile_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wireroom/wireroom/transport"
)

// onMessage is what the server side of a connection does with a message.
type onMessage func(c *transport.Conn, op transport.Op, p []byte)

func echo(c *transport.Conn, op transport.Op, p []byte) { _ = c.Send(op, p) }

// recorder is the server side of one connection: it notes how it ended, and
// watches that its methods are called as transport.Handler promises.
type recorder struct {
	h onMessage

	mu     sync.Mutex
	conn   *transport.Conn
	cause  *transport.CloseError
	faults []string
	busy   bool
	closed chan struct{}
}

func (r *recorder) enter(call string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy {
		r.faults = append(r.faults, call+" during another call")
	}
	if r.cause != nil {
		r.faults = append(r.faults, call+" after OnClose")
	}
	r.busy = true
}

func (r *recorder) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = false
}

func (r *recorder) OnMessage(c *transport.Conn, op transport.Op, p []byte) {
	r.enter("OnMessage")
	defer r.leave()
	r.h(c, op, p)
	clear(p) // it is the handler's to write to
}

func (r *recorder) OnReadDone(*transport.Conn) {
	r.enter("OnReadDone")
	r.leave()
}

func (r *recorder) OnClose(_ *transport.Conn, err *transport.CloseError) {
	r.enter("OnClose")
	defer r.leave()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cause == nil {
		r.cause = err
		close(r.closed)
	}
}

func (r *recorder) accepted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conn != nil
}

// wait waits for OnClose.
func (r *recorder) wait(t testing.TB) *transport.CloseError {
	t.Helper()
	select {
	case <-r.closed:
	case <-time.After(patience):
		t.Fatalf("OnClose was not called in %v", patience)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cause
}

func (r *recorder) checkFaults(t testing.TB) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.faults {
		t.Error(f)
	}
}

// server is one under attack.
type server struct {
	srv     *transport.Server
	addr    string
	limited bool // there may be too many connections for the good client

	hs     *http.Server // if mounted
	served chan error

	mu   sync.Mutex
	n    int
	recs map[string]*recorder
}

// expect returns the path of a new connection, and its server side.
func (s *server) expect(h onMessage) (path string, rec *recorder) {
	if h == nil {
		h = echo
	}
	rec = &recorder{h: h, closed: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	path = fmt.Sprintf("/case-%06d", s.n)
	s.recs[path] = rec
	return path, rec
}

func (s *server) accept(c *transport.Conn, hs *transport.Handshake) transport.Handler {
	s.mu.Lock()
	rec := s.recs[hs.Path]
	s.mu.Unlock()
	if rec == nil {
		rec = &recorder{h: echo, closed: make(chan struct{})}
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.conn != nil {
		rec.faults = append(rec.faults, "accepted twice")
	}
	rec.conn = c
	return rec
}

// cell is one of the ways to serve.
type cell struct {
	driver  transport.Driver
	mounted bool

	mu      sync.Mutex
	servers map[*transport.Options]*server
}

func (c *cell) String() string {
	mount := "raw"
	if c.mounted {
		mount = "mounted"
	}
	return string(c.driver) + "/" + mount
}

// start starts a server of this cell.
func (c *cell) start(t testing.TB, o *transport.Options) *server {
	t.Helper()
	var opts transport.Options
	if o != nil {
		opts = *o
	}
	opts.Driver = c.driver
	if opts.HandshakeTimeout == 0 {
		opts.HandshakeTimeout = patience // no case depends on the default
	}
	s := &server{
		recs: make(map[string]*recorder), served: make(chan error, 1),
		limited: opts.MaxConns > 0 || opts.MaxConnsPerIP > 0,
	}
	var err error
	if s.srv, err = transport.NewServer(s.accept, &opts); err != nil {
		t.Fatal(err)
	}
	servedBy.Store(c.String(), s.srv.Stats().Driver)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	if !c.mounted {
		go func() { s.served <- s.srv.Serve(l) }()
		return s
	}
	// What our own server does with HandshakeTimeout is the user's to ask of
	// net/http.
	s.hs = &http.Server{Handler: s.srv, ReadHeaderTimeout: s.srv.Options().HandshakeTimeout, ErrorLog: quiet}
	go func() { s.served <- s.hs.Serve(l) }()
	return s
}

// shared returns the server that all cases with these options attack, at the
// same time.
func (c *cell) shared(t testing.TB, o *transport.Options) *server {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.servers[o]
	if s == nil {
		s = c.start(t, o)
		c.servers[o] = s
	}
	return s
}

// serves verifies that a good client is served.
func (s *server) serves(t testing.TB) {
	t.Helper()
	if s.limited {
		// The connections of the case have to be counted out before.
		eventually(t, "room for a good client", func() bool {
			p := s.connect(t, nil)
			defer p.nc.Close()
			p.write(p.located(proper.bytes()))
			p.listen()
			p.wait("answer to the handshake", func() bool { return p.status != 0 || p.end != nil })
			p.mu.Lock()
			ok := p.status == http.StatusSwitchingProtocols
			p.mu.Unlock()
			if ok {
				p.write(masked(fin|opClose, closing(1000, "")))
				p.waitEnd()
			}
			return ok
		})
	}
	p := s.open(t, "", nil)
	defer p.nc.Close()
	p.check(false, want{})
}

// idle waits until the server has no connection left.
func (s *server) idle(t testing.TB) {
	t.Helper()
	eventually(t, "no connection is left", func() bool { return s.srv.Stats().Conns == 0 })
}

// stop ends a server that has no connection left.
func (s *server) stop(t testing.TB) {
	t.Helper()
	s.idle(t)
	if st := s.srv.Stats(); st.ClosedNormal+st.ClosedGoingAway+st.ClosedAbnormal+st.ClosedOther != st.Accepted {
		t.Errorf("not each connection was closed once: %+v", st)
	}
	if s.hs != nil {
		s.hs.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.srv.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-s.served; !errors.Is(err, transport.ErrServerClosed) && !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

// hostileCase is one attack. It is a script, or for what is no script, run.
type hostileCase struct {
	name  string
	opts  *transport.Options // nil: the defaults
	own   bool               // the server is attacked by this case only
	alone bool               // no other case runs at the same time, as memory is measured

	offer string    // of extensions, in the handshake
	raw   bool      // the steps include the handshake; otherwise it comes before them
	deaf  bool      // the peer reads only after the last step
	h     onMessage // nil: echo
	steps []step

	want    want
	mounted *want // under net/http, where that answers itself or mends what came

	run func(t *testing.T, s *server)
}

// ownServer reports whether the case needs a server for itself.
func (hc *hostileCase) ownServer() bool {
	for _, st := range hc.steps {
		if st.paced {
			return true // it looks at the server's counters
		}
	}
	return hc.own || hc.alone
}

func (c *cell) play(t *testing.T, hc *hostileCase) {
	var s *server
	if hc.ownServer() {
		s = c.start(t, hc.opts)
	} else {
		s = c.shared(t, hc.opts)
	}
	if hc.run != nil {
		hc.run(t, s)
	} else {
		c.script(t, s, hc)
	}
	s.serves(t)
	if hc.ownServer() {
		s.stop(t)
	}
}

func (c *cell) script(t *testing.T, s *server, hc *hostileCase) {
	p := s.connect(t, hc.h)
	defer p.nc.Close()
	if !hc.raw {
		p.handshake(hc.offer)
		p.deflate = hc.offer != ""
	}
	if !hc.deaf {
		p.listen()
	}
	for _, st := range hc.steps {
		p.do(st)
	}
	w := hc.want
	if c.mounted && hc.mounted != nil {
		w = *hc.mounted
	}
	p.check(hc.raw, w)
}

// group is a set of cases with one subject.
type group struct {
	name  string
	cases func() []hostileCase
}

var groups = []group{
	{"handshake", handshakeCases},
	{"frames", frameCases},
	{"control", controlCases},
	{"close", closeCases},
	{"utf8", utf8Cases},
	{"resources", resourceCases},
	{"deflate", deflateCases},
}

var (
	casesRun, casesSkipped, cellsRun atomic.Int64
	servedBy                         sync.Map // cell → the driver that really served
)

func cells() []*cell {
	var cs []*cell
	for _, d := range []transport.Driver{transport.DriverGoroutine, transport.DriverPoll} {
		if d == transport.DriverPoll && runtime.GOOS != "linux" {
			continue
		}
		for _, mounted := range []bool{false, true} {
			cs = append(cs, &cell{driver: d, mounted: mounted, servers: make(map[*transport.Options]*server)})
		}
	}
	return cs
}

// What may be left of a cell. Goroutines and descriptors: nothing.
const heapSlack = 4 << 20

// TestHostile runs all cases in all cells, one cell after the other.
func TestHostile(t *testing.T) {
	// What the runtime, net/http and the pools make once is there before the
	// first look.
	for _, c := range cells() {
		s := c.start(t, nil)
		s.serves(t)
		s.stop(t)
	}
	for _, c := range cells() {
		t.Run(c.String(), func(t *testing.T) {
			cellsRun.Add(1)
			before := goleak.IgnoreCurrent()
			fds, heap := openFDs(), heapInUse()

			c.runAll(t)

			for _, s := range c.servers {
				s.stop(t)
			}
			c.servers = nil
			if err := goleak.Find(before); err != nil {
				t.Error(err)
			}
			if fds >= 0 {
				eventually(t, fmt.Sprintf("no more than %d file descriptors", fds), func() bool { return openFDs() <= fds })
			}
			if now := heapInUse(); now > heap+heapSlack {
				t.Errorf("heap is %d KiB, was %d KiB before", now>>10, heap>>10)
			}
		})
	}
}

// runAll runs the cases: first those that may attack together, then those that
// must be alone.
func (c *cell) runAll(t *testing.T) {
	deflates := c.deflates(t)
	for _, alone := range []bool{false, true} {
		name := "together"
		if alone {
			name = "alone"
		}
		t.Run(name, func(t *testing.T) {
			for _, g := range groups {
				for _, hc := range g.cases() {
					if hc.alone != alone {
						continue
					}
					t.Run(g.name+"/"+hc.name, func(t *testing.T) {
						if !alone {
							t.Parallel()
						}
						if g.name == "deflate" && !deflates {
							casesSkipped.Add(1)
							t.Skip("the server does not negotiate permessage-deflate")
						}
						casesRun.Add(1)
						c.play(t, &hc)
					})
				}
			}
		})
	}
}

// heapInUse returns the heap after all that can be collected is.
func heapInUse() uint64 {
	runtime.GC()
	runtime.GC() // sync.Pool gives up its victims in the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// openFDs returns how many file descriptors are open, -1 if nobody says.
func openFDs() int {
	d, err := os.Open("/proc/self/fd")
	if err != nil {
		return -1
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return -1
	}
	return len(names) - 1 // without that of d
}

package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Server accepts WebSocket connections: from listeners, from net/http, or one
// by one. It may be used by many goroutines at once.
type Server struct {
	sh     *shared
	accept Accept

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	conns     int // handshakes included
	perIP     map[netip.Addr]*ipCount
	opening   sync.WaitGroup        // handshakes under way
	pending   map[net.Conn]struct{} // the sockets of those that come from a listener
	polled    openings              // those that the poller reads
	refusals  atomic.Int64          // being answered
}

// ipCount is the number of connections from one address.
type ipCount struct {
	addr netip.Addr
	n    int
}

// maxRefusals bounds the refusals that are being answered.
const maxRefusals = 256

// Accept is asked for the Handler of each new connection. c can be sent to
// from now on; nothing is read before Accept returns, so it must not wait for
// the peer. With nil the connection is cut. hs is the opening handshake; keep it, or parts of it, only if you
// need them: it holds the whole request head.
type Accept func(c *Conn, hs *Handshake) Handler

// NewServer returns a Server. It fails if o has an origin that is none, or a
// driver that does not work here.
func NewServer(accept Accept, o *Options) (*Server, error) {
	sh := newShared(o)
	if err := checkOrigins(sh.opts.AllowedOrigins); err != nil {
		return nil, fmt.Errorf("transport: new server: %w", err)
	}
	switch d := sh.opts.Driver; {
	case d != DriverAuto && d != DriverPoll && d != DriverGoroutine:
		return nil, fmt.Errorf("transport: new server: there is no driver %q", d)
	case d == DriverPoll && !canPoll:
		return nil, fmt.Errorf("transport: new server: driver %q does not work on this system", d)
	}
	s := &Server{
		sh: sh, accept: accept,
		listeners: make(map[net.Listener]struct{}),
		perIP:     make(map[netip.Addr]*ipCount),
		pending:   make(map[net.Conn]struct{}),
	}
	for _, shard := range sh.shards {
		shard.leave = s.leave
	}
	return s, nil
}

// Options returns the options in force: every limit with its value.
func (s *Server) Options() Options { return s.sh.opts }

// Stats returns the counters of the server.
func (s *Server) Stats() Stats { return s.sh.snapshot() }

// ListenAndServe listens on a TCP address and serves it, as Serve does.
func (s *Server) ListenAndServe(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("transport: listen: %w", err)
	}
	return s.Serve(l)
}

// Serve accepts connections from l until Shutdown, and then returns
// ErrServerClosed. It closes l. If TLSConfig is set it speaks TLS.
func (s *Server) Serve(l net.Listener) error {
	if cfg := s.sh.opts.TLSConfig; cfg != nil {
		cfg = cfg.Clone()
		cfg.NextProtos = []string{"http/1.1"} // RFC 8441 is not spoken
		l = tls.NewListener(l, cfg)
	}
	defer l.Close() //nolint:errcheck // nothing to be done about it
	if !s.track(l) {
		return ErrServerClosed
	}
	defer s.untrack(l)
	var pause time.Duration
	for {
		nc, err := l.Accept()
		if err != nil {
			if s.isClosed() {
				return ErrServerClosed
			}
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() || isResourceError(err) {
				// Out of descriptors, as a rule: it passes when some connection
				// ends.
				pause = min(max(2*pause, 5*time.Millisecond), time.Second)
				time.Sleep(pause)
				continue
			}
			return fmt.Errorf("transport: accept: %w", err)
		}
		pause = 0
		s.ServeConn(nc)
		s.acceptMore(l)
	}
}

func (s *Server) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.listeners[l] = struct{}{}
	}
	return !s.closed
}

func (s *Server) untrack(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// ServeConn does the opening handshake on nc, in the background, and serves
// the connection. It owns nc from now on.
func (s *Server) ServeConn(nc net.Conn) {
	deadline := time.Now().Add(s.sh.opts.HandshakeTimeout)
	if s.pollOpening(nc, deadline) {
		return
	}
	nc.SetDeadline(deadline) //nolint:errcheck // a Conn without deadlines is closed by Shutdown
	ip, refusal := s.enter(nc, nc.RemoteAddr())
	if refusal != nil {
		s.refuseSoon(nc, refusal)
		return
	}
	sh := s.sh.pick()
	sh.work.add(job{t: &netOpening{opening{s, ip, deadline}, sh, nc}})
}

// refuseSoon answers a connection that is one too many.
func (s *Server) refuseSoon(nc net.Conn, refusal *StatusError) {
	// An answer costs a descriptor for up to lingerTimeout, and over TLS a
	// handshake: those that come faster get none.
	if s.refusals.Add(1) > maxRefusals {
		s.refusals.Add(-1)
		s.sh.stats().refused.Add(1)
		go nc.Close() //nolint:errcheck // a foreign Close may wait
		return
	}
	go func() {
		defer s.refusals.Add(-1)
		s.refuse(nc, refusal)
	}()
}

// enter counts a connection in, until leave(ip), or says why it cannot be had.
// nc may be nil. ip is nil if connections are not counted by address.
func (s *Server) enter(nc net.Conn, addr net.Addr) (ip *ipCount, refusal *StatusError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &s.sh.opts
	if s.closed {
		return nil, &StatusError{Status: http.StatusServiceUnavailable, Reason: "server is shutting down"}
	}
	if s.conns >= o.MaxConns {
		return nil, &StatusError{Status: http.StatusServiceUnavailable, Reason: "too many connections"}
	}
	if a, ok := s.counted(addr); ok {
		if ip = s.perIP[a]; ip == nil {
			ip = &ipCount{addr: a}
			s.perIP[a] = ip
		}
		if ip.n >= o.MaxConnsPerIP {
			return nil, &StatusError{Status: http.StatusTooManyRequests, Reason: "too many connections from this address"}
		}
		ip.n++
	}
	s.conns++
	s.opening.Add(1)
	if nc != nil {
		s.pending[nc] = struct{}{}
	}
	return ip, nil
}

// counted returns the address under which a connection is counted, if
// connections are counted by address.
func (s *Server) counted(addr net.Addr) (netip.Addr, bool) {
	if s.sh.opts.MaxConnsPerIP == noLimit {
		return netip.Addr{}, false
	}
	tcp, ok := addr.(*net.TCPAddr)
	var ip netip.Addr
	if ok {
		ip = tcp.AddrPort().Addr()
	} else if ap, err := netip.ParseAddrPort(addr.String()); err == nil {
		ip = ap.Addr()
	} else {
		return ip, false
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		p, _ := ip.Prefix(64) // 64 bits are fewer than there are
		ip = p.Addr()
	}
	return ip, true
}

// leave counts a connection out.
func (s *Server) leave(ip *ipCount) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns--
	if ip == nil {
		return
	}
	if ip.n--; ip.n == 0 {
		delete(s.perIP, ip.addr)
	}
}

// opened ends a handshake that enter began; nc as then.
func (s *Server) opened(nc net.Conn) {
	s.mu.Lock()
	delete(s.pending, nc)
	s.mu.Unlock()
	s.opening.Done()
}

// refuse answers a handshake that fails and closes the socket. It takes no
// longer than lingerTimeout.
func (s *Server) refuse(nc net.Conn, e *StatusError) {
	s.sh.stats().refused.Add(1)
	defer nc.Close()                              //nolint:errcheck // there is nobody to tell
	nc.SetDeadline(time.Now().Add(lingerTimeout)) //nolint:errcheck // a Conn without deadlines is closed by Shutdown
	// Input that is left unread could make the kernel discard the answer, and
	// keep a peer on a net.Pipe from reading it.
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		io.Copy(io.Discard, io.LimitReader(nc, 64<<10)) //nolint:errcheck // whatever it is, it is the end
	}()
	if _, err := nc.Write(appendRefusal(nil, e)); err != nil {
		return
	}
	if w, ok := nc.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
		<-drained
	}
}

// opening is an opening handshake that does not come over net/http.
type opening struct {
	s        *Server
	ip       *ipCount
	deadline time.Time
}

// netOpening is the Task of one over any net.Conn, which waits for the peer.
type netOpening struct {
	opening
	sh *shard
	nc net.Conn
}

// Run implements Task.
func (o *netOpening) Run() {
	buf := getHeadBuffer(o.s.sh.opts.MaxHandshakeBytes)
	defer putHeadBuffer(buf)
	toNet := func() net.Conn { return o.nc }
	head, rest, err := readHead(o.nc, *buf)
	if err != nil {
		o.end(err, toNet)
		return
	}
	o.do(o.sh, netCarrier{o.nc}, head, rest, connTLS(o.nc), toNet)
}

// do does what follows the reading of the head. toNet is called if that fails.
func (o *opening) do(sh *shard, via carrier, head, rest []byte, state *tls.ConnectionState, toNet func() net.Conn) {
	err := errQuit // unless the hook returns
	defer func() {
		if err != nil {
			o.end(err, toNet)
		}
	}()
	hs, failed := o.s.check(head, via.RemoteAddr(), state, o.deadline)
	if failed != nil {
		err = failed
		return
	}
	err = nil // if accept ends the goroutine, upgrade sees to it
	err = o.s.upgrade(sh, via, o.ip, head, rest, hs)
}

// end ends a handshake that has failed.
func (o *opening) end(err error, toNet func() net.Conn) {
	s := o.s
	s.leave(o.ip)
	nc := toNet()
	var e *StatusError
	switch {
	case nc == nil:
		s.sh.stats().refused.Add(1)
	case errors.As(err, &e):
		s.refuse(nc, e)
	default:
		s.sh.stats().refused.Add(1)
		nc.Close() //nolint:errcheck // the peer has gone, or said nothing in time
	}
	s.opened(nc)
}

// headBuffers are for request heads of headSize, the default limit.
var headBuffers = sync.Pool{New: func() any { return new(make([]byte, 0, headSize)) }}

const headSize = 8 << 10

func getHeadBuffer(n int) *[]byte {
	if n != headSize {
		return new(make([]byte, 0, n))
	}
	return headBuffers.Get().(*[]byte)
}

func putHeadBuffer(b *[]byte) {
	if cap(*b) == headSize {
		headBuffers.Put(b)
	}
}

func connTLS(nc net.Conn) *tls.ConnectionState {
	if t, ok := nc.(*tls.Conn); ok {
		st := t.ConnectionState()
		return &st
	}
	return nil
}

// check decides on a request head, and asks the OnConnect hook.
func (s *Server) check(head []byte, addr net.Addr, state *tls.ConnectionState, deadline time.Time) (*Handshake, error) {
	o := &s.sh.opts
	hs, refusal := o.checkRequest(head)
	if refusal != nil {
		return nil, refusal
	}
	hs.RemoteAddr, hs.TLS = addr, state
	if o.OnConnect == nil {
		return hs, nil
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	principal, err := s.ask(ctx, hs)
	var e *StatusError
	switch {
	case errors.As(err, &e):
		return nil, e
	case ctx.Err() != nil:
		return nil, &StatusError{Status: http.StatusServiceUnavailable, Reason: http.StatusText(http.StatusServiceUnavailable)}
	case err == nil:
		hs.Principal = principal
		return hs, nil
	}
	return nil, &StatusError{Status: http.StatusForbidden, Reason: http.StatusText(http.StatusForbidden)}
}

// ask calls the OnConnect hook. A panic there refuses the connection with 500.
func (s *Server) ask(ctx context.Context, hs *Handshake) (principal any, err error) {
	defer func() {
		if recover() != nil {
			err = Refuse(http.StatusInternalServerError, "")
		}
	}()
	return s.sh.opts.OnConnect(ctx, hs)
}

// upgrade answers 101 and starts the connection. It ends what enter began.
func (s *Server) upgrade(sh *shard, via carrier, ip *ipCount, head, rest []byte, hs *Handshake) error {
	answer, err := appendUpgrade(nil, head, hs)
	if err != nil {
		return err
	}
	if _, err := via.Write(answer); err != nil {
		return err
	}
	if n, ok := via.(netCarrier); ok {
		s.mu.Lock()
		delete(s.pending, n.Conn) // Shutdown must not hurry it any more
		s.mu.Unlock()
	}
	if err := via.answered(); err != nil {
		return err
	}
	c := newConn(sh, via, false, hs.Subprotocol)
	c.ip, c.deflate = ip, hs.Deflate
	defer s.opened(nil)
	var h Handler
	defer func() {
		if h == nil { // accept has panicked, which net/http survives
			h = nobody{}
			c.Cut()
		}
		c.start(h, rest)
	}()
	h = s.accept(c, hs)
	if s.isClosed() { // Shutdown may have looked before the connection was there
		c.Close(CloseGoingAway, "going away")
	}
	return nil
}

// nobody is the Handler of a connection that has none.
type nobody struct{}

func (nobody) OnMessage(*Conn, Op, []byte) {}
func (nobody) OnReadDone(*Conn)            {}
func (nobody) OnClose(*Conn, *CloseError)  {}

// ServeHTTP upgrades a request that net/http, or a router behind it, has read.
// The checks are those of Serve. It returns when the connection has started;
// nothing of net/http stays in use.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	deadline := time.Now().Add(s.sh.opts.HandshakeTimeout)
	addr := httpAddr(r)
	ip, refusal := s.enter(nil, addr)
	if refusal != nil {
		s.refuseHTTP(w, refusal)
		return
	}
	err := errQuit // unless the hook returns
	defer func() {
		if err == nil {
			return
		}
		s.leave(ip)
		s.opened(nil)
		var e *StatusError
		if errors.As(err, &e) {
			s.refuseHTTP(w, e)
		} else {
			s.sh.stats().refused.Add(1)
		}
	}()
	head := appendRequestHead(nil, r)
	hs, failed := s.check(head, addr, r.TLS, deadline)
	if failed != nil {
		err = failed
		return
	}
	err = nil // if accept ends the goroutine, upgrade sees to it
	err = s.hijack(w, ip, head, hs, deadline)
}

func (s *Server) hijack(w http.ResponseWriter, ip *ipCount, head []byte, hs *Handshake, deadline time.Time) error {
	nc, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return &StatusError{Status: http.StatusInternalServerError, Reason: "this server cannot upgrade connections"}
	}
	nc.SetDeadline(deadline) //nolint:errcheck // upgrade clears it, and fails if it cannot
	rest, _ := rw.Reader.Peek(rw.Reader.Buffered())
	if err := s.upgrade(s.sh.pick(), netCarrier{nc}, ip, head, rest, hs); err != nil {
		nc.Close() //nolint:errcheck // the peer has gone
		return err
	}
	return nil
}

func (s *Server) refuseHTTP(w http.ResponseWriter, e *StatusError) {
	s.sh.stats().refused.Add(1)
	status, body := e.Status, e.Reason
	if status < 300 || status > 599 { // as appendRefusal has it
		status, body = http.StatusInternalServerError, ""
	}
	if body == "" {
		body = http.StatusText(status)
	}
	for k, v := range e.Header {
		w.Header()[k] = v
	}
	w.Header().Set("Connection", "close")
	http.Error(w, body, status)
	// net/http reads the body that was announced before it closes the socket,
	// and would wait for it for ever.
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(lingerTimeout)) //nolint:errcheck // what cannot have a deadline is not a socket of net/http
}

// httpAddr returns the peer's address as net/http tells it.
func httpAddr(r *http.Request) net.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return textAddr(r.RemoteAddr)
	}
	return net.TCPAddrFromAddrPort(ap)
}

type textAddr string

func (textAddr) Network() string  { return "" }
func (a textAddr) String() string { return string(a) }

// Shutdown stops accepting, closes every connection with 1001 (going away)
// and waits until all are gone. When ctx is done first, it cuts what is left
// and returns an error that says how many that were.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	for l := range s.listeners {
		l.Close() //nolint:errcheck // Serve sees it
	}
	for nc := range s.pending {
		nc.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // a Conn without deadlines is cut below
	}
	s.mu.Unlock()
	s.polled.hurry()

	s.sh.rest()
	for _, c := range s.sh.all() {
		c.Close(CloseGoingAway, "going away")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.opening.Wait()
		s.sh.empty()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	left := s.conns
	for nc := range s.pending {
		go nc.Close() //nolint:errcheck // a foreign Close may wait
	}
	s.mu.Unlock()
	for _, c := range s.sh.all() {
		c.Cut()
	}
	if left == 0 {
		return nil
	}
	return fmt.Errorf("transport: shutdown: %d connections did not close in time: %w", left, ctx.Err())
}

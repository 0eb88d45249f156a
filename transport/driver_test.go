package transport_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// hasPoll says that DriverAuto means DriverPoll here.
const hasPoll = runtime.GOOS == "linux"

// patience is how long anything may take that must happen.
const patience = 20 * time.Second

// until waits until cond holds.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for begin := time.Now(); !cond(); wait(t) {
		if time.Since(begin) > patience {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// receive returns what comes out of ch.
func receive[T any](t testing.TB, what string, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("%s: not within %v", what, patience)
	}
	return v
}

// ended waits for OnClose, as end does, but not for ever.
func (r *recorder) ended(t testing.TB) *transport.CloseError {
	t.Helper()
	receive(t, "OnClose", r.closed)
	return r.end(t)
}

// got waits for n messages, as wait does, but not for ever.
func (r *recorder) got(t testing.TB, n int) []message {
	t.Helper()
	until(t, "messages", func() bool { return len(r.messages()) >= n || r.closeError() != nil })
	return r.wait(t, n)
}

// meeter returns a server that hands over its connections, and what they are
// told.
func meeter(t testing.TB, o *transport.Options) (*transport.Server, <-chan met) {
	t.Helper()
	conns := make(chan met, 1000)
	return acceptServer(t, func(c *transport.Conn, _ *transport.Handshake) transport.Handler {
		rec := newRecorder()
		conns <- met{c, rec}
		return rec
	}, o), conns
}

type met struct {
	*transport.Conn
	rec *recorder
}

// rawServer opens a client connection over TCP to a raw server: the peer that is
// returned.
func rawServer(t testing.TB, d *transport.Dialer, h transport.Handler) (*transport.Conn, *peer) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answered := make(chan *peer, 1)
	go func() {
		defer close(answered)
		nc, err := l.Accept()
		if err != nil {
			return
		}
		_ = nc.SetDeadline(time.Now().Add(patience))
		p := &peer{t: t, nc: nc, r: bufio.NewReader(nc)}
		req, err := http.ReadRequest(p.r)
		if err != nil {
			return
		}
		_, _ = io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
			"Sec-WebSocket-Accept: "+acceptKey(req.Header.Get("Sec-Websocket-Key"))+"\r\n\r\n")
		answered <- p
	}()
	c, err := d.Dial(t.Context(), "ws://"+l.Addr().String()+"/", h)
	if err != nil {
		t.Fatal(err)
	}
	p := receive(t, "the server's end", answered)
	t.Cleanup(func() { _ = p.nc.Close() })
	return c, p
}

// Verify which driver a server has, and which names are refused.
func TestDriverNames(t *testing.T) {
	auto := transport.DriverGoroutine
	if hasPoll {
		auto = transport.DriverPoll
	}
	for _, tt := range []struct {
		driver, want transport.Driver
		fails        bool
	}{
		{transport.DriverAuto, auto, false},
		{transport.DriverGoroutine, transport.DriverGoroutine, false},
		{transport.DriverPoll, transport.DriverPoll, !hasPoll},
		{"auto", "", true},
		{"Poll", "", true},
		{"io_uring", "", true},
	} {
		s, err := transport.NewServer(func(*transport.Conn, *transport.Handshake) transport.Handler { return discarder{} },
			&transport.Options{Driver: tt.driver})
		if (err != nil) != tt.fails {
			t.Errorf("%q: %v", tt.driver, err)
		}
		if err == nil && s.Stats().Driver != tt.want {
			t.Errorf("%q is %q, want %q", tt.driver, s.Stats().Driver, tt.want)
		}
	}
}

// TestDriverOf looks at what serves connections that come in each way, at either
// end.
func TestDriverOf(t *testing.T) {
	cert, pool := selfSigned(t)
	conf := &tls.Config{Certificates: []tls.Certificate{cert}}
	mount := func(t *testing.T, s *transport.Server, secure bool) string {
		hs := httptest.NewUnstartedServer(s)
		t.Cleanup(hs.Close)
		if secure {
			hs.TLS = conf.Clone()
			hs.StartTLS()
			return "wss://" + hs.Listener.Addr().String()
		}
		hs.Start()
		return "ws://" + hs.Listener.Addr().String()
	}
	ways := map[string]struct {
		tls   *tls.Config
		polls bool
		dial  func(t *testing.T, d *transport.Dialer, s *transport.Server) (url string) // or it sets NetDial
	}{
		"TCP":         {nil, true, func(t *testing.T, _ *transport.Dialer, s *transport.Server) string { return "ws://" + listenTCP(t, s) }},
		"TLS":         {conf, false, func(t *testing.T, _ *transport.Dialer, s *transport.Server) string { return "wss://" + listenTCP(t, s) }},
		"mounted":     {nil, true, func(t *testing.T, _ *transport.Dialer, s *transport.Server) string { return mount(t, s, false) }},
		"mounted TLS": {nil, false, func(t *testing.T, _ *transport.Dialer, s *transport.Server) string { return mount(t, s, true) }},
		"net.Pipe": {nil, false, func(_ *testing.T, d *transport.Dialer, s *transport.Server) string {
			near, far := net.Pipe()
			s.ServeConn(far)
			d.NetDial = netDial(near)
			return "ws://pipe"
		}},
		"Unix": {nil, false, func(t *testing.T, d *transport.Dialer, s *transport.Server) string {
			l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
			if err != nil {
				t.Skip(err)
			}
			done := make(chan error, 1)
			go func() { done <- s.Serve(l) }()
			t.Cleanup(func() { shutdown(t, s); <-done })
			d.NetDial = func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", l.Addr().String())
			}
			return "ws://unix"
		}},
		"TCP in a wrapper": {nil, false, func(t *testing.T, d *transport.Dialer, s *transport.Server) string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			d.NetDial = func(ctx context.Context, _, _ string) (net.Conn, error) {
				nc, err := new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
				if err != nil {
					return nil, err
				}
				far, err := l.Accept()
				if err != nil {
					return nil, err
				}
				s.ServeConn(struct{ net.Conn }{far})
				return struct{ net.Conn }{nc}, nil
			}
			return "ws://wrapped"
		}},
	}
	for _, driver := range []transport.Driver{transport.DriverAuto, transport.DriverGoroutine} {
		for name, way := range ways {
			t.Run(name+" "+string(driver), func(t *testing.T) {
				opts := &transport.Options{Driver: driver, TLSConfig: way.tls}
				s, conns := meeter(t, opts)
				d := &transport.Dialer{Options: opts, TLSConfig: &tls.Config{RootCAs: pool}}
				rec := newRecorder()
				url := way.dial(t, d, s)
				c, err := d.Dial(t.Context(), url, rec)
				if err != nil {
					t.Fatal(err)
				}
				m := receive(t, "the connection", conns)
				until(t, "the start", func() bool { return s.Stats().Accepted == 1 })
				want, polled := transport.DriverGoroutine, 0
				if way.polls && driver == transport.DriverAuto && hasPoll {
					want, polled = transport.DriverPoll, 1
				}
				if m.Driver() != want || c.Driver() != want {
					t.Errorf("server's end has %q, client's %q, want %q", m.Driver(), c.Driver(), want)
				}
				tcp := transport.DriverGoroutine
				if driver == transport.DriverAuto && hasPoll {
					tcp = transport.DriverPoll
				}
				for end, st := range map[string]transport.Stats{"server": s.Stats(), "dialer": d.Stats()} {
					if st.Driver != tcp || st.Polled != polled || st.Accepted != 1 {
						t.Errorf("%s: %+v", end, st)
					}
				}
				for _, end := range []*transport.Conn{m.Conn, c} {
					if err := end.SendText("Hello"); err != nil {
						t.Error(err)
					}
				}
				m.rec.got(t, 1)
				rec.got(t, 1)
				c.Close(1000, "")
				rec.ended(t)
				m.rec.ended(t)
				until(t, "the end", func() bool {
					s, d := s.Stats(), d.Stats()
					return s.Conns == 0 && s.Polled == 0 && d.Conns == 0 && d.Polled == 0
				})
				if m.Driver() != want || c.Driver() != want {
					t.Error("another driver after the end")
				}
			})
		}
	}
}

// Verify that RemoteAddr answers the same before and after the end.
func TestRemoteAddr(t *testing.T) {
	for _, driver := range []transport.Driver{transport.DriverAuto, transport.DriverGoroutine} {
		for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
			t.Run(addr+" "+string(driver), func(t *testing.T) {
				l, err := net.Listen("tcp", addr)
				if err != nil {
					t.Skip(err)
				}
				s, conns := meeter(t, &transport.Options{Driver: driver})
				done := make(chan error, 1)
				go func() { done <- s.Serve(l) }()
				p := dialPeerTCP(t, l.Addr().String())
				m := receive(t, "the connection", conns)
				check := func(when string) {
					t.Helper()
					if got, want := m.RemoteAddr(), p.nc.LocalAddr(); got.Network() != "tcp" || got.String() != want.String() {
						t.Errorf("%s: %v, want %v", when, got, want)
					}
				}
				check("open")
				_ = p.nc.Close()
				m.rec.ended(t)
				check("in OnClose")
				shutdown(t, s)
				check("gone")
				receive(t, "the end of Serve", done)
			})
		}
	}
}

package transport_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/transport"
)

// selfSigned returns a certificate for 127.0.0.1, and a pool that trusts it.
func selfSigned(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// echoOnce sends messages of several sizes over c and waits for their echo.
func echoOnce(t *testing.T, c *transport.Conn, rec *recorder) {
	t.Helper()
	want := []message{text("Hello"), binaryMsg(""), text(strings.Repeat("x", 60_000))}
	for _, m := range want {
		if err := c.Send(m.Op, []byte(m.Data)); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, rec.wait(t, len(want))); diff != "" {
		t.Errorf("(-want +got):\n%.2000s", diff)
	}
	c.Close(1000, "")
	if err := rec.end(t); err.Code != 1000 {
		t.Errorf("OnClose with %v", err)
	}
}

// TestServe echoes over each way that a connection can come to a server.
func TestServe(t *testing.T) {
	cert, pool := selfSigned(t)
	trusting := &tls.Config{RootCAs: pool}
	prefix := func(s *transport.Server) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/deep/", http.StripPrefix("/deep", s))
		return mux
	}
	tests := []struct {
		name  string
		opts  transport.Options
		path  string
		serve func(t *testing.T, s *transport.Server) (url string)
		tls   *tls.Config
	}{
		{name: "TCP", path: "/a?b=c", serve: func(t *testing.T, s *transport.Server) string { return "ws://" + listenTCP(t, s) }},
		{name: "TLS", path: "/a?b=c", opts: transport.Options{TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}, tls: trusting,
			serve: func(t *testing.T, s *transport.Server) string { return "wss://" + listenTCP(t, s) }},
		{name: "net/http", path: "/a?b=c", serve: func(t *testing.T, s *transport.Server) string {
			hs := httptest.NewServer(s)
			t.Cleanup(hs.Close)
			return "ws://" + hs.Listener.Addr().String()
		}},
		{name: "net/http with TLS", path: "/a?b=c", tls: trusting, serve: func(t *testing.T, s *transport.Server) string {
			hs := httptest.NewUnstartedServer(s)
			hs.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
			hs.StartTLS()
			t.Cleanup(hs.Close)
			return "wss://" + hs.Listener.Addr().String()
		}},
		{name: "net/http that speaks HTTP/2 too", path: "/a?b=c", tls: trusting, serve: func(t *testing.T, s *transport.Server) string {
			hs := httptest.NewUnstartedServer(s)
			hs.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
			hs.EnableHTTP2 = true
			hs.StartTLS()
			t.Cleanup(hs.Close)
			return "wss://" + hs.Listener.Addr().String()
		}},
		{name: "prefix of a mux", path: "/deep/a?b=c", serve: func(t *testing.T, s *transport.Server) string {
			hs := httptest.NewServer(prefix(s))
			t.Cleanup(hs.Close)
			return "ws://" + hs.Listener.Addr().String()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			echo, seen := newEcho(), make(chan *transport.Handshake, 1)
			tt.opts.Subprotocols = []string{"v2", "v1"}
			tt.opts.OnConnect = func(_ context.Context, hs *transport.Handshake) (any, error) {
				return "principal of " + hs.Header.Get("X-User"), nil
			}
			s := acceptServer(t, func(c *transport.Conn, hs *transport.Handshake) transport.Handler {
				if c.Subprotocol() != hs.Subprotocol || c.RemoteAddr().String() != hs.RemoteAddr.String() {
					t.Errorf("Conn says %q and %v, Handshake %q and %v", c.Subprotocol(), c.RemoteAddr(), hs.Subprotocol, hs.RemoteAddr)
				}
				seen <- hs
				return echo
			}, &tt.opts)
			url := tt.serve(t, s)
			rec := newRecorder()
			d := &transport.Dialer{TLSConfig: tt.tls, Subprotocols: []string{"v1", "v0"}, Header: http.Header{"X-User": {"alice"}}}
			c, err := d.Dial(t.Context(), url+tt.path, rec)
			if err != nil {
				t.Fatal(err)
			}
			hs := <-seen
			path, _, _ := strings.Cut(tt.path, "?")
			if hs.Path != path || hs.RawQuery != "b=c" || hs.Subprotocol != "v1" || hs.Principal != "principal of alice" || (hs.TLS != nil) != (tt.tls != nil) {
				t.Errorf("handshake %+v", hs)
			}
			if c.Subprotocol() != "v1" {
				t.Errorf("client has subprotocol %q", c.Subprotocol())
			}
			echoOnce(t, c, rec)
			echo.end(t)
			shutdown(t, s)
			if st := s.Stats(); st.Accepted != 1 || st.MessagesIn != 3 || st.FramesIn != 4 || st.FramesOut != 3 || st.ClosedNormal != 1 || st.Conns != 0 || st.Driver == "" {
				t.Errorf("server: %+v", st)
			}
			if st := d.Stats(); st.Accepted != 1 || st.MessagesIn != 3 || st.FramesOut != 3 {
				t.Errorf("dialer: %+v", st)
			}
		})
	}
}

// Verify that only HTTP/1.1 is offered in ALPN.
func TestALPN(t *testing.T) {
	cert, pool := selfSigned(t)
	_, addr := serveTCP(t, newRecorder(), &transport.Options{TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}})
	nc, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if p := nc.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
		t.Errorf("negotiated %q", p)
	}
}

// Verify that a request over HTTP/2 is refused.
func TestHTTP2Refused(t *testing.T) {
	s := newServer(t, newRecorder(), nil)
	hs := httptest.NewUnstartedServer(s)
	hs.EnableHTTP2 = true
	hs.StartTLS()
	defer hs.Close()
	resp, err := hs.Client().Get(hs.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusHTTPVersionNotSupported {
		t.Errorf("%s over %s", resp.Status, resp.Proto)
	}
	if n := s.Stats().Refused; n != 1 {
		t.Errorf("%d refused", n)
	}
}

// Verify that frames in the same packet as the handshake are not lost.
func TestFramesBehindHandshake(t *testing.T) {
	frames := cat(masked(fin|opText, "first"), masked(opText, "sec"), masked(fin|opCont, "ond"), masked(fin|opText, "third")[:3])
	end := masked(fin|opText, "third")[3:]
	for name, serve := range map[string]func(t *testing.T, s *transport.Server) (addr string){
		"raw": func(t *testing.T, s *transport.Server) string { return listenTCP(t, s) },
		"mounted": func(t *testing.T, s *transport.Server) string {
			hs := httptest.NewServer(s)
			t.Cleanup(hs.Close)
			return hs.Listener.Addr().String()
		},
	} {
		t.Run(name, func(t *testing.T) {
			rec := newRecorder()
			s := newServer(t, rec, nil)
			nc, err := net.Dial("tcp", serve(t, s))
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if _, err := nc.Write(cat(upgradeRequest("/"), frames)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]message{text("first"), text("second")}, rec.wait(t, 2)); diff != "" {
				t.Error(diff)
			}
			if _, err := nc.Write(end); err != nil {
				t.Fatal(err)
			}
			if got := rec.wait(t, 3); got[2] != text("third") {
				t.Errorf("got %v", got[2])
			}
			_ = nc.Close()
			rec.end(t)
			shutdown(t, s)
		})
	}
}

// Verify that frames in the same packet as a server's answer are not lost, and
// that a server may send at once.
func TestGreeting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sr, cr := newRecorder(), newRecorder()
		s := acceptServer(t, func(c *transport.Conn, _ *transport.Handshake) transport.Handler {
			_ = c.SendText("welcome")
			return sr
		}, nil)
		c, err := new(transport.Dialer).Pipe(t.Context(), s, "/", cr)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]message{text("welcome")}, cr.wait(t, 1)); diff != "" {
			t.Error(diff)
		}
		c.Close(1000, "")
		sr.end(t)
		cr.end(t)
	})
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go func() {
			req, err := http.ReadRequest(bufio.NewReader(near))
			if err != nil {
				t.Error(err)
				return
			}
			answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
				"Sec-WebSocket-Accept: " + acceptKey(req.Header.Get("Sec-Websocket-Key")) + "\r\n\r\n"
			_, _ = near.Write(cat([]byte(answer), plain(fin|opText, "welcome")))
		}()
		rec := newRecorder()
		c, err := dialerOver(far, nil).Dial(t.Context(), "ws://pipe", rec)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]message{text("welcome")}, rec.wait(t, 1)); diff != "" {
			t.Error(diff)
		}
		c.Cut()
		rec.end(t)
	})
}

// status opens a connection and returns the status of the refusal, or 101.
func status(t testing.TB, s *transport.Server, d *transport.Dialer) (int, *transport.Conn) {
	t.Helper()
	c, err := d.Pipe(t.Context(), s, "/", newRecorder())
	if err == nil {
		return http.StatusSwitchingProtocols, c
	}
	var refused *transport.StatusError
	if !errors.As(err, &refused) {
		t.Fatalf("dial: %v, want a StatusError", err)
	}
	return refused.Status, nil
}

// TestOnConnect looks at what a client is told when the hook refuses.
func TestOnConnect(t *testing.T) {
	tests := []struct {
		name string
		hook func(ctx context.Context) error
		want int
		text string
	}{
		{"accepted", func(context.Context) error { return nil }, 101, ""},
		{"401", func(context.Context) error { return transport.Refuse(401, "who are you") }, 401, "who are you"},
		{"403", func(context.Context) error { return transport.Refuse(403, "") }, 403, "Forbidden"},
		{"429", func(context.Context) error { return transport.Refuse(429, "slow down") }, 429, "slow down"},
		{"503", func(context.Context) error { return transport.Refuse(503, "") }, 503, "Service Unavailable"},
		{"wrapped", func(context.Context) error {
			return errors.Join(errors.New("secret"), transport.Refuse(401, "who are you"))
		}, 401, "who are you"},
		{"status that is no refusal", func(context.Context) error { return transport.Refuse(200, "secret") }, 500, "Internal Server Error"},
		{"no status at all", func(context.Context) error { return &transport.StatusError{Reason: "secret"} }, 500, "Internal Server Error"},
		{"any error", func(context.Context) error { return errors.New("secret") }, 403, "Forbidden"},
		{"too slow", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 503, "Service Unavailable"},
		{"too slow, and does not see it", func(ctx context.Context) error { <-ctx.Done(); return nil }, 503, "Service Unavailable"},
		{"too slow, and refuses", func(ctx context.Context) error { <-ctx.Done(); return transport.Refuse(401, "who are you") }, 401, "who are you"},
	}
	for _, tt := range tests {
		opts := &transport.Options{
			OnConnect:        func(ctx context.Context, _ *transport.Handshake) (any, error) { return nil, tt.hook(ctx) },
			HandshakeTimeout: 100 * time.Millisecond,
		}
		check := func(t *testing.T, resp *http.Response, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tt.want {
				t.Errorf("%s, want %d", resp.Status, tt.want)
			}
			if tt.want == http.StatusSwitchingProtocols {
				return
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Error(err)
			}
			if got := strings.TrimSpace(string(body)); got != tt.text || !resp.Close {
				t.Errorf("text %q, want %q; closing: %v", got, tt.text, resp.Close)
			}
		}
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := newRecorder()
				s := newServer(t, rec, opts)
				near, far := net.Pipe()
				s.ServeConn(far)
				_, _ = near.Write(upgradeRequest("/"))
				resp, err := http.ReadResponse(bufio.NewReader(near), nil)
				check(t, resp, err)
				synctest.Wait()
				_ = near.Close()
				if err := s.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
				if st := s.Stats(); st.Accepted+st.Refused != 1 || st.Conns != 0 {
					t.Errorf("%+v", st)
				}
			})
		})
		t.Run(tt.name+", mounted", func(t *testing.T) {
			s := newServer(t, newRecorder(), opts)
			hs := httptest.NewServer(s)
			defer hs.Close()
			nc, err := net.Dial("tcp", hs.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			_, _ = nc.Write(upgradeRequest("/"))
			resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
			check(t, resp, err)
			_ = nc.Close()
			shutdown(t, s)
		})
	}
}

// Verify that MaxConns counts handshakes and connections, answers 503 beyond
// them, and has room again when one has gone.
func TestMaxConns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := acceptServer(t, func(*transport.Conn, *transport.Handshake) transport.Handler { return newRecorder() },
			&transport.Options{MaxConns: 2})
		d := new(transport.Dialer)
		near, far := net.Pipe()
		s.ServeConn(far) // says nothing
		code, c := status(t, s, d)
		if code != 101 {
			t.Fatalf("status %d", code)
		}
		for range 3 {
			if code, _ := status(t, s, d); code != 503 {
				t.Errorf("status %d above the limit, want 503", code)
			}
		}
		_ = near.Close()
		c.Close(1000, "")
		synctest.Wait()
		for range 2 {
			if code, _ := status(t, s, d); code != 101 {
				t.Errorf("status %d after the others have gone, want 101", code)
			}
		}
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if st := s.Stats(); st.Accepted != 3 || st.Refused != 4 {
			t.Errorf("%+v", st)
		}
	})
}

// Verify that MaxConnsPerIP answers 429, raw and mounted, and that a
// connection is counted out under the address it was counted in with, even if a
// middleware has put another one in its place.
func TestMaxConnsPerIP(t *testing.T) {
	for name, serve := range map[string]func(t *testing.T, s *transport.Server) (addr string){
		"raw": func(t *testing.T, s *transport.Server) string { return listenTCP(t, s) },
		"mounted": func(t *testing.T, s *transport.Server) string {
			hs := httptest.NewServer(s)
			t.Cleanup(hs.Close)
			return hs.Listener.Addr().String()
		},
		"behind a proxy": func(t *testing.T, s *transport.Server) string {
			hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.RemoteAddr = "[2001:db8::1]:1234"
				s.ServeHTTP(w, r)
			}))
			t.Cleanup(hs.Close)
			return hs.Listener.Addr().String()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := acceptServer(t, func(*transport.Conn, *transport.Handshake) transport.Handler { return newRecorder() },
				&transport.Options{MaxConnsPerIP: 2})
			url := "ws://" + serve(t, s)
			for range 3 {
				var conns []*transport.Conn
				var recs []*recorder
				for range 2 {
					rec := newRecorder()
					c, err := transport.Dial(t.Context(), url, rec)
					if err != nil {
						t.Fatal(err)
					}
					conns, recs = append(conns, c), append(recs, rec)
				}
				_, err := transport.Dial(t.Context(), url, newRecorder())
				var refused *transport.StatusError
				if !errors.As(err, &refused) || refused.Status != http.StatusTooManyRequests {
					t.Errorf("third: %v, want 429", err)
				}
				for i, c := range conns {
					c.Close(1000, "")
					recs[i].end(t)
				}
				for s.Stats().Conns > 0 { // the server sees the end a moment later
					wait(t)
				}
			}
			shutdown(t, s)
		})
	}
}

// wait lets some time pass in a loop that waits for something that can only be
// asked for.
func wait(t testing.TB) {
	t.Helper()
	select {
	case <-time.After(time.Millisecond):
	case <-t.Context().Done():
	}
}

// Verify that a peer which does not finish its request is cut at
// HandshakeTimeout, whatever it drips.
func TestHandshakeTimeout(t *testing.T) {
	for name, drip := range map[string]time.Duration{"silent": time.Hour, "dripping": 100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, newRecorder(), &transport.Options{HandshakeTimeout: 3 * time.Second})
				near, far := net.Pipe()
				start := time.Now()
				s.ServeConn(far)
				stop := make(chan struct{})
				go func() {
					for _, b := range bytewise(upgradeRequest("/")) {
						select {
						case <-time.After(drip):
						case <-stop:
							return
						}
						_, _ = near.Write(b)
					}
				}()
				if _, err := near.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("read: %v", err)
				}
				if d := time.Since(start); d != 3*time.Second {
					t.Errorf("cut after %v", d)
				}
				close(stop)
				if err := s.Shutdown(context.Background()); err != nil {
					t.Error(err)
				}
				if st := s.Stats(); st.Refused != 1 || st.Accepted != 0 {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

// Verify that "no limit" for the request head is a limit, and no panic.
func TestUnlimitedHandshakeBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		s := newServer(t, rec, &transport.Options{MaxHandshakeBytes: -1})
		near, far := net.Pipe()
		s.ServeConn(far)
		go func() { _, _ = near.Write(upgradeRequest("/" + strings.Repeat("x", 100_000))) }()
		resp, err := http.ReadResponse(bufio.NewReader(near), nil)
		if err != nil || resp.StatusCode != 101 {
			t.Errorf("%v, %v", resp, err)
		}
		synctest.Wait()
		_ = near.Close()
		rec.end(t)
	})
}

// Verify that a dial gives up when its context is done, and at HandshakeTimeout.
func TestDialTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		near, far := net.Pipe()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := dialerOver(far, nil).Dial(ctx, "ws://pipe/", newRecorder()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial: %v", err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("after %v", d)
		}
		_ = near.Close()

		near, far = net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, near) }()
		start = time.Now()
		if _, err := dialerOver(far, &transport.Options{HandshakeTimeout: 2 * time.Second}).Dial(t.Context(), "ws://pipe/", newRecorder()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial: %v", err)
		}
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

// Verify that a response which is no HTTP does not pass for a refusal.
func TestDialNoHTTP(t *testing.T) {
	for name, answer := range map[string]string{
		"bare LF":  "HTTP/1.1 101 Switching Protocols\n\n",
		"too long": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 10_000),
		"garbage":  "\x16\x03\x01\x02\x00\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				go func() {
					_, _ = http.ReadRequest(bufio.NewReader(near))
					_, _ = io.WriteString(near, answer)
				}()
				_, err := dialerOver(far, nil).Dial(t.Context(), "ws://pipe/", newRecorder())
				var refused *transport.StatusError
				if err == nil || errors.As(err, &refused) {
					t.Errorf("dial: %#v", err)
				}
			})
		})
	}
}

// Verify that Shutdown closes every connection with 1001, waits for them, and
// can be called again; and what comes afterwards is refused.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 50
		var recs, peers []*recorder
		s := acceptServer(t, func(*transport.Conn, *transport.Handshake) transport.Handler {
			rec := newRecorder()
			recs = append(recs, rec) // one dial at a time
			return rec
		}, nil)
		for range n {
			rec := newRecorder()
			if _, err := new(transport.Dialer).Pipe(t.Context(), s, "/", rec); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			peers = append(peers, rec)
		}
		errs := make(chan error)
		for range 2 {
			go func() { errs <- s.Shutdown(context.Background()) }()
		}
		for range 2 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		for i := range n {
			if err := recs[i].closeError(); err == nil || err.Code != 1001 || err.Remote {
				t.Errorf("server: OnClose with %v when Shutdown returned", err)
			}
			if err := peers[i].end(t); err.Code != 1001 || !err.Remote {
				t.Errorf("client: OnClose with %v", err)
			}
		}
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if st := s.Stats(); st.Conns != 0 || st.ClosedGoingAway != n {
			t.Errorf("%+v", st)
		}
		if code, _ := status(t, s, new(transport.Dialer)); code != http.StatusServiceUnavailable {
			t.Errorf("dial after Shutdown: %d, want 503", code)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("request after Shutdown: %d, want 503", w.Code)
		}
	})
}

// Verify that Serve returns ErrServerClosed when Shutdown is called, and at once
// after it, with its listener closed.
func TestServeAfterShutdown(t *testing.T) {
	s := newServer(t, newRecorder(), nil)
	listenTCP(t, s) // its cleanup looks at the error of Serve
	shutdown(t, s)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(l); !errors.Is(err, transport.ErrServerClosed) {
		t.Errorf("Serve: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is still open: %v", err)
	}
	if err := s.ListenAndServe("127.0.0.1:0"); !errors.Is(err, transport.ErrServerClosed) {
		t.Errorf("ListenAndServe: %v", err)
	}
}

// Verify that Shutdown cuts what does not close until ctx is done, and says how
// many that were.
func TestShutdownStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		s := newServer(t, rec, nil)
		p := dialPeer(t, s) // never reads
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := s.Shutdown(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 connection") {
			t.Errorf("Shutdown: %v", err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("took %v", d)
		}
		rec.end(t)
		if err := s.Shutdown(context.Background()); err != nil {
			t.Errorf("second Shutdown: %v", err)
		}
		_ = p.nc.Close()
	})
}

// Verify that Shutdown does not wait for handshakes that go nowhere, and that a
// connection whose handshake ends meanwhile is closed with 1001.
func TestShutdownDuringHandshake(t *testing.T) {
	t.Run("silent peer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, newRecorder(), nil)
			near, far := net.Pipe()
			s.ServeConn(far)
			start := time.Now()
			if err := s.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			if d := time.Since(start); d != 0 {
				t.Errorf("took %v", d)
			}
			_ = near.Close()
		})
	})
	t.Run("accepting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			rec, accepting, goOn := newRecorder(), make(chan struct{}), make(chan struct{})
			s := acceptServer(t, func(*transport.Conn, *transport.Handshake) transport.Handler {
				close(accepting)
				<-goOn
				return rec
			}, nil)
			p := dialPeer(t, s)
			<-accepting
			done := make(chan error, 1)
			go func() { done <- s.Shutdown(context.Background()) }()
			synctest.Wait()
			select {
			case err := <-done:
				t.Errorf("Shutdown did not wait: %v", err)
			default:
			}
			close(goOn)
			if f := p.read(); f.closeCode() != 1001 {
				t.Errorf("got %v, want a close frame with 1001", f)
			}
			p.write(masked(fin|opClose, closing(1001, "")))
			if err := <-done; err != nil {
				t.Error(err)
			}
			rec.end(t)
		})
	})
}

// flakyListener fails with errors before it gives out a connection.
type flakyListener struct {
	errs  []error
	conns chan net.Conn
	calls atomic.Int32
	once  chan struct{}
}

func (l *flakyListener) Accept() (net.Conn, error) {
	if n := int(l.calls.Add(1)); n <= len(l.errs) {
		return nil, l.errs[n-1]
	}
	nc, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return nc, nil
}

func (l *flakyListener) Close() error {
	select {
	case <-l.once:
	default:
		close(l.once)
		close(l.conns)
	}
	return nil
}

func (l *flakyListener) Addr() net.Addr { return &net.TCPAddr{} }

// Verify that Serve survives a lack of descriptors, and does not spin meanwhile.
func TestAcceptBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		emfile := &net.OpError{Op: "accept", Err: syscall.EMFILE}
		l := &flakyListener{conns: make(chan net.Conn, 1), once: make(chan struct{})}
		for range 12 {
			l.errs = append(l.errs, emfile)
		}
		rec := newRecorder()
		s := newServer(t, rec, nil)
		start, served := time.Now(), make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		time.Sleep(time.Second)
		if n := l.calls.Load(); n < 5 || n > 10 {
			t.Errorf("%d attempts in the first second", n)
		}
		near, far := net.Pipe()
		l.conns <- far
		p := &peer{t: t, nc: near, r: bufio.NewReader(near)}
		p.upgrade()
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("accepted after %v", d)
		}
		synctest.Wait()
		hangUp(t, s, p)
		rec.end(t)
		if err := <-served; !errors.Is(err, transport.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Run("other errors end it", func(t *testing.T) {
		broken := errors.New("broken")
		l := &flakyListener{errs: []error{broken}, conns: make(chan net.Conn), once: make(chan struct{})}
		if err := newServer(t, newRecorder(), nil).Serve(l); !errors.Is(err, broken) {
			t.Errorf("Serve: %v", err)
		}
	})
}

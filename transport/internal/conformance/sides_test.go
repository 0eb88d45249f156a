package conformance_test

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + acceptGUID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// drivers are the drivers that work here.
func drivers() []transport.Driver {
	if runtime.GOOS != "linux" {
		return []transport.Driver{transport.DriverGoroutine}
	}
	return []transport.Driver{transport.DriverGoroutine, transport.DriverPoll}
}

// underTest is a Server on loopback. Each connection gets the handler that was
// left for its path.
type underTest struct {
	*transport.Server
	addr string

	mu       sync.Mutex
	handlers map[string]*handler
	n        int
}

// serve serves with these options until the test and its subtests end.
func serve(t *testing.T, o *transport.Options) *underTest {
	t.Helper()
	u := new(underTest)
	u.handlers = make(map[string]*handler)
	return u.serve(t, func(c *transport.Conn, hs *transport.Handshake) transport.Handler {
		u.mu.Lock()
		h := u.handlers[hs.Path]
		delete(u.handlers, hs.Path)
		u.mu.Unlock()
		if h == nil {
			panic("no handler for " + hs.Path)
		}
		if h.tc.open != nil {
			h.tc.open(c)
		}
		return h
	}, o)
}

func (u *underTest) serve(t *testing.T, accept transport.Accept, o *transport.Options) *underTest {
	t.Helper()
	s, err := transport.NewServer(accept, o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u.Server, u.addr = s, l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), caseTimeout)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, transport.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return u
}

// expect leaves a handler for the connection to the path that is returned.
func (u *underTest) expect(h *handler) (path string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.n++
	path = fmt.Sprintf("/%d", u.n)
	u.handlers[path] = h
	return path
}

// connect opens a connection of a peer, with an offer of extensions if there is
// one, and returns what the server answered to the offer.
func connect(addr, path, offer string) (p *peer, extensions []string, err error) {
	nc, err := net.DialTimeout("tcp", addr, caseTimeout)
	if err != nil {
		return nil, nil, err
	}
	nc.SetDeadline(time.Now().Add(caseTimeout))
	const key = "d2lyZXJvb20gY29uZm9ybQ=="
	req := "GET " + path + " HTTP/1.1\r\nHost: " + addr + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n"
	if offer != "" {
		req += "Sec-WebSocket-Extensions: " + offer + "\r\n"
	}
	fail := func(err error) (*peer, []string, error) {
		nc.Close()
		return nil, nil, err
	}
	if _, err := io.WriteString(nc, req+"\r\n"); err != nil {
		return fail(err)
	}
	br := bufio.NewReaderSize(nc, 32<<10)
	resp, err := http.ReadResponse(br, nil)
	switch {
	case err != nil:
		return fail(err)
	case resp.StatusCode != http.StatusSwitchingProtocols:
		return fail(fmt.Errorf("upgrade: %s", resp.Status))
	case resp.Header.Get("Sec-Websocket-Accept") != acceptOf(key):
		return fail(errors.New("upgrade: wrong Sec-WebSocket-Accept"))
	}
	return newPeer(nc.(*net.TCPConn), br, false), resp.Header["Sec-Websocket-Extensions"], nil
}

// TestServer runs the cases against a Server.
func TestServer(t *testing.T) {
	for _, driver := range drivers() {
		t.Run(string(driver), func(t *testing.T) {
			var ran counts
			var servers [numLimits]*underTest
			for l := range numLimits {
				o := l.options()
				o.Driver = driver
				servers[l] = serve(t, o)
			}
			t.Cleanup(func() {
				ran.log(t, fmt.Sprintf("server %s (served by %s)", driver, servers[0].Stats().Driver))
			})
			for _, tc := range allCases() {
				if tc.only == clientSide {
					continue
				}
				t.Run(tc.id+" "+tc.name, func(t *testing.T) {
					t.Parallel()
					u, h := servers[tc.limits], newHandler(&tc)
					p, extensions, err := connect(u.addr, u.expect(h), "")
					if err != nil {
						t.Fatal(err)
					}
					defer p.nc.Close()
					if len(extensions) > 0 {
						t.Fatalf("extensions %q without an offer", extensions)
					}
					if err := p.run(&tc); err != nil {
						t.Error(err)
						p.nc.Close()
					}
					h.check(t, tc.endCodes()...)
					ran.add(tc.id)
				})
			}
		})
	}
}

// rawServer takes one connection of a Dialer.
type rawServer struct {
	l *net.TCPListener
}

func listen(t *testing.T) *rawServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &rawServer{l.(*net.TCPListener)}
}

func (s *rawServer) url() string { return "ws://" + s.l.Addr().String() + "/conformance" }

// accept does the opening handshake. choose is given the offer of extensions and
// returns the answer, or "" for none.
func (s *rawServer) accept(choose func(offer string) string) (*peer, error) {
	s.l.SetDeadline(time.Now().Add(caseTimeout))
	nc, err := s.l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	nc.SetDeadline(time.Now().Add(caseTimeout))
	fail := func(err error) (*peer, error) {
		nc.Close()
		return nil, err
	}
	br := bufio.NewReaderSize(nc, 32<<10)
	req, err := http.ReadRequest(br)
	if err != nil {
		return fail(err)
	}
	h := req.Header
	key, err := base64.StdEncoding.Strict().DecodeString(h.Get("Sec-Websocket-Key"))
	if err != nil || len(key) != 16 {
		return fail(fmt.Errorf("key %q is not 16 octets", h.Get("Sec-Websocket-Key")))
	}
	if req.Method != http.MethodGet || req.Proto != "HTTP/1.1" || req.RequestURI != "/conformance" ||
		req.Host != s.l.Addr().String() || !strings.EqualFold(h.Get("Upgrade"), "websocket") ||
		!strings.EqualFold(h.Get("Connection"), "upgrade") || h.Get("Sec-Websocket-Version") != "13" {
		return fail(fmt.Errorf("request %s %s %s %v", req.Method, req.RequestURI, req.Proto, h))
	}
	answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + acceptOf(h.Get("Sec-Websocket-Key")) + "\r\n"
	if ext := choose(strings.Join(h["Sec-Websocket-Extensions"], ", ")); ext != "" {
		answer += "Sec-WebSocket-Extensions: " + ext + "\r\n"
	}
	if _, err := io.WriteString(nc, answer+"\r\n"); err != nil {
		return fail(err)
	}
	return newPeer(nc, br, true), nil
}

// dial opens a connection of d to a raw server. Either result may be an error.
func dial(t *testing.T, d *transport.Dialer, h *handler, choose func(offer string) string) (c *transport.Conn, p *peer, dialed, accepted error) {
	t.Helper()
	s := listen(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		p, accepted = s.accept(choose)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), caseTimeout)
	defer cancel()
	c, dialed = d.Dial(ctx, s.url(), h)
	<-done
	if p != nil {
		t.Cleanup(func() { p.nc.Close() })
	}
	return c, p, dialed, accepted
}

// TestClient runs the cases against the connections of a Dialer.
func TestClient(t *testing.T) {
	var ran counts
	t.Cleanup(func() { ran.log(t, "client") })
	var dialers [numLimits]*transport.Dialer
	for l := range numLimits {
		dialers[l] = &transport.Dialer{Options: l.options()}
	}
	for _, tc := range allCases() {
		if tc.only == serverSide {
			continue
		}
		t.Run(tc.id+" "+tc.name, func(t *testing.T) {
			t.Parallel()
			h := newHandler(&tc)
			c, p, err, accepted := dial(t, dialers[tc.limits], h, func(offer string) string {
				if offer != "" {
					t.Errorf("extensions %q are offered", offer)
				}
				return ""
			})
			if err != nil || accepted != nil {
				t.Fatal(err, accepted)
			}
			if tc.open != nil {
				tc.open(c)
			}
			if err := p.run(&tc); err != nil {
				t.Error(err)
				p.nc.Close()
			}
			h.check(t, tc.endCodes()...)
			ran.add(tc.id)
		})
	}
}

// TestCaseNumbers holds the numbers to be unique, and the cases to be as many as
// are said.
func TestCaseNumbers(t *testing.T) {
	seen := make(map[string]bool)
	server, client := 0, 0
	for _, tc := range allCases() {
		if seen[tc.id] {
			t.Errorf("two cases have the number %s", tc.id)
		}
		seen[tc.id] = true
		if tc.only != clientSide {
			server++
		}
		if tc.only != serverSide {
			client++
		}
	}
	if server < 250 || client < 100 {
		t.Errorf("%d cases for servers and %d for clients", server, client)
	}
}

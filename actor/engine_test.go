package actor_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
	"github.com/wireroom/wireroom/transport"
)

// line is a client over TCP that hands on text messages.
type line struct {
	conn *transport.Conn
	got  chan string
	end  chan *transport.CloseError
}

func (l *line) OnMessage(_ *transport.Conn, _ transport.Op, p []byte) { l.got <- string(p) }
func (l *line) OnReadDone(*transport.Conn)                            {}
func (l *line) OnClose(_ *transport.Conn, err *transport.CloseError)  { l.end <- err }
func newLine() *line {
	return &line{got: make(chan string, 1000), end: make(chan *transport.CloseError, 1)}
}
func (l *line) send(text string) error { return l.conn.SendText(text) }
func dialLine(ctx context.Context, d *transport.Dialer, url string) (*line, error) {
	l := newLine()
	var err error
	l.conn, err = d.Dial(ctx, url, l)
	return l, err
}

// next waits for the next message.
func (l *line) next(t testing.TB) string {
	t.Helper()
	select {
	case m := <-l.got:
		return m
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
		return ""
	}
}

// serveTCP serves e on a free port until the test ends.
func serveTCP(t testing.TB, e *actor.Engine) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	done := make(chan error, 1)
	go func() { done <- e.Serve(l) }()
	t.Cleanup(func() {
		shutdown(t, e)
		if err := <-done; !errors.Is(err, actor.ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// shutdown ends an engine, which may have ended already, within ten seconds.
func shutdown(t testing.TB, e *actor.Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil && !errors.Is(err, actor.ErrClosed) {
		t.Error(err)
	}
}

// unwrapping is a ResponseWriter as middlewares of chi and others make it: it
// leads to the one below by Unwrap only.
type unwrapping struct {
	below  http.ResponseWriter
	status int
}

func (w *unwrapping) Header() http.Header         { return w.below.Header() }
func (w *unwrapping) Write(b []byte) (int, error) { return w.below.Write(b) }
func (w *unwrapping) WriteHeader(status int)      { w.status = status; w.below.WriteHeader(status) }
func (w *unwrapping) Unwrap() http.ResponseWriter { return w.below }

// hijacking is one as gin makes it: it hijacks by itself.
type hijacking struct{ http.ResponseWriter }

func (w *hijacking) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.ResponseWriter.(http.Hijacker).Hijack()
}

// plain is one that cannot be hijacked.
type plain struct{ http.ResponseWriter }

// TestServe calls a method over each way in which an engine can be served.
func TestServe(t *testing.T) {
	engine := func(t *testing.T) *actor.Engine {
		e, _ := meetEngine(t, nil)
		check(t, actor.Handle(e, "add", func(_ context.Context, _ actor.WsSender, n []int) (int, error) { return n[0] + n[1], nil }))
		return e
	}
	behind := func(t *testing.T, h http.Handler) string {
		hs := httptest.NewServer(h)
		t.Cleanup(hs.Close)
		return hs.Listener.Addr().String()
	}
	serves := map[string]func(t *testing.T, e *actor.Engine) (addr string){
		"TCP": func(t *testing.T, e *actor.Engine) string { return serveTCP(t, e) },
		"net/http mux": func(t *testing.T, e *actor.Engine) string {
			mux := http.NewServeMux()
			mux.Handle("GET /ws", e)
			mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) { t.Error("wrong handler") })
			return behind(t, mux)
		},
		"wrapped as by chi": func(t *testing.T, e *actor.Engine) string {
			return behind(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				e.ServeHTTP(&unwrapping{below: &unwrapping{below: w}}, r)
			}))
		},
		"wrapped as by gin": func(t *testing.T, e *actor.Engine) string {
			return behind(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				e.ServeHTTP(&unwrapping{below: &hijacking{ResponseWriter: w}}, r)
			}))
		},
	}
	for name, serve := range serves {
		t.Run(name, func(t *testing.T) {
			e := engine(t)
			addr := serve(t, e)
			l, err := dialLine(t.Context(), new(transport.Dialer), "ws://"+addr+"/ws")
			check(t, err)
			check(t, l.send(`{"jsonrpc":"2.0","id":1,"method":"add","params":[[1,2]]}`))
			if got := l.next(t); got != `{"jsonrpc":"2.0","result":3,"id":1}` {
				t.Error(got)
			}
			shutdown(t, e)
			if end := <-l.end; end.Code != transport.CloseGoingAway {
				t.Error(end)
			}
		})
	}
}

// Verify that a server that cannot upgrade says so, and an ordinary request is
// refused, both through HTTP.
func TestServeHTTPRefuses(t *testing.T) {
	e, _ := meetEngine(t, nil)
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/plain" {
			w = &plain{w}
		}
		e.ServeHTTP(w, r)
	}))
	defer hs.Close()
	res, err := http.Get(hs.URL)
	check(t, err)
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	if res.StatusCode < 400 || res.StatusCode >= 500 {
		t.Errorf("an ordinary request: %s", res.Status)
	}
	_, err = dialLine(t.Context(), new(transport.Dialer), "ws://"+hs.Listener.Addr().String()+"/plain")
	var status *transport.StatusError
	if !errors.As(err, &status) || status.Status != http.StatusInternalServerError {
		t.Errorf("a writer that cannot be hijacked: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestListenAndServe listens by itself.
func TestListenAndServe(t *testing.T) {
	e, _ := meetEngine(t, nil)
	if err := e.ListenAndServe("127.0.0.1:no port"); err == nil || !strings.HasPrefix(err.Error(), "actor: listen: ") {
		t.Errorf("bad address: %v", err)
	}
	done := make(chan error)
	go func() { done <- e.ListenAndServe("127.0.0.1:0") }()
	shutdown(t, e)
	if err := <-done; !errors.Is(err, actor.ErrClosed) {
		t.Error(err)
	}
}

// TestTransportOnConnect asks the hook of the handshake.
func TestTransportOnConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := new(actor.Options)
		opts.Transport.OnConnect = func(ctx context.Context, hs *actor.Handshake) (any, error) {
			switch hs.Header.Get("X-User") {
			case "refused":
				return nil, actor.Refuse(http.StatusUnauthorized, "who are you")
			case "failed":
				return nil, errors.New("a secret")
			case "panicked":
				panic("another secret")
			case "slow":
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return "user " + hs.Header.Get("X-User"), nil
		}
		e, log := meetEngine(t, opts)
		check(t, actor.Handle(e, "me", func(context.Context, actor.WsSender, struct{}) (string, error) { return "", nil }))
		svc := new(principals)
		check(t, e.Register(svc))
		for user, want := range map[string]int{
			"refused": http.StatusUnauthorized, "failed": http.StatusForbidden,
			"panicked": http.StatusInternalServerError, "slow": http.StatusServiceUnavailable,
		} {
			_, err := actortest.TryConnect(t, e, actortest.Header("X-User", user))
			var status *transport.StatusError
			if user == "slow" && errors.Is(err, context.DeadlineExceeded) {
				continue // the client's own limit is the same
			}
			if !errors.As(err, &status) || status.Status != want || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v, want status %d", user, err, want)
			}
		}
		c := actortest.Connect(t, e, actortest.Header("X-User", "ada"), actortest.Path("/ws/deep?room=1"))
		var got []string
		check(t, c.Call("who_am_i", nil, &got))
		if diff := cmp.Diff([]string{"user ada", "/ws/deep", "1"}, got); diff != "" {
			t.Error(diff)
		}
		synctest.Wait()
		if ev := eventsOf[actor.CallPanicked](log); len(ev) != 1 || ev[0].Value != "another secret" || !ev[0].Sender.IsZero() {
			t.Errorf("events %+v", ev)
		}
		if st := e.Stats(); st.Refused != 4 || st.Panics != 1 || st.Accepted != 1 {
			t.Errorf("%d refused, %d panics, %d accepted", st.Refused, st.Panics, st.Accepted)
		}
	})
}

type principals struct{}

func (*principals) WhoAmI(hs *actor.Handshake) []string {
	return []string{hs.Principal.(string), hs.Path, hs.Query().Get("room")}
}

// TestNewFails makes engines of options that make no sense.
func TestNewFails(t *testing.T) {
	opts := new(actor.Options)
	opts.Transport.AllowedOrigins = []string{"not an origin"}
	if e, err := actor.New(opts); err == nil || e != nil || !strings.HasPrefix(err.Error(), "actor: new engine: ") {
		t.Error(e, err)
	}
}

// TestStats counts what clients do.
func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := meetEngine(t, nil)
		check(t, actor.Handle(e, "fail", func(context.Context, actor.WsSender, struct{}) (int, error) { return 0, errors.New("no") }))
		check(t, actor.Handle(e, "panic", func(context.Context, actor.WsSender, struct{}) (int, error) { panic("no") }))
		c, s := meet(t, e)
		for _, m := range []string{"fail", "panic", "nothing of that name"} {
			if err := c.Call(m, nil, nil); err == nil {
				t.Errorf("%s: no error", m)
			}
		}
		c.Send("{")
		c.Send(`{"jsonrpc":"2.0","id":7,"result":1}`)
		check(t, e.Room("r").Join(s))
		check(t, e.Room("r").BroadcastText("x"))
		c.ExpectText("x")
		synctest.Wait()
		st := e.Stats()
		got := map[string]uint64{
			"conns": uint64(st.Conns), "accepted": st.Accepted, "messages in": st.MessagesIn, "frames out": st.FramesOut,
			"calls": st.Calls, "errors": st.Errors, "panics": st.Panics, "unmatched": st.Unmatched,
			"rooms": uint64(st.Rooms), "broadcasts": st.Broadcasts, "deliveries": st.Deliveries, "busy": st.Busy, "dead": st.DeadLetters,
		}
		want := map[string]uint64{
			"conns": 1, "accepted": 1, "messages in": 6, "frames out": 6,
			"calls": 4, "errors": 4, "panics": 1, "unmatched": 1,
			"rooms": 1, "broadcasts": 1, "deliveries": 1, "busy": 0, "dead": 0,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		c.Close()
		synctest.Wait()
		if st := e.Stats(); st.Conns != 0 || st.ClosedNormal != 1 || st.Rooms != 0 {
			t.Errorf("%d conns, %d closed, %d rooms", st.Conns, st.ClosedNormal, st.Rooms)
		}
	})
}

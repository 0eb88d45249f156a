// Package actortest tests services without a network, as net/http/httptest does
// for handlers: an Engine that ends with the test, and virtual clients that are
// connected to it in memory, through the real handshake, frames, codecs and
// limits.
//
//	func TestGreets(t *testing.T) {
//		e := actortest.NewEngine(t, nil)
//		if err := e.Register(&Greeter{}); err != nil {
//			t.Fatal(err)
//		}
//		c := actortest.Connect(t, e)
//		var got string
//		if err := c.Call("greet", []any{"Ada"}, &got); err != nil {
//			t.Fatal(err)
//		}
//	}
//
// All of it works inside a testing/synctest bubble: minutes of silence, ping
// timeouts and slow consumers then take no time, and ExpectNothing is exact.
//
// A Client belongs to one test goroutine, like the testing.TB that it was made
// with; what fails ends the test with Fatal. Every wait ends after ten seconds.
package actortest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/codec"
	"github.com/wireroom/wireroom/transport"
)

// patience bounds every wait.
const patience = 10 * time.Second

// NewEngine returns an Engine that is shut down when the test ends; the test
// fails if something does not stop then. o may be nil. If it has no OnEvent,
// events from warnings upwards go to the log of the test.
func NewEngine(t testing.TB, o *actor.Options) *actor.Engine {
	t.Helper()
	opts := actor.Options{}
	if o != nil {
		opts = *o
	}
	var mu sync.Mutex
	over := false
	if opts.OnEvent == nil {
		opts.OnEvent = func(ev actor.Event) {
			level, msg, attrs := ev.Log()
			mu.Lock()
			defer mu.Unlock()
			if level >= slog.LevelWarn && !over {
				t.Logf("%s %s %v", level, msg, attrs)
			}
		}
	}
	e, err := actor.New(&opts)
	if err != nil {
		t.Fatalf("actortest: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil && err != actor.ErrClosed { //nolint:errorlint // Shutdown returns it bare
			t.Errorf("actortest: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		over = true
	})
	return e
}

// An Option says how a Client connects.
type Option func(*config)

type config struct {
	path   string
	dialer transport.Dialer
	codec  codec.Codec
}

// Path sets the request target; default "/ws".
func Path(path string) Option { return func(c *config) { c.path = path } }

// Header adds a field to the client's handshake.
func Header(name, value string) Option {
	return func(c *config) { c.dialer.Header.Add(name, value) }
}

// Msgpack makes the client speak MessagePack in binary frames, under the
// subprotocol wireroom.v1.msgpack.
func Msgpack() Option {
	return func(c *config) {
		c.codec = codec.Msgpack(nil)
		c.dialer.Subprotocols = []string{codec.SubprotocolMsgpack}
	}
}

// Subprotocols sets what the client offers; default is nothing, which means
// JSON.
func Subprotocols(names ...string) Option {
	return func(c *config) { c.dialer.Subprotocols = names }
}

// Limits sets the client's own limits.
func Limits(o *transport.Options) Option { return func(c *config) { c.dialer.Options = o } }

// Connect connects a new Client to e. It is closed when the test ends.
func Connect(t testing.TB, e *actor.Engine, opts ...Option) *Client {
	t.Helper()
	c, err := TryConnect(t, e, opts...)
	if err != nil {
		t.Fatalf("actortest: %v", err)
	}
	return c
}

// TryConnect is Connect for a handshake that may be refused; the error is a
// *transport.StatusError then.
func TryConnect(t testing.TB, e *actor.Engine, opts ...Option) (*Client, error) {
	t.Helper()
	cfg := &config{path: "/ws", codec: codec.JSON(nil)}
	cfg.dialer.Header = make(http.Header)
	for _, o := range opts {
		o(cfg)
	}
	c := &Client{t: t, codec: cfg.codec, replies: make(map[string]reply), news: make(chan struct{}, 1), over: make(chan struct{})}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := cfg.dialer.Pipe(ctx, e.Transport(), cfg.path, (*handler)(c))
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	c.conn = conn
	t.Cleanup(c.Cut)
	return c, nil
}

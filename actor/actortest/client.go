package actortest

import (
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/codec"
	"github.com/wireroom/wireroom/transport"
)

// Client is a virtual client.
type Client struct {
	t     testing.TB
	conn  *transport.Conn
	codec codec.Codec

	mu      sync.Mutex
	nextID  int
	replies map[string]reply // by id
	inbox   []Received
	end     *actor.CloseError

	news chan struct{} // holds a token when something has come
	over chan struct{} // closed at the end
}

type reply struct {
	result []byte
	err    *actor.Error
}

// Received is a message from the server that answers nothing.
type Received struct {
	Method string // of a notification; empty for a raw message
	Params []byte // encoded, in the codec of the client; nil if there were none
	Binary bool   // the kind of frame it came in
	Data   []byte // the whole message
}

// Conn returns the client's end of the connection.
func (c *Client) Conn() *transport.Conn { return c.conn }

// Call calls a method and waits for the reply, which it decodes into result; a
// nil result drops it. params is a slice, for positions, or a struct or map,
// for names, or nil. An error that the server answers is returned as an
// *actor.Error; a connection that ends first is an error, too.
func (c *Client) Call(method string, params, result any) error {
	c.t.Helper()
	return c.Begin(method, params).Wait(result)
}

// Begin sends a request without waiting for the reply.
func (c *Client) Begin(method string, params any) *Pending {
	c.t.Helper()
	c.mu.Lock()
	c.nextID++
	id := c.nextID
	c.mu.Unlock()
	p := &Pending{c: c, method: method, num: id}
	raw, err := c.codec.AppendValue(nil, id)
	if err != nil {
		c.t.Fatalf("actortest: %s: %v", method, err)
	}
	p.id = string(raw)
	c.request(raw, method, params)
	return p
}

// Pending is a request whose reply has not been waited for.
type Pending struct {
	c      *Client
	method string
	num    int
	id     string // num, encoded
}

// Wait waits for the reply, as Call does.
func (p *Pending) Wait(result any) error {
	c := p.c
	c.t.Helper()
	var r reply
	ok := c.wait(patience, func() bool {
		var ok bool
		if r, ok = c.replies[p.id]; ok {
			delete(c.replies, p.id)
		}
		return ok
	})
	switch {
	case !ok:
		if err := c.Err(); err != nil {
			return fmt.Errorf("%s: %w", p.method, err)
		}
		c.t.Fatalf("actortest: %s: no reply", p.method)
	case r.err != nil:
		return r.err
	case result != nil:
		if err := c.codec.Decode(r.result, result); err != nil {
			c.t.Fatalf("actortest: %s: decode the result: %v", p.method, err)
		}
	}
	return nil
}

// Cancel asks the server to cancel the call (rpc.cancel).
func (p *Pending) Cancel() {
	p.c.t.Helper()
	p.c.Notify("rpc.cancel", map[string]any{"id": p.num})
}

// Notify sends a notification.
func (c *Client) Notify(method string, params any) {
	c.t.Helper()
	c.request(nil, method, params)
}

func (c *Client) request(id []byte, method string, params any) {
	c.t.Helper()
	msg, err := c.codec.AppendRequest(nil, id, method, params)
	if err != nil {
		c.t.Fatalf("actortest: %s: %v", method, err)
	}
	op := transport.Text
	if c.codec.Binary() {
		op = transport.Binary
	}
	_ = c.conn.Send(op, msg) // if it has ended, so will what waits for the reply
}

// Send sends a raw text message.
func (c *Client) Send(text string) {
	c.t.Helper()
	if err := c.conn.SendText(text); err != nil {
		c.t.Fatalf("actortest: send: %v", err)
	}
}

// SendBinary sends a raw binary message.
func (c *Client) SendBinary(data []byte) {
	c.t.Helper()
	if err := c.conn.Send(transport.Binary, data); err != nil {
		c.t.Fatalf("actortest: send: %v", err)
	}
}

// Next returns the next message from the server that is not a reply.
func (c *Client) Next() Received {
	c.t.Helper()
	var m Received
	if !c.wait(patience, func() bool { return c.take(&m) }) {
		c.t.Fatalf("actortest: nothing came (%v)", c.Err())
	}
	return m
}

// take takes the first message of the inbox. mu is held.
func (c *Client) take(m *Received) bool {
	if len(c.inbox) == 0 {
		return false
	}
	*m = c.inbox[0]
	c.inbox = c.inbox[1:]
	return true
}

// Expect waits for the next message from the server that is not a reply, and
// fails unless it is a push of that method. It decodes its params into params;
// nil drops them.
func (c *Client) Expect(method string, params any) {
	c.t.Helper()
	m := c.Next()
	if m.Method != method {
		c.t.Fatalf("actortest: got %s, want a push of %s", m, method)
	}
	if params == nil {
		return
	}
	if err := c.codec.Decode(m.Params, params); err != nil {
		c.t.Fatalf("actortest: params of %s: %v", method, err)
	}
}

// ExpectText waits for the next message from the server that is not a reply,
// and fails unless it is this text.
func (c *Client) ExpectText(text string) {
	c.t.Helper()
	if m := c.Next(); m.Binary || string(m.Data) != text {
		c.t.Fatalf("actortest: got %s, want text %q", m, text)
	}
}

// ExpectBinary is ExpectText for a binary message.
func (c *Client) ExpectBinary(data []byte) {
	c.t.Helper()
	if m := c.Next(); !m.Binary || !reflect.DeepEqual(m.Data, append([]byte{}, data...)) {
		c.t.Fatalf("actortest: got %s, want binary %x", m, data)
	}
}

// ExpectNothing fails if, within d, a message comes that is not a reply. Inside
// a testing/synctest bubble it takes no time.
func (c *Client) ExpectNothing(d time.Duration) {
	c.t.Helper()
	var m Received
	if c.wait(d, func() bool { return c.take(&m) }) {
		c.t.Fatalf("actortest: got %s, want nothing", m)
	}
}

// Stall makes the client slow: it stops reading, except for what one read from
// the socket brings, and what the server sends stays there. Go on with Read.
func (c *Client) Stall() { c.conn.Pause() }

// Read lets a client read again that Stall has stopped.
func (c *Client) Read() { c.conn.Resume() }

// Close closes the connection with 1000 and waits until it has ended.
func (c *Client) Close() {
	c.t.Helper()
	c.conn.Close(transport.CloseNormal, "")
	_ = c.ExpectClose() // it was asked for
}

// Cut ends the connection as a broken network does, without a close frame.
func (c *Client) Cut() { c.conn.Cut() }

// ExpectClose waits until the connection has ended and says how.
func (c *Client) ExpectClose() *actor.CloseError {
	c.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-c.over:
	case <-timer.C:
		c.t.Fatal("actortest: the connection does not end")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end
}

// Err returns nil while the connection is open, and then how it ended.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end == nil {
		return nil
	}
	return c.end
}

// String describes the message for a failed test.
func (m Received) String() string {
	if m.Binary {
		return fmt.Sprintf("binary %x", m.Data)
	}
	return fmt.Sprintf("text %q", m.Data)
}

// wait waits until ready, which is called with mu held, reports true. It
// reports false after d, or when the connection has ended without it.
func (c *Client) wait(d time.Duration, ready func() bool) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	over := c.over
	for {
		c.mu.Lock()
		ok := ready()
		c.mu.Unlock()
		if ok {
			return true
		}
		if over == nil {
			return false
		}
		select {
		case <-c.news:
		case <-over:
			over = nil // what came before the end counts
		case <-timer.C:
			return false
		}
	}
}

// handler is the Client as a transport.Handler.
type handler Client

// OnMessage implements transport.Handler.
func (h *handler) OnMessage(_ *transport.Conn, op transport.Op, payload []byte) {
	c := (*Client)(h)
	data := append([]byte{}, payload...)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer func() {
		select {
		case c.news <- struct{}{}:
		default:
		}
	}()
	m := Received{Binary: op == transport.Binary, Data: data}
	if envs, batch, bad := c.codec.Split(nil, data); bad == nil && !batch {
		switch env := envs[0]; env.Kind {
		case codec.Response:
			r := reply{result: env.Result}
			if env.Error != nil {
				r.err = c.rpcError(env.Error)
			}
			c.replies[string(env.ID)] = r
			return
		case codec.Notification:
			m.Method, m.Params = string(env.Method), env.Params
		}
	}
	c.inbox = append(c.inbox, m)
}

// rpcError decodes an error object.
func (c *Client) rpcError(raw []byte) *actor.Error {
	e := new(actor.Error)
	c.codec.Members(raw, func(name, value []byte) bool {
		var err error
		switch string(name) {
		case "code":
			err = c.codec.Decode(value, &e.Code)
		case "message":
			err = c.codec.Decode(value, &e.Message)
		case "data":
			err = c.codec.Decode(value, &e.Data)
		}
		if err != nil {
			c.t.Errorf("actortest: error object: %s: %v", name, err)
		}
		return true
	})
	return e
}

// OnReadDone implements transport.Handler.
func (h *handler) OnReadDone(*transport.Conn) {}

// OnClose implements transport.Handler.
func (h *handler) OnClose(_ *transport.Conn, err *transport.CloseError) {
	c := (*Client)(h)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = err
	close(c.over)
}

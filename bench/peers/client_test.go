package main

import (
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/wireroom/wireroom/bench/internal/contract"
	"github.com/wireroom/wireroom/bench/internal/wire"
)

// patience is how long a test waits for what has to come.
const patience = 10 * time.Second

// client is one connection of a test. It dresses and undresses messages as the
// load generator does.
type client struct {
	t       *testing.T
	conn    *websocket.Conn
	dialect *wire.Dialect
	answers []string // payloads that came, but have not been asked for
}

// dial connects to a server, and is through when the connection is ready.
func dial(t *testing.T, addr string, app contract.App, d *wire.Dialect, subprotocol string) *client {
	t.Helper()
	path := "/" + string(app)
	if d != nil {
		path = d.Path
	}
	dialer := websocket.Dialer{HandshakeTimeout: patience}
	if subprotocol != "" {
		dialer.Subprotocols = []string{subprotocol}
	}
	conn, resp, err := dialer.Dial("ws://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if conn.Subprotocol() != subprotocol {
		t.Fatalf("server chose subprotocol %q, want %q", conn.Subprotocol(), subprotocol)
	}
	if resp.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Error("an extension was chosen that was not offered")
	}
	c := &client{t: t, conn: conn, dialect: d}
	t.Cleanup(func() { conn.Close() })
	c.deadline()
	if d == nil {
		return c
	}
	for _, hello := range d.Hello {
		c.write(websocket.TextMessage, hello)
	}
	for n := 0; n < len(d.Ready); {
		_, data, err := conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		n = d.Greeted(n, wire.Frame{Op: wire.OpText, Payload: data})
	}
	return c
}

func (c *client) deadline() {
	deadline := time.Now().Add(patience)
	if err := c.conn.SetReadDeadline(deadline); err != nil {
		c.t.Fatal(err)
	}
	if err := c.conn.SetWriteDeadline(deadline); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) write(kind int, data string) {
	c.t.Helper()
	if err := c.conn.WriteMessage(kind, []byte(data)); err != nil {
		c.t.Fatal(err)
	}
}

// send sends a payload as text.
func (c *client) send(payload string) {
	c.t.Helper()
	if c.dialect != nil {
		payload = c.dialect.Before + payload + c.dialect.After
	}
	c.write(websocket.TextMessage, payload)
}

// receive returns the next payload. In dialects that is what stands between
// angle brackets.
func (c *client) receive() string {
	c.t.Helper()
	c.deadline()
	for len(c.answers) == 0 {
		kind, data, err := c.conn.ReadMessage()
		if err != nil {
			c.t.Fatal(err)
		}
		if kind != websocket.TextMessage {
			c.t.Fatalf("a message of type %d came", kind)
		}
		if c.dialect == nil {
			return string(data)
		}
		for rest := string(data); ; {
			_, after, ok := strings.Cut(rest, "<")
			payload, next, ok2 := strings.Cut(after, ">")
			if !ok || !ok2 {
				break
			}
			c.answers, rest = append(c.answers, "<"+payload+">"), next
		}
	}
	payload := c.answers[0]
	c.answers = c.answers[1:]
	return payload
}

func (c *client) want(payload string) {
	c.t.Helper()
	if got := c.receive(); got != payload {
		c.t.Fatalf("got %.80q, want %.80q", got, payload)
	}
}

// close does the close handshake.
func (c *client) close() {
	c.t.Helper()
	c.write(websocket.CloseMessage, string(websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")))
	c.deadline()
	for {
		_, _, err := c.conn.ReadMessage()
		if websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			break
		}
		if err != nil {
			c.t.Fatalf("close handshake: %v", err)
		}
	}
	c.conn.Close()
}

// fragments sends a message in two frames, with a ping between them.
func (c *client) fragments(a, b string) {
	c.t.Helper()
	var frames []byte
	frames = wire.AppendFrame(frames, wire.OpText, [4]byte{1, 2, 3, 4}, []byte(a))
	frames[0] &^= 0x80
	at := len(frames)
	frames = wire.AppendFrame(frames, wire.OpPing, [4]byte{5, 6, 7, 8}, []byte("between"))
	at2 := len(frames)
	frames = wire.AppendFrame(frames, 0, [4]byte{9, 10, 11, 12}, []byte(b))
	nc := c.conn.NetConn()
	for _, part := range [][]byte{frames[:at+1], frames[at+1 : at2+3], frames[at2+3:]} {
		if _, err := nc.Write(part); err != nil {
			c.t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // to have it read in parts, mostly
	}
}

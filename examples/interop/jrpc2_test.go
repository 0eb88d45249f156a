package interop_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creachadair/jrpc2"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// testJRPC2 drives the calculator with the client of creachadair/jrpc2, an
// implementation of JSON-RPC 2.0 that shares no code with this module.
func testJRPC2(t *testing.T, url string) {
	ctx, cancel := context.WithTimeout(t.Context(), scriptTimeout)
	defer cancel()

	ch, err := dialChannel(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	cli := jrpc2.NewClient(ch, &jrpc2.ClientOptions{
		OnNotify: func(req *jrpc2.Request) { t.Errorf("unexpected notification %s", req.Method()) },
	})
	defer func() { _ = cli.Close() }() // for a test that ends early; a second Close does nothing

	number := func(method string, params any, want float64) {
		t.Helper()
		var got float64
		if err := cli.CallResult(ctx, method, params, &got); err != nil {
			t.Errorf("%s %v: %v", method, params, err)
		} else if got != want {
			t.Errorf("%s %v = %v, want %v", method, params, got, want)
		}
	}
	number("subtract", []int{42, 23}, 19)
	number("subtract", []int{23, 42}, -19)
	number("subtract", map[string]int{"subtrahend": 23, "minuend": 42}, 19)
	number("sum", []int{1, 2, 4}, 7)

	getData := func() {
		t.Helper()
		var got []any
		if err := cli.CallResult(ctx, "get_data", nil, &got); err != nil {
			t.Errorf("get_data: %v", err)
		} else if !slices.Equal(got, []any{"hello", 5.0}) {
			t.Errorf("get_data = %v, want [hello 5]", got)
		}
	}
	getData()

	for _, method := range []string{"update", "notify_hello", "notify_sum", "no_such_method"} {
		if err := cli.Notify(ctx, method, []int{1, 2, 4}); err != nil {
			t.Errorf("notify %s: %v", method, err)
		}
	}
	getData() // an answer to a notification would come before this call's

	wantCode := func(method string, params any, want jrpc2.Code) {
		t.Helper()
		_, err := cli.Call(ctx, method, params)
		if got := jrpc2.ErrorCode(err); got != want {
			t.Errorf("%s %v: code %v (%v), want %v", method, params, got, err, want)
		}
	}
	wantCode("foobar", nil, jrpc2.MethodNotFound)
	wantCode("subtract", []string{"forty-two", "23"}, jrpc2.InvalidParams)

	responses, err := cli.Batch(ctx, []jrpc2.Spec{
		{Method: "sum", Params: []int{1, 2, 4}},
		{Method: "notify_hello", Params: []int{7}, Notify: true},
		{Method: "subtract", Params: []int{42, 23}},
		{Method: "foobar"},
	})
	if err != nil {
		t.Fatalf("batch: %v", err)
	}
	var got []string
	for _, r := range responses { // in the order of the specs, whatever that of the answer
		if e := r.Error(); e != nil {
			got = append(got, fmt.Sprint(int(e.Code)))
		} else {
			got = append(got, r.ResultString())
		}
	}
	if text := strings.Join(got, " "); text != "7 19 -32601" {
		t.Errorf("batch: results %q, want %q", text, "7 19 -32601")
	}

	var calls sync.WaitGroup
	for i := range 100 {
		calls.Go(func() { number("subtract", []int{i, 1}, float64(i-1)) })
	}
	calls.Wait()

	if err := cli.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if code := ch.closeCode; code != ws.StatusNormalClosure {
		t.Errorf("close answered with %d, want %d", code, ws.StatusNormalClosure)
	}
}

// wsChannel is a jrpc2 channel.Channel over a WebSocket: one record, one text
// message.
type wsChannel struct {
	conn net.Conn
	r    io.Reader // conn, behind what the handshake has read too much

	mu        sync.Mutex // serializes frames: records, pongs and the close frame
	closeSent bool

	closeCode ws.StatusCode // of the server's close frame; the reader's until jrpc2.Client.Close returns
}

func dialChannel(ctx context.Context, url string) (*wsChannel, error) {
	const subprotocol = "wireroom.v1.json"
	dialer := ws.Dialer{Protocols: []string{subprotocol}}
	conn, br, handshake, err := dialer.Dial(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	if handshake.Protocol != subprotocol {
		_ = conn.Close()
		return nil, fmt.Errorf("dial: the server chose %q, want %q", handshake.Protocol, subprotocol)
	}
	c := &wsChannel{conn: conn, r: conn}
	if br != nil {
		c.r = br // reads from conn once its buffer is empty
	}
	return c, nil
}

// Send writes one text message.
func (c *wsChannel) Send(record []byte) error { return c.write(ws.OpText, record) }

// Recv returns the next text message, or io.EOF after the server's close
// frame. After an error the connection is gone.
func (c *wsChannel) Recv() ([]byte, error) {
	record, err := c.recv()
	if err != nil {
		_ = c.conn.Close() // the error to tell is the first one
	}
	return record, err
}

func (c *wsChannel) recv() ([]byte, error) {
	for {
		messages, err := wsutil.ReadServerMessage(c.r, nil)
		if err != nil {
			return nil, err
		}
		// Control frames that came between the fragments of a message stand before it.
		for _, m := range messages {
			switch m.OpCode {
			case ws.OpText:
				return m.Payload, nil
			case ws.OpPing:
				err = c.write(ws.OpPong, m.Payload)
			case ws.OpPong:
			case ws.OpClose:
				c.closeCode, _ = ws.ParseCloseFrameData(m.Payload)
				if err = c.sendClose(); err == nil {
					err = io.EOF
				}
			default:
				err = fmt.Errorf("unexpected message of opcode %#x", m.OpCode)
			}
			if err != nil {
				return nil, err
			}
		}
	}
}

// Close starts the closing handshake. Recv ends it; jrpc2 waits for that.
func (c *wsChannel) Close() error {
	if err := c.conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	return c.sendClose()
}

func (c *wsChannel) sendClose() error {
	c.mu.Lock()
	sent := c.closeSent
	c.closeSent = true
	c.mu.Unlock()
	if sent {
		return nil
	}
	return c.write(ws.OpClose, ws.NewCloseFrameBody(ws.StatusNormalClosure, ""))
}

func (c *wsChannel) write(op ws.OpCode, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return wsutil.WriteClientMessage(c.conn, op, payload)
}

package actor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/wireroom/wireroom/codec"
	"github.com/wireroom/wireroom/transport"
)

// WsSender sends to one WebSocket connection. A method that has a parameter of
// this type gets the sender of the connection that called it, and may keep it:
// in a map, in a message, in a goroutine that outlives the call.
//
// It is one word, may be copied freely and compared with ==, and may be used
// by any number of goroutines at once. It never waits for the peer and keeps
// neither socket nor buffer alive: once the connection is closed, sends answer
// ErrClosed at once. What one goroutine sends arrives in that order; what a
// method sends arrives before its reply. The zero WsSender is a closed one.
type WsSender struct{ c *conn }

// Send sends a text message. It fails with ErrClosed, ErrSlowConsumer,
// ErrTooLarge or ErrInvalidUTF8.
func (s WsSender) Send(text string) error {
	tc := s.live()
	if tc == nil {
		return ErrClosed
	}
	return tc.SendText(text)
}

// SendBinary sends a copy of data as a binary message. It fails as Send does.
func (s WsSender) SendBinary(data []byte) error { return s.write(transport.Binary, data) }

// SendMessage sends a copy of m as what it is, text or binary. It fails as Send
// does.
func (s WsSender) SendMessage(m Message) error {
	if m.Binary {
		return s.write(transport.Binary, m.Data)
	}
	return s.write(transport.Text, m.Data)
}

// SendJSON sends v, encoded as JSON, as a text message. It fails as Send does,
// or with the error of the encoding.
func (s WsSender) SendJSON(v any) error {
	if s.live() == nil {
		return ErrClosed
	}
	buf := getScratch()
	defer putScratch(buf)
	var err error
	if buf.b, err = s.c.e.wires[wireJSON].codec.AppendValue(buf.b, v); err != nil {
		return fmt.Errorf("actor: send JSON: %w", err)
	}
	return s.write(transport.Text, buf.b)
}

// Push sends a JSON-RPC notification in the codec of the connection. It fails
// as Send does, or with the error of the encoding.
func (s WsSender) Push(method string, params any) error {
	if s.live() == nil {
		return ErrClosed
	}
	buf := getScratch()
	defer putScratch(buf)
	w := s.c.wire()
	var err error
	if buf.b, err = w.codec.AppendRequest(buf.b, nil, method, params); err != nil {
		return fmt.Errorf("actor: push %s: %w", method, err)
	}
	return s.write(w.op, buf.b)
}

func (s WsSender) write(op transport.Op, data []byte) error {
	tc := s.live()
	if tc == nil {
		return ErrClosed
	}
	return tc.Send(op, data)
}

// Close closes the connection with 1000, after what has been sent. It returns
// at once; Done tells the end. Only the first Close has an effect.
func (s WsSender) Close() error { return s.CloseWith(transport.CloseNormal, "") }

// CloseWith closes the connection with a code and a reason of at most 123
// bytes, as Close does. The codes for applications are 3000 to 4999 (RFC 6455,
// section 7.4.2). It fails for a code that may not be sent.
func (s WsSender) CloseWith(code int, reason string) error {
	if !transport.ValidCloseCode(code) {
		return fmt.Errorf("actor: close: code %d may not be sent", code)
	}
	if tc := s.live(); tc != nil {
		tc.Close(code, reason)
	}
	return nil
}

// PID returns the PID of the connection's actor. It takes Text, Binary, JSON,
// Push and Close messages from any actor. The PID of the zero WsSender is nil.
func (s WsSender) PID() *PID {
	if s.c == nil {
		return nil
	}
	return &s.c.pid
}

// ID returns a name of the connection that no other has, and that cannot be
// guessed. It is empty for the zero WsSender.
func (s WsSender) ID() string {
	if s.c == nil {
		return ""
	}
	return s.c.pid.ID[len(connKind)+1:]
}

// IsZero reports whether s is the zero WsSender.
func (s WsSender) IsZero() bool { return s.c == nil }

// Done returns a channel that is closed when the connection has ended.
func (s WsSender) Done() <-chan struct{} { return s.Context().Done() }

// Context returns a context that ends with the connection; its cause is then
// what Err returns. Unlike the context of a call it goes on when the method
// has returned: it is for the work that a method leaves behind.
func (s WsSender) Context() context.Context {
	if s.c == nil {
		return closedContext
	}
	return s.c.context()
}

// Err returns nil while the connection is open, and then how it ended: a
// *CloseError for which errors.Is(err, ErrClosed) holds, too.
func (s WsSender) Err() error {
	if s.c == nil {
		return ErrClosed
	}
	return s.c.endErr()
}

// Buffered returns how many bytes wait to be written to the connection.
func (s WsSender) Buffered() int {
	if tc := s.live(); tc != nil {
		return tc.Buffered()
	}
	return 0
}

func (s WsSender) live() *transport.Conn {
	if s.c == nil {
		return nil
	}
	return s.c.tc.Load()
}

// String returns the ID.
func (s WsSender) String() string { return s.ID() }

// MarshalText encodes the address of the connection, so that a sender can be
// part of a message.
func (s WsSender) MarshalText() ([]byte, error) {
	if s.c == nil {
		return []byte{}, nil
	}
	return []byte(s.c.pid.Address + "/" + s.c.pid.ID), nil
}

// UnmarshalText decodes what MarshalText has encoded, to a sender that only
// knows the address: its sends answer ErrClosed. Engine.Sender turns its PID
// into the sender of the connection.
func (s *WsSender) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*s = WsSender{}
		return nil
	}
	address, id, ok := strings.Cut(string(text), "/")
	if !ok || !strings.HasPrefix(id, connKind+"/") {
		return errors.New("actor: unmarshal sender: not the address of a connection")
	}
	c := &conn{life: &life{ctx: closedContext}, end: &CloseError{Code: transport.CloseAbnormal, Reason: "not resolved"}}
	c.pid.Address, c.pid.ID = address, id
	s.c = c
	return nil
}

// MarshalMsgpack is MarshalText for MessagePack, where it makes a string.
func (s WsSender) MarshalMsgpack() ([]byte, error) {
	text, err := s.MarshalText()
	if err != nil {
		return nil, err
	}
	return codec.Msgpack(nil).AppendValue(nil, string(text))
}

// UnmarshalMsgpack is UnmarshalText for MessagePack.
func (s *WsSender) UnmarshalMsgpack(data []byte) error {
	var text string
	if err := codec.Msgpack(nil).Decode(data, &text); err != nil {
		return fmt.Errorf("actor: unmarshal sender: %w", err)
	}
	return s.UnmarshalText([]byte(text))
}

// closedContext is the context of the zero WsSender.
var closedContext = func() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(ErrClosed)
	return ctx
}()

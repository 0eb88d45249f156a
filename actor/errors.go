package actor

import (
	"errors"
	"fmt"

	"github.com/wireroom/wireroom/codec"
	"github.com/wireroom/wireroom/transport"
)

var (
	// ErrClosed is returned by what is sent to a connection, an actor or an
	// engine that has closed or is closing.
	ErrClosed = transport.ErrClosed

	// ErrSlowConsumer is returned by the send that found a connection's queue
	// full; the connection is closed with 4508. It also lies behind the error
	// that OnDisconnect then gets.
	ErrSlowConsumer = transport.ErrSlowConsumer

	// ErrTooLarge is returned for a single message that no queue of the
	// connection could hold. The connection goes on.
	ErrTooLarge = transport.ErrTooLarge

	// ErrInvalidUTF8 is returned for a text message that is not UTF-8. The
	// connection goes on.
	ErrInvalidUTF8 = transport.ErrInvalidUTF8

	// ErrBusy is returned when the bounded mailbox of an actor or a room is
	// full. Nothing was sent; try again later.
	ErrBusy = errors.New("mailbox full")

	// ErrDuplicateName is returned when an actor or a method of that name
	// exists already.
	ErrDuplicateName = errors.New("name is taken")

	// ErrNotLocal is returned for a PID of another node.
	ErrNotLocal = errors.New("actor is not on this node")

	// ErrCancelled answers a call that the peer has cancelled with rpc.cancel.
	// It is the cause (context.Cause) of the call's context then.
	ErrCancelled = errors.New("call cancelled by the peer")
)

// CloseError says how a connection ended, with which code and reason. A hook
// that returns one chooses the close code.
type CloseError = transport.CloseError

// Error is a JSON-RPC 2.0 error object. A method that returns one, or any
// error with a method ErrorCode() int, chooses what the client sees; the data
// comes from ErrorData() any, if there is one.
type Error = codec.Error

// Errorf returns an *Error with the given code. Codes from -32768 to -32000 are
// reserved by the specification (section 5.1).
func Errorf(code int, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Refuse returns an error for Options.Transport.OnConnect that refuses the
// upgrade with an HTTP status; see transport.Refuse.
func Refuse(status int, reason string) error { return transport.Refuse(status, reason) }

// codeBusy is the server's answer when a service actor's mailbox is full, from
// the range that the specification leaves to servers (section 5.1).
const codeBusy = -32000

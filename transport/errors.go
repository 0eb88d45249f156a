package transport

import (
	"errors"
	"fmt"
	"net/http"
)

var (
	// ErrClosed is returned by sends on a connection that is closing or closed.
	ErrClosed = errors.New("connection closed")

	// ErrSlowConsumer is returned by the send that found the outbound queue
	// full. The connection is then closed with CloseSlowConsumer.
	ErrSlowConsumer = errors.New("slow consumer")

	// ErrTooLarge is returned by the send of a single message that no queue of
	// this connection could ever hold. The connection goes on.
	ErrTooLarge = errors.New("message too large")

	// ErrInvalidUTF8 is returned by the send of a text message that is not
	// UTF-8 (RFC 6455, section 5.6). The connection goes on.
	ErrInvalidUTF8 = errors.New("text message is not UTF-8")

	// ErrServerClosed is returned by Serve after Shutdown.
	ErrServerClosed = errors.New("server closed")
)

// Close codes of RFC 6455, section 7.4.1, the IANA registry, and Wireroom's
// own (4000 to 4999 are for applications).
const (
	CloseNormal           = 1000
	CloseGoingAway        = 1001
	CloseProtocolError    = 1002
	CloseUnsupportedData  = 1003
	CloseNoStatus         = 1005 // never on the wire: the peer's close frame had no code
	CloseAbnormal         = 1006 // never on the wire: no close frame was received
	CloseInvalidPayload   = 1007
	ClosePolicyViolation  = 1008
	CloseMessageTooBig    = 1009
	CloseMissingExtension = 1010
	CloseInternalError    = 1011
	CloseServiceRestart   = 1012
	CloseTryAgainLater    = 1013
	CloseSlowConsumer     = 4508 // the outbound queue was full; a client may reconnect
)

// CloseError says how a connection ended.
type CloseError struct {
	Code   int    // of the first close frame, ours or the peer's; CloseAbnormal if there was none
	Reason string // at most 123 bytes
	Remote bool   // the peer closed, or the peer's doing made us close
	Err    error  // what lies behind it, if anything: ErrSlowConsumer, an I/O error, …
	Unsent int    // messages that were queued and not wholly written when the end was found; at most, as some that were written together count until all are
}

// Error implements the error interface.
func (e *CloseError) Error() string {
	s := fmt.Sprintf("closed with %d", e.Code)
	if e.Reason != "" {
		s += " " + e.Reason
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns e.Err.
func (e *CloseError) Unwrap() error { return e.Err }

// Is reports true for ErrClosed, so that whoever asks only whether the
// connection is closed need not know how.
func (e *CloseError) Is(target error) bool { return target == ErrClosed }

// StatusError is a refusal of the handshake: an HTTP status with a text that
// the peer gets to read. Dial returns it for the refusal of a server.
type StatusError struct {
	Status int
	Reason string
	Header http.Header // further headers of the response; may be nil
}

// Refuse returns a StatusError, for an OnConnect hook: 401, 403, 429 and 503
// are the usual ones. An empty reason becomes the status' own text.
func Refuse(status int, reason string) error {
	if reason == "" {
		reason = http.StatusText(status)
	}
	return &StatusError{Status: status, Reason: reason}
}

// Error implements the error interface.
func (e *StatusError) Error() string {
	return fmt.Sprintf("handshake refused: %d %s", e.Status, e.Reason)
}

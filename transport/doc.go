// Package transport carries WebSocket messages (RFC 6455): frames and bytes,
// no values. A Server accepts connections, from a listener or from net/http;
// a Dialer opens them; a Conn sends; a Handler receives.
//
// # Route of a message
//
// The driver of a connection reads what the socket has into a pooled buffer
// and feeds it to the Conn. The Conn parses it there, unmasks it in place,
// checks it against the RFC and against the limits of Options, and calls
// Handler.OnMessage with a slice of that same buffer. In the other direction
// Conn.Send frames the message into the connection's queue, bounded in bytes
// and in frames; all that has gathered there leaves in one write. A message for
// many connections is framed once, as a Frame, and only referred to by their
// queues.
//
// If permessage-deflate is agreed on (RFC 7692), a message is inflated from that
// buffer, or from where its fragments were gathered, into a pooled one, and
// checked afterwards; one to be sent is deflated on the sender's goroutine before
// it is queued, a Frame when the first connection wants it so.
//
// # Backpressure
//
// No send waits. A connection whose queue is full fails the send with
// ErrSlowConsumer and is closed with 4508. In the other direction Conn.Pause
// stops reading, so that TCP holds the peer back.
//
// # Time
//
// One coarse wheel for all connections of a Server watches pings, half-received
// frames, stalled writes and close handshakes; it is at most a sixteenth of the
// shortest limit, and never more than 250 ms, late. There are no timers per
// connection.
//
// # Close codes
//
//	1000, 1001          as the application closes; Shutdown sends 1001
//	1002                breach of the protocol
//	1007                text that is not UTF-8; a message that cannot be inflated
//	1008                a limit: fragments, control frames, a frame that takes too long
//	1009                message larger than MaxMessageBytes
//	4508 slow_consumer  the outbound queue was full
package transport

// Package transport carries WebSocket messages (RFC 6455): frames and bytes,
// no values. A Server accepts connections, from a listener or from net/http;
// a Dialer opens them; a Conn sends; a Handler receives.
//
// # Route of a message
//
// The driver of a connection reads what the socket has into a buffer that it
// shares with others, and feeds it to the Conn. The Conn parses it there, unmasks
// it in place, checks it against the RFC and against the limits of Options, and
// calls Handler.OnMessage with a slice of that same buffer. In the other direction
// Conn.Send frames the message into the connection's queue, bounded in bytes
// and in frames; all that has gathered there leaves in one write. A message for
// many connections is framed once, as a Frame, several of them are put together
// once, as a Batch, and the queues only refer to them.
//
// If permessage-deflate is agreed on (RFC 7692), a message is inflated from that
// buffer, or from where its fragments were gathered, into a pooled one, and
// checked afterwards; one to be sent is deflated on the sender's goroutine before
// it is queued, a Frame when the first connection wants it so.
//
// # Drivers
//
// DriverPoll serves plaintext TCP on Linux, from Serve as well as from net/http.
// It takes the socket out of Go's runtime and waits for it with epoll: one
// goroutine for each processor reads, and an idle connection has neither a
// goroutine nor a buffer. Heads of handshakes are read in the same way.
// DriverGoroutine serves everything else, with a goroutine for each connection
// that reads: other systems, TLS, net.Pipe. Both have the same Conn above them,
// and pass the same tests. Options.Driver chooses, Stats and Conn.Driver tell.
//
// # Who runs what
//
// Handlers are called where the connection is read, so they must not wait. What
// may wait is a Task, given to Conn.Schedule. Tasks and writes are worked off by
// a few goroutines, as leader and followers: before one begins a task, another
// is made ready to run, so that it takes over when the task waits. While a task
// runs its connection is corked: what is sent to it leaves in one write when the
// task returns, or after two milliseconds.
//
// # Backpressure
//
// No send waits. A connection whose queue is full fails the send with
// ErrSlowConsumer and is closed with 4508. In the other direction Conn.Pause
// stops reading, so that TCP holds the peer back.
//
// # Time
//
// A coarse wheel for the connections of each processor watches pings, half-received
// frames, stalled writes and close handshakes; it is at most a sixteenth of the
// shortest limit, and never more than 250 ms, late, or one such step early. A time
// in which the whole process has stood still does not count. There are no timers per
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

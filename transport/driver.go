package transport

// driver moves bytes between sockets and Conns. It calls Conn.feed with what
// arrives and Conn.ended when nothing more will, both from one goroutine at a
// time for one connection, and fetches what is to be written from
// Conn.nextWrite, telling Conn.wrote what became of it. None of its methods
// waits for a peer.
//
// There is one today, on a goroutine per connection.
type driver interface {
	// name is shown in Stats.
	name() Driver

	// start begins to read. rest are bytes that have already been read.
	start(c *Conn, rest []byte)

	// wake has the queue of c written. It is called once per flush: not again
	// until Conn.nextWrite has said that nothing is left.
	wake(c *Conn)

	// resume lets the reading of c go on after a Pause, if it is held.
	resume(c *Conn)

	// fin ends the write side: both close frames are done with.
	fin(c *Conn)

	// shut closes the socket at once; reading and writing end with an error.
	// It is called once, while Conn.mu is held.
	shut(c *Conn)
}

package transport

// driver moves bytes between sockets and Conns. It calls Conn.feed with what
// arrives and Conn.ended when nothing more will, both from one goroutine at a
// time for one connection, and fetches what is to be written from
// Conn.nextWrite, telling Conn.wrote what became of it.
type driver interface {
	// name is shown in Stats.
	name() Driver

	// start begins to read. rest are bytes that have already been read; it must
	// not be kept.
	start(c *Conn, rest []byte)

	// waits says whether write may wait for the peer.
	waits() bool

	// wake has the queue of c written soon, by somebody else. It is called once
	// per flush: not again until Conn.nextWrite has said that nothing is left.
	wake(c *Conn)

	// push is wake, but writes at once if that cannot wait for the peer.
	push(c *Conn)

	// write writes the queue of c, on a goroutine of the executor.
	write(c *Conn)

	// resume lets the reading of c go on after a Pause, if it is held.
	resume(c *Conn)

	// fin ends the write side: both close frames are done with.
	fin(c *Conn)

	// shut closes the socket at once; reading and writing end with an error.
	// It is called once, while Conn.mu is held.
	shut(c *Conn)

	// release gives back what the driver has of c, which nobody reads or writes
	// any more. It is called once, after shut, while Conn.mu is held.
	release(c *Conn)
}

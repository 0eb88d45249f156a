// Package chaos has a Server serve clients behind a nasty network, and accounts
// for every message. It holds tests only.
//
// Both ends live in one process and talk over loopback. The clients are raw
// sockets that write in pieces down to one byte, read in such pieces, stall,
// have tiny receive buffers, close and reset at any moment, inside a frame and
// inside the handshake, end one direction only, do not answer a close frame,
// stop reading, and come back. The server sends to each connection from several
// goroutines, from its handler, and as shared Frames; it pauses, closes and cuts
// at any moment as well. Half of the connections go to a server with short time
// limits and a short queue.
//
// # What is checked
//
// Every message has a sender, a number, and a checksum. Every send is recorded
// with two tickets of a counter of its connection, one drawn before the call
// and one after it. Of each connection it must then hold:
//
//   - What arrived is whole, was sent to this connection, and came once.
//   - A message whose send failed never arrives. (Of a SendFrames with several
//     frames that failed, the first ones may.)
//   - What arrived is a gap-free prefix of what was accepted: for each sender in
//     its order, and over all senders in an order that the tickets allow. What
//     is lost was accepted last.
//   - If the client got the server's close frame, all that was accepted arrived
//     before it, but for what a slow consumer was denied, which Unsent covers.
//   - If the client read to an orderly end of the stream, without a close frame,
//     no more is missing than Unsent says. After a reset nobody can say what the
//     kernels still held; then only the prefix is sure.
//   - OnClose came exactly once and last. It has an error unless the client sent
//     a close frame.
//   - In the other direction, OnMessage got a gap-free prefix of the messages
//     that the client had written whole; all of them if the client closed first,
//     with a close frame or just with the end of its stream.
//   - A polite client that is not too slow gets a clean close handshake, unless
//     this process itself stood still for seconds.
//
// Of all together: every accepted message was either wholly written or is
// counted as dropped, and some OnClose has counted it as unsent; no call, refusal
// or end is missing in Stats; and at the end there are no connections, and no
// goroutines, descriptors or memory beyond what there was.
//
// # Runs
//
// In go test it is small. The soak is
//
//	go test -v ./transport/internal/chaos -args -chaos.conns 10000 -chaos.live 4000 -chaos.time 60s
//
// which goes on for a minute, and until as many connections have been opened,
// for each driver; -v shows the account. -chaos.driver takes one driver only. A
// failure names the seed; with -chaos.seed the clients and the server draw the
// same again, which is most of a failure, but not how the system interleaves
// them.
package chaos

// Package actor is a realtime messaging runtime: every WebSocket connection is
// an actor, plain Go structs are the services that clients call, and rooms
// route broadcasts.
//
// # A service
//
// Write a struct; its exported methods become methods of JSON-RPC 2.0. A
// parameter of type WsSender is not sent by the client: it is the connection
// that calls, to be answered, kept, and pushed to at any time.
//
//	type Chat struct{ e *actor.Engine }
//
//	func (c *Chat) JoinRoom(from actor.WsSender, room string) error {
//		return c.e.Room(room).Join(from)
//	}
//
//	func (c *Chat) Say(room, text string) error {
//		return c.e.Room(room).Broadcast("said", map[string]string{"text": text})
//	}
//
//	e, err := actor.New(nil)
//	err = e.Register(&Chat{e}, actor.Method("Say", actor.Params("room", "text")))
//	http.Handle("/ws", e)
//
// A client calls {"jsonrpc":"2.0","id":1,"method":"join_room","params":["go"]}
// and from then on gets {"jsonrpc":"2.0","method":"said","params":{"text":"…"}}.
//
// # What a method may look like
//
// Any of context.Context, WsSender and *Handshake, in any place and at most
// once each, is injected. The other parameters come from the client. One struct
// parameter is bound by name, to its fields as encoding/json names them, or by
// position, in their order. Several parameters are bound by position, or by
// name if Params names them. A parameter is needed, unless it is a pointer, or
// has omitempty, omitzero or a default tag, or a Default; null is the same as
// none. Of a variadic method the last parameter takes what is left.
//
// A method returns nothing, a result, an error, or both. An *Error, or any error
// with a method ErrorCode() int, is what the client sees; any other error, and a
// panic, is "Internal error" (-32603) to the client, and an Event with its text
// to the program. A client that gave no id is answered nothing. Values are
// encoded as encoding/json does it: a nil slice is null.
//
// Register shares a value between all connections: guard its state with locks.
// SpawnService makes it an actor, which runs one call at a time. Handle takes a
// typed function. Mount chooses the service by a parameter. Names are the snake
// case of the Go names, unless Name says otherwise.
//
// # The route of a message
//
//	client ─► transport.Conn ─► conn (actor) ─► codec.Split ─► binder ─► method
//	            reads, checks     in order       envelope       params     │
//	client ◄─ its bounded queue ◄───────────────────────── reply, pushes ◄─┘
//	              ▲                                                        │
//	              └──── each member ◄── room (actor) ◄── Broadcast ◄───────┘
//	                    one write        once encoded
//
// The transport's reader gathers the messages of one read; one of a few workers
// runs them, and another one is made ready before, in case a method waits. The
// replies, and whatever else was sent to the connection meanwhile, leave in one
// write when the last of these messages is done, but two milliseconds after a
// method has begun to wait at the latest. Methods that never wait can be declared
// NonBlocking: they run where they are read.
//
// # Order
//
// The calls of one connection run one after the other, in the order in which
// they came, unless a method is Concurrent. What a method sends to its caller
// arrives before its reply. What one goroutine sends to one connection, or
// broadcasts to one room, arrives in that order. Join and Leave are confirmed:
// when they return, they hold for all later broadcasts. So a broadcast may reach
// a client before the reply of the method that made it a member.
//
// # Who may call what
//
// Engine, WsSender and Room may be used by any number of goroutines at once. No
// send and no broadcast waits for a peer. Join, Leave and Members wait for the
// room, which never waits itself; Ask and Stop wait for an actor, so do not call
// them in Receive. Only Shutdown, and Stop of a connection, wait for a peer's
// close frame, for CloseTimeout at the longest. Hooks and methods of a shared service are called by many
// goroutines; those of a service actor one at a time.
//
// The context of a call ends when the method returns, when the connection ends,
// or when the client sends rpc.cancel with the id of the call. For what goes on
// after the method, use WsSender.Context or WsSender.Done.
//
// # Bounds
//
// Every queue is bounded. A connection that does not read what it is sent is
// closed with 4508 (slow_consumer) when its queue is full, and delays nobody. A
// connection that sends faster than its calls run is read more slowly. A mailbox
// that is full answers ErrBusy, or makes a dead letter. See Options and
// transport.Options for the limits.
//
// # Actors
//
// Spawn starts any hollywood actor, behind a fence: a panic costs it one
// message, not its state, and its mailbox is bounded. Actors send to
// connections, too: a connection's PID takes Text, Binary, JSON, Push and Close,
// a room's PID the first four.
package actor

package actor

import (
	"context"

	"github.com/wireroom/wireroom/transport"
)

// Options configure an Engine. The zero value, and a nil *Options, give
// JSON-RPC 2.0 over WebSocket with safe limits. For every limit, zero means
// its default and a negative value means no limit.
type Options struct {
	// Transport has the limits and the hooks of connections: origins,
	// OnConnect, sizes, timeouts. Its Subprotocols are the engine's own, unless
	// OnMessage is set.
	Transport transport.Options

	// Lenient accepts requests without "jsonrpc":"2.0" and answers them in
	// kind: without that member, with id null if they had none, and with
	// {"success":true} where a method returns nothing.
	Lenient bool

	// OnMessage, if set, gets every message as it is, instead of the JSON-RPC
	// methods. It is called for one connection one message at a time, in
	// order. m.Data is valid until it returns.
	OnMessage func(ctx context.Context, from WsSender, m Message)

	// NonBlocking says that OnMessage never waits, as the method option of this
	// name says it of a method.
	NonBlocking bool

	// Interceptors stand around each call of a method, the first outermost.
	Interceptors []Interceptor

	// OnEvent gets what happens in the engine. It is called by whoever met
	// with it, possibly by several goroutines at once, rooms and actors among
	// them: it must not block, nor wait for a room or an actor.
	// Default: LogEvents(nil).
	OnEvent func(Event)

	// MaxPendingMessages bounds the messages of one connection that wait to be
	// handled; beyond it reading stops and TCP holds the peer back. What one
	// read from the socket brings (at most 64 KiB, or 4 KiB of deflated messages,
	// up to a thousand times as much when inflated) may come on top. Default 256.
	MaxPendingMessages int

	// MaxPendingBytes bounds the same in bytes. Default 256 KiB.
	MaxPendingBytes int

	// MaxBatch bounds the items of a JSON-RPC batch; a longer one is answered
	// with an invalid request error. Default 100.
	MaxBatch int

	// MailboxSize bounds the messages that wait for one actor, spawned or a
	// service; further ones are dead letters, or ErrBusy to a caller. Default
	// 16,384.
	MailboxSize int

	// MaxRoomMessages bounds the broadcasts that wait in one room; further
	// ones fail with ErrBusy. Default 4,096.
	MaxRoomMessages int

	// MaxRoomBytes bounds the same in bytes. Default 8 MiB.
	MaxRoomBytes int
}

// Message is a WebSocket message as it came.
type Message struct {
	Binary bool // or text
	Data   []byte
}

func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	count := func(v *int, def int) {
		switch {
		case *v == 0:
			*v = def
		case *v < 0:
			*v = int(^uint(0) >> 1)
		}
	}
	count(&c.MaxPendingMessages, 256)
	count(&c.MaxPendingBytes, 256<<10)
	count(&c.MaxBatch, 100)
	count(&c.MailboxSize, 16384)
	count(&c.MaxRoomMessages, 4096)
	count(&c.MaxRoomBytes, 8<<20)
	if c.OnEvent == nil {
		c.OnEvent = LogEvents(nil)
	}
	return c
}

package transport

import (
	"context"
	"crypto/tls"
	"time"
)

// Options says what a Server accepts and how much a peer may use. The zero
// value, and a nil *Options, give the defaults named at each field. Options
// are read once, by NewServer, and may be shared by many servers. For every
// limit, zero means its default and a negative value means no limit.
type Options struct {
	// OnConnect, if set, is asked before each upgrade. What it returns as
	// principal is found in Handshake.Principal from then on. An error refuses
	// the upgrade: with the HTTP status of the StatusError in it (see Refuse),
	// otherwise with 403 and no text of the error. It runs where it
	// holds up nobody else and may take until ctx is done, which is when
	// HandshakeTimeout has passed; a refusal by then comes as 503.
	OnConnect func(ctx context.Context, hs *Handshake) (principal any, err error)

	// AllowedOrigins are further origins whose pages may connect; pages of the
	// host itself always may, and so may clients that send no Origin header
	// (RFC 6455, section 10.2; only browsers must send it). An entry is
	// "scheme://host[:port]", in which one leading "*." of the host stands for
	// any subdomain, or "null" for the opaque origin, or "*" for any.
	AllowedOrigins []string

	// Subprotocols are the names that the server speaks, most wanted first. A
	// client that offers some, but none of these, is refused with 400; one
	// that offers nothing is accepted and speaks none. If empty, offers are
	// ignored.
	Subprotocols []string

	// TLSConfig, if set, makes ListenAndServe and Serve speak TLS. Only
	// HTTP/1.1 is offered in ALPN.
	TLSConfig *tls.Config

	// Driver says what serves the connections. Default DriverAuto.
	Driver Driver

	// Deflate turns permessage-deflate on (RFC 7692): a server accepts it from
	// clients that offer it, a Dialer offers it. There is no context takeover,
	// so that nothing is kept between messages. It costs time and saves
	// bandwidth; for short messages it is a loss. A Frame is deflated once for
	// all its connections. The lengths of deflated messages can tell a secret
	// that stands beside text of an attacker's choice.
	Deflate bool

	// DeflateThreshold is the length from which on a message is deflated, in
	// bytes; one that does not get smaller is sent as it is. Default 512;
	// negative means all messages.
	DeflateThreshold int

	// MaxConns is how many connections may be open at once, handshakes
	// included; further ones are refused with 503. Zero means no limit.
	MaxConns int

	// MaxConnsPerIP is the same for one remote IP address, or one /64 of IPv6,
	// which is what one subscriber has; further ones are refused with 429.
	// Zero means no limit.
	MaxConnsPerIP int

	// HandshakeTimeout bounds the time from accept to the end of the upgrade.
	// Default 5 s.
	HandshakeTimeout time.Duration

	// MaxHandshakeBytes bounds the request head, and is what a handshake takes
	// of memory. Default 8 KiB; negative means 1 MiB, as there must be a limit.
	MaxHandshakeBytes int

	// MaxMessageBytes bounds a message, all its fragments together; a larger
	// one closes the connection with 1009 as soon as a header says so. It
	// bounds both forms of a deflated message, which may become a little longer
	// by it: 64 bytes and one in 256. Default 64 KiB.
	MaxMessageBytes int

	// MaxFragments bounds the frames of one message; more close the
	// connection with 1008. Default 1,024.
	MaxFragments int

	// MaxControlFrames bounds the ping, pong and close frames that a peer may
	// send in a second, with a burst of as many; more close the connection
	// with 1008. Default 64.
	MaxControlFrames int

	// FrameTimeout bounds the time from the first to the last byte of a
	// received frame; then the connection is closed with 1008. Default 10 s.
	FrameTimeout time.Duration

	// MessageTimeout bounds the time from the first to the last byte of a
	// message, over all its fragments; then the connection is closed with
	// 1008. Default 30 s.
	MessageTimeout time.Duration

	// WriteTimeout bounds the time in which a peer takes nothing of what is to be
	// written; then the connection is cut. DriverGoroutine sees what a peer has
	// taken after each 64 KiB only. Default 10 s.
	WriteTimeout time.Duration

	// CloseTimeout bounds the close handshake, from our close frame to the
	// peer's; then the connection is cut. Default 5 s.
	CloseTimeout time.Duration

	// PingInterval is the silence after which the peer is sent a ping, give
	// or take a tenth, so that the pings of many connections spread. Any byte
	// from the peer counts as a sign of life. Default 25 s.
	PingInterval time.Duration

	// PongTimeout is how long the peer may stay silent after that ping; then
	// the connection is cut. Default 10 s.
	PongTimeout time.Duration

	// MaxQueueBytes bounds what waits to be written to one connection, frame
	// headers included, and deflated if it is. What would exceed it is refused with ErrSlowConsumer,
	// and the connection is closed with 4508. Default 1 MiB.
	MaxQueueBytes int

	// MaxQueueFrames bounds the same in frames. Default 1,024.
	MaxQueueFrames int
}

// Driver names what reads and writes the sockets of connections.
type Driver string

const (
	// DriverAuto is DriverPoll where it works, and DriverGoroutine elsewhere.
	DriverAuto Driver = ""

	// DriverPoll serves plaintext TCP on Linux from a few goroutines over
	// epoll: an idle connection has neither a goroutine nor a buffer. Whatever
	// is not plaintext TCP, such as TLS and net.Pipe, is served by
	// DriverGoroutine all the same.
	DriverPoll Driver = "poll"

	// DriverGoroutine serves any net.Conn on any system, with a goroutine for
	// each.
	DriverGoroutine Driver = "goroutine"
)

const noLimit = int(^uint(0) >> 1)

// withDefaults returns a copy of o in which every limit has its value.
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
			*v = noLimit
		}
	}
	span := func(v *time.Duration, def time.Duration) {
		switch {
		case *v == 0:
			*v = def
		case *v < 0:
			*v = never
		}
	}
	count(&c.MaxConns, noLimit)
	count(&c.MaxConnsPerIP, noLimit)
	count(&c.MaxHandshakeBytes, 8<<10)
	if c.MaxHandshakeBytes == noLimit {
		c.MaxHandshakeBytes = 1 << 20
	}
	count(&c.MaxMessageBytes, 64<<10)
	count(&c.MaxFragments, 1024)
	count(&c.MaxControlFrames, 64)
	count(&c.MaxQueueBytes, 1<<20)
	count(&c.MaxQueueFrames, 1024)
	switch {
	case c.DeflateThreshold == 0:
		c.DeflateThreshold = 512
	case c.DeflateThreshold < 0:
		c.DeflateThreshold = 0
	}
	span(&c.HandshakeTimeout, 5*time.Second)
	span(&c.FrameTimeout, 10*time.Second)
	span(&c.MessageTimeout, 30*time.Second)
	span(&c.WriteTimeout, 10*time.Second)
	span(&c.CloseTimeout, 5*time.Second)
	span(&c.PingInterval, 25*time.Second)
	span(&c.PongTimeout, 10*time.Second)
	return c
}

// never is longer than any connection lives.
const never = 100 * 365 * 24 * time.Hour

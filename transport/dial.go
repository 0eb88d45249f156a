package transport

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Dialer opens client connections. The zero value is ready for use. It may be
// used by many goroutines at once; connections of one Dialer share its timers
// and counters.
type Dialer struct {
	// Options are the limits of the connections: those of the handshake, of
	// messages, pings and queues, and Deflate; the rest is not looked at. nil means the
	// defaults. It is read at the first Dial.
	Options *Options

	// Subprotocols are offered to the server, most wanted first.
	Subprotocols []string

	// Header is sent along with the request. The fields of the handshake
	// itself cannot be given.
	Header http.Header

	// TLSConfig is used for wss; nil means the defaults.
	TLSConfig *tls.Config

	// NetDial opens the network connection; nil means net.Dialer. For wss, TLS
	// is laid over what it returns.
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)

	once lazyShared
}

// Dial opens a connection to a ws or wss URL with the defaults; see
// Dialer.Dial.
func Dial(ctx context.Context, rawURL string, h Handler) (*Conn, error) {
	return new(Dialer).Dial(ctx, rawURL, h)
}

// Dial opens a connection to a ws or wss URL. h gets what happens on it. ctx,
// and Options.HandshakeTimeout, bound the opening only. A refusal by the
// server is a *StatusError.
func (d *Dialer) Dial(ctx context.Context, rawURL string, h Handler) (*Conn, error) {
	c, err := d.dial(ctx, rawURL, h)
	if err != nil {
		return nil, fmt.Errorf("transport: dial %s: %w", rawURL, err)
	}
	return c, nil
}

func (d *Dialer) dial(ctx context.Context, rawURL string, h Handler) (*Conn, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	switch u.Scheme {
	case "ws":
		if port == "" {
			port = "80"
		}
	case "wss":
		if port == "" {
			port = "443"
		}
	default:
		return nil, fmt.Errorf("scheme %q is neither ws nor wss", u.Scheme)
	}
	ctx, cancel := context.WithTimeout(ctx, d.once.get(d.Options).opts.HandshakeTimeout)
	defer cancel()
	open := d.NetDial
	if open == nil {
		open = new(net.Dialer).DialContext
	}
	nc, err := open(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, err
	}
	if u.Scheme == "wss" {
		cfg := &tls.Config{MinVersion: tls.VersionTLS12}
		if d.TLSConfig != nil {
			cfg = d.TLSConfig.Clone()
		}
		if cfg.ServerName == "" {
			cfg.ServerName = u.Hostname()
		}
		cfg.NextProtos = []string{"http/1.1"}
		tc := tls.Client(nc, cfg)
		if err := tc.HandshakeContext(ctx); err != nil {
			nc.Close() //nolint:errcheck // the first error counts
			return nil, err
		}
		nc = tc
	}
	return d.client(ctx, nc, u, h)
}

// client does the opening handshake on nc, which it owns.
func (d *Dialer) client(ctx context.Context, nc net.Conn, u *url.URL, h Handler) (*Conn, error) {
	sh := d.once.get(d.Options)
	stop := context.AfterFunc(ctx, func() {
		nc.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // what cannot be hurried ends with the peer
	})
	fail := func(err error) (*Conn, error) {
		stop()
		nc.Close() //nolint:errcheck // the first error counts
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	req, key, err := appendClientRequest(nil, u, d.Subprotocols, sh.opts.Deflate, d.Header)
	if err != nil {
		return fail(err)
	}
	if _, err := nc.Write(req); err != nil {
		return fail(err)
	}
	head, rest, err := readResponseHead(nc, make([]byte, 0, sh.opts.MaxHandshakeBytes))
	if err != nil {
		return fail(err)
	}
	proto, deflate, err := checkResponse(head, key, d.Subprotocols, sh.opts.Deflate)
	if err != nil {
		return fail(err)
	}
	if !stop() {
		return fail(ctx.Err())
	}
	c := newConn(sh.pick(), netCarrier{nc}, true, proto)
	c.deflate = deflate
	c.start(h, rest)
	return c, nil
}

// Stats returns the counters of the dialer's connections.
func (d *Dialer) Stats() Stats {
	return d.once.get(d.Options).snapshot()
}

package transport

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
)

// lazyShared is what the connections of a Dialer share, made at the first use.
type lazyShared struct {
	once sync.Once
	sh   *shared
}

func (l *lazyShared) get(o *Options) *shared {
	l.once.Do(func() { l.sh = newShared(o) })
	return l.sh
}

// Pipe connects to s in memory, over net.Pipe, with everything that a
// connection over TCP has but the network: handshake, frames and timers. path
// is the request target, such as "/ws?room=1". It works inside a
// testing/synctest bubble.
func (d *Dialer) Pipe(ctx context.Context, s *Server, path string, h Handler) (*Conn, error) {
	u, err := url.Parse("ws://pipe/" + strings.TrimPrefix(path, "/"))
	if err != nil {
		return nil, fmt.Errorf("transport: pipe: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, d.once.get(d.Options).opts.HandshakeTimeout)
	defer cancel()
	client, server := net.Pipe()
	s.ServeConn(server)
	c, err := d.client(ctx, client, u, h)
	if err != nil {
		return nil, fmt.Errorf("transport: pipe: %w", err)
	}
	return c, nil
}

// Pipe returns the two ends of a connection in memory that has been opened
// already: what one sends, the handler of the other gets. o may be nil.
func Pipe(server, client Handler, o *Options) (serverEnd, clientEnd *Conn) {
	sh := newSharedOf(o, 1).pick()
	a, b := net.Pipe()
	serverEnd = newConn(sh, netCarrier{a}, false, "")
	clientEnd = newConn(sh, netCarrier{b}, true, "")
	serverEnd.deflate, clientEnd.deflate = sh.opts.Deflate, sh.opts.Deflate
	serverEnd.start(server, nil)
	clientEnd.start(client, nil)
	return serverEnd, clientEnd
}

package main

import (
	"net"
	"net/http"
	"os"
	"time"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/mempool"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"

	"github.com/wireroom/wireroom/bench/internal/contract"
)

// nbioPeer follows websocket/server/server.go of lesismal/nbio-examples and,
// for the pool of buffers and the absence of read deadlines, what the author
// runs against other libraries: frameworks/nbio_nonblocking/server.go of
// lesismal/go-websocket-benchmark. The limit of what waits for a slow member,
// after which its connection is closed, is that of nbio's README.
//
// Under churn it fails now and then: v1.6.4 closes about one of 10,000 new
// connections before it is upgraded, also if all options are left alone. Its
// poller knows connections by their descriptors only, and what epoll said of
// one that has been closed meanwhile may be taken for news of the next one
// that got the same descriptor.
var nbioPeer = peer{
	name: "nbio", module: "github.com/lesismal/nbio",
	about: "poller with IOModNonBlocking; UTF-8 checked (its default); WriteMessage for each member; slow members: closed at 6 MiB. " +
		"It drops empty messages, and under churn about one connection in 10,000",
	apps: contract.Apps, start: startNbio,
}

// nbioBuffer is what the buffers in the pool hold: the longest message, and
// 1,024 bytes more, as in the author's benchmark.
const nbioBuffer = 1024 + 1024

func startNbio(app contract.App, addr string) (net.Addr, error) {
	logging.Output = os.Stderr
	logging.SetLevel(logging.LevelError)
	mempool.DefaultMemPool = mempool.New(nbioBuffer, 1<<30)

	room := newMembers[*websocket.Conn]()
	u := websocket.NewUpgrader()
	u.KeepaliveTime = 0
	u.MessageLengthLimit = messageLimit
	if app == contract.RPC {
		u.Subprotocols = subprotocols
	}
	if app == contract.Room || app == contract.Churn {
		u.OnOpen(room.join)
		u.OnClose(func(c *websocket.Conn, _ error) { room.leave(c) })
	}
	// A write that fails closes the connection.
	u.OnMessage(func(c *websocket.Conn, t websocket.MessageType, data []byte) {
		switch app {
		case contract.RPC:
			if out, err := answerCall(t == websocket.BinaryMessage, data); err == nil {
				_ = c.WriteMessage(t, out)
			}
		case contract.Room:
			for _, member := range room.all() {
				_ = member.WriteMessage(t, data)
			}
		default:
			_ = c.WriteMessage(t, data)
		}
	})
	listening := make(chan net.Addr, 1)
	engine := nbhttp.NewEngine(nbhttp.Config{
		Network:                 "tcp",
		Addrs:                   []string{addr},
		IOMod:                   nbhttp.IOModNonBlocking,
		ReleaseWebsocketPayload: true,
		MaxWriteBufferSize:      6 << 20,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c, err := u.Upgrade(w, r, nil); err == nil {
				_ = c.SetReadDeadline(time.Time{})
			}
		}),
		Listen: func(network, addr string) (net.Listener, error) {
			l, err := net.Listen(network, addr)
			if err == nil {
				listening <- l.Addr()
			}
			return l, err
		},
	})
	if err := engine.Start(); err != nil {
		return nil, err
	}
	return <-listening, nil
}

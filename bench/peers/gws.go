package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/lxzan/gws"

	"github.com/wireroom/wireroom/bench/internal/contract"
)

// gwsPeer follows the README of gws: its own server ("Quick Start"), ReadLoop
// in a goroutine of its own and WriteMessage ("Best Practice"), a Broadcaster
// ("Broadcast").
//
// Of "Best Practice" it leaves out ParallelEnabled, with which messages of one
// connection are handled at the same time, so that the echoes of a pipelining
// client come back in any order, and the deadline that only pings of the client
// put off, because the load generator sends none.
var gwsPeer = peer{
	name: "gws", module: "github.com/lxzan/gws",
	about: "goroutine per connection, its own HTTP server; ParallelEnabled off, as it reorders; UTF-8 not checked (its default); " +
		"WriteMessage, in rooms a Broadcaster; slow members: a queue without limit (its documentation has nothing for queues)",
	apps: contract.Apps, start: startGws,
}

type gwsHandler struct {
	gws.BuiltinEventHandler
	app  contract.App
	room *members[*gws.Conn]
}

func startGws(app contract.App, addr string) (net.Addr, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	option := &gws.ServerOption{ReadMaxPayloadSize: messageLimit}
	if app == contract.RPC {
		option.SubProtocols = subprotocols
	}
	srv := gws.NewServer(&gwsHandler{app: app, room: newMembers[*gws.Conn]()}, option)
	srv.OnRequest = func(conn net.Conn, br *bufio.Reader, r *http.Request) {
		socket, err := srv.GetUpgrader().UpgradeFromConn(conn, br, r)
		if err != nil {
			srv.OnError(conn, err)
			return
		}
		go socket.ReadLoop() // and not here, where the request would stay in memory
	}
	go func() { fmt.Fprintln(os.Stderr, "gws:", srv.RunListener(l)) }()
	return l.Addr(), nil
}

func (h *gwsHandler) OnOpen(c *gws.Conn) {
	if h.app == contract.Room || h.app == contract.Churn {
		h.room.join(c)
	}
}

func (h *gwsHandler) OnClose(c *gws.Conn, _ error) {
	if h.app == contract.Room || h.app == contract.Churn {
		h.room.leave(c)
	}
}

func (h *gwsHandler) OnPing(c *gws.Conn, payload []byte) { _ = c.WritePong(payload) }

// OnMessage ignores errors of writing: gws handles them itself ("Attention").
func (h *gwsHandler) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close() //nolint:errcheck // always nil
	switch h.app {
	case contract.RPC:
		if out, err := answerCall(m.Opcode == gws.OpcodeBinary, m.Bytes()); err == nil {
			_ = c.WriteMessage(m.Opcode, out)
		}
	case contract.Room:
		b := gws.NewBroadcaster(m.Opcode, m.Bytes())
		for _, member := range h.room.all() {
			_ = b.Broadcast(member)
		}
		_ = b.Close()
	default:
		_ = c.WriteMessage(m.Opcode, m.Bytes())
	}
}

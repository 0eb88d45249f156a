package main

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/centrifugal/centrifuge"

	"github.com/wireroom/wireroom/bench/internal/contract"
	"github.com/wireroom/wireroom/bench/internal/wire"
)

// centrifugePeer follows the README ("Tutorial") and the benchmark in
// _examples/benchmark/bench_server: its JSON protocol, messages as RPC, and
// write buffers from a pool. Rooms are a channel that the server subscribes the
// client to as it connects; what comes as RPC is published to it. So one
// message of the client does for all apps, and a publication costs what one
// by the client would.
//
// Of the benchmark it leaves out ReplyWithoutQueue: without the queue replies
// are not joined, which at depth 16 costs twice as much and at depth 1 saves a
// tenth.
var centrifugePeer = peer{
	name: "centrifuge", module: "github.com/centrifugal/centrifuge",
	about: "two goroutines per connection, JSON protocol above its own fork of gorilla/websocket; UTF-8 not checked (it does not); " +
		"memory broker; slow members: disconnected when 1 MiB waits, or a write takes 1 s (its defaults). No rpc: its protocol is not JSON-RPC",
	apps: []contract.App{contract.Echo, contract.Room, contract.Churn}, start: startCentrifuge,
	dialect: &wire.Dialect{
		Path:    "/connection/websocket",
		Hello:   []string{`{"id":1,"connect":{}}`},
		Ready:   []string{`"connect":{`},
		Before:  `{"id":2,"rpc":{"method":"message","data":"`,
		After:   `"}}`,
		Answers: map[string]string{"{}": "{}"},
	},
}

const centrifugeChannel = "bench"

func startCentrifuge(app contract.App, addr string) (net.Addr, error) {
	node, err := centrifuge.New(centrifuge.Config{
		LogLevel:   centrifuge.LogLevelError,
		LogHandler: func(e centrifuge.LogEntry) { fmt.Fprintln(os.Stderr, "centrifuge:", e.Message, e.Fields) },
	})
	if err != nil {
		return nil, err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		reply := centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: "bench"}}
		if app != contract.Echo {
			reply.Subscriptions = map[string]centrifuge.SubscribeOptions{centrifugeChannel: {}}
		}
		return reply, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnRPC(func(e centrifuge.RPCEvent, reply centrifuge.RPCCallback) {
			if app == contract.Room {
				_, err := node.Publish(centrifugeChannel, e.Data)
				reply(centrifuge.RPCReply{}, err)
				return
			}
			reply(centrifuge.RPCReply{Data: e.Data}, nil)
		})
	})
	if err := node.Run(); err != nil {
		return nil, err
	}
	return serveHTTP(addr, centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		MessageSizeLimit: messageLimit, UseWriteBufferPool: true,
	}))
}

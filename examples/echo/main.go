// Command echo is a WebSocket server that sends every message back as it came.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/wireroom/wireroom/actor"
)

// echo gets the messages of one connection in order, and sends each back as
// what it was, text or binary. Sending does not wait for the peer. A client that
// sends without reading fills its queue and is closed with 4508; that, or a
// client that has gone, is what an error would say, and there is nothing left
// to do about it.
func echo(_ context.Context, from actor.WsSender, m actor.Message) {
	_ = from.SendMessage(m)
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to listen on")
	flag.Parse()

	engine, err := actor.New(&actor.Options{OnMessage: echo})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", engine)
	if err := serve(*addr, mux, engine); err != nil {
		log.Fatal(err)
	}
}

// serve serves h on addr until SIGINT or SIGTERM. Then the engine closes its
// connections with 1001 (going away), which net/http knows nothing of.
func serve(addr string, h http.Handler, engine *actor.Engine) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	log.Printf("listening on ws://%s/ws", l.Addr())
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		stop() // a second signal ends the program at once
		grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		ended <- errors.Join(engine.Shutdown(grace), srv.Shutdown(grace))
	})
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}

// Command chat is a chat: rooms, who is in them, and a page for the browser.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/wireroom/wireroom/actor"
)

//go:embed page
var embedded embed.FS

// page serves the files of the page, which load nothing from elsewhere and run
// no script but app.js. Pages of this host may connect to the WebSocket, those
// of others may not: that is the engine's default.
func page() (http.Handler, error) {
	dir, err := fs.Sub(embedded, "page")
	if err != nil {
		return nil, err
	}
	files := http.FileServerFS(dir)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"+
			" connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		files.ServeHTTP(w, r)
	}), nil
}

// newServer returns the engine with the chat in it, and what serves both.
func newServer() (*actor.Engine, http.Handler, error) {
	engine, err := actor.New(nil)
	if err != nil {
		return nil, nil, err
	}
	if err := newChat(engine); err != nil {
		return nil, nil, err
	}
	files, err := page()
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/ws", engine)
	mux.Handle("/", files)
	return engine, mux, nil
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to listen on")
	flag.Parse()

	engine, handler, err := newServer()
	if err != nil {
		log.Fatal(err)
	}
	if err := serve(*addr, handler, engine); err != nil {
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
	log.Printf("listening on ws://%[1]s/ws, page at http://%[1]s/", l.Addr())
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

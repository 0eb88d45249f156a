// Command calculator serves the methods that the examples of the JSON-RPC 2.0
// specification call (section 7), over WebSocket.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"math"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/wireroom/wireroom/actor"
)

// Calculator is an ordinary struct: its exported methods become methods of the
// wire. It has no state, so connections may call it at the same time.
type Calculator struct{}

// Subtract is called as subtract, by position or by name.
func (Calculator) Subtract(minuend, subtrahend float64) (float64, error) {
	return finite(minuend - subtrahend)
}

// Sum takes any number of parameters.
func (Calculator) Sum(numbers ...float64) (float64, error) {
	total := 0.0
	for _, n := range numbers {
		total += n
	}
	return finite(total)
}

// GetData is called as get_data.
func (Calculator) GetData() []any { return []any{"hello", 5} }

// Update returns nothing. Called as a notification it is not answered at all;
// called with an id it is answered with null.
func (Calculator) Update(numbers ...float64) { log.Println("update", numbers) }

// NotifyHello is like Update.
func (Calculator) NotifyHello(numbers ...float64) { log.Println("notify_hello", numbers) }

// NotifySum is like Update.
func (Calculator) NotifySum(numbers ...float64) { log.Println("notify_sum", numbers) }

// codeOverflow is an error code of our own: any will do that is not between
// -32768 and -32000, which the specification reserves.
const codeOverflow = 1

// finite returns n, or an error that the client gets to see if n cannot be
// written as JSON. Of other errors a client sees only "Internal error".
func finite(n float64) (float64, error) {
	if math.IsInf(n, 0) {
		return 0, actor.Errorf(codeOverflow, "the result is too large")
	}
	return n, nil
}

// register makes the methods callable. Go does not keep the names of
// parameters, so those that are to be given by name are named here.
func register(engine *actor.Engine) error {
	return engine.Register(Calculator{},
		actor.Method("Subtract", actor.Params("minuend", "subtrahend")))
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "address to listen on")
	flag.Parse()

	engine, err := actor.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := register(engine); err != nil {
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

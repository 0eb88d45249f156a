package transport_test

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// Verify that Shutdown comes to its end while connections arrive.
func TestShutdownWhileAccepting(t *testing.T) {
	for range 20 {
		s := newServer(t, newRecorder(), &transport.Options{Driver: transport.DriverPoll})
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		var wg sync.WaitGroup
		stop := make(chan struct{})
		for range 8 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if nc, err := net.Dial("tcp", l.Addr().String()); err == nil {
						_ = nc.Close()
					}
				}
			})
		}
		time.Sleep(10 * time.Millisecond)
		done := make(chan struct{})
		go func() {
			defer close(done)
			shutdown(t, s)
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatal("Shutdown hangs")
		}
		close(stop)
		wg.Wait()
		<-served
	}
}

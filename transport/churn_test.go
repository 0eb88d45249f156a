package transport_test

import (
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"github.com/wireroom/wireroom/transport"
)

// Verify that 2,000 connections that come and go leave nothing behind: no
// goroutine, no descriptor, no memory.
func TestChurn(t *testing.T) {
	const total, atOnce = 2000, 100
	s := acceptServer(t, func(*transport.Conn, *transport.Handshake) transport.Handler { return newEcho() }, nil)
	url := "ws://" + listenTCP(t, s) + "/"
	payload := strings.Repeat("x", 2000)
	round := func(n int) {
		var wg sync.WaitGroup
		for worker := range atOnce {
			wg.Go(func() {
				for i := worker; i < n; i += atOnce {
					rec := newRecorder()
					c, err := transport.Dial(t.Context(), url, rec)
					if err != nil {
						t.Error(err)
						return
					}
					if err := c.SendText(payload); err != nil {
						t.Error(err)
					}
					rec.wait(t, 1)
					switch i % 3 {
					case 0:
						c.Close(1000, "")
					case 1:
						c.Cut()
					case 2:
						_ = c.SendText(payload)
						transport.Drop(c)
					}
					rec.end(t)
				}
			})
		}
		wg.Wait()
		for s.Stats().Conns > 0 {
			wait(t)
		}
	}
	round(2 * atOnce) // what is made once is made now
	goroutines, fds, heap := runtime.NumGoroutine(), descriptors(), liveHeap()
	round(total)
	for runtime.NumGoroutine() > goroutines || descriptors() > fds {
		wait(t) // a writer may still have to see its error
	}
	if after := liveHeap(); after > heap+2<<20 {
		t.Errorf("%d KiB live before, %d KiB after", heap>>10, after>>10)
	}
	if st := s.Stats(); st.Accepted != total+2*atOnce || st.Conns != 0 {
		t.Errorf("%+v", st)
	}
}

// liveHeap returns how much of the heap is in use when all garbage is gone, the
// pools included.
func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// descriptors returns how many descriptors are open, or 0 where the system does
// not tell.
func descriptors() int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

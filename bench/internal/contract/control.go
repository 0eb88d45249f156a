package contract

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"time"
)

// Memory is what the control endpoint tells of a Go server, in bytes.
type Memory struct {
	Heap       uint64        `json:"heap"`  // live and dead objects
	Stack      uint64        `json:"stack"` // in use by goroutines
	Goroutines int           `json:"goroutines"`
	GCs        uint32        `json:"gcs"`
	GCPause    time.Duration `json:"gc_pause_ns"` // all of them together
}

// ReadMemory reads the memory of this process.
func ReadMemory() Memory {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Memory{
		Heap: m.HeapAlloc, Stack: m.StackInuse, Goroutines: runtime.NumGoroutine(),
		GCs: m.NumGC, GCPause: time.Duration(m.PauseTotalNs),
	}
}

// Collect forces a garbage collection, twice so that finalizers and pools are
// through, and gives what is free back to the system.
func Collect() {
	runtime.GC()
	debug.FreeOSMemory() // which is a GC, too
}

// ServeControl serves the control endpoint of this process:
//
//	GET  /memory     Memory, as JSON
//	POST /gc         Collect, then the same
//	POST /cpu/start  begin a CPU profile
//	POST /cpu/stop   end it; the answer is the profile
//	GET  /heap       a heap profile
func ServeControl(addr string) (net.Addr, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	var p profiler
	mux := http.NewServeMux()
	mux.HandleFunc("GET /memory", writeMemory)
	mux.HandleFunc("POST /gc", func(w http.ResponseWriter, r *http.Request) {
		Collect()
		writeMemory(w, r)
	})
	mux.HandleFunc("POST /cpu/start", p.start)
	mux.HandleFunc("POST /cpu/stop", p.stop)
	mux.HandleFunc("GET /heap", func(w http.ResponseWriter, _ *http.Request) {
		Collect()
		if err := pprof.Lookup("heap").WriteTo(w, 0); err != nil {
			panic(http.ErrAbortHandler)
		}
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	srv.SetKeepAlivesEnabled(false) // nothing of it is to stay in the memory that is measured
	go srv.Serve(l)                 //nolint:errcheck // it lives as long as the process
	return l.Addr(), nil
}

func writeMemory(w http.ResponseWriter, _ *http.Request) {
	if err := json.NewEncoder(w).Encode(ReadMemory()); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// profiler holds the CPU profile that is being taken.
type profiler struct {
	mu      sync.Mutex
	running bool         // buf is being written to
	buf     bytes.Buffer // of the last profile
}

func (p *profiler) start(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running {
		http.Error(w, "a profile is being taken", http.StatusConflict)
		return
	}
	p.buf.Reset()
	if err := pprof.StartCPUProfile(&p.buf); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	p.running = true
}

func (p *profiler) stop(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pprof.StopCPUProfile()
	p.running = false
	if _, err := w.Write(p.buf.Bytes()); err != nil {
		panic(http.ErrAbortHandler)
	}
}

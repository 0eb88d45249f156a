package transport_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"testing"

	"github.com/wireroom/wireroom/transport"
)

// Where the clients of BenchmarkIdle go, in the process that has them, and how
// many they are.
const (
	idleURL   = "TEST_IDLE_URL"
	idleConns = "TEST_IDLE_CONNS"
)

// TestIdleClients is no test: it is the process of the clients of BenchmarkIdle.
func TestIdleClients(t *testing.T) {
	scheme, addr := "", ""
	if _, err := fmt.Sscanf(os.Getenv(idleURL), "%s %s", &scheme, &addr); err != nil {
		t.Skip("only for BenchmarkIdle")
	}
	n, err := strconv.Atoi(os.Getenv(idleConns))
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if scheme == "wss" {
			nc = tls.Client(nc, &tls.Config{InsecureSkipVerify: true}) // it is our own, and there is nothing to hide
		}
		if _, err := nc.Write(upgradeRequest("/")); err != nil {
			t.Fatal(err)
		}
		if resp, err := http.ReadResponse(bufio.NewReader(nc), nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(resp, err)
		}
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the benchmark has seen enough
}

// BenchmarkIdle reports what a connection takes of the server while nothing
// happens, in each way that it can be served. The clients are in another
// process.
func BenchmarkIdle(b *testing.B) {
	const n = 500
	cert, _ := selfSigned(b)
	for _, bm := range []struct {
		name, scheme string
		opts         transport.Options
	}{
		{"poll", "ws", transport.Options{}},
		{"goroutine", "ws", transport.Options{Driver: transport.DriverGoroutine}},
		{"TLS", "wss", transport.Options{TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			var heap, stack, goroutines float64
			runs := 0
			for b.Loop() {
				s := newServer(b, discarder{}, &bm.opts)
				addr := listenTCP(b, s)
				h, st, g := idleMemory(b, s, bm.scheme, addr, n)
				heap, stack, goroutines, runs = heap+h, stack+st, goroutines+g, runs+1
				shutdown(b, s)
			}
			b.ReportMetric(heap/float64(runs), "heap-B/conn")
			b.ReportMetric(stack/float64(runs), "stack-B/conn")
			b.ReportMetric(goroutines/float64(runs), "goroutines/conn")
		})
	}
}

// idleMemory has n clients connect and returns what each of them takes.
func idleMemory(b *testing.B, s *transport.Server, scheme, addr string, n int) (heap, stack, goroutines float64) {
	b.Helper()
	clients := func(n int, then func()) {
		cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestIdleClients$")
		cmd.Env = append(os.Environ(), idleURL+"="+scheme+" "+addr, fmt.Sprintf("%s=%d", idleConns, n))
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			b.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
			b.Fatalf("the clients say %q", line)
		}
		until(b, "the connections", func() bool { return s.Stats().Conns == n })
		then()
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			b.Fatal(err)
		}
		until(b, "the end", func() bool { return s.Stats().Conns == 0 })
	}
	memory := func() (heap, stack, goroutines float64) {
		heap = float64(liveHeap())
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return heap, float64(m.StackInuse), float64(runtime.NumGoroutine())
	}
	clients(10, func() {}) // what is made once is made now
	h, st, g := memory()
	clients(n, func() {
		h1, st1, g1 := memory()
		heap, stack, goroutines = (h1-h)/float64(n), (st1-st)/float64(n), (g1-g)/float64(n)
	})
	return heap, stack, goroutines
}

// Package sim holds more connections than the machine has descriptors for:
// their sockets are made of memory. What the kernel costs is not in its
// figures, and the server uses the driver for connections that are no TCP
// sockets. It tells how the runtime above the sockets grows.
package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/bench/internal/contract"
	"github.com/wireroom/wireroom/bench/internal/record"
	"github.com/wireroom/wireroom/bench/internal/wireroom"
	"github.com/wireroom/wireroom/transport"
)

const (
	rounds   = 5
	burst    = 16               // broadcasts at once
	payload  = 256              // bytes
	patience = 60 * time.Second // for any one step
)

// PerConnection is about how much memory a simulated connection takes, in
// bytes, to be asked for before it is too late.
const PerConnection = 12 << 10

// Sizes returns the numbers of connections to simulate, up to a limit.
func Sizes(limit int) []int {
	var out []int
	for n := 1000; n < limit; n *= 10 {
		out = append(out, n)
	}
	return append(out, limit)
}

// Main simulates as many connections as args say and writes a record.Sim, as
// JSON, to out.
func Main(args []string, out io.Writer) error {
	if len(args) != 1 {
		return fmt.Errorf("sim: how many connections?")
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	res, err := Simulate(n)
	if err != nil {
		return fmt.Errorf("sim: %w", err)
	}
	return json.NewEncoder(out).Encode(res)
}

// Simulate measures n connections in this process. The engine, and what it
// holds, stays until the process ends.
func Simulate(n int) (record.Sim, error) {
	res := record.Sim{Connections: n}
	// The clients say nothing, and a million of them take longer to come than
	// the time after which they would be pinged.
	engine, err := wireroom.New(contract.Room, "", transport.Options{PingInterval: -1})
	if err != nil {
		return res, err
	}
	empty := weigh()
	w := newWorld(n)
	res.Client = float64(weigh().Heap-empty.Heap) / float64(n)
	begin := time.Now()
	if err := w.connect(engine); err != nil {
		return res, err
	}
	res.OpenedPerSec = float64(n) / time.Since(begin).Seconds()
	if err := joined(engine, n); err != nil {
		return res, err
	}
	full := weigh()
	res.Bytes = (float64(full.Heap+full.Stack) - float64(empty.Heap+empty.Stack)) / float64(n)
	res.Goroutines = float64(full.Goroutines-empty.Goroutines) / float64(n)
	if res.PerMember, err = w.broadcast(engine, 1); err != nil {
		return res, err
	}
	if res.PerMember16, err = w.broadcast(engine, burst); err != nil {
		return res, err
	}
	before := contract.ReadMemory()
	begin = time.Now()
	runtime.GC()
	res.GC = time.Since(begin)
	res.GCPause = contract.ReadMemory().GCPause - before.GCPause
	runtime.KeepAlive(w)
	return res, nil
}

// joined waits until all are in the room, and the goroutines of their
// handshakes have come to their end.
func joined(e *actor.Engine, n int) error {
	room := e.Room(wireroom.RoomName)
	for end := time.Now().Add(patience); room.Len() < n; {
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d connections have joined", room.Len(), n)
		}
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond)
	return nil
}

func weigh() contract.Memory {
	contract.Collect()
	return contract.ReadMemory()
}

// broadcast has the room tell its members k things at once, a few times, and
// returns the time for one message to one member.
func (w *world) broadcast(e *actor.Engine, k int) (time.Duration, error) {
	text := strings.Repeat("x", payload)
	room := e.Room(wireroom.RoomName)
	begin := time.Now()
	for range rounds {
		w.expect(k, text)
		for range k {
			if err := room.BroadcastText(text); err != nil {
				return 0, err
			}
		}
		if err := w.wait("broadcasts"); err != nil {
			return 0, err
		}
	}
	return time.Since(begin) / time.Duration(rounds*k*len(w.conns)), nil
}

//go:build linux

// Package load is the load generator: one thread, one epoll set, system calls
// that never wait. It is a process of its own, so that what it costs is not in
// the server's figures, and it takes the server's processor time itself, at the
// very moments at which the measured part begins and ends.
//
// The harness talks to it by lines. It gets a Spec, says "connected", waits for
// "go", says "measuring" and "result …", and closes its connections when its
// standard input ends.
package load

import (
	"fmt"
	"time"

	"github.com/wireroom/wireroom/bench/internal/record"
	"github.com/wireroom/wireroom/bench/internal/wire"
)

// Spec says what to do.
type Spec struct {
	Kind        record.Kind   `json:"kind"`
	Addr        string        `json:"addr"`
	Path        string        `json:"path"`
	Subprotocol string        `json:"subprotocol,omitempty"`
	Sources     []string      `json:"sources,omitempty"` // addresses to connect from, in turn
	Connections int           `json:"connections"`
	Bytes       int           `json:"bytes"`                // of a payload; 0 for calls
	Window      int           `json:"window"`               // messages under way: of a connection, or broadcasts
	Rate        float64       `json:"rate,omitempty"`       // broadcasts in a second, when paced
	Slow        int           `json:"slow,omitempty"`       // members that do not read
	Broadcasts  uint64        `json:"broadcasts,omitempty"` // ends the measured part early
	Warmup      time.Duration `json:"warmup_ns"`
	Duration    time.Duration `json:"duration_ns"`           // of the measured part
	Patience    time.Duration `json:"patience_ns,omitempty"` // after which silence is a failure; 0 means 5 s
	Server      int           `json:"server_pid"`
	Ours        []int         `json:"our_pids"` // other processes that are part of the run
	Dialect     *wire.Dialect `json:"dialect,omitempty"`
	Masked      bool          `json:"masked"` // the server returns frames as they came
}

func (s *Spec) patience() time.Duration {
	if s.Patience > 0 {
		return s.Patience
	}
	return stallTime
}

// message returns what is sent.
func (s *Spec) message() (*wire.Message, error) {
	switch {
	case s.Kind != record.RPC:
		m, err := wire.Text(s.Bytes)
		if err == nil && s.Dialect != nil {
			m.Dress(s.Dialect)
		}
		return m, err
	case s.Subprotocol == "" || s.Subprotocol == jsonProtocol:
		return wire.CallJSON(), nil
	case s.Subprotocol == msgpackProtocol:
		return wire.CallMsgpack(), nil
	}
	return nil, fmt.Errorf("no calls for subprotocol %q", s.Subprotocol)
}

//go:build linux

package run

import (
	"errors"
	"time"

	"github.com/wireroom/wireroom/bench/internal/load"
	"github.com/wireroom/wireroom/bench/internal/proc"
	"github.com/wireroom/wireroom/bench/internal/record"
)

const (
	idleClients = 4   // load generators
	reserved    = 200 // descriptors that a server needs for itself and for connections it is just accepting
	settleTime  = 300 * time.Millisecond
)

// idle weighs the server without connections, with as many as it can hold, and
// after a garbage collection; then each connection must answer once.
func (r *runner) idle(res *record.Run, p *profile) error {
	total := r.c.Connections
	if total == 0 {
		total = proc.Descriptors() - reserved
	}
	in := &record.Idle{Connections: total}
	res.Idle = in
	var err error
	if in.Empty, err = r.footprint(true); err != nil {
		return err
	}
	for i := range idleClients {
		spec := r.spec()
		spec.Sources = sources(idleClients)[i : i+1]
		spec.Connections = total*(i+1)/idleClients - total*i/idleClients
		if _, err := r.client(spec); err != nil {
			return err
		}
	}
	for _, p := range r.clients {
		if err := await(p, load.Connected, connectTimeout); err != nil {
			return err
		}
	}
	time.Sleep(settleTime) // goroutines of handshakes come to their end
	if in.Full, err = r.footprint(false); err != nil {
		return err
	}
	if in.Collected, err = r.footprint(true); err != nil {
		return err
	}
	if err := p.heap(r.control); err != nil {
		return err
	}
	return r.alive(res)
}

// alive has each client send on all its connections, one client after the
// other.
func (r *runner) alive(res *record.Run) error {
	var errs []error
	for _, p := range r.clients {
		if err := p.say([]byte(load.Go)); err != nil {
			return err
		}
		l, err := result(p, r.c.Duration+graceTime)
		errs = append(errs, err)
		sum := &res.Load
		if sum.Error == "" {
			sum.Error = l.Error
		}
		sum.Connected += l.Connected
		sum.Messages += l.Messages
		sum.Lost += l.Lost
		sum.Repeated += l.Repeated
		sum.Reordered += l.Reordered
		sum.Corrupt += l.Corrupt
		sum.Closed += l.Closed
	}
	return errors.Join(errs...)
}

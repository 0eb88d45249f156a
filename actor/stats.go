package actor

import (
	"sync/atomic"

	"github.com/wireroom/wireroom/transport"
)

type counters struct {
	calls, errors, panics atomic.Uint64
	unmatched             atomic.Uint64
	uncancelled           atomic.Uint64
	unconverted           atomic.Uint64
	broadcasts, busy      atomic.Uint64
	deliveries            atomic.Uint64
}

// Stats counts what an engine has done since it was made.
type Stats struct {
	transport.Stats

	Calls     uint64 // requests and notifications
	Errors    uint64 // of them, and of messages that were none: answered with an error
	Panics    uint64 // of methods and hooks
	Unmatched uint64 // responses to nothing that we had asked

	Uncancelled uint64 // ids of rpc.cancel that were too many, or too long, to be kept

	Rooms      int    // now
	Broadcasts uint64 // taken by rooms
	Deliveries uint64 // of broadcasts to members
	Busy       uint64 // broadcasts refused with ErrBusy
	// Unconverted counts broadcasts that could not be converted for a codec
	// whose first member came while they were on their way.
	Unconverted uint64

	DeadLetters uint64 // messages to actors that could not be delivered
}

// Stats returns the counters of the engine.
func (e *Engine) Stats() Stats {
	s := &e.stats
	return Stats{
		Stats: e.server.Stats(),
		Calls: s.calls.Load(), Errors: s.errors.Load(), Panics: s.panics.Load(), Unmatched: s.unmatched.Load(),
		Uncancelled: s.uncancelled.Load(), Unconverted: s.unconverted.Load(),
		Rooms: e.rooms.len(), Broadcasts: s.broadcasts.Load(), Deliveries: s.deliveries.Load(), Busy: s.busy.Load(),
		DeadLetters: e.sys.dead.Load(),
	}
}

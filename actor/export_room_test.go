package actor

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"
	"unsafe"

	hw "github.com/anthdm/hollywood/actor"

	"github.com/wireroom/wireroom/transport"
)

// RegistryLen returns how many processes hollywood knows. hollywood does not
// tell, so this looks into it.
func (e *Engine) RegistryLen() int {
	v := reflect.ValueOf(e.sys.hw.Registry).Elem()
	mu := (*sync.RWMutex)(v.FieldByName("mu").Addr().UnsafePointer())
	mu.RLock()
	defer mu.RUnlock()
	return v.FieldByName("lookup").Len()
}

// Hollywood returns the engine behind the fence.
func (e *Engine) Hollywood() *hw.Engine { return e.sys.hw }

// Monitor returns the PID of the actor that counts dead letters.
func (e *Engine) Monitor() *PID { return e.sys.monitor }

// TrySend is Send with its error.
func (e *Engine) TrySend(pid *PID, msg any) error {
	e.sys.mu.Lock()
	defer e.sys.mu.Unlock()
	for _, m := range e.sys.actors {
		if m.pid.Equals(pid) {
			return m.trySend(msg, nil, m.max)
		}
	}
	return ErrClosed
}

// Actors returns how many actors are to be stopped at the end.
func (e *Engine) Actors() int {
	e.sys.mu.Lock()
	defer e.sys.mu.Unlock()
	return len(e.sys.actors)
}

type roomHook func()

func (f roomHook) inRoom(*room) { f() }

// Do runs f in the room's actor, in the order of what it has been sent. It
// reports false if the room is not there.
func (r Room) Do(f func()) bool {
	rm, _ := r.e.rooms.get(r.name, false)
	return rm != nil && rm.post(roomHook(f))
}

// TransportConn returns the connection under the sender, or nil.
func TransportConn(s WsSender) *transport.Conn { return s.live() }

// ConnShell is what a connection's actor takes by itself.
const ConnShell = unsafe.Sizeof(conn{})

// NewShells makes n connections without a transport, as accept does.
func (e *Engine) NewShells(n int) ([]WsSender, error) {
	out := make([]WsSender, n)
	for i := range out {
		c := &conn{e: e}
		c.pid.Address, c.pid.ID = e.sys.hw.Address(), connKind+"/"+randomID()
		if err := e.sys.register(c); err != nil {
			return nil, err
		}
		out[i] = WsSender{c}
	}
	return out, nil
}

// ErrLibrary is what New fails with when hollywood has changed.
var ErrLibrary = errLibrary

// swallow is a process that does nothing.
type swallow struct{ pid *hw.PID }

func (s *swallow) Start()                         {}
func (s *swallow) PID() *hw.PID                   { return s.pid }
func (s *swallow) Send(*hw.PID, any, *hw.PID)     {}
func (s *swallow) Invoke([]hw.Envelope)           {}
func (s *swallow) Shutdown()                      {}
func newSwallow(e *hw.Engine, id string) *swallow { return &swallow{hw.NewPID(e.Address(), id)} }

// LearnPill runs the self-test of newSystem in an engine in which processes
// that swallow everything stand under the given names.
func LearnPill(swallowing ...string) error {
	engine, err := hw.NewEngine(hw.NewEngineConfig())
	if err != nil {
		return err
	}
	s := &system{hw: engine, event: func(Event) {}, actors: make(map[string]*mailbox)}
	for _, id := range swallowing {
		engine.SpawnProc(newSwallow(engine, id))
	}
	return s.learnPill()
}

// PoisonRaw is hollywood's own Poison, as an actor calls it through
// Context.Engine. It reports whether its context completes in time.
func (e *Engine) PoisonRaw(pid *PID, patience time.Duration) error {
	select {
	case <-e.sys.hw.Poison(pid).Done():
		return nil
	case <-time.After(patience):
		return errors.New("the context of Poison does not complete")
	}
}

// ShutdownActors is the part of Shutdown that ends actors.
func (e *Engine) ShutdownActors(ctx context.Context) []string { return e.sys.stopAll(ctx) }

// StrayPill returns the message by which hollywood stops an actor, and the
// context that it completes.
func (e *Engine) StrayPill() (any, context.Context) {
	p := &probe{pid: hw.NewPID(e.sys.hw.Address(), "stray")}
	e.sys.hw.SpawnProc(p)
	ctx := e.sys.hw.Poison(p.pid)
	e.sys.remove(p.pid)
	return p.got, ctx
}

// Deliver sends a message to a connection's actor as if it had been looked up
// before its end.
func Deliver(s WsSender, msg any) { s.c.Send(nil, msg, nil) }

// RoomsOf returns how many rooms the connection knows that it is in.
func RoomsOf(s WsSender) int {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return len(s.c.rooms)
}

// FanLimit is how many broadcasts rooms deliver together.
func FanLimit(e *Engine) int { return fanLimit(e.maxFrames) }

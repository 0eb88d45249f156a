package actor

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	hw "github.com/anthdm/hollywood/actor"
)

// This file is the only one that touches what is sharp about hollywood v1.0.5;
// hollywood_test.go has a test for each fence.
//
//   - Its inboxes have no bound, it loses messages that race a Poison, it never
//     completes the second of two Poisons, and a spawn under a taken name hands
//     out the other actor. So each actor of ours stands behind a mailbox: a
//     process under the actor's name that counts, refuses, and passes on.
//   - It ends the program when an actor panics for the fourth time, or while it
//     stops. So a guard around each receiver recovers, and keeps the state.
//   - Poison ignores the address of a PID. So stop looks at it.
//   - Requests leak when nobody waits, and answers meet wrong requests. So ask
//     is our own.

// PID names an actor, of this engine or, by its address, of another one. A
// connection, a room and a service actor have one too. It may be copied by
// pointer and kept; what is sent to an actor that has ended is a dead letter.
type PID = hw.PID

// Receiver is an actor: it gets one message at a time.
type Receiver = hw.Receiver

// Context is what a Receiver gets with a message. It is valid until Receive
// returns.
type Context = hw.Context

// Producer makes the Receiver of an actor.
type Producer = hw.Producer

// Initialized is the first message that a Receiver gets, from the goroutine that
// spawns it.
type Initialized = hw.Initialized

// Started is the second.
type Started = hw.Started

// Stopped is the last.
type Stopped = hw.Stopped

// system is hollywood behind a fence.
type system struct {
	hw    *hw.Engine
	pill  reflect.Type // of hollywood's unexported poison pill
	event func(Event)
	seq   atomic.Uint64

	// Dead letters arrive here, our own and those of hollywood's making.
	monitor *hw.PID
	dead    atomic.Uint64
	reports atomic.Int64 // of our own that wait there

	mu     sync.Mutex
	actors map[string]*mailbox // by the ID of their PID, until they have ended
	ending bool
}

func newSystem(event func(Event)) (*system, error) {
	engine, err := hw.NewEngine(hw.NewEngineConfig())
	if err != nil {
		return nil, err
	}
	s := &system{hw: engine, event: event, actors: make(map[string]*mailbox)}
	if err := s.learnPill(); err != nil {
		return nil, err
	}
	// The probe of learnPill left no dead letter, so the monitor starts at zero.
	s.monitor = engine.SpawnFunc(s.watch, "wireroom-monitor", hw.WithID(s.unique()),
		hw.WithInboxSize(16), hw.WithMaxRestarts(-1), hw.WithRestartDelay(0))
	engine.Subscribe(s.monitor)
	return s, nil
}

// watch counts and reports dead letters.
func (s *system) watch(c *hw.Context) {
	switch m := c.Message().(type) {
	case report:
		s.reports.Add(-1)
		s.event(m.Event)
	case hw.DeadLetterEvent:
		if s.isPill(m.Message) {
			s.finish(m.Message) // hollywood completes it only if it finds nobody at the first look
			return
		}
		if s.count(m.Message) {
			s.event(DeadLetter(m))
		}
	case hw.EngineRemoteMissingEvent:
		if s.count(m.Message) {
			s.event(DeadLetter{Target: m.Target, Message: m.Message, Sender: m.Sender})
		}
	case drained:
		close(m)
	}
}

// report is an event that the monitor is to tell of.
type report struct{ Event }

// drained is closed when the monitor has done with what came before it.
type drained chan struct{}

// maxReports bounds the reports that wait for the monitor.
const maxReports = 1024

// count counts a dead letter. It reports whether the user is to be told: an
// OnEvent that sends events to an actor which has ended would be told for ever.
func (s *system) count(msg any) bool {
	if _, ok := msg.(*lookup); ok {
		return false // a question about what has ended
	}
	s.dead.Add(1)
	_, isEvent := msg.(Event)
	return !isEvent
}

// probe is a process that keeps the last message it was sent.
type probe struct {
	pid *hw.PID
	got any
}

func (p *probe) Start()                           {}
func (p *probe) PID() *hw.PID                     { return p.pid }
func (p *probe) Send(_ *hw.PID, m any, _ *hw.PID) { p.got = m }
func (p *probe) Invoke([]hw.Envelope)             {}
func (p *probe) Shutdown()                        {}

// unique returns an id that no other actor of this engine has had from it.
func (s *system) unique() string { return strconv.FormatUint(s.seq.Add(1), 36) }

// randomID returns an id that cannot be guessed: 128 random bits.
func randomID() string { return rand.Text() }

func (s *system) local(pid *hw.PID) bool { return pid != nil && pid.Address == s.hw.Address() }

func (s *system) remove(pid *hw.PID) { s.hw.Registry.Remove(pid) }

// exists reports whether there is a process of that name. hollywood keeps a
// message to one that does not exist, or that is elsewhere, in an inbox without
// a bound, and logs the latter.
func (s *system) exists(pid *hw.PID) bool {
	if !s.local(pid) {
		return false
	}
	kind, id, _ := strings.Cut(pid.ID, "/")
	return s.hw.Registry.GetPID(kind, id) != nil
}

// send sends a message to an actor, or makes a dead letter of it.
func (s *system) send(to *PID, msg any, from *PID) {
	if !s.exists(to) {
		s.deadLetter(to, msg, from)
		return
	}
	s.hw.SendLocal(to, msg, from)
}

var errLibrary = errors.New("hollywood does not behave as the pinned version does")

// learnPill finds out the type of the message by which hollywood stops an
// actor, and that finish completes it. It fails if the library has changed.
func (s *system) learnPill() error {
	p := &probe{pid: hw.NewPID(s.hw.Address(), "wireroom-probe/"+s.unique())}
	s.hw.SpawnProc(p)
	done := s.hw.Poison(p.pid)
	s.remove(p.pid)
	s.pill = reflect.TypeOf(p.got)
	if s.pill == nil || s.pill.Kind() != reflect.Struct {
		return fmt.Errorf("%w: Poison sent %v", errLibrary, s.pill)
	}
	s.finish(p.got)
	select {
	case <-done.Done():
		return nil
	case <-time.After(5 * time.Second):
		return fmt.Errorf("%w: a poison pill cannot be completed", errLibrary)
	}
}

// isPill reports whether msg is hollywood's request to stop.
func (s *system) isPill(msg any) bool { return reflect.TypeOf(msg) == s.pill }

// finish completes the context that Poison gave to its caller. Only hollywood
// can reach into the pill, so a throw-away actor takes it.
func (s *system) finish(pill any) {
	pid := s.hw.SpawnFunc(func(*hw.Context) {}, "wireroom-end", hw.WithID(s.unique()), hw.WithInboxSize(2))
	s.hw.SendLocal(pid, pill, nil)
}

// deadLetter counts a message that could not be delivered, and has the monitor
// report it. When too many reports wait there it is only counted: they would
// keep the messages of a flood that a mailbox has just refused.
func (s *system) deadLetter(to *hw.PID, msg any, from *hw.PID) {
	if s.isPill(msg) {
		s.finish(msg)
		return
	}
	if !s.count(msg) {
		return
	}
	s.tell(DeadLetter{Target: to, Message: msg, Sender: from})
}

// tell has the monitor report an event, for those who must not wait for what
// OnEvent does. When too many wait there it is left out: its counter tells.
func (s *system) tell(ev Event) {
	if s.reports.Add(1) > maxReports {
		s.reports.Add(-1)
		return
	}
	s.hw.SendLocal(s.monitor, report{ev}, nil)
}

// register puts a process of ours under its name. hollywood calls Start only if
// the name was free, and in this goroutine; began reports that.
func (s *system) register(p interface {
	hw.Processer
	began() bool
}) error {
	s.hw.SpawnProc(p)
	if !p.began() {
		return fmt.Errorf("%w: %s", ErrDuplicateName, p.PID().ID)
	}
	return nil
}

// ---- actors behind a mailbox

// mailbox is the process under an actor's name. It bounds what waits, and
// passes on to a hollywood actor under a name of its own, which is told that
// the mailbox' name is its own.
type mailbox struct {
	sys   *system
	pid   hw.PID
	inner hw.PID // the hollywood actor's key in the registry
	max   int64

	started bool // Start was called: the name is ours
	pending atomic.Int64

	mu     sync.Mutex
	ready  bool          // the hollywood actor can be sent to
	early  []hw.Envelope // what came before
	closed bool
	pills  []any // of everybody who wants it stopped
	done   chan struct{}
	failed error // of Started
}

func (m *mailbox) Start()               { m.started = true }
func (m *mailbox) began() bool          { return m.started }
func (m *mailbox) PID() *hw.PID         { return &m.pid }
func (m *mailbox) Invoke([]hw.Envelope) {}
func (m *mailbox) Shutdown()            {}

// Send implements hollywood's Processer. What cannot be taken is a dead
// letter.
func (m *mailbox) Send(_ *hw.PID, msg any, from *hw.PID) {
	switch msg.(type) {
	case hw.Initialized, hw.Started, hw.Stopped:
		m.sys.deadLetter(&m.pid, msg, from) // only hollywood says so, and not by this way
		return
	}
	if m.sys.isPill(msg) {
		m.stop(msg)
		return
	}
	if err := m.trySend(msg, from, m.max); err != nil {
		m.sys.deadLetter(&m.pid, msg, from)
	}
}

// trySend passes a message on, or fails with ErrClosed, or with ErrBusy if
// bound others wait. The lock makes the pill the last message that the actor gets.
func (m *mailbox) trySend(msg any, from *hw.PID, bound int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	if m.pending.Add(1) > bound {
		m.pending.Add(-1)
		return ErrBusy
	}
	if !m.ready {
		m.early = append(m.early, hw.Envelope{Msg: msg, Sender: from})
		return nil
	}
	m.sys.hw.SendLocal(&m.inner, msg, from)
	return nil
}

// open passes on what came before the actor was there, and from now on all.
func (m *mailbox) open() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ready = true
	for _, e := range m.early {
		m.sys.hw.SendLocal(&m.inner, e.Msg, e.Sender)
	}
	m.early = nil
	if m.closed {
		m.sys.hw.Poison(&m.inner) // it was stopped before it was there
	}
}

// stop has the actor end after what it has been sent. pill may be nil.
func (m *mailbox) stop(pill any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-m.done:
		if pill != nil {
			m.sys.finish(pill)
		}
		return
	default:
	}
	if pill != nil {
		m.pills = append(m.pills, pill)
	}
	if m.closed {
		return
	}
	m.closed = true
	if m.ready { // otherwise open does it
		m.sys.hw.Poison(&m.inner) // the only one it ever gets; done tells the end
	}
}

// end completes all stops.
func (m *mailbox) end() {
	m.sys.mu.Lock()
	delete(m.sys.actors, m.pid.ID)
	m.sys.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	close(m.done)
	for _, p := range m.pills {
		m.sys.finish(p)
	}
	m.pills = nil
}

// guard is the receiver that hollywood sees. A panic of the user's receiver
// ends the message, not the actor: its state stays.
type guard struct {
	m     *mailbox
	inner hw.Receiver
}

func (g *guard) Receive(c *hw.Context) {
	m := g.m
	switch c.Message().(type) {
	case hw.Initialized:
		// From here on the actor is known, to itself and to those that it
		// sends to, by the name of its mailbox. This runs in the goroutine that
		// spawns, before anybody else can see the PID.
		c.PID().ID = m.pid.ID
		m.open()
		m.failed = errors.Join(m.failed, g.pass(c))
	case hw.Started:
		m.failed = errors.Join(m.failed, g.pass(c))
	case hw.Stopped:
		_ = g.pass(c)          // reported by pass
		m.sys.remove(&m.inner) // hollywood has removed the name that it believes to be the actor's
		m.end()
	default:
		_ = g.pass(c) // reported by pass
		m.pending.Add(-1)
	}
}

// pass hands the message to the user's receiver.
func (g *guard) pass(c *hw.Context) (err error) {
	returned := false
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("actor %s panicked: %v", g.m.pid.ID, v)
			g.m.sys.event(ActorPanicked{PID: &g.m.pid, Value: v, Stack: debug.Stack()})
		} else if !returned {
			// runtime.Goexit, as from t.Fatal: hollywood's goroutine ends here, and
			// with it all that the actor could still do.
			g.m.sys.event(ActorPanicked{PID: &g.m.pid, Value: errQuit, Stack: debug.Stack()})
			g.m.sys.remove(&g.m.pid)
			g.m.sys.remove(&g.m.inner)
			g.m.end()
		}
	}()
	g.inner.Receive(c)
	returned = true
	return nil
}

// errQuit ends what a goroutine was to do that has ended itself.
var errQuit = errors.New("runtime.Goexit was called")

// spawn starts an actor behind a mailbox with room for bound messages. name is
// its kind and id, joined by a slash.
func (s *system) spawn(p hw.Producer, kind, id string, bound int) (*mailbox, error) {
	if id == "" {
		id = randomID()
	}
	m := &mailbox{sys: s, max: int64(bound), done: make(chan struct{})}
	m.pid.Address, m.pid.ID = s.hw.Address(), kind+"/"+id
	innerID := id + "\x00" + s.unique()
	m.inner.Address, m.inner.ID = s.hw.Address(), kind+"/"+innerID

	s.mu.Lock()
	switch {
	case s.ending:
		s.mu.Unlock()
		return nil, ErrClosed
	case s.actors[m.pid.ID] != nil:
		s.mu.Unlock()
		return nil, fmt.Errorf("%w: %s", ErrDuplicateName, m.pid.ID)
	}
	s.actors[m.pid.ID] = m
	s.mu.Unlock()
	g := &guard{m: m}
	if err := make1(&g.inner, p); err != nil {
		m.end()
		return nil, err
	}
	if err := s.register(m); err != nil {
		m.end()
		return nil, err
	}
	s.hw.Spawn(func() hw.Receiver { return g }, kind, hw.WithID(innerID),
		hw.WithInboxSize(16), hw.WithMaxRestarts(-1), hw.WithRestartDelay(0))
	if m.failed != nil {
		m.stop(nil)
		<-m.done
		return nil, m.failed
	}
	return m, nil
}

// make1 calls the producer.
func make1(dst *hw.Receiver, p hw.Producer) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("producer panicked: %v", v)
		}
	}()
	if *dst = p(); *dst == nil {
		return errors.New("producer returned no receiver")
	}
	return nil
}

// stop ends an actor of this engine after what it has been sent, and waits.
func (s *system) stop(ctx context.Context, pid *hw.PID) error {
	if !s.local(pid) {
		return fmt.Errorf("%w: %v", ErrNotLocal, pid)
	}
	s.mu.Lock()
	m := s.actors[pid.ID]
	s.mu.Unlock()
	var done <-chan struct{}
	if m != nil {
		// hollywood would say that it has ended while it still gets Stopped.
		m.stop(nil)
		done = m.done
	} else {
		done = s.hw.Poison(pid).Done()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stopAll ends all actors and returns those that have not ended when ctx is
// done.
func (s *system) stopAll(ctx context.Context) (left []string) {
	s.mu.Lock()
	s.ending = true
	all := make([]*mailbox, 0, len(s.actors))
	for _, m := range s.actors {
		all = append(all, m)
	}
	s.mu.Unlock()
	for _, m := range all {
		m.stop(nil)
	}
	for _, m := range all {
		select {
		case <-m.done:
		case <-ctx.Done():
			select {
			case <-m.done:
			default:
				left = append(left, m.pid.ID)
			}
		}
	}
	return left
}

// close waits until the dead letters so far have been reported. The monitor
// stays, for those to come: it costs nothing while there are none, and a
// subscriber that ends makes hollywood loop.
func (s *system) close(ctx context.Context) {
	done := make(drained)
	s.hw.BroadcastEvent(done) // by the way of hollywood's dead letters, behind them
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// Guard wraps a Producer whose actors are to be spawned with
// Context.SpawnChild: a panic then ends a message, not the program. Actors
// from Engine.Spawn have that already.
//
// A child has what hollywood gives it, and no more: a mailbox without a bound,
// and a Stop that must be called only once. Where that matters, use Engine.Spawn.
func (e *Engine) Guard(p Producer) Producer {
	return func() Receiver {
		g := childGuard{e: e}
		if err := make1(&g.inner, p); err != nil {
			e.event(ActorPanicked{PID: &PID{Address: e.sys.hw.Address()}, Value: err, Stack: debug.Stack()})
			g.inner = noReceiver{}
		}
		return g
	}
}

// noReceiver stands in for a receiver that could not be made.
type noReceiver struct{}

func (noReceiver) Receive(*hw.Context) {}

type childGuard struct {
	inner hw.Receiver
	e     *Engine
}

func (g childGuard) Receive(c *hw.Context) {
	defer func() {
		if v := recover(); v != nil {
			g.e.event(ActorPanicked{PID: c.PID(), Value: v, Stack: debug.Stack()})
		}
	}()
	g.inner.Receive(c)
}

// ---- questions

// answer is the process that waits for one answer.
type answer struct {
	sys  *system
	pid  hw.PID
	got  chan any
	once atomic.Bool
}

func (a *answer) Start()               {}
func (a *answer) PID() *hw.PID         { return &a.pid }
func (a *answer) Invoke([]hw.Envelope) {}
func (a *answer) Shutdown()            {}
func (a *answer) Send(_ *hw.PID, msg any, from *hw.PID) {
	if !a.sys.isPill(msg) && a.once.CompareAndSwap(false, true) {
		a.got <- msg // there is room for one
		return
	}
	a.sys.deadLetter(&a.pid, msg, from)
}

// ask sends msg and waits for what the actor responds. It fails at once if it
// cannot be sent.
func (s *system) ask(ctx context.Context, to *hw.PID, msg any) (any, error) {
	a := &answer{sys: s, got: make(chan any, 1)}
	a.pid.Address, a.pid.ID = s.hw.Address(), "wireroom-ask/"+s.unique()
	s.hw.SpawnProc(a)
	defer s.remove(&a.pid)
	if !s.local(to) {
		return nil, ErrNotLocal
	}
	s.mu.Lock()
	m := s.actors[to.ID]
	s.mu.Unlock()
	switch {
	case m != nil:
		if err := m.trySend(msg, &a.pid, m.max); err != nil {
			return nil, err
		}
	case s.exists(to):
		s.hw.SendLocal(to, msg, &a.pid)
	default:
		return nil, ErrClosed
	}
	select {
	case v := <-a.got:
		return v, nil
	case <-ctx.Done():
		if a.once.CompareAndSwap(false, true) {
			return nil, ctx.Err()
		}
		return <-a.got, nil // it has come after all
	}
}

// Package wireroom is the server under test: each app written with the public
// API, as a user would write it.
package wireroom

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/bench/internal/contract"
	"github.com/wireroom/wireroom/transport"
)

// Main serves until the process is ended.
func Main(args []string) error {
	cfg, err := contract.Parse(args)
	if err != nil {
		return err
	}
	engine, err := New(cfg.App, cfg.Server, transport.Options{})
	if err != nil {
		return err
	}
	control, err := contract.ServeControl(cfg.Control)
	if err != nil {
		return fmt.Errorf("wireroom: %w", err)
	}
	l, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return fmt.Errorf("wireroom: %w", err)
	}
	contract.Announce(l.Addr(), control)
	return engine.Serve(l)
}

// Variants of the server; "" is the one that users get.
const (
	NonBlocking = "nonblocking" // what is called is declared actor.NonBlocking
	Goroutine   = "goroutine"   // the driver for other systems than Linux, and for TLS
)

// New returns an engine that serves an app, with the given limits.
func New(app contract.App, variant string, limits transport.Options) (*actor.Engine, error) {
	o := &actor.Options{OnEvent: onEvent, Transport: limits}
	switch variant {
	case "":
	case NonBlocking:
		o.NonBlocking = true
	case Goroutine:
		o.Transport.Driver = transport.DriverGoroutine
	default:
		return nil, fmt.Errorf("wireroom: no variant %q", variant)
	}
	switch app {
	case contract.Echo:
		o.OnMessage = sendBack
		return actor.New(o)
	case contract.RPC:
		return newRPC(o)
	case contract.Room:
		return newRoom(o)
	case contract.Churn:
		o.OnMessage = sendBack
		return withLobby(actor.New(o))
	}
	return nil, fmt.Errorf("wireroom: no app %q", app)
}

// onEvent logs what should not happen. Connections come and go by the
// thousands here, and slow ones are meant to be cut.
func onEvent(ev actor.Event) {
	level, msg, attrs := ev.Log()
	if _, slow := ev.(actor.SlowConsumer); slow || level < slog.LevelWarn {
		return
	}
	slog.LogAttrs(context.Background(), level, msg, attrs...)
}

func sendBack(_ context.Context, from actor.WsSender, m actor.Message) {
	_ = from.SendMessage(m) // a client that has gone, or does not read, fails the run by itself
}

// service is what the client of app RPC calls.
type service struct{}

var errNoSender = errors.New("no sender was injected")

// Echo answers with what it was called with.
func (service) Echo(from actor.WsSender, p contract.Call) (contract.Call, error) {
	if from.IsZero() {
		return contract.Call{}, errNoSender
	}
	return p, nil
}

func newRPC(o *actor.Options) (*actor.Engine, error) {
	e, err := actor.New(o)
	if err != nil {
		return nil, err
	}
	var opts []actor.ServiceOption
	if o.NonBlocking {
		opts = append(opts, actor.Method("Echo", actor.NonBlocking()))
	}
	return e, e.Register(service{}, opts...)
}

// RoomName is the room of the apps that have one.
const RoomName = "bench"

func newRoom(o *actor.Options) (*actor.Engine, error) {
	var e *actor.Engine
	o.OnMessage = func(_ context.Context, _ actor.WsSender, m actor.Message) {
		room := e.Room(RoomName)
		if m.Binary {
			_ = room.BroadcastBinary(m.Data) // ErrBusy would show as messages lost
		} else {
			_ = room.BroadcastText(string(m.Data)) // as above
		}
	}
	var err error
	e, err = withLobby(actor.New(o))
	return e, err
}

// lobby has each connection join the room when it connects.
type lobby struct{ room actor.Room }

// OnConnect implements actor.ConnectHook.
func (l lobby) OnConnect(from actor.WsSender, _ *actor.Handshake) error { return l.room.Join(from) }

func withLobby(e *actor.Engine, err error) (*actor.Engine, error) {
	if err != nil {
		return nil, err
	}
	return e, e.Register(lobby{e.Room(RoomName)})
}

package actor

import (
	"context"
	"fmt"
	"log/slog"
)

// Event is something that happened in the engine: one of the types below.
// Nothing is an event that happens once per message in the ordinary course of
// things.
type Event interface {
	// Log returns the event as a log record.
	Log() (level slog.Level, msg string, attrs []slog.Attr)
}

// ConnOpened is sent when a connection has been accepted.
type ConnOpened struct{ Sender WsSender }

// ConnClosed is sent when a connection has ended. Err says how.
type ConnClosed struct {
	Sender WsSender
	Err    *CloseError
}

// CallPanicked is sent when a method or a hook has panicked. The peer has got
// an internal error.
type CallPanicked struct {
	Method string // wire name, or the name of the hook
	Sender WsSender
	Value  any // of the panic
	Stack  []byte
}

// CallFailed is sent when a method has returned an error that is not for the
// peer, who has got an internal error without its text.
type CallFailed struct {
	Method string
	Sender WsSender
	Err    error
}

// ActorPanicked is sent when an actor has panicked. The message is lost, the
// actor goes on.
type ActorPanicked struct { //nolint:revive // actor.Panicked would not say of what
	PID   *PID
	Value any
	Stack []byte
}

// RoomPanicked is sent when a room has panicked. The message is lost; the
// members stay.
type RoomPanicked struct {
	Room  string
	Value any
	Stack []byte
}

// SlowConsumer is sent when a room has lost a member whose queue was full.
type SlowConsumer struct {
	Room   string
	Sender WsSender
}

// DeadLetter is sent for a message that could not be delivered: the actor has
// ended, its mailbox is full, or it has no use for such a message.
type DeadLetter struct {
	Target  *PID // nil if that is where it was sent to
	Message any
	Sender  *PID // may be nil
}

// Log implements Event.
func (e ConnOpened) Log() (slog.Level, string, []slog.Attr) {
	return slog.LevelDebug, "connection opened", []slog.Attr{slog.String("conn", e.Sender.ID())}
}

// Log implements Event.
func (e ConnClosed) Log() (slog.Level, string, []slog.Attr) {
	return slog.LevelDebug, "connection closed", []slog.Attr{slog.String("conn", e.Sender.ID()), slog.Any("err", e.Err)}
}

// Log implements Event.
func (e CallPanicked) Log() (slog.Level, string, []slog.Attr) {
	return slog.LevelError, "method panicked", []slog.Attr{
		slog.String("method", e.Method), slog.String("conn", e.Sender.ID()),
		slog.String("value", fmt.Sprint(e.Value)), slog.String("stack", string(e.Stack)),
	}
}

// Log implements Event.
func (e CallFailed) Log() (slog.Level, string, []slog.Attr) {
	return slog.LevelError, "method failed", []slog.Attr{
		slog.String("method", e.Method), slog.String("conn", e.Sender.ID()), slog.Any("err", e.Err),
	}
}

// Log implements Event.
func (e ActorPanicked) Log() (slog.Level, string, []slog.Attr) {
	return slog.LevelError, "actor panicked", []slog.Attr{
		slog.String("pid", e.PID.String()), slog.String("value", fmt.Sprint(e.Value)), slog.String("stack", string(e.Stack)),
	}
}

// Log implements Event.
func (e RoomPanicked) Log() (slog.Level, string, []slog.Attr) {
	return slog.LevelError, "room panicked", []slog.Attr{
		slog.String("room", e.Room), slog.String("value", fmt.Sprint(e.Value)), slog.String("stack", string(e.Stack)),
	}
}

// Log implements Event.
func (e SlowConsumer) Log() (slog.Level, string, []slog.Attr) {
	return slog.LevelInfo, "slow consumer left room", []slog.Attr{slog.String("room", e.Room), slog.String("conn", e.Sender.ID())}
}

// Log implements Event.
func (e DeadLetter) Log() (slog.Level, string, []slog.Attr) {
	return slog.LevelDebug, "dead letter", []slog.Attr{
		slog.String("target", fmt.Sprint(e.Target)), slog.String("type", fmt.Sprintf("%T", e.Message)),
	}
}

// LogEvents returns a function for Options.OnEvent that writes events to a
// logger; nil means slog.Default.
func LogEvents(l *slog.Logger) func(Event) {
	return func(e Event) {
		l := l
		if l == nil {
			l = slog.Default()
		}
		level, msg, attrs := e.Log()
		l.LogAttrs(context.Background(), level, msg, attrs...)
	}
}

// event reports e. A panic of the user's function ends there.
func (e *Engine) event(ev Event) {
	defer func() { _ = recover() }()
	e.onEvent(ev)
}

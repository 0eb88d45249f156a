package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"github.com/wireroom/wireroom/bench/internal/contract"
)

// coderPeer follows the README (a handler that reads, with a context that is
// not the request's) and the two examples in internal/examples: echo, but with
// one Write for a whole message, because a Writer sends an empty last frame
// after it; and chat, with a queue for each subscriber, a timeout for each
// write, and the end for a subscriber whose queue is full. Messages are read
// into buffers from a pool, as package wsjson of the library does. Compression
// is disabled by default.
var coderPeer = peer{
	name: "coder", module: "github.com/coder/websocket",
	about: "goroutine per connection, in a room two; no compression; UTF-8 not checked (it does not); Write for each member; " +
		"slow members: closed when 256 messages wait, or a write takes 5 s",
	apps: contract.Apps, start: startCoder,
}

const coderWriteTimeout = 5 * time.Second

type coderServer struct {
	app     contract.App
	options websocket.AcceptOptions
	room    *members[*coderMember]
}

type coderMember struct {
	conn  *websocket.Conn
	queue *queue[coderMessage]
}

type coderMessage struct {
	kind websocket.MessageType
	data []byte
}

func startCoder(app contract.App, addr string) (net.Addr, error) {
	s := &coderServer{app: app, room: newMembers[*coderMember]()}
	s.options.CompressionMode = websocket.CompressionDisabled
	if app == contract.RPC {
		s.options.Subprotocols = subprotocols
	}
	return serveHTTP(addr, s)
}

func (s *coderServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &s.options)
	if err != nil {
		return // the client has been told
	}
	defer conn.CloseNow() //nolint:errcheck // it is over
	conn.SetReadLimit(messageLimit)
	m := &coderMember{conn: conn}
	switch s.app {
	case contract.Room:
		m.queue = newQueue[coderMessage]()
		s.room.join(m)
		defer s.room.leave(m)
		defer m.queue.end()
		go m.write()
		s.broadcast(m)
	case contract.Churn:
		s.room.join(m)
		defer s.room.leave(m)
		s.reply(conn)
	default:
		s.reply(conn)
	}
}

// reply sends each message, or the answer to it, back to where it came from.
func (s *coderServer) reply(conn *websocket.Conn) {
	ctx := context.Background()
	for {
		t, r, err := conn.Reader(ctx)
		if err != nil {
			return
		}
		b := getBuffer()
		if _, err = b.ReadFrom(r); err == nil {
			out := b.Bytes()
			if s.app == contract.RPC {
				out, err = answerCall(t == websocket.MessageBinary, out)
			}
			if err == nil {
				err = conn.Write(ctx, t, out)
			}
		}
		putBuffer(b)
		if err != nil {
			return
		}
	}
}

// broadcast reads what m sends, for all.
func (s *coderServer) broadcast(m *coderMember) {
	for {
		t, data, err := m.conn.Read(context.Background())
		if err != nil {
			return
		}
		for _, other := range s.room.all() {
			if !other.queue.put(coderMessage{t, data}) {
				s.room.leave(other)
				go other.closeSlow()
			}
		}
	}
}

func (m *coderMember) closeSlow() {
	_ = m.conn.Close(websocket.StatusPolicyViolation, "connection too slow to keep up with messages")
}

// write sends what is in m's queue.
func (m *coderMember) write() {
	for {
		select {
		case msg := <-m.queue.messages:
			ctx, cancel := context.WithTimeout(context.Background(), coderWriteTimeout)
			err := m.conn.Write(ctx, msg.kind, msg.data)
			cancel()
			if err != nil {
				_ = m.conn.CloseNow() // the reader ends, too
				return
			}
		case <-m.queue.done:
			return
		}
	}
}

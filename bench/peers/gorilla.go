package main

import (
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/wireroom/wireroom/bench/internal/contract"
)

// gorillaPeer follows the package documentation ("Buffers": a pool of write
// buffers; PreparedMessage for what goes to many) and, for the room,
// examples/chat: a queue and a writing goroutine for each member, a write
// deadline, and the end for a member whose queue is full. What the example
// joins in one message stays separate here, because a message has to arrive as
// it was sent. The handler returns once it has started the goroutines, so that
// the request can go.
var gorillaPeer = peer{
	name: "gorilla", module: "github.com/gorilla/websocket",
	about: "goroutine per connection, in a room two; WriteBufferPool, PreparedMessage; UTF-8 not checked (it does not); " +
		"slow members: closed when 256 messages wait, or a write takes 10 s",
	apps: contract.Apps, start: startGorilla,
}

const gorillaWriteWait = 10 * time.Second

type gorillaServer struct {
	app      contract.App
	upgrader websocket.Upgrader
	room     *members[*gorillaMember]
}

type gorillaMember struct {
	conn  *websocket.Conn
	queue *queue[*websocket.PreparedMessage]
}

func startGorilla(app contract.App, addr string) (net.Addr, error) {
	s := &gorillaServer{app: app, room: newMembers[*gorillaMember]()}
	s.upgrader.WriteBufferPool = new(sync.Pool)
	if app == contract.RPC {
		s.upgrader.Subprotocols = subprotocols
	}
	return serveHTTP(addr, s)
}

func (s *gorillaServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the client has been told
	}
	conn.SetReadLimit(messageLimit)
	switch s.app {
	case contract.Room:
		m := &gorillaMember{conn, newQueue[*websocket.PreparedMessage]()}
		s.room.join(m)
		go m.write()
		go s.broadcast(m)
	case contract.Churn:
		m := &gorillaMember{conn: conn}
		s.room.join(m)
		go func() {
			defer s.room.leave(m)
			s.reply(conn)
		}()
	default:
		go s.reply(conn)
	}
}

// reply sends each message, or the answer to it, back to where it came from.
func (s *gorillaServer) reply(conn *websocket.Conn) {
	defer conn.Close() //nolint:errcheck // it is over
	for {
		t, r, err := conn.NextReader()
		if err != nil {
			return
		}
		b := getBuffer()
		if _, err = b.ReadFrom(r); err == nil {
			out := b.Bytes()
			if s.app == contract.RPC {
				out, err = answerCall(t == websocket.BinaryMessage, out)
			}
			if err == nil {
				err = conn.WriteMessage(t, out)
			}
		}
		putBuffer(b)
		if err != nil {
			return
		}
	}
}

// broadcast reads what m sends, for all.
func (s *gorillaServer) broadcast(m *gorillaMember) {
	defer func() {
		s.room.leave(m)
		m.queue.end()
	}()
	for {
		t, data, err := m.conn.ReadMessage()
		if err != nil {
			return
		}
		p, err := websocket.NewPreparedMessage(t, data)
		if err != nil {
			return
		}
		for _, other := range s.room.all() {
			if !other.queue.put(p) {
				s.room.leave(other)
				other.queue.end()
			}
		}
	}
}

// write sends what is in m's queue.
func (m *gorillaMember) write() {
	defer m.conn.Close() //nolint:errcheck // it is over
	for {
		select {
		case p := <-m.queue.messages:
			_ = m.conn.SetWriteDeadline(time.Now().Add(gorillaWriteWait))
			if err := m.conn.WritePreparedMessage(p); err != nil {
				return
			}
		case <-m.queue.done:
			_ = m.conn.SetWriteDeadline(time.Now().Add(gorillaWriteWait))
			_ = m.conn.WriteMessage(websocket.CloseMessage, nil) // an error means that it is closed
			return
		}
	}
}

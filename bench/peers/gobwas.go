package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/wireroom/wireroom/bench/internal/contract"
)

// gobwasPeer follows the README of gobwas/ws: the zero-copy upgrade ("Zero-copy
// upgrade is for high-load services"), then a goroutine with
// wsutil.ReadClientData ("Usage"), and a limit ("Limits"). Two things the
// library leaves to its user: reads go through a bufio.Reader, because
// ReadClientData would otherwise make a system call for each part of a header,
// and WriteServerMessage goes through a buffer, because it would otherwise make
// one for the header and one for the payload.
//
// The room is that of src/chat in gobwas/ws-examples, with a frame made once,
// and a deadline of 100 ms for each write. The example has a pool of goroutines
// do the writes, which lets two messages overtake each other; here the goroutine
// of who sends does them, one after the other.
var gobwasPeer = peer{
	name: "gobwas", module: "github.com/gobwas/ws",
	about: "goroutine per connection, wsutil over bufio; UTF-8 checked (its default); a frame made once, written by the sender's goroutine; " +
		"slow members: closed when a write takes 100 ms, for which the others wait",
	apps: contract.Apps, start: startGobwas,
}

const (
	gobwasWriteWait = 100 * time.Millisecond
	gobwasBuffer    = 4 << 10
)

type gobwasServer struct {
	app      contract.App
	upgrader ws.Upgrader
	room     *members[net.Conn]
}

func startGobwas(app contract.App, addr string) (net.Addr, error) {
	wsutil.SetMaxMessageSize(messageLimit)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &gobwasServer{app: app, room: newMembers[net.Conn]()}
	if app == contract.RPC {
		s.upgrader.Protocol = offered
	}
	go func() { fmt.Fprintln(os.Stderr, "gobwas:", s.accept(l)) }()
	return l.Addr(), nil
}

// offered reports whether a subprotocol is one of app RPC.
func offered(name []byte) bool {
	return string(name) == contract.SubprotocolJSON || string(name) == contract.SubprotocolMsgpack
}

func (s *gobwasServer) accept(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			if _, err := s.upgrader.Upgrade(conn); err != nil {
				conn.Close() //nolint:errcheck // it is over
				return
			}
			go s.serve(conn) // with a stack that the upgrade has not grown
		}()
	}
}

func (s *gobwasServer) serve(conn net.Conn) {
	defer conn.Close() //nolint:errcheck // it is over
	if s.app == contract.Room || s.app == contract.Churn {
		s.room.join(conn)
		defer s.room.leave(conn)
	}
	rw := struct {
		io.Reader
		io.Writer
	}{bufio.NewReaderSize(conn, gobwasBuffer), conn}
	for {
		data, op, err := wsutil.ReadClientData(rw) // answers pings, and the client's close frame
		if err != nil {
			return
		}
		if err := s.handle(conn, op, data); err != nil {
			return
		}
	}
}

func (s *gobwasServer) handle(conn net.Conn, op ws.OpCode, data []byte) error {
	if s.app == contract.RPC {
		var err error
		if data, err = answerCall(op == ws.OpBinary, data); err != nil {
			return err
		}
	}
	if s.app == contract.Room {
		var frame bytes.Buffer
		if err := wsutil.WriteServerMessage(&frame, op, data); err != nil {
			return err
		}
		s.broadcast(frame.Bytes())
		return nil
	}
	b := getBuffer()
	defer putBuffer(b)
	if err := wsutil.WriteServerMessage(b, op, data); err != nil {
		return err
	}
	_, err := conn.Write(b.Bytes())
	return err
}

func (s *gobwasServer) broadcast(frame []byte) {
	for _, member := range s.room.all() {
		_ = member.SetWriteDeadline(time.Now().Add(gobwasWriteWait))
		if _, err := member.Write(frame); err != nil {
			s.room.leave(member)
			member.Close() //nolint:errcheck // its reader ends, too
		}
	}
}

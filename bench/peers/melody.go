package main

import (
	"net"
	"net/http"

	"github.com/olahol/melody"

	"github.com/wireroom/wireroom/bench/internal/contract"
)

// melodyPeer follows the README of melody ("Example: chat"): HandleRequest in a
// handler of net/http, Broadcast in HandleMessage. The limit of messages is
// raised from 512 bytes; all else is as New has it. Melody knows one room, that
// of all its sessions.
var melodyPeer = peer{
	name: "melody", module: "github.com/olahol/melody",
	about: "two goroutines per connection, over gorilla/websocket; UTF-8 not checked (it does not); Broadcast; " +
		"slow members: messages are dropped when 256 wait, and the connection is closed when a write takes 10 s (its defaults)",
	apps: contract.Apps, start: startMelody,
}

func startMelody(app contract.App, addr string) (net.Addr, error) {
	m := melody.New()
	m.Config.MaxMessageSize = messageLimit
	text, binary := (*melody.Session).Write, (*melody.Session).WriteBinary
	switch app {
	case contract.RPC:
		m.Upgrader.Subprotocols = subprotocols
		text = func(s *melody.Session, data []byte) error { return melodyAnswer(data, answerJSON, s.Write) }
		binary = func(s *melody.Session, data []byte) error { return melodyAnswer(data, answerMsgpack, s.WriteBinary) }
	case contract.Room:
		text = func(_ *melody.Session, data []byte) error { return m.Broadcast(data) }
		binary = func(_ *melody.Session, data []byte) error { return m.BroadcastBinary(data) }
	}
	// An error means that the session is closed, or its queue full.
	m.HandleMessage(func(s *melody.Session, data []byte) { _ = text(s, data) })
	m.HandleMessageBinary(func(s *melody.Session, data []byte) { _ = binary(s, data) })
	return serveHTTP(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = m.HandleRequest(w, r) // the client has been told
	}))
}

func melodyAnswer(data []byte, answer func([]byte) ([]byte, error), write func([]byte) error) error {
	out, err := answer(data)
	if err != nil {
		return err
	}
	return write(out)
}

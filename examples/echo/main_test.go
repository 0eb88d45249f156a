package main

import (
	"bytes"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/wireroom/wireroom/actor"
	"github.com/wireroom/wireroom/actor/actortest"
	"github.com/wireroom/wireroom/codec"
	"github.com/wireroom/wireroom/examples/internal/program"
	"github.com/wireroom/wireroom/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Verify that messages come back as what they were, in order.
func TestEcho(t *testing.T) {
	e := actortest.NewEngine(t, &actor.Options{OnMessage: echo})
	c := actortest.Connect(t, e)
	for _, text := range []string{"hello", "", "grüße, 你好, 👋🏽", strings.Repeat("x", 60<<10), `{"jsonrpc":"2.0","method":"x","id":1`} {
		c.Send(text)
		c.ExpectText(text)
	}
	for _, data := range [][]byte{{}, {0, 255, 128}, bytes.Repeat([]byte{0xc1}, 64<<10)} {
		c.SendBinary(data)
		c.ExpectBinary(data)
	}
	c.Send("first")
	c.SendBinary([]byte("second"))
	c.Send("third")
	c.ExpectText("first")
	c.ExpectBinary([]byte("second"))
	c.ExpectText("third")
}

// Verify that messages of two connections do not mix.
func TestTwo(t *testing.T) {
	e := actortest.NewEngine(t, &actor.Options{OnMessage: echo})
	a, b := actortest.Connect(t, e), actortest.Connect(t, e)
	a.Send("from a")
	b.Send("from b")
	b.ExpectText("from b")
	a.ExpectText("from a")
}

// Verify that no subprotocol is chosen, whatever the client offers.
func TestNoSubprotocol(t *testing.T) {
	e := actortest.NewEngine(t, &actor.Options{OnMessage: echo})
	c := actortest.Connect(t, e, actortest.Subprotocols("chat", codec.SubprotocolJSON))
	if got := c.Conn().Subprotocol(); got != "" {
		t.Errorf("subprotocol %q was chosen", got)
	}
}

// Verify that a message over the limit closes the connection with 1009.
func TestTooLarge(t *testing.T) {
	e := actortest.NewEngine(t, &actor.Options{OnMessage: echo})
	c := actortest.Connect(t, e)
	c.SendBinary(make([]byte, 64<<10+1))
	if end := c.ExpectClose(); end.Code != transport.CloseMessageTooBig {
		t.Errorf("closed: %v, want code %d", end, transport.CloseMessageTooBig)
	}
}

// Verify that the program itself starts, stops and fails as it should.
func TestProgram(t *testing.T) { program.Test(t) }

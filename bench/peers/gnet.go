package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"github.com/gobwas/ws"
	"github.com/panjf2000/gnet/v2"

	"github.com/wireroom/wireroom/bench/internal/contract"
)

// gnetPeer follows websocket/server of gnet-io/gnet-examples: gobwas/ws over
// gnet's event loops, with Multicore. It parses frames where they lie (Peek and
// Discard) instead of copying them twice, and writes the answers to what came
// in one read in one write, which a library for TCP leaves to its user.
// Broadcasts are one frame for all, by AsyncWrite, which is what gnet has for
// connections of other event loops.
var gnetPeer = peer{
	name: "gnet", module: "github.com/panjf2000/gnet/v2",
	about: "event loop per core, frames by gobwas/ws v1.5.0, answers to one read in one write; UTF-8 checked; AsyncWrite for each member; " +
		"slow members: a buffer without limit (its documentation has nothing)",
	apps: contract.Apps, start: startGnet,
}

type gnetServer struct {
	gnet.BuiltinEventEngine
	app      contract.App
	upgrader ws.Upgrader
	room     *members[gnet.Conn]
	booted   chan gnet.Engine
}

func startGnet(app contract.App, addr string) (net.Addr, error) {
	s := &gnetServer{app: app, room: newMembers[gnet.Conn](), booted: make(chan gnet.Engine, 1)}
	if app == contract.RPC {
		s.upgrader.Protocol = offered
	}
	failed := make(chan error, 1)
	go func() { failed <- gnet.Run(s, "tcp://"+addr, gnet.WithMulticore(true), gnet.WithLogger(gnetLogger{})) }()
	select {
	case engine := <-s.booted:
		return gnetAddr(engine)
	case err := <-failed:
		return nil, err
	}
}

// gnetAddr returns where an engine listens.
func gnetAddr(engine gnet.Engine) (net.Addr, error) {
	fd, err := engine.Dup()
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "listener")
	defer f.Close() //nolint:errcheck // a duplicate
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	defer l.Close() //nolint:errcheck // another
	return l.Addr(), nil
}

func (s *gnetServer) OnBoot(engine gnet.Engine) gnet.Action {
	s.booted <- engine
	return gnet.None
}

func (s *gnetServer) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	c.SetContext(new(frames))
	return nil, gnet.None
}

func (s *gnetServer) OnClose(c gnet.Conn, _ error) gnet.Action {
	if s.app == contract.Room || s.app == contract.Churn {
		s.room.leave(c)
	}
	return gnet.None
}

func (s *gnetServer) OnTraffic(c gnet.Conn) gnet.Action {
	in := c.Context().(*frames)
	if !in.upgraded {
		done, err := s.upgrade(c)
		if err != nil {
			return gnet.Close
		}
		if !done {
			return gnet.None
		}
		in.upgraded = true
		if s.app == contract.Room || s.app == contract.Churn {
			s.room.join(c)
		}
	}
	if c.InboundBuffered() == 0 {
		return gnet.None
	}
	data, err := c.Peek(-1)
	if err != nil {
		return gnet.Close
	}
	out := getBuffer()
	defer putBuffer(out)
	n, err := in.parse(data, out, s.message)
	if n > 0 {
		_, _ = c.Discard(n) // n is not more than there is
	}
	if out.Len() > 0 {
		if _, err := c.Write(out.Bytes()); err != nil {
			return gnet.Close
		}
	}
	if err != nil {
		return gnet.Close
	}
	return gnet.None
}

// maxHead bounds the request to upgrade.
const maxHead = 16 << 10

// upgrade answers the request to upgrade, if all of it is there.
func (s *gnetServer) upgrade(c gnet.Conn) (done bool, err error) {
	data, err := c.Peek(-1)
	if err != nil {
		return false, err
	}
	i := bytes.Index(data, []byte("\r\n\r\n"))
	if i < 0 {
		if len(data) > maxHead {
			return false, io.ErrShortBuffer
		}
		return false, nil
	}
	var answer bytes.Buffer
	_, err = s.upgrader.Upgrade(struct {
		io.Reader
		io.Writer
	}{bytes.NewReader(data[:i+4]), &answer})
	_, _ = c.Discard(i + 4)
	if _, werr := c.Write(answer.Bytes()); err == nil {
		err = werr
	}
	return err == nil, err
}

// message handles one message, and appends what is to be sent back to out.
func (s *gnetServer) message(op ws.OpCode, data []byte, out *bytes.Buffer) error {
	switch s.app {
	case contract.RPC:
		answer, err := answerCall(op == ws.OpBinary, data)
		if err != nil {
			return err
		}
		return appendFrame(out, op, answer)
	case contract.Room:
		var frame bytes.Buffer
		if err := appendFrame(&frame, op, data); err != nil {
			return err
		}
		for _, member := range s.room.all() {
			_ = member.AsyncWrite(frame.Bytes(), nil) // one that is closed will leave
		}
		return nil
	default:
		return appendFrame(out, op, data)
	}
}

// gnetLogger prints errors only. gnet's own logger has more to say.
type gnetLogger struct{}

func (gnetLogger) Debugf(string, ...any) {}
func (gnetLogger) Infof(string, ...any)  {}
func (gnetLogger) Warnf(string, ...any)  {}
func (gnetLogger) Errorf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "gnet: "+format+"\n", args...)
}
func (gnetLogger) Fatalf(format string, args ...any) { log.Fatalf("gnet: "+format, args...) }

package hostile_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

func closeCases() []hostileCase {
	var cases []hostileCase
	closed := func(code int, reason string) []byte { return masked(fin|opClose, closing(code, reason)) }
	hello := masked(fin|opText, "Hello")
	helloBack := text("Hello")

	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 9999, 65535} {
		cases = append(cases, hostileCase{name: fmt.Sprintf("code %d", code), steps: []step{send(closed(code, "x"))},
			want: want{code: 1002, reason: fmt.Sprintf("close code %d is not allowed", code)}})
	}
	for _, code := range []int{1000, 1001, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999} {
		cases = append(cases, hostileCase{name: fmt.Sprintf("code %d is allowed", code), steps: []step{send(closed(code, "grüße"))},
			want: want{code: code, reason: "grüße"}})
	}

	// leave closes from the server's side when a message comes.
	leave := func(c *transport.Conn, _ transport.Op, p []byte) {
		_ = c.SendText(string(p))
		c.Close(4001, "leave")
		c.Close(4002, "twice")
	}
	left := want{frames: []frame{helloBack}, code: 4001, reason: "leave"}
	return append(cases, []hostileCase{
		{name: "without code", steps: []step{send(masked(fin|opClose, ""))}, want: want{code: 1005}},
		{name: "payload of 1 byte", steps: []step{send(masked(fin|opClose, "\x03"))}, want: want{code: 1002, reason: "half a code"}},
		{name: "reason that is not UTF-8", steps: []step{send(closed(1000, "a\xff"))}, want: want{code: 1007, reason: "UTF-8"}},
		{name: "reason cut off in a rune", steps: []step{send(closed(1000, "a\xe2\x82"))}, want: want{code: 1007, reason: "UTF-8"}},
		{name: "reason with a surrogate", steps: []step{send(closed(4000, "\xed\xa0\x80"))}, want: want{code: 1007, reason: "UTF-8"}},
		{name: "reason of 123 bytes", steps: []step{send(closed(1000, x(123)))}, want: want{code: 1000, reason: x(123)}},
		{name: "reason of 124 bytes", steps: []step{send(closed(1000, x(124)))}, want: want{code: 1002}},

		{name: "message, then close", steps: []step{send(hello, closed(1000, ""))}, want: want{frames: []frame{helloBack}, code: 1000}},
		{name: "data after close", steps: []step{send(closed(1000, ""), hello, hello)}, want: want{code: 1000}},
		{name: "data after close, apart", steps: []step{segment(closed(1000, "")), send(hello)}, want: want{code: 1000}},
		{name: "breach after close", steps: []step{send(closed(1000, ""), unmasked(fin|opText, "x"))}, want: want{code: 1000}},
		{name: "ping after close", steps: []step{send(closed(1000, ""), masked(fin|opPing, "p"))}, want: want{code: 1000}},
		{name: "much after close", steps: []step{send(closed(1000, ""), repeated(hello, 100_000))}, want: want{code: 1000}},
		{name: "close twice", steps: []step{send(closed(1000, ""), closed(1001, ""))}, want: want{code: 1000}},
		{name: "close after a breach", steps: []step{send(masked(fin|3, ""), closed(1000, ""))}, want: want{code: 1002}},
		{name: "close inside a message", steps: []step{send(masked(opText, "a"), closed(1001, ""))}, want: want{code: 1001}},
		{name: "close, then half-close", steps: []step{send(closed(1000, "")), halfClose}, want: want{code: 1000}},
		{name: "close, then reset", steps: []step{segment(closed(1000, "")), reset}, want: want{left: true, told: 1000}},
		{name: "close and never read", own: true, deaf: true, run: func(t *testing.T, s *server) {
			p := s.open(t, "", nil)
			defer p.nc.Close()
			p.write(closed(1000, ""))
			p.checkTold(1000)
			s.idle(t) // though the peer has not closed its socket
			p.check(false, want{code: 1000})
		}},
		{name: "breach and never close", own: true, run: func(t *testing.T, s *server) {
			p := s.open(t, "", nil)
			defer p.nc.Close()
			p.write(unmasked(fin|opText, "x"))
			p.checkTold(1002)
			s.idle(t)
			p.check(false, want{code: 1002})
		}},

		{name: "our close answered", h: leave, steps: []step{send(hello), await(2), send(closed(4001, ""))}, want: left},
		{name: "our close never answered", opts: hasty, h: leave, steps: []step{send(hello)}, want: left},
		{name: "our close never read", opts: hasty, own: true, run: func(t *testing.T, s *server) {
			p := s.open(t, "", leave)
			defer p.nc.Close()
			p.write(hello)
			p.checkTold(4001)
			s.idle(t)
			p.check(false, left)
		}},
		{name: "our close answered with messages", opts: hasty, h: leave, steps: []step{send(hello), await(2), send(repeated(hello, 1000))}, want: left},
		{name: "our close answered with a breach", h: leave, steps: []step{send(hello), await(2), send(unmasked(fin|opText, "x"))}, want: left},
		{name: "our close answered with a bad code", h: leave, steps: []step{send(hello), await(2), send(closed(1006, ""))}, want: left},
		{name: "our close answered with half a frame", opts: hasty, h: leave, steps: []step{send(hello), await(2), send(hello[:4])}, want: left},
		{name: "our close answered with half-close", h: leave, steps: []step{send(hello), await(2), halfClose}, want: left},
		{name: "our close answered with reset", h: leave, steps: []step{send(hello), await(2), reset}, want: want{left: true, told: 4001}},

		{name: "half-close without close frame", steps: []step{halfClose}, want: want{cut: true}},
		{name: "message, then half-close", steps: []step{segment(hello), await(1), halfClose}, want: want{frames: []frame{helloBack}, cut: true}},
		{name: "half-close in a header", steps: []step{send(hello[:3]), halfClose}, want: want{cut: true}},
		{name: "half-close in a frame", steps: []step{send(hello[:8]), halfClose}, want: want{cut: true}},
		{name: "half-close in a message", steps: []step{send(masked(opText, "a")), halfClose}, want: want{cut: true}},
		{name: "reset at once", steps: []step{reset}, want: want{left: true, told: 1006}},
		{name: "reset in a header", steps: []step{segment(hello[:3]), reset}, want: want{left: true, told: 1006}},
		{name: "reset in a frame", steps: []step{segment(hello[:8]), reset}, want: want{left: true, told: 1006}},
		{name: "reset in a message", steps: []step{segment(masked(opText, "a")), reset}, want: want{left: true, told: 1006}},
		{name: "reset with echoes unread", deaf: true, steps: []step{segment(repeated(hello, 100)), reset}, want: want{left: true, told: 1006}},
		{name: "reset while we write", opts: &transport.Options{MaxQueueBytes: 8 << 20}, run: func(t *testing.T, s *server) { leaveWhileWriting(t, s, (*peer).reset) }},
		{name: "hang up while we write", opts: &transport.Options{MaxQueueBytes: 8 << 20}, run: func(t *testing.T, s *server) { leaveWhileWriting(t, s, func(p *peer) { p.nc.Close() }) }},
	}...)
}

// leaveWhileWriting has the server write for as long as the connection lives,
// and leaves after some of it.
func leaveWhileWriting(t *testing.T, s *server, leave func(*peer)) {
	var sent atomic.Int64
	stopped := make(chan error, 1)
	p := s.open(t, "", func(c *transport.Conn, _ transport.Op, _ []byte) {
		go func() {
			payload := []byte(x(4 << 10))
			for {
				for c.Buffered() > 1<<20 { // much, but not what makes a slow consumer
					time.Sleep(100 * time.Microsecond)
				}
				if err := c.Send(transport.Binary, payload); err != nil {
					stopped <- err
					return
				}
				sent.Add(1)
			}
		}()
	})
	defer p.nc.Close()
	p.listen()
	p.write(masked(fin|opText, "go"))
	p.wait("much", func() bool { return p.total > 4<<20 })
	leave(p)
	p.checkTold(1006)
	if err := <-stopped; err == nil {
		t.Error("sends go on")
	}
}

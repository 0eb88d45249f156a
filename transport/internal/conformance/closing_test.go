package conformance_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// closingCases is group 7: RFC 6455, sections 5.5.1, 7 and 8.1.
func closingCases(s *suite) {
	s.section("codes")
	for code := range 5100 {
		border := code < 2 || code == 999 || code >= 1000 && code <= 1017 || code == 1100 || code == 1999 ||
			code == 2000 || code == 2999 || code == 3000 || code == 3999 || code == 4000 || code == 4999 || code == 5000
		if !border {
			continue
		}
		body := closeBody(code, "")
		if allowedCloseCode(code) {
			s.add(fmt.Sprint(code), answersClose(body), send(closing(body)))
			body = closeBody(code, "with a reason")
			s.add(fmt.Sprintf("%d with a reason", code), answersClose(body), send(closing(body)))
		} else {
			s.add(fmt.Sprint(code), fails(1002), send(closing(body)))
			s.add(fmt.Sprintf("%d with a reason", code), fails(1002), send(closing(closeBody(code, "with a reason"))))
		}
	}
	for _, code := range []int{5001, 9999, 32768, 65535} {
		s.add(fmt.Sprint(code), fails(1002), send(closing(closeBody(code, ""))))
	}

	s.section("payload")
	s.add("none", answersClose(""), send(closing("")))
	s.add("none, in chops of 1", answersClose(""), send(closing("")).chopped(1))
	for _, b := range []string{"\x00", "\x03", "\xff"} {
		s.add(fmt.Sprintf("one octet %x", b), fails(1002), send(closing(b)))
	}
	for _, n := range []int{1, 2, 3, 32, 122, 123} {
		body := closeBody(1000, filler(n))
		s.add(fmt.Sprintf("reason of %d octets", n), answersClose(body), send(closing(body)))
		s.add(fmt.Sprintf("reason of %d octets, in chops of 1", n), answersClose(body), send(closing(body)).chopped(1))
	}
	for _, n := range []int{124, 125, 126, 65536} {
		s.add(fmt.Sprintf("reason of %d octets", n), fails(1002), send(closing(closeBody(1000, filler(n)))))
	}
	for _, g := range goodTexts() {
		body := closeBody(3000, g.s)
		s.add("reason: "+g.name, answersClose(body), send(closing(body)))
	}
	for _, b := range badTexts() {
		s.add("reason that is no text: "+b.name, fails(1007), send(closing(closeBody(1000, "a"+b.s+"b"))))
	}
	s.add("reason that lacks its end", fails(1007), send(closing(closeBody(1000, "a\xe2\x82"))))

	normal := closeBody(1000, "")
	s.section("order")
	s.add("after a message", answersClose(normal), send(text("a"), closing(normal)).wants(frame{fin | opText, "a"}))
	s.add("after a message, in chops of 1", answersClose(normal), send(text("a"), closing(normal)).chopped(1).wants(frame{fin | opText, "a"}))
	s.add("after a ping", answersClose(normal), send(ping("p"), closing(normal)).wants(frame{fin | opPong, "p"}))
	s.add("after 100 messages", answersClose(normal), func() step {
		var m []sent
		for i := range 100 {
			m = append(m, text(filler(i)))
		}
		st := echoed(m...)
		st.send = append(st.send, closing(normal))
		return st
	}())
	s.add("in a message", answersClose(normal), send(f(opText, "a"), closing(normal)))
	s.add("in a message that goes on", answersClose(normal), send(f(opText, "a"), closing(normal), f(fin|opCont, "b")))
	s.add("in a message that is no text so far", answersClose(normal), send(f(opText, "\xe2\x82"), closing(normal)))

	// Whatever comes after the close frame is not looked at.
	s.section("after the close frame")
	behind := []sent{
		text("a"), binaryMsg("a"), f(opText, "a"), ping("p"), pong("p"), closing(normal), closing(closeBody(3000, "again")),
		text("\xff"), f(fin|3, ""), f(fin|rsv1|opText, "a"), f(fin|opCont, "a"), f(opPing, ""), closing("\x03"), text(filler(65536)),
	}
	for _, m := range behind {
		s.add(fmt.Sprintf("%v in the same write", m), answersClose(normal), send(closing(normal), m))
		s.add(fmt.Sprintf("%v in the same write, in chops of 1021", m), answersClose(normal), send(closing(normal), m).chopped(1021))
	}
	s.add("every one of those", answersClose(normal), send(append([]sent{closing(normal)}, behind...)...))
	s.section("after the answer to the close frame")
	for _, m := range behind {
		// To a server only: it has ended its side, but the peer has not.
		s.add(m.String(), endsAfter(1000), send(closing(normal)).wants(frame{fin | opClose, normal}), send(m)).only = serverSide
	}
	s.section("after a breach")
	for _, m := range behind {
		s.add(m.String(), fails(1002), send(f(fin|3, ""), m))
	}

	s.section("begun by the side under test")
	own := func(name string, code int, reason string, steps ...step) *testCase {
		c := s.add(name, endsAfter(code), steps...)
		c.open = func(c *transport.Conn) { c.Close(code, reason) }
		return c
	}
	for _, code := range []int{1000, 1001, 1011, 3000, 4999} {
		for _, reason := range []string{"", "bye", filler(123)} {
			body := closeBody(code, reason)
			own(fmt.Sprintf("%d, reason of %d octets", code, len(reason)), code, reason,
				send().wants(frame{fin | opClose, body}), send(closing(body)))
		}
	}
	own("no code", transport.CloseNoStatus, "", send().wants(frame{fin | opClose, ""}), send(closing("")))
	bye := frame{fin | opClose, closeBody(4000, "bye")}
	for _, body := range []string{"", normal, closeBody(4001, "me too")} {
		own(fmt.Sprintf("answered with %q", body), 4000, "bye", send().wants(bye), send(closing(body)))
	}
	for _, m := range behind[:5] {
		own(fmt.Sprintf("%v before the answer", m), 4000, "bye", send().wants(bye), send(m, closing(normal)))
	}
	own("close frames cross", 4000, "bye", send(closing(normal)).wants(bye))
	own("breach instead of the answer", 4000, "bye", send().wants(bye), send(f(fin|3, "")))
	own("end of TCP instead of the answer", 4000, "bye", send().wants(bye), send().thenFinishes())
	own("no answer", 4000, "bye", send().wants(bye)).limits = hasty

	c := s.add("after messages that are queued", endsAfter(4000),
		send(text("go")).wants(frame{fin | opText, "1"}, frame{fin | opBinary, "2"}, frame{fin | opText, filler(50000)}, bye),
		send(closing(normal)))
	c.on = func(c *transport.Conn, _ transport.Op, _ []byte) {
		c.Queue(transport.Text, []byte("1"))
		c.Queue(transport.Binary, []byte("2"))
		c.Queue(transport.Text, []byte(filler(50000)))
		c.Close(4000, "bye")
		c.SendText("too late")
	}
	c = s.add("messages in one write, closed at the first", endsAfter(4000),
		send(text("go"), text("no more"), ping("p"), closing(normal)).wants(bye))
	c.on = func(c *transport.Conn, _ transport.Op, p []byte) {
		if string(p) == "no more" {
			c.SendText("message after Close")
		}
		c.Close(4000, "bye")
	}
}

// Verify that a client leaves it to the server to end the TCP connection first,
// also after a breach, and that it does not wait for ever (RFC 6455, section
// 7.1.1).
func TestClientLetsServerEndTCP(t *testing.T) {
	for name, octets := range map[string][]byte{
		"close":  {0x88, 2, 0x03, 0xe8},
		"breach": {0x83, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc := testCase{}
			h := newHandler(&tc)
			_, p, err, accepted := dial(t, new(transport.Dialer), h, func(string) string { return "" })
			if err != nil || accepted != nil {
				t.Fatal(err, accepted)
			}
			if _, err := p.nc.Write(octets); err != nil {
				t.Fatal(err)
			}
			if got, err := p.r.next(); err != nil || got.first != fin|opClose {
				t.Fatalf("want a close frame, got %v, %v", got, err)
			}
			var b [1]byte
			p.nc.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			if _, err := p.nc.Read(b[:]); !isTimeout(err) {
				t.Fatalf("the client ended the connection first: %v", err)
			}
			p.nc.SetReadDeadline(time.Now().Add(caseTimeout))
			if got, err := p.r.next(); err == nil {
				t.Fatalf("got %v", got)
			}
			h.check(t, 1000, 1002)
		})
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// Verify that a server ends its side of the TCP connection at once, and not only
// when it has waited for the peer in vain, while it still takes what the peer
// sends: nothing that was on its way makes a reset, which could destroy the close
// frame.
func TestServerEndsTCPInOrder(t *testing.T) {
	const atOnce = 500 * time.Millisecond // the server's patience is longer
	for _, driver := range drivers() {
		u := serve(t, &transport.Options{Driver: driver})
		for name, tt := range map[string]struct {
			end  sent
			code int
		}{
			"close":  {closing(closeBody(1000, "")), 1000},
			"breach": {f(fin|3, ""), 1002},
		} {
			t.Run(fmt.Sprintf("%s %s", driver, name), func(t *testing.T) {
				attempt := func() time.Duration {
					h := newHandler(new(testCase))
					p, _, err := connect(u.addr, u.expect(h), "")
					if err != nil {
						t.Fatal(err)
					}
					defer p.nc.Close()
					if _, err := p.nc.Write(p.encode([]sent{tt.end, text(filler(65536))})); err != nil {
						t.Fatal(err)
					}
					got, err := p.r.next()
					if err != nil || got.first != fin|opClose || !strings.HasPrefix(got.payload, closeBody(tt.code, "")) {
						t.Fatalf("got %v, %v", got, err)
					}
					begin := time.Now()
					if _, err := p.nc.Write(bytes.Repeat([]byte{0x81}, 4096)); err != nil {
						t.Errorf("write after the answer: %v", err)
					}
					if err := p.hangUp(); err != nil {
						t.Error(err)
					}
					took := time.Since(begin)
					h.check(t, tt.code)
					return took
				}
				// On a machine that is busy one attempt may be late.
				var took time.Duration
				for range 5 {
					if took = attempt(); took < atOnce {
						return
					}
				}
				t.Errorf("the server ended its side after %v", took)
			})
		}
	}
}

package conformance_test

import (
	"fmt"
	"strings"
)

func lengths() []int { return []int{0, 1, 125, 126, 127, 128, 65535, 65536} }

// framing is group 1: the frames of RFC 6455, section 5.2, and their masking
// (section 5.3).
func framing(s *suite) {
	kinds := []struct {
		name string
		of   func(n int) sent
	}{
		{"text", func(n int) sent { return text(filler(n)) }},
		{"binary", func(n int) sent { return binaryMsg(octets(n)) }},
	}
	for _, k := range kinds {
		s.section(k.name)
		for _, n := range lengths() {
			s.ok(fmt.Sprintf("%d octets", n), echoed(k.of(n)))
		}
	}
	for _, k := range kinds {
		s.section(k.name + " in chops")
		for _, n := range lengths() {
			chop := 1
			if n > 1000 {
				chop = 997
			}
			s.ok(fmt.Sprintf("%d octets by %d", n, chop), echoed(k.of(n)).chopped(chop))
		}
	}

	s.section("header apart")
	for _, n := range []int{0, 1, 126, 65535, 65536} {
		head := 2
		switch {
		case n > 65535:
			head = 10
		case n > 125:
			head = 4
		}
		for at := 1; at <= head; at++ {
			s.ok(fmt.Sprintf("%d octets, first write has %d", n, at), echoed(binaryMsg(octets(n))).splitAt(at))
		}
	}

	s.section("many in one write")
	s.ok("two", echoed(text("one"), binaryMsg("two")))
	s.ok("two, in chops of 1", echoed(text("one"), binaryMsg("two")).chopped(1))
	var all []sent
	for _, n := range lengths() {
		all = append(all, text(filler(n)), binaryMsg(octets(n)))
	}
	s.ok("every length", echoed(all...))
	s.ok("every length, in chops of 1023", echoed(all...).chopped(1023))
	all = nil
	for i := range 200 {
		all = append(all, text(fmt.Sprintf("message %d", i)))
	}
	s.ok("200", echoed(all...))
	s.ok("200, in chops of 3", echoed(all...).chopped(3))

	s.section("every octet")
	var every strings.Builder
	for i := range 256 {
		every.WriteByte(byte(i))
	}
	s.ok("binary", echoed(binaryMsg(every.String())))
	s.ok("binary, in chops of 1", echoed(binaryMsg(every.String())).chopped(1))

	s.section("masking key")
	for _, key := range [][4]byte{{}, {0xff, 0xff, 0xff, 0xff}, {1, 0, 0, 0}, {0, 0, 0, 1}} {
		for _, n := range []int{1, 2, 3, 4, 5, 7, 8, 9, 131} {
			m := binaryMsg(octets(n))
			m.key = &key
			s.ok(fmt.Sprintf("%x, %d octets by 3", key, n), echoed(m).chopped(3)).only = serverSide
		}
	}

	s.section("mask bit as the other side has it")
	for _, first := range []byte{fin | opText, fin | opBinary, opText, fin | opPing, fin | opPong} {
		m := f(first, "x")
		s.add(m.String(), fails(1002), send(unfit(m)))
		s.add(m.String()+", after a message", fails(1002), send(text("a"), unfit(m)).wants(frame{fin | opText, "a"}))
	}
	s.add("close", fails(1002), send(unfit(closing(closeBody(1000, "")))))
	s.add("last fragment", fails(1002), send(f(opText, "a"), unfit(f(fin|opCont, "b"))))
	s.add("empty text", fails(1002), send(unfit(text(""))))

	s.section("payload length in too many octets")
	for _, form := range []int{2, 8} {
		for _, n := range []int{0, 1, 125, 126, 65535} {
			if form == 2 && n > 125 {
				continue
			}
			for _, op := range []byte{opText, opBinary} {
				m := f(fin|op, filler(n))
				m.form = form
				s.add(fmt.Sprintf("%d for %v", form, m), fails(1002), send(m))
			}
		}
	}
	m := f(fin|opCont, "x")
	m.form = 2
	s.add("2 for a fragment", fails(1002), send(f(opText, "a"), m))

	s.section("payload length without end")
	for _, n := range []uint64{1 << 63, 1<<63 + 1, 1<<64 - 1} {
		m := binaryMsg("some")
		m.form, m.length = 8, &n
		s.add(fmt.Sprintf("%#x", n), fails(1002), send(m))
	}
	for _, n := range []uint64{1<<63 - 1, 1 << 62, 1 << 32, 1<<31 - 1} {
		m := binaryMsg("some")
		m.form, m.length = 8, &n
		s.add(fmt.Sprintf("%#x", n), fails(1009), send(m))
	}

	s.section("end of TCP without a close frame")
	s.add("at once", drops(), send().thenFinishes())
	s.add("after a message", drops(), echoed(text("a")), send().thenFinishes())
	s.add("in a header", drops(), send(text("a")).wants(frame{fin | opText, "a"}), step{send: []sent{withheld(text("bc"), 2)}, finish: true})
	s.add("in a payload", drops(), send(withheld(text("abc"), 1)).thenFinishes())
	s.add("in a message", drops(), send(f(opText, "a"), f(opCont, "b")).thenFinishes())
}

// pings is group 2: RFC 6455, sections 5.5.2 and 5.5.3.
func pings(s *suite) {
	answered := func(p ...string) step {
		var st step
		for _, p := range p {
			st.send = append(st.send, ping(p))
			st.want = append(st.want, frame{fin | opPong, p})
		}
		return st
	}
	s.section("payload")
	for _, n := range []int{0, 1, 2, 3, 4, 7, 8, 31, 64, 100, 124, 125} {
		s.ok(fmt.Sprintf("%d octets of text", n), answered(filler(n)))
		s.ok(fmt.Sprintf("%d octets of noise", n), answered(octets(n)))
	}
	s.ok("not UTF-8", answered("\xfe\xff\x80\xc0"))

	s.section("in chops")
	for _, n := range []int{0, 1, 125} {
		s.ok(fmt.Sprintf("%d octets by 1", n), answered(octets(n)).chopped(1))
	}

	s.section("too long")
	for _, first := range []byte{opPing, opPong} {
		for _, n := range []int{126, 127, 128, 65535, 65536} {
			m := f(fin|first, octets(n))
			s.add(m.String(), fails(1002), send(m))
			s.add(m.String()+", only the header", fails(1002), send(withheld(m, n)))
		}
		m := f(fin|first, "x")
		m.form = 2
		s.add(fmt.Sprintf("%v with a length of 2 octets", m), fails(1002), send(m))
	}

	s.section("unsolicited pong")
	for _, n := range []int{0, 1, 125} {
		s.ok(fmt.Sprintf("%d octets", n), send(pong(octets(n))), answered("still there?"))
	}
	s.ok("ten", send(pong("0"), pong("1"), pong("2"), pong("3"), pong("4"), pong("5"), pong("6"), pong("7"), pong("8"), pong("9")),
		echoed(text("a")))
	s.ok("in chops of 1", send(pong("unasked")).chopped(1), echoed(text("a")))
	s.ok("with the payload of a ping that follows", send(pong("p"), ping("p")).wants(frame{fin | opPong, "p"}))

	s.section("ten pings")
	var names []string
	var steps []step
	for i := range 10 {
		names = append(names, fmt.Sprintf("ping %d", i))
		steps = append(steps, answered(names[i]))
	}
	s.ok("one after another", steps...)
	s.ok("one after another, in chops of 1", func() (chopped []step) {
		for _, st := range steps {
			chopped = append(chopped, st.chopped(1))
		}
		return chopped
	}()...)
	s.ok("in one write", answered(names...))
	s.ok("in one write, then another", answered(names...), answered("last"))
	s.ok("in chops of 1", answered(names...).chopped(1))
	s.ok("all the same", answered("p"), answered("p"), answered("p"))

	s.section("among messages")
	s.ok("before one", send(ping("p"), text("a")).wants(frame{fin | opPong, "p"}, frame{fin | opText, "a"}))
	s.ok("before one, in chops of 1", send(ping("p"), text("a")).wants(frame{fin | opPong, "p"}, frame{fin | opText, "a"}).chopped(1))
	s.ok("after one", send(text("a"), ping("p")).wants(frame{fin | opText, "a"}, frame{fin | opPong, "p"}))
	s.ok("between two", send(text("a"), ping("p"), binaryMsg("b")).
		wants(frame{fin | opText, "a"}, frame{fin | opPong, "p"}, frame{fin | opBinary, "b"}))
	var many step
	for i := range 20 {
		m := text(filler(i * 50))
		many.send = append(many.send, m, ping(fmt.Sprint(i)))
		many.want = append(many.want, m.frame, frame{fin | opPong, fmt.Sprint(i)})
	}
	s.ok("after each of 20", many)
	s.ok("after each of 20, in chops of 7", many.chopped(7))
}

// reservedBits is group 3: no extension is negotiated, so each of RSV1, RSV2 and
// RSV3 fails the connection (RFC 6455, section 5.2).
func reservedBits(s *suite) {
	for bits := byte(1); bits < 8; bits++ {
		s.section(fmt.Sprintf("bits %03b", bits))
		rsv := bits << 4
		for _, m := range []sent{
			f(fin|rsv|opText, "x"), f(fin|rsv|opBinary, "x"), f(rsv|opText, "x"), f(fin|rsv|opText, ""),
			f(fin|rsv|opPing, "x"), f(fin|rsv|opPong, "x"), f(fin|rsv|opClose, closeBody(1000, "")),
		} {
			s.add(fmt.Sprintf("%v", m), fails(1002), send(m))
		}
		s.add("continuation", fails(1002), send(f(opText, "a"), f(fin|rsv|opCont, "b")))
		s.add("only the header", fails(1002), send(withheld(f(fin|rsv|opText, "abc"), 3)))
		s.add("in chops of 1", fails(1002), send(f(fin|rsv|opText, "x")).chopped(1))
		s.add("after a message", fails(1002), send(text("a"), f(fin|rsv|opText, "x")).wants(frame{fin | opText, "a"}))
		s.add("after a ping", fails(1002), send(ping("p"), f(fin|rsv|opText, "x")).wants(frame{fin | opPong, "p"}))
		s.add("before a message that is not to be echoed", fails(1002), send(f(fin|rsv|opBinary, "x"), text("a"), ping("p")))
	}
}

// opcodes is group 4: opcodes that mean nothing (RFC 6455, section 5.2).
func opcodes(s *suite) {
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		s.section(fmt.Sprintf("opcode %d", op))
		s.add("empty", fails(1002), send(f(fin|op, "")))
		s.add("with a payload", fails(1002), send(f(fin|op, "reserved")))
		s.add("only the header", fails(1002), send(withheld(f(fin|op, "reserved"), 8)))
		s.add("without FIN", fails(1002), send(f(op, "x")))
		s.add("in chops of 1", fails(1002), send(f(fin|op, "x")).chopped(1))
		s.add("after a message", fails(1002), send(text("a"), f(fin|op, "")).wants(frame{fin | opText, "a"}))
		s.add("between a message and a ping", fails(1002), send(text("a"), f(fin|op, "x"), ping("p")).wants(frame{fin | opText, "a"}))
		s.add("among fragments", fails(1002), send(f(opText, "a"), f(fin|op, ""), f(fin|opCont, "b")))
	}
}

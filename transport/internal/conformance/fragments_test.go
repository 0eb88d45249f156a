package conformance_test

import (
	"fmt"
	"strings"
)

// fragmentation is group 5: RFC 6455, section 5.4.
func fragmentation(s *suite) {
	s.section("fragments")
	whole := func(op byte, parts ...string) step {
		st := step{want: []frame{{fin | op, strings.Join(parts, "")}}}
		for i, p := range parts {
			first := byte(opCont)
			if i == 0 {
				first = op
			}
			if i == len(parts)-1 {
				first |= fin
			}
			st.send = append(st.send, f(first, p))
		}
		return st
	}
	for _, op := range []byte{opText, opBinary} {
		for _, parts := range [][]string{
			{"a", "b"}, {"a", "b", "c"}, {"", ""}, {"", "", ""}, {"", "a"}, {"a", ""}, {"a", "", "b"}, {"", "a", "", "b", ""},
			{filler(125), filler(126)}, {filler(126), filler(127)}, {"x", filler(30000), "y"}, {filler(32768), filler(32768)},
		} {
			st := whole(op, parts...)
			lens := make([]string, len(parts))
			for i, p := range parts {
				lens[i] = fmt.Sprint(len(p))
			}
			name := fmt.Sprintf("opcode %d of %s octets", op, strings.Join(lens, "+"))
			s.ok(name, st)
			chop := 1
			if len(st.want[0].payload) > 1000 {
				chop = 1021
			}
			s.ok(fmt.Sprintf("%s, in chops of %d", name, chop), st.chopped(chop))
		}
		parts := strings.Split(filler(300), "")
		s.ok(fmt.Sprintf("opcode %d of 300 single octets", op), whole(op, parts...))
		s.ok(fmt.Sprintf("opcode %d of 300 single octets, in chops of 1", op), whole(op, parts...).chopped(1))
	}
	s.ok("message after message", whole(opText, "a", "b"), whole(opBinary, "c", "d"), echoed(text("e")), whole(opText, "f", "g", "h"))
	s.ok("fragment by fragment, each in a write of its own", send(f(opText, "a")), send(ping("1")).wants(frame{fin | opPong, "1"}),
		send(f(opCont, "b")), send(ping("2")).wants(frame{fin | opPong, "2"}), send(f(fin|opCont, "c")).wants(frame{fin | opText, "abc"}))

	// Every pattern of control frames in the gaps of a message of three
	// fragments.
	s.section("control frames in the gaps")
	for pattern := range 81 {
		var st step
		var name []string
		control := func(kind, i int) {
			p := fmt.Sprint(i)
			switch kind {
			case 1:
				st.send, st.want, name = append(st.send, ping(p)), append(st.want, frame{fin | opPong, p}), append(name, "ping")
			case 2:
				st.send, name = append(st.send, pong(p)), append(name, "pong")
			default:
				name = append(name, "-")
			}
		}
		left := pattern
		for i, m := range []sent{f(opText, "one "), f(opCont, "two "), f(fin|opCont, "three")} {
			control(left%3, i)
			left /= 3
			st.send = append(st.send, m)
		}
		st.want = append(st.want, frame{fin | opText, "one two three"})
		control(left%3, 3)
		s.ok(strings.Join(name, " "), st)
		s.ok(strings.Join(name, " ")+", in chops of 1", st.chopped(1))
	}

	s.section("control frame without FIN")
	for _, op := range []byte{opPing, opPong, opClose} {
		body := ""
		if op == opClose {
			body = closeBody(1000, "")
		}
		m := f(op, body)
		s.add(m.String(), fails(1002), send(m))
		s.add(m.String()+", in chops of 1", fails(1002), send(m).chopped(1))
		s.add(m.String()+", continued", fails(1002), send(m, f(fin|opCont, "")))
		s.add(m.String()+", in a message", fails(1002), send(f(opText, "a"), m, f(fin|opCont, "b")))
	}

	// Every sequence of four frames from this alphabet, up to the first that
	// must fail the connection.
	s.section("sequence")
	alphabet := []struct {
		letter string
		first  byte
	}{
		{"t", opText}, {"T", fin | opText}, {"b", opBinary}, {"B", fin | opBinary},
		{"c", opCont}, {"C", fin | opCont}, {"p", fin | opPing},
	}
	var extend func(name string, st step, message byte, held string)
	extend = func(name string, st step, message byte, held string) {
		for _, a := range alphabet {
			name := name + a.letter
			m := f(a.first, fmt.Sprint(len(name)))
			st := step{send: append(st.send[:len(st.send):len(st.send)], m), want: st.want[:len(st.want):len(st.want)]}
			message, held := message, held
			op := a.first & 0x0f
			switch {
			case op == opPing:
				st.want = append(st.want, frame{fin | opPong, m.payload})
			case op == opCont && message == 0, op != opCont && message != 0:
				st.send = append(st.send, text("not to be echoed"))
				s.add(name, fails(1002), st)
				continue
			default:
				if op != opCont {
					message, held = op, ""
				}
				held += m.payload
				if m.first&fin != 0 {
					st.want = append(st.want, frame{fin | message, held})
					message = 0
				}
			}
			if len(name) == 4 {
				s.ok(name, st)
				if strings.Contains(name, "C") {
					s.ok(name+", in chops of 1", st.chopped(1))
				}
				continue
			}
			extend(name, st, message, held)
		}
	}
	extend("", step{}, 0, "")
}

// sizes is group 9: messages of up to 4 MiB, in frames, fragments and chops of
// many sizes, and the limit of the options.
func sizes(s *suite) {
	const mib = 1 << 20
	big := func(name string, steps ...step) { s.ok(name, steps...).limits = large }
	for _, op := range []byte{opText, opBinary} {
		of := filler
		if op == opBinary {
			of = octets
		}
		s.section(fmt.Sprintf("opcode %d in one frame", op))
		for _, n := range []int{64 << 10, 256 << 10, mib, 4 * mib} {
			big(fmt.Sprintf("%d octets", n), echoed(f(fin|op, of(n))))
		}
		s.section(fmt.Sprintf("opcode %d of 4 MiB in fragments", op))
		for _, size := range []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, mib} {
			big(fmt.Sprintf("%d octets each", size),
				send(fragments(op, of(4*mib), size)...).wants(frame{fin | op, of(4 * mib)}))
		}
		s.section(fmt.Sprintf("opcode %d of 256 KiB in chops", op))
		for chop := 64; chop <= 4096; chop *= 2 {
			big(fmt.Sprintf("%d octets each", chop), echoed(f(fin|op, of(256<<10))).chopped(chop))
		}
		s.section(fmt.Sprintf("opcode %d of 256 KiB in fragments and chops", op))
		for _, size := range []int{64, 1000, 1 << 10, 4095, 16 << 10, 65537} {
			big(fmt.Sprintf("fragments of %d, chops of 1460", size),
				send(fragments(op, of(256<<10), size)...).wants(frame{fin | op, of(256 << 10)}).chopped(1460))
		}
		s.section(fmt.Sprintf("opcode %d, one after another", op))
		for _, n := range []int{0, 16, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10} {
			steps := make([]step, 50)
			for i := range steps {
				steps[i] = echoed(f(fin|op, of(n)))
			}
			big(fmt.Sprintf("50 of %d octets", n), steps...)
		}
		s.section(fmt.Sprintf("opcode %d, all at once", op))
		for _, n := range []int{0, 16, 64, 256, 1 << 10, 4 << 10} {
			msgs := make([]sent, 1000)
			for i := range msgs {
				msgs[i] = f(fin|op, of(n))
			}
			big(fmt.Sprintf("1000 of %d octets", n), echoed(msgs...))
		}
	}

	s.section("limit of 1000 octets")
	limited := func(name string, end ending, steps ...step) { s.add(name, end, steps...).limits = small }
	tooBig := uint64(1001)
	just := f(fin|opBinary, "")
	just.length = &tooBig
	limited("as many", ending{}, echoed(text(filler(1000))))
	limited("as many, in fragments", ending{}, send(fragments(opText, filler(1000), 7)...).wants(frame{fin | opText, filler(1000)}))
	limited("as many, twice", ending{}, echoed(binaryMsg(octets(1000)), text(filler(1000))))
	limited("as many, and empty fragments", ending{},
		send(f(opBinary, octets(1000)), f(opCont, ""), ping("p"), f(fin|opCont, "")).wants(frame{fin | opPong, "p"}, frame{fin | opBinary, octets(1000)}))
	limited("one more", fails(1009), send(text(filler(1001))))
	limited("one more, only the header", fails(1009), send(just))
	limited("one more, in two fragments", fails(1009), send(f(opBinary, octets(1000)), f(fin|opCont, "x")))
	limited("one more, in many fragments", fails(1009), send(fragments(opText, filler(1001), 7)...))
	limited("one more, no last fragment", fails(1009), send(f(opBinary, octets(500)), withheld(f(opCont, octets(501)), 501)))
	limited("one more, after a message", fails(1009), send(text("a"), text(filler(1001))).wants(frame{fin | opText, "a"}))
	limited("much more", fails(1009), send(text(filler(512<<10))))
	limited("much more, in chops", fails(1009), send(text(filler(128<<10))).chopped(512))
	s.section("limit of 64 KiB")
	s.add("one more", fails(1009), send(text(filler(64<<10+1))))
	s.add("one more, in fragments", fails(1009), send(fragments(opBinary, octets(64<<10+1), 8<<10)...))
}

// autoFragments is group 10: a peer that cuts what it sends into small frames.
func autoFragments(s *suite) {
	for _, op := range []byte{opText, opBinary} {
		of := filler
		if op == opBinary {
			of = octets
		}
		s.section(fmt.Sprintf("opcode %d of 64 KiB", op))
		for _, size := range []int{1300, 64, 125, 126, 1024, 4096, 65535} {
			st := send(fragments(op, of(64<<10), size)...).wants(frame{fin | op, of(64 << 10)})
			s.ok(fmt.Sprintf("frames of %d", size), st)
			s.ok(fmt.Sprintf("frames of %d, in chops of 1447", size), st.chopped(1447))
		}
		// A ping in each gap, one pong for each: the peer waits for them.
		var steps []step
		parts := fragments(op, of(64<<10), 1300)
		for i, m := range parts[:len(parts)-1] {
			steps = append(steps, send(m, ping(fmt.Sprint(i))).wants(frame{fin | opPong, fmt.Sprint(i)}))
		}
		steps = append(steps, send(parts[len(parts)-1]).wants(frame{fin | op, of(64 << 10)}))
		s.ok("frames of 1300, a ping after each", steps...)
	}
}

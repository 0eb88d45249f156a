package conformance_test

import (
	"fmt"
	"testing"
	"unicode/utf8"
)

// utf8Rows is the grammar of UTF-8 (RFC 3629, section 4): each row is the ranges
// of the octets of one character.
var utf8Rows = [][][2]byte{
	{{0x00, 0x7f}},
	{{0xc2, 0xdf}, {0x80, 0xbf}},
	{{0xe0, 0xe0}, {0xa0, 0xbf}, {0x80, 0xbf}},
	{{0xe1, 0xec}, {0x80, 0xbf}, {0x80, 0xbf}},
	{{0xed, 0xed}, {0x80, 0x9f}, {0x80, 0xbf}},
	{{0xee, 0xef}, {0x80, 0xbf}, {0x80, 0xbf}},
	{{0xf0, 0xf0}, {0x90, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}},
	{{0xf1, 0xf3}, {0x80, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}},
	{{0xf4, 0xf4}, {0x80, 0x8f}, {0x80, 0xbf}, {0x80, 0xbf}},
}

// utf8Bad returns how many octets of s there are up to and with the first that
// no text can have there, or -1 if there is none. whole says that s is no mere
// beginning of a text.
func utf8Bad(s string) (bad int, whole bool) {
	for i := 0; i < len(s); {
		best := 0 // octets of the character at i that some row takes
		n := 0    // of a whole one
		for _, row := range utf8Rows {
			k := 0
			for k < len(row) && i+k < len(s) && row[k][0] <= s[i+k] && s[i+k] <= row[k][1] {
				k++
			}
			if k == len(row) {
				n = k
			}
			best = max(best, k)
		}
		switch {
		case n > 0:
			i += n
		case i+best == len(s):
			return -1, false
		default:
			return i + best + 1, false
		}
	}
	return -1, true
}

// Verify the grammar against the standard library.
func TestUTF8Grammar(t *testing.T) {
	for r := rune(0); r <= utf8.MaxRune; r += 1 + r/97 {
		s := string(r)
		if bad, whole := utf8Bad(s); bad != -1 || !whole {
			t.Errorf("%q: %d %v", s, bad, whole)
		}
	}
	for a := range 256 {
		for b := range 256 {
			for _, end := range []string{"", "\x80", "\xbf\xbf", "a"} {
				s := string([]byte{byte(a), byte(b)}) + end
				bad, whole := utf8Bad(s)
				if whole != utf8.ValidString(s) {
					t.Errorf("%q: whole is %v", s, whole)
				}
				if bad > 0 != (!whole && neverUTF8(s)) {
					t.Errorf("%q: bad is %d", s, bad)
				}
			}
		}
	}
}

// neverUTF8 says by trying that no text begins with s.
func neverUTF8(s string) bool {
	for _, end := range []string{"", "\x80", "\x80\x80", "\x80\x80\x80", "\xa0\x80", "\x90\x80\x80"} {
		if utf8.ValidString(s + end) {
			return false
		}
	}
	return true
}

// enc returns the octets that hold v in the pattern of n octets, be that allowed
// or not.
func enc(v uint32, n int) string {
	b := make([]byte, n)
	for i := n - 1; i > 0; i-- {
		b[i] = 0x80 | byte(v&0x3f)
		v >>= 6
	}
	b[0] = byte(0xff<<(8-n)) | byte(v)
	return string(b)
}

type textSample struct{ name, s string }

// goodTexts are texts at the borders of what is allowed.
func goodTexts() []textSample {
	out := []textSample{
		{"ASCII", "Hello, world"}, {"NUL", "a\x00b"}, {"BOM", "\ufeffa"}, {"replacement character", "\ufffd"},
		{"several scripts", "Grüße, κόσμε, Привет, 你好, שלום, 👋🏽"}, {"combining", "e\u0301\u20e3"},
	}
	for _, row := range utf8Rows {
		for _, end := range []int{0, 1} {
			b := make([]byte, len(row))
			for i := range row {
				b[i] = row[i][end]
			}
			out = append(out, textSample{fmt.Sprintf("border % x", b), string(b)})
		}
	}
	for plane := rune(0); plane <= 16; plane++ {
		out = append(out, textSample{fmt.Sprintf("noncharacters of plane %d", plane),
			string(plane<<16|0xfffe) + string(plane<<16|0xffff)})
	}
	return append(out, textSample{"noncharacters U+FDD0 to U+FDEF", "\ufdd0\ufdef"})
}

// badTexts are texts that are none, after valid and before valid ones.
func badTexts() []textSample {
	var out []textSample
	add := func(name, s string) { out = append(out, textSample{name, s}) }
	for n := 1; n <= 7; n++ {
		add(fmt.Sprintf("%d lone continuation octets", n), "\x80\xbf\x80\xbf\x80\xbf\x80"[:n])
	}
	add("lone 0xbf", "\xbf")
	for _, b := range []byte{0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf3, 0xf4} {
		add(fmt.Sprintf("lone start %#x before a blank", b), string([]byte{b})+" ")
		add(fmt.Sprintf("start %#x twice", b), string([]byte{b, b}))
	}
	for _, b := range []byte{0xc0, 0xc1, 0xf5, 0xf6, 0xf7, 0xf8, 0xfb, 0xfc, 0xfd, 0xfe, 0xff} {
		add(fmt.Sprintf("octet %#x", b), string([]byte{b}))
	}
	for _, v := range []uint32{0, '/', 0x7f} {
		for n := 2; n <= 6; n++ {
			add(fmt.Sprintf("U+%04X in %d octets", v, n), enc(v, n))
		}
	}
	add("U+07FF in 3 octets", enc(0x7ff, 3))
	add("U+0800 in 4 octets", enc(0x800, 4))
	add("U+FFFF in 4 octets", enc(0xffff, 4))
	add("U+10000 in 5 octets", enc(0x10000, 5))
	add("U+10FFFF in 6 octets", enc(0x10ffff, 6))
	for _, v := range []uint32{0xd800, 0xdb7f, 0xdb80, 0xdbff, 0xdc00, 0xdf80, 0xdfff} {
		add(fmt.Sprintf("surrogate %X", v), enc(v, 3))
	}
	for _, v := range [][2]uint32{{0xd800, 0xdc00}, {0xd83d, 0xde00}, {0xdbff, 0xdfff}, {0xdc00, 0xd800}} {
		add(fmt.Sprintf("surrogates %X %X", v[0], v[1]), enc(v[0], 3)+enc(v[1], 3))
	}
	for _, v := range []uint32{0x110000, 0x13ffff, 0x140000, 0x1fffff} {
		add(fmt.Sprintf("U+%X in 4 octets", v), enc(v, 4))
	}
	add("U+200000 in 5 octets", enc(0x200000, 5))
	add("U+3FFFFFF in 5 octets", enc(0x3ffffff, 5))
	add("U+4000000 in 6 octets", enc(0x4000000, 6))
	add("U+7FFFFFFF in 6 octets", enc(0x7fffffff, 6))
	for _, s := range []string{"é", "€", "\u07ff\u0800", "😀"} {
		r, n := utf8.DecodeLastRuneInString(s)
		for cut := 1; cut < n; cut++ {
			add(fmt.Sprintf("%d of the %d octets of U+%04X, then ASCII", n-cut, n, r), s[:len(s)-cut]+"a")
			add(fmt.Sprintf("%d of the %d octets of U+%04X, then the whole", n-cut, n, r), s[:len(s)-cut]+s)
		}
	}
	add("Latin-1", "Gr\xfc\xdfe")
	add("UTF-16", "\xff\xfeH\x00i\x00")
	return out
}

// texts is group 6: RFC 6455, sections 5.6 and 8.1.
func texts(s *suite) {
	s.section("text")
	for _, g := range goodTexts() {
		s.ok(g.name, echoed(text(g.s)))
	}
	s.section("text, in chops of 1")
	for _, g := range goodTexts() {
		s.ok(g.name, echoed(text("ä"+g.s+"€")).chopped(1))
	}
	s.section("text, a fragment for each octet")
	for _, g := range goodTexts() {
		s.ok(g.name, send(fragments(opText, g.s, 1)...).wants(frame{fin | opText, g.s}))
	}
	all := ""
	for _, g := range goodTexts() {
		all += g.s
	}
	s.section("all texts in one")
	s.ok("whole", echoed(text(all)))
	for size := 1; size < 12; size++ {
		s.ok(fmt.Sprintf("in fragments of %d", size), send(fragments(opText, all, size)...).wants(frame{fin | opText, all}))
	}
	s.ok("in fragments of 2, a ping in each gap", func() (steps []step) {
		parts := fragments(opText, goodTexts()[4].s, 2)
		for _, m := range parts[:len(parts)-1] {
			steps = append(steps, send(m, ping("p")).wants(frame{fin | opPong, "p"}))
		}
		return append(steps, send(parts[len(parts)-1]).wants(frame{fin | opText, goodTexts()[4].s}))
	}()...)

	s.section("no text, but binary")
	for _, b := range badTexts()[:20] {
		s.ok(b.name, echoed(binaryMsg(b.s)))
	}

	// Each of the following is sent so that nothing after the bad octet is
	// needed: an echo, or a wait for more, fails the case.
	const before = "κόσμε"
	s.section("no text")
	for _, b := range badTexts() {
		s.add(b.name, fails(1007), send(text(before+b.s+"edited")))
	}
	s.section("no text, in chops of 1")
	for _, b := range badTexts() {
		s.add(b.name, fails(1007), send(text(before+b.s+"edited")).chopped(1))
	}
	s.section("no text, in a frame whose rest never comes")
	for _, b := range badTexts() {
		bad, _ := utf8Bad(before + b.s)
		if bad < 0 {
			bad, _ = utf8Bad(before + b.s + "e")
		}
		whole := before + b.s + "edited"
		s.add(b.name, fails(1007), send(withheld(text(whole), len(whole)-bad)))
	}
	s.section("no text, in fragments of which the last never comes")
	for _, b := range badTexts() {
		whole := before + b.s + "e"
		bad, _ := utf8Bad(whole)
		var frames []sent
		for i := range bad {
			first := byte(opCont)
			if i == 0 {
				first = opText
			}
			frames = append(frames, f(first, whole[i:i+1]))
		}
		// Up to the bad octet all is well: the pong says so.
		st := send(append(frames[:bad-1:bad-1], ping("p"))...).wants(frame{fin | opPong, "p"})
		s.add(b.name, fails(1007), st, send(frames[bad-1]))
	}
	s.section("no text, in the second frame, whose rest never comes")
	for _, b := range badTexts() {
		whole := before + b.s + "edited"
		bad, _ := utf8Bad(whole)
		s.add(b.name, fails(1007), send(f(opText, whole[:bad-1]), ping("p")).wants(frame{fin | opPong, "p"}),
			send(withheld(f(fin|opCont, whole[bad-1:]), len(whole)-bad)))
	}

	s.section("text without its end")
	for _, c := range []string{"é", "€", "\ud7ff", "😀", "\U0010ffff"} {
		for n := 1; n < len(c); n++ {
			name := fmt.Sprintf("%d of the %d octets of %+q", n, len(c), c)
			s.add(name, fails(1007), send(text("a"+c[:n])))
			s.add(name+", in chops of 1", fails(1007), send(text("a"+c[:n])).chopped(1))
			s.add(name+", in fragments", fails(1007), send(f(opText, "a"), f(fin|opCont, c[:n])))
			s.add(name+", an empty fragment last", fails(1007), send(f(opText, "a"+c[:n]), ping("p")).wants(frame{fin | opPong, "p"}), send(f(fin|opCont, "")))
			s.ok(name+", the rest later", send(f(opText, "a"+c[:n]), ping("p")).wants(frame{fin | opPong, "p"}),
				send(f(fin|opCont, c[n:]+"b")).wants(frame{fin | opText, "a" + c + "b"}))
		}
	}

	s.section("no text, after others")
	s.add("after a text", fails(1007), send(text("a"), text("\xff")).wants(frame{fin | opText, "a"}))
	s.add("after a ping", fails(1007), send(ping("p"), text("\xff")).wants(frame{fin | opPong, "p"}))
	s.add("after half a character in the message before", fails(1007), echoed(binaryMsg("\xc3")), send(text("\xa4")))
	s.add("before a text that is not to be echoed", fails(1007), send(text("\xff"), text("a"), ping("p")))
	s.add("long", fails(1007), send(text(filler(60000)+"\xff")))
	s.add("long, in a frame whose rest never comes", fails(1007), send(withheld(text(filler(60000)+"\xffxx"), 2)))
}

package hostile_test

import (
	"fmt"
)

func utf8Cases() []hostileCase {
	bad := want{code: 1007, reason: "not UTF-8"}
	var cases []hostileCase
	add := func(name string, w want, steps ...step) {
		cases = append(cases, hostileCase{name: name, steps: steps, want: w})
	}

	for _, tt := range []struct{ name, text string }{
		{"at the start", "\xffabc"},
		{"in the middle", "ab\xffcd"},
		{"at the end", "abc\xff"},
		{"lone continuation", "a\x80b"},
		{"continuation missing", "\xc3("},
		{"continuation too many", "ä\xa4"},
		{"overlong slash in 2", "\xc0\xaf"},
		{"overlong DEL in 2", "\xc1\xbf"},
		{"overlong slash in 3", "\xe0\x80\xaf"},
		{"overlong U+07FF in 3", "\xe0\x9f\xbf"},
		{"overlong slash in 4", "\xf0\x80\x80\xaf"},
		{"overlong U+FFFF in 4", "\xf0\x8f\xbf\xbf"},
		{"overlong NUL", "\xc0\x80"},
		{"first surrogate", "\xed\xa0\x80"},
		{"last surrogate", "\xed\xbf\xbf"},
		{"pair of surrogates", "\xed\xa0\xbd\xed\xb8\x80"},
		{"U+110000", "\xf4\x90\x80\x80"},
		{"U+140000", "\xf5\x80\x80\x80"},
		{"5 bytes", "\xf8\x88\x80\x80\x80"},
		{"6 bytes", "\xfc\x84\x80\x80\x80\x80"},
		{"truncated after 1 of 2", "abc\xc3"},
		{"truncated after 2 of 3", "abc\xe2\x82"},
		{"truncated after 1 of 4", "abc\xf0"},
		{"truncated after 3 of 4", "abc\xf0\x9f\x98"},
	} {
		b := masked(fin|opText, tt.text)
		add(tt.name, bad, send(b))
		n := len(tt.text)
		add(tt.name+", in fragments", bad, send(masked(opText, tt.text[:n-1]), masked(opCont, ""), masked(fin|opCont, tt.text[n-1:])))
		add(tt.name+", over segments", bad, segment(b[:len(b)-1]), send(b[len(b)-1:]))
		add(tt.name+", as binary", want{frames: []frame{binMsg(tt.text)}}, send(masked(fin|opBinary, tt.text)))
	}
	add("rune begins in one message and ends in the next", bad, send(masked(fin|opText, "\xe2\x82"), masked(fin|opText, "\xac")))
	add("last fragment is empty, the rune not over", bad, send(masked(opText, "\xf0\x9f\x98"), masked(fin|opCont, "")))
	add("rune broken by a ping's payload", want{frames: []frame{pong("\x82"), text("€")}},
		segment(masked(opText, "\xe2")), segment(masked(fin|opPing, "\x82")), send(masked(fin|opCont, "\x82\xac")))

	// What cannot become text any more is refused before its end has come
	// (RFC 6455, section 8.1): these never end.
	add("fails in the first fragment", bad, send(masked(opText, "a\xff")))
	add("fails in an unfinished frame", bad, send(declared(fin|opText, 1000), masked(0, "a\xff")[6:]))
	add("fails over fragments", bad, send(masked(opText, "\xe2"), masked(opCont, "(")))
	add("fails in the second byte of a rune", bad, send(masked(opText, "\xed"), masked(opCont, "\xa0")))
	add("fails on a first byte that begins nothing", bad, send(masked(opText, "\xf5")))
	add("fails after 60000 good bytes", bad, send(declared(fin|opText, 65000), masked(0, x(60_000)+"\xc0")[8:]))

	// And this is text.
	for _, tt := range []struct{ name, text string }{
		{"NUL", "a\x00b"},
		{"U+D7FF and U+E000", "\ud7ff\ue000"},
		{"U+10FFFF", "\U0010ffff"},
		{"U+FFFE and U+FFFF", "\ufffe\uffff"},
		{"byte order mark", "\ufeffa"},
	} {
		add(tt.name+" is text", want{frames: []frame{text(tt.text)}}, send(masked(fin|opText, tt.text)))
	}
	for _, r := range []string{"ä", "€", "😀", "\U0010ffff"} {
		whole := "a" + r + "b"
		b := masked(fin|opText, whole)
		echo := want{frames: []frame{text(whole)}}
		for at := 1; at < len(r); at++ {
			how := fmt.Sprintf("%+q split after %d", r, at)
			add(how+", in fragments", echo, send(masked(opText, whole[:1+at]), masked(fin|opCont, whole[1+at:])))
			add(how+", over segments", echo, segment(b[:7+at]), send(b[7+at:]))
		}
		add(fmt.Sprintf("%+q in fragments of one byte", r), echo, send(bytesAsFragments(whole)))
		add(fmt.Sprintf("%+q in fragments of one byte, byte by byte", r), echo, bytewise(bytesAsFragments(whole)))
	}
	return cases
}

// bytesAsFragments returns a text in fragments of one byte each.
func bytesAsFragments(s string) (b []byte) {
	for i := range len(s) {
		op := byte(opCont)
		if i == 0 {
			op = opText
		}
		if i == len(s)-1 {
			op |= fin
		}
		b = append(b, masked(op, s[i:i+1])...)
	}
	return b
}

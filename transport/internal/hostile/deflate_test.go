package hostile_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/wireroom/wireroom/transport"
)

var deflating = &transport.Options{Deflate: true, DeflateThreshold: 64}

const goodOffer = "permessage-deflate; client_no_context_takeover"

// deflate compresses a message (RFC 7692, section 7.2.1).
func deflate(s string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		panic(err)
	}
	io.WriteString(w, s)
	w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// deflateWith compresses a message with a window that holds an earlier one.
func deflateWith(dict, s string) string {
	var b bytes.Buffer
	w, err := flate.NewWriterDict(&b, flate.BestCompression, []byte(dict))
	if err != nil {
		panic(err)
	}
	io.WriteString(w, s)
	w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// inflate is the inverse of deflate, for what a server sends.
func inflate(b []byte) ([]byte, error) {
	r := flate.NewReader(io.MultiReader(bytes.NewReader(b), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
	return io.ReadAll(r)
}

func deflateCases() []hostileCase {
	const (
		text1   = fin | rsv1 | opText
		binary1 = fin | rsv1 | opBinary
	)
	bad, big := want{code: 1007}, want{code: 1009}
	hello := want{frames: []frame{text("Hello")}}
	var cases []hostileCase
	one := func(name string, w want, parts ...[]byte) {
		cases = append(cases, hostileCase{name: name, opts: deflating, offer: goodOffer, steps: []step{send(parts...)}, want: w})
	}

	// The examples of RFC 7692, section 7.2.3.
	one("one block", hello, masked(text1, "\xf2\x48\xcd\xc9\xc9\x07\x00"))
	one("block that is not compressed", hello, masked(text1, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"))
	one("last block", hello, masked(text1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"))
	one("two blocks", hello, masked(text1, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"))
	one("empty message", want{frames: []frame{text("")}}, masked(text1, "\x00"))
	one("two fragments", hello, masked(rsv1|opText, "\xf2\x48\xcd"), masked(fin|opCont, "\xc9\xc9\x07\x00"))
	one("not compressed at all", hello, masked(fin|opText, "Hello"))
	one("empty fragments and a ping", want{frames: []frame{text("Hello")}, pongs: true}, masked(rsv1|opText, ""), masked(opCont, "\xf2\x48\xcd"),
		masked(fin|opPing, "p"), masked(opCont, ""), masked(fin|opCont, "\xc9\xc9\x07\x00"))
	one("long message", want{frames: []frame{text(strings.Repeat("ab", 10_000))}}, masked(text1, deflate(strings.Repeat("ab", 10_000))))

	one("garbage", bad, masked(binary1, "\xff\xff\xff\xff"))
	one("garbage of 60000 bytes", bad, masked(binary1, strings.Repeat("\xff\x37", 30_000)))
	one("reserved block type", bad, masked(binary1, "\x06\x00"))
	one("block that is not compressed, lengths that differ", bad, masked(binary1, "\x00\x05\x00\x00\x00Hello"))
	one("garbage in the last fragment", bad, masked(rsv1|opBinary, "\xf2\x48\xcd"), masked(fin|opCont, "\xff\xff\xff\xff\xff\xff"))
	whole := deflate(strings.Repeat("Hello, here is a text that is not short. ", 3))
	one("truncated stream", bad, masked(text1, whole[:len(whole)/2]))
	one("truncated block that is not compressed", bad, masked(text1, "\x00\x00\x10\xff\xefHello"))
	one("distance before the beginning", bad, masked(text1, deflateWith("Hello, Hello, Hello", "Hello, Hello, Hello")))
	one("context taken over", want{frames: []frame{text("Hello, Hello, Hello")}, code: 1007},
		masked(text1, deflate("Hello, Hello, Hello")), masked(text1, deflateWith("Hello, Hello, Hello", "Hello, Hello, Hello")))
	one("not UTF-8 behind it", want{code: 1007, reason: "UTF-8"}, masked(text1, deflate("abc\xff")))
	one("rune cut off behind it", want{code: 1007, reason: "UTF-8"}, masked(text1, deflate("abc\xe2\x82")))
	one("not UTF-8 in its compressed form", hello, masked(rsv1|opText, "\xf2\x48\xcd\xc9"), masked(fin|opCont, "\xc9\x07\x00"))

	one("RSV1 on continuation", want{code: 1002}, masked(rsv1|opText, "\xf2\x48\xcd"), masked(fin|rsv1|opCont, "\xc9\xc9\x07\x00"))
	one("RSV1 on continuation only", want{code: 1002}, masked(opText, "Hel"), masked(fin|rsv1|opCont, "\xc9\xc9\x07\x00"))
	one("RSV1 on ping", want{code: 1002}, masked(fin|rsv1|opPing, ""))
	one("RSV1 on pong", want{code: 1002}, masked(fin|rsv1|opPong, ""))
	one("RSV1 on close", want{code: 1002}, masked(fin|rsv1|opClose, closing(1000, "")))
	one("RSV2", want{code: 1002}, masked(fin|rsv2|opText, "x"))
	one("RSV1 and RSV3", want{code: 1002}, masked(fin|rsv1|rsv3|opText, "\x00"))
	one("RSV1 on a reserved opcode", want{code: 1002}, masked(fin|rsv1|3, "\x00"))
	one("RSV1 unmasked", want{code: 1002}, unmasked(text1, "\x00"))

	const limit = 64 << 10
	one("at the limit", want{frames: []frame{binMsg(x(limit))}}, masked(binary1, deflate(x(limit))))
	one("above the limit", big, masked(binary1, deflate(x(limit+1))))
	one("above the limit in its compressed form", big, declared(binary1, limit+limit/256+64+1))
	bomb := deflate(strings.Repeat("\x00", 32<<20))
	one("bomb", big, masked(binary1, bomb))
	one("bomb in fragments", big, masked(rsv1|opBinary, bomb[:1000]), masked(opCont, bomb[1000:20_000]), masked(fin|opCont, bomb[20_000:]))
	one("bomb of empty blocks", want{frames: []frame{text("")}}, masked(text1, strings.Repeat("\x00\x00\x00\xff\xff", 10_000)+"\x00"))

	cases = append(cases,
		hostileCase{name: "byte by byte", opts: deflating, offer: goodOffer,
			steps: []step{bytewise(masked(rsv1|opText, "\xf2\x48\xcd"), masked(fin|opPing, "p"), masked(fin|opCont, "\xc9\xc9\x07\x00"))},
			want:  want{frames: []frame{pong("p"), text("Hello")}}},
		hostileCase{name: "RSV1 without negotiation", opts: deflating, steps: []step{send(masked(text1, "\xf2\x48\xcd\xc9\xc9\x07\x00"))}, want: want{code: 1002}},
		hostileCase{name: "RSV1 while deflate is off", offer: "", steps: []step{send(masked(text1, "\xf2\x48\xcd\xc9\xc9\x07\x00"))}, want: want{code: 1002}},
		hostileCase{name: "offered while deflate is off", run: func(t *testing.T, s *server) {
			negotiate(t, s, []string{goodOffer}, false)
		}},
		hostileCase{name: "many bombs at once", opts: deflating, alone: true, run: bombs},
	)

	for _, offers := range [][]string{
		{"permessage-deflate"},
		{"permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
		{"permessage-deflate; client_max_window_bits"},
		{"permessage-deflate; client_max_window_bits=10"},
		{"permessage-deflate; server_max_window_bits=15"},
		{"permessage-deflate; server_max_window_bits=8, permessage-deflate"},
		{"permessage-deflate; server_max_window_bits=8", "permessage-deflate"},
		{"permessage-deflate; unknown, permessage-deflate; server_max_window_bits=16, permessage-deflate"},
		{"x-unknown; a=b, permessage-deflate"},
		{"x-webkit-deflate-frame", "permessage-deflate; client_max_window_bits"},
	} {
		cases = append(cases, hostileCase{name: "accepted " + strings.Join(offers, " and "), opts: deflating,
			run: func(t *testing.T, s *server) { negotiate(t, s, offers, true) }})
	}
	for _, offer := range []string{
		"permessage-deflate; server_max_window_bits=8",
		"permessage-deflate; server_max_window_bits=16",
		"permessage-deflate; server_max_window_bits=7",
		"permessage-deflate; server_max_window_bits=015",
		"permessage-deflate; server_max_window_bits=a",
		"permessage-deflate; server_max_window_bits",
		"permessage-deflate; client_max_window_bits=16",
		"permessage-deflate; client_max_window_bits=7",
		"permessage-deflate; client_max_window_bits=010",
		"permessage-deflate; server_no_context_takeover=1",
		"permessage-deflate; client_no_context_takeover=1",
		"permessage-deflate; unknown",
		"permessage-deflate; unknown=1",
		"permessage-deflate; client_no_context_takeover; client_no_context_takeover",
		"permessage-deflate; server_no_context_takeover; server_no_context_takeover",
		"permessage-deflate; client_max_window_bits; client_max_window_bits=10",
		"permessage-deflate; server_max_window_bits=15; server_max_window_bits=15",
		"x-webkit-deflate-frame",
	} {
		cases = append(cases, hostileCase{name: "declined " + offer, opts: deflating,
			run: func(t *testing.T, s *server) { negotiate(t, s, []string{offer}, false) }})
	}
	return cases
}

// negotiate verifies that offers, each a field of its own, are accepted or
// declined, and that the connection keeps to that.
func negotiate(t *testing.T, s *server, offers []string, accepted bool) {
	h := proper
	for _, offer := range offers {
		h = h.with("Sec-WebSocket-Extensions: " + offer)
	}
	p := s.connect(t, nil)
	defer p.nc.Close()
	p.deflate = accepted
	p.write(p.located(h.bytes()))
	p.listen()
	if !p.answered(want{status: 101}) {
		return
	}
	p.mu.Lock()
	answer := p.header.Values("Sec-WebSocket-Extensions")
	p.mu.Unlock()
	if !accepted {
		if len(answer) > 0 {
			t.Errorf("answered with %q, want no extension", answer)
		}
		p.write(masked(fin|rsv1|opText, deflate("Hello")))
		p.check(false, want{code: 1002})
		return
	}
	if err := agreement(answer, strings.Join(offers, ",")); err != nil {
		t.Errorf("answered with %q: %v", answer, err)
	}
	long := strings.Repeat("Hello", 200)
	p.write(masked(fin|rsv1|opText, deflate(long)))
	p.check(false, want{frames: []frame{text(long)}})
}

// agreement checks the answer to an offer (RFC 7692, sections 5.1 and 7.1).
func agreement(answer []string, offers string) error {
	if len(answer) != 1 {
		return fmt.Errorf("%d fields, want one", len(answer))
	}
	params := strings.Split(answer[0], ";")
	if strings.TrimSpace(params[0]) != "permessage-deflate" {
		return fmt.Errorf("%q is not permessage-deflate", params[0])
	}
	seen := make(map[string]bool)
	for _, param := range params[1:] {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		switch {
		case seen[name]:
			return fmt.Errorf("%s twice", name)
		case (name == "server_no_context_takeover" || name == "client_no_context_takeover") && value == "":
		case name == "server_max_window_bits" && value == "15":
		case name == "client_max_window_bits" && value != "" && strings.Contains(offers, name):
		default:
			return fmt.Errorf("parameter %q", param)
		}
		seen[name] = true
	}
	// Nothing is kept between messages, so that the client must not either.
	if !seen["client_no_context_takeover"] {
		return fmt.Errorf("no client_no_context_takeover")
	}
	if strings.HasSuffix(offers, "server_max_window_bits=15") && !seen["server_max_window_bits"] {
		return fmt.Errorf("no server_max_window_bits")
	}
	if strings.Contains(offers, "server_no_context_takeover") && !seen["server_no_context_takeover"] {
		return fmt.Errorf("no server_no_context_takeover")
	}
	return nil
}

// bombs has 64 peers that send 32 KB, which stand for 32 MB, first in a frame
// that does not end the message. Then they end it: what the server allocates for
// that is in proportion to its limit, not to what the bombs stand for.
func bombs(t *testing.T, s *server) {
	const peers, each, slack = 64, 256 << 10, 8 << 20
	bomb := masked(rsv1|opBinary, deflate(strings.Repeat("\x00", 32<<20)))
	before := heapInUse()
	var ps []*peer
	for range peers {
		p := s.open(t, goodOffer, nil)
		defer p.nc.Close()
		p.write(bomb)
		ps = append(ps, p)
	}
	eventually(t, "server reads", func() bool { return int(s.srv.Stats().BytesIn) >= peers*ps[0].sent })
	if now := heapInUse(); now > before+peers*each+slack {
		t.Errorf("the heap grew from %d to %d KiB", before>>10, now>>10)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	allocated := m.TotalAlloc
	for _, p := range ps {
		p.write(masked(fin|opCont, ""))
		p.check(false, want{code: 1009})
	}
	runtime.ReadMemStats(&m)
	if got := m.TotalAlloc - allocated; got > peers*2*each+slack {
		t.Errorf("%d KiB were allocated", got>>10)
	}
}

// deflates finds out whether the servers of this cell negotiate
// permessage-deflate for an offer without fault.
func (c *cell) deflates(t *testing.T) bool {
	s := c.start(t, deflating)
	p := s.open(t, goodOffer, nil)
	defer p.nc.Close()
	p.check(false, want{})
	s.stop(t)
	return p.header.Get("Sec-WebSocket-Extensions") != ""
}

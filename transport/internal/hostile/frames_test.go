package hostile_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// hasty are the limits of cases that wait for one of them.
var hasty = &transport.Options{
	FrameTimeout:   200 * time.Millisecond,
	MessageTimeout: 500 * time.Millisecond,
	CloseTimeout:   300 * time.Millisecond,
}

// repeated returns n frames in a row.
func repeated(b []byte, n int) []byte { return bytes.Repeat(b, n) }

func frameCases() []hostileCase {
	hello := masked(fin|opText, "Hello")
	breach := want{code: 1002}
	after := want{frames: []frame{text("Hello")}, code: 1002}

	var cases []hostileCase
	// one adds a case that sends all in one segment.
	one := func(name string, w want, parts ...[]byte) {
		cases = append(cases, hostileCase{name: name, steps: []step{send(parts...)}, want: w})
	}

	for i, rsv := range []byte{rsv1, rsv2, rsv3} {
		one(fmt.Sprintf("RSV%d on text", i+1), breach, masked(fin|rsv|opText, "x"))
		one(fmt.Sprintf("RSV%d on ping", i+1), breach, masked(fin|rsv|opPing, ""))
		one(fmt.Sprintf("RSV%d on continuation", i+1), breach, masked(opText, "x"), masked(fin|rsv|opCont, "x"))
	}
	one("all RSV bits after a message", after, hello, masked(fin|rsv1|rsv2|rsv3|opBinary, "x"))
	one("RSV1 on close", breach, masked(fin|rsv1|opClose, closing(1000, "")))
	for _, op := range []byte{3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf} {
		one(fmt.Sprintf("reserved opcode %X", op), after, hello, masked(fin|op, "x"))
	}

	one("unmasked text", breach, unmasked(fin|opText, "Hello"))
	one("unmasked ping", breach, unmasked(fin|opPing, ""))
	one("unmasked close", breach, unmasked(fin|opClose, closing(1000, "")))
	one("unmasked continuation", breach, masked(opText, "x"), unmasked(fin|opCont, "x"))

	// These are answered by the header alone: nothing comes behind it.
	notMinimal := want{code: 1002, reason: "not minimal"}
	topBit := want{code: 1002, reason: "top bit"}
	one("16 bit length of 0", notMinimal, lengthOf(fin|opText, 16, 0))
	one("16 bit length of 125", notMinimal, lengthOf(fin|opText, 16, 125))
	one("64 bit length of 0", notMinimal, lengthOf(fin|opText, 64, 0))
	one("64 bit length of 125", notMinimal, lengthOf(fin|opText, 64, 125))
	one("64 bit length of 65535", notMinimal, lengthOf(fin|opText, 64, 65535))
	one("64 bit length with the top bit", topBit, lengthOf(fin|opText, 64, 1<<63|1))
	one("64 bit length with all bits", topBit, lengthOf(fin|opText, 64, 1<<64-1))
	one("largest length", want{code: 1009}, lengthOf(fin|opText, 64, 1<<63-1))
	one("16 bit length of a ping", want{code: 1002}, lengthOf(fin|opPing, 16, 5))
	one("lengths at their limits", want{frames: []frame{text(x(125)), text(x(126)), text(x(65535))}},
		masked(fin|opText, x(125)), masked(fin|opText, x(126)), masked(fin|opText, x(65535)))

	// The default limit of a message is 64 KiB.
	const limit = 64 << 10
	tooBig := want{code: 1009, reason: "exceeds 65536 bytes"}
	one("message at the limit", want{frames: []frame{binMsg(x(limit))}}, masked(fin|opBinary, x(limit)))
	one("header of a message above the limit", tooBig, declared(fin|opBinary, limit+1))
	one("message above the limit", tooBig, masked(fin|opBinary, x(limit+1)))
	one("fragments at the limit", want{frames: []frame{text(x(limit))}},
		masked(opText, x(limit/2)), masked(opCont, x(limit/2)), masked(fin|opCont, ""))
	one("fragments above the limit", tooBig, masked(opText, x(limit/2)), masked(opCont, x(limit/2)), masked(fin|opCont, "x"))
	one("first fragment above the limit", tooBig, declared(opText, limit+1))
	one("much after a message above the limit", tooBig, masked(fin|opBinary, x(4<<20)))

	one("continuation without start", breach, masked(opCont, "x"))
	one("last continuation without start", breach, masked(fin|opCont, "x"))
	one("continuation after the last one", want{frames: []frame{text("ab")}, code: 1002},
		masked(opText, "a"), masked(fin|opCont, "b"), masked(fin|opCont, "c"))
	one("text inside a text", breach, masked(opText, "a"), masked(fin|opText, "b"))
	one("binary inside a text", breach, masked(opText, "a"), masked(opBinary, "b"))
	one("text inside a binary", breach, masked(opBinary, "a"), masked(opCont, "b"), masked(opText, "c"))

	// The default limit is 1,024 fragments.
	fragments := want{code: 1008, reason: "fragments"}
	one("fragments at their limit", want{frames: []frame{text(x(1024))}},
		masked(opText, "x"), repeated(masked(opCont, "x"), 1022), masked(fin|opCont, "x"))
	one("fragments above their limit", fragments, masked(opText, "x"), repeated(masked(opCont, "x"), 1024))
	one("endless fragments", fragments, masked(opText, "x"), repeated(masked(opCont, "x"), 200_000))
	one("endless empty fragments", fragments, masked(opText, ""), repeated(masked(opCont, ""), 200_000))
	one("endless empty fragments with pings", want{code: 1008, pongs: true},
		masked(opBinary, ""), repeated(cat(masked(opCont, ""), masked(fin|opPing, "")), 20_000))

	one("fragmented ping", breach, masked(opPing, "x"))
	one("fragmented pong", breach, masked(opPong, "x"))
	one("fragmented close", breach, masked(opClose, closing(1000, "")))
	one("ping of 126 bytes", breach, masked(fin|opPing, x(126)))
	one("pong of 126 bytes", breach, masked(fin|opPong, x(126)))
	one("close of 126 bytes", breach, masked(fin|opClose, closing(1000, x(124))))
	one("ping with a 64 bit length", breach, declared(fin|opPing, 1<<40))

	one("empty everything", want{frames: []frame{text(""), binMsg(""), text(""), binMsg("")}, pongs: true},
		masked(fin|opText, ""), masked(fin|opPing, ""), masked(fin|opBinary, ""), masked(fin|opPong, ""),
		masked(opText, ""), masked(opCont, ""), masked(fin|opPing, ""), masked(fin|opCont, ""),
		masked(opBinary, ""), masked(fin|opCont, ""))
	one("500 empty messages", want{frames: emptyTexts(500)}, repeated(masked(fin|opText, ""), 500))

	all := cat(hello, masked(opText, "a"), masked(opCont, ""), masked(fin|opPing, "p"), masked(fin|opCont, "b"),
		masked(fin|opBinary, x(130)), lengthOf(fin|opText, 64, limit))
	cases = append(cases,
		hostileCase{name: "byte by byte", steps: []step{bytewise(all), send(masked(fin|opText, x(limit))[14:])},
			want: want{frames: []frame{text("Hello"), pong("p"), text("ab"), binMsg(x(130)), text(x(limit))}}},
		hostileCase{name: "breach byte by byte", steps: []step{bytewise(hello, masked(opText, "a"), masked(fin|opText, ""))}, want: after},
		hostileCase{name: "not minimal length byte by byte", steps: []step{bytewise(lengthOf(fin|opText, 64, 65535)[:10])}, want: notMinimal},
		hostileCase{name: "close byte by byte", steps: []step{bytewise(masked(fin|opClose, closing(3000, "bye")))}, want: want{code: 3000, reason: "bye"}},
	)

	late := want{code: 1008, reason: "frame not completed in time"}
	long := masked(fin|opText, x(300))
	for _, st := range []struct {
		where string
		b     []byte
	}{
		{"after one byte", hello[:1]},
		{"in the length", long[:3]},
		{"before the mask", hello[:2]},
		{"in the mask", hello[:4]},
		{"before the payload", hello[:6]},
		{"in the payload", long[:100]},
		{"before the last byte", long[:len(long)-1]},
		{"in a ping", masked(fin|opPing, "ping")[:8]},
		{"in a close", masked(fin|opClose, closing(1000, "bye"))[:8]},
		{"in a continuation", cat(masked(opText, "a"), masked(fin|opCont, "bc")[:7])},
	} {
		cases = append(cases, hostileCase{name: "stalled " + st.where, opts: hasty, steps: []step{send(st.b)}, want: late})
	}
	cases = append(cases,
		hostileCase{name: "stalled between fragments", opts: hasty, steps: []step{send(masked(opText, "a"))},
			want: want{code: 1008, reason: "message not completed in time"}},
		hostileCase{name: "frame that goes on for ever", opts: hasty, run: func(t *testing.T, s *server) {
			drip(t, s.open(t, "", nil), declared(fin|opBinary, 60_000), late, false)
		}},
		hostileCase{name: "huge lengths never sent", alone: true, opts: &transport.Options{
			MaxMessageBytes: 1<<31 - 1, FrameTimeout: 300 * time.Millisecond, CloseTimeout: 200 * time.Millisecond,
		}, run: hugeLengths},
		hostileCase{name: "huge lengths without limit", alone: true, opts: &transport.Options{
			MaxMessageBytes: -1, FrameTimeout: 300 * time.Millisecond, CloseTimeout: 200 * time.Millisecond,
		}, run: hugeLengths},
	)
	return cases
}

func emptyTexts(n int) []frame {
	frames := make([]frame, n)
	for i := range frames {
		frames[i] = text("")
	}
	return frames
}

// hugeLengths declares 64 times 2 GB and sends a few bytes.
func hugeLengths(t *testing.T, s *server) {
	const peers, slack = 64, 8 << 20
	before := heapInUse()
	var ps []*peer
	for range peers {
		p := s.open(t, "", nil)
		defer p.nc.Close()
		p.write(cat(declared(fin|opBinary, 1<<31-1), []byte("a few bytes")))
		ps = append(ps, p)
	}
	// All bytes are with the server, so that it has seen the lengths.
	eventually(t, "server reads", func() bool { return int(s.srv.Stats().BytesIn) >= peers*ps[0].sent })
	if now := heapInUse(); now > before+slack {
		t.Errorf("the heap grew from %d to %d KiB", before>>10, now>>10)
	}
	for _, p := range ps {
		p.check(false, want{code: 1008, reason: "frame not completed in time"})
	}
}

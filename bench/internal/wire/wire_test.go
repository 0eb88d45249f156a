package wire_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/wireroom/wireroom/bench/internal/wire"
)

var key = [4]byte{1, 0xfe, 0x33, 0x80}

// Verify that frames of every length class come out as they went in, and that
// no beginning of one is taken for a whole.
func TestFrames(t *testing.T) {
	for _, size := range []int{0, 1, 7, 8, 9, 125, 126, 127, 1024, 65535, 65536, 70001} {
		payload := []byte(strings.Repeat("abcdefg", size/7+1))[:size]
		b := wire.AppendFrame(nil, wire.OpBinary, key, payload)
		for _, cut := range []int{0, 1, 2, 3, 5, 6, 9, 13, len(b) - 1} {
			if cut >= len(b) {
				continue
			}
			if _, n, err := wire.Next(b[:cut]); n != 0 || err != nil {
				t.Errorf("size %d: %d bytes of it: n = %d, %v", size, cut, n, err)
			}
		}
		if n, end, err := wire.Count(append(bytes.Clone(b), b[:len(b)-1]...)); n != 1 || end != len(b) || err != nil {
			t.Errorf("size %d: Count = %d, %d, %v", size, n, end, err)
		}
		f, n, err := wire.Next(b)
		if err != nil || n != len(b) || f.Op != wire.OpBinary || !f.Masked || !bytes.Equal(f.Payload, payload) {
			t.Errorf("size %d: n = %d, op %d, masked %v, %v", size, n, f.Op, f.Masked, err)
		}
	}
}

// Verify that what a server must not send is an error.
func TestBadFrames(t *testing.T) {
	for _, tt := range []struct {
		frame []byte
		want  error
	}{
		{[]byte{0xc1, 0}, wire.ErrReserved},
		{[]byte{0x83, 0}, wire.ErrReserved},
		{[]byte{0x8b, 0}, wire.ErrReserved},
		{[]byte{0x01, 0}, wire.ErrFragmented},
		{[]byte{0x80, 0}, wire.ErrFragmented},
		{[]byte{0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0}, wire.ErrTooLong},
	} {
		if _, _, err := wire.Next(tt.frame); !errors.Is(err, tt.want) {
			t.Errorf("% x: %v, want %v", tt.frame, err, tt.want)
		}
	}
}

// Verify the example of RFC 6455, section 1.3, and what is wrong with answers.
func TestUpgrade(t *testing.T) {
	if got := wire.AcceptKey("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("AcceptKey = %s", got)
	}
	request := string(wire.AppendUpgrade(nil, "host", "/room", "p"))
	if !strings.HasPrefix(request, "GET /room HTTP/1.1\r\nHost: host\r\n") || !strings.Contains(request, "Sec-WebSocket-Protocol: p\r\n") {
		t.Errorf("request: %q", request)
	}
	_, rest, _ := strings.Cut(request, "Sec-WebSocket-Key: ")
	nonce, _, _ := strings.Cut(rest, "\r\n")
	head := "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: " + wire.AcceptKey(nonce) + "\r\n"
	for _, tt := range []struct {
		answer, protocol, want string
		n                      int
	}{
		{head, "", "", 0},
		{head + "\r\nrest", "", "", len(head) + 2},
		{head + "Sec-WebSocket-Protocol: p\r\n\r\n", "p", "", len(head) + 29},
		{head + "\r\n", "p", "subprotocol", 0},
		{"HTTP/1.1 101 X\r\n\r\n", "", "Accept", 0},
		{"HTTP/1.1 400 Bad Request\r\n\r\n", "", "400", 0},
		{strings.Repeat("x", 9<<10), "", "no end", 0},
	} {
		n, err := wire.CheckUpgraded([]byte(tt.answer), tt.protocol)
		if n != tt.n || (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40q: %d, %v; want %d, %q", tt.answer, n, err, tt.n, tt.want)
		}
	}
}

// Verify that the tracker finds what is lost, late, repeated or never sent.
func TestTracker(t *testing.T) {
	const sent = 200
	seqs := func(from, to uint64) (s []uint64) {
		for ; from < to; from++ {
			s = append(s, from)
		}
		return s
	}
	join := func(parts ...[]uint64) (s []uint64) {
		for _, p := range parts {
			s = append(s, p...)
		}
		return s
	}
	for _, tt := range []struct {
		name                         string
		seqs                         []uint64
		late, repeated, unsent, lost uint64
	}{
		{"all", seqs(0, sent), 0, 0, 0, 0},
		{"none", nil, 0, 0, 0, sent},
		{"the last is lost", seqs(0, sent-1), 0, 0, 0, 1},
		{"one is lost", join(seqs(0, 7), seqs(8, sent)), 0, 0, 0, 1},
		{"the first is lost", seqs(1, sent), 0, 0, 0, 1},
		{"64 are lost", join(seqs(0, 50), seqs(114, sent)), 0, 0, 0, 64},
		{"150 are lost", join(seqs(0, 50), seqs(200, sent)), 0, 0, 0, 150},
		{"100 in the middle", join(seqs(0, 50), seqs(150, sent)), 0, 0, 0, 100},
		{"63 in the middle", join(seqs(0, 50), seqs(113, sent)), 0, 0, 0, 63},
		{"swapped", join(seqs(0, 7), []uint64{8, 7}, seqs(9, sent)), 1, 0, 0, 0},
		{"twice", join(seqs(0, 7), []uint64{6}, seqs(7, sent)), 0, 1, 0, 0},
		{"the first again at the end", join(seqs(0, sent), []uint64{0}), 0, 1, 0, 0},
		{"from the future", join(seqs(0, sent), []uint64{sent}), 0, 0, 1, 0},
		{"late, and again", join(seqs(0, 7), []uint64{9, 7, 7, 8}, seqs(10, sent)), 2, 1, 0, 0},
	} {
		var tr wire.Tracker
		var late, repeated, unsent uint64
		for _, s := range tt.seqs {
			switch tr.Got(s, sent) {
			case wire.Late:
				late++
			case wire.Repeated:
				repeated++
			case wire.Unsent:
				unsent++
			}
		}
		if lost := tr.Lost(sent); late != tt.late || repeated != tt.repeated || unsent != tt.unsent || lost != tt.lost {
			t.Errorf("%s: late %d, repeated %d, unsent %d, lost %d; want %d, %d, %d, %d",
				tt.name, late, repeated, unsent, lost, tt.late, tt.repeated, tt.unsent, tt.lost)
		}
	}
	var tr wire.Tracker
	tr.Start(5)
	if v := tr.Got(5, 6); v != wire.Fine || tr.Lost(6) != 0 {
		t.Errorf("started at 5: %v, %d lost", v, tr.Lost(6))
	}
}

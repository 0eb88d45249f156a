package main

import (
	"bytes"
	"errors"
	"testing"

	"github.com/gobwas/ws"

	"github.com/wireroom/wireroom/bench/internal/wire"
)

var key = [4]byte{1, 2, 3, 4}

// Verify that frames are understood however their bytes are cut.
func TestFramesInPieces(t *testing.T) {
	var in []byte
	in = wire.AppendFrame(in, wire.OpText, key, []byte("a"))
	in = wire.AppendFrame(in, wire.OpText, key, bytes.Repeat([]byte("b"), 300))
	in[len(in)-308] &^= 0x80 // not the last fragment
	in = wire.AppendFrame(in, wire.OpPing, key, []byte("p"))
	in = wire.AppendFrame(in, 0, key, []byte("c"))
	in = wire.AppendFrame(in, wire.OpBinary, key, nil)
	for cut := range len(in) {
		var f frames
		var out bytes.Buffer
		var got []string
		message := func(op ws.OpCode, data []byte, _ *bytes.Buffer) error {
			got = append(got, string(rune('0'+op))+string(data))
			return nil
		}
		b := bytes.Clone(in)
		n, err := f.parse(b[:cut], &out, message)
		if err != nil {
			t.Fatal(err)
		}
		m, err := f.parse(b[n:], &out, message)
		if err != nil || n+m != len(in) {
			t.Fatalf("cut at %d: %d and %d of %d bytes, %v", cut, n, m, len(in), err)
		}
		want := []string{"1a", "1" + string(bytes.Repeat([]byte("b"), 300)) + "c", "2"}
		if len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
			t.Fatalf("cut at %d: %.20q", cut, got)
		}
		if out.String() != "\x8a\x01p" {
			t.Fatalf("cut at %d: answers %q", cut, out.String())
		}
	}
}

// Verify that what a client may not send ends its connection, with the code
// that says why, and that a close frame is answered.
func TestFramesRefused(t *testing.T) {
	long := wire.AppendFrame(nil, wire.OpText, key, make([]byte, messageLimit+1))
	for name, tt := range map[string]struct {
		in   []byte
		code string
		err  error
	}{
		"close":    {wire.AppendFrame(nil, wire.OpClose, key, []byte{3, 0xe8}), "1000", errClosed},
		"UTF-8":    {wire.AppendFrame(nil, wire.OpText, key, []byte{0xff}), "1007", errUTF8},
		"too long": {long[:20], "1009", errTooLong},
		"unmasked": {[]byte{0x81, 1, 'a'}, "1002", nil},
		"reserved": {wire.AppendFrame(nil, 3, key, nil), "1002", nil},
		"orphan":   {wire.AppendFrame(nil, 0, key, nil), "1002", nil},
	} {
		var f frames
		var out bytes.Buffer
		_, err := f.parse(tt.in, &out, func(ws.OpCode, []byte, *bytes.Buffer) error {
			t.Errorf("%s: a message came", name)
			return nil
		})
		if err == nil || tt.err != nil && !errors.Is(err, tt.err) {
			t.Errorf("%s: error %v", name, err)
		}
		if fr, _, err := wire.Next(out.Bytes()); err != nil || fr.Op != wire.OpClose || wire.CloseCode(fr.Payload) != tt.code {
			t.Errorf("%s: answer %q, %v; want a close frame with %s", name, out.Bytes(), err, tt.code)
		}
	}
}

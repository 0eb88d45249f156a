package transport_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/transport"
)

// utf8Tests are texts and how many of their bytes a receiver may take before it
// must know that they are none; -1 if they are. A text that only lacks its end
// has as many as it has bytes.
var utf8Tests = []struct {
	name string
	text string
	bad  int
}{
	{"ASCII", "Hello", -1},
	{"two bytes", "äöü", -1},
	{"three bytes", "€", -1},
	{"four bytes", "😀", -1},
	{"Greek", "κόσμε", -1},
	{"NUL", "\x00", -1},
	{"smallest of each length", "\x00\u0080\u0800\U00010000", -1},
	{"largest of each length", "\x7f\u07ff\uffff\U0010ffff", -1},
	{"around the surrogates", "\ud7ff\ue000", -1},
	{"replacement character", "\ufffd", -1},

	{"lone continuation", "a\x80", 2},
	{"four continuations", "\x80\xbf\x80\xbf", 1},
	{"continuation after a rune", "€\x80", 4},
	{"0xfe", "\xfe", 1},
	{"0xff", "ab\xff", 3},
	{"start without continuation", "\xc3a", 2},
	{"cut three-byte rune inside", "\xe2\x82a", 3},
	{"cut four-byte rune inside", "\xf0\x9f\x98a", 4},
	{"overlong slash, two bytes", "\xc0\xaf", 1},
	{"overlong, largest of two bytes", "\xc1\xbf", 1},
	{"overlong slash, three bytes", "\xe0\x80\xaf", 2},
	{"overlong, largest of three bytes", "\xe0\x9f\xbf", 2},
	{"overlong slash, four bytes", "\xf0\x80\x80\xaf", 2},
	{"overlong, largest of four bytes", "\xf0\x8f\xbf\xbf", 2},
	{"five bytes", "\xf8\x88\x80\x80\x80", 1},
	{"six bytes", "\xfc\x84\x80\x80\x80\x80", 1},
	{"smallest surrogate", "\xed\xa0\x80", 2},
	{"largest surrogate", "\xed\xbf\xbf", 2},
	{"pair of surrogates", "\xed\xa0\xbd\xed\xb8\x80", 2},
	{"above U+10FFFF", "\xf4\x90\x80\x80", 2},
	{"far above U+10FFFF", "\xf5\x80\x80\x80", 1},
	{"Autobahn 6.4", "κόσμε\xf4\x90\x80\x80edited", 12},

	{"two bytes without the end", "a\xc3", 2},
	{"three bytes without the end", "a\xe2\x82", 3},
	{"four bytes without the end", "a\xf0\x9f\x98", 4},
	{"only a first byte", "\xf0", 1},
}

// TestUTF8 sends texts whole, and in two fragments cut at every place.
func TestUTF8(t *testing.T) {
	for _, tt := range utf8Tests {
		t.Run(tt.name, func(t *testing.T) {
			want := outcome{Messages: []message{text(tt.text)}}
			if tt.bad >= 0 {
				want = outcome{Code: 1007}
			}
			check := func(split string, chunks ...[]byte) {
				t.Helper()
				got, _ := feedAll(t, chunks...)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s (-want +got):\n%s", split, diff)
				}
			}
			whole := masked(fin|opText, tt.text)
			check("whole", whole)
			check("byte by byte", bytewise(whole)...)
			for i := range len(tt.text) + 1 {
				parts := cat(masked(opText, tt.text[:i]), masked(fin|opCont, tt.text[i:]))
				check("in fragments", parts)
				check("in fragments, byte by byte", bytewise(parts)...)
				check("in fragments, with a ping", masked(opText, tt.text[:i]), masked(fin|opPing, "\xff"), masked(fin|opCont, tt.text[i:]))
			}
			// As binary it is all the same.
			got, _ := feedAll(t, masked(fin|opBinary, tt.text))
			if diff := cmp.Diff(outcome{Messages: []message{binaryMsg(tt.text)}}, got); diff != "" {
				t.Errorf("binary (-want +got):\n%s", diff)
			}
		})
	}
}

// feedAll feeds chunks to a connection and tells how it took them.
func feedAll(t testing.TB, chunks ...[]byte) (out outcome, sent []byte) {
	t.Helper()
	rec := newRecorder()
	f := transport.NewFeeder(rec, nil, false)
	for _, c := range chunks {
		f.Feed(bytes.Clone(c))
	}
	out.Messages = rec.messages()
	if err := rec.closeError(); err != nil {
		out.Code = err.Code
	}
	rec.check(t)
	return out, f.Out
}

// Verify that bytes which cannot become UTF-8 any more end the connection as
// soon as they are there, before the rest of the frame or of the message.
func TestUTF8FailsFast(t *testing.T) {
	for _, tt := range utf8Tests {
		if tt.bad < 0 || tt.bad == len(tt.text) && strings.HasSuffix(tt.name, "without the end") || tt.name == "only a first byte" {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			long := tt.text + strings.Repeat("x", 200)
			oneFrame := masked(fin|opText, long)
			head := len(oneFrame) - len(long)
			fragments := cat(masked(opText, ""), masked(opCont, tt.text[:tt.bad]))
			for name, in := range map[string][]byte{
				"frame":     oneFrame[:head+tt.bad],
				"fragments": fragments,
			} {
				if out, _ := feedAll(t, bytewise(in[:len(in)-1])...); out.Code != 0 {
					t.Errorf("%s: closed with %d before the byte that is wrong", name, out.Code)
				}
				if out, _ := feedAll(t, bytewise(in)...); out.Code != 1007 {
					t.Errorf("%s, byte by byte: code %d at the byte that is wrong, want 1007", name, out.Code)
				}
				if out, _ := feedAll(t, in); out.Code != 1007 {
					t.Errorf("%s: code %d at the byte that is wrong, want 1007", name, out.Code)
				}
			}
		})
	}
}

// Verify that text which is not UTF-8 is not sent, and that the connection goes
// on.
func TestSendInvalidUTF8(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sr, cr := newRecorder(), newRecorder()
		s, _ := transport.Pipe(sr, cr, nil)
		for name, err := range map[string]error{
			"SendText": s.SendText("a\xff"),
			"Send":     s.Send(transport.Text, []byte("\xed\xa0\x80")),
			"Queue":    s.Queue(transport.Text, []byte("\xc3")),
			"NewFrame": func() error { _, err := transport.NewFrame(transport.Text, []byte("\xff")); return err }(),
		} {
			if !errors.Is(err, transport.ErrInvalidUTF8) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := s.Send(transport.Binary, []byte("\xff")); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]message{binaryMsg("\xff")}, cr.wait(t, 1)); diff != "" {
			t.Error(diff)
		}
		s.Close(1000, "")
		sr.end(t)
		cr.end(t)
	})
}

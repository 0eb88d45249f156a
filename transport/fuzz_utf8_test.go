package transport_test

import (
	"testing"
	"unicode/utf8"

	"github.com/wireroom/wireroom/transport"
)

// FuzzUTF8 sends a text in fragments of any sizes, which arrive in pieces of any
// sizes. It is delivered if it is UTF-8, and refused with 1007 as soon as it
// cannot become UTF-8 any more.
func FuzzUTF8(f *testing.F) {
	for _, tt := range utf8Tests {
		f.Add([]byte(tt.text), []byte{0}, []byte{0})
		f.Add([]byte(tt.text+"äöü"), []byte{1, 2}, []byte{2, 0, 5})
	}
	f.Add([]byte("κόσμε\xf4\x90\x80\x80edited"), []byte{3, 0, 1}, []byte{255})
	f.Fuzz(func(t *testing.T, text, fragments, pieces []byte) {
		text = text[:min(len(text), 500)]
		// The stream, and for each of its bytes how much of the text has come with
		// it.
		var stream []byte
		var come []int
		for at, i := 0, 0; ; i++ {
			n := len(text) - at
			if len(fragments) > 0 && i < 200 {
				n = min(n, int(fragments[i%len(fragments)]))
			}
			first := byte(opCont)
			if i == 0 {
				first = opText
			}
			last := at+n == len(text) && (i >= 200 || n > 0 || len(text) == 0)
			if last {
				first |= fin
			}
			frame := masked(first, string(text[at:at+n]))
			for k := range frame {
				come = append(come, at+max(0, k+1-(len(frame)-n)))
			}
			stream = append(stream, frame...)
			if at += n; last {
				break
			}
		}
		rec := newRecorder()
		feeder := transport.NewFeeder(rec, nil, false)
		for at, i := 0, 0; at < len(stream); i++ {
			n := len(stream) - at
			if len(pieces) > 0 {
				n = min(n, 1+int(pieces[i%len(pieces)]))
			}
			feeder.Feed(append([]byte(nil), stream[at:at+n]...))
			at += n
			whole := at == len(stream)
			good := canBecomeUTF8(string(text[:come[at-1]])) && (!whole || utf8.Valid(text))
			err := rec.closeError()
			switch {
			case good && err != nil:
				t.Fatalf("%q, of which %d bytes have come: %v", text, come[at-1], err)
			case !good && (err == nil || err.Code != transport.CloseInvalidPayload):
				t.Fatalf("%q, of which %d bytes have come: OnClose with %v", text, come[at-1], err)
			case !good:
				if len(rec.messages()) > 0 {
					t.Fatalf("%q was delivered", text)
				}
				return
			}
		}
		if got := rec.messages(); len(got) != 1 || got[0] != (message{transport.Text, string(text)}) {
			t.Fatalf("%q came as %v", text, got)
		}
		rec.check(t)
	})
}

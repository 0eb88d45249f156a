package transport_test

import (
	"encoding/binary"
	"testing"
	"unicode/utf8"

	"github.com/wireroom/wireroom/transport"
)

// allowedCode says whether a close frame may carry the code (RFC 6455, section
// 7.4, and the IANA registry).
func allowedCode(code int) bool {
	return code >= 3000 && code <= 4999 || code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006
}

// FuzzClosePayload sends close frames with any payload, in two pieces, to both
// sides: a good one is told and echoed, a bad one is answered with what is wrong.
func FuzzClosePayload(f *testing.F) {
	f.Add([]byte{}, uint(0), false)
	f.Add([]byte{3}, uint(1), true)
	f.Add([]byte(closing(1000, "bye")), uint(4), false)
	f.Add([]byte(closing(1005, "")), uint(7), true)
	f.Add([]byte(closing(4999, "ä\xff")), uint(3), false)
	f.Add([]byte(closing(65535, "")), uint(3), true)
	f.Fuzz(func(t *testing.T, payload []byte, cut uint, client bool) {
		payload = payload[:min(len(payload), 125)]
		code, reason := transport.CloseNoStatus, ""
		switch {
		case len(payload) == 1:
			code = transport.CloseProtocolError
		case len(payload) >= 2:
			code = int(binary.BigEndian.Uint16(payload))
			reason = string(payload[2:])
			if !allowedCode(code) {
				code = transport.CloseProtocolError
			} else if !utf8.ValidString(reason) {
				code = transport.CloseInvalidPayload
			}
		}
		good := len(payload) == 0 || code == int(binary.BigEndian.Uint16(append(payload, 0))) && utf8.ValidString(reason)

		rec := newRecorder()
		feeder := transport.NewFeeder(rec, nil, client)
		in := masked(fin|opClose, string(payload))
		if client {
			in = plain(fin|opClose, string(payload))
		}
		at := int(cut % uint(len(in)+1))
		feeder.Feed(in[:at:at])
		feeder.Feed(in[at:])
		feeder.Feed(masked(fin|opText, "too late"))
		err := rec.closeError()
		if err == nil || err.Code != code || !err.Remote || good && (err.Reason != reason || err.Err != nil) {
			t.Fatalf("OnClose with %#v, want %d %q", err, code, reason)
		}
		frames, rest := splitFrames(feeder.Out)
		if len(frames) != 1 || len(rest) > 0 || frames[0].closeCode() != code {
			t.Fatalf("answered with %v and %x, want a close frame with %d", frames, rest, code)
		}
		if good && frames[0].Payload != string(payload) {
			t.Errorf("echo of %q is %q", payload, frames[0].Payload)
		}
		if len(rec.messages()) > 0 {
			t.Error("a message after the close frame was delivered")
		}
		rec.check(t)
	})
}

// FuzzCloseFrame closes with any code and reason: what goes out is a close frame
// that may be sent, and the reason is told as far as it fits.
func FuzzCloseFrame(f *testing.F) {
	f.Add(1000, "bye")
	f.Add(1005, "nothing")
	f.Add(1006, "must not be sent")
	f.Add(-1, "\xff\xfe")
	f.Add(4000, "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789")
	f.Add(70000, "12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012ä€")
	f.Fuzz(func(t *testing.T, code int, reason string) {
		for _, client := range []bool{false, true} {
			feeder := transport.NewFeeder(newRecorder(), nil, client)
			feeder.Conn.Close(code, reason)
			frames, rest := splitFrames(feeder.Out)
			if len(frames) != 1 || len(rest) > 0 || frames[0].First != fin|opClose || len(frames[0].Payload) > 125 {
				t.Fatalf("%v and %x", frames, rest)
			}
			p := frames[0].Payload
			if code == transport.CloseNoStatus {
				if p != "" {
					t.Errorf("payload %q", p)
				}
				continue
			}
			want := code
			if !allowedCode(code) {
				want = transport.CloseInternalError
			}
			if got := frames[0].closeCode(); got != want {
				t.Errorf("code %d, want %d", got, want)
			}
			said := p[2:]
			if !utf8.ValidString(said) || utf8.ValidString(reason) && (said != reason[:len(said)] || len(said) < len(reason) && len(said) < 120) {
				t.Errorf("reason %q of %q", said, reason)
			}
		}
	})
}

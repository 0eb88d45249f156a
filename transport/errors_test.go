package transport_test

import (
	"errors"
	"io"
	"testing"

	"github.com/wireroom/wireroom/transport"
)

func TestCloseErrorText(t *testing.T) {
	for want, err := range map[string]*transport.CloseError{
		"closed with 1000":                     {Code: 1000},
		"closed with 4001 full":                {Code: 4001, Reason: "full"},
		"closed with 1006: unexpected EOF":     {Code: 1006, Err: io.ErrUnexpectedEOF},
		"closed with 4508 slow: slow consumer": {Code: 4508, Reason: "slow", Err: transport.ErrSlowConsumer},
	} {
		if got := err.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if !errors.Is(err, transport.ErrClosed) || err.Err != nil && !errors.Is(err, err.Err) {
			t.Errorf("%v is neither ErrClosed nor what lies behind it", err)
		}
	}
}

func TestFrameAccessors(t *testing.T) {
	for op, name := range map[transport.Op]string{transport.Text: "text", transport.Binary: "binary"} {
		f, err := transport.NewFrame(op, []byte("payload"))
		if err != nil {
			t.Fatal(err)
		}
		if f.Op() != op || op.String() != name || f.Len() != 7 || string(f.Payload()) != "payload" {
			t.Errorf("%v frame of %d bytes with %q", f.Op(), f.Len(), f.Payload())
		}
	}
}

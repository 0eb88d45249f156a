package transport_test

import (
	"bytes"
	"testing"

	"github.com/wireroom/wireroom/transport"
)

// readSizes is a Handler that notes how much each read from the socket brought.
type readSizes struct {
	*recorder
	sum, most, all int
}

func (h *readSizes) OnMessage(_ *transport.Conn, _ transport.Op, p []byte) { h.sum += len(p) }
func (h *readSizes) OnReadDone(*transport.Conn) {
	h.most, h.all = max(h.most, h.sum), h.all+h.sum
	h.sum = 0
}

// Verify that one read from the socket brings a few megabytes at most, however
// well its messages are deflated: a Handler cannot pause before it is over.
func TestOneReadInflated(t *testing.T) {
	const n, size = 3000, 64 << 10
	small, ok := transport.Deflate(make([]byte, size))
	if !ok {
		t.Fatal("zeros do not become smaller")
	}
	bombs := bytes.Repeat(masked(fin|0x40|opBinary, string(small)), n)
	for _, driver := range []transport.Driver{transport.DriverAuto, transport.DriverGoroutine} {
		t.Run(string(driver), func(t *testing.T) {
			h := &readSizes{recorder: newRecorder()}
			_, addr := serveTCP(t, h, &transport.Options{Driver: driver, Deflate: true})
			p := &peer{t: t, nc: dialTCP(t, addr)}
			p.write(upgradeRequest("/", "Sec-WebSocket-Extensions: permessage-deflate"))
			p.write(append(bombs, masked(fin|opClose, closing(1000, ""))...))
			h.end(t)
			if h.all != n*size {
				t.Fatalf("%d bytes have come, want %d", h.all, n*size)
			}
			if h.most > 8<<20 {
				t.Errorf("one read of %d-byte frames brought %d bytes", len(bombs)/n, h.most)
			}
		})
	}
}

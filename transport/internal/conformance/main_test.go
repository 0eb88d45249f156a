// Package conformance_test holds the transport against RFC 6455 and RFC 7692,
// over real sockets: a peer that speaks octets sends what it may and what it
// must not, and demands exactly the answer that the RFCs give.
//
// Cases are data, in groups whose numbers are the field's usual ones:
//
//	1  framing              5  fragmentation    10      large messages in small frames
//	2  pings and pongs      6  UTF-8            12, 13  permessage-deflate
//	3  reserved bits        7  closing
//	4  opcodes              9  sizes
//
// The groups up to 10 know no side: each case runs against a Server, with each
// of its drivers, and against the connection of a Dialer, unless it says that it
// is for one of them.
//
// A second engine, python3-autobahn, judges the same from its own reading of the
// RFCs; see autobahn_test.go.
package conformance_test

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

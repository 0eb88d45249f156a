package transport_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/gobwas/ws"
)

// Verify that masking is the plain loop for every offset into the mask, every
// alignment and every short length, and writes nothing else.
func TestCipherSweep(t *testing.T) {
	mask := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	const edge = 0x5a
	room := make([]byte, 64+300+64)
	for offset := range 4 {
		for at := range 64 {
			for n := range 301 {
				for i := range room {
					room[i] = edge
				}
				part := room[at : at+n]
				for i := range part {
					part[i] = byte(i * 7)
				}
				ws.Cipher(part, mask, offset)
				for i, c := range room {
					want := byte(edge)
					if k := i - at; k >= 0 && k < n {
						want = byte(k*7) ^ mask[(offset+k)%4]
					}
					if c != want {
						t.Fatalf("%d bytes, offset %d, alignment %d: byte %d is %#x, want %#x", n, offset, at, i-at, c, want)
					}
				}
			}
		}
	}
}

// Verify that masking in two parts is masking at once, wherever the cut is.
func TestCipherSplits(t *testing.T) {
	mask := [4]byte{1, 2, 3, 4}
	for n := range 301 {
		for cut := range n + 1 {
			part := make([]byte, n)
			for i := range part {
				part[i] = byte(i)
			}
			ws.Cipher(part[:cut], mask, 0)
			ws.Cipher(part[cut:], mask, cut)
			for i, c := range part {
				if c != byte(i)^mask[i%4] {
					t.Fatalf("%d bytes cut at %d: byte %d is wrong", n, cut, i)
				}
			}
		}
	}
}

// FuzzCipherSplits masks in any number of parts, as the parser does when a frame
// arrives in pieces, and compares with the plain loop.
func FuzzCipherSplits(f *testing.F) {
	f.Add([]byte("Hello"), uint32(0x37fa213d), []byte{1})
	f.Add(bytes.Repeat([]byte("0123456789"), 30), uint32(1), []byte{3, 64, 17, 0})
	f.Add([]byte{}, uint32(0), []byte{})
	f.Fuzz(func(t *testing.T, payload []byte, word uint32, sizes []byte) {
		mask := [4]byte(binary.BigEndian.AppendUint32(nil, word))
		got := bytes.Clone(payload)
		for at, i := 0, 0; at < len(got); i++ {
			n := len(got) - at
			if len(sizes) > 0 && i < 1000 {
				n = min(n, int(sizes[i%len(sizes)]))
			}
			ws.Cipher(got[at:at+n], mask, at)
			at += n
		}
		for i := range got {
			if got[i] != payload[i]^mask[i%4] {
				t.Fatalf("byte %d of %d is wrong", i, len(got))
			}
		}
	})
}

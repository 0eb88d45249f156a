//go:build linux

package run

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"

	"github.com/wireroom/wireroom/bench/internal/contract"
	"github.com/wireroom/wireroom/bench/internal/wire"
)

const roleBroken = "@broken"

// broken is an echo server with a defect, which its flag -server names.
func broken(args []string) error {
	cfg, err := contract.Parse(args)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", cfg.Addr)
	if err != nil {
		return err
	}
	contract.Announce(l.Addr(), nil)
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go serveBroken(c, cfg.Server)
	}
}

func serveBroken(c net.Conn, defect string) {
	defer c.Close()
	r := bufio.NewReader(c)
	req, err := http.ReadRequest(r)
	if err != nil || defect == "hang up" {
		return
	}
	answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		wire.AcceptKey(req.Header.Get("Sec-WebSocket-Key")) + "\r\n\r\n"
	if defect == "refuse" {
		answer = "HTTP/1.1 401 Unauthorized\r\n\r\n"
	}
	if _, err := io.WriteString(c, answer); err != nil {
		return
	}
	var in, out []byte
	var held []byte // a frame that is sent after the next
	buf := make([]byte, 64<<10)
	for n := 1; ; {
		k, err := r.Read(buf)
		if err != nil {
			return
		}
		in, out = append(in, buf[:k]...), out[:0]
		for {
			f, size, err := wire.Next(in)
			if err != nil || size == 0 {
				break
			}
			reply := append([]byte{0x80 | f.Op}, unmaskedLength(len(f.Payload))...)
			reply = append(reply, f.Payload...)
			hit := n%20 == 0
			n++
			in = in[size:]
			switch {
			case hit && defect == "lose":
			case hit && defect == "repeat":
				out = append(append(out, reply...), reply...)
			case hit && defect == "swap":
				held = reply
			case hit && defect == "corrupt":
				reply[len(reply)-1] ^= 1
				out = append(out, reply...)
			case hit && defect == "cut":
				return
			case hit && defect == "mask":
				out = wire.AppendFrame(out, f.Op, [4]byte{1}, f.Payload)
			case hit && defect == "die":
				panic("dying as ordered")
			default:
				out = append(append(out, reply...), held...)
				held = nil
			}
		}
		in = bytes.Clone(in)
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

func unmaskedLength(n int) []byte {
	if n < 126 {
		return []byte{byte(n)}
	}
	return []byte{126, byte(n >> 8), byte(n)}
}

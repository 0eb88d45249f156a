package wire

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"strings"
)

// nonce is the same for every connection: the generator wants work from the
// server, not unpredictable proxies fooled.
const nonce = "d2lyZXJvb20gYmVuY2ghIQ=="

// AcceptKey returns the Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455,
// section 4.2.2).
func AcceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// AppendUpgrade appends a request to upgrade. subprotocol may be empty.
func AppendUpgrade(dst []byte, host, path, subprotocol string) []byte {
	dst = append(dst, "GET "+path+" HTTP/1.1\r\nHost: "+host+
		"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "+nonce+"\r\n"...)
	if subprotocol != "" {
		dst = append(dst, "Sec-WebSocket-Protocol: "+subprotocol+"\r\n"...)
	}
	return append(dst, "\r\n"...)
}

var wantAccept = AcceptKey(nonce)

// CheckUpgraded checks the answer to AppendUpgrade at the beginning of b and
// returns its length; 0 means that it is not complete.
func CheckUpgraded(b []byte, subprotocol string) (n int, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > 8<<10 {
			return 0, fmt.Errorf("upgrade: no end of the answer within 8 KiB")
		}
		return 0, nil
	}
	lines := strings.Split(string(b[:end]), "\r\n")
	if !strings.HasPrefix(lines[0], "HTTP/1.1 101") {
		return 0, fmt.Errorf("upgrade: server answered %q", lines[0])
	}
	var accept, protocol string
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		switch value = strings.TrimSpace(value); strings.ToLower(name) {
		case "sec-websocket-accept":
			accept = value
		case "sec-websocket-protocol":
			protocol = value
		}
	}
	if accept != wantAccept {
		return 0, fmt.Errorf("upgrade: Sec-WebSocket-Accept is %q, want %q", accept, wantAccept)
	}
	if protocol != subprotocol {
		return 0, fmt.Errorf("upgrade: server chose subprotocol %q, want %q", protocol, subprotocol)
	}
	return end + 4, nil
}

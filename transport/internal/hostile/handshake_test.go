package hostile_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// brief is for cases that wait for the end of a handshake's time. There is room
// in it for the good client's.
var brief = &transport.Options{HandshakeTimeout: time.Second}

// clientHello is the beginning of a TLS connection (RFC 8446, section 4.1.2),
// without a line feed in it.
var clientHello = "\x16\x03\x01\x00\x51\x01\x00\x00\x4d\x03\x03" + x(32) + "\x00" + "\x00\x04\x13\x01\x13\x02" + "\x01\x00" +
	"\x00\x20\x00\x2b\x00\x03\x02\x03\x04\x00\x0d\x00\x04\x00\x02\x08\x04\x00\x33\x00\x0d\x00\x0b\x00\x1d\x00\x07abcdefg"

func handshakeCases() []hostileCase {
	refused := func(status int) want { return want{status: status} }
	cut, upgraded := want{}, want{status: 101}
	byHTTP := func(w want) *want { return &w }

	var cases []hostileCase
	// head adds a case that sends a head and nothing else.
	head := func(name string, h head, w want, mounted *want) {
		cases = append(cases, hostileCase{name: name, raw: true, steps: []step{send(h.bytes())}, want: w, mounted: mounted})
	}
	// garbage adds a case that sends what is hardly a head.
	garbage := func(name, b string, w want, mounted *want) {
		cases = append(cases, hostileCase{name: name, raw: true, opts: brief, steps: []step{{send: []byte(b)}}, want: w, mounted: mounted})
	}

	// A reason of ours also under net/http shows that we have answered.
	head("no Host", proper.without("Host"), want{status: 400, reason: "no Host field"}, byHTTP(refused(400)))
	head("two Hosts", proper.with("Host: other.test"), want{status: 400, reason: "more than one Host"}, byHTTP(refused(400)))
	head("two equal Hosts", proper.with("Host: example.test"), want{status: 400, reason: "more than one Host"}, byHTTP(refused(400)))
	head("empty Host", proper.instead("Host", "Host:"), want{status: 400, reason: "malformed Host"}, nil)
	head("malformed Host", proper.instead("Host", "Host: a b"), want{status: 400, reason: "malformed Host"}, byHTTP(refused(400)))
	head("Host with user", proper.instead("Host", "Host: a@b"), want{status: 400, reason: "malformed Host"}, nil)
	head("Host with a bad port", proper.instead("Host", "Host: a:99999"), want{status: 400, reason: "malformed Host"}, nil)

	key := func(v string) string { return "Sec-WebSocket-Key: " + v }
	bytesKey := func(n int) string { return key(base64.StdEncoding.EncodeToString(make([]byte, n))) }
	badKey := want{status: 400, reason: "not 16 bytes in base64"}
	head("no Key", proper.without("Sec-WebSocket-Key"), want{status: 400, reason: "no Sec-WebSocket-Key"}, nil)
	head("two Keys", proper.with(bytesKey(16)), want{status: 400, reason: "more than one Sec-WebSocket-Key"}, nil)
	head("two equal Keys", proper.with(key(sampleKey)), want{status: 400, reason: "more than one Sec-WebSocket-Key"}, nil)
	head("two Keys in one field", proper.instead("Sec-WebSocket-Key", key(sampleKey+", "+sampleKey)), badKey, nil)
	head("empty Key", proper.instead("Sec-WebSocket-Key", "Sec-WebSocket-Key:"), badKey, nil)
	head("Key of 15 bytes", proper.instead("Sec-WebSocket-Key", bytesKey(15)), badKey, nil)
	head("Key of 17 bytes", proper.instead("Sec-WebSocket-Key", bytesKey(17)), badKey, nil)
	head("Key that is not base64", proper.instead("Sec-WebSocket-Key", key("!!!!!!!!!!!!!!!!!!!!!!==")), badKey, nil)
	head("Key with bits beyond its end", proper.instead("Sec-WebSocket-Key", key("dGhlIHNhbXBsZSBub25jZR==")), badKey, nil)
	head("Key in the alphabet for URLs", proper.instead("Sec-WebSocket-Key", key("-_-_-_-_-_-_-_-_-_-_-w==")), badKey, nil)

	head("no Upgrade", proper.without("Upgrade"), want{status: 426, field: "Upgrade: websocket"}, nil)
	head("Upgrade to something else", proper.instead("Upgrade", "Upgrade: h2c"), want{status: 426, field: "Upgrade: websocket"}, nil)
	head("two Upgrades", proper.with("Upgrade: websocket"), want{status: 400, reason: "more than one Upgrade"}, nil)
	head("malformed Upgrade", proper.instead("Upgrade", "Upgrade: web socket"), want{status: 400, reason: "malformed Upgrade"}, nil)
	head("Upgrade with a version", proper.instead("Upgrade", "Upgrade: websocket/13"), refused(426), nil)
	head("Upgrade in a list", proper.instead("Upgrade", "Upgrade: h2c , WebSocket"), upgraded, nil)

	head("no Connection", proper.without("Connection"), want{status: 400, reason: "no Connection: Upgrade"}, nil)
	head("Connection without Upgrade", proper.instead("Connection", "Connection: keep-alive"), want{status: 400, reason: "no Connection: Upgrade"}, nil)
	head("malformed Connection", proper.instead("Connection", "Connection: Up grade"), want{status: 400, reason: "malformed Connection"}, nil)
	head("two Connections", proper.with("Connection: keep-alive"), upgraded, nil)

	oldVersion := want{status: 426, field: "Sec-Websocket-Version: 13"}
	head("no Version", proper.without("Sec-WebSocket-Version"), want{status: 400, reason: "no Sec-WebSocket-Version"}, nil)
	head("Version 8", proper.instead("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8"), oldVersion, nil)
	head("Version 013", proper.instead("Sec-WebSocket-Version", "Sec-WebSocket-Version: 013"), oldVersion, nil)
	head("Version list", proper.instead("Sec-WebSocket-Version", "Sec-WebSocket-Version: 13, 8"), oldVersion, nil)
	head("two Versions", proper.with("Sec-WebSocket-Version: 13"), want{status: 400, reason: "more than one Sec-WebSocket-Version"}, nil)

	head("foreign Origin", proper.with("Origin: http://evil.test"), want{status: 403, reason: "origin"}, nil)
	head("own Origin", proper.with("Origin: http://example.test"), upgraded, nil)
	head("own Origin, other port", proper.with("Origin: http://example.test:81"), want{status: 403, reason: "origin"}, nil)
	head("Origin that begins like ours", proper.with("Origin: http://example.test.evil.test"), want{status: 403, reason: "origin"}, nil)
	head("null Origin", proper.with("Origin: null"), want{status: 403, reason: "origin"}, nil)
	head("empty Origin", proper.with("Origin:"), want{status: 403, reason: "origin"}, nil)
	head("two Origins", proper.with("Origin: http://example.test", "Origin: http://evil.test"), want{status: 400, reason: "more than one Origin"}, nil)

	head("empty subprotocol", proper.with("Sec-WebSocket-Protocol: a,,b"), want{status: 400, reason: "malformed Sec-WebSocket-Protocol"}, nil)
	head("subprotocol twice", proper.with("Sec-WebSocket-Protocol: a, a"), want{status: 400, reason: "offered twice"}, nil)
	head("unknown extension", proper.with("Sec-WebSocket-Extensions: x-unknown; a=b"), upgraded, nil)

	for _, name := range []string{"Host", "Sec-WebSocket-Key", "Upgrade", "Connection", "Sec-WebSocket-Version"} {
		head("oversized "+name, proper.instead(name, name+": "+x(64<<10)), refused(431), nil)
	}
	head("oversized Origin", proper.with("Origin: http://"+x(64<<10)), refused(431), nil)
	head("line of 64 KiB", proper.with("X: "+x(64<<10)), refused(431), nil)
	head("target of 64 KiB", proper.instead("", "GET /"+x(64<<10)+" HTTP/1.1"), refused(431), nil)
	head("1000 lines", proper.with(strings.Split(strings.Repeat("X: y\n", 999)+"X: y", "\n")...), refused(431), nil)

	head("HTTP/1.0", proper.instead("", "GET "+pathMark+" HTTP/1.0"), refused(505), nil)
	head("HTTP/1.2", proper.instead("", "GET "+pathMark+" HTTP/1.2"), refused(505), nil)
	head("HTTP/2.0", proper.instead("", "GET "+pathMark+" HTTP/2.0"), refused(505), nil)
	head("HTTP/0.9", head1("GET "+pathMark+""), refused(400), nil)
	head("no HTTP", proper.instead("", "GET "+pathMark+" HTTPS/1.1"), refused(400), nil)
	garbage("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", refused(505), nil)
	head("POST", proper.instead("", "POST /PATH HTTP/1.1"), want{status: 405, field: "Allow: GET"}, nil)
	head("get", proper.instead("", "get /PATH HTTP/1.1"), want{status: 405, field: "Allow: GET"}, nil)
	head("malformed method", proper.instead("", "G@T /PATH HTTP/1.1"), refused(400), nil)
	head("target with a space", proper.instead("", "GET /a b HTTP/1.1"), refused(400), nil)
	head("target with a fragment", proper.instead("", "GET "+pathMark+"#a HTTP/1.1"), refused(400), nil)
	head("target with bad percent-encoding", proper.instead("", "GET /%zz HTTP/1.1"), refused(400), nil)
	head("target that is not a path", proper.instead("", "GET case HTTP/1.1"), refused(400), nil)
	head("target of another scheme", proper.instead("", "GET ftp://example.test"+pathMark+" HTTP/1.1"), want{status: 400, reason: "not a path"}, nil)

	noBody := want{status: 400, reason: "a handshake has no body"}
	head("Content-Length: 0", proper.with("Content-Length: 0"), upgraded, nil)
	cases = append(cases,
		hostileCase{name: "Content-Length", raw: true, steps: []step{send(proper.with("Content-Length: 5").bytes(), []byte("hello"))}, want: noBody},
		hostileCase{name: "Content-Length without the body", raw: true, steps: []step{send(proper.with("Content-Length: 5").bytes())}, want: noBody},
		hostileCase{name: "chunked without the body", raw: true, steps: []step{send(proper.with("Transfer-Encoding: chunked").bytes())}, want: noBody},
		hostileCase{name: "Content-Length with a frame as body", raw: true,
			steps: []step{send(proper.with("Content-Length: 11").bytes(), masked(fin|opText, "Hello"))}, want: noBody},
		hostileCase{name: "chunked", raw: true,
			steps: []step{send(proper.with("Transfer-Encoding: chunked").bytes(), []byte("5\r\nhello\r\n0\r\n\r\n"))}, want: noBody},
		hostileCase{name: "Content-Length and chunked", raw: true,
			steps: []step{send(proper.with("Content-Length: 5", "Transfer-Encoding: chunked").bytes(), []byte("5\r\nhello\r\n0\r\n\r\n"))}, want: noBody},
		hostileCase{name: "chunked and Content-Length", raw: true,
			steps: []step{send(proper.with("Transfer-Encoding: chunked", "Content-Length: 5").bytes(), []byte("0\r\n\r\n"))}, want: noBody},
	)
	head("two Content-Lengths", proper.with("Content-Length: 0", "Content-Length: 5"), noBody, byHTTP(refused(400)))
	head("negative Content-Length", proper.with("Content-Length: -1"), noBody, byHTTP(refused(400)))
	head("Content-Length with a plus", proper.with("Content-Length: +0"), noBody, byHTTP(refused(400)))
	head("Transfer-Encoding: identity", proper.with("Transfer-Encoding: identity"), noBody, byHTTP(refused(501)))
	head("Transfer-Encoding: xchunked", proper.with("Transfer-Encoding: xchunked"), noBody, byHTTP(refused(501)))

	// net/http unfolds lines and takes a bare LF as the end of a line, as
	// RFC 9112 allows it; nothing is left of either when we see the request.
	head("folded line", proper.with("X: a", " b"), want{status: 400, reason: "folded"}, byHTTP(upgraded))
	head("folded Key", proper.instead("Sec-WebSocket-Key", "Sec-WebSocket-Key:", "\t"+sampleKey), want{status: 400, reason: "folded"}, byHTTP(upgraded))
	head("folded Content-Length", proper.with("Content-Length:", " 5"), want{status: 400, reason: "folded"}, byHTTP(noBody))
	head("first line folded", proper.instead("Host", " Host: example.test"), want{status: 400, reason: "folded"}, byHTTP(refused(400)))
	head("space before colon", proper.instead("Host", "Host : example.test"), want{status: 400, reason: "field name"}, byHTTP(refused(400)))
	head("tab before colon", proper.with("Content-Length\t: 5"), want{status: 400, reason: "field name"}, byHTTP(refused(400)))
	head("space in a name", proper.with("X Y: z"), want{status: 400, reason: "field name"}, byHTTP(refused(400)))
	head("no name", proper.with(": z"), want{status: 400, reason: "field name"}, byHTTP(refused(400)))
	head("no colon", proper.with("X"), want{status: 400, reason: "no colon"}, byHTTP(refused(400)))
	head("bare CR in a value", proper.with("X: a\rContent-Length: 5"), want{status: 400, reason: "control character"}, byHTTP(refused(400)))
	head("bare CR in the request line", proper.instead("", "GET "+pathMark+"\r HTTP/1.1"), refused(400), nil)
	head("bare LF in a value", proper.with("X: a\nY: b"), want{status: 400, reason: "LF without CR"}, byHTTP(upgraded))
	head("NUL in a value", proper.with("X: a\x00b"), want{status: 400, reason: "control character"}, byHTTP(refused(400)))
	head("NUL in a name", proper.with("X\x00: b"), want{status: 400, reason: "field name"}, byHTTP(refused(400)))
	head("DEL in a value", proper.with("X: a\x7fb"), want{status: 400, reason: "control character"}, byHTTP(refused(400)))
	garbage("bare LF everywhere", strings.ReplaceAll(string(proper.bytes()), "\r\n", "\n"), want{status: 400, reason: "LF without CR"}, byHTTP(upgraded))
	garbage("bare CR everywhere", strings.ReplaceAll(string(proper.bytes()), "\r\n", "\r"), cut, byHTTP(refused(400)))
	garbage("empty line first", "\r\n"+string(proper.bytes()), refused(400), nil)

	// What has come of a line when its time is over is a line for net/http.
	garbage("garbage", "\x00\xff\x01\xfe"+x(100), cut, byHTTP(refused(400)))
	garbage("garbage with line feeds", "\x00\xff\n\xfe\n\n", want{status: 400, reason: "LF without CR"}, byHTTP(refused(400)))
	garbage("garbage with line ends", "\x00\xff\r\n\xfe\r\n\r\n", refused(400), nil)
	garbage("garbage of 64 KiB", x(64<<10), refused(431), byHTTP(cut))
	garbage("TLS ClientHello", clientHello, cut, byHTTP(refused(400)))
	garbage("frames without handshake", string(masked(fin|opText, "Hello")), cut, byHTTP(refused(400)))
	garbage("nothing", "", cut, nil)
	garbage("half a head", string(proper.bytes()[:60]), cut, nil)
	garbage("all but the last byte", string(proper.bytes()[:len(proper.bytes())-1]), cut, byHTTP(refused(400)))

	whole := proper.bytes()
	hello, closeFrame := masked(fin|opText, "Hello"), masked(fin|opClose, closing(1000, ""))
	return append(cases, []hostileCase{
		{name: "head byte by byte", raw: true, steps: []step{{send: whole, by: 1, gap: 200 * time.Microsecond}}, want: upgraded},
		{name: "head that goes on for ever", raw: true, opts: brief, run: func(t *testing.T, s *server) {
			drip(t, s.connect(t, nil), []byte("GET / HTTP/1.1\r\nX: "), want{}, true)
		}},
		{name: "head split everywhere", run: splitHead},
		{name: "nothing, then half-close", raw: true, steps: []step{halfClose}, want: cut},
		{name: "half a head, then half-close", raw: true, steps: []step{send(whole[:60]), halfClose}, want: cut,
			mounted: byHTTP(refused(400))},
		{name: "half a head, then reset", raw: true, steps: []step{send(whole[:60]), reset}, want: want{left: true}},
		{name: "half-close after the request", raw: true, steps: []step{send(whole), halfClose}, want: want{status: 101, cut: true}},
		{name: "reset after the request", raw: true, steps: []step{send(whole), reset}, want: want{left: true}},
		{name: "second request after the upgrade", raw: true, steps: []step{send(whole), {await: 0}, send(whole)}, want: want{status: 101, code: 1002}},
		{name: "second request in the same segment", raw: true, steps: []step{send(whole, whole)}, want: want{status: 101, code: 1002}},
		{name: "frames behind the head", raw: true, steps: []step{send(whole, hello, masked(fin|opPing, "p"), hello)},
			want: want{status: 101, frames: []frame{text("Hello"), text("Hello")}, pongs: true}},
		{name: "half a frame behind the head", raw: true, steps: []step{send(whole, hello[:7]), send(hello[7:])},
			want: want{status: 101, frames: []frame{text("Hello")}}},
		{name: "close frame behind the head", raw: true, steps: []step{send(whole, hello, closeFrame)},
			want: want{status: 101, frames: []frame{text("Hello")}, code: 1000}},
		{name: "breach behind the head", raw: true, steps: []step{send(whole, hello, unmasked(fin|opText, "x"))},
			want: want{status: 101, frames: []frame{text("Hello")}, code: 1002}},
		{name: "much behind the head", raw: true, steps: []step{send(whole, masked(fin|opText, x(20_000)), masked(fin|opText, x(10_000)))},
			want: want{status: 101, frames: []frame{text(x(20_000)), text(x(10_000))}}},
		{name: "half-close with frames behind the head", raw: true, steps: []step{send(whole, hello, closeFrame), halfClose},
			want: want{status: 101, frames: []frame{text("Hello")}, code: 1000}},
	}...)
}

// head1 is a head of one line.
func head1(line string) head { return head{line} }

// splitHead sends a head in two segments, split at every byte. Many are sent at
// a time, so that the server reads the first half of one while the others come.
func splitHead(t *testing.T, s *server) {
	whole := bytes.ReplaceAll(proper.bytes(), []byte(pathMark), []byte("/case-000000"))
	for from := 1; from < len(whole); from += 32 {
		var ps []*peer
		to := min(from+32, len(whole))
		for at := from; at < to; at++ {
			p := s.connect(t, nil)
			defer p.nc.Close()
			p.write(p.located(proper.bytes())[:at])
			ps = append(ps, p)
		}
		for i, p := range ps {
			p.write(cat(p.located(proper.bytes())[from+i:], masked(fin|opText, "Hello")))
			p.check(true, want{status: 101, frames: []frame{text("Hello")}})
			if t.Failed() {
				t.Fatalf("split at %d", from+i)
			}
		}
	}
}

// drip sends b and then a byte every 10 ms, until the server has had enough.
// Only deadlines that do not begin anew with each byte end that.
func drip(t *testing.T, p *peer, b []byte, w want, raw bool) {
	t.Helper()
	defer p.nc.Close()
	p.write(b)
	p.listen()
	for until := time.Now().Add(patience); p.ended() == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the server takes it for ever")
		}
		if p.write([]byte{'x'}) != nil {
			break
		}
		if w.code != 0 && len(p.got()) > 0 {
			break
		}
	}
	p.check(raw, w)
}

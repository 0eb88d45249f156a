package transport_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wireroom/wireroom/transport"
)

// The key and the answer to it of RFC 6455, section 1.3.
const (
	sampleKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	sampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// request returns the head of an upgrade request with some changes to it:
// "method=", "target=" and "version=" replace a part of the first line, "-Name"
// takes that field out, and everything else is one more line.
func request(changes ...string) string {
	method, target, version := "GET", "/chat", "HTTP/1.1"
	lines := []string{
		"Host: example.com",
		"Upgrade: websocket",
		"Connection: Upgrade",
		"Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: " + sampleKey,
	}
	for _, c := range changes {
		if v, ok := strings.CutPrefix(c, "method="); ok {
			method = v
		} else if v, ok := strings.CutPrefix(c, "target="); ok {
			target = v
		} else if v, ok := strings.CutPrefix(c, "version="); ok {
			version = v
		} else if v, ok := strings.CutPrefix(c, "-"); ok {
			lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, v+":") })
		} else {
			lines = append(lines, c)
		}
	}
	return method + " " + target + " " + version + "\r\n" + strings.Join(append(lines, "\r\n"), "\r\n")
}

// Verify that what the RFCs allow is accepted.
func TestRequestAccepted(t *testing.T) {
	many := make([]string, transport.MaxFields-5)
	for i := range many {
		many[i] = fmt.Sprintf("X-%d: %d", i, i)
	}
	tests := []struct {
		name string
		head string
	}{
		{"plain", request()},
		{"Connection among others", request("-Connection", "Connection: keep-alive, Upgrade")},
		{"Connection in another case", request("-Connection", "Connection: UPGRADE")},
		{"Connection twice", request("-Connection", "Connection: keep-alive", "Connection: upgrade")},
		{"Connection with empty elements", request("-Connection", "Connection: , keep-alive,,Upgrade ,")},
		{"Upgrade in another case", request("-Upgrade", "Upgrade: WebSocket")},
		{"Upgrade among others", request("-Upgrade", "Upgrade: h2c, websocket")},
		{"Upgrade with another's version", request("-Upgrade", "Upgrade: HTTP/2.0, websocket")},
		{"names in another case", request("-Host", "HOST: example.com")},
		{"no space after the colon", request("-Host", "Host:example.com")},
		{"spaces and tabs around a value", request("-Host", "Host: \t example.com\t ")},
		{"key with spaces around", request("-Sec-WebSocket-Key", "Sec-WebSocket-Key:  "+sampleKey+" ")},
		{"key of zeros", request("-Sec-WebSocket-Key", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")},
		{"Content-Length of 0", request("Content-Length: 0")},
		{"empty value", request("X-A:")},
		{"tab in a value", request("X-A: a\tb")},
		{"bytes outside of ASCII in a value", request("X-A: \x80\xff")},
		{"colon in a value", request("X-A: b: c")},
		{"as many fields as may be", request(many...)},
		{"port in Host", request("-Host", "Host: example.com:8080")},
		{"address in Host", request("-Host", "Host: 127.0.0.1:8080")},
		{"IPv6 in Host", request("-Host", "Host: [2001:db8::1]:8080")},
		{"absolute target", request("target=http://example.com/chat")},
		{"absolute target, https", request("target=https://example.com/chat")},
		{"absolute target with another Host", request("-Host", "Host: other.example", "target=http://example.com/chat")},
		{"characters in the path that are not of URIs", request("target=/a|b\\c\"<>^`{}")},
		{"wild query", request("target=/?a=%zz&b=%&c=[{|}]")},
		{"origin of the host", request("Origin: http://example.com")},
		{"origin of the host over TLS", request("Origin: https://example.com")},
		{"origin of the host with port", request("Origin: http://example.com:80")},
		{"good extension", request("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")},
		{"bad extension", request("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99")},
		{"extension that is none", request("Sec-WebSocket-Extensions: ;;=,,\"")},
		{"several extensions", request("Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Extensions: x")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hs, refused := transport.CheckRequest(&transport.Options{}, []byte(tt.head))
			if refused != nil {
				t.Fatalf("refused: %v", refused)
			}
			resp, err := transport.AppendUpgrade([]byte("before"), []byte(tt.head), hs)
			if err != nil {
				t.Fatal(err)
			}
			// Whatever was offered, the answer has no extension.
			want := "before" + upgraded("")
			if tt.name == "key of zeros" {
				want = strings.Replace(want, sampleAccept, "ICX+Yqv66kxgM0FcWaLWlFLwTAI=", 1)
			}
			if diff := cmp.Diff(want, string(resp)); diff != "" {
				t.Errorf("response: want (-), got (+):\n%s", diff)
			}
		})
	}
}

// upgraded returns the response that accepts request().
func upgraded(subprotocol string) string {
	resp := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + sampleAccept + "\r\n"
	if subprotocol != "" {
		resp += "Sec-WebSocket-Protocol: " + subprotocol + "\r\n"
	}
	return resp + "\r\n"
}

// Verify that each fault of a request is refused, with the status that tells
// the client what to do about it.
func TestRequestRefused(t *testing.T) {
	many := make([]string, transport.MaxFields-4)
	for i := range many {
		many[i] = fmt.Sprintf("X-%d: %d", i, i)
	}
	key := func(k string) string { return request("-Sec-WebSocket-Key", "Sec-WebSocket-Key: "+k) }
	host := func(h string) string { return request("-Host", "Host: "+h) }
	target := func(s string) string { return request("target=" + s) }
	tests := []struct {
		name   string
		head   string
		status int
	}{
		// The first line.
		{"nothing", "", 400},
		{"empty lines", "\r\n\r\n", 400},
		{"empty line first", "\r\n" + request(), 400},
		{"no head at all", "\x16\x03\x01\x02\x00\x01\x00", 400},
		{"HTTP/0.9", "GET /\r\n\r\n", 400},
		{"no target", "GET HTTP/1.1\r\n\r\n", 400},
		{"no version", request("version="), 400},
		{"HTTP/1.0", request("version=HTTP/1.0"), 505},
		{"HTTP/0.9 by name", request("version=HTTP/0.9"), 505},
		{"HTTP/1.2", request("version=HTTP/1.2"), 505},
		{"HTTP/2.0", request("version=HTTP/2.0"), 505},
		{"preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\n", 505},
		{"CONNECT of HTTP/2", request("method=CONNECT", "version=HTTP/2.0"), 505},
		{"HTTP/2", request("version=HTTP/2"), 400},
		{"HTTP/01.1", request("version=HTTP/01.1"), 400},
		{"HTTP/1.10", request("version=HTTP/1.10"), 400},
		{"HTTP/1,1", request("version=HTTP/1,1"), 400},
		{"http/1.1", request("version=http/1.1"), 400},
		{"space behind the version", request("version=HTTP/1.1 "), 400},
		{"two spaces before the version", request("target=/ "), 400},
		{"two spaces before the target", request("method=GET "), 400},
		{"space before the method", request("method= GET"), 400},
		{"tab for a space", "GET\t/chat HTTP/1.1\r\n\r\n", 400},
		{"method that is no token", request("method=G(T"), 400},
		{"POST", request("method=POST"), 405},
		{"HEAD", request("method=HEAD"), 405},
		{"get", request("method=get"), 405},
		{"CONNECT", request("method=CONNECT", "target=example.com:80"), 405},

		// The target.
		{"asterisk-form", target("*"), 400},
		{"authority-form", target("example.com:80"), 400},
		{"path without slash", target("chat"), 400},
		{"query only", target("?a"), 400},
		{"fragment", target("/chat#a"), 400},
		{"fragment in the query", target("/chat?a#b"), 400},
		{"space", target("/a b"), 400},
		{"tab", target("/a\tb"), 400},
		{"NUL", target("/a\x00b"), 400},
		{"DEL", target("/a\x7fb"), 400},
		{"escape in the query", target("/a?\x1b"), 400},
		{"bare CR in the target", target("/a\rb"), 400},
		{"bare LF in the target", target("/a\nb"), 400},
		{"bytes outside of ASCII", target("/caf\xc3\xa9"), 400},
		{"percent-encoding cut off", target("/a%2"), 400},
		{"percent-encoding of no number", target("/a%zz"), 400},
		{"percent-encoding in an absolute target", target("http://example.com/%"), 400},
		{"ws target", target("ws://example.com/"), 400},
		{"ftp target", target("ftp://example.com/"), 400},
		{"absolute without host", target("http:///chat"), 400},
		{"absolute with port only", target("http://:80/chat"), 400},
		{"absolute with credentials", target("http://a:b@example.com/"), 400},
		{"absolute with one slash", target("http:/example.com/"), 400},
		{"absolute with percent-encoding in the host", target("http://ex%61mple.com/"), 400},
		{"absolute without Host", request("target=http://example.com/", "-Host"), 400},
		{"absolute with bad Host", request("target=http://example.com/", "-Host", "Host: a b"), 400},

		// The fields as such.
		{"no empty line", strings.TrimSuffix(request(), "\r\n"), 400},
		{"first line only", "GET /chat HTTP/1.1\r\n", 400},
		{"bytes behind the head", request() + "x", 400},
		{"too many fields", request(many...), 431},
		{"space before the colon", request("X-A : b"), 400},
		{"tab before the colon", request("X-A\t: b"), 400},
		{"space before the colon of Host", request("-Host", "Host : example.com"), 400},
		{"folded line", request("X-A: b", " c"), 400},
		{"folded line with a tab", request("X-A: b", "\tc: d"), 400},
		{"folded first field", strings.Replace(request(), "Host:", " Host:", 1), 400},
		{"bare CR in a value", request("X-A: b\rX-B: c"), 400},
		{"bare CR before CRLF", request("X-A: b\r"), 400},
		{"bare LF between fields", request("X-A: b\nX-B: c"), 400},
		{"bare LF only", strings.ReplaceAll(request(), "\r\n", "\n"), 400},
		{"bare CR only", strings.ReplaceAll(request(), "\r\n", "\r"), 400},
		{"NUL in a value", request("X-A: b\x00c"), 400},
		{"control character in a value", request("X-A: b\x08c"), 400},
		{"vertical tab around a value", request("X-A: \vb"), 400},
		{"DEL in a value", request("X-A: b\x7f"), 400},
		{"NUL in a name", request("X\x00A: b"), 400},
		{"empty name", request(": b"), 400},
		{"no colon", request("X-A"), 400},
		{"space in a name", request("X A: b"), 400},
		{"name that is no token", request("X(A): b"), 400},
		{"name outside of ASCII", request("X-\xc3\xa9: b"), 400},
		{"pseudo field of HTTP/2", request(":protocol: websocket"), 400},

		// A body.
		{"body", request("Content-Length: 1"), 400},
		{"length that is no number", request("Content-Length: x"), 400},
		{"length of +0", request("Content-Length: +0"), 400},
		{"length of 00", request("Content-Length: 00"), 400},
		{"list of lengths", request("Content-Length: 0, 0"), 400},
		{"two lengths", request("Content-Length: 0", "Content-Length: 0"), 400},
		{"empty length", request("Content-Length:"), 400},
		{"chunked", request("Transfer-Encoding: chunked"), 400},
		{"identity", request("Transfer-Encoding: identity"), 400},
		{"empty Transfer-Encoding", request("Transfer-Encoding:"), 400},
		{"both", request("Content-Length: 0", "Transfer-Encoding: chunked"), 400},

		// Host.
		{"no Host", request("-Host"), 400},
		{"two Hosts", request("Host: other.example"), 400},
		{"the same Host twice", request("Host: example.com"), 400},
		{"two Hosts in two cases", request("hOST: example.com"), 400},
		{"empty Host", host(""), 400},
		{"two Hosts joined", host("example.com,other.example"), 400},
		{"space in Host", host("example.com other.example"), 400},
		{"path in Host", host("example.com/a"), 400},
		{"credentials in Host", host("a@example.com"), 400},
		{"Host outside of ASCII", host("ex\xc3\xa4mple.com"), 400},
		{"port only", host(":80"), 400},
		{"port that is no number", host("example.com:x"), 400},
		{"port out of range", host("example.com:65536"), 400},
		{"two ports", host("example.com:80:80"), 400},
		{"IPv6 without brackets", host("::1"), 400},
		{"brackets around a name", host("[example.com]"), 400},
		{"open bracket", host("[::1"), 400},
		{"IPv6 with a zone", host("[fe80::1%25eth0]"), 400},
		{"IPv6 with a port but no colon", host("[::1]80"), 400},

		// Upgrade and Connection.
		{"no Upgrade and no Connection", request("-Upgrade", "-Connection"), 426},
		{"no Upgrade", request("-Upgrade"), 426},
		{"empty Upgrade", request("-Upgrade", "Upgrade:"), 426},
		{"Upgrade to something else", request("-Upgrade", "Upgrade: h2c"), 426},
		{"Upgrade with a version", request("-Upgrade", "Upgrade: websocket/13"), 426},
		{"Upgrade in quotes", request("-Upgrade", "Upgrade: \"websocket\""), 400},
		{"Upgrade with a parameter", request("-Upgrade", "Upgrade: websocket;a=b"), 400},
		{"Upgrade of two words", request("-Upgrade", "Upgrade: websocket 13"), 400},
		{"Upgrade twice", request("Upgrade: websocket"), 400},
		{"Upgrade twice, differing", request("Upgrade: h2c"), 400},
		{"no Connection", request("-Connection"), 400},
		{"empty Connection", request("-Connection", "Connection:"), 400},
		{"Connection without Upgrade", request("-Connection", "Connection: keep-alive"), 400},
		{"Connection of two words", request("-Connection", "Connection: keep-alive Upgrade"), 400},
		{"Connection with part of the word", request("-Connection", "Connection: upgraded"), 400},

		// Version and key.
		{"no version", request("-Sec-WebSocket-Version"), 400},
		{"version twice", request("Sec-WebSocket-Version: 13"), 400},
		{"version twice, differing", request("Sec-WebSocket-Version: 8"), 400},
		{"version 8", request("-Sec-WebSocket-Version", "Sec-WebSocket-Version: 8"), 426},
		{"version 14", request("-Sec-WebSocket-Version", "Sec-WebSocket-Version: 14"), 426},
		{"version 013", request("-Sec-WebSocket-Version", "Sec-WebSocket-Version: 013"), 426},
		{"list of versions", request("-Sec-WebSocket-Version", "Sec-WebSocket-Version: 13, 8"), 426},
		{"another version and no key", request("-Sec-WebSocket-Version", "-Sec-WebSocket-Key", "Sec-WebSocket-Version: 8"), 426},
		{"no key", request("-Sec-WebSocket-Key"), 400},
		{"two keys", request("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), 400},
		{"the same key twice", request("Sec-WebSocket-Key: " + sampleKey), 400},
		{"empty key", key(""), 400},
		{"key of 24 characters, not base64", key("________________________"), 400},
		{"key in base64 for URLs", key("__________-_________ww=="[:24]), 400},
		{"key without padding", key("dGhlIHNhbXBsZSBub25jZQ"), 400},
		{"key of 15 bytes", key("AAAAAAAAAAAAAAAAAAAA"), 400},
		{"key of 17 bytes", key("AAAAAAAAAAAAAAAAAAAAAAA="), 400},
		{"key of 18 bytes", key("AAAAAAAAAAAAAAAAAAAAAAAA"), 400},
		{"key with bits beyond its end", key("AAAAAAAAAAAAAAAAAAAAAB=="), 400},
		{"key with a space", key("AAAAAAAAAA AAAAAAAAAAA=="), 400},
		{"list of keys", key(sampleKey + ", " + sampleKey), 400},

		// Origin.
		{"another origin", request("Origin: http://evil.example"), 403},
		{"another port", request("Origin: http://example.com:8080"), 403},
		{"opaque origin", request("Origin: null"), 403},
		{"empty origin", request("Origin:"), 403},
		{"malformed origin", request("Origin: example.com"), 403},
		{"origin twice", request("Origin: http://example.com", "Origin: http://evil.example"), 400},
		{"the same origin twice", request("Origin: http://example.com", "origin: http://example.com"), 400},
		{"list of origins", request("Origin: http://example.com http://evil.example"), 403},
		{"origin of the Host that an absolute target overrules", request("target=http://other.example/", "Origin: http://example.com"), 403},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hs, refused := transport.CheckRequest(&transport.Options{}, []byte(tt.head))
			if refused == nil {
				t.Fatalf("accepted: %+v", hs)
			}
			if refused.Status != tt.status || refused.Reason == "" {
				t.Errorf("refused with %d %q, want status %d", refused.Status, refused.Reason, tt.status)
			}
			if hs != nil {
				t.Errorf("refused, but with %+v", hs)
			}
		})
	}
}

// Verify that a refusal tells the client in the header what would be accepted.
func TestRequestRefusedHeader(t *testing.T) {
	tests := []struct {
		name string
		head string
		want http.Header
	}{
		{"method", request("method=POST"), http.Header{"Allow": {"GET"}}},
		{"no upgrade", request("-Upgrade", "-Connection"), http.Header{"Upgrade": {"websocket"}}},
		{
			"version", request("-Sec-WebSocket-Version", "Sec-WebSocket-Version: 8"),
			http.Header{"Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, refused := transport.CheckRequest(&transport.Options{}, []byte(tt.head))
			if refused == nil {
				t.Fatal("accepted")
			}
			if diff := cmp.Diff(tt.want, refused.Header); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

// Verify that the handshake has what the request says.
func TestRequestFields(t *testing.T) {
	rest := http.Header{
		"Upgrade":               {"websocket"},
		"Connection":            {"Upgrade"},
		"Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key":     {sampleKey},
	}
	with := func(more http.Header) http.Header {
		h := rest.Clone()
		for k, v := range more {
			h[k] = v
		}
		return h
	}
	tests := []struct {
		name string
		head string
		want transport.Handshake
	}{
		{"plain", request(), transport.Handshake{Path: "/chat", Host: "example.com", Header: rest}},
		{"root", request("target=/"), transport.Handshake{Path: "/", Host: "example.com", Header: rest}},
		{
			"path and query", request("target=/caf%C3%A9/%2Fb+c?x=%20&y?z=/"),
			transport.Handshake{Path: "/café//b+c", RawQuery: "x=%20&y?z=/", Host: "example.com", Header: rest},
		},
		{"empty query", request("target=/?"), transport.Handshake{Path: "/", Host: "example.com", Header: rest}},
		{
			"absolute", request("target=HTTP://Other.example:8080/a%20b?c"),
			transport.Handshake{Path: "/a b", RawQuery: "c", Host: "Other.example:8080", Header: rest},
		},
		{
			"absolute without path", request("target=http://other.example?c"),
			transport.Handshake{Path: "/", RawQuery: "c", Host: "other.example", Header: rest},
		},
		{
			"Host as it is", request("-Host", "Host: [0::1]:080"),
			transport.Handshake{Path: "/chat", Host: "[0::1]:080", Header: rest},
		},
		{
			"several of a name", request("x-a: 1", "X-B:", "X-A:2 ", "x-A: 3"),
			transport.Handshake{Path: "/chat", Host: "example.com", Header: with(http.Header{"X-A": {"1", "2", "3"}, "X-B": {""}})},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			head := []byte(tt.head)
			hs, refused := transport.CheckRequest(&transport.Options{}, head)
			if refused != nil {
				t.Fatal(refused)
			}
			clear(head) // the buffer goes back to its pool
			if diff := cmp.Diff(&tt.want, hs); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

// Verify that a value added to one field by an OnConnect hook does not write
// over the value of another, though they share an array.
func TestRequestHeaderAppend(t *testing.T) {
	hs, refused := transport.CheckRequest(&transport.Options{}, []byte(request("X-A: 1", "X-B: 2")))
	if refused != nil {
		t.Fatal(refused)
	}
	hs.Header.Add("X-A", "3")
	if diff := cmp.Diff([]string{"2"}, hs.Header.Values("X-B")); diff != "" {
		t.Error(diff)
	}
}

// Verify that malformed pairs of a query cost only themselves.
func TestQuery(t *testing.T) {
	hs, refused := transport.CheckRequest(&transport.Options{}, []byte(request("target=/?a=1&b=%zz&a=%20&c")))
	if refused != nil {
		t.Fatal(refused)
	}
	want := url.Values{"a": {"1", " "}, "c": {""}}
	if diff := cmp.Diff(want, hs.Query()); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

// Verify that the limit of the head holds in checkRequest too, where a request
// comes from net/http, which has a limit of its own.
func TestRequestLimit(t *testing.T) {
	head := []byte(request())
	if _, refused := transport.CheckRequest(&transport.Options{MaxHandshakeBytes: len(head)}, head); refused != nil {
		t.Error(refused)
	}
	_, refused := transport.CheckRequest(&transport.Options{MaxHandshakeBytes: len(head) - 1}, head)
	if refused == nil || refused.Status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("refusal %v, want status 431", refused)
	}
}

// Verify that of the subprotocols on offer the server's most wanted is chosen,
// and that malformed offers are refused.
func TestSubprotocol(t *testing.T) {
	names := func(n int) string {
		s := make([]string, n)
		for i := range s {
			s[i] = fmt.Sprintf("p%d", i)
		}
		return strings.Join(s, ",")
	}
	known := []string{"wireroom.v1.json", "wireroom.v1.msgpack"}
	tests := []struct {
		name   string
		known  []string
		offers []string // one per field
		want   string
		status int
	}{
		{"no offer", known, nil, "", 0},
		{"one", known, []string{"wireroom.v1.msgpack"}, "wireroom.v1.msgpack", 0},
		{"both", known, []string{"wireroom.v1.msgpack, wireroom.v1.json"}, "wireroom.v1.json", 0},
		{"without spaces", known, []string{"a,wireroom.v1.json"}, "wireroom.v1.json", 0},
		{"with tabs", known, []string{"a\t,\twireroom.v1.json"}, "wireroom.v1.json", 0},
		{"in several fields", known, []string{"a", "wireroom.v1.msgpack, b", "wireroom.v1.json"}, "wireroom.v1.json", 0},
		{"as many as may be", known, []string{names(transport.MaxOffers-1) + ",wireroom.v1.json"}, "wireroom.v1.json", 0},

		{"unknown", known, []string{"a, b"}, "", 400},
		{"in another case", known, []string{"Wireroom.v1.json"}, "", 400},
		{"too many", known, []string{names(transport.MaxOffers), "wireroom.v1.json"}, "", 400},
		{"empty", known, []string{""}, "", 400},
		{"empty element", known, []string{"wireroom.v1.json,,a"}, "", 400},
		{"empty element first", known, []string{", wireroom.v1.json"}, "", 400},
		{"empty element last", known, []string{"wireroom.v1.json,"}, "", 400},
		{"one empty field of two", known, []string{"wireroom.v1.json", ""}, "", 400},
		{"two words", known, []string{"wireroom.v1.json a"}, "", 400},
		{"quotes", known, []string{`"wireroom.v1.json"`}, "", 400},
		{"parameter", known, []string{"wireroom.v1.json;a=b"}, "", 400},
		{"slash", known, []string{"wireroom.v1.json, a/b"}, "", 400},
		{"not ASCII", known, []string{"wireroom.v1.json, \xc3\xa9"}, "", 400},
		{"twice", known, []string{"wireroom.v1.json, wireroom.v1.json"}, "", 400},
		{"twice in two fields", known, []string{"a", "wireroom.v1.json, a"}, "", 400},

		{"server without any", nil, []string{"a, b"}, "", 0},
		{"server without any, malformed", nil, []string{"a,,b"}, "", 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var lines []string
			for _, o := range tt.offers {
				lines = append(lines, "Sec-WebSocket-Protocol: "+o)
			}
			head := []byte(request(lines...))
			hs, refused := transport.CheckRequest(&transport.Options{Subprotocols: tt.known}, head)
			if tt.status != 0 {
				if refused == nil || refused.Status != tt.status {
					t.Errorf("refusal %v, want status %d", refused, tt.status)
				}
				return
			}
			if refused != nil {
				t.Fatal(refused)
			}
			if hs.Subprotocol != tt.want {
				t.Errorf("chose %q, want %q", hs.Subprotocol, tt.want)
			}
			resp, err := transport.AppendUpgrade(nil, head, hs)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(upgraded(tt.want), string(resp)); diff != "" {
				t.Errorf("response: want (-), got (+):\n%s", diff)
			}
		})
	}
}

// Verify that a client whose offers are all unknown is told the known ones, but
// not if its origin may not connect in the first place.
func TestSubprotocolReason(t *testing.T) {
	o := &transport.Options{Subprotocols: []string{"one", "two"}}
	_, refused := transport.CheckRequest(o, []byte(request("Sec-WebSocket-Protocol: three")))
	if refused == nil || !strings.Contains(refused.Reason, "one, two") {
		t.Errorf("refusal %v", refused)
	}
	_, refused = transport.CheckRequest(o, []byte(request("Sec-WebSocket-Protocol: three", "Origin: http://evil.example")))
	if refused == nil || refused.Status != http.StatusForbidden {
		t.Errorf("refusal %v, want status 403", refused)
	}
}

// Verify that a subprotocol that an OnConnect hook has put in the handshake is
// only answered if the client offered it, and that nothing is appended if not.
func TestUpgradeSubprotocol(t *testing.T) {
	tests := []struct {
		answer string
		ok     bool
	}{
		{"", true},
		{"a", true},
		{"b", true},
		{"c", true},
		{"d", false},
		{"A", false},
		{"a, b", false},
		{"a\r\nSet-Cookie: b", false},
	}
	head := []byte(request("Sec-WebSocket-Protocol: a, b", "sec-websocket-protocol: c"))
	for _, tt := range tests {
		resp, err := transport.AppendUpgrade([]byte("before"), head, &transport.Handshake{Subprotocol: tt.answer})
		switch {
		case tt.ok && err != nil:
			t.Errorf("%q: %v", tt.answer, err)
		case tt.ok && string(resp) != "before"+upgraded(tt.answer):
			t.Errorf("%q: response %q", tt.answer, resp)
		case !tt.ok && (err == nil || string(resp) != "before"):
			t.Errorf("%q: response %q, error %v", tt.answer, resp, err)
		}
	}
}

// Verify that a long head, of more than the Upgrader's own buffer, is upgraded,
// and that it is not changed by that.
func TestUpgradeLong(t *testing.T) {
	head := []byte(request("Cookie: "+strings.Repeat("x", 7000), "sec-websocket-protocol: "+strings.Repeat("y", 5000)+", a"))
	before := bytes.Clone(head)
	hs, refused := transport.CheckRequest(&transport.Options{Subprotocols: []string{"a"}}, head)
	if refused != nil {
		t.Fatal(refused)
	}
	resp, err := transport.AppendUpgrade(nil, head, hs)
	if err != nil {
		t.Fatal(err)
	}
	if string(resp) != upgraded("a") {
		t.Errorf("response %q", resp)
	}
	if !bytes.Equal(before, head) {
		t.Error("the head has changed")
	}
}

// Verify that a refusal is a complete response which HTTP clients understand.
func TestRefusal(t *testing.T) {
	const text = "text/plain; charset=utf-8"
	tests := []struct {
		name   string
		e      *transport.StatusError
		status int
		body   string
		header http.Header // besides those of every refusal
	}{
		{"usual", &transport.StatusError{Status: 403, Reason: "not you"}, 403, "not you", nil},
		{"no reason", &transport.StatusError{Status: 429}, 429, "Too Many Requests", nil},
		{"reason of many lines", &transport.StatusError{Status: 400, Reason: "a\r\n\r\nb\x00é"}, 400, "a\r\n\r\nb\x00é", nil},
		{"unknown status", &transport.StatusError{Status: 499, Reason: "x"}, 499, "x", nil},
		{
			"redirect", &transport.StatusError{Status: 307, Reason: "x", Header: http.Header{"Location": {"wss://example.com/"}}},
			307, "x", http.Header{"Location": {"wss://example.com/"}},
		},
		{"no status", &transport.StatusError{Reason: "secret"}, 500, "Internal Server Error", nil},
		{"status that accepts", &transport.StatusError{Status: 101, Reason: "secret"}, 500, "Internal Server Error", nil},
		{"status of success", &transport.StatusError{Status: 204, Reason: "secret"}, 500, "Internal Server Error", nil},
		{"status of four digits", &transport.StatusError{Status: 4030, Reason: "secret"}, 500, "Internal Server Error", nil},
		{
			"several values", &transport.StatusError{Status: 401, Reason: "x", Header: http.Header{"WWW-Authenticate": {"Basic", "Bearer"}}},
			401, "x", http.Header{"Www-Authenticate": {"Basic", "Bearer"}},
		},
		{
			"our fields", &transport.StatusError{Status: 400, Reason: "x", Header: http.Header{
				"Connection": {"keep-alive"}, "content-length": {"5"}, "Content-Type": {"text/html"}, "Content-Encoding": {"gzip"},
				"Transfer-Encoding": {"chunked"}, "X-Content-Type-Options": {"none"}, "Trailer": {"X"}, "Date": {"today"}, "X-A": {"b"},
			}}, 400, "x", http.Header{"X-A": {"b"}},
		},
		{
			"line breaks", &transport.StatusError{Status: 400, Reason: "x", Header: http.Header{"X-A": {"b\r\nX-B: c\x00"}, "X-C: d\r\nX-E": {"f"}}},
			400, "x", http.Header{"X-A": {"b  X-B: c"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := transport.AppendRefusal([]byte("before"), tt.e)
			raw, ok := bytes.CutPrefix(raw, []byte("before"))
			if !ok {
				t.Fatal("dst is gone")
			}
			br := bufio.NewReader(bytes.NewReader(raw))
			resp, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if br.Buffered() > 0 {
				t.Errorf("%d bytes behind the body", br.Buffered())
			}
			if resp.StatusCode != tt.status || string(body) != tt.body || !resp.Close {
				t.Errorf("status %d, body %q, close %v; want %d, %q", resp.StatusCode, body, resp.Close, tt.status, tt.body)
			}
			if _, err := http.ParseTime(resp.Header.Get("Date")); err != nil {
				t.Error(err)
			}
			want := http.Header{
				"Content-Length":         {fmt.Sprint(len(tt.body))},
				"Content-Type":           {text},
				"X-Content-Type-Options": {"nosniff"},
				"Date":                   resp.Header["Date"],
			}
			for k, v := range tt.header {
				want[k] = v
			}
			if diff := cmp.Diff(want, resp.Header); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

// Verify the bytes of a refusal that asks for the upgrade, which must name
// Upgrade in Connection.
func TestRefusalGolden(t *testing.T) {
	_, refused := transport.CheckRequest(&transport.Options{}, []byte(request("-Sec-WebSocket-Version", "Sec-WebSocket-Version: 8")))
	if refused == nil {
		t.Fatal("accepted")
	}
	got := string(transport.AppendRefusal(nil, refused))
	start := strings.Index(got, "Date: ") + len("Date: ")
	date := got[start : start+len(http.TimeFormat)]
	if at, err := http.ParseTime(date); err != nil || time.Since(at).Abs() > time.Minute {
		t.Errorf("date %q, %v", date, err)
	}
	want := "HTTP/1.1 426 Upgrade Required\r\n" +
		"Date: now\r\n" +
		"Connection: close, Upgrade\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\n" +
		"Content-Length: 55\r\n" +
		"X-Content-Type-Options: nosniff\r\n" +
		"Sec-Websocket-Version: 13\r\n" +
		"Upgrade: websocket\r\n" +
		"\r\n" +
		"the only version of WebSocket that is spoken here is 13"
	if diff := cmp.Diff(want, strings.Replace(got, date, "now", 1)); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

// FuzzRequestHead verifies that whatever is accepted is a request to net/http as
// well, with the same host, path, query and header, gives the same handshake by
// that way, and is upgraded.
func FuzzRequestHead(f *testing.F) {
	f.Add([]byte(request()))
	f.Add([]byte(request("target=http://[::1]:80?a%20b", "Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Protocol: c")))
	f.Add([]byte(request("-Connection", "connection: keep-alive,", "Connection: ,upgrade", "Origin: null", "Content-Length: 0")))
	f.Add([]byte(request("-Upgrade", "Upgrade: h2c, WebSocket", "Pragma: no-cache", "Expect: 100-continue", "Trailer: x")))
	f.Add([]byte(request("-Host", "Host: [2001:db8::1]:", "X-A:\t\xff \t", "X_B: : ")))
	f.Add([]byte(request("target=//a/%2F/..?b?#", "X-A : b", " folded", "Transfer-Encoding: chunked")))
	f.Fuzz(func(t *testing.T, head []byte) {
		opts := &transport.Options{AllowedOrigins: []string{"null", "https://*.example.com"}, Subprotocols: []string{"c", "a"}}
		original := bytes.Clone(head)
		hs, refused := transport.CheckRequest(opts, head)
		if (hs == nil) == (refused == nil) {
			t.Fatalf("handshake %v, refusal %v", hs, refused)
		}
		if refused != nil {
			if refused.Status < 400 || refused.Status > 505 || refused.Reason == "" {
				t.Errorf("refusal %+v", refused)
			}
			return
		}

		br := bufio.NewReader(bytes.NewReader(head))
		r, err := http.ReadRequest(br)
		if err != nil {
			t.Fatalf("net/http refuses: %v", err)
		}
		if br.Buffered() > 0 || r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
			t.Fatalf("net/http sees a body: %d behind, length %d, %v", br.Buffered(), r.ContentLength, r.TransferEncoding)
		}
		want := &transport.Handshake{
			Path: r.URL.Path, RawQuery: r.URL.RawQuery, Host: r.Host,
			Header: r.Header, Subprotocol: hs.Subprotocol,
		}
		if want.Path == "" {
			want.Path = "/"
		}
		// net/http makes a Cache-Control field of a Pragma field.
		if _, ok := hs.Header["Cache-Control"]; !ok {
			delete(r.Header, "Cache-Control")
		}
		if diff := cmp.Diff(want, hs); diff != "" {
			t.Fatalf("net/http (-), we (+):\n%s", diff)
		}
		mounted, refused := transport.CheckRequest(opts, transport.AppendRequestHead(nil, r))
		if refused != nil {
			t.Fatalf("refused after net/http: %v", refused)
		}
		if diff := cmp.Diff(hs, mounted); diff != "" {
			t.Fatalf("raw (-), by net/http (+):\n%s", diff)
		}

		resp, err := transport.AppendUpgrade(nil, head, hs)
		if err != nil {
			t.Fatalf("the Upgrader refuses: %v", err)
		}
		chosen, err := transport.CheckResponse(resp, hs.Header.Get("Sec-WebSocket-Key"), opts.Subprotocols)
		if err != nil || chosen != hs.Subprotocol {
			t.Fatalf("response %q: chosen %q, %v", resp, chosen, err)
		}
		if !bytes.Equal(original, head) {
			t.Fatal("the head has changed")
		}
	})
}

// browserHead is what a browser sends, with its usual fields and a cookie.
var browserHead = []byte(request(
	"target=/chat?room=lobby",
	"Pragma: no-cache",
	"Cache-Control: no-cache",
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
	"Origin: https://example.com",
	"Accept-Encoding: gzip, deflate, br, zstd",
	"Accept-Language: en-US,en;q=0.9",
	"Cookie: session=0123456789abcdef0123456789abcdef",
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
	"Sec-WebSocket-Protocol: wireroom.v1.json",
))

func BenchmarkCheckRequest(b *testing.B) {
	opts := &transport.Options{Subprotocols: []string{"wireroom.v1.json", "wireroom.v1.msgpack"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, refused := transport.CheckRequest(opts, browserHead); refused != nil {
			b.Fatal(refused)
		}
	}
}

func BenchmarkAppendUpgrade(b *testing.B) {
	hs := &transport.Handshake{Subprotocol: "wireroom.v1.json"}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = transport.AppendUpgrade(buf[:0], browserHead, hs); err != nil {
			b.Fatal(err)
		}
	}
}

package transport_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/google/go-cmp/cmp"
	"github.com/wireroom/wireroom/transport"
)

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Verify the bytes of the client's request.
func TestClientRequestGolden(t *testing.T) {
	header := http.Header{"User-Agent": {"test"}, "Cookie": {"a=b", "c=d"}, "Authorization": {"Bearer x"}}
	req, key, err := transport.AppendClientRequest([]byte("before"), mustURL(t, "wss://example.com:8443/a%20b?c=d"), []string{"one", "two"}, false, header)
	if err != nil {
		t.Fatal(err)
	}
	want := "beforeGET /a%20b?c=d HTTP/1.1\r\n" +
		"Host: example.com:8443\r\n" +
		"Upgrade: websocket\r\n" +
		"Connection: Upgrade\r\n" +
		"Sec-WebSocket-Key: " + key + "\r\n" +
		"Sec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Protocol: one, two\r\n" +
		"Authorization: Bearer x\r\n" +
		"Cookie: a=b\r\n" +
		"Cookie: c=d\r\n" +
		"User-Agent: test\r\n" +
		"\r\n"
	if diff := cmp.Diff(want, string(req)); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
}

// Verify that each request has a key of its own, of 16 bytes in base64.
func TestClientRequestKey(t *testing.T) {
	seen := make(map[string]bool)
	for range 100 {
		_, key, err := transport.AppendClientRequest(nil, mustURL(t, "ws://a/"), nil, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if raw, err := base64.StdEncoding.Strict().DecodeString(key); err != nil || len(raw) != 16 {
			t.Errorf("key %q: %d bytes, %v", key, len(raw), err)
		}
		if seen[key] {
			t.Errorf("key %q twice", key)
		}
		seen[key] = true
	}
}

// Verify that first line and Host follow from the URL, and that our own server
// and the library's take them.
func TestClientRequestURL(t *testing.T) {
	tests := []struct {
		url, target, host string
	}{
		{"ws://example.com", "/", "example.com"},
		{"ws://example.com/", "/", "example.com"},
		{"ws://example.com?a=b", "/?a=b", "example.com"},
		{"WS://Example.com/", "/", "example.com"},
		{"ws://example.com:80/", "/", "example.com"},
		{"wss://example.com:443/", "/", "example.com"},
		{"wss://example.com:80/", "/", "example.com:80"},
		{"ws://example.com:443/", "/", "example.com:443"},
		{"ws://example.com:/", "/", "example.com"},
		{"ws://127.0.0.1:8080/", "/", "127.0.0.1:8080"},
		{"ws://[::1]:8080/", "/", "[::1]:8080"},
		{"ws://[::1]/", "/", "[::1]"},
		{"ws://[fe80::1%25eth0]:8080/", "/", "[fe80::1]:8080"},
		{"ws://a/b%2Fc", "/b%2Fc", "a"},
		{"ws://a/é", "/%C3%A9", "a"},
		{"ws://a/b c", "/b%20c", "a"},
		{"ws://a//b", "//b", "a"},
		{"ws://a/?", "/?", "a"},
	}
	for _, tt := range tests {
		t.Run(tt.url, func(t *testing.T) {
			req, key, err := transport.AppendClientRequest(nil, mustURL(t, tt.url), []string{"one"}, false, http.Header{"X-A": {"\xff\tb"}})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(req), "GET "+tt.target+" HTTP/1.1\r\nHost: "+tt.host+"\r\n") {
				t.Errorf("request %q", req)
			}
			hs, refused := transport.CheckRequest(&transport.Options{Subprotocols: []string{"one"}}, req)
			if refused != nil {
				t.Fatal(refused)
			}
			resp, err := transport.AppendUpgrade(nil, req, hs)
			if err != nil {
				t.Fatal(err)
			}
			if chosen, err := transport.CheckResponse(resp, key, []string{"one"}); chosen != "one" || err != nil {
				t.Errorf("chosen %q, %v", chosen, err)
			}
			var answer bytes.Buffer
			if _, err := ws.Upgrade(struct {
				*bytes.Reader
				*bytesWriter
			}{bytes.NewReader(req), &bytesWriter{&answer}}); err != nil {
				t.Error(err)
			}
		})
	}
}

// bytesWriter has no other method than Write.
type bytesWriter struct{ b *bytes.Buffer }

func (w *bytesWriter) Write(p []byte) (int, error) { return w.b.Write(p) }

// Verify that what cannot be sent as it is is an error, and appends nothing.
func TestClientRequestErrors(t *testing.T) {
	field := func(name string, values ...string) http.Header { return http.Header{name: values} }
	tests := []struct {
		name      string
		url       *url.URL
		protocols []string
		header    http.Header
	}{
		{"http", mustURL(t, "http://a/"), nil, nil},
		{"no scheme", mustURL(t, "//a/"), nil, nil},
		{"no host", mustURL(t, "ws:///a"), nil, nil},
		{"port only", mustURL(t, "ws://:80/a"), nil, nil},
		{"opaque", mustURL(t, "ws:a"), nil, nil},
		{"fragment", mustURL(t, "ws://a/#b"), nil, nil},
		{"credentials", mustURL(t, "ws://a:secret@b/"), nil, nil},
		{"host not ASCII", mustURL(t, "ws://exämple/"), nil, nil},
		{"line break in the host", &url.URL{Scheme: "ws", Host: "a\r\nX: b"}, nil, nil},
		{"port out of range", mustURL(t, "ws://a:65536/"), nil, nil},
		{"space in the query", mustURL(t, "ws://a/?b c"), nil, nil},
		{"query not ASCII", mustURL(t, "ws://a/?é"), nil, nil},
		{"line break in the query", &url.URL{Scheme: "ws", Host: "a", RawQuery: "b\r\nc"}, nil, nil},

		{"empty subprotocol", mustURL(t, "ws://a/"), []string{""}, nil},
		{"subprotocol with a comma", mustURL(t, "ws://a/"), []string{"a,b"}, nil},
		{"subprotocol with a line break", mustURL(t, "ws://a/"), []string{"a\r\nb: c"}, nil},
		{"subprotocol twice", mustURL(t, "ws://a/"), []string{"a", "b", "a"}, nil},

		{"Host", mustURL(t, "ws://a/"), nil, field("Host", "b")},
		{"Connection", mustURL(t, "ws://a/"), nil, field("connection", "close")},
		{"Upgrade", mustURL(t, "ws://a/"), nil, field("Upgrade", "h2c")},
		{"Content-Length", mustURL(t, "ws://a/"), nil, field("Content-Length", "0")},
		{"Transfer-Encoding", mustURL(t, "ws://a/"), nil, field("Transfer-Encoding", "chunked")},
		{"Sec-WebSocket-Key", mustURL(t, "ws://a/"), nil, field("sec-websocket-key", sampleKey)},
		{"Sec-WebSocket-Protocol", mustURL(t, "ws://a/"), nil, field("Sec-WebSocket-Protocol", "a")},
		{"Sec-WebSocket-Extensions", mustURL(t, "ws://a/"), nil, field("Sec-Websocket-Extensions", "permessage-deflate")},
		{"Sec-WebSocket-Anything", mustURL(t, "ws://a/"), nil, field("SEC-WEBSOCKET-ANYTHING", "a")},
		{"empty name", mustURL(t, "ws://a/"), nil, field("", "a")},
		{"line break in a name", mustURL(t, "ws://a/"), nil, field("X\r\nY", "a")},
		{"line break in a value", mustURL(t, "ws://a/"), nil, field("X-A", "fine", "b\r\nX-B: secret")},
		{"line feed in a value", mustURL(t, "ws://a/"), nil, field("X-A", "b\nX-B: secret")},
		{"NUL in a value", mustURL(t, "ws://a/"), nil, field("X-A", "secret\x00")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, key, err := transport.AppendClientRequest([]byte("before"), tt.url, tt.protocols, false, tt.header)
			if err == nil || key != "" || string(req) != "before" {
				t.Errorf("got %q, key %q, error %v", req, key, err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}

// response returns the head of a response that accepts sampleKey, with changes
// as in request; "status=" replaces the first line.
func response(changes ...string) string {
	first := "HTTP/1.1 101 Switching Protocols"
	lines := []string{"Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: " + sampleAccept}
	for _, c := range changes {
		if v, ok := strings.CutPrefix(c, "status="); ok {
			first = v
		} else if v, ok := strings.CutPrefix(c, "-"); ok {
			for i, l := range lines {
				if strings.HasPrefix(l, v+":") {
					lines = append(lines[:i], lines[i+1:]...)
					break
				}
			}
		} else {
			lines = append(lines, c)
		}
	}
	return first + "\r\n" + strings.Join(append(lines, "\r\n"), "\r\n")
}

// Verify that a response is accepted only if it is the answer to the request.
func TestResponse(t *testing.T) {
	tests := []struct {
		name  string
		head  string
		want  string
		fault string // part of the error; empty if accepted
	}{
		{"plain", response(), "", ""},
		{"other case", response("-Upgrade", "-Connection", "UPGRADE: WebSocket", "connection: keep-alive, UPGRADE"), "", ""},
		{"other phrase", response("status=HTTP/1.1 101 Web Socket Protocol Handshake"), "", ""},
		{"no phrase", response("status=HTTP/1.1 101 "), "", ""},
		{"no space for a phrase", response("status=HTTP/1.1 101"), "", ""},
		{"further fields", response("Server: x", "Date: today", "Set-Cookie: a", "Set-Cookie: b"), "", ""},
		{"Content-Length of 0", response("Content-Length: 0"), "", ""},
		{"subprotocol", response("Sec-WebSocket-Protocol: two"), "two", ""},
		{"spaces around the subprotocol", response("Sec-WebSocket-Protocol: \tone "), "one", ""},

		{"nothing", "", "", "status line"},
		{"a request", request(), "", "status line"},
		{"HTTP/1.0", response("status=HTTP/1.0 101 Switching Protocols"), "", "HTTP/1.0"},
		{"HTTP/2.0", response("status=HTTP/2.0 101 Switching Protocols"), "", "status line"},
		{"two digits", response("status=HTTP/1.1 10"), "", "status line"},
		{"four digits", response("status=HTTP/1.1 1010"), "", "status line"},
		{"sign", response("status=HTTP/1.1 +10"), "", "status line"},
		{"two spaces", response("status=HTTP/1.1  101 x"), "", "status line"},
		{"control character in the phrase", response("status=HTTP/1.1 101 a\rb"), "", "status line"},
		{"folded line", response("X-A: b", " c"), "", "malformed"},
		{"space before the colon", response("X-A : b"), "", "malformed"},
		{"bare LF", response("X-A: b\nX-B: c"), "", "malformed"},
		{"bytes behind", response() + "x", "", "malformed"},
		{"no end", strings.TrimSuffix(response(), "\r\n"), "", "malformed"},
		{"body", response("Content-Length: 5"), "", "body"},
		{"chunked body", response("Transfer-Encoding: chunked"), "", "body"},

		{"no Upgrade", response("-Upgrade"), "", "Upgrade"},
		{"Upgrade twice", response("Upgrade: websocket"), "", "Upgrade"},
		{"Upgrade to more", response("-Upgrade", "Upgrade: websocket, h2c"), "", "Upgrade"},
		{"Upgrade to something else", response("-Upgrade", "Upgrade: h2c"), "", "Upgrade"},
		{"no Connection", response("-Connection"), "", "Connection"},
		{"other Connection", response("-Connection", "Connection: keep-alive"), "", "Connection"},
		{"no Accept", response("-Sec-WebSocket-Accept"), "", "Accept"},
		{"empty Accept", response("-Sec-WebSocket-Accept", "Sec-WebSocket-Accept:"), "", "Accept"},
		{"Accept of another key", response("-Sec-WebSocket-Accept", "Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI="), "", "Accept"},
		{"Accept in another case", response("-Sec-WebSocket-Accept", "Sec-WebSocket-Accept: "+strings.ToUpper(sampleAccept)), "", "Accept"},
		{"Accept twice", response("Sec-WebSocket-Accept: " + sampleAccept), "", "Accept"},
		{"extension", response("Sec-WebSocket-Extensions: permessage-deflate"), "", "extension"},
		{"empty extension", response("Sec-WebSocket-Extensions:"), "", "extension"},
		{"subprotocol not offered", response("Sec-WebSocket-Protocol: three"), "", "subprotocol"},
		{"subprotocol in another case", response("Sec-WebSocket-Protocol: One"), "", "subprotocol"},
		{"two subprotocols", response("Sec-WebSocket-Protocol: one, two"), "", "subprotocol"},
		{"two fields of subprotocols", response("Sec-WebSocket-Protocol: one", "Sec-WebSocket-Protocol: one"), "", "subprotocol"},
		{"empty subprotocol", response("Sec-WebSocket-Protocol:"), "", "subprotocol"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			chosen, err := transport.CheckResponse([]byte(tt.head), sampleKey, []string{"one", "two"})
			if tt.fault == "" {
				if err != nil || chosen != tt.want {
					t.Errorf("chosen %q, error %v; want %q", chosen, err, tt.want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("error %v, want one about %q", err, tt.fault)
			}
			var refused *transport.StatusError
			if errors.As(err, &refused) {
				t.Errorf("%v reads as a refusal by the server", err)
			}
		})
	}
}

// Verify that a subprotocol is an error if none was offered.
func TestResponseUnasked(t *testing.T) {
	if _, err := transport.CheckResponse([]byte(response("Sec-WebSocket-Protocol: one")), sampleKey, nil); err == nil {
		t.Error("accepted")
	}
}

// Verify that a refusal by the server comes with its status and header.
func TestResponseRefused(t *testing.T) {
	tests := []struct {
		name string
		head string
		want *transport.StatusError
	}{
		{"of a proxy", "HTTP/1.0 502 Bad\r\n\r\n", &transport.StatusError{Status: 502, Reason: "Bad Gateway", Header: http.Header{}}},
		{
			"with body", "HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\n",
			&transport.StatusError{Status: 403, Reason: "Forbidden", Header: http.Header{"Content-Length": {"5"}}},
		},
		{"unknown", "HTTP/1.1 499 Gone Away\r\n\r\n", &transport.StatusError{Status: 499, Reason: "Gone Away", Header: http.Header{}}},
		{"success", "HTTP/1.1 200 OK\r\n\r\n", &transport.StatusError{Status: 200, Reason: "OK", Header: http.Header{}}},
		{
			"redirect", "HTTP/1.1 302 Found\r\nlocation: /x\r\n\r\n",
			&transport.StatusError{Status: 302, Reason: "Found", Header: http.Header{"Location": {"/x"}}},
		},
		{
			"of our server", "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\n\r\n",
			&transport.StatusError{Status: 429, Reason: "Too Many Requests", Header: http.Header{"Retry-After": {"5"}}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := transport.CheckResponse([]byte(tt.head), sampleKey, nil)
			var refused *transport.StatusError
			if !errors.As(err, &refused) {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, refused); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}

// FuzzResponseHead verifies that whatever is accepted is a 101 response to
// net/http as well.
func FuzzResponseHead(f *testing.F) {
	f.Add([]byte(response()))
	f.Add([]byte(response("Sec-WebSocket-Protocol: two", "Content-Length: 0", "X-A:\t\xff ")))
	f.Add([]byte(response("status=HTTP/1.1 101", "-Connection", "Connection: ,", "connection: upgrade, x")))
	f.Add([]byte(response("status=HTTP/1.0 403 x", "X-A : b", " folded")))
	f.Fuzz(func(t *testing.T, head []byte) {
		offers := []string{"one", "two"}
		chosen, err := transport.CheckResponse(head, sampleKey, offers)
		var refused *transport.StatusError
		if err != nil && !errors.As(err, &refused) {
			return
		}
		resp, herr := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), &http.Request{Method: http.MethodGet})
		if refused != nil {
			if refused.Status == http.StatusSwitchingProtocols || herr == nil && refused.Status != resp.StatusCode {
				t.Fatalf("refusal %+v, net/http %+v", refused, resp)
			}
			return
		}
		if herr != nil {
			t.Fatalf("net/http refuses: %v", herr)
		}
		if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Accept") != sampleAccept ||
			resp.Header.Get("Sec-WebSocket-Protocol") != chosen {
			t.Fatalf("net/http sees %+v", resp)
		}
	})
}

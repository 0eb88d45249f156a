package transport_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/wireroom/wireroom/transport"
)

// Verify that the head ends with its empty line, however the bytes arrive, and
// that none of those behind it is lost.
func TestReadHead(t *testing.T) {
	const head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	tests := []struct {
		name, stream, rest string
	}{
		{"nothing behind", head, ""},
		{"frame behind", head + "\x81\x85\x00\x00\x00\x00hello", "\x81\x85\x00\x00\x00\x00hello"},
		{"line feeds behind", head + "\n\n\r\n\r\n", "\n\n\r\n\r\n"},
		{"second head behind", head + head, head},
	}
	readers := map[string]func(io.Reader) io.Reader{
		"at once":         func(r io.Reader) io.Reader { return r },
		"halves":          iotest.HalfReader,
		"byte by byte":    iotest.OneByteReader,
		"data with error": iotest.DataErrReader,
	}
	for _, tt := range tests {
		for name, wrap := range readers {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				r := wrap(strings.NewReader(tt.stream))
				got, rest, err := transport.ReadHead(r, make([]byte, 0, 256))
				if err != nil {
					t.Fatal(err)
				}
				behind, err := io.ReadAll(r)
				if err != nil {
					t.Fatal(err)
				}
				if string(got) != head {
					t.Errorf("head %q, want %q", got, head)
				}
				if all := string(rest) + string(behind); all != tt.rest {
					t.Errorf("rest %q, want %q", all, tt.rest)
				}
			})
		}
	}
}

// Verify that an append to the head does not write over what came after it.
func TestReadHeadApart(t *testing.T) {
	head, rest, err := transport.ReadHead(strings.NewReader("GET / HTTP/1.1\r\n\r\nrest"), make([]byte, 64))
	if err != nil {
		t.Fatal(err)
	}
	_ = append(head, "overwritten"...)
	if string(rest) != "rest" {
		t.Errorf("rest %q", rest)
	}
}

// Verify that the capacity of the buffer is the limit of the head, to the byte.
func TestReadHeadLimit(t *testing.T) {
	const head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	if _, _, err := transport.ReadHead(strings.NewReader(head), make([]byte, 0, len(head))); err != nil {
		t.Errorf("head of just the limit: %v", err)
	}
	for _, stream := range []string{head, head + "more", strings.Repeat("x", 1<<20)} {
		_, _, err := transport.ReadHead(strings.NewReader(stream), make([]byte, 0, len(head)-1))
		var refused *transport.StatusError
		if !errors.As(err, &refused) || refused.Status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%d bytes: error %v, want status 431", len(stream), err)
		}
	}
}

// Verify that each way for a head not to come is told from the others.
func TestReadHeadErrors(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name string
		r    io.Reader
		want error
	}{
		{"no byte", strings.NewReader(""), io.EOF},
		{"end in the request line", strings.NewReader("GET"), io.ErrUnexpectedEOF},
		{"end before the last LF", strings.NewReader("GET / HTTP/1.1\r\n\r"), io.ErrUnexpectedEOF},
		{"error at once", iotest.ErrReader(broken), broken},
		{"error in the middle", io.MultiReader(strings.NewReader("GET"), iotest.ErrReader(broken)), broken},
		{"nothing for ever", emptyReader{}, io.ErrNoProgress},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, _, err := transport.ReadHead(tt.r, make([]byte, 64)); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }

// Verify that lines that end in a bare LF are refused when they arrive, and not
// only when the deadline has passed, since no CRLFCRLF follows.
func TestReadHeadBareLF(t *testing.T) {
	for _, stream := range []string{"\n", "GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\n\n", "GET / HTTP/1.1\r\nHost: a\r\r\n\n"} {
		pr, pw := io.Pipe()
		go pw.Write([]byte(stream)) // it ends with the pipe
		_, _, err := transport.ReadHead(pr, make([]byte, 64))
		pr.Close()
		var refused *transport.StatusError
		if !errors.As(err, &refused) || refused.Status != http.StatusBadRequest {
			t.Errorf("%q: error %v, want status 400", stream, err)
		}
	}
}

// Verify that a request that net/http has read gives the same handshake as the
// same bytes without it.
func TestAppendRequestHeadSame(t *testing.T) {
	opts := &transport.Options{Subprotocols: []string{"b", "a"}, AllowedOrigins: []string{"https://*.example.org"}}
	tests := []struct {
		name string
		head string
	}{
		{"plain", request()},
		{"path and query", request("target=/a%20b/%C3%A9?x=1&y=%zz")},
		{"empty query", request("target=/a?")},
		{"two slashes", request("target=//a//b")},
		{"absolute", request("target=http://other.example:81/a?b")},
		{"absolute without path", request("target=HTTPS://other.example")},
		{"lower case names", request("-Host", "host: example.com", "sec-websocket-protocol: a", "x-y: 1")},
		{"several of one name", request("X-A: 1", "X-B: 2", "X-A: 3", "x-a:")},
		{"several lists", request("-Connection", "Connection: keep-alive", "Connection: close, upgrade", "Sec-WebSocket-Protocol: c", "Sec-WebSocket-Protocol: a, b")},
		{"other origin", request("Origin: https://www.example.org")},
		{"bytes outside of ASCII", request("X-A: caf\xe9 \t x")},
		{"Content-Length 0", request("Content-Length: 0")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw, refused := transport.CheckRequest(opts, []byte(tt.head))
			if refused != nil {
				t.Fatal(refused)
			}
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(tt.head)))
			if err != nil {
				t.Fatal(err)
			}
			mounted, refused := transport.CheckRequest(opts, transport.AppendRequestHead(nil, r))
			if refused != nil {
				t.Fatal(refused)
			}
			if diff := cmp.Diff(raw, mounted); diff != "" {
				t.Errorf("raw (-), by net/http (+):\n%s", diff)
			}
		})
	}
}

// Verify that what a bare connection would refuse is refused under net/http too,
// with the same status, as far as net/http lets it through.
func TestAppendRequestHeadRefused(t *testing.T) {
	tests := []struct {
		name   string
		head   string
		status int
	}{
		{"POST with body", request("method=POST", "Content-Length: 2") + "ab", 405},
		{"body", request("Content-Length: 2") + "ab", 400},
		{"chunked body", request("Transfer-Encoding: chunked") + "0\r\n\r\n", 400},
		{"HTTP/1.0", request("version=HTTP/1.0"), 505},
		{"two keys", request("Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA=="), 400},
		{"two origins", request("Origin: http://example.com", "Origin: http://example.com"), 400},
		{"no upgrade", request("-Upgrade"), 426},
		{"no Host", request("-Host"), 400},
		{"asterisk", request("method=OPTIONS", "target=*"), 405},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(tt.head)))
			if err != nil {
				t.Fatal(err)
			}
			_, refused := transport.CheckRequest(&transport.Options{}, transport.AppendRequestHead(nil, r))
			if refused == nil || refused.Status != tt.status {
				t.Errorf("refusal %v, want status %d", refused, tt.status)
			}
			head, _, err := transport.ReadHead(strings.NewReader(tt.head), make([]byte, 4096))
			if err != nil {
				t.Fatal(err)
			}
			if _, refused = transport.CheckRequest(&transport.Options{}, head); refused == nil || refused.Status != tt.status {
				t.Errorf("refusal of the bare head %v, want status %d", refused, tt.status)
			}
		})
	}
}

// Verify that a request made or changed by hand, as middleware does, cannot
// bring in fields that are not in it.
func TestAppendRequestHeadByHand(t *testing.T) {
	tests := []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"untouched", func(*http.Request) {}, 0},
		{"no RequestURI", func(r *http.Request) { r.RequestURI = "" }, 0},
		{"HTTP/2", func(r *http.Request) {
			r.Proto, r.Method = "HTTP/2.0", "CONNECT"
			r.Header[":protocol"] = []string{"websocket"}
		}, 505},
		{"chunked", func(r *http.Request) { r.TransferEncoding = []string{"chunked"} }, 400},
		{"length -1", func(r *http.Request) { r.ContentLength = -1 }, 400},
		{"length and header differ", func(r *http.Request) { r.ContentLength = 3; r.Header.Set("Content-Length", "0") }, 400},
		{"line break in a value", func(r *http.Request) { r.Header.Set("X-A", "1\r\nX-B: 2") }, 400},
		{"line feed in a value", func(r *http.Request) { r.Header.Set("X-A", "1\nX-B: 2") }, 400},
		{"line break in a name", func(r *http.Request) { r.Header["X-A: 1\r\nX-B"] = []string{"2"} }, 400},
		{"colon in a name", func(r *http.Request) { r.Header["X-A:"] = []string{"2"} }, 400},
		{"empty name", func(r *http.Request) { r.Header[""] = []string{"2"} }, 400},
		{"line break in Host", func(r *http.Request) { r.Host = "example.com\r\nX-B: 2" }, 400},
		{"line break in the target", func(r *http.Request) { r.RequestURI = "/ HTTP/1.1\r\nX-B: 2\r\nX-C:" }, 400},
		{"space in the target", func(r *http.Request) { r.RequestURI = "/a b" }, 400},
		{"line break in the method", func(r *http.Request) { r.Method = "GET / HTTP/1.1\r\nX-B:" }, 400},
		{"line break in the version", func(r *http.Request) { r.Proto = "HTTP/1.1\r\nX-B: 2" }, 400},
		{"Host in the header", func(r *http.Request) { r.Header.Set("Host", "example.com") }, 400},
		{"two spellings", func(r *http.Request) { r.Header["sec-websocket-key"] = r.Header["Sec-Websocket-Key"] }, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/a?b", nil)
			r.Header = http.Header{
				"Upgrade":               {"websocket"},
				"Connection":            {"Upgrade"},
				"Sec-Websocket-Version": {"13"},
				"Sec-Websocket-Key":     {sampleKey},
			}
			tt.change(r)
			head := transport.AppendRequestHead(nil, r)
			if n := bytes.Count(head, []byte("\r\n\r\n")); n != 1 {
				t.Errorf("%d empty lines in %q", n, head)
			}
			hs, refused := transport.CheckRequest(&transport.Options{}, head)
			switch {
			case tt.status == 0 && refused != nil:
				t.Errorf("refused: %v", refused)
			case tt.status == 0 && (hs.Path != "/a" || hs.RawQuery != "b" || hs.Host != "example.com"):
				t.Errorf("handshake %+v", hs)
			case tt.status != 0 && (refused == nil || refused.Status != tt.status):
				t.Errorf("refusal %v, want status %d", refused, tt.status)
			}
		})
	}
}

// Verify that a request without any target is refused, not a panic.
func TestAppendRequestHeadEmpty(t *testing.T) {
	for _, r := range []*http.Request{{}, {URL: new(url.URL)}, {Method: "GET", Proto: "HTTP/1.1", Header: http.Header{"X": nil}}} {
		if _, refused := transport.CheckRequest(&transport.Options{}, transport.AppendRequestHead(nil, r)); refused == nil {
			t.Errorf("%+v accepted", r)
		}
	}
}

// Verify that the response of a server that is malformed for us is not taken
// for a refusal by that server.
func TestReadResponseHead(t *testing.T) {
	const head = "HTTP/1.1 101 Switching Protocols\r\n\r\n"
	got, rest, err := transport.ReadResponseHead(strings.NewReader(head+"\x81\x00"), make([]byte, 64))
	if string(got) != head || string(rest) != "\x81\x00" || err != nil {
		t.Errorf("got %q, %q, %v", got, rest, err)
	}
	for _, stream := range []string{"HTTP/1.1 200 OK\n\n", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 64)} {
		_, _, err := transport.ReadResponseHead(strings.NewReader(stream), make([]byte, 64))
		var refused *transport.StatusError
		if err == nil || errors.As(err, &refused) {
			t.Errorf("%q: error %#v", stream, err)
		}
	}
	if _, _, err := transport.ReadResponseHead(strings.NewReader(""), make([]byte, 64)); !errors.Is(err, io.EOF) {
		t.Errorf("error %v, want EOF", err)
	}
}

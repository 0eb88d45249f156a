package transport

import (
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

const (
	// maxFields bounds the field lines of a head. Browsers send about 20.
	maxFields = 100

	// maxEmptyReads is how many reads in a row may bring nothing.
	maxEmptyReads = 100
)

// readHead reads from r into buf, up to its capacity, until the empty line that
// ends the head of an HTTP message (RFC 9112, section 2.1). The head includes
// that line; rest are the bytes that came after it. Both are slices of buf.
//
// A head that does not fit is refused with 431 and a line that ends in a bare
// LF with 400, each as a *StatusError; the latter would otherwise keep a client
// waiting for its deadline. The end of the stream is io.EOF before the first
// byte and io.ErrUnexpectedEOF after it. Deadlines are up to the caller.
func readHead(r io.Reader, buf []byte) (head, rest []byte, err error) {
	buf = buf[:0:cap(buf)]
	var scan headScanner
	for empty := 0; ; {
		n := len(buf)
		m, err := r.Read(buf[n:cap(buf)])
		buf = buf[:n+m]
		end, refused := scan.end(buf, cap(buf))
		switch {
		case refused != nil:
			return nil, nil, refused
		case end > 0:
			// A capacity that ends with the head keeps an append to it from
			// writing over rest.
			return buf[:end:end], buf[end:], nil
		case err == io.EOF && len(buf) > 0:
			return nil, nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, nil, err
		case m > 0:
			empty = 0
		default:
			if empty++; empty == maxEmptyReads {
				return nil, nil, io.ErrNoProgress
			}
		}
	}
}

// headScanner looks for the end of a head that comes in parts.
type headScanner struct{ scanned int }

// end returns the length of the head at the beginning of buf, or 0 if it has not
// come whole. It goes on where it stopped the last time. limit is the most that
// a head may be.
func (h *headScanner) end(buf []byte, limit int) (int, *StatusError) {
	for n := min(len(buf), limit); h.scanned < n; h.scanned++ {
		at := h.scanned
		if buf[at] != '\n' {
			continue
		}
		if at == 0 || buf[at-1] != '\r' {
			return 0, badRequest("a line ends in LF without CR")
		}
		if at >= 3 && buf[at-2] == '\n' && buf[at-3] == '\r' {
			return at + 1, nil
		}
	}
	if len(buf) >= limit {
		return 0, &StatusError{
			Status: http.StatusRequestHeaderFieldsTooLarge,
			Reason: "the head is larger than " + strconv.Itoa(limit) + " bytes",
		}
	}
	return 0, nil
}

// appendRequestHead appends the head of the request as net/http read it, so
// that a request that came through an http.Handler meets the same checks as one
// that came over a bare connection. The order of the fields is not kept, those
// of one name is. The target is the one on the wire: what http.StripPrefix and
// its kind do to r.URL does not show.
//
// net/http takes the fields about a body out of the header; they are put back,
// so that a request with a body is refused. What could not have come over the
// wire, such as a line break in a value, is replaced by a byte that is refused.
func appendRequestHead(dst []byte, r *http.Request) []byte {
	target := r.RequestURI
	if target == "" && r.URL != nil {
		target = r.URL.RequestURI()
	}
	dst = appendUnbroken(dst, r.Method)
	dst = append(dst, ' ')
	dst = appendUnbroken(dst, target)
	dst = append(dst, ' ')
	dst = appendUnbroken(dst, r.Proto)
	dst = append(dst, "\r\nHost: "...)
	dst = appendUnbroken(dst, r.Host)
	dst = append(dst, "\r\n"...)
	for name, values := range r.Header {
		if !isToken(name) {
			name = "\x00"
		}
		for _, v := range values {
			dst = append(dst, name...)
			dst = append(dst, ": "...)
			dst = appendUnbroken(dst, v)
			dst = append(dst, "\r\n"...)
		}
	}
	switch {
	case len(r.TransferEncoding) > 0 || r.ContentLength < 0:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	case r.ContentLength > 0:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, r.ContentLength, 10)
		dst = append(dst, "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// appendUnbroken appends s with a NUL, which every parser here refuses, in
// place of each CR and LF.
func appendUnbroken(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c == '\r' || c == '\n' {
			c = 0
		}
		dst = append(dst, c)
	}
	return dst
}

// parseFields parses the field lines of a head, from the line after the first
// to the empty one, which must be the end of s. The values are substrings of s.
//
// It is stricter than RFC 9112, section 5, allows a recipient to be: obsolete
// line folding, whitespace around the name, bare CR and LF, and every control
// character but a tab are refused, where some of them might be repaired. Each
// of these has been read differently by two servers in a row.
func parseFields(s string) (http.Header, *StatusError) {
	count := strings.Count(s, "\r\n") - 1
	if count > maxFields {
		return nil, &StatusError{
			Status: http.StatusRequestHeaderFieldsTooLarge,
			Reason: "more than " + strconv.Itoa(maxFields) + " header fields",
		}
	}
	h := make(http.Header, max(count, 0))
	values := make([]string, 0, max(count, 0))
	for {
		line, next, ok := strings.Cut(s, "\r\n")
		switch {
		case !ok:
			return nil, badRequest("the head does not end in an empty line")
		case line == "" && next != "":
			return nil, badRequest("the head goes on after its empty line")
		case line == "":
			return h, nil
		case line[0] == ' ' || line[0] == '\t':
			return nil, badRequest("a header field is folded over lines")
		}
		s = next

		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, badRequest("a header line has no colon")
		}
		if !isToken(name) {
			return nil, badRequest("malformed header field name")
		}
		value = strings.Trim(value, " \t")
		if !isFieldValue(value) {
			return nil, badRequest("control character in a header field")
		}

		key := fieldKey(name)
		if prev := h[key]; prev != nil {
			h[key] = append(prev, value)
			continue
		}
		// The first value of each name lives in the one array of all, with no
		// room behind it, so that a second one moves away.
		values = append(values, value)
		h[key] = values[len(values)-1 : len(values) : len(values)]
	}
}

// fieldKey returns the name as it is in an http.Header. The names that every
// handshake has, in the spelling that nearly all clients use, need no new string.
func fieldKey(name string) string {
	switch name {
	case "Sec-WebSocket-Key":
		return "Sec-Websocket-Key"
	case "Sec-WebSocket-Version":
		return "Sec-Websocket-Version"
	case "Sec-WebSocket-Protocol":
		return "Sec-Websocket-Protocol"
	case "Sec-WebSocket-Extensions":
		return "Sec-Websocket-Extensions"
	case "Sec-WebSocket-Accept":
		return "Sec-Websocket-Accept"
	}
	return textproto.CanonicalMIMEHeaderKey(name)
}

// checkNoBody refuses what announces a body (RFC 9112, section 6): any
// Transfer-Encoding, and any Content-Length but a single "0". That one says the
// same as no field at all to every recipient, and some clients send it.
func checkNoBody(h http.Header) error {
	if _, ok := h["Transfer-Encoding"]; ok {
		return errors.New("a handshake has no body, but there is a Transfer-Encoding field")
	}
	if cl, ok := h["Content-Length"]; ok && (len(cl) != 1 || cl[0] != "0") {
		return errors.New("a handshake has no body, but there is a Content-Length field")
	}
	return nil
}

// hasToken says whether the comma-separated lists in values have the token
// want, in any case of letters. Empty elements are skipped, as RFC 9110, section
// 5.6.1.2, demands; elements that are not of the form token or, as in Upgrade,
// token/token make the list not ok.
func hasToken(values []string, want string) (found, ok bool) {
	for _, v := range values {
		for e := range strings.SplitSeq(v, ",") {
			e = strings.Trim(e, " \t")
			if e == "" {
				continue
			}
			name, version, versioned := strings.Cut(e, "/")
			if !isToken(name) || versioned && !isToken(version) {
				return false, false
			}
			found = found || strings.EqualFold(e, want)
		}
	}
	return found, true
}

// isToken says whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func isTokenByte(c byte) bool {
	return isAlphanumeric(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// isFieldValue says whether s may be in a field's value: visible characters,
// spaces, tabs and bytes outside of ASCII (RFC 9110, section 5.5).
func isFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

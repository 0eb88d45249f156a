package transport

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Handshake is the opening handshake of a connection (RFC 6455, section 4), as
// the server saw it. It must not be changed after OnConnect has returned.
type Handshake struct {
	Path       string // decoded path of the request
	RawQuery   string // query of the request, still encoded, without "?"
	Host       string
	Header     http.Header // canonical keys; without Host
	RemoteAddr net.Addr
	TLS        *tls.ConnectionState // nil without TLS

	Subprotocol string // what was agreed on; empty if nothing
	Deflate     bool   // permessage-deflate is agreed on; OnConnect may decline it
	Principal   any    // what OnConnect returned
}

// Query returns the decoded query; malformed pairs are left out.
func (h *Handshake) Query() url.Values {
	q, _ := url.ParseQuery(h.RawQuery) // ParseQuery returns what it could decode
	return q
}

// maxOffers bounds the subprotocols that a client may offer.
const maxOffers = 64

// strictBase64 takes no bits beyond the last byte (RFC 4648, section 3.5), so
// that a key has one spelling only.
var strictBase64 = base64.StdEncoding.Strict()

// checkRequest parses and checks the head of an upgrade request, up to and with
// its empty line, and picks the subprotocol. It leaves RemoteAddr, TLS and
// Principal to the caller. The strings of the result are parts of one copy of
// the head.
//
// The rules are those of RFC 6455, section 4.2.1, on top of RFC 9112; where that
// leaves a server the choice to repair a message or to refuse it, it is refused.
// Extensions that the client offers are looked at only if there is one that the
// options accept; the others are declined (RFC 6455, section 9.1).
func (o *Options) checkRequest(head []byte) (*Handshake, *StatusError) {
	if limit := o.MaxHandshakeBytes; limit > 0 && len(head) > limit {
		return nil, &StatusError{
			Status: http.StatusRequestHeaderFieldsTooLarge,
			Reason: "the head is larger than " + strconv.Itoa(limit) + " bytes",
		}
	}
	line, fields, _ := strings.Cut(string(head), "\r\n")
	target, refused := checkRequestLine(line)
	if refused != nil {
		return nil, refused
	}
	hs := new(Handshake)
	if refused = hs.setTarget(target); refused != nil {
		return nil, refused
	}
	if hs.Header, refused = parseFields(fields); refused != nil {
		return nil, refused
	}
	if refused = hs.takeHost(); refused != nil {
		return nil, refused
	}
	if err := checkNoBody(hs.Header); err != nil {
		return nil, badRequest(err.Error())
	}
	if refused = checkUpgradeFields(hs.Header); refused != nil {
		return nil, refused
	}
	// Twice the same origin is refused as well: only one who meddles with the
	// request has a reason to send it.
	switch origins := hs.Header["Origin"]; {
	case len(origins) > 1:
		return nil, badRequest("more than one Origin field")
	case len(origins) == 1 && (origins[0] == "" || !o.originAllowed(origins[0], hs.Host)):
		return nil, &StatusError{Status: http.StatusForbidden, Reason: "pages of this origin may not connect"}
	}
	hs.Subprotocol, refused = chooseSubprotocol(hs.Header["Sec-Websocket-Protocol"], o.Subprotocols)
	if refused != nil {
		return nil, refused
	}
	if o.Deflate {
		answer, refused := answerExtensions(hs.Header["Sec-Websocket-Extensions"])
		if refused != nil {
			return nil, refused
		}
		hs.Deflate = answer != ""
	}
	return hs, nil
}

// checkRequestLine checks the first line (RFC 9112, section 3) but for the
// target, which it returns. The version comes before the method, as a CONNECT of
// HTTP/2 (RFC 8441) is no fault of the method. An empty line before the request,
// which RFC 9112, section 2.2, would have us skip, follows the body of an earlier
// request, and there is none before a handshake.
func checkRequestLine(line string) (target string, refused *StatusError) {
	method, rest, ok := strings.Cut(line, " ")
	if !ok || !isToken(method) {
		return "", badRequest("malformed request line")
	}
	target, version, _ := strings.Cut(rest, " ")
	digits, ok := strings.CutPrefix(version, "HTTP/")
	if !ok || len(digits) != 3 || !isDigit(digits[0]) || digits[1] != '.' || !isDigit(digits[2]) {
		return "", badRequest("malformed request line")
	}
	if version != "HTTP/1.1" {
		return "", &StatusError{
			Status: http.StatusHTTPVersionNotSupported,
			Reason: "the WebSocket handshake is spoken in HTTP/1.1 here, not in " + version,
		}
	}
	if method != http.MethodGet {
		return "", &StatusError{
			Status: http.StatusMethodNotAllowed,
			Reason: "the WebSocket handshake is a GET request",
			Header: http.Header{"Allow": {http.MethodGet}},
		}
	}
	return target, nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// setTarget takes path and query from the request target, and the host if there
// is one in it. Besides the usual origin-form that is the absolute-form of http
// and https, which servers must accept (RFC 9112, section 3.2.2; RFC 6455,
// section 4.2.1).
//
// Characters that URIs do not have but browsers send, such as "|", are accepted,
// and so is a "%" in the query that encodes nothing; in the path it is refused,
// as there would be no decoded path.
func (h *Handshake) setTarget(target string) *StatusError {
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return badRequest("the request target has a character that must be percent-encoded")
		}
	}
	path, query, _ := strings.Cut(target, "?")
	if !strings.HasPrefix(path, "/") {
		scheme, rest, ok := strings.Cut(path, "://")
		if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
			return badRequest("the request target is not a path")
		}
		slash := strings.IndexByte(rest, '/')
		if slash < 0 {
			slash = len(rest)
		}
		h.Host, path = rest[:slash], rest[slash:]
		if path == "" {
			path = "/" // RFC 9110, section 4.2.3
		}
		if _, _, ok := splitHost(h.Host); !ok {
			return badRequest("malformed host in the request target")
		}
	}
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return badRequest("malformed percent-encoding in the path")
	}
	h.Path, h.RawQuery = decoded, query
	return nil
}

// takeHost moves Host from the header to its own place. It must be there exactly
// once and be well-formed even if the target has a host, which then counts
// instead (RFC 9112, sections 3.2 and 3.2.2).
func (h *Handshake) takeHost() *StatusError {
	switch hosts := h.Header["Host"]; len(hosts) {
	case 0:
		return badRequest("no Host field")
	case 1:
		if _, _, ok := splitHost(hosts[0]); !ok {
			return badRequest("malformed Host field")
		}
		if h.Host == "" {
			h.Host = hosts[0]
		}
	default:
		return badRequest("more than one Host field")
	}
	delete(h.Header, "Host")
	return nil
}

// checkUpgradeFields checks points 3 to 6 of RFC 6455, section 4.2.1. A request
// that does not ask for WebSocket at all, or for another version of it, is told
// what to ask for, with 426.
func checkUpgradeFields(h http.Header) *StatusError {
	upgrades := h["Upgrade"]
	if len(upgrades) > 1 {
		return badRequest("more than one Upgrade field")
	}
	found, ok := hasToken(upgrades, "websocket")
	if !ok {
		return badRequest("malformed Upgrade field")
	}
	if !found {
		return upgradeRequired("only WebSocket is spoken here, and the request has no Upgrade: websocket")
	}
	if found, ok = hasToken(h["Connection"], "upgrade"); !ok {
		return badRequest("malformed Connection field")
	}
	if !found {
		return badRequest("no Connection: Upgrade, though there is an Upgrade field")
	}

	switch versions := h["Sec-Websocket-Version"]; {
	case len(versions) == 0:
		return badRequest("no Sec-WebSocket-Version field")
	case len(versions) > 1:
		return badRequest("more than one Sec-WebSocket-Version field")
	case versions[0] != "13":
		e := upgradeRequired("the only version of WebSocket that is spoken here is 13")
		e.Header.Set("Sec-WebSocket-Version", "13") // RFC 6455, section 4.4
		return e
	}

	switch keys := h["Sec-Websocket-Key"]; {
	case len(keys) == 0:
		return badRequest("no Sec-WebSocket-Key field")
	case len(keys) > 1:
		return badRequest("more than one Sec-WebSocket-Key field")
	case !isKey(keys[0]):
		return badRequest("Sec-WebSocket-Key is not 16 bytes in base64")
	}
	return nil
}

// isKey says whether s is 16 bytes in base64.
func isKey(s string) bool {
	if len(s) != base64.StdEncoding.EncodedLen(16) {
		return false
	}
	var room [18]byte
	n, err := strictBase64.Decode(room[:], []byte(s))
	return err == nil && n == 16
}

// chooseSubprotocol returns the first of the known names that is offered. The
// offers must be as RFC 6455, sections 4.1 (point 10) and 11.3.4, have them: in
// one field or several, not empty, each a token and different from the others.
func chooseSubprotocol(fields, known []string) (string, *StatusError) {
	if len(fields) == 0 {
		return "", nil
	}
	var room [8]string
	offers := room[:0]
	for _, field := range fields {
		for offer := range strings.SplitSeq(field, ",") {
			offer = strings.Trim(offer, " \t")
			switch {
			case !isToken(offer):
				return "", badRequest("malformed Sec-WebSocket-Protocol field")
			case slices.Contains(offers, offer):
				return "", badRequest("the same subprotocol is offered twice")
			case len(offers) == maxOffers:
				return "", badRequest("more than " + strconv.Itoa(maxOffers) + " subprotocols are offered")
			}
			offers = append(offers, offer)
		}
	}
	if len(known) == 0 {
		return "", nil
	}
	for _, name := range known {
		if slices.Contains(offers, name) {
			return name, nil
		}
	}
	return "", badRequest("none of the offered subprotocols is spoken here; known are: " + strings.Join(known, ", "))
}

// badRequest returns a refusal with 400.
func badRequest(reason string) *StatusError {
	return &StatusError{Status: http.StatusBadRequest, Reason: reason}
}

// upgradeRequired returns a refusal with 426, which must name the protocol to
// upgrade to (RFC 9110, section 15.5.22).
func upgradeRequired(reason string) *StatusError {
	return &StatusError{
		Status: http.StatusUpgradeRequired,
		Reason: reason,
		Header: http.Header{"Upgrade": {"websocket"}},
	}
}

// appendUpgrade appends the response that accepts the request with this head,
// which must have passed checkRequest (RFC 6455, section 4.2.2). hs.Subprotocol
// and hs.Deflate are the answer to what the client offered; if an OnConnect hook
// has put something there that was not offered, that is an error, as the client
// would have to fail the connection (section 4.1).
func appendUpgrade(dst, head []byte, hs *Handshake) ([]byte, error) {
	var key, extensions string
	offered := hs.Subprotocol == ""
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if !isHandshakeField(name) {
			continue
		}
		switch v := strings.Trim(string(value), " \t"); len(name) {
		case len("Sec-WebSocket-Key"):
			key = v
		case len("Sec-WebSocket-Protocol"):
			offered = offered || offers(v, hs.Subprotocol)
		case len("Sec-WebSocket-Extensions"):
			extensions += "," + v
		}
	}
	if !offered {
		return dst, fmt.Errorf("upgrade: subprotocol %q was not offered by the client", hs.Subprotocol)
	}
	dst = append(dst, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	dst = append(append(dst, acceptOf(key)...), "\r\n"...)
	if hs.Subprotocol != "" {
		dst = append(append(append(dst, "Sec-WebSocket-Protocol: "...), hs.Subprotocol...), "\r\n"...)
	}
	if hs.Deflate {
		answer, _ := answerExtensions([]string{extensions}) // the syntax has been checked
		if answer == "" {
			return dst, fmt.Errorf("upgrade: %s was not offered by the client", deflateName)
		}
		dst = append(append(append(dst, "Sec-WebSocket-Extensions: "...), answer...), "\r\n"...)
	}
	return append(dst, "\r\n"...), nil
}

// isHandshakeField reports whether a field is one that appendUpgrade looks at.
func isHandshakeField(name []byte) bool {
	switch len(name) {
	case len("Sec-WebSocket-Key"):
		return strings.EqualFold(string(name), "Sec-WebSocket-Key")
	case len("Sec-WebSocket-Protocol"):
		return strings.EqualFold(string(name), "Sec-WebSocket-Protocol")
	case len("Sec-WebSocket-Extensions"):
		return strings.EqualFold(string(name), "Sec-WebSocket-Extensions")
	}
	return false
}

// offers reports whether a Sec-WebSocket-Protocol field offers name.
func offers(field, name string) bool {
	for offer := range strings.SplitSeq(field, ",") {
		if strings.Trim(offer, " \t") == name {
			return true
		}
	}
	return false
}

// appendRefusal appends a complete response that refuses a handshake and ends
// the connection. Its body is the reason, or the status' own text without one. A
// status that would not refuse, below 300 or above 599, becomes 500 without a
// word of the reason.
//
// Fields of e.Header that describe the body or the connection give way to ours;
// in the others, a name that is not a token drops the field, and line breaks and
// control characters in a value become spaces.
func appendRefusal(dst []byte, e *StatusError) []byte {
	status, body := e.Status, e.Reason
	if status < 300 || status > 599 {
		status, body = http.StatusInternalServerError, ""
	}
	if body == "" {
		body = http.StatusText(status)
	}
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, http.StatusText(status)...)
	dst = append(dst, "\r\nDate: "...) // RFC 9110, section 6.6.1
	dst = time.Now().UTC().AppendFormat(dst, http.TimeFormat)
	dst = append(dst, "\r\nConnection: close"...)
	if len(e.Header["Upgrade"]) > 0 {
		dst = append(dst, ", Upgrade"...) // RFC 9110, section 7.8
	}
	dst = append(dst, "\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\nX-Content-Type-Options: nosniff\r\n"...)
	for _, name := range slices.Sorted(maps.Keys(e.Header)) {
		switch http.CanonicalHeaderKey(name) {
		case "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Date",
			"Trailer", "Transfer-Encoding", "X-Content-Type-Options":
			continue
		}
		if !isToken(name) {
			continue
		}
		for _, v := range e.Header[name] {
			dst = append(dst, name...)
			dst = append(dst, ": "...)
			for i := range len(v) {
				c := v[i]
				if c < ' ' || c == 0x7f {
					c = ' '
				}
				dst = append(dst, c)
			}
			dst = append(dst, "\r\n"...)
		}
	}
	dst = append(dst, "\r\n"...)
	return append(dst, body...)
}

package transport

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// acceptGUID is what the server hashes with the key (RFC 6455, section 1.3).
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// appendClientRequest appends the request that upgrades a connection to the
// server of u, a ws or wss URL, and returns the fresh key in it, for
// checkResponse. The protocols are offered in this order, and permessage-deflate
// if deflate is true. The header is sent along; fields that belong to the handshake itself, and names and values that
// would not come out as one field, are errors (RFC 6455, section 4.1).
func appendClientRequest(dst []byte, u *url.URL, protocols []string, deflate bool, header http.Header) (req []byte, key string, err error) {
	host, err := requestHost(u)
	if err != nil {
		return dst, "", err
	}
	target := u.RequestURI()
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c >= 0x7f || c == '#' {
			return dst, "", fmt.Errorf("character %q in the path or query must be percent-encoded", c)
		}
	}
	for i, p := range protocols {
		if !isToken(p) {
			return dst, "", fmt.Errorf("subprotocol %q is not a token", p)
		}
		if slices.Contains(protocols[:i], p) {
			return dst, "", fmt.Errorf("subprotocol %q is offered twice", p)
		}
	}
	names := slices.Sorted(maps.Keys(header))
	for _, name := range names {
		if err := checkClientField(name, header[name]); err != nil {
			return dst, "", err
		}
	}

	var nonce [16]byte
	rand.Read(nonce[:]) // never fails: it ends the program instead
	key = base64.StdEncoding.EncodeToString(nonce[:])

	dst = append(dst, "GET "...)
	dst = append(dst, target...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, host...)
	dst = append(dst, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: "...)
	dst = append(dst, key...)
	dst = append(dst, "\r\nSec-WebSocket-Version: 13\r\n"...)
	if len(protocols) > 0 {
		dst = append(dst, "Sec-WebSocket-Protocol: "...)
		dst = append(dst, strings.Join(protocols, ", ")...)
		dst = append(dst, "\r\n"...)
	}
	if deflate {
		dst = append(dst, "Sec-WebSocket-Extensions: "+deflateTerms+"\r\n"...)
	}
	for _, name := range names {
		for _, v := range header[name] {
			dst = append(dst, name...)
			dst = append(dst, ": "...)
			dst = append(dst, v...)
			dst = append(dst, "\r\n"...)
		}
	}
	return append(dst, "\r\n"...), key, nil
}

// requestHost returns the Host field for u (RFC 6455, sections 3 and 4.1), which
// leaves out the default port. The zone of an IPv6 address says which network
// card of this machine to use and is not for the server to know (RFC 6874,
// section 4).
func requestHost(u *url.URL) (string, error) {
	scheme := strings.ToLower(u.Scheme)
	switch {
	case scheme != "ws" && scheme != "wss":
		return "", fmt.Errorf("scheme %q is neither ws nor wss", u.Scheme)
	case u.Opaque != "":
		return "", errors.New("the URL has no host")
	case u.User != nil:
		return "", errors.New("the URL has credentials; send them in a header field")
	case u.Fragment != "":
		return "", errors.New("the URL has a fragment, which WebSocket URLs must not have")
	}
	host := u.Host
	if zone := strings.IndexByte(host, '%'); zone >= 0 && strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end > zone {
			host = host[:zone] + host[end:]
		}
	}
	name, port, ok := splitHost(host)
	if !ok {
		return "", fmt.Errorf("malformed host %q", u.Host)
	}
	if port == 0 || port == defaultPort(scheme) {
		return name, nil
	}
	return name + ":" + strconv.Itoa(port), nil
}

// checkClientField returns an error for a field that a caller may not send.
func checkClientField(name string, values []string) error {
	if !isToken(name) {
		return fmt.Errorf("header field name %q is not a token", name)
	}
	switch key := http.CanonicalHeaderKey(name); key {
	case "Host", "Connection", "Upgrade", "Content-Length", "Transfer-Encoding", "Trailer", "Expect":
		return fmt.Errorf("header field %s belongs to the handshake", name)
	default:
		if strings.HasPrefix(key, "Sec-Websocket-") {
			return fmt.Errorf("header field %s belongs to the handshake", name)
		}
	}
	for _, v := range values {
		if !isFieldValue(v) {
			// The value is not in the text: it may be a secret.
			return fmt.Errorf("header field %s has a control character in its value", name)
		}
	}
	return nil
}

// readResponseHead is readHead for a response. Its errors are no *StatusError,
// as that would read as a refusal by the server.
func readResponseHead(r io.Reader, buf []byte) (head, rest []byte, err error) {
	head, rest, err = readHead(r, buf)
	if refused, ok := errors.AsType[*StatusError](err); ok {
		err = fmt.Errorf("malformed response: %s", refused.Reason)
	}
	return head, rest, err
}

// checkResponse checks the head of the response to a request with this key and
// these offers, and returns the subprotocol that the server chose, if any, and
// whether it accepts permessage-deflate, if offered is true. A status other than 101 is a *StatusError with that status, its text and the
// header of the response. Every other fault is a plain error after which the
// connection must be closed (RFC 6455, section 4.1): no fields of the upgrade or
// wrong ones, an extension or a subprotocol that was not offered, or terms of
// permessage-deflate that are not ours.
func checkResponse(head []byte, key string, protocols []string, offered bool) (subprotocol string, deflate bool, err error) {
	line, fields, _ := strings.Cut(string(head), "\r\n")
	version, status, phrase, err := parseStatusLine(line)
	if err != nil {
		return "", false, err
	}
	h, refused := parseFields(fields)
	if refused != nil {
		return "", false, fmt.Errorf("malformed response: %s", refused.Reason)
	}
	if status != http.StatusSwitchingProtocols {
		// The phrase means nothing to a client (RFC 9112, section 4), but is
		// better than no text for a status without one.
		reason := http.StatusText(status)
		if reason == "" {
			reason = phrase
		}
		return "", false, &StatusError{Status: status, Reason: reason, Header: h}
	}

	if version != "HTTP/1.1" {
		return "", false, fmt.Errorf("upgraded in %s instead of HTTP/1.1", version)
	}
	if err := checkNoBody(h); err != nil {
		return "", false, fmt.Errorf("malformed response: %w", err)
	}
	if up := h["Upgrade"]; len(up) != 1 || !strings.EqualFold(up[0], "websocket") {
		return "", false, fmt.Errorf("response has Upgrade %q instead of websocket", up)
	}
	if found, ok := hasToken(h["Connection"], "upgrade"); !ok || !found {
		return "", false, fmt.Errorf("response has Connection %q instead of Upgrade", h["Connection"])
	}
	if accept := h["Sec-Websocket-Accept"]; len(accept) != 1 || accept[0] != acceptOf(key) {
		return "", false, errors.New("response has no Sec-WebSocket-Accept for the key of the request")
	}
	if deflate, err = checkExtensions(h["Sec-Websocket-Extensions"], offered); err != nil {
		return "", false, err
	}
	chosen, ok := h["Sec-Websocket-Protocol"]
	if !ok {
		return "", deflate, nil
	}
	for _, p := range protocols {
		if len(chosen) == 1 && chosen[0] == p {
			return p, deflate, nil // not chosen[0], which would keep the head alive
		}
	}
	return "", false, fmt.Errorf("response has subprotocol %q, but offered were %q", chosen, protocols)
}

// parseStatusLine parses the first line of a response (RFC 9112, section 4). The
// space before an empty phrase may be missing, as some servers leave it out.
func parseStatusLine(line string) (version string, status int, phrase string, err error) {
	version, rest, ok := strings.Cut(line, " ")
	code, phrase, _ := strings.Cut(rest, " ")
	if !ok || version != "HTTP/1.1" && version != "HTTP/1.0" ||
		len(code) != 3 || code[0] < '1' || code[0] > '9' || !isDigit(code[1]) || !isDigit(code[2]) ||
		!isFieldValue(phrase) {
		return "", 0, "", errors.New("malformed response: no status line of HTTP/1.1")
	}
	status, err = strconv.Atoi(code)
	return version, status, phrase, err
}

// acceptOf returns what the server must answer to the key (RFC 6455, section
// 4.2.2).
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + acceptGUID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

package transport

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// What is said of permessage-deflate in a handshake. The terms are the same
// from both sides: neither keeps anything from one message to the next.
const (
	deflateName  = "permessage-deflate"
	deflateTerms = deflateName + "; server_no_context_takeover; client_no_context_takeover"
)

// extension is an element of a Sec-WebSocket-Extensions field (RFC 6455,
// section 9.1).
type extension struct {
	name   string
	params []extensionParam
}

type extensionParam struct {
	name, value string
	valued      bool // there is a value; it cannot be empty
}

var errExtensionSyntax = errors.New("malformed Sec-WebSocket-Extensions field")

// parseExtensions parses the fields as one list. That section takes its grammar
// from RFC 2616: spaces and tabs may be anywhere between tokens, elements of the
// list may be empty, but not all of them, and a value in quotes must be a token
// once it is unquoted.
func parseExtensions(fields []string) (exts []extension, err error) {
	for _, field := range fields {
		for s := extensionScanner(field); s.more(); {
			if s.take(',') {
				continue
			}
			e, ok := s.extension()
			if !ok || s.more() && !s.take(',') {
				return nil, errExtensionSyntax
			}
			if len(exts) == maxOffers {
				return nil, fmt.Errorf("more than %d extensions", maxOffers)
			}
			exts = append(exts, e)
		}
	}
	if len(exts) == 0 {
		return nil, errExtensionSyntax
	}
	return exts, nil
}

// extensionScanner is what is still to be parsed of a field.
type extensionScanner string

// more skips spaces and reports whether there is more.
func (s *extensionScanner) more() bool {
	*s = extensionScanner(strings.TrimLeft(string(*s), " \t"))
	return *s != ""
}

// take skips spaces, and c if it comes next.
func (s *extensionScanner) take(c byte) bool {
	if !s.more() || (*s)[0] != c {
		return false
	}
	*s = (*s)[1:]
	return true
}

func (s *extensionScanner) token() (token string, ok bool) {
	s.more()
	n := 0
	for n < len(*s) && isTokenByte((*s)[n]) {
		n++
	}
	token, *s = string((*s)[:n]), (*s)[n:]
	return token, n > 0
}

func (s *extensionScanner) extension() (e extension, ok bool) {
	if e.name, ok = s.token(); !ok {
		return e, false
	}
	for s.take(';') {
		var p extensionParam
		if p.name, ok = s.token(); !ok {
			return e, false
		}
		if s.take('=') {
			p.valued = true
			if p.value, ok = s.value(); !ok {
				return e, false
			}
		}
		e.params = append(e.params, p)
	}
	return e, true
}

// value returns a token, or the token in a quoted string.
func (s *extensionScanner) value() (value string, ok bool) {
	if !s.take('"') {
		return s.token()
	}
	var b []byte
	for i := 0; i < len(*s); i++ {
		switch c := (*s)[i]; c {
		case '"':
			*s = (*s)[i+1:]
			return string(b), isToken(string(b))
		case '\\':
			if i++; i < len(*s) {
				b = append(b, (*s)[i])
			}
		default:
			b = append(b, c)
		}
	}
	return "", false
}

// deflateParams are the parameters of permessage-deflate (RFC 7692, section
// 7.1).
type deflateParams struct {
	serverNoTakeover, clientNoTakeover bool
	serverBits, clientBits             int // of the window; 0 if not named
}

// maxWindowBits is the largest window, which is also the usual one.
const maxWindowBits = 15

// deflateParams checks the parameters. An offer may name client_max_window_bits
// without a value, which says no more than that the parameter is known; a
// response must not (RFC 7692, section 7.1.2.2).
func (e *extension) deflateParams(offer bool) (d deflateParams, err error) {
	for _, p := range e.params {
		var twice bool
		valid := !p.valued // as of the parameters that take no value
		switch p.name {
		case "server_no_context_takeover":
			twice, d.serverNoTakeover = d.serverNoTakeover, true
		case "client_no_context_takeover":
			twice, d.clientNoTakeover = d.clientNoTakeover, true
		case "server_max_window_bits":
			twice = d.serverBits != 0
			d.serverBits, valid = windowBits(p.value)
		case "client_max_window_bits":
			twice = d.clientBits != 0
			if !p.valued && offer {
				d.clientBits = maxWindowBits
			} else {
				d.clientBits, valid = windowBits(p.value)
			}
		default:
			return d, fmt.Errorf("unknown parameter %q", p.name)
		}
		switch {
		case twice:
			return d, fmt.Errorf("parameter %s is there twice", p.name)
		case !valid:
			return d, fmt.Errorf("parameter %s has a bad value", p.name)
		}
	}
	return d, nil
}

// windowBits parses a number from 8 to 15 without leading zeros (RFC 7692,
// section 7.1.2).
func windowBits(s string) (bits int, ok bool) {
	for bits = 8; bits <= maxWindowBits; bits++ {
		if s == strconv.Itoa(bits) {
			return bits, true
		}
	}
	return 0, false
}

// answerExtensions returns the answer to what a client offers: to the first
// offer of permessage-deflate that can be met (RFC 7692, section 5.1), or "".
// An offer whose parameters are wrong is declined like one that cannot be met:
// the server would have to compress with a window smaller than 32 KiB. The
// window of the client may be of any size.
func answerExtensions(fields []string) (answer string, refused *StatusError) {
	if len(fields) == 0 {
		return "", nil
	}
	exts, err := parseExtensions(fields)
	if err != nil {
		return "", badRequest(err.Error())
	}
	for i := range exts {
		if exts[i].name != deflateName {
			continue
		}
		d, err := exts[i].deflateParams(true)
		switch {
		case err != nil:
		case d.serverBits == 0:
			return deflateTerms, nil
		case d.serverBits == maxWindowBits:
			return deflateTerms + "; server_max_window_bits=15", nil
		}
	}
	return "", nil
}

// checkExtensions checks the extensions of a response, and reports whether
// deflateTerms, if they were offered, have been accepted. A server may choose
// the size of its own window, and whether the client is to keep one.
func checkExtensions(fields []string, offered bool) (deflate bool, err error) {
	switch {
	case len(fields) == 0:
		return false, nil
	case !offered:
		return false, fmt.Errorf("response has extension %q, but none was offered", fields)
	case len(fields) > 1: // RFC 6455, section 11.3.2
		return false, errors.New("response has more than one Sec-WebSocket-Extensions field")
	}
	exts, err := parseExtensions(fields)
	if err != nil {
		return false, fmt.Errorf("malformed response: %w", err)
	}
	if len(exts) > 1 || exts[0].name != deflateName {
		return false, fmt.Errorf("response has extensions %q, but offered was %s", fields, deflateName)
	}
	d, err := exts[0].deflateParams(false)
	switch {
	case err != nil:
		return false, fmt.Errorf("response has %s: %w", deflateName, err)
	case d.clientBits != 0:
		return false, fmt.Errorf("response has %s: parameter client_max_window_bits was not offered", deflateName)
	case !d.serverNoTakeover:
		return false, fmt.Errorf("response has %s, but not with server_no_context_takeover", deflateName)
	}
	return true, nil
}

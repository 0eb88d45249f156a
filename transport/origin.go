package transport

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// originAllowed says whether a page of this origin may connect to this host, as
// the request names them. No origin means that the client is no browser, which
// is allowed (RFC 6455, section 10.2).
//
// A page of the host itself has the same name and port; the scheme does not
// count, as the server may not know whether a proxy before it speaks TLS. A port
// that is not given is the default of the origin's scheme, on both sides.
func (o *Options) originAllowed(origin, host string) bool {
	if origin == "" {
		return true
	}
	page, ok := parseOrigin(origin)
	if ok && (page.scheme == "http" || page.scheme == "https") {
		name, port, ok := splitHost(host)
		if port == 0 {
			port = defaultPort(page.scheme)
		}
		if ok && name == page.host && port == page.port {
			return true
		}
	}
	for _, entry := range o.AllowedOrigins {
		switch {
		case entry == "*", entry == "null" && origin == "null":
			return true
		case !ok:
			continue
		}
		if allowed, subdomains, err := parseAllowed(entry); err == nil && allowed.matches(page, subdomains) {
			return true
		}
	}
	return false
}

// checkOrigins returns an error that names the first entry that no origin could
// ever match, because it is not written as AllowedOrigins demands.
func checkOrigins(allowed []string) error {
	for _, entry := range allowed {
		if entry == "*" || entry == "null" {
			continue
		}
		if _, _, err := parseAllowed(entry); err != nil {
			return fmt.Errorf("allowed origin %q: %w", entry, err)
		}
	}
	return nil
}

// webOrigin is an origin in normal form (RFC 6454, section 4): lower case, IPv6
// in its canonical text, the port always given if the scheme has a default.
type webOrigin struct {
	scheme, host string
	port         int
}

// matches says whether page has this origin, or with subdomains, one whose host
// ends in it after at least one more label.
func (w webOrigin) matches(page webOrigin, subdomains bool) bool {
	if w.scheme != page.scheme || w.port != page.port {
		return false
	}
	if !subdomains {
		return w.host == page.host
	}
	prefix, ok := strings.CutSuffix(page.host, w.host)
	return ok && len(prefix) > 1 && prefix[len(prefix)-1] == '.'
}

// parseOrigin parses what browsers send in Origin: one origin, without a path
// (RFC 6454, section 6.2). "null" and the lists that section 7.1 allows, which
// no browser sends, are not ok.
func parseOrigin(s string) (webOrigin, bool) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || !isScheme(scheme) {
		return webOrigin{}, false
	}
	host, port, ok := splitHost(rest)
	if !ok {
		return webOrigin{}, false
	}
	scheme = strings.ToLower(scheme)
	if port == 0 {
		port = defaultPort(scheme)
	}
	return webOrigin{scheme, host, port}, true
}

// parseAllowed parses an entry of AllowedOrigins other than "*" and "null".
func parseAllowed(entry string) (w webOrigin, subdomains bool, err error) {
	scheme, host, ok := strings.Cut(entry, "://")
	if !ok {
		return w, false, fmt.Errorf(`need "scheme://host[:port]", "null" or "*"`)
	}
	if strings.ContainsAny(host, "/?#") {
		return w, false, fmt.Errorf("an origin ends with the host or port, without a slash or path")
	}
	host, subdomains = strings.CutPrefix(host, "*.")
	if subdomains && strings.HasPrefix(host, "[") {
		return w, false, fmt.Errorf("an address has no subdomains")
	}
	if strings.Contains(host, "*") {
		return w, false, fmt.Errorf(`a "*" may only stand for subdomains, as in "https://*.example.com"`)
	}
	if w, ok = parseOrigin(scheme + "://" + host); !ok {
		return w, false, fmt.Errorf("malformed scheme, host or port")
	}
	return w, subdomains, nil
}

// splitHost takes apart "host[:port]", as it is in Host (RFC 9110, section 7.2)
// and in URIs, and brings the host into the form in which hosts are compared. A
// port that is not given, or empty, is 0.
//
// Of the characters that RFC 3986, section 3.2.2, has for names, only the
// unreserved ones are ok: no name that can be resolved needs the others, and a
// comma in Host tells that somebody has joined two of them. IPv6 addresses have
// no zone, since a zone means something on one machine only (RFC 6874, section
// 4).
func splitHost(s string) (host string, port int, ok bool) {
	var digits string
	if strings.HasPrefix(s, "[") {
		text, rest, closed := strings.Cut(s[1:], "]")
		addr, err := netip.ParseAddr(text)
		if !closed || err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", 0, false
		}
		if rest != "" && rest[0] != ':' {
			return "", 0, false
		}
		host, digits = "["+addr.String()+"]", strings.TrimPrefix(rest, ":")
	} else {
		host, digits, _ = strings.Cut(s, ":")
		for i := range len(host) {
			if c := host[i]; !isAlphanumeric(c) && strings.IndexByte("-._~", c) < 0 {
				return "", 0, false
			}
		}
		host = strings.ToLower(host)
	}
	if host == "" {
		return "", 0, false
	}
	if digits != "" {
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || n == 0 {
			return "", 0, false
		}
		port = int(n)
	}
	return host, port, true
}

// isScheme says whether s is a scheme (RFC 3986, section 3.1).
func isScheme(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || !isAlphanumeric(c) && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return s != ""
}

// defaultPort returns the port of a scheme, 0 for one that has none.
func defaultPort(scheme string) int {
	switch scheme {
	case "http", "ws":
		return 80
	case "https", "wss":
		return 443
	}
	return 0
}

package transport_test

import (
	"strings"
	"testing"

	"github.com/wireroom/wireroom/transport"
)

// Verify that pages of the host itself may connect, whatever the spelling, and
// those of any other host may not.
func TestOriginOfHost(t *testing.T) {
	tests := []struct {
		origin, host string
		want         bool
	}{
		{"", "example.com", true},
		{"http://example.com", "example.com", true},
		{"https://example.com", "example.com", true},
		{"HTTP://Example.COM", "example.com", true},
		{"http://example.com", "EXAMPLE.com", true},
		{"http://example.com:80", "example.com", true},
		{"http://example.com", "example.com:80", true},
		{"http://example.com", "example.com:", true},
		{"https://example.com:443", "example.com", true},
		{"https://example.com", "example.com:443", true},
		{"http://example.com:8080", "example.com:8080", true},
		{"http://localhost:8080", "localhost:08080", true},
		{"http://127.0.0.1:8080", "127.0.0.1:8080", true},
		{"http://[::1]:8080", "[::1]:8080", true},
		{"http://[::1]", "[0:0:0:0:0:0:0:1]:80", true},
		{"http://[2001:DB8::A]", "[2001:db8:0::a]", true},
		{"http://my_host", "my_host", true},

		{"http://example.com", "example.org", false},
		{"http://example.com.evil.org", "example.com", false},
		{"http://evil-example.com", "example.com", false},
		{"http://www.example.com", "example.com", false},
		{"http://example.com", "www.example.com", false},
		{"http://example.com.", "example.com", false},
		{"http://example.com:8080", "example.com", false},
		{"http://example.com", "example.com:8080", false},
		{"http://example.com:443", "example.com", false},
		{"https://example.com", "example.com:80", false},
		{"https://example.com:80", "example.com", false},
		{"http://[::1]", "[::2]", false},
		{"http://[::ffff:127.0.0.1]", "127.0.0.1", false},

		{"null", "null", false},
		{"example.com", "example.com", false},
		{"//example.com", "example.com", false},
		{"://example.com", "example.com", false},
		{"http:/example.com", "example.com", false},
		{"http://example.com/", "example.com", false},
		{"http://example.com/x", "example.com", false},
		{"http://user@example.com", "example.com", false},
		{"http://example.com http://example.com", "example.com", false},
		{"http://example.com,http://example.com", "example.com", false},
		{"http://example.com:http", "example.com", false},
		{"http://example.com:0", "example.com", false},
		{"http://example.com:65616", "example.com", false},
		{"http://example.com:+80", "example.com", false},
		{"http://[::1", "[::1]", false},
		{"http://[::1]x", "[::1]", false},
		{"http://[::1]80", "[::1]:80", false},
		{"http://[127.0.0.1]", "127.0.0.1", false},
		{"http://[::1%25lo]", "[::1]", false},
		{"http://", "example.com", false},
		{"http://:80", "example.com", false},
		{"chrome-extension://example.com", "example.com", false},
		{"file://", "example.com", false},
		{"http://example.com", "", false},
	}
	for _, tt := range tests {
		if got := transport.OriginAllowed(&transport.Options{}, tt.origin, tt.host); got != tt.want {
			t.Errorf("origin %q at host %q: allowed %v, want %v", tt.origin, tt.host, got, tt.want)
		}
	}
}

// Verify that AllowedOrigins adds what its entries say and no more.
func TestAllowedOrigins(t *testing.T) {
	tests := []struct {
		allowed, origin string
		want            bool
	}{
		{"https://example.com", "https://example.com", true},
		{"https://example.com", "https://EXAMPLE.com:443", true},
		{"HTTPS://Example.com:443", "https://example.com", true},
		{"https://example.com", "http://example.com", false},
		{"https://example.com", "https://example.com:8443", false},
		{"https://example.com:8443", "https://example.com:8443", true},
		{"https://example.com:8443", "https://example.com", false},
		{"https://example.com:8443", "http://example.com:8443", false},
		{"https://example.com", "https://www.example.com", false},
		{"https://example.com", "https://notexample.com", false},
		{"https://[::1]", "https://[0::1]", true},

		{"https://*.example.com", "https://www.example.com", true},
		{"https://*.example.com", "https://a.b.Example.com", true},
		{"https://*.example.com", "https://example.com", false},
		{"https://*.example.com", "https://.example.com", false},
		{"https://*.example.com", "https://notexample.com", false},
		{"https://*.example.com", "http://www.example.com", false},
		{"https://*.example.com", "https://www.example.com:444", false},
		{"https://*.example.com:444", "https://www.example.com:444", true},
		{"https://*.example.com", "https://www.example.com.evil.org", false},

		{"null", "null", true},
		{"null", "NULL", false},
		{"null", "http://null", false},
		{"*", "null", true},
		{"*", "https://anything.example", true},
		{"*", "no origin at all", true},
		{"https://*.example.com", "null", false},

		{"chrome-extension://abcdef", "chrome-extension://abcdef", true},
		{"chrome-extension://abcdef", "chrome-extension://abcdeg", false},
		{"app://localhost", "app://localhost:80", false},

		// An entry that NewServer would refuse allows nothing.
		{"https://example.com/", "https://example.com/", false},
		{"example.com", "https://example.com", false},
		{"https://*", "https://example.com", false},
	}
	for _, tt := range tests {
		o := &transport.Options{AllowedOrigins: []string{"https://first.example", tt.allowed}}
		if got := transport.OriginAllowed(o, tt.origin, "host.example"); got != tt.want {
			t.Errorf("origin %q with %q: allowed %v, want %v", tt.origin, tt.allowed, got, tt.want)
		}
	}
}

// Verify that entries that could never match are errors that quote the entry.
func TestCheckOrigins(t *testing.T) {
	good := []string{"*", "null", "https://example.com", "http://localhost:8080", "https://*.example.com", "http://[::1]:80", "app://x"}
	if err := transport.CheckOrigins(good); err != nil {
		t.Error(err)
	}
	if err := transport.CheckOrigins(nil); err != nil {
		t.Error(err)
	}
	bad := []string{
		"", "NULL", "example.com", "*.example.com", "//example.com", "https://", "https://*", "https://*.",
		"https://a.*.example.com", "https://*example.com", "https://*.*.com", "*://example.com",
		"https://example.com/", "https://example.com/x", "https://example.com?x", "https://example.com#x",
		"https://user@example.com", "https://example.com:0", "https://example.com:99999", "https://example.com:*",
		"https://*.[::1]", "https://[::1", "https://[1.2.3.4]", "https://ex ample.com", "https://exämple.com",
		"1https://example.com", "https://a.example https://b.example", " https://example.com",
	}
	for _, entry := range bad {
		err := transport.CheckOrigins([]string{"https://example.com", entry})
		if err == nil || !strings.Contains(err.Error(), `"`+entry+`"`) {
			t.Errorf("entry %q: error %v", entry, err)
		}
	}
}

// FuzzOrigin verifies that an origin is allowed by the entry that spells it, if
// that is an entry at all, and that no input makes a panic.
func FuzzOrigin(f *testing.F) {
	for _, s := range []string{"https://example.com", "http://[::1]:80", "null", "https://*.example.com", "x://a:1"} {
		f.Add(s, "example.com")
	}
	f.Fuzz(func(t *testing.T, origin, host string) {
		o := &transport.Options{AllowedOrigins: []string{origin}}
		allowed := transport.OriginAllowed(o, origin, "\x00")
		wildcard := strings.Contains(origin, "*") && origin != "*"
		if valid := transport.CheckOrigins(o.AllowedOrigins) == nil; valid && !allowed && !wildcard {
			t.Errorf("entry %q does not allow itself", origin)
		}
		transport.OriginAllowed(o, origin, host)
		if host != "" && transport.OriginAllowed(&transport.Options{}, "http://"+host, host) !=
			transport.OriginAllowed(&transport.Options{}, "https://"+host, host) {
			t.Errorf("host %q: the scheme decides", host)
		}
	})
}

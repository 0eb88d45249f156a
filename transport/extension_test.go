package transport_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/transport"
)

const (
	ext   = "Sec-WebSocket-Extensions: "
	terms = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
)

// upgradedWith returns the response that accepts request() with an extension.
func upgradedWith(answer string) string {
	resp := upgraded("")
	if answer == "" {
		return resp
	}
	return strings.TrimSuffix(resp, "\r\n") + ext + answer + "\r\n\r\n"
}

// Verify what a server answers to the extensions that a client offers.
func TestExtensionOffers(t *testing.T) {
	const window15 = terms + "; server_max_window_bits=15"
	many := strings.TrimSuffix(strings.Repeat("x,", transport.MaxOffers), ",")
	tests := []struct {
		name   string
		fields []string
		want   string // the answer; "" for none
		refuse bool   // with 400
	}{
		{name: "none"},
		{name: "bare", fields: []string{"permessage-deflate"}, want: terms},
		{name: "as browsers send it", fields: []string{"permessage-deflate; client_max_window_bits"}, want: terms},
		{name: "as we send it", fields: []string{terms}, want: terms},
		{name: "server_no_context_takeover", fields: []string{"permessage-deflate; server_no_context_takeover"}, want: terms},
		{name: "client_no_context_takeover", fields: []string{"permessage-deflate; client_no_context_takeover"}, want: terms},
		{name: "client_max_window_bits=8", fields: []string{"permessage-deflate; client_max_window_bits=8"}, want: terms},
		{name: "client_max_window_bits=15", fields: []string{"permessage-deflate; client_max_window_bits=15"}, want: terms},
		{name: "server_max_window_bits=15", fields: []string{"permessage-deflate; server_max_window_bits=15"}, want: window15},
		{name: "all parameters", fields: []string{"permessage-deflate;server_max_window_bits=15;client_max_window_bits=9;client_no_context_takeover;server_no_context_takeover"}, want: window15},
		{name: "quoted value", fields: []string{`permessage-deflate; server_max_window_bits="15"`}, want: window15},
		{name: "quoted value with escapes", fields: []string{`permessage-deflate; server_max_window_bits="\1\5"`}, want: window15},
		{name: "spaces and tabs everywhere", fields: []string{"\t permessage-deflate \t;\tserver_max_window_bits = \"15\" \t, x "}, want: window15},
		{name: "empty elements", fields: []string{", ,permessage-deflate,,"}, want: terms},
		{name: "empty field beside another", fields: []string{"", "permessage-deflate"}, want: terms},

		{name: "unknown extension", fields: []string{"x-webkit-deflate-frame"}},
		{name: "unknown extension before", fields: []string{`foo; a=1; b="c"; a, permessage-deflate`}, want: terms},
		{name: "unknown extension after", fields: []string{"permessage-deflate, foo"}, want: terms},
		{name: "unknown extension in another field", fields: []string{"foo", "permessage-deflate", "bar"}, want: terms},
		{name: "another case", fields: []string{"Permessage-Deflate"}},

		{name: "server_max_window_bits=14", fields: []string{"permessage-deflate; server_max_window_bits=14"}},
		{name: "server_max_window_bits=8", fields: []string{"permessage-deflate; server_max_window_bits=8"}},
		{name: "second offer", fields: []string{"permessage-deflate; server_max_window_bits=10, permessage-deflate; client_max_window_bits"}, want: terms},
		{name: "second offer in another field", fields: []string{"permessage-deflate; server_max_window_bits=10", "permessage-deflate"}, want: terms},
		{name: "the first that can be met", fields: []string{"permessage-deflate; server_max_window_bits=9, permessage-deflate; server_max_window_bits=15, permessage-deflate"}, want: window15},
		{name: "unknown parameter", fields: []string{"permessage-deflate; foo"}},
		{name: "unknown parameter, then a good offer", fields: []string{"permessage-deflate; foo=1, permessage-deflate"}, want: terms},
		{name: "parameter in another case", fields: []string{"permessage-deflate; Client_Max_Window_Bits"}},
		{name: "server_no_context_takeover twice", fields: []string{"permessage-deflate; server_no_context_takeover; server_no_context_takeover"}},
		{name: "client_no_context_takeover twice", fields: []string{"permessage-deflate; client_no_context_takeover; client_no_context_takeover"}},
		{name: "server_max_window_bits twice", fields: []string{"permessage-deflate; server_max_window_bits=15; server_max_window_bits=15"}},
		{name: "client_max_window_bits twice", fields: []string{"permessage-deflate; client_max_window_bits; client_max_window_bits=15"}},
		{name: "server_no_context_takeover with a value", fields: []string{"permessage-deflate; server_no_context_takeover=1"}},
		{name: "client_no_context_takeover with a value", fields: []string{"permessage-deflate; client_no_context_takeover=true"}},
		{name: "server_max_window_bits without a value", fields: []string{"permessage-deflate; server_max_window_bits"}},
		{name: "server_max_window_bits=16", fields: []string{"permessage-deflate; server_max_window_bits=16"}},
		{name: "server_max_window_bits=7", fields: []string{"permessage-deflate; server_max_window_bits=7"}},
		{name: "server_max_window_bits=015", fields: []string{"permessage-deflate; server_max_window_bits=015"}},
		{name: "server_max_window_bits=+15", fields: []string{"permessage-deflate; server_max_window_bits=+15"}},
		{name: "client_max_window_bits=7", fields: []string{"permessage-deflate; client_max_window_bits=7"}},
		{name: "client_max_window_bits=16", fields: []string{"permessage-deflate; client_max_window_bits=16"}},
		{name: "client_max_window_bits=08", fields: []string{"permessage-deflate; client_max_window_bits=08"}},
		{name: "client_max_window_bits=x", fields: []string{"permessage-deflate; client_max_window_bits=x"}},

		{name: "empty field", fields: []string{""}, refuse: true},
		{name: "only commas", fields: []string{",, ,"}, refuse: true},
		{name: "no name", fields: []string{"; client_max_window_bits"}, refuse: true},
		{name: "no parameter", fields: []string{"permessage-deflate;"}, refuse: true},
		{name: "no parameter between", fields: []string{"permessage-deflate;;client_max_window_bits"}, refuse: true},
		{name: "no value", fields: []string{"permessage-deflate; server_max_window_bits="}, refuse: true},
		{name: "no name of a parameter", fields: []string{"permessage-deflate; =15"}, refuse: true},
		{name: "value of the extension", fields: []string{"permessage-deflate=1"}, refuse: true},
		{name: "two words", fields: []string{"permessage-deflate client_max_window_bits"}, refuse: true},
		{name: "two words in a parameter", fields: []string{"permessage-deflate; a b"}, refuse: true},
		{name: "quote that does not end", fields: []string{`permessage-deflate; a="b`}, refuse: true},
		{name: "escape at the end", fields: []string{`permessage-deflate; a="b\`}, refuse: true},
		{name: "empty quotes", fields: []string{`permessage-deflate; a=""`}, refuse: true},
		{name: "no token in quotes", fields: []string{`permessage-deflate; a="b c"`}, refuse: true},
		{name: "comma in quotes", fields: []string{`permessage-deflate; a="b,c"`}, refuse: true},
		{name: "quote over two fields", fields: []string{`permessage-deflate; a="b`, `c"`}, refuse: true},
		{name: "quoted name", fields: []string{`"permessage-deflate"`}, refuse: true},
		{name: "quoted name of a parameter", fields: []string{`permessage-deflate; "a"`}, refuse: true},
		{name: "text behind the quotes", fields: []string{`permessage-deflate; a="b"c`}, refuse: true},
		{name: "not ASCII", fields: []string{"permessage-deflate; ä"}, refuse: true},
		{name: "good offer, then bad syntax", fields: []string{"permessage-deflate", "=,"}, refuse: true},
		{name: "as many as there may be", fields: []string{many}},
		{name: "more", fields: []string{many, "permessage-deflate"}, refuse: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var lines []string
			for _, f := range tt.fields {
				lines = append(lines, ext+f)
			}
			head := []byte(request(lines...))
			hs, refused := transport.CheckRequest(&transport.Options{Deflate: true}, head)
			if tt.refuse {
				if refused == nil || refused.Status != http.StatusBadRequest {
					t.Errorf("got %v, want a refusal with 400", refused)
				}
				return
			}
			if refused != nil {
				t.Fatal(refused)
			}
			if hs.Deflate != (tt.want != "") {
				t.Errorf("Deflate is %v", hs.Deflate)
			}
			hs.Header = nil // a hook may have no use for it
			resp, err := transport.AppendUpgrade(nil, head, hs)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(upgradedWith(tt.want), string(resp)); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
		})
	}
}

// Verify that an OnConnect hook can decline deflate, but not agree to what was
// not offered.
func TestDeflateByHook(t *testing.T) {
	opts := &transport.Options{Deflate: true}
	for name, tt := range map[string]struct {
		head string
		set  bool
		ok   bool
	}{
		"declined":    {request(ext + "permessage-deflate"), false, true},
		"not offered": {request(), true, false},
		"not so":      {request(ext + "permessage-deflate; server_max_window_bits=8"), true, false},
	} {
		t.Run(name, func(t *testing.T) {
			hs, refused := transport.CheckRequest(opts, []byte(tt.head))
			if refused != nil {
				t.Fatal(refused)
			}
			hs.Deflate = tt.set
			resp, err := transport.AppendUpgrade(nil, []byte(tt.head), hs)
			if (err == nil) != tt.ok || tt.ok && string(resp) != upgraded("") {
				t.Errorf("response %q, error %v", resp, err)
			}
		})
	}
}

// Verify what a client makes of the answer to its offer.
func TestExtensionAnswers(t *testing.T) {
	tests := []struct {
		name   string
		fields []string
		want   bool
		fault  string // part of the error
	}{
		{name: "declined"},
		{name: "our terms", fields: []string{terms}, want: true},
		{name: "window of the client kept", fields: []string{"permessage-deflate; server_no_context_takeover"}, want: true},
		{name: "window of the server", fields: []string{terms + "; server_max_window_bits=8"}, want: true},
		{name: "quoted", fields: []string{terms + `; server_max_window_bits="15"`}, want: true},
		{name: "empty elements", fields: []string{"," + terms + " ,"}, want: true},

		{name: "window of the server kept", fields: []string{"permessage-deflate"}, fault: "server_no_context_takeover"},
		{name: "only the client's", fields: []string{"permessage-deflate; client_no_context_takeover"}, fault: "server_no_context_takeover"},
		{name: "client_max_window_bits", fields: []string{terms + "; client_max_window_bits=15"}, fault: "not offered"},
		{name: "client_max_window_bits without a value", fields: []string{terms + "; client_max_window_bits"}, fault: "client_max_window_bits"},
		{name: "server_max_window_bits without a value", fields: []string{terms + "; server_max_window_bits"}, fault: "bad value"},
		{name: "server_max_window_bits=7", fields: []string{terms + "; server_max_window_bits=7"}, fault: "bad value"},
		{name: "server_max_window_bits twice", fields: []string{terms + "; server_max_window_bits=9; server_max_window_bits=9"}, fault: "twice"},
		{name: "takeover with a value", fields: []string{"permessage-deflate; server_no_context_takeover=1"}, fault: "bad value"},
		{name: "takeover twice", fields: []string{terms + "; server_no_context_takeover"}, fault: "twice"},
		{name: "unknown parameter", fields: []string{terms + "; foo"}, fault: "foo"},
		{name: "another extension", fields: []string{"foo"}, fault: "foo"},
		{name: "another extension, too", fields: []string{terms + ", foo"}, fault: "foo"},
		{name: "twice", fields: []string{terms + ", " + terms}, fault: "offered was"},
		{name: "two fields", fields: []string{terms, terms}, fault: "more than one"},
		{name: "another case", fields: []string{strings.ToUpper(terms)}, fault: "offered was"},
		{name: "empty", fields: []string{""}, fault: "malformed"},
		{name: "malformed", fields: []string{terms + ";"}, fault: "malformed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var lines []string
			for _, f := range tt.fields {
				lines = append(lines, ext+f)
			}
			rec := newRecorder()
			c, p, err := dialAnswer(t, &transport.Options{Deflate: true}, rec, lines...)
			defer p.nc.Close()
			if tt.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fault) {
					t.Errorf("error %v, want one about %q", err, tt.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.Deflate() != tt.want {
				t.Errorf("Deflate is %v", c.Deflate())
			}
			c.Cut()
			rec.end(t)
		})
	}
}

// Verify that a client offers deflate if it is told to, in a form that every
// server takes.
func TestDeflateOffer(t *testing.T) {
	for _, deflate := range []bool{false, true} {
		req, _, err := transport.AppendClientRequest(nil, mustURL(t, "ws://a/"), nil, deflate, nil)
		if err != nil {
			t.Fatal(err)
		}
		if offered := strings.Contains(string(req), "\r\n"+ext+terms+"\r\n"); offered != deflate {
			t.Errorf("deflate %v, request %q", deflate, req)
		}
		if _, err := transport.CheckExtensions([]string{terms}, deflate); (err == nil) != deflate {
			t.Errorf("deflate %v, answer: %v", deflate, err)
		}
	}
}

// Verify what client and server agree on, and that all messages arrive, in both
// directions.
func TestDeflateBetweenOurs(t *testing.T) {
	for _, tt := range []struct{ server, client bool }{{true, true}, {true, false}, {false, true}, {false, false}} {
		t.Run(fmt.Sprintf("server %v, client %v", tt.server, tt.client), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := newRecorder()
				s := newServer(t, newEcho(), &transport.Options{Deflate: tt.server})
				d := &transport.Dialer{Options: &transport.Options{Deflate: tt.client}}
				c, err := d.Pipe(t.Context(), s, "/", rec)
				if err != nil {
					t.Fatal(err)
				}
				both := tt.server && tt.client
				if c.Deflate() != both {
					t.Errorf("Deflate is %v", c.Deflate())
				}
				want := []message{text("short"), text(chat(1000, 9)), binaryMsg(noise(1000)), binaryMsg(chat(60_000, 10)), text("")}
				for i, m := range want {
					if i%2 == 0 {
						err = c.Send(m.Op, []byte(m.Data))
					} else if f, _ := transport.NewFrame(m.Op, []byte(m.Data)); f != nil {
						err = c.SendFrames([]*transport.Frame{f})
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if diff := cmp.Diff(want, rec.wait(t, len(want))); diff != "" {
					t.Errorf("(-want +got):\n%.500s", diff)
				}
				shutdown(t, s)
				rec.end(t)
				n := uint64(0)
				if both {
					n = 2
				}
				for name, st := range map[string]transport.Stats{"server": s.Stats(), "client": d.Stats()} {
					if st.DeflatedIn != n || st.DeflatedOut != n || st.MessagesIn != 5 {
						t.Errorf("%s: %d in, %d out of %d", name, st.DeflatedIn, st.DeflatedOut, st.MessagesIn)
					}
					const plain = 5 + 1000 + 1000 + 60_000
					if saved := int(plain - st.DeflateSaved); st.DeflateSaved > 0 != both || saved > int(st.BytesOut) {
						t.Errorf("%s: %d bytes saved, %d sent", name, st.DeflateSaved, st.BytesOut)
					}
				}
			})
		})
	}
}

// Verify with a raw peer what goes over the wire after a handshake, with deflate
// and without.
func TestDeflateNegotiated(t *testing.T) {
	for name, fields := range map[string][]string{"with": {ext + "permessage-deflate; client_max_window_bits"}, "without": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				echo := newEcho()
				s := newServer(t, echo, deflated())
				p := dialPeer(t, s, fields...).listen()
				long := strings.Repeat("a", 100)
				p.write(masked(fin|opText, long))
				p.write(masked(fin|rsv1|opText, helloBlock))
				synctest.Wait()
				frames := p.frames()
				if len(frames) != 2 {
					t.Fatalf("replies %v", frames)
				}
				if fields == nil {
					if frames[0] != (frame{fin | opText, long}) || frames[1].closeCode() != 1002 {
						t.Errorf("replies %v", frames)
					}
				} else if frames[0].First != fin|rsv1|opText || unzip(t, frames[0].Payload) != long ||
					frames[1] != (frame{fin | opText, "Hello"}) { // which is not smaller deflated
					t.Errorf("replies %v", frames)
				}
				hangUp(t, s, p)
				echo.end(t)
			})
		})
	}
}

// The grammar of RFC 6455, section 9.1, as regular expressions.
const (
	reToken  = "[!#$%&'*+.^_`|~0-9A-Za-z-]"
	reQuoted = `"(?:\\?` + reToken + `)+"`
	reSpace  = "[ \t]*"
	reParam  = reSpace + ";" + reSpace + "(" + reToken + "+)" + reSpace + "(?:=" + reSpace + "(" + reToken + "+|" + reQuoted + "))?"
	reExt    = reSpace + "(" + reToken + "+)" + "((?:" + reParam + ")*)" + reSpace
)

var (
	rxField = regexp.MustCompile(`^(?:` + reSpace + `|` + reExt + `)(?:,(?:` + reSpace + `|` + reExt + `))*$`)
	rxExt   = regexp.MustCompile(`(?:^|,)` + reExt)
	rxParam = regexp.MustCompile(reParam)
)

// referenceAnswer is what answerExtensions should say, by the letter of the RFCs
// and with no thought for speed.
func referenceAnswer(fields []string) (answer string, ok bool) {
	if len(fields) == 0 {
		return "", true
	}
	var exts [][]string
	for _, f := range fields {
		if !rxField.MatchString(f) {
			return "", false
		}
		exts = append(exts, rxExt.FindAllStringSubmatch(f, -1)...)
	}
	if len(exts) == 0 || len(exts) > transport.MaxOffers {
		return "", false
	}
	bits := regexp.MustCompile("^(8|9|1[0-5])$")
	for _, e := range exts {
		seen, good := map[string]string{}, e[1] == "permessage-deflate"
		for _, p := range rxParam.FindAllStringSubmatch(e[2], -1) {
			value := strings.NewReplacer(`"`, "", `\`, "").Replace(p[2])
			if _, dup := seen[p[1]]; dup {
				good = false
			}
			seen[p[1]] = value
			switch p[1] {
			case "server_no_context_takeover", "client_no_context_takeover":
				good = good && value == ""
			case "server_max_window_bits":
				good = good && value == "15"
			case "client_max_window_bits":
				good = good && (value == "" || bits.MatchString(value))
			default:
				good = false
			}
		}
		if !good {
			continue
		}
		if _, asked := seen["server_max_window_bits"]; asked {
			return terms + "; server_max_window_bits=15", true
		}
		return terms, true
	}
	return "", true
}

// FuzzExtensions compares the answer to random offers with the reference, and
// gives both sides of the handshake the same.
func FuzzExtensions(f *testing.F) {
	for _, s := range []string{
		"permessage-deflate", terms, "permessage-deflate; client_max_window_bits=9, x;y=\"\\z\"",
		"\npermessage-deflate", ",\n,", "a;b=c\n;", `permessage-deflate; server_max_window_bits="15"`,
		"permessage-deflate;server_max_window_bits=08,permessage-deflate; foo,\tpermessage-deflate",
		strings.Repeat("a,", 70),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		fields := strings.Split(s, "\n")
		answer, refused := transport.AnswerExtensions(fields)
		want, ok := referenceAnswer(fields)
		if answer != want || (refused == nil) != ok {
			t.Errorf("got %q, %v; want %q, %v", answer, refused, want, ok)
		}
		if answer != "" {
			if agreed, err := transport.CheckExtensions([]string{answer}, true); !agreed || err != nil {
				t.Errorf("the client makes of %q: %v, %v", answer, agreed, err)
			}
		}
		agreed, err := transport.CheckExtensions(fields, true)
		if agreed && (err != nil || !ok || len(fields) > 1 || !strings.Contains(s, "server_no_context_takeover")) {
			t.Errorf("the client agrees to %q", fields)
		}
	})
}

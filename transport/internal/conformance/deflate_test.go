package conformance_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/wireroom/wireroom/transport"
)

// extension is an element of Sec-WebSocket-Extensions (RFC 6455, section 9.1).
type extension struct {
	name   string
	params []param
}

type param struct {
	name, value string
	valued      bool
}

// parseExtensions takes a field apart. Quoted values have no commas or
// semicolons here.
func parseExtensions(field string) (out []extension) {
	for element := range strings.SplitSeq(field, ",") {
		var e extension
		for i, part := range strings.Split(element, ";") {
			name, value, valued := strings.Cut(strings.Trim(part, " \t"), "=")
			if i == 0 {
				e.name = name
				continue
			}
			e.params = append(e.params, param{name, strings.Trim(value, `"`), valued})
		}
		out = append(out, e)
	}
	return out
}

// Parameters of permessage-deflate (RFC 7692, section 7.1).
const (
	deflateName      = "permessage-deflate"
	serverNoTakeover = "server_no_context_takeover"
	clientNoTakeover = "client_no_context_takeover"
	serverBits       = "server_max_window_bits"
	clientBits       = "client_max_window_bits"
)

// agreement is an offer of permessage-deflate or the answer to one.
type agreement struct {
	serverNoTakeover, clientNoTakeover bool
	serverBits, clientBits             int // 0 if not there, -1 if there without a value
}

// parseDeflate checks an element as an offer, or else as an answer.
func parseDeflate(e extension, offer bool) (a agreement, err error) {
	if e.name != deflateName {
		return a, fmt.Errorf("extension %q", e.name)
	}
	seen := make(map[string]bool)
	for _, p := range e.params {
		if seen[p.name] {
			return a, fmt.Errorf("parameter %s twice", p.name)
		}
		seen[p.name] = true
		switch p.name {
		case serverNoTakeover, clientNoTakeover:
			if p.valued {
				return a, fmt.Errorf("parameter %s with a value", p.name)
			}
			if p.name == serverNoTakeover {
				a.serverNoTakeover = true
			} else {
				a.clientNoTakeover = true
			}
		case serverBits, clientBits:
			bits := -1
			if p.valued {
				bits, err = strconv.Atoi(p.value)
				if err != nil || bits < 8 || bits > 15 || p.value != strconv.Itoa(bits) {
					return a, fmt.Errorf("parameter %s is %q", p.name, p.value)
				}
			} else if !offer || p.name == serverBits {
				return a, fmt.Errorf("parameter %s without a value", p.name)
			}
			if p.name == serverBits {
				a.serverBits = bits
			} else {
				a.clientBits = bits
			}
		default:
			return a, fmt.Errorf("parameter %s", p.name)
		}
	}
	return a, nil
}

// answers says whether a is an answer that RFC 7692, section 7.1, allows to the
// offer o.
func (a agreement) answers(o agreement) error {
	switch {
	case o.serverNoTakeover && !a.serverNoTakeover:
		return errors.New("server_no_context_takeover is not granted")
	case o.serverBits > 0 && (a.serverBits == 0 || a.serverBits > o.serverBits):
		return fmt.Errorf("server_max_window_bits is %d, asked for were %d", a.serverBits, o.serverBits)
	case a.clientBits != 0 && o.clientBits == 0:
		return errors.New("client_max_window_bits was not offered")
	case o.clientBits > 0 && a.clientBits > o.clientBits:
		return fmt.Errorf("client_max_window_bits is %d, offered were %d", a.clientBits, o.clientBits)
	}
	return nil
}

func (a agreement) String() string {
	s := deflateName
	if a.serverNoTakeover {
		s += "; " + serverNoTakeover
	}
	if a.clientNoTakeover {
		s += "; " + clientNoTakeover
	}
	if a.serverBits > 0 {
		s += fmt.Sprintf("; %s=%d", serverBits, a.serverBits)
	}
	if a.clientBits > 0 {
		s += fmt.Sprintf("; %s=%d", clientBits, a.clientBits)
	}
	return s
}

// codec compresses and decompresses the messages of one connection, as the
// peer's side of an agreement (RFC 7692, section 7.2).
type codec struct {
	takeover   bool // the peer's own, where it may
	takeoverIn bool
	narrow     bool // the peer must use less than the largest window
	bitsIn     int
	w          *flate.Writer
	buf        bytes.Buffer
	history    []byte // of what was decompressed
}

// newCodec returns the codec of a client, or of a server.
func (a agreement) newCodec(server bool) *codec {
	out, in := a.clientNoTakeover, a.serverNoTakeover
	bitsOut, bitsIn := a.clientBits, a.serverBits
	if server {
		out, in, bitsOut, bitsIn = in, out, bitsIn, bitsOut
	}
	if bitsIn <= 0 {
		bitsIn = 15
	}
	return &codec{takeover: !out, takeoverIn: !in, narrow: bitsOut > 0 && bitsOut < 15, bitsIn: bitsIn}
}

var flushTail = []byte{0, 0, 0xff, 0xff}

func (c *codec) deflate(s string) string {
	switch {
	case c.w == nil:
		level := flate.BestSpeed
		if c.narrow {
			level = flate.HuffmanOnly // no references at all: they fit any window
		}
		c.w, _ = flate.NewWriter(&c.buf, level)
	case !c.takeover:
		c.w.Reset(&c.buf)
	}
	c.buf.Reset()
	io.WriteString(c.w, s)
	c.w.Flush()
	return string(bytes.TrimSuffix(c.buf.Bytes(), flushTail))
}

func (c *codec) inflate(s string) (string, error) {
	// The last block ends the stream, so that a clean end shows that the flush
	// before it was whole.
	in := bytes.NewReader(append(append([]byte(s), flushTail...), 1, 0, 0, 0xff, 0xff))
	var out []byte
	history := c.history
	for in.Len() > 0 {
		part, err := io.ReadAll(flate.NewReaderDict(in, history))
		if err != nil {
			return "", fmt.Errorf("inflate: %w", err)
		}
		out = append(out, part...)
		history = lastOf(append(history[:len(history):len(history)], part...), 1<<c.bitsIn)
	}
	if c.takeoverIn {
		c.history = history
	}
	return string(out), nil
}

func lastOf(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// message is a message as the peer got it.
type message struct {
	op         byte
	payload    string
	compressed bool
}

// nextMessage reads a message, which may be in fragments.
func (p *peer) nextMessage(c *codec) (m message, err error) {
	var raw strings.Builder
	for n := 0; ; n++ {
		fr, err := p.r.next()
		if err != nil {
			return m, err
		}
		switch op := fr.first & 0x0f; {
		case fr.control():
			return m, fmt.Errorf("want a message, got %v", fr)
		case (op == opCont) != (n > 0):
			return m, fmt.Errorf("fragment %d is %v", n, fr)
		case op == opCont && fr.first&rsv1 != 0:
			return m, fmt.Errorf("fragment %d is %v", n, fr)
		case op != opCont:
			m.op, m.compressed = op, fr.first&rsv1 != 0
		}
		raw.WriteString(fr.payload)
		if fr.first&fin != 0 {
			break
		}
	}
	m.payload = raw.String()
	if m.compressed {
		m.payload, err = c.inflate(m.payload)
	}
	return m, err
}

// compressed returns the frames of a compressed message; size 0 means one frame.
func (c *codec) compressed(op byte, payload string, size int) []sent {
	z := c.deflate(payload)
	if size <= 0 {
		size = max(1, len(z))
	}
	frames := fragments(op, z, size)
	frames[0].first |= rsv1
	return frames
}

// deflateCase is count messages of one size, echoed.
type deflateCase struct {
	id    string
	name  string
	offer string
	op    byte
	of    func(n, i int) string
	size  int
	count int
	cut   int // size of the frames; 0 for one frame
}

// run plays the case and closes. c is nil if the extension was declined.
func (dc *deflateCase) run(p *peer, c *codec) error {
	writing := make(chan error, 1)
	go func() {
		for i := range dc.count {
			payload := dc.of(dc.size, i)
			frames := []sent{f(fin|dc.op, payload)}
			if c != nil && i%8 != 7 { // a message that is not compressed among those that are
				frames = c.compressed(dc.op, payload, dc.cut)
			}
			if _, err := p.nc.Write(p.encode(frames)); err != nil {
				writing <- err
				return
			}
		}
		writing <- nil
	}()
	for i := range dc.count {
		got, err := p.nextMessage(c)
		if err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if want := dc.of(dc.size, i); got.op != dc.op || got.payload != want {
			return fmt.Errorf("message %d: got opcode %d, %.60q (%d octets), want %.60q", i, got.op, got.payload, len(got.payload), want)
		}
	}
	if err := <-writing; err != nil {
		return err
	}
	return p.finish(new(testCase), func() error { return nil })
}

var allProse = sync.OnceValue(func() string {
	var b strings.Builder
	for i := 1; b.Len() < 512<<10; {
		i = (i*1103515245 + 12345) & 0x7fffffff
		fmt.Fprintf(&b, `{"room":"lobby-%d","from":"user %d","text":"Grüße, κόσμε"},`, i>>16&7, i>>8&0xff)
	}
	return b.String()
})

var allNoise = sync.OnceValue(func() string { return octets(512 << 10) })

// prose is text that compresses, different for each i.
func prose(n, i int) string {
	s := allProse()[17*i%8191:]
	for !utf8.RuneStart(s[0]) {
		s = s[1:]
	}
	s = s[:n]
	for !utf8.ValidString(lastRunes(s)) { // cut inside a character
		s = s[:len(s)-1]
	}
	return s + "xxx"[:n-len(s)]
}

// lastRunes is the end of s, from the beginning of a character.
func lastRunes(s string) string {
	at := max(0, len(s)-8)
	for at < len(s) && !utf8.RuneStart(s[at]) {
		at++
	}
	return s[at:]
}

// noise does not compress; different for each i.
func noise(n, i int) string { return allNoise()[17*i%8191:][:n] }

var deflateSizes = []int{0, 1, 16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072}

// proper is an offer that a server that has the extension cannot have a reason
// to decline.
const proper = deflateName + "; " + serverNoTakeover + "; " + clientNoTakeover

// deflateCases are groups 12 and 13.
func deflateCases() (out []deflateCase) {
	count := func(size int) int { return min(40, max(3, 1<<18/max(1, size))) }
	kinds := []struct {
		name string
		op   byte
		of   func(n, i int) string
	}{{"prose", opText, prose}, {"prose, binary", opBinary, prose}, {"noise", opBinary, noise}}
	minor := 0
	for _, k := range kinds {
		for _, cut := range []int{0, 64, 1024, 4096} {
			minor++
			for i, size := range deflateSizes {
				n := count(size)
				if cut == 64 {
					n = min(n, 10)
				}
				out = append(out, deflateCase{
					id:    fmt.Sprintf("12.%d.%d", minor, i+1),
					name:  fmt.Sprintf("%s, %d of %d octets in frames of %d", k.name, n, size, cut),
					offer: proper, op: k.op, of: k.of, size: size, count: n, cut: cut,
				})
			}
		}
	}
	minor = 0
	for _, o := range offers {
		if o.must == mustDecline {
			continue
		}
		minor++
		n := 0
		for _, k := range kinds {
			for _, size := range []int{16, 1024, 8192, 65536} {
				n++
				out = append(out, deflateCase{
					id:    fmt.Sprintf("13.%d.%d", minor, n),
					name:  fmt.Sprintf("%s, %s, %d octets", o.name, k.name, size),
					offer: o.field, op: k.op, of: k.of, size: size, count: max(4, count(size)/4), cut: 1300 * (n % 2),
				})
			}
		}
	}
	return out
}

type must int

const (
	mayEither   must = iota // what is agreed on must fit the offer
	mustAccept              // some element of it
	mustDecline             // all of it
)

// offers are what clients may ask for (RFC 7692, section 7.1), and what they
// must not.
var offers = []struct {
	name  string
	field string
	must  must
}{
	{"plain", deflateName, mustAccept},
	{"server without takeover", deflateName + "; server_no_context_takeover", mustAccept},
	{"client without takeover", deflateName + "; client_no_context_takeover", mustAccept},
	{"both without takeover", proper, mustAccept},
	{"client has window bits", deflateName + "; client_max_window_bits", mustAccept},
	{"client has 15 window bits", deflateName + "; client_max_window_bits=15", mustAccept},
	{"client has 10 window bits", deflateName + "; client_max_window_bits=10", mustAccept},
	{"client has 8 window bits", deflateName + "; client_max_window_bits=8", mustAccept},
	{"server has 15 window bits", deflateName + "; server_max_window_bits=15", mustAccept},
	{"server has 10 window bits", deflateName + "; server_max_window_bits=10", mayEither},
	{"server has 8 window bits", deflateName + "; server_max_window_bits=8", mayEither},
	{"everything", proper + "; server_max_window_bits=15; client_max_window_bits=12", mustAccept},
	{"everything, other order", deflateName + "; client_max_window_bits; server_max_window_bits=15; client_no_context_takeover; server_no_context_takeover", mustAccept},
	{"of browsers", deflateName + "; client_max_window_bits", mustAccept},
	{"no blanks", "permessage-deflate;client_no_context_takeover;client_max_window_bits", mustAccept},
	{"quoted value", deflateName + `; client_max_window_bits="15"`, mayEither},
	{"narrow first, then plain", deflateName + "; server_max_window_bits=9, " + deflateName, mustAccept},
	{"unknown extension first", "x-unknown; a=1, " + deflateName, mustAccept},
	{"unknown extension last", deflateName + ", x-unknown; a=1", mustAccept},
	{"unknown parameter first, then plain", deflateName + "; x-unknown, " + deflateName, mustAccept},
	{"bad value first, then plain", deflateName + "; server_max_window_bits=99, " + deflateName, mustAccept},
	{"parameter twice first, then plain", deflateName + "; client_max_window_bits; client_max_window_bits, " + deflateName, mustAccept},
	{"two fields", "x-unknown\r\nSec-WebSocket-Extensions: " + deflateName, mustAccept},

	{"unknown extension", "x-unknown", mustDecline},
	{"unknown parameter", deflateName + "; x-unknown", mustDecline},
	{"unknown parameter with a value", deflateName + "; x-unknown=1", mustDecline},
	{"server window bits without a value", deflateName + "; server_max_window_bits", mustDecline},
	{"server window bits 7", deflateName + "; server_max_window_bits=7", mustDecline},
	{"server window bits 16", deflateName + "; server_max_window_bits=16", mustDecline},
	{"server window bits 015", deflateName + "; server_max_window_bits=015", mustDecline},
	{"server window bits x", deflateName + "; server_max_window_bits=x", mustDecline},
	{"client window bits 7", deflateName + "; client_max_window_bits=7", mustDecline},
	{"client window bits 16", deflateName + "; client_max_window_bits=16", mustDecline},
	{"client window bits 08", deflateName + "; client_max_window_bits=08", mustDecline},
	{"server takeover with a value", deflateName + "; server_no_context_takeover=1", mustDecline},
	{"client takeover with a value", deflateName + "; client_no_context_takeover=true", mustDecline},
	{"server takeover twice", deflateName + "; server_no_context_takeover; server_no_context_takeover", mustDecline},
	{"client takeover twice", deflateName + "; client_no_context_takeover; client_no_context_takeover", mustDecline},
	{"server window bits twice", deflateName + "; server_max_window_bits=15; server_max_window_bits=15", mustDecline},
	{"client window bits twice", deflateName + "; client_max_window_bits=15; client_max_window_bits", mustDecline},
	{"of an older draft", "permessage-compress; method=deflate", mustDecline},
	{"per frame", "x-webkit-deflate-frame", mustDecline},
}

// agreed returns what a server's answer to an offer says, or nil if it declined.
func agreed(offer string, answer []string) (*agreement, error) {
	if len(answer) == 0 {
		return nil, nil
	}
	got := parseExtensions(strings.Join(answer, ", "))
	if len(got) != 1 {
		return nil, fmt.Errorf("answer %q to one extension", answer)
	}
	a, err := parseDeflate(got[0], false)
	if err != nil {
		return nil, fmt.Errorf("answer %q: %w", answer, err)
	}
	for _, field := range strings.Split(offer, "\r\nSec-WebSocket-Extensions:") {
		for _, e := range parseExtensions(field) {
			o, bad := parseDeflate(e, true)
			if bad == nil {
				if bad = a.answers(o); bad == nil {
					return &a, nil
				}
			}
			err = bad
		}
	}
	return nil, fmt.Errorf("answer %q fits none of the offers %q: %w", answer, offer, err)
}

// deflateLimit is more than the largest of deflateSizes: noise grows when it is
// compressed.
const deflateLimit = 129 << 10

// deflateOptions have every message compressed.
func deflateOptions() *transport.Options {
	return &transport.Options{
		Deflate: true, DeflateThreshold: -1,
		MaxMessageBytes: deflateLimit, MaxFragments: -1, MaxQueueBytes: 64 << 20, MaxQueueFrames: -1,
	}
}

// offerTo connects a peer with an offer.
func offerTo(u *underTest, h *handler, offer string) (*peer, *agreement, error) {
	p, answer, err := connect(u.addr, u.expect(h), offer)
	if err != nil {
		return nil, nil, err
	}
	a, err := agreed(offer, answer)
	if err != nil {
		p.nc.Close()
		return nil, nil, err
	}
	p.r.noise = a != nil
	return p, a, nil
}

// needDeflate skips the test while the server does not have the extension.
func needDeflate(t *testing.T, u *underTest) {
	t.Helper()
	h := newHandler(new(testCase))
	p, a, err := offerTo(u, h, proper)
	if err != nil {
		t.Fatal(err)
	}
	defer p.nc.Close()
	if err := p.finish(new(testCase), func() error { return nil }); err != nil {
		t.Error(err)
	}
	h.check(t, transport.CloseNormal)
	if a == nil {
		t.Skipf("the server declines %q", proper)
	}
}

// TestDeflateServer runs groups 12 and 13 against a Server.
func TestDeflateServer(t *testing.T) {
	for _, driver := range drivers() {
		t.Run(string(driver), func(t *testing.T) {
			o := deflateOptions()
			o.Driver = driver
			u := serve(t, o)
			needDeflate(t, u)
			var ran counts
			t.Cleanup(func() { ran.log(t, fmt.Sprintf("server %s (served by %s)", driver, u.Stats().Driver)) })
			for _, dc := range deflateCases() {
				t.Run(dc.id+" "+dc.name, func(t *testing.T) {
					t.Parallel()
					h := newHandler(new(testCase))
					p, a, err := offerTo(u, h, dc.offer)
					if err != nil {
						t.Fatal(err)
					}
					defer p.nc.Close()
					var c *codec
					if a != nil {
						c = a.newCodec(false)
					}
					if err := dc.run(p, c); err != nil {
						t.Error(err)
						p.nc.Close()
					}
					h.check(t, transport.CloseNormal)
					ran.add(dc.id)
				})
			}
			for i, rc := range rawDeflateCases() {
				id := fmt.Sprintf("12.99.%d", i+1)
				t.Run(id+" "+rc.name, func(t *testing.T) {
					t.Parallel()
					h := newHandler(&rc.testCase)
					p, a, err := offerTo(u, h, rc.offer)
					if err != nil {
						t.Fatal(err)
					}
					defer p.nc.Close()
					if a == nil {
						t.Fatal("declined")
					}
					if err := rc.run(p, *a); err != nil {
						t.Error(err)
						p.nc.Close()
					}
					h.check(t, rc.endCodes()...)
					ran.add(id)
				})
			}
		})
	}
}

// TestDeflateOffers holds the server's answers to RFC 7692, sections 5 and 7.1.
func TestDeflateOffers(t *testing.T) {
	u := serve(t, deflateOptions())
	off := serve(t, &transport.Options{})
	has := true
	t.Run("proper", func(t *testing.T) {
		has = false
		needDeflate(t, u)
		has = true
	})
	for _, o := range offers {
		for _, s := range []*underTest{u, off} {
			name, must := o.name, o.must
			if s == off {
				name, must = name+", Deflate is off", mustDecline
			}
			t.Run(name, func(t *testing.T) {
				if must == mustAccept && !has {
					t.Skip("the server has no permessage-deflate")
				}
				dc := deflateCase{op: opText, of: prose, size: 2000, count: 2}
				h := newHandler(new(testCase))
				p, a, err := offerTo(s, h, o.field)
				if err != nil {
					t.Fatal(err)
				}
				defer p.nc.Close()
				if must == mustAccept && a == nil || must == mustDecline && a != nil {
					t.Errorf("agreed on %v", a)
				}
				var c *codec
				if a != nil {
					c = a.newCodec(false)
				}
				if err := dc.run(p, c); err != nil {
					t.Error(err)
				}
				p.nc.Close()
				h.check(t, transport.CloseNormal)
			})
		}
	}
}

// Verify from which length on messages are compressed.
func TestDeflateThreshold(t *testing.T) {
	for _, threshold := range []int{0, 100, -1} {
		o := deflateOptions()
		o.DeflateThreshold = threshold
		u := serve(t, o)
		from := map[int]int{0: 512, 100: 100, -1: 0}[threshold]
		t.Run(fmt.Sprint(from), func(t *testing.T) {
			needDeflate(t, u)
			h := newHandler(new(testCase))
			p, a, err := offerTo(u, h, proper)
			if err != nil {
				t.Fatal(err)
			}
			defer p.nc.Close()
			c := a.newCodec(false)
			for _, n := range []int{99, 100, 511, 512, 4096} {
				if _, err := p.nc.Write(p.encode([]sent{text(strings.Repeat("a", n))})); err != nil {
					t.Fatal(err)
				}
				got, err := p.nextMessage(c)
				if err != nil {
					t.Fatal(err)
				}
				if got.payload != strings.Repeat("a", n) || got.compressed != (n >= from) {
					t.Errorf("%d octets: compressed is %v, %.60q", n, got.compressed, got.payload)
				}
			}
			if err := p.finish(new(testCase), func() error { return nil }); err != nil {
				t.Error(err)
			}
			h.check(t, transport.CloseNormal)
		})
	}
}

// rawDeflateCase sends octets of its own; the messages of the testCase's steps
// come back, compressed or not.
type rawDeflateCase struct {
	testCase
	offer string
	echo  []frame // in place of step.want: what the messages are, and pongs
}

func (rc *rawDeflateCase) run(p *peer, a agreement) error {
	writing := make(chan error, 1)
	go func() {
		for _, st := range rc.steps {
			if err := p.play(st); err != nil {
				writing <- err
				return
			}
		}
		writing <- nil
	}()
	c := a.newCodec(p.server)
	for i, want := range rc.echo {
		if want.control() {
			if got, err := p.r.next(); err != nil || got != want {
				return fmt.Errorf("want %v, got %v %w", want, got, err)
			}
			continue
		}
		got, err := p.nextMessage(c)
		if err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if got.op != want.first&0x0f || got.payload != want.payload {
			return fmt.Errorf("message %d: got opcode %d, %.60q (%d octets), want %v", i, got.op, got.payload, len(got.payload), want)
		}
	}
	wait := sync.OnceValue(func() error {
		if err := <-writing; err != nil && rc.end.how != failed {
			return err
		}
		return nil
	})
	return p.finish(&rc.testCase, wait)
}

// rawDeflateCases are the examples of RFC 7692, section 7.2.3, other forms that
// are allowed, and what is not.
var rawDeflateCases = sync.OnceValue(func() (out []*rawDeflateCase) {
	const z = fin | rsv1
	hello := "\xf2\x48\xcd\xc9\xc9\x07\x00"
	add := func(name string, end ending, echo []frame, frames ...sent) *rawDeflateCase {
		rc := &rawDeflateCase{offer: proper, echo: echo}
		rc.name, rc.end, rc.steps = name, end, []step{send(frames...)}
		out = append(out, rc)
		return rc
	}
	got := func(payloads ...string) (fs []frame) {
		for _, p := range payloads {
			fs = append(fs, frame{fin | opText, p})
		}
		return fs
	}
	once := func(s string) string { return new(codec).deflate(s) }
	bomb := once(strings.Repeat("\x00", 16<<20))
	ok := ending{}

	add("one block", ok, got("Hello"), f(z|opText, hello))
	add("one block, in two frames", ok, got("Hello"), f(rsv1|opText, hello[:3]), f(fin|opCont, hello[3:]))
	add("the same twice", ok, got("Hello", "Hello"), f(z|opText, hello), f(z|opText, hello))
	add("block without compression", ok, got("Hello"), f(z|opText, "\x00\x05\x00\xfa\xffHello\x00"))
	add("block with BFINAL", ok, got("Hello"), f(z|opText, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"))
	add("block with BFINAL, then a message", ok, got("Hello", "Hello"), f(z|opText, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), f(z|opText, hello))
	add("two blocks", ok, got("Hello"), f(z|opText, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"))
	add("empty message", ok, got(""), f(z|opText, "\x00"))
	add("empty message among others", ok, got("Hello", "", "Hello"), f(z|opText, hello), f(z|opText, "\x00"), f(z|opText, hello))
	add("not compressed", ok, got("Hello"), text("Hello"))
	add("not compressed, in fragments", ok, got("Hello"), f(opText, "Hel"), f(fin|opCont, "lo"))
	add("compressed and not", ok, got("Hello", "plain", "Hello", "plain"), f(z|opText, hello), text("plain"), f(z|opText, hello), text("plain"))
	add("an octet in each frame", ok, got("Hello"), func() []sent {
		fs := fragments(opText, hello, 1)
		fs[0].first |= rsv1
		return fs
	}()...)
	add("empty frames among them", ok, got("Hello"), f(rsv1|opText, ""), f(opCont, hello[:4]), f(opCont, ""), f(opCont, hello[4:]), f(fin|opCont, ""))
	add("ping among the frames", ok, []frame{{fin | opPong, "p"}, {fin | opText, "Hello"}},
		f(rsv1|opText, hello[:3]), ping("p"), f(fin|opCont, hello[3:]))
	add("pong among the frames", ok, got("Hello"), f(rsv1|opText, hello[:3]), pong("p"), f(fin|opCont, hello[3:]))
	add("text cut inside a character by a frame", ok, got("€€€"), func() []sent {
		fs := fragments(opText, once("€€€"), 1)
		fs[0].first |= rsv1
		return fs
	}()...)
	add("octets of the frame are no text, but the text is", ok, got("\u07ff"), f(z|opText, once("\u07ff")))
	rc := add("in chops of 1", ok, got("Hello", "", filler(300)), f(z|opText, hello), f(z|opText, "\x00"), f(z|opText, once(filler(300))))
	rc.steps[0].chop = 1
	add("as much as the limit", ok, got(strings.Repeat("a", deflateLimit)), f(z|opText, once(strings.Repeat("a", deflateLimit))))
	add("almost as much as the limit, noise", ok, []frame{{fin | opBinary, octets(deflateLimit - 64)}}, f(z|opBinary, once(octets(deflateLimit-64))))
	add("1000 blocks of one octet", ok, got(strings.Repeat("a", 1000)),
		f(z|opText, strings.Repeat("\x00\x01\x00\xfe\xffa", 1000)+"\x00"))

	for _, rsv := range []byte{rsv2, rsv3, rsv2 | rsv3, rsv1 | rsv2, rsv1 | rsv3, rsv1 | rsv2 | rsv3} {
		add(fmt.Sprintf("bits %03b", rsv>>4), fails(1002), nil, f(fin|rsv|opText, hello))
	}
	add("RSV1 on a continuation", fails(1002), nil, f(rsv1|opText, hello[:3]), f(fin|rsv1|opCont, hello[3:]))
	add("RSV1 on a continuation of a message that is not compressed", fails(1002), nil, f(opText, "a"), f(fin|rsv1|opCont, hello))
	for _, op := range []byte{opPing, opPong, opClose} {
		add(fmt.Sprintf("RSV1 on opcode %d", op), fails(1002), nil, f(z|op, ""))
		add(fmt.Sprintf("RSV1 on opcode %d among the frames", op), fails(1002), nil, f(rsv1|opText, hello[:3]), f(z|op, ""))
	}
	add("RSV1 on a reserved opcode", fails(1002), nil, f(z|3, hello))
	add("a new message among the frames", fails(1002), nil, f(rsv1|opText, hello[:3]), f(z|opText, hello))

	// The RFC names no code for octets that are no DEFLATE stream.
	bad := fails(1002, 1007)
	add("block of type 11", bad, nil, f(z|opText, "\x07"))
	add("block of type 11 after a good one", bad, nil, f(z|opText, "\xf2\x48\x05\x00\x00\x00\xff\xff\x07\x00"))
	add("lengths of a block that do not fit", bad, nil, f(z|opText, "\x00\x05\x00\xfa\xfeHello\x00"))
	add("block that lacks its end", bad, nil, f(z|opText, "\x00\xff\x00\x00\xffHello"))
	add("reference to what there is not", bad, nil, f(z|opText, "\xf2\x00\x11\x00\x00"))
	add("noise", bad, nil, f(z|opBinary, "\xff\xff\xff\xff\xff\xff\xff\xff"))
	add("after a good message", bad, got("Hello"), f(z|opText, hello), f(z|opText, "\x07"))

	add("no text after decompression", fails(1007), nil, f(z|opText, once("Hell\xff")))
	add("text that lacks its end after decompression", fails(1007), nil, f(z|opText, once("Hell\xe2\x82")))
	add("no text, in frames", fails(1007), nil, func() []sent {
		fs := fragments(opText, once("Hell\xed\xa0\x80o"), 2)
		fs[0].first |= rsv1
		return fs
	}()...)
	add("no text, but binary", ok, []frame{{fin | opBinary, "Hell\xff"}}, f(z|opBinary, once("Hell\xff")))
	add("one octet over the limit", fails(1009), nil, f(z|opText, once(strings.Repeat("a", deflateLimit+1))))
	add("one octet over the limit, noise", fails(1009), nil, f(z|opBinary, once(octets(deflateLimit+1))))
	add("16 MiB of nothing", fails(1009), nil, f(z|opBinary, bomb))
	add("16 MiB of nothing, in frames", fails(1009), nil, func() []sent {
		fs := fragments(opBinary, bomb, 1000)
		fs[0].first |= rsv1
		return fs
	}()...)
	add("over the limit by a second flush", fails(1009), nil, f(z|opText, once(strings.Repeat("a", deflateLimit))+string(flushTail)+once("a")))
	return out
})

// needOffer skips the test while a Dialer does not offer the extension, and
// returns what it offers.
func needOffer(t *testing.T, d *transport.Dialer) agreement {
	t.Helper()
	h := newHandler(new(testCase))
	var offered string
	_, p, err, accepted := dial(t, d, h, func(offer string) string {
		offered = offer
		return ""
	})
	if err != nil || accepted != nil {
		t.Fatal(err, accepted)
	}
	if err := p.finish(new(testCase), func() error { return nil }); err != nil {
		t.Error(err)
	}
	h.check(t, transport.CloseNormal)
	if offered == "" {
		t.Skip("the Dialer does not offer permessage-deflate")
	}
	o, err := parseDeflate(parseExtensions(offered)[0], true)
	if err != nil {
		t.Fatalf("offer %q: %v", offered, err)
	}
	return o
}

// answersTo are the answers that an offer allows.
func answersTo(o agreement) (out []agreement) {
	least := agreement{serverNoTakeover: o.serverNoTakeover}
	if o.serverBits > 0 {
		least.serverBits = o.serverBits
	}
	add := func(edit func(a *agreement)) {
		a := least
		edit(&a)
		if a.answers(o) == nil {
			out = append(out, a)
		}
	}
	add(func(*agreement) {})
	add(func(a *agreement) { a.clientNoTakeover = true })
	add(func(a *agreement) { a.serverNoTakeover = true })
	add(func(a *agreement) { a.serverNoTakeover, a.clientNoTakeover = true, true })
	for bits := 8; bits <= 15; bits++ {
		add(func(a *agreement) { a.clientNoTakeover, a.serverBits = true, bits })
		add(func(a *agreement) { a.clientNoTakeover, a.clientBits = true, bits })
	}
	return out
}

// TestDeflateClient runs groups 12 and 13 against the connections of a Dialer.
func TestDeflateClient(t *testing.T) {
	d := &transport.Dialer{Options: deflateOptions()}
	o := needOffer(t, d)
	var ran counts
	t.Cleanup(func() { ran.log(t, "client") })
	open := func(t *testing.T, h *handler, a agreement) *peer {
		t.Helper()
		_, p, err, accepted := dial(t, d, h, func(string) string { return a.String() })
		if err != nil || accepted != nil {
			t.Fatalf("answer %q: %v %v", a, err, accepted)
		}
		p.r.noise = true
		return p
	}
	echo := func(t *testing.T, dc deflateCase, a agreement) {
		t.Helper()
		t.Parallel()
		h := newHandler(new(testCase))
		p := open(t, h, a)
		if err := dc.run(p, a.newCodec(true)); err != nil {
			t.Error(err)
			p.nc.Close()
		}
		h.check(t, transport.CloseNormal)
		ran.add(dc.id)
	}
	answers := answersTo(o)
	for _, dc := range deflateCases() {
		if strings.HasPrefix(dc.id, "12.") {
			t.Run(dc.id+" "+dc.name, func(t *testing.T) { echo(t, dc, answers[0]) })
		}
	}
	for i, a := range answers {
		for j, size := range []int{0, 16, 1024, 65536} {
			dc := deflateCase{id: fmt.Sprintf("13.%d.%d", i+1, j+1), op: opText, of: prose, size: size, count: 8, cut: 1300 * (j % 2)}
			t.Run(fmt.Sprintf("%s %s, %d octets", dc.id, a, size), func(t *testing.T) { echo(t, dc, a) })
		}
	}
	for i, rc := range rawDeflateCases() {
		id := fmt.Sprintf("12.99.%d", i+1)
		t.Run(id+" "+rc.name, func(t *testing.T) {
			t.Parallel()
			h := newHandler(&rc.testCase)
			a := answers[0]
			a.serverNoTakeover, a.clientNoTakeover = true, true
			p := open(t, h, a)
			if err := rc.run(p, a); err != nil {
				t.Error(err)
				p.nc.Close()
			}
			h.check(t, rc.endCodes()...)
			ran.add(id)
		})
	}
}

// Verify that a Dialer takes no answer that its offer does not allow, or that is
// malformed (RFC 7692, sections 5.2 and 7.1).
func TestDeflateAnswers(t *testing.T) {
	bad := []string{
		"x-unknown", deflateName + "; x-unknown", deflateName + "; server_max_window_bits", deflateName + "; client_max_window_bits",
		deflateName + "; server_max_window_bits=7", deflateName + "; server_max_window_bits=16", deflateName + "; server_max_window_bits=010",
		deflateName + "; client_max_window_bits=7", deflateName + "; client_max_window_bits=16", deflateName + "; server_no_context_takeover=1",
		deflateName + "; server_no_context_takeover; server_no_context_takeover", deflateName + "; client_no_context_takeover; client_no_context_takeover",
		deflateName + ", " + deflateName, deflateName + ", x-unknown", "permessage-compress", "x-webkit-deflate-frame",
	}
	for _, on := range []bool{false, true} {
		t.Run(fmt.Sprintf("Deflate is %v", on), func(t *testing.T) {
			d := &transport.Dialer{Options: &transport.Options{Deflate: on}}
			answers := bad
			if on {
				o := needOffer(t, d)
				if o.clientBits == 0 {
					answers = append(answers[:len(answers):len(answers)], proper+"; client_max_window_bits=15")
				}
			} else {
				answers = append(answers[:len(answers):len(answers)], deflateName, proper)
			}
			for _, answer := range answers {
				t.Run(answer, func(t *testing.T) {
					c, _, err, accepted := dial(t, d, newHandler(new(testCase)), func(string) string { return answer })
					if accepted != nil {
						t.Fatal(accepted)
					}
					if err == nil {
						c.Cut()
						t.Error("the answer was taken")
					}
				})
			}
		})
	}
}

package hostile_test

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long an event may take before a case fails. Nothing ever
// waits that long if the server does its part.
const patience = 30 * time.Second

// step is one thing that a peer does.
type step struct {
	send  []byte
	by    int           // so many bytes at a time; 0: all at once
	paced bool          // each piece is sent when the server has read the one before
	gap   time.Duration // between the pieces

	await int  // so many frames of the server are waited for, in all
	half  bool // end the write side
	reset bool // close with RST
}

// send is one write, which over loopback is one segment up to 64 KiB.
func send(parts ...[]byte) step { return step{send: cat(parts...)} }

// segment is one write that the server has read before the next step.
func segment(parts ...[]byte) step { return step{send: cat(parts...), paced: true} }

// bytewise sends byte by byte, each read for itself.
func bytewise(parts ...[]byte) step { return step{send: cat(parts...), by: 1, paced: true} }

var (
	halfClose = step{half: true}
	reset     = step{reset: true}
)

func await(frames int) step { return step{await: frames} }

// peer is the client side of one connection, without any manners of its own.
type peer struct {
	t    testing.TB
	s    *server
	nc   *net.TCPConn
	path string
	rec  *recorder
	sent int // bytes since the handshake

	upgraded  bool // the handshake is done with before listen
	deflate   bool // what the server sends may be compressed
	listening bool

	mu     sync.Mutex
	status int // of the answer to the handshake
	header http.Header
	body   string
	frames []frame
	total  int // bytes of payload received
	end    error
	change chan struct{}
}

// connect dials the server. The recorder of the connection's server side is in
// p.rec; h says what it does with messages, and is nil for an echo.
func (s *server) connect(t testing.TB, h onMessage) *peer {
	t.Helper()
	return s.dial(t, new(net.Dialer), h)
}

// openSmall is open for a peer that has hardly room for what it does not read.
func (s *server) openSmall(t testing.TB, h onMessage) *peer {
	t.Helper()
	p := s.dial(t, &net.Dialer{Control: smallWindow}, h)
	p.handshake("")
	return p
}

func (s *server) dial(t testing.TB, d *net.Dialer, h onMessage) *peer {
	t.Helper()
	nc, err := d.DialContext(t.Context(), "tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	path, rec := s.expect(h)
	return &peer{t: t, s: s, nc: nc.(*net.TCPConn), path: path, rec: rec, change: make(chan struct{})}
}

// open dials the server and does the handshake, with an offer of extensions if
// there is one.
func (s *server) open(t testing.TB, offer string, h onMessage) *peer {
	t.Helper()
	p := s.connect(t, h)
	p.handshake(offer)
	return p
}

func (p *peer) handshake(offer string) {
	p.t.Helper()
	h := proper
	if offer != "" {
		h = h.with("Sec-WebSocket-Extensions: " + offer)
	}
	p.write(p.located(h.bytes()))
	p.nc.SetReadDeadline(time.Now().Add(patience))
	// Byte by byte, as what follows the head belongs to listen.
	var b []byte
	for one := make([]byte, 1); !bytes.HasSuffix(b, []byte("\r\n\r\n")); b = append(b, one...) {
		if _, err := io.ReadFull(p.nc, one); err != nil {
			p.t.Fatalf("handshake: %v after %q", err, b)
		}
	}
	p.nc.SetReadDeadline(time.Time{})
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
	if err != nil {
		p.t.Fatalf("handshake: %v", err)
	}
	p.status, p.header = resp.StatusCode, resp.Header
	if p.status != http.StatusSwitchingProtocols {
		p.t.Fatalf("handshake: answered with %d", p.status)
	}
	p.upgraded, p.sent = true, 0
}

// located puts the path of this connection into what is sent.
func (p *peer) located(b []byte) []byte {
	return bytes.ReplaceAll(b, []byte(pathMark), []byte(p.path))
}

// write sends all of b. An error shows in what becomes of the connection.
func (p *peer) write(b []byte) error {
	p.nc.SetWriteDeadline(time.Now().Add(patience))
	n, err := p.nc.Write(b)
	p.sent += n
	return err
}

func (p *peer) do(st step) {
	p.t.Helper()
	b := st.send
	if !p.upgraded {
		b = p.located(b)
	}
	for len(b) > 0 {
		n := len(b)
		if st.by > 0 {
			n = min(n, st.by)
		}
		if p.write(b[:n]) != nil {
			break
		}
		b = b[n:]
		if st.paced {
			eventually(p.t, "server reads what was sent", func() bool {
				return int(p.s.srv.Stats().BytesIn) >= p.sent || p.ended() != nil
			})
		}
		if st.gap > 0 {
			time.Sleep(st.gap)
		}
	}
	if st.await > 0 {
		p.wait(fmt.Sprintf("%d frames", st.await), func() bool { return len(p.frames) >= st.await })
	}
	if st.half {
		p.nc.CloseWrite()
	}
	if st.reset {
		p.reset()
	}
}

func (p *peer) reset() {
	p.nc.SetLinger(0)
	p.nc.Close()
}

// listen begins to read what the server sends.
func (p *peer) listen() {
	if !p.listening {
		p.listening = true
		go p.read()
	}
}

func (p *peer) read() {
	br := bufio.NewReader(p.nc)
	err := p.readAll(br)
	p.note(func() { p.end = err })
}

func (p *peer) readAll(br *bufio.Reader) error {
	if !p.upgraded {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			return err
		}
		var body []byte
		if resp.StatusCode != http.StatusSwitchingProtocols {
			body, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		p.note(func() { p.status, p.header, p.body = resp.StatusCode, resp.Header, string(body) })
		if err != nil {
			return fmt.Errorf("body of the answer: %w", err)
		}
		if resp.StatusCode != http.StatusSwitchingProtocols {
			n, err := io.Copy(io.Discard, br)
			if n > 0 {
				return fmt.Errorf("%w: %d bytes after the answer", errBroken, n)
			}
			if err == nil {
				err = io.EOF
			}
			return err
		}
	}
	for {
		f, err := p.readFrame(br)
		if err != nil {
			return err
		}
		p.note(func() { p.frames, p.total = append(p.frames, f), p.total+len(f.data) })
	}
}

// errBroken is what a server must never do.
var errBroken = errors.New("server breaks the protocol")

func (p *peer) readFrame(br *bufio.Reader) (f frame, err error) {
	var h [8]byte
	if _, err = io.ReadFull(br, h[:2]); err != nil {
		return f, err
	}
	f.b0 = h[0]
	if h[1]&0x80 != 0 {
		return f, fmt.Errorf("%w: a masked frame", errBroken)
	}
	n := uint64(h[1])
	switch n {
	case 126:
		if _, err = io.ReadFull(br, h[:2]); err != nil {
			return f, err
		}
		if n = uint64(binary.BigEndian.Uint16(h[:])); n < 126 {
			return f, fmt.Errorf("%w: length %d in 16 bits", errBroken, n)
		}
	case 127:
		if _, err = io.ReadFull(br, h[:8]); err != nil {
			return f, err
		}
		if n = binary.BigEndian.Uint64(h[:]); n < 1<<16 || n > 1<<30 {
			return f, fmt.Errorf("%w: length %d in 64 bits", errBroken, n)
		}
	}
	b := make([]byte, n)
	if _, err = io.ReadFull(br, b); err != nil {
		return f, err
	}
	if p.deflate && f.b0&rsv1 != 0 && f.b0&0x8 == 0 {
		f.b0 &^= rsv1
		if b, err = inflate(b); err != nil {
			return f, fmt.Errorf("%w: %w", errBroken, err)
		}
	}
	f.data = string(b)
	if f.b0 != fin|opText && f.b0 != fin|opBinary && f.b0 != fin|opClose && f.b0 != fin|opPing && f.b0 != fin|opPong {
		return f, fmt.Errorf("%w: frame %v", errBroken, f)
	}
	return f, nil
}

// note changes what has been received and wakes who waits for it.
func (p *peer) note(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.change)
	p.change = make(chan struct{})
}

// wait waits until done, which is called with mu held.
func (p *peer) wait(what string, done func() bool) {
	p.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		p.mu.Lock()
		ok, end, change := done(), p.end, p.change
		p.mu.Unlock()
		if ok {
			return
		}
		if end != nil {
			p.t.Fatalf("waiting for %s: the connection ended with %v; got %v", what, end, p.got())
		}
		select {
		case <-change:
		case <-timer.C:
			p.t.Fatalf("no %s in %v; got %v", what, patience, p.got())
		}
	}
}

func (p *peer) ended() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.end
}

// got returns the frames so far.
func (p *peer) got() []frame {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.frames)
}

// waitEnd waits until the server has ended the connection and returns all of its
// frames.
func (p *peer) waitEnd() []frame {
	p.t.Helper()
	p.listen()
	p.wait("end of the connection", func() bool { return p.end != nil })
	p.nc.Close()
	if err := p.ended(); errors.Is(err, errBroken) {
		p.t.Error(err)
	}
	return p.got()
}

// want is what must become of a connection. If it has neither a code nor a cut,
// the connection goes on: a message is echoed, and it closes with 1000.
type want struct {
	status int    // of the answer to the handshake, where the case sends one; 0: none, the connection is cut
	field  string // "Name: value" in that answer
	reason string // part of the answer's body, or of the close frame's reason

	frames []frame // from the server before it closes, all of them
	pongs  bool    // there may be any number of pongs, which are not in frames
	code   int     // of the server's close frame, which ends the connection
	cut    bool    // it ends without a close frame
	left   bool    // the peer has left: nothing is read
	told   int     // the code that OnClose is given, if it is not code, or 1006 after a cut, or 1000
}

// check finds out whether w has become of p.
func (p *peer) check(raw bool, w want) {
	p.t.Helper()
	if w.left {
		if w.told != 0 {
			p.checkTold(w.told)
		}
		return
	}
	p.listen()
	if raw && !p.answered(w) {
		return
	}
	if w.code == 0 && !w.cut {
		p.checkOpen(w)
		return
	}
	frames := p.waitEnd()
	told := 1006
	if w.code != 0 {
		told = w.code
		last := len(frames) - 1
		if last < 0 || !frames[last].isClose() {
			p.t.Fatalf("got %v, then %v; want a close frame with %d", frames, p.ended(), w.code)
		}
		f := frames[last]
		if f.code() != w.code || !strings.Contains(f.data, w.reason) {
			p.t.Errorf("closed with %d %q, want %d %q", f.code(), f.data[min(2, len(f.data)):], w.code, w.reason)
		}
		frames = frames[:last]
	}
	p.compare(w, frames)
	if w.told != 0 {
		told = w.told
	}
	p.checkTold(told)
}

// answered checks the answer to the handshake. It reports whether the
// connection was upgraded, as it should.
func (p *peer) answered(w want) bool {
	p.t.Helper()
	p.wait("answer to the handshake", func() bool { return p.status != 0 || p.end != nil })
	p.mu.Lock()
	status, header, body, end := p.status, p.header, p.body, p.end
	p.mu.Unlock()
	if status != w.status {
		p.t.Fatalf("answered with %d %q (%v), want %d", status, body, end, w.status)
	}
	if w.field != "" {
		name, value, _ := strings.Cut(w.field, ": ")
		if header.Get(name) != value {
			p.t.Errorf("field %s is %q, want %q", name, header.Get(name), value)
		}
	}
	if status == http.StatusSwitchingProtocols {
		sum := sha1.Sum([]byte(sampleKey + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		if got, want := header.Get("Sec-WebSocket-Accept"), base64.StdEncoding.EncodeToString(sum[:]); got != want {
			p.t.Errorf("Sec-WebSocket-Accept is %q, want %q", got, want)
		}
		return true
	}
	if !strings.Contains(body, w.reason) {
		p.t.Errorf("refused with %q, want %q in it", body, w.reason)
	}
	p.waitEnd()
	// A reset could take the answer with it, if we were further away.
	if err := p.ended(); status != 0 && p.s.hs == nil && !errors.Is(err, io.EOF) {
		p.t.Errorf("after the answer: %v, want an end without error", err)
	}
	if p.rec.accepted() {
		p.t.Error("refused, but there was a connection")
	}
	return false
}

// checkOpen verifies that the connection goes on, after the frames of w.
func (p *peer) checkOpen(w want) {
	p.t.Helper()
	p.write(masked(fin|opText, "still here?"))
	p.wait("echo", func() bool { return slices.Contains(p.frames, text("still here?")) })
	p.write(masked(fin|opClose, closing(1000, "")))
	frames := p.waitEnd()
	p.compare(want{frames: append(slices.Clone(w.frames), text("still here?"), frame{fin | opClose, closing(1000, "")}), pongs: w.pongs}, frames)
	p.checkTold(1000)
}

func (p *peer) compare(w want, frames []frame) {
	p.t.Helper()
	if w.pongs {
		frames = slices.DeleteFunc(frames, func(f frame) bool { return f.b0 == fin|opPong })
	}
	// A machine that is busy is no fault of the server, which may then ping.
	if ping := (frame{fin | opPing, ""}); !slices.Contains(w.frames, ping) {
		frames = slices.DeleteFunc(frames, func(f frame) bool { return f == ping })
	}
	if !slices.Equal(frames, w.frames) {
		p.t.Errorf("got %v, want %v (the connection ended with %v)", frames, w.frames, p.ended())
	}
}

// checkTold verifies what OnClose was given.
func (p *peer) checkTold(code int) {
	p.t.Helper()
	cause := p.rec.wait(p.t)
	if cause.Code != code {
		p.t.Errorf("OnClose with %v, want %d", cause, code)
	}
	p.rec.checkFaults(p.t)
}

// eventually polls for what has no event of its own.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	until := time.Now().Add(patience)
	for pause := 20 * time.Microsecond; !done(); pause = min(2*pause, 10*time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(pause)
	}
}

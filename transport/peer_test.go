package transport_test

import (
	"bufio"
	"bytes"
	"context"
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
	"testing/synctest"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// message is what a handler is given.
type message struct {
	Op   transport.Op
	Data string
}

func text(s string) message      { return message{transport.Text, s} }
func binaryMsg(s string) message { return message{transport.Binary, s} }

// recorder is a Handler that keeps what it is given, and watches that it is
// given it one at a time, and nothing after the end. The zero value is not
// ready; use newRecorder.
type recorder struct {
	onMessage func(c *transport.Conn, op transport.Op, p []byte) // instead of keeping it

	mu      sync.Mutex
	msgs    []message
	reads   int // calls of OnReadDone
	pending int // messages since the last OnReadDone
	faults  []string
	busy    bool
	cause   *transport.CloseError
	change  chan struct{} // closed and renewed at every event
	closed  chan struct{}
}

func newRecorder() *recorder {
	return &recorder{change: make(chan struct{}), closed: make(chan struct{})}
}

// newEcho returns a recorder that sends back what it gets.
func newEcho() *recorder {
	r := newRecorder()
	r.onMessage = func(c *transport.Conn, op transport.Op, p []byte) { _ = c.Send(op, p) }
	return r
}

// enter notes the beginning of a call, and returns what ends it.
func (r *recorder) enter(call string) (leave func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy {
		r.faults = append(r.faults, call+" during another call")
	}
	if r.cause != nil {
		r.faults = append(r.faults, call+" after OnClose")
	}
	r.busy = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.busy = false
		close(r.change)
		r.change = make(chan struct{})
	}
}

func (r *recorder) OnMessage(c *transport.Conn, op transport.Op, p []byte) {
	defer r.enter("OnMessage")()
	if r.onMessage != nil {
		r.onMessage(c, op, p)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending++
	if r.onMessage == nil {
		r.msgs = append(r.msgs, message{op, string(p)})
	}
	for i := range p {
		p[i] = 0xa5 // it is the handler's to write to
	}
}

func (r *recorder) OnReadDone(*transport.Conn) {
	defer r.enter("OnReadDone")()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending == 0 {
		r.faults = append(r.faults, "OnReadDone without a message")
	}
	r.pending = 0
	r.reads++
}

func (r *recorder) OnClose(_ *transport.Conn, err *transport.CloseError) {
	leave := r.enter("OnClose")
	defer close(r.closed)
	defer leave()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending != 0 {
		r.faults = append(r.faults, "OnClose before OnReadDone")
	}
	if err == nil {
		r.faults = append(r.faults, "OnClose without a reason")
		err = new(transport.CloseError)
	}
	r.cause = err
}

// check fails the test if the calls were not as Handler promises.
func (r *recorder) check(t testing.TB) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.faults {
		t.Error(f)
	}
}

// messages returns what has come so far.
func (r *recorder) messages() []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.msgs)
}

// wait waits for n messages and returns all that have come.
func (r *recorder) wait(t testing.TB, n int) []message {
	t.Helper()
	for {
		r.mu.Lock()
		got, change, cause := slices.Clone(r.msgs), r.change, r.cause
		r.mu.Unlock()
		if len(got) >= n {
			return got
		}
		if cause != nil {
			t.Fatalf("connection ended with %v after %d of %d messages", cause, len(got), n)
		}
		<-change
	}
}

// end waits for OnClose.
func (r *recorder) end(t testing.TB) *transport.CloseError {
	t.Helper()
	<-r.closed
	r.check(t)
	return r.closeError()
}

// closeError returns what OnClose was given, or nil while it was not called.
func (r *recorder) closeError() *transport.CloseError {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cause
}

// newServer returns a Server all of whose connections go to h.
func newServer(t testing.TB, h transport.Handler, o *transport.Options) *transport.Server {
	t.Helper()
	return acceptServer(t, func(*transport.Conn, *transport.Handshake) transport.Handler { return h }, o)
}

func acceptServer(t testing.TB, accept transport.Accept, o *transport.Options) *transport.Server {
	t.Helper()
	s, err := transport.NewServer(accept, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The frames below are made by hand, so that what the package says of its own
// frames is not what they are compared with.

var testMask = [4]byte{0x37, 0xfa, 0x21, 0x3d} // of the examples of RFC 6455, section 5.7

const fin = 0x80

// First bytes of whole frames.
const (
	opCont   = 0x0
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xa
)

// plain returns a frame as a server sends it.
func plain(first byte, payload string) []byte {
	return append(frameHead(first, 0, len(payload)), payload...)
}

// masked returns a frame as a client sends it.
func masked(first byte, payload string) []byte {
	b := append(frameHead(first, 0x80, len(payload)), testMask[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^testMask[i%4])
	}
	return b
}

func frameHead(first, maskBit byte, n int) []byte {
	switch {
	case n <= 125:
		return []byte{first, maskBit | byte(n)}
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16([]byte{first, maskBit | 126}, uint16(n))
	}
	return binary.BigEndian.AppendUint64([]byte{first, maskBit | 127}, uint64(n))
}

// closing returns the payload of a close frame.
func closing(code int, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(code))) + reason
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// frame is one frame as it was read.
type frame struct {
	First   byte
	Payload string
}

// splitFrames takes apart what one side sent. It is strict about nothing.
func splitFrames(b []byte) (frames []frame, rest []byte) {
	for {
		r := bytes.NewReader(b)
		f, err := readFrame(r)
		if err != nil {
			return frames, b
		}
		frames = append(frames, f)
		b = b[len(b)-r.Len():]
	}
}

func readFrame(r io.Reader) (f frame, err error) {
	var head [14]byte
	if _, err = io.ReadFull(r, head[:2]); err != nil {
		return f, err
	}
	f.First = head[0]
	isMasked, n := head[1]&0x80 != 0, uint64(head[1]&0x7f)
	switch n {
	case 126:
		_, err = io.ReadFull(r, head[:2])
		n = uint64(binary.BigEndian.Uint16(head[:]))
	case 127:
		_, err = io.ReadFull(r, head[:8])
		n = binary.BigEndian.Uint64(head[:])
	}
	if err != nil {
		return f, err
	}
	var mask [4]byte
	if isMasked {
		if _, err = io.ReadFull(r, mask[:]); err != nil {
			return f, err
		}
	}
	p := make([]byte, n)
	if _, err = io.ReadFull(r, p); err != nil {
		return f, err
	}
	for i := range p {
		p[i] ^= mask[i%4]
	}
	f.Payload = string(p)
	return f, nil
}

// upgradeRequest is the opening handshake of a peer.
func upgradeRequest(path string, fields ...string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: pipe\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
		strings.Join(append(fields, ""), "\r\n") + "\r\n")
}

// peer is the far end of a connection under test. It says what the test wants,
// be it allowed or not, and collects all that it is told.
type peer struct {
	t  testing.TB
	nc net.Conn
	r  *bufio.Reader

	mu  sync.Mutex
	got []byte
	err error // how the reading ended
}

// dialPeer connects a peer to s in memory and does the opening handshake, with
// further fields in its request.
func dialPeer(t testing.TB, s *transport.Server, fields ...string) *peer {
	t.Helper()
	near, far := net.Pipe()
	s.ServeConn(far)
	p := &peer{t: t, nc: near, r: bufio.NewReader(near)}
	p.upgrade(fields...)
	return p
}

// dialPeerTCP does the same over loopback.
func dialPeerTCP(t testing.TB, addr string) *peer {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(30 * time.Second))
	p := &peer{t: t, nc: nc, r: bufio.NewReader(nc)}
	p.upgrade()
	return p
}

func (p *peer) upgrade(fields ...string) {
	p.t.Helper()
	if _, err := p.nc.Write(upgradeRequest("/", fields...)); err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.ReadResponse(p.r, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		p.t.Fatalf("upgrade: %s", resp.Status)
	}
}

// listen begins to collect what comes. Without it nothing is read, and a peer
// on a net.Pipe takes no byte.
func (p *peer) listen() *peer {
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := p.r.Read(buf)
			p.mu.Lock()
			p.got = append(p.got, buf[:n]...)
			p.err = err
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return p
}

// write sends bytes. That the other side has hung up is no fault.
func (p *peer) write(b []byte) { _, _ = p.nc.Write(b) }

// bytes returns all that has come so far, and whether there will be more.
func (p *peer) bytes() (got []byte, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.got), p.err == nil
}

// frames returns the frames that have come so far.
func (p *peer) frames() []frame {
	p.t.Helper()
	got, _ := p.bytes()
	frames, rest := splitFrames(got)
	if len(rest) > 0 {
		p.t.Fatalf("half a frame: %x", rest)
	}
	return frames
}

// read returns the next frame of a peer that does not listen.
func (p *peer) read() frame {
	p.t.Helper()
	f, err := readFrame(p.r)
	if err != nil {
		p.t.Fatalf("read frame: %v", err)
	}
	return f
}

// dialServer opens a client connection to a raw server: the peer that is
// returned.
func dialServer(t testing.TB, o *transport.Options, h transport.Handler) (*transport.Conn, *peer) {
	t.Helper()
	c, p, err := dialAnswer(t, o, h)
	if err != nil {
		t.Fatal(err)
	}
	return c, p
}

// dialAnswer does the same with further fields in the response, after which the
// client may fail.
func dialAnswer(t testing.TB, o *transport.Options, h transport.Handler, fields ...string) (*transport.Conn, *peer, error) {
	t.Helper()
	near, far := net.Pipe()
	p := &peer{t: t, nc: near, r: bufio.NewReader(near)}
	answered := make(chan error, 1)
	go func() {
		req, err := http.ReadRequest(p.r)
		if err == nil {
			_, err = io.WriteString(near, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"+
				"Connection: Upgrade\r\nSec-WebSocket-Accept: "+acceptKey(req.Header.Get("Sec-Websocket-Key"))+"\r\n"+
				strings.Join(append(fields, ""), "\r\n")+"\r\n")
		}
		answered <- err
	}()
	c, err := dialerOver(far, o).Dial(t.Context(), "ws://pipe/", h)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	return c, p, err
}

func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// outcome is all there is to see of an exchange with a server.
type outcome struct {
	Messages []message
	Replies  []frame
	Open     bool // the socket, still
	Code     int  // that OnClose was given; 0 if it was not called
}

// exchange has a raw client send chunks to a server, one write each, and tells
// what came of it once nothing moves any more. No time passes.
func exchange(t *testing.T, o *transport.Options, chunks ...[]byte) (out outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		s := newServer(t, rec, o)
		p := dialPeer(t, s).listen()
		for _, chunk := range chunks {
			p.write(chunk)
		}
		synctest.Wait()
		out.Messages, out.Replies = rec.messages(), p.frames()
		_, out.Open = p.bytes()
		if err := rec.closeError(); err != nil {
			out.Code = err.Code
		}
		hangUp(t, s, p)
		rec.end(t)
	})
	return out
}

// hangUp ends a connection from the peer's side, and waits for all traces of it
// to go.
func hangUp(t testing.TB, s *transport.Server, p *peer) {
	t.Helper()
	_ = p.nc.Close()
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}

// closeCode returns the code of a close frame, 1005 if it has none, and 0 for
// other frames.
func (f frame) closeCode() int {
	switch {
	case f.First != fin|opClose:
		return 0
	case f.Payload == "":
		return transport.CloseNoStatus
	}
	return int(binary.BigEndian.Uint16([]byte(f.Payload)))
}

func (f frame) String() string { return fmt.Sprintf("%#02x %.40q", f.First, f.Payload) }

// dialerOver returns a Dialer whose one connection goes over nc.
func dialerOver(nc net.Conn, o *transport.Options) *transport.Dialer {
	return &transport.Dialer{Options: o, NetDial: netDial(nc)}
}

func netDial(nc net.Conn) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) { return nc, nil }
}

// serveTCP serves h on loopback until shutdown.
func serveTCP(t testing.TB, h transport.Handler, o *transport.Options) (s *transport.Server, addr string) {
	t.Helper()
	s = newServer(t, h, o)
	return s, listenTCP(t, s)
}

func listenTCP(t testing.TB, s *transport.Server) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		shutdown(t, s)
		if err := <-done; !errors.Is(err, transport.ErrServerClosed) {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// shutdown shuts s down, which must succeed.
func shutdown(t testing.TB, s *transport.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

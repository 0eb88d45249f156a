package chaos_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// clientCode is in the close frames of clients that close first; the others
// echo the server's.
const clientCode = 3000

// client is the far end of a link.
type client struct {
	l   *link
	nc  *net.TCPConn
	rnd *rand.Rand // of the goroutine that talks

	mu     sync.Mutex // held while a frame is written, also in many pieces
	wire   *rand.Rand // guarded by mu
	silent bool       // nothing may be written any more; guarded by mu
	start  time.Time
	heard  time.Duration // from start to the last frame
	broken bool          // a write has failed; guarded by mu, but before the reader runs
	eof    bool          // the reader has seen the end of the stream

	left chan struct{} // closed when the client cuts the connection itself
	done chan struct{} // closed when the reader has ended
}

// connect lives the life of a client: it opens a connection, talks, and leaves as
// planned. opened, if not nil, is called once the handshake is over.
func (w *world) connect(l *link, opened func()) {
	defer l.part()
	if opened == nil {
		opened = func() {}
	}
	d := net.Dialer{Timeout: patience}
	if l.plan.rcvbuf > 0 {
		d.Control = setReceiveBuffer(l.plan.rcvbuf)
	}
	nc, err := d.Dial("tcp", w.addr(l))
	if err != nil {
		l.failf("dial: %v", err)
		opened()
		return
	}
	c := &client{
		start: time.Now(), l: l, nc: nc.(*net.TCPConn), rnd: w.rand(l.id, 3), wire: w.rand(l.id, 5),
		left: make(chan struct{}), done: make(chan struct{}),
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	c.talk(opened)
}

func (c *client) talk(opened func()) {
	l := c.l
	request := fmt.Appendf(nil, "GET /?id=%d HTTP/1.1\r\nHost: chaos\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", l.id)
	if l.plan.ending == breaksHandshake {
		opened()
		_, _ = c.write(request[:c.rnd.IntN(len(request)+1)])
		if c.rnd.IntN(2) == 0 {
			c.reset()
		}
		return
	}
	sent := uint32(0)
	if l.plan.pipeline && l.plan.messages > 0 {
		// The first messages come with the request. That they arrive is seen
		// from the others behind them.
		sent = 1
		request = appendMessage(request, c.rnd, message{l.id, fromClient, 0}, c.size())
	}
	_, err := c.write(request)
	br := bufio.NewReaderSize(&pieces{c: c, rnd: l.w.rand(l.id, 4)}, 512)
	refusal := false
	if err == nil {
		l.wrote = sent
		var resp *http.Response
		if resp, err = http.ReadResponse(br, nil); err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
			err, refusal = errors.New(resp.Status), true
		}
	}
	opened()
	if err != nil {
		if !l.plan.strict && l.plan.server != cuts || refusal {
			l.failf("handshake: %v", err)
		}
		return
	}
	l.opened = true

	go c.read(br)
	defer func() {
		<-c.done // the read deadline is set
		// A write that fails takes the error of a reset away from the reader,
		// who then sees an end.
		l.orderly = c.eof && !c.broken
	}()
	for seq := sent; seq < uint32(l.plan.messages); seq++ {
		if !c.send(message{l.id, fromClient, seq}) {
			break
		}
		if c.rnd.IntN(5) == 0 && !c.wait(span(c.rnd, 10*time.Millisecond)) {
			break
		}
	}
	c.wait(l.plan.linger)
	c.leave()
}

func (c *client) size() int { return min(size(c.rnd), 60_000) }

// send writes one message. It reports false when no more can be written.
func (c *client) send(m message) bool {
	b := appendMessage(nil, c.rnd, m, c.size())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent {
		return false
	}
	n, err := c.write(b)
	if n == len(b) {
		c.l.wrote++
	}
	return err == nil
}

// wait lets time pass, and reports false if the reader has ended meanwhile.
func (c *client) wait(d time.Duration) bool {
	select {
	case <-c.done:
		return false
	case <-time.After(d):
		return true
	}
}

// write writes b in pieces. It returns how much the kernel took.
func (c *client) write(b []byte) (n int, err error) {
	for stalls := 0; n < len(b); {
		piece := b[n:]
		if limit := max(c.l.plan.writeMax, len(b)/500); len(piece) > limit {
			piece = piece[:1+c.wire.IntN(limit)]
		}
		k, err := c.nc.Write(piece)
		n += k
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.l.failf("the server has taken nothing for long")
		}
		if err != nil {
			c.broken = true
			return n, err
		}
		if stalls < 1 && c.wire.IntN(200) == 0 {
			stalls++
			time.Sleep(span(c.wire, c.stall())) // the network holds it up
		}
	}
	return n, nil
}

// stall is the longest that the client holds up what comes or goes. A strict
// server will not wait for so long.
func (c *client) stall() time.Duration {
	if c.l.plan.strict {
		return 2 * strictTimeout
	}
	return 50 * time.Millisecond
}

// writeClose writes a close frame, unless there was one.
func (c *client) writeClose(code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.silent {
		return
	}
	c.silent = true
	b := appendFrame(nil, c.wire, fin|opClose, binary.BigEndian.AppendUint16(nil, uint16(code)))
	if n, _ := c.write(b); n == len(b) {
		c.l.closed = code
	}
}

// half writes the beginning of a frame, after which nothing can follow.
func (c *client) half() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.silent {
		c.silent = true
		b := appendFrame(nil, c.rnd, fin|byte(transport.Binary), make([]byte, 300))
		_, _ = c.write(b[:1+c.rnd.IntN(len(b)-1)])
	}
}

// endWrite ends the client's side of the stream.
func (c *client) endWrite() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent = true
	if c.nc.CloseWrite() != nil {
		c.broken = true
	}
}

// leave ends the connection as planned.
func (c *client) leave() {
	switch c.l.plan.ending {
	case closes:
		c.writeClose(clientCode)
	case closesHalf:
		c.writeClose(clientCode)
		c.endWrite()
	case closesResets:
		c.writeClose(clientCode)
		c.reset()
	case floods:
		<-c.done
	case awaits, mutes:
	case resets:
		c.reset()
	case resetsInFrame:
		c.half()
		c.reset()
	case hangsUp:
		close(c.left)
		_ = c.nc.Close()
	case halves, halvesInFrame:
		if c.l.plan.ending == halvesInFrame {
			c.half()
		}
		c.endWrite()
	case deafens:
		select {
		case <-c.l.refused:
		case <-c.done:
		case <-time.After(patience):
			c.l.failf("the server has sent for long to one who does not read")
		}
		c.reset()
	case stopsInFrame:
		c.half()
	}
}

// reset closes the socket so that the peer is sent a RST.
func (c *client) reset() {
	close(c.left)
	_ = c.nc.SetLinger(0)
	_ = c.nc.Close()
}

// pieces reads in pieces, and stalls.
type pieces struct {
	c      *client
	rnd    *rand.Rand
	reads  int
	stalls int
}

func (r *pieces) Read(p []byte) (int, error) {
	// After many small pieces the rest comes in larger ones.
	r.reads++
	if limit := max(r.c.l.plan.readMax, r.reads/10); len(p) > limit {
		p = p[:1+r.rnd.IntN(limit)]
	}
	if r.stalls < 3 && r.rnd.IntN(50) == 0 {
		r.stalls++
		r.c.wait(span(r.rnd, r.c.stall()))
	}
	return r.c.nc.Read(p)
}

// read takes note of what the server sends, until the end.
func (c *client) read(br *bufio.Reader) {
	defer close(c.done)
	l := c.l
	switch l.plan.ending {
	case floods:
		select {
		case <-l.refused:
		case <-time.After(patience):
			l.failf("the server has sent for long to one who does not read")
		}
	case deafens:
		<-c.left
		return
	}
	var buf []byte
	for {
		first, payload, err := readFrame(br, buf)
		if err != nil {
			c.ended(err)
			return
		}
		buf = payload
		c.heard = time.Since(c.start)
		if l.closeCode != 0 {
			l.failf("frame %#02x after the close frame", first)
			return
		}
		switch first {
		case fin | byte(transport.Text), fin | byte(transport.Binary):
			m, err := parse(transport.Op(first&0xf), payload)
			own := m.origin == l.id && m.sender <= replier
			if !own && (m.origin != l.groupID() || m.sender != caster) && err == nil {
				err = fmt.Errorf("%+v is of another", m)
			}
			if err != nil {
				l.failf("after %d messages: %v", len(l.got), err)
				return
			}
			l.got = append(l.got, heard{m.sender, m.seq})
		case fin | opPing:
			c.mu.Lock()
			if !c.silent {
				_, _ = c.write(appendFrame(nil, c.wire, fin|opPong, payload))
			}
			c.mu.Unlock()
		case fin | opPong:
		case fin | opClose:
			if len(payload) < 2 {
				l.failf("close frame %q", payload)
				return
			}
			l.closeCode = int(binary.BigEndian.Uint16(payload))
			if l.plan.ending != mutes {
				c.writeClose(l.closeCode)
			}
		default:
			l.failf("after %d messages: frame %#02x of %d bytes", len(l.got), first, len(payload))
			return
		}
	}
}

// ended takes note of how the stream ended.
func (c *client) ended(err error) {
	l := c.l
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) && l.closeCode != 0:
		l.failf("half a frame after the close frame")
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		c.eof = true
	case errors.Is(err, os.ErrDeadlineExceeded):
		l.failf("the server neither sent nor closed for long; %d messages came, the last thing after %v, close frame with %d; the server's end: %v",
			len(l.got), c.heard.Round(time.Millisecond), l.closeCode, l.took.Load() && l.parts.Load() == 1)
	case errors.Is(err, errTooLong):
		l.failf("after %d messages: %v", len(l.got), err)
	}
}

// readFrame reads a frame into buf, if that is large enough.
func readFrame(r io.Reader, buf []byte) (first byte, payload []byte, err error) {
	var head [8]byte
	if _, err = io.ReadFull(r, head[:2]); err != nil {
		return 0, nil, err
	}
	first = head[0]
	n := uint64(head[1])
	switch n {
	case 126:
		_, err = io.ReadFull(r, head[:2])
		n = uint64(binary.BigEndian.Uint16(head[:]))
	case 127:
		_, err = io.ReadFull(r, head[:])
		n = binary.BigEndian.Uint64(head[:])
	}
	if err == nil && n > 200_000 {
		return 0, nil, errTooLong
	}
	if err == nil {
		if uint64(cap(buf)) < n {
			buf = make([]byte, n)
		}
		buf = buf[:n]
		_, err = io.ReadFull(r, buf)
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return first, buf, err
}

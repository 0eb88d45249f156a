package transport

import (
	"net"
	"time"
)

// Feeder is a connection without a socket and without time: what it would read
// is given to Feed, what it writes is appended to Out.
type Feeder struct {
	Conn *Conn
	Out  []byte
}

// NewFeeder returns a Feeder for either side of a connection, with
// permessage-deflate if the options have it.
func NewFeeder(h Handler, o *Options, client bool) *Feeder {
	f := new(Feeder)
	sh := newSharedOf(o, 1).pick()
	sh.drivers[drvGoroutine] = (*feederDriver)(f)
	f.Conn = &Conn{sh: sh, h: h, client: client, deflate: sh.opts.Deflate, slot: slotNone}
	return f
}

// Feed takes p as read from the socket; p is overwritten.
func (f *Feeder) Feed(p []byte) { f.Conn.feed(p) }

// End takes the end of the input.
func (f *Feeder) End() { f.Conn.ended(nil) }

// Empty reports that the connection holds neither a queue nor a half-received
// message.
func (f *Feeder) Empty() bool { return f.Conn.in == nil && f.Conn.q == nil }

type feederDriver Feeder

func (*feederDriver) name() Driver        { return "feeder" }
func (*feederDriver) start(*Conn, []byte) {}
func (*feederDriver) resume(*Conn)        {}
func (*feederDriver) fin(*Conn)           {}
func (*feederDriver) shut(*Conn)          {}
func (*feederDriver) release(*Conn)       {}
func (*feederDriver) waits() bool         { return true }
func (f *feederDriver) push(c *Conn)      { f.write(c) }
func (f *feederDriver) wake(c *Conn)      { f.write(c) }
func (f *feederDriver) write(c *Conn) {
	vec, _, ok := c.nextWrite(writeSize)
	for ok {
		n := 0
		for _, b := range *vec {
			f.Out = append(f.Out, b...)
			n += len(b)
		}
		vec, _, ok = c.wrote(n, nil, writeSize)
	}
}

// QueueFrameUnsent queues f and forgets it at once, as if it had been written.
func (f *Feeder) QueueFrameUnsent(frame *Frame) error {
	if err := f.Conn.QueueFrame(frame); err != nil {
		return err
	}
	c := f.Conn
	c.mu.Lock()
	defer c.mu.Unlock()
	c.q.drop()
	return nil
}

// FrameBytes returns the bytes that a Frame shares between connections.
func FrameBytes(f *Frame) []byte { return f.plain.b }

// NetConn returns the network connection under c, or nil if the driver has
// taken the socket out of it.
func NetConn(c *Conn) net.Conn { return c.nc }

// Drop closes the socket under c, of which c knows nothing.
func Drop(c *Conn) {
	if c.nc != nil {
		_ = c.nc.Close()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.released {
		c.driver().shut(c)
	}
}

// Inflate inflates a payload with a pooled inflater. code is that of the
// violation, or 0.
func Inflate(payload []byte, limit int) (msg []byte, code int) {
	z := inflaterPool.Get().(*inflater)
	defer putInflater(z)
	msg, bad := z.inflate(payload, limit)
	if bad != nil {
		return nil, bad.code
	}
	return append([]byte{}, msg...), 0
}

// Deflate deflates a payload with a pooled deflater. ok is false if that is not
// smaller.
func Deflate(payload []byte) (b []byte, ok bool) {
	d := deflate(payload)
	if d == nil {
		return nil, false
	}
	defer putDeflater(d)
	return append([]byte{}, d.out...), true
}

// DeflatedFrame returns the bytes of the deflated form of a Frame, or nil if it
// has not been made.
func DeflatedFrame(f *Frame) []byte {
	if f.z == nil {
		return nil
	}
	return f.z.b
}

// Standstill makes the server's clocks believe that nothing has run for d.
func (s *Server) Standstill(d time.Duration) {
	for _, sh := range s.sh.shards {
		sh.wheel.mu.Lock()
		sh.wheel.start = sh.wheel.start.Add(-d)
		sh.wheel.mu.Unlock()
	}
}

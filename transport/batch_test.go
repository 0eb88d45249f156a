package transport_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/transport"
)

func mustFrame(t testing.TB, op transport.Op, payload string) *transport.Frame {
	t.Helper()
	f, err := transport.NewFrame(op, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// mixture returns frames of both kinds and all sizes, some of which can be
// deflated.
func mixture(t testing.TB) (fs []*transport.Frame) {
	t.Helper()
	for i, n := range []int{0, 1, 125, 126, 511, 512, 4000, 65_535, 65_536, 100_000} {
		fs = append(fs, mustFrame(t, transport.Text, chat(n, uint64(i))), mustFrame(t, transport.Binary, noise(n)))
	}
	return fs
}

// Verify that a batch goes over the wire as its frames do, byte for byte, in
// each form, and that a client's does but for the masks.
func TestBatchBytes(t *testing.T) {
	opts := map[string]*transport.Options{
		"plain":             {},
		"deflated":          {Deflate: true},
		"all deflated":      deflated(),
		"few deflated":      {Deflate: true, DeflateThreshold: 50_000},
		"none long enough":  {Deflate: true, DeflateThreshold: 1 << 30},
		"larger than queue": {MaxQueueBytes: 400_000, Deflate: true},
	}
	for name, o := range opts {
		for _, client := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, client %v", name, client), func(t *testing.T) {
				all := mixture(t)
				for _, fs := range [][]*transport.Frame{all, all[:1], all[12:13], all[3:9], all[18:]} {
					one, many := transport.NewFeeder(discarder{}, o, client), transport.NewFeeder(discarder{}, o, client)
					b := transport.NewBatch(fs)
					for range 2 { // the second time all forms are there
						if err := one.Conn.SendBatch(b); err != nil {
							t.Fatal(err)
						}
						if err := many.Conn.SendFrames(fs); err != nil {
							t.Fatal(err)
						}
					}
					if client {
						got, rest := splitFrames(one.Out)
						want, _ := splitFrames(many.Out)
						if diff := cmp.Diff(want, got); diff != "" || len(rest) > 0 {
							t.Errorf("%.1000s", diff)
						}
					} else if !bytes.Equal(one.Out, many.Out) {
						t.Errorf("%d frames: %d bytes, want %d others", len(fs), len(one.Out), len(many.Out))
					}
					if !one.Empty() {
						t.Error("something is kept")
					}
				}
			})
		}
	}
}

// Verify that connections with and without permessage-deflate get each their
// form of one batch.
func TestBatchForms(t *testing.T) {
	fs := mixture(t)
	b := transport.NewBatch(fs)
	for range 2 {
		for name, o := range map[string]*transport.Options{"plain": nil, "deflated": {Deflate: true}} {
			f := transport.NewFeeder(discarder{}, o, false)
			if err := f.Conn.SendBatch(b); err != nil {
				t.Fatal(err)
			}
			frames, rest := splitFrames(f.Out)
			if len(frames) != len(fs) || len(rest) > 0 {
				t.Fatalf("%s: %d frames", name, len(frames))
			}
			squeezed := 0
			for i, got := range frames {
				if got.First&rsv1 != 0 {
					squeezed++
					got.First &^= rsv1
					got.Payload = unzip(t, got.Payload)
				}
				if got != (frame{fin | byte(fs[i].Op()), string(fs[i].Payload())}) {
					t.Errorf("%s: frame %d is %v", name, i, got)
				}
			}
			if want := map[string]int{"plain": 0, "deflated": 5}[name]; squeezed != want {
				t.Errorf("%s: %d frames are deflated, want %d", name, squeezed, want)
			}
		}
	}
}

// TestBatchQueueBounds fills the queue of a peer that does not read with
// batches.
func TestBatchQueueBounds(t *testing.T) {
	tests := []struct {
		name   string
		opts   transport.Options
		frames int // of 8 bytes, 10 with their header
		fit    int // how many batches do
		slow   bool
	}{
		{"bytes", transport.Options{MaxQueueBytes: 120}, 3, 4, true},
		{"bytes, one less", transport.Options{MaxQueueBytes: 119}, 3, 3, true},
		{"bytes of one batch", transport.Options{MaxQueueBytes: 30}, 3, 1, true},
		{"frames", transport.Options{MaxQueueFrames: 12}, 3, 4, true},
		{"frames, one less", transport.Options{MaxQueueFrames: 11}, 3, 3, true},
		{"frames of one batch", transport.Options{MaxQueueFrames: 3}, 3, 1, true},
		{"too many frames in one", transport.Options{MaxQueueFrames: 2}, 3, 0, true},
		{"no limit", transport.Options{MaxQueueFrames: -1, MaxQueueBytes: -1}, 2000, 20, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, &tt.opts, func(t *testing.T, s *transport.Server, c *transport.Conn, p *peer, rec *recorder) {
				fs := make([]*transport.Frame, tt.frames)
				for i := range fs {
					fs[i] = mustFrame(t, transport.Text, fmt.Sprintf("%08d", i))
				}
				b := transport.NewBatch(fs)
				for i := range tt.fit {
					if err := c.SendBatch(b); err != nil {
						t.Fatalf("batch %d: %v", i, err)
					}
				}
				synctest.Wait() // the first of them is on its way
				if n := c.Buffered(); n != tt.fit*tt.frames*10 {
					t.Errorf("%d bytes buffered", n)
				}
				if !tt.slow {
					p.listen()
					synctest.Wait()
					if st := s.Stats(); st.FramesOut != uint64(tt.fit*tt.frames) || c.Buffered() != 0 {
						t.Errorf("%d buffered, %+v", c.Buffered(), st)
					}
					return
				}
				if err := c.SendBatch(b); !errors.Is(err, transport.ErrSlowConsumer) {
					t.Fatalf("one more: %v, want ErrSlowConsumer", err)
				}
				if err := c.SendBatch(b); !errors.Is(err, transport.ErrClosed) {
					t.Errorf("after that: %v, want ErrClosed", err)
				}
				p.listen()
				synctest.Wait()
				frames := p.frames()
				if diff := cmp.Diff(frame{fin | opClose, closing(4508, "slow_consumer")}, frames[len(frames)-1]); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				p.write(masked(fin|opClose, closing(4508, "")))
				err := rec.end(t)
				// What was on its way has come whole, the rest is counted: frame by frame.
				delivered, total := len(frames)-1, (tt.fit+1)*tt.frames
				if delivered > tt.frames*tt.fit {
					t.Errorf("%d frames came", delivered)
				}
				st := s.Stats()
				if err.Code != 4508 || st.SlowConsumers != 1 || st.FramesOut != uint64(delivered) ||
					st.DroppedSlow != uint64(total-delivered) || st.DroppedClosed != uint64(tt.frames) {
					t.Errorf("%d of %d delivered, OnClose with %v, %+v", delivered, total, err, st)
				}
			})
		})
	}
}

// Verify that a batch that no queue could hold is what its frames are one by
// one: those before the one that fails go out.
func TestBatchFallsBack(t *testing.T) {
	for name, tt := range map[string]struct {
		sizes []int // a header takes 2 or 4
		err   error
		fit   int
	}{
		"just fits":              {[]int{48, 48}, nil, 2},
		"one byte more":          {[]int{48, 49}, transport.ErrSlowConsumer, 1},
		"one that never fits":    {[]int{10, 99, 10}, transport.ErrTooLarge, 1},
		"it is the first":        {[]int{99, 10}, transport.ErrTooLarge, 0},
		"alone":                  {[]int{99}, transport.ErrTooLarge, 0},
		"alone, just fits":       {[]int{98}, nil, 1},
		"many that fit together": {[]int{8, 8, 8, 8, 8, 8, 8, 8, 8, 8}, nil, 10},
	} {
		t.Run(name, func(t *testing.T) {
			var fs []*transport.Frame
			for i, n := range tt.sizes {
				fs = append(fs, mustFrame(t, transport.Text, strings.Repeat(string(rune('a'+i)), n)))
			}
			var outs [2][]byte
			var stats [2]transport.Stats
			for i, send := range []func(c *transport.Conn) error{
				func(c *transport.Conn) error { return c.SendBatch(transport.NewBatch(fs)) },
				func(c *transport.Conn) error { return c.SendFrames(fs) },
			} {
				inBubble(t, &transport.Options{MaxQueueBytes: 100}, func(t *testing.T, s *transport.Server, c *transport.Conn, p *peer, _ *recorder) {
					if err := send(c); !errors.Is(err, tt.err) {
						t.Errorf("%v, want %v", err, tt.err)
					}
					p.listen()
					synctest.Wait()
					outs[i], _ = p.bytes()
					stats[i] = s.Stats()
					frames, _ := splitFrames(outs[i])
					if n := len(frames); tt.err != transport.ErrSlowConsumer && n != tt.fit { //nolint:errorlint // it is the table's
						t.Errorf("%d frames, want %d", n, tt.fit)
					}
				})
			}
			if diff := cmp.Diff(stats[1], stats[0]); diff != "" || !bytes.Equal(outs[0], outs[1]) {
				t.Errorf("%d bytes, want %d; (-frames +batch):\n%s", len(outs[0]), len(outs[1]), diff)
			}
		})
	}
}

// Verify that the frames of a batch that is never written are counted one by
// one, in Unsent and in Stats, and so is what deflating has saved.
func TestBatchCounts(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, s *transport.Server, c *transport.Conn, _ *peer, rec *recorder) {
		b := transport.NewBatch([]*transport.Frame{mustFrame(t, transport.Text, "a"), mustFrame(t, transport.Text, "b"), mustFrame(t, transport.Text, "c")})
		for range 4 {
			if err := c.SendBatch(b); err != nil {
				t.Fatal(err)
			}
		}
		c.Cut()
		if err := rec.end(t); err.Unsent != 12 {
			t.Errorf("OnClose with %#v", err)
		}
		synctest.Wait()
		if st := s.Stats(); st.DroppedClosed != 12 || st.FramesOut != 0 {
			t.Errorf("%+v", st)
		}
	})
	var stats [2]transport.Stats
	fs := mixture(t)
	for i, send := range []func(c *transport.Conn) error{
		func(c *transport.Conn) error { return c.SendBatch(transport.NewBatch(fs)) },
		func(c *transport.Conn) error { return c.SendFrames(fs) },
	} {
		synctest.Test(t, func(t *testing.T) {
			o := &transport.Options{Deflate: true}
			rec := newRecorder()
			d := &transport.Dialer{Options: &transport.Options{Deflate: true, MaxMessageBytes: -1}}
			conns := make(chan *transport.Conn, 1)
			s := acceptServer(t, func(c *transport.Conn, _ *transport.Handshake) transport.Handler { conns <- c; return rec }, o)
			cr := newRecorder()
			c, err := d.Pipe(t.Context(), s, "/", cr)
			if err != nil {
				t.Fatal(err)
			}
			sender := <-conns
			for range 2 {
				if err := send(sender); err != nil {
					t.Fatal(err)
				}
			}
			cr.wait(t, 2*len(fs))
			synctest.Wait() // it is counted when it has been written
			stats[i] = s.Stats()
			c.Cut()
			rec.end(t)
			cr.end(t)
		})
	}
	stats[0].Writes, stats[1].Writes = 0, 0
	if diff := cmp.Diff(stats[1], stats[0]); diff != "" || stats[0].DeflatedOut == 0 || stats[0].DeflateSaved == 0 {
		t.Errorf("(-frames +batch):\n%s", diff)
	}
}

// pointedConn is a connection that has done its part of the handshake, and notes
// where what is written to it lies.
type pointedConn struct {
	*scriptConn
	mu sync.Mutex
	at map[*byte]int
}

func (c *pointedConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.at[unsafe.SliceData(p)]++
	c.mu.Unlock()
	return c.scriptConn.Write(p)
}

// Verify that one batch to 1,000 connections is neither copied nor changed,
// whoever sends it.
func TestBatchIsShared(t *testing.T) {
	const n, senders, each = 1000, 4, 3
	var fs []*transport.Frame
	for i := range 20 {
		fs = append(fs, mustFrame(t, transport.Text, chat(100+i, uint64(i))))
	}
	b := transport.NewBatch(fs)
	probe := transport.NewFeeder(discarder{}, nil, false)
	if err := probe.Conn.SendBatch(b); err != nil {
		t.Fatal(err)
	}
	s, conns := meeter(t, &transport.Options{MaxQueueFrames: -1})
	var ncs []*pointedConn
	var ends []met
	for range n {
		nc := &pointedConn{scriptConn: &scriptConn{newDiscardConn(), upgradeRequest("/")}, at: make(map[*byte]int)}
		ncs = append(ncs, nc)
		s.ServeConn(nc)
		ends = append(ends, receive(t, "the connection", conns))
	}
	for round := range each { // one batch at a time for each connection: several would be copied together
		var wg sync.WaitGroup
		for sender := range senders {
			wg.Go(func() {
				for i := sender; i < n; i += senders {
					if err := ends[i].SendBatch(b); err != nil {
						t.Error(err)
					}
				}
			})
			wg.Go(func() { // beside deflating ones, which need another form
				f := transport.NewFeeder(discarder{}, deflated(), false)
				if err := f.Conn.SendBatch(b); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		until(t, "all written", func() bool { return s.Stats().FramesOut == uint64(n*(round+1)*len(fs)) })
	}
	places := make(map[*byte]int)
	for _, nc := range ncs {
		nc.mu.Lock()
		for at, k := range nc.at {
			places[at] += k
		}
		nc.mu.Unlock()
	}
	if most := slices.Max(slices.Collect(maps.Values(places))); most != n*each {
		t.Errorf("%d of %d writes are from the same place", most, n*each)
	}
	again := transport.NewFeeder(discarder{}, nil, false)
	if err := again.Conn.SendBatch(b); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.Out, probe.Out) {
		t.Error("the batch was changed")
	}
	if got := testing.AllocsPerRun(100, func() {
		again.Out = again.Out[:0]
		if err := again.Conn.SendBatch(b); err != nil {
			t.Error(err)
		}
	}); got > 0 {
		t.Errorf("%v allocations for one more connection", got)
	}
	for _, m := range ends {
		m.Cut()
		m.rec.ended(t)
	}
}

// Verify that a batch arrives over connections of all kinds at once, those of
// clients included, which mask a copy.
func TestBatchArrives(t *testing.T) {
	const n = 20
	var fs []*transport.Frame
	var want []message
	for i := range 30 {
		fs = append(fs, mustFrame(t, transport.Text, chat(i*100, uint64(i))))
		want = append(want, text(chat(i*100, uint64(i))))
	}
	b := transport.NewBatch(fs)
	var wg sync.WaitGroup
	for i := range n {
		s, c, sr, cr := pair(t, i%2 == 0, &transport.Options{Deflate: i%3 == 0})
		for _, end := range []*transport.Conn{s, c} {
			wg.Go(func() {
				if err := end.SendBatch(b); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			for _, rec := range []*recorder{sr, cr} {
				if diff := cmp.Diff(want, rec.wait(t, len(want))); diff != "" {
					t.Errorf("%.500s", diff)
				}
			}
			c.Close(1000, "")
			sr.end(t)
			cr.end(t)
		})
	}
	wg.Wait()
}

package transport_test

import (
	"bytes"
	stdflate "compress/flate"
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/klauspost/compress/flate"

	"github.com/wireroom/wireroom/transport"
)

var deflateSizes = []int{125, 1 << 10, 16 << 10}

// flateWriter is what both libraries have.
type flateWriter interface {
	io.Writer
	Flush() error
	Reset(w io.Writer)
}

// flateWriters are the candidates, by library and level.
func flateWriters(b *testing.B) (names []string, open map[string]func() flateWriter) {
	b.Helper()
	open = make(map[string]func() flateWriter)
	add := func(lib string, level int, f func(level int) (flateWriter, error)) {
		name := fmt.Sprintf("%s-%d", lib, level)
		names = append(names, name)
		open[name] = func() flateWriter {
			w, err := f(level)
			if err != nil {
				b.Fatal(err)
			}
			return w
		}
	}
	for _, level := range []int{1, 2, 6} {
		add("std", level, func(level int) (flateWriter, error) { return stdflate.NewWriter(io.Discard, level) })
	}
	for level := 1; level <= 6; level++ {
		add("klauspost", level, func(level int) (flateWriter, error) { return flate.NewWriter(io.Discard, level) })
	}
	return names, open
}

// BenchmarkFlateWriters is what the choice of the library and of deflateLevel
// rests on: time, deflated size, and what a writer takes of memory once it has
// been used.
func BenchmarkFlateWriters(b *testing.B) {
	names, open := flateWriters(b)
	for _, size := range deflateSizes {
		in := []byte(chat(size, 1))
		for _, name := range names {
			b.Run(fmt.Sprintf("%d/%s", size, name), func(b *testing.B) {
				var out bytes.Buffer
				out.Grow(2*size + 100)
				before := liveHeap()
				w := open[name]()
				deflateOnce(b, w, &out, in)
				resident := liveHeap() - before
				b.ReportAllocs()
				for b.Loop() {
					deflateOnce(b, w, &out, in)
				}
				b.ReportMetric(float64(out.Len()-4), "bytes-out")
				b.ReportMetric(float64(resident), "B-resident")
			})
		}
		b.Run(fmt.Sprintf("%d/klauspost-stateless", size), func(b *testing.B) {
			var out bytes.Buffer
			out.Grow(2*size + 100)
			b.ReportAllocs()
			for b.Loop() {
				out.Reset()
				if err := flate.StatelessDeflate(&out, in, false, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(out.Len()-4), "bytes-out")
		})
	}
}

func deflateOnce(b *testing.B, w flateWriter, out *bytes.Buffer, in []byte) {
	out.Reset()
	w.Reset(out)
	_, err := w.Write(in)
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkFlateReaders compares how the libraries inflate one message.
func BenchmarkFlateReaders(b *testing.B) {
	for _, size := range deflateSizes {
		z := []byte(zip(b, chat(size, 1)) + "\x00\x00\xff\xff\x01\x00\x00\xff\xff")
		for _, lib := range []string{"std", "klauspost"} {
			b.Run(fmt.Sprintf("%d/%s", size, lib), func(b *testing.B) {
				src := bytes.NewReader(nil)
				out := make([]byte, size+1)
				before := liveHeap()
				var r io.Reader = flate.NewReader(src)
				if lib == "std" {
					r = stdflate.NewReader(src)
				}
				resident := liveHeap() - before
				reset := r.(stdflate.Resetter) // the same in both
				b.ReportAllocs()
				for b.Loop() {
					src.Reset(z)
					if err := reset.Reset(src, nil); err != nil {
						b.Fatal(err)
					}
					if n, err := io.ReadFull(r, out); n != size {
						b.Fatal(n, err)
					}
				}
				b.ReportMetric(float64(resident), "B-resident")
				runtime.KeepAlive(r)
			})
		}
	}
}

// BenchmarkInflate parses and inflates one masked message per round.
func BenchmarkInflate(b *testing.B) {
	for _, size := range deflateSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			h := new(counter)
			f := transport.NewFeeder(h, deflated(), false)
			in := masked(fin|rsv1|opText, zip(b, chat(size, 1)))
			buf := make([]byte, len(in))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				copy(buf, in) // it is unmasked in place
				f.Feed(buf)
			}
			if h.messages != b.N {
				b.Errorf("%d messages in %d rounds", h.messages, b.N)
			}
		})
	}
}

// BenchmarkDeflateSend deflates, queues and writes one message per round.
func BenchmarkDeflateSend(b *testing.B) {
	for _, size := range deflateSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			f := transport.NewFeeder(discarder{}, deflated(), false)
			in := []byte(chat(size, 1))
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				f.Out = f.Out[:0]
				if err := f.Conn.Send(transport.Text, in); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(f.Out)), "bytes-out")
		})
	}
}

// BenchmarkDeflateBroadcast frames a message of 1 KiB and queues it on many
// connections with deflate: it is deflated once.
func BenchmarkDeflateBroadcast(b *testing.B) {
	in := []byte(chat(1<<10, 1))
	for _, members := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(members), func(b *testing.B) {
			fs := make([]*transport.Feeder, members)
			for i := range fs {
				fs[i] = transport.NewFeeder(discarder{}, deflated(), false)
			}
			b.ReportAllocs()
			rounds := 0
			for b.Loop() {
				rounds++
				shared, err := transport.NewFrame(transport.Text, in)
				if err != nil {
					b.Fatal(err)
				}
				for _, f := range fs {
					if err := f.QueueFrameUnsent(shared); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rounds*members), "ns/member")
		})
	}
}

package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wireroom/wireroom/bench/internal/contract"
	"github.com/wireroom/wireroom/bench/internal/measure"
	"github.com/wireroom/wireroom/bench/internal/record"
)

// sample is a report with every kind of case, three repetitions, a peer, and a
// server that fails once.
func sample() *record.Report {
	r := &record.Report{
		Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Command: "go run ./bench", Commit: "abc",
		Machine: record.Machine{CPU: "a processor", Cores: 2, Memory: 4 << 30, Kernel: "6.1", Go: "go1.26"},
		Servers: []record.Server{{Name: "wireroom", Version: "abc"}, {Name: "floor"}, {Name: "<peer>", Version: "v1", Peer: true}},
	}
	kinds := []record.Kind{record.Echo, record.Broadcast, record.SlowKind, record.IdleKind, record.Churn, record.SimKind}
	for _, k := range kinds {
		c := record.Case{Name: string(k), Kind: k, Unit: "message", About: "About " + string(k)}
		if k == record.Echo {
			c.Goal = 1.1
		}
		r.Cases = append(r.Cases, c)
		for rep := range 3 {
			for i, s := range r.Servers {
				r.Runs = append(r.Runs, sampleRun(c, s.Name, rep, i))
			}
		}
	}
	return r
}

// sampleRun makes floor cost 1 µs, 2 µs and 4 µs in the three repetitions,
// wireroom twice and the peer three times as much.
func sampleRun(c record.Case, server string, rep, i int) record.Run {
	factor := []int64{2, 1, 3}[i]
	ms := func(n int64) time.Duration { return time.Duration(n * factor * int64(time.Millisecond)) }
	var h measure.Histogram
	h.Add(ms(1))
	h.Add(ms(3))
	run := record.Run{
		Case: c.Name, Server: server, Repetition: rep, Memory: &contract.Memory{Heap: 1 << 20, Stack: 2 << 10, Goroutines: 7},
		Load: record.Load{
			Messages: 1000, Elapsed: time.Second / 2, ServerCPU: ms(1 << rep), OtherCPU: time.Second / 4,
			RSSBefore: 10 << 20, RSSPeak: 11 << 20, Latency: h.Summary(),
		},
	}
	switch c.Kind {
	case record.SlowKind:
		run.Load.Slow = &record.Slow{Members: 10, Cut: 9, Codes: map[string]int{"4508": 8, "cut": 1}, Broadcasts: 1234, Silence: 5 * time.Millisecond}
	case record.IdleKind:
		run.Idle = &record.Idle{Connections: 1000}
		run.Idle.Empty.RSS, run.Idle.Full.RSS, run.Idle.Collected.RSS = 1<<20, 1<<20+2048*1000, 1<<20+512*1000
	case record.SimKind:
		run.Sim = &record.Sim{Connections: 1000 * (rep + 1), Bytes: 2048, PerMember: 100}
	}
	if i == 2 && rep == 1 {
		run.Failed = "3 lost"
	}
	return run
}

// Verify medians, ranges, and that ratios are taken within a repetition: here
// they are all the same although the times are not.
func TestTables(t *testing.T) {
	echo := tables(sample())[0]
	for i, want := range []row{
		{cpu: measure.Spread{Median: 4000, Min: 2000, Max: 8000, N: 3}, ratio: measure.Spread{Median: 2, Min: 2, Max: 2, N: 3}},
		{cpu: measure.Spread{Median: 2000, Min: 1000, Max: 4000, N: 3}, ratio: measure.Spread{Median: 1, Min: 1, Max: 1, N: 3}},
		{cpu: measure.Spread{Median: 7500, Min: 3000, Max: 12000, N: 2}, ratio: measure.Spread{Median: 3, Min: 3, Max: 3, N: 2}},
	} {
		if got := echo.rows[i]; got.cpu != want.cpu || got.ratio != want.ratio {
			t.Errorf("%s: cpu %+v, ratio %+v", got.server.Name, got.cpu, got.ratio)
		}
	}
}

// Verify the tables as a reader sees them.
func TestMarkdown(t *testing.T) {
	var b bytes.Buffer
	if err := Markdown(&b, sample()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Measured 2026-01-02 03:04 UTC on a processor, 2 cores, 4.00 GiB, Linux 6.1, go1.26.",
		"Commit abc. Command: `go run ./bench`",
		"Versions: wireroom abc, <peer> v1.",
		"Other processes used 0.50 of 2 cores meanwhile",
		"The machine was not quiet",
		"| server   |   CPU µs/message | × floor (goal 1.1) |",
		"| wireroom | 4.00 (2.00–8.00) |   2.00 (2.00–2.00) |      2,000 | 2.01 ms | 6.00 ms | 6.00 ms | 11.0 MiB | 1.00 MiB | 2.00 KiB |       7.00 |        0.50 |",
		"|      1.00 MiB |       9 of 10 | 4508 × 8, cut × 1 |",
		"|       1,000 | 2.00 KiB |    512 B |",
		"| 3,000       |   2.00 KiB |                  0 B |               0 |           100 ns |",
		"- echo, <peer>, repetition 2: 3 lost",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("there is no %q in\n%s", want, b.String())
		}
	}
}

// Verify that the page is well formed, needs nothing from elsewhere, and has a
// picture for each case that has figures to be drawn.
func TestHTML(t *testing.T) {
	var b bytes.Buffer
	if err := HTML(&b, sample()); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(page, "<svg"); got != 1+5*2 {
		t.Errorf("%d pictures, want 11", got)
	}
	if m := regexp.MustCompile(`(src|href)=|url\(|@import|<script|NaN|Inf`).FindString(page); m != "" {
		t.Errorf("the page has %q", m)
	}
	if strings.Contains(page, "<peer>") || !strings.Contains(page, "&lt;peer&gt;") {
		t.Error("the name of a server is not escaped")
	}
	for _, want := range []string{"prefers-color-scheme: dark", "3 lost", "Commit abc"} {
		if !strings.Contains(page, want) {
			t.Errorf("there is no %q", want)
		}
	}
}

// Verify that reports without figures are no trouble.
func TestEmpty(t *testing.T) {
	for _, r := range []*record.Report{
		{},
		{
			Servers: []record.Server{{Name: "wireroom"}}, Cases: []record.Case{{Name: "echo", Kind: record.Echo}, {Name: "idle", Kind: record.IdleKind}, {Name: "slow", Kind: record.SlowKind}},
			Runs: []record.Run{{Case: "echo", Server: "wireroom", Failed: "x"}, {Case: "idle", Server: "wireroom", Failed: "x"}, {Case: "slow", Server: "wireroom", Failed: "x"}},
		},
	} {
		var b bytes.Buffer
		for _, write := range []func(io.Writer, *record.Report) error{Markdown, HTML, JSON} {
			if err := write(&b, r); err != nil {
				t.Error(err)
			}
		}
	}
}

// Verify that nothing is lost in JSON.
func TestJSON(t *testing.T) {
	want := sample()
	var b bytes.Buffer
	if err := JSON(&b, want); err != nil {
		t.Fatal(err)
	}
	got := new(record.Report)
	if err := json.Unmarshal(b.Bytes(), got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Verify how numbers are written.
func TestFormat(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{figures(0), "0"}, {figures(0.123), "0.12"}, {figures(9.99), "9.99"}, {figures(9.996), "10.0"}, {figures(99.96), "100"},
		{figures(1234567), "1,234,567"}, {figures(-1234), "-1,234"}, {duration(12), "12.0 ns"}, {duration(1500), "1.50 µs"},
		{duration(2.5e6), "2.50 ms"}, {duration(61e9), "61.0 s"}, {size(100), "100 B"}, {size(1536), "1.50 KiB"}, {size(3 << 30), "3.00 GiB"},
		{plural("delivery"), "deliveries"}, {plural("call"), "calls"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}

// Verify that names beside curves keep their distance and stay in the picture.
func TestSpreadOut(t *testing.T) {
	got := spreadOut([]ending{{y: 95}, {y: 5}, {y: 94}, {y: 6}, {y: 50}}, 10, 8, 100)
	var ys []float64
	for _, e := range got {
		ys = append(ys, e.y)
	}
	if diff := cmp.Diff([]float64{8, 18, 50, 90, 100}, ys); diff != "" {
		t.Error(diff)
	}
}

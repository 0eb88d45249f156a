//go:build linux

package load

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/wireroom/wireroom/bench/internal/contract"
	"github.com/wireroom/wireroom/bench/internal/proc"
	"github.com/wireroom/wireroom/bench/internal/record"
)

const (
	jsonProtocol    = contract.SubprotocolJSON
	msgpackProtocol = contract.SubprotocolMsgpack
)

// Lines by which the generator tells the harness where it is.
const (
	Connected = "connected"
	Measuring = "measuring"
	Result    = "result " // followed by record.Load, as JSON
	Go        = "go"      // the answer to Connected
)

// Main is the whole process. It does what the Spec on the first line of in
// says, and reports on out.
func Main(in io.Reader, out io.Writer) error {
	runtime.GOMAXPROCS(1)
	runtime.LockOSThread()
	lines := bufio.NewReader(in)
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("load: no spec: %w", err)
	}
	var spec Spec
	if err := json.Unmarshal(line, &spec); err != nil {
		return fmt.Errorf("load: spec: %w", err)
	}
	g, err := newGenerator(spec)
	if err == nil {
		g.run(func() error {
			fmt.Fprintln(out, Connected) //nolint:errcheck // a harness that is gone shows at the next line
			_, err := lines.ReadBytes('\n')
			return err
		}, func() { fmt.Fprintln(out, Measuring) }) //nolint:errcheck // as above
		err = g.failure
	}
	var res record.Load
	if g != nil {
		res = g.res
	}
	if err != nil {
		res.Error = err.Error()
	}
	data, err := json.Marshal(res)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if _, err := fmt.Fprintf(out, "%s%s\n", Result, data); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	// The connections stay open until the harness has looked at the server.
	_, _ = io.Copy(io.Discard, lines)
	return nil
}

// run does it all. ready is called when all are connected, and returns when
// the work may begin; measuring when the measured part begins.
func (g *generator) run(ready func() error, measuring func()) {
	if g.spec.Kind != record.Churn {
		g.connect()
	}
	if g.failure != nil {
		return
	}
	g.res.Connected = g.open
	g.res.RSSBefore = g.rss.Bytes()
	if err := ready(); err != nil {
		g.fail("the harness has gone: %w", err)
		return
	}
	g.progress = g.since()
	g.begun = true
	g.work.begin()
	g.warmUp()
	measuring()
	g.measure()
	g.drain()
	g.work.account(&g.res)
	g.res.RSSAfter = g.rss.Bytes()
}

// connect opens all connections, some at a time.
func (g *generator) connect() {
	end := g.since() + openTimeout
	next := 0
	for g.open < len(g.conns) && g.failure == nil {
		for g.opening < maxOpening && next < len(g.conns) {
			if err := g.dial(g.conns[next]); err != nil {
				g.fail("%w (%d were open)", err, g.open)
				return
			}
			next++
		}
		g.poll(100)
		if g.since() > end {
			g.fail("%d of %d connections were open after %v", g.open, len(g.conns), openTimeout)
		}
	}
}

// warmUp lets the work run until its time is over and each connection has had
// an answer.
func (g *generator) warmUp() {
	warm := func() bool { return true }
	if w, ok := g.work.(interface{ warm() bool }); ok {
		warm = w.warm
	}
	end := g.since() + g.spec.Warmup
	for (g.since() < end || !warm()) && !g.over() {
		g.poll(10)
	}
}

// measure is the measured part.
func (g *generator) measure() {
	if w, ok := g.work.(interface{ measured() }); ok {
		w.measured()
	}
	g.hist.Reset()
	g.res.Messages = 0
	begin := g.sample()
	end := begin.at + g.spec.Duration
	for g.since() < end && !g.work.enough() && !g.over() {
		g.poll(10)
	}
	s := g.sample()
	g.res.Elapsed = s.at - begin.at
	g.res.ServerCPU = s.server - begin.server
	g.res.ClientCPU = s.own - begin.own
	g.res.OtherCPU = max(0, s.busy.Work-begin.busy.Work-(s.ours-begin.ours))
	g.res.StolenCPU = s.busy.Stolen - begin.busy.Stolen
	g.res.Latency = g.hist.Summary()
}

// drain waits for what is under way.
func (g *generator) drain() {
	counted := g.res.Messages
	g.stopping = true
	for g.work.waiting() > 0 && g.failure == nil && g.since()-g.progress < min(drainTime, g.spec.patience()) {
		g.poll(10)
	}
	g.res.Messages = counted
}

// over reports that the run cannot go on.
func (g *generator) over() bool {
	if g.failure == nil && g.work.waiting() > 0 && g.since()-g.progress > g.spec.patience() {
		g.fail("nothing came for %v while %d messages were under way", g.spec.patience(), g.work.waiting())
	}
	return g.failure != nil
}

// sample is the clocks at one moment.
type sample struct {
	at     time.Duration
	server time.Duration
	own    time.Duration
	ours   time.Duration // all processes that are part of the run
	busy   proc.Busy
}

func (g *generator) sample() sample {
	self := os.Getpid()
	var s sample
	s.busy = proc.ReadBusy()
	s.own = proc.CPUOf([]int{self})
	s.ours = proc.CPUOf(g.spec.Ours) + s.own
	s.at = g.since()
	s.server = proc.CPUOf([]int{g.spec.Server})
	s.ours += s.server
	return s
}

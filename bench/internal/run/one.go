//go:build linux

package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/wireroom/wireroom/bench/internal/contract"
	"github.com/wireroom/wireroom/bench/internal/load"
	"github.com/wireroom/wireroom/bench/internal/plan"
	"github.com/wireroom/wireroom/bench/internal/proc"
	"github.com/wireroom/wireroom/bench/internal/record"
)

// How long the harness waits for its children, beyond what they have to do.
const (
	startTimeout   = 10 * time.Second
	connectTimeout = 40 * time.Second
	graceTime      = 20 * time.Second
)

// runner measures one server in one case.
type runner struct {
	exe      string
	server   *Server
	c        plan.Case
	patience time.Duration // see load.Spec; 0 means its default

	child   *process
	addr    string
	control string
	clients []*process
}

// measure does one run. Whatever goes wrong is in the result.
func (r *runner) measure(repetition int, p *profile) record.Run {
	res := record.Run{Case: r.c.Name, Server: r.server.Name, Repetition: repetition}
	if err := r.attempt(&res, p); err != nil {
		res.Failed = err.Error()
	} else {
		res.Failed = verdict(&res.Load)
	}
	return res
}

// verdict says what is wrong with a run that came to its end.
func verdict(l *record.Load) string {
	var wrong []string
	note := func(n uint64, what string) {
		if n > 0 {
			wrong = append(wrong, fmt.Sprintf("%d %s", n, what))
		}
	}
	note(l.Lost, "lost")
	note(l.Repeated, "repeated")
	note(l.Reordered, "reordered")
	note(l.Corrupt, "corrupt")
	note(l.Closed, "connections ended by the server")
	if l.Error != "" {
		wrong = append([]string{l.Error}, wrong...)
	}
	return strings.Join(wrong, ", ")
}

// attempt does one run, and takes a profile of it unless p is nil.
func (r *runner) attempt(res *record.Run, p *profile) error {
	if err := r.startServer(); err != nil {
		return err
	}
	defer r.child.stop()
	defer func() {
		for _, c := range r.clients {
			c.stop()
		}
	}()
	var err error
	if r.c.Kind == record.IdleKind {
		err = r.idle(res, p)
	} else {
		err = r.one(res, p)
	}
	grace := time.Duration(0)
	if err != nil || res.Load.Error != "" {
		grace = 200 * time.Millisecond // it may be dying
	}
	if r.child.ended(grace) {
		return errors.Join(err, fmt.Errorf("the server has ended%s", r.child.said.suffix()))
	}
	return err
}

func (r *runner) startServer() error {
	cfg := contract.Config{Addr: "127.0.0.1:0", Control: "127.0.0.1:0", App: r.c.App, Server: r.server.Variant}
	var err error
	if r.child, err = start(r.server.Name, r.server.Dir, r.server.Command, cfg.Args()...); err != nil {
		return err
	}
	err = r.child.expect("the line that says where it listens", startTimeout, func(line string) (ok bool) {
		r.addr, r.control, ok = contract.ParseAnnounced(line)
		return ok
	})
	if err != nil {
		r.child.stop()
	}
	return err
}

// spec returns what the load generator is told.
func (r *runner) spec() load.Spec {
	c := &r.c
	path := "/" + string(c.App)
	if d := r.server.Dialect; d != nil && d.Path != "" {
		path = d.Path
	}
	return load.Spec{
		Kind: c.Kind, Addr: r.addr, Path: path, Dialect: r.server.Dialect, Subprotocol: c.Subprotocol,
		Connections: c.Connections, Bytes: c.Bytes, Window: c.Window, Rate: c.Rate, Slow: c.Slow, Broadcasts: c.Broadcasts,
		Warmup: c.Warmup, Duration: c.Duration, Patience: r.patience,
		Server: r.child.pid(), Ours: []int{os.Getpid()}, Masked: r.server.Masked,
	}
}

// client starts a load generator and waits until it is connected.
func (r *runner) client(spec load.Spec) (*process, error) {
	p, err := start("load generator", "", []string{r.exe, RoleLoad})
	if err != nil {
		return nil, err
	}
	r.clients = append(r.clients, p)
	data, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	return p, p.say(data)
}

// early turns a result that comes before its time into an error.
func early(line string) error {
	rest, ok := strings.CutPrefix(line, load.Result)
	if !ok {
		return nil
	}
	var l record.Load
	if err := json.Unmarshal([]byte(rest), &l); err != nil {
		return fmt.Errorf("result: %w", err)
	}
	return errors.New(l.Error)
}

// await waits for one of the generator's lines.
func await(p *process, want string, within time.Duration) error {
	var failed error
	err := p.expect(fmt.Sprintf("%q", want), within, func(line string) bool {
		failed = early(line)
		return line == want || failed != nil
	})
	return errors.Join(failed, err)
}

// result waits for a generator's result.
func result(p *process, within time.Duration) (record.Load, error) {
	var l record.Load
	var failed error
	err := p.expect("its result", within, func(line string) bool {
		rest, ok := strings.CutPrefix(line, load.Result)
		if ok {
			failed = json.Unmarshal([]byte(rest), &l)
		}
		return ok
	})
	return l, errors.Join(failed, err)
}

// one runs a scenario that has one generator.
func (r *runner) one(res *record.Run, p *profile) error {
	spec := r.spec()
	if spec.Kind == record.Churn {
		spec.Sources = sources(8) // or the ports of one address run out
	}
	client, err := r.client(spec)
	if err != nil {
		return err
	}
	if err := await(client, load.Connected, connectTimeout); err != nil {
		return err
	}
	if err := client.say([]byte(load.Go)); err != nil {
		return err
	}
	if err := await(client, load.Measuring, graceTime); err != nil {
		return err
	}
	if err := p.begin(r.control); err != nil {
		return err
	}
	if res.Load, err = result(client, r.c.Duration+graceTime); err != nil {
		return err
	}
	if err := p.end(); err != nil {
		return err
	}
	if r.control != "" {
		m, err := contract.Controller{Addr: r.control}.Memory(false)
		if err != nil {
			return err
		}
		res.Memory = &m
	}
	return nil
}

// sources are loopback addresses to connect from.
func sources(n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("127.0.0.%d", i+2))
	}
	return out
}

// footprint weighs the server.
func (r *runner) footprint(collect bool) (record.Footprint, error) {
	var f record.Footprint
	if r.control != "" {
		m, err := contract.Controller{Addr: r.control}.Memory(collect)
		if err != nil {
			return f, err
		}
		f.Go = &m
	}
	f.RSS = proc.ResidentBytes(r.child.pid())
	return f, nil
}

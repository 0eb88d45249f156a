package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/wireroom/wireroom/bench/internal/plan"
	"github.com/wireroom/wireroom/bench/internal/proc"
	"github.com/wireroom/wireroom/bench/internal/record"
	"github.com/wireroom/wireroom/bench/internal/report"
	harness "github.com/wireroom/wireroom/bench/internal/run"
)

// profileTime is enough for some hundred samples.
const profileTime = 3 * time.Second

// options are the flags.
type options struct {
	scenario, servers  string
	repetitions        int
	peers, quick, list bool
	once               bool // what is costly is done only once
	jsonFile, htmlFile string
	profiles           string
	duration           time.Duration
	simulated          int
}

func parse(args []string, usage io.Writer) (*options, error) {
	var o options
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(usage)
	fs.StringVar(&o.scenario, "scenario", "", "what to measure: names or regular expressions, separated by commas, or all; default is a short list")
	fs.StringVar(&o.servers, "servers", "", "which servers, separated by commas; default all but wireroom-nb (handlers declared NonBlocking) and wireroom-go (the portable driver)")
	fs.IntVar(&o.repetitions, "reps", 0, "repetitions; default 3, but 1 of what is costly; with -peers 5, with -quick 1")
	fs.BoolVar(&o.peers, "peers", false, "build bench/peers and measure them, too")
	fs.BoolVar(&o.quick, "quick", false, "prove that everything works, on a very small scale; the figures mean nothing")
	fs.BoolVar(&o.list, "list", false, "list scenarios and servers, and do nothing")
	fs.StringVar(&o.jsonFile, "json", "", "write everything, raw, to this `file`")
	fs.StringVar(&o.htmlFile, "html", "", "write a page with plots to this `file`")
	fs.StringVar(&o.profiles, "profile", "", "take profiles of Wireroom, in runs of their own, and keep them in this `directory`")
	fs.DurationVar(&o.duration, "duration", 0, "measured part of each run; default is that of the scenario, most 700ms")
	fs.IntVar(&o.simulated, "sim-conns", 100_000, "most connections of the scenario sim, up to 1000000")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("what is %q? flags begin with a dash", fs.Arg(0))
	}
	if o.repetitions == 0 {
		switch {
		case o.quick:
			o.repetitions = 1
		case o.peers:
			o.repetitions = 5
		default:
			o.repetitions, o.once = 3, true
		}
	}
	if o.simulated < 1 || o.simulated > 1_000_000 {
		return nil, errors.New("-sim-conns must be from 1 to 1000000")
	}
	if o.repetitions < 0 || o.duration < 0 {
		return nil, errors.New("-reps and -duration cannot be negative")
	}
	return &o, nil
}

func run(args []string) error {
	if played, err := harness.Role(args); played {
		return err
	}
	o, err := parse(args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cases, err := o.cases()
	if err != nil {
		return err
	}
	source := harness.FindSource()
	servers := harness.OwnServers(exe, source.Version)
	if o.peers {
		dir, err := os.MkdirTemp("", "wireroom-bench")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir) //nolint:errcheck // it is in the folder for such things
		peers, err := harness.BuildPeers(source, dir)
		if err != nil {
			return err
		}
		servers = append(servers, peers...)
	}
	if servers, err = o.choose(servers); err != nil {
		return err
	}
	if o.list {
		return list(cases, servers)
	}
	schedule := harness.Schedule{
		Exe: exe, Servers: servers, Cases: cases, Repetitions: o.repetitions, Profiles: o.profiles,
		Progress: &harness.Progress{Out: os.Stderr, Terminal: terminal(os.Stderr)},
	}
	if !o.quick {
		schedule.ProfileTime = profileTime
	}
	rep := &record.Report{
		Time: time.Now(), Command: command(args), Commit: source.Commit, Machine: proc.ThisMachine(),
	}
	for _, s := range servers {
		rep.Servers = append(rep.Servers, s.Server)
	}
	for _, c := range cases {
		rep.Cases = append(rep.Cases, c.Case)
	}
	var profiles error
	rep.Runs, profiles = schedule.Run()
	return errors.Join(o.write(rep), failures(rep), profiles)
}

// cases returns what is to be measured.
func (o *options) cases() ([]plan.Case, error) {
	cases, err := plan.Select(o.scenario)
	if err != nil {
		return nil, err
	}
	for i := range cases {
		if cases[i].Kind == record.SimKind {
			cases[i].Connections = o.simulated
		}
		if o.once && cases[i].Costly {
			cases[i].Repetitions = 1
		}
		if o.duration > 0 {
			cases[i].Duration = o.duration
		}
		if o.quick {
			cases[i] = plan.Quick(cases[i])
		}
	}
	return cases, nil
}

// choose keeps the servers that -servers names; without it, those that need not
// be named.
func (o *options) choose(all []harness.Server) ([]harness.Server, error) {
	if o.servers == "" && !o.list {
		return slices.DeleteFunc(all, func(s harness.Server) bool { return s.Extra }), nil
	}
	if o.servers == "" {
		return all, nil
	}
	var out []harness.Server
	for name := range strings.SplitSeq(o.servers, ",") {
		i := slices.IndexFunc(all, func(s harness.Server) bool { return s.Name == strings.TrimSpace(name) })
		if i < 0 {
			var names []string
			for _, s := range all {
				names = append(names, s.Name)
			}
			return nil, fmt.Errorf("-servers: no server %q; there are: %s", name, strings.Join(names, ", "))
		}
		out = append(out, all[i])
	}
	return out, nil
}

// write writes the report in all forms that were asked for.
func (o *options) write(rep *record.Report) error {
	if err := report.Markdown(os.Stdout, rep); err != nil {
		return err
	}
	if o.jsonFile != "" {
		if err := toFile(o.jsonFile, rep, report.JSON); err != nil {
			return err
		}
	}
	if o.htmlFile != "" {
		if err := toFile(o.htmlFile, rep, report.HTML); err != nil {
			return err
		}
	}
	return nil
}

func toFile(name string, rep *record.Report, write func(io.Writer, *record.Report) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f, rep), f.Close())
}

// failures is an error if one of our own servers has failed; that peers fail is
// a result.
func failures(rep *record.Report) error {
	peers := make(map[string]bool)
	for _, s := range rep.Servers {
		peers[s.Name] = s.Peer
	}
	n := 0
	for _, r := range rep.Runs {
		if r.Failed != "" && !peers[r.Server] {
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("%d of %d runs failed", n, len(rep.Runs))
	}
	return nil
}

func list(cases []plan.Case, servers []harness.Server) error {
	for _, c := range cases {
		fmt.Printf("%-22s %s\n", c.Name, c.About)
	}
	fmt.Println()
	for _, s := range servers {
		fmt.Printf("%-22s %s\n", s.Name, strings.TrimSpace(s.Version+" "+s.About))
	}
	return nil
}

// command returns what was typed, as near as can be told.
func command(args []string) string {
	line := "go run ./bench"
	for _, a := range args {
		if strings.ContainsAny(a, " \t*?[](){}|&;<>$'\"\\") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		line += " " + a
	}
	return line
}

func terminal(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0
}

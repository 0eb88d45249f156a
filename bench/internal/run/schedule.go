//go:build linux

// Package run starts servers and load generators and gathers what they say.
package run

import (
	"errors"
	"fmt"
	"time"

	"github.com/wireroom/wireroom/bench/internal/plan"
	"github.com/wireroom/wireroom/bench/internal/record"
	"github.com/wireroom/wireroom/bench/internal/sim"
)

// Schedule is everything that is to be measured.
type Schedule struct {
	Exe         string // this program
	Servers     []Server
	Cases       []plan.Case
	Repetitions int
	Profiles    string        // where to keep profiles; empty for none
	ProfileTime time.Duration // how long a run is at least of which a profile is taken
	Patience    time.Duration // see load.Spec
	Progress    *Progress
}

// job is one run to come.
type job struct {
	c          plan.Case
	server     *Server
	repetition int
	profile    *profile // nil for a run that counts
}

// jobs lists the runs. Within a repetition each case goes through all servers
// before the next begins, so that what disturbs one disturbs all; who is first
// changes with the repetition.
func (s *Schedule) jobs() []job {
	var all []job
	for rep := range s.Repetitions {
		for _, c := range s.Cases {
			if c.Repetitions > 0 && rep >= c.Repetitions {
				continue
			}
			for i := range s.Servers {
				server := &s.Servers[(i+rep)%len(s.Servers)]
				switch {
				case !server.Serves(c):
				case c.Kind != record.SimKind:
					all = append(all, job{c: c, server: server, repetition: rep})
				case rep == 0: // it is no matter of chance
					all = append(all, simulations(c, server)...)
				}
			}
		}
	}
	return all
}

// simulations lists the sizes up to that of the case.
func simulations(c plan.Case, server *Server) []job {
	var all []job
	for _, n := range sim.Sizes(c.Connections) {
		c.Connections = n
		all = append(all, job{c: c, server: server})
	}
	return all
}

// profiles lists the runs of which profiles are taken. They are runs of their
// own, because profiling costs.
func (s *Schedule) profiles() []job {
	var all []job
	if s.Profiles == "" {
		return nil
	}
	for _, c := range s.Cases {
		for i := range s.Servers {
			if server := &s.Servers[i]; server.Ours && c.Kind != record.SimKind {
				c.Duration = max(c.Duration, s.ProfileTime)
				all = append(all, job{c: c, server: server, profile: &profile{dir: s.Profiles, name: c.Name + "." + server.Name}})
			}
		}
	}
	return all
}

// Run does all of it, one run after the other. A run that fails stops nothing.
// Profiles that could not be taken are an error.
func (s *Schedule) Run() ([]record.Run, error) {
	jobs, profiles := s.jobs(), s.profiles()
	var runs []record.Run
	s.Progress.begin(len(jobs) + len(profiles))
	for _, j := range jobs {
		s.Progress.next(j)
		res := s.do(j)
		s.Progress.done(&res)
		runs = append(runs, res)
	}
	var errs []error
	for _, j := range profiles {
		s.Progress.next(j)
		res := s.do(j)
		s.Progress.done(&res)
		if res.Failed != "" {
			errs = append(errs, fmt.Errorf("no profile of %s: %s", j.c.Name, res.Failed))
		}
	}
	s.Progress.end()
	return runs, errors.Join(errs...)
}

func (s *Schedule) do(j job) record.Run {
	if j.c.Kind == record.SimKind {
		return simulate(s.Exe, j)
	}
	r := runner{exe: s.Exe, server: j.server, c: j.c, patience: s.Patience}
	return r.measure(j.repetition, j.profile)
}

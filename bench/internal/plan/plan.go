// Package plan lists what is measured.
package plan

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wireroom/wireroom/bench/internal/contract"
	"github.com/wireroom/wireroom/bench/internal/record"
)

// Case is one scenario with its numbers.
type Case struct {
	record.Case
	App         contract.App
	Subprotocol string
	Connections int // 0 means as many as the limit of descriptors allows
	Bytes       int // of a payload
	Window      int
	Rate        float64 // broadcasts in a second, when paced
	Slow        int     // members that do not read
	Broadcasts  uint64  // which end the measured part early
	Warmup      time.Duration
	Duration    time.Duration
	Repetitions int  // if it is not to be repeated as often as the others
	Short       bool // part of a run that names no scenario
	Costly      bool // takes seconds, and varies little
}

// How long a case runs, unless it says otherwise.
const (
	warmup   = 300 * time.Millisecond
	duration = 600 * time.Millisecond
)

// All lists all cases, in the order in which they are run and shown.
func All() []Case {
	var all []Case
	add := func(c Case) {
		if c.Warmup == 0 {
			c.Warmup = warmup
		}
		if c.Duration == 0 {
			c.Duration = duration
		}
		c.Goal, c.Short = goals[c.Name], slices.Contains(short, c.Name)
		all = append(all, c)
	}
	for _, connections := range []int{100, 1000, 10000} {
		for _, size := range []int{125, 1024} {
			for _, depth := range []int{1, 16} {
				add(echo(connections, size, depth))
			}
		}
	}
	for _, format := range []string{"json", "msgpack"} {
		for _, depth := range []int{1, 16} {
			add(rpc(format, depth))
		}
	}
	for _, members := range []int{100, 1000, 5000} {
		for _, window := range windows(members) {
			add(broadcast(members, window))
		}
	}
	add(paced(100, 50))
	add(paced(1000, 50))
	add(paced(5000, 5))
	add(slow())
	add(idle())
	add(churn())
	add(simulation())
	return all
}

// windows are those of broadcasts; the goal for 5,000 members is set at 8.
func windows(members int) []int {
	if members == 5000 {
		return []int{1, 8, 16}
	}
	return []int{1, 16}
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func echo(connections, size, depth int) Case {
	return Case{
		Case: record.Case{
			Name: fmt.Sprintf("echo-%d-%dB-d%d", connections, size, depth), Kind: record.Echo, Unit: "message",
			About: fmt.Sprintf("%d connections, each with %s of %d B under way", connections, count(depth, "message"), size),
		},
		App: contract.Echo, Connections: connections, Bytes: size, Window: depth,
	}
}

func rpc(format string, depth int) Case {
	names := map[string]string{"json": "JSON", "msgpack": "MessagePack"}
	protocol := contract.SubprotocolJSON
	if format == "msgpack" {
		protocol = contract.SubprotocolMsgpack
	}
	return Case{
		Case: record.Case{
			Name: fmt.Sprintf("rpc-%s-d%d", format, depth), Kind: record.RPC, Unit: "call",
			About: fmt.Sprintf("1000 connections, each with %s in %s under way, of a method that gets its sender injected", count(depth, "JSON-RPC call"), names[format]),
		},
		App: contract.RPC, Subprotocol: protocol, Connections: 1000, Window: depth,
	}
}

func broadcast(members, window int) Case {
	return Case{
		Case: record.Case{
			Name: fmt.Sprintf("broadcast-%d-w%d", members, window), Kind: record.Broadcast, Unit: "delivery",
			About: fmt.Sprintf("A room of %d, %s of 256 B under way", members, count(window, "broadcast")),
		},
		App: contract.Room, Connections: members, Bytes: 256, Window: window,
	}
}

func paced(members int, rate float64) Case {
	return Case{
		Case: record.Case{
			Name: fmt.Sprintf("paced-%d-%gps", members, rate), Kind: record.Paced, Unit: "delivery",
			About: fmt.Sprintf("A room of %d, %g broadcasts of 256 B in a second, counted from when each was due", members, rate),
		},
		App: contract.Room, Connections: members, Bytes: 256, Window: 1, Rate: rate, Duration: time.Second,
	}
}

func slow() Case {
	return Case{
		Case: record.Case{
			Name: "slow-10-of-1000", Kind: record.SlowKind, Unit: "delivery",
			About: "A room of 1000, of whom 10 never read; up to 2000 broadcasts of 1 KiB, 16 under way",
		},
		App: contract.Room, Connections: 1000, Bytes: 1024, Window: 16, Slow: 10, Broadcasts: 2000,
		Warmup: 1, Duration: 5 * time.Second, Costly: true,
	}
}

func idle() Case {
	return Case{
		Case: record.Case{
			Name: "idle", Kind: record.IdleKind, Unit: "connection",
			About: "As many connections as the limit of descriptors allows, doing nothing",
		},
		App: contract.Echo, Bytes: 125, Window: 1, Warmup: 1, Duration: 20 * time.Second, // it ends when all have answered
		Costly: true,
	}
}

func churn() Case {
	return Case{
		Case: record.Case{
			Name: "churn", Kind: record.Churn, Unit: "life",
			About: "64 at a time: connect, upgrade, join, echo 125 B, close handshake",
		},
		App: contract.Churn, Connections: 64, Bytes: 125, Window: 1,
	}
}

func simulation() Case {
	return Case{
		Case: record.Case{
			Name: "sim", Kind: record.SimKind, Unit: "connection",
			About: "A simulation: connections over sockets made of memory, without the kernel and without the driver for TCP",
		},
		App: contract.Room, Connections: 100_000,
	}
}

// goals are the ratios to the floor that Wireroom aims at.
var goals = map[string]float64{
	"echo-1000-125B-d1":   1.10,
	"echo-1000-125B-d16":  1.20,
	"echo-1000-1024B-d16": 1.3,
	"broadcast-1000-w1":   1.05,
	"broadcast-1000-w16":  0.16,
	"broadcast-5000-w8":   0.25,
	"rpc-json-d16":        2.5,
	"churn":               1.3,
}

// short is what is run if no scenario is named.
var short = []string{
	"echo-1000-125B-d1", "echo-1000-125B-d16", "rpc-json-d16", "broadcast-1000-w1", "broadcast-1000-w16",
	"paced-1000-50ps", "slow-10-of-1000", "idle", "churn",
}

// Select returns the cases that a selection names: names or regular
// expressions for them, separated by commas. Empty means the short list, "all"
// everything.
func Select(selection string) ([]Case, error) {
	all := All()
	var out []Case
	switch selection {
	case "all":
		return all, nil
	case "":
		for _, c := range all {
			if c.Short {
				out = append(out, c)
			}
		}
		return out, nil
	}
	wanted := make(map[string]bool)
	for part := range strings.SplitSeq(selection, ",") {
		re, err := regexp.Compile(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("-scenario: %w", err)
		}
		found := false
		for _, c := range all {
			if re.MatchString(c.Name) {
				wanted[c.Name], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("-scenario: nothing matches %q; there are: %s", part, strings.Join(Names(all), ", "))
		}
	}
	for _, c := range all {
		if wanted[c.Name] {
			out = append(out, c)
		}
	}
	return out, nil
}

// Names returns the names of cases.
func Names(cases []Case) []string {
	var names []string
	for _, c := range cases {
		names = append(names, c.Name)
	}
	return names
}

// Quick makes a case so small that it proves nothing but that it works.
func Quick(c Case) Case {
	if c.Connections == 0 {
		c.Connections = 200
	}
	c.Connections = min(c.Connections, 40)
	c.Slow = min(c.Slow, 4)
	c.Warmup = min(c.Warmup, 20*time.Millisecond)
	if c.Broadcasts == 0 {
		c.Duration = min(c.Duration, 100*time.Millisecond)
	}
	return c
}

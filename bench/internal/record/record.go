// Package record is what a measurement leaves behind: the raw results, as they
// are kept in JSON and as the reports are made from them.
package record

import (
	"time"

	"github.com/wireroom/wireroom/bench/internal/contract"
	"github.com/wireroom/wireroom/bench/internal/measure"
)

// Load is what one load generator has seen. Times and counts are those of the
// measured part, except what is wrong: that counts from the first message.
type Load struct {
	Error string `json:"error,omitempty"` // why the run is worth nothing

	Connected int           `json:"connected"`
	Messages  uint64        `json:"messages"` // verified, each delivery of a broadcast counts
	Elapsed   time.Duration `json:"elapsed_ns"`
	ServerCPU time.Duration `json:"server_cpu_ns"`
	ClientCPU time.Duration `json:"client_cpu_ns"`
	OtherCPU  time.Duration `json:"other_cpu_ns"`  // of processes that are no part of the run
	StolenCPU time.Duration `json:"stolen_cpu_ns"` // by the hypervisor

	Latency measure.Latency `json:"latency"`

	Lost      uint64 `json:"lost"`
	Repeated  uint64 `json:"repeated"`
	Reordered uint64 `json:"reordered"`
	Corrupt   uint64 `json:"corrupt"`
	Closed    uint64 `json:"closed"` // connections that the server has ended

	RSSBefore uint64 `json:"rss_before"` // of the server, when all were connected
	RSSPeak   uint64 `json:"rss_peak"`
	RSSAfter  uint64 `json:"rss_after"`

	Slow *Slow `json:"slow,omitempty"`
}

// Slow is what became of members that stopped reading, and of the others.
type Slow struct {
	Members    int            `json:"members"`
	Cut        int            `json:"cut"`   // of them
	Codes      map[string]int `json:"codes"` // close codes they found when they read on
	Broadcasts uint64         `json:"broadcasts"`
	Silence    time.Duration  `json:"silence_ns"` // the longest in which no other member got anything
}

// Idle is the memory of a server without connections, with many that do
// nothing, and again after a garbage collection. Servers without a control
// endpoint have resident memory only.
type Idle struct {
	Connections int       `json:"connections"`
	Empty       Footprint `json:"empty"`
	Full        Footprint `json:"full"`
	Collected   Footprint `json:"collected"`
}

// Footprint is the memory of a server at one moment.
type Footprint struct {
	RSS uint64           `json:"rss"`
	Go  *contract.Memory `json:"go,omitempty"`
}

// Run is one server in one case of one repetition.
type Run struct {
	Case       string           `json:"case"`
	Server     string           `json:"server"`
	Repetition int              `json:"repetition"`
	Failed     string           `json:"failed,omitempty"` // why
	Load       Load             `json:"load"`
	Memory     *contract.Memory `json:"memory,omitempty"` // at the end of the measured part
	Idle       *Idle            `json:"idle,omitempty"`
	Sim        *Sim             `json:"sim,omitempty"`
}

// Sim is one size of the simulation.
type Sim struct {
	Connections  int           `json:"connections"`
	Bytes        float64       `json:"bytes_per_connection"` // heap and stacks, after a garbage collection
	Client       float64       `json:"client_bytes"`         // of them, the simulated client's
	Goroutines   float64       `json:"goroutines_per_connection"`
	PerMember    time.Duration `json:"broadcast_ns_per_member"`
	PerMember16  time.Duration `json:"broadcast16_ns_per_member"` // 16 at once, per message
	GC           time.Duration `json:"gc_ns"`                     // one collection, start to end
	GCPause      time.Duration `json:"gc_pause_ns"`               // of it, with the world stopped
	OpenedPerSec float64       `json:"opened_per_second"`
}

// Machine is where it was measured.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory uint64 `json:"memory_bytes"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

// Server names what was measured.
type Server struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	About   string `json:"about,omitempty"`
	Peer    bool   `json:"peer,omitempty"`
}

// Report is everything.
type Report struct {
	Time    time.Time `json:"time"`
	Command string    `json:"command"`
	Commit  string    `json:"commit"`
	Machine Machine   `json:"machine"`
	Servers []Server  `json:"servers"` // in the order of the tables
	Cases   []Case    `json:"cases"`   // the same
	Runs    []Run     `json:"runs"`
}

// Case names what was done.
type Case struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	Unit string `json:"unit"` // of Load.Messages
	// Goal is the ratio of processor time to the floor that we aim at; 0 is none.
	Goal  float64 `json:"goal,omitempty"`
	About string  `json:"about,omitempty"`
}

// Kind is a kind of scenario.
type Kind string

// The kinds.
const (
	Echo      Kind = "echo"
	RPC       Kind = "rpc"
	Broadcast Kind = "broadcast"
	Paced     Kind = "paced"
	SlowKind  Kind = "slow"
	IdleKind  Kind = "idle"
	Churn     Kind = "churn"
	SimKind   Kind = "sim"
)

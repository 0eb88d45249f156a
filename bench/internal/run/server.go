//go:build linux

package run

import (
	"slices"

	"github.com/wireroom/wireroom/bench/internal/contract"
	"github.com/wireroom/wireroom/bench/internal/plan"
	"github.com/wireroom/wireroom/bench/internal/record"
	"github.com/wireroom/wireroom/bench/internal/wire"
	"github.com/wireroom/wireroom/bench/internal/wireroom"
)

// Server is something that can be measured.
type Server struct {
	record.Server
	Command []string // the flags of package contract are appended
	Dir     string   // where it is started; empty means here
	Variant string   // value of the flag -server, if it wants one
	Apps    []contract.App
	Masked  bool          // returns frames as they came
	Dialect *wire.Dialect // nil for a server that takes messages as they are
	Ours    bool          // profiles are of interest
	Extra   bool          // measured only if it is asked for by its name
	// Only, if set, says in which cases it is anything else than another
	// server.
	Only func(plan.Case) bool
}

// Serves reports whether the server can be measured in a case.
func (s *Server) Serves(c plan.Case) bool {
	if c.Kind == record.SimKind {
		return s.Name == Wireroom
	}
	return slices.Contains(s.Apps, c.App) && (s.Only == nil || s.Only(c))
}

// Names of the servers that are always there.
const (
	Wireroom            = "wireroom"
	WireroomNonBlocking = "wireroom-nb"
	WireroomGoroutine   = "wireroom-go"
	Floor               = "floor"
	FloorBatch          = "floor-batch"
)

// OwnServers returns the servers that this program is itself. exe is the
// program, version that of this module.
func OwnServers(exe, version string) []Server {
	return []Server{
		{
			Server:  record.Server{Name: Wireroom, Version: version, About: "this module"},
			Command: []string{exe, RoleWireroom}, Apps: contract.Apps, Ours: true,
		},
		{
			Server:  record.Server{Name: WireroomNonBlocking, Version: version, About: "the same; what is called is declared NonBlocking"},
			Command: []string{exe, RoleWireroom}, Variant: wireroom.NonBlocking, Extra: true, Apps: []contract.App{contract.Echo, contract.RPC}, Ours: true,
			Only: func(c plan.Case) bool { return c.Kind == record.Echo || c.Kind == record.RPC },
		},
		{
			Server:  record.Server{Name: WireroomGoroutine, Version: version, About: "the same, over the driver for other systems and for TLS"},
			Command: []string{exe, RoleWireroom}, Variant: wireroom.Goroutine, Extra: true, Apps: contract.Apps, Ours: true,
		},
		{
			Server:  record.Server{Name: Floor, About: "read(2) and write(2) of the same bytes, and nothing else"},
			Command: []string{exe, RoleFloor}, Apps: contract.Apps, Masked: true,
		},
		{
			Server:  record.Server{Name: FloorBatch, About: "the same; broadcasts of one read leave in one write for each member"},
			Command: []string{exe, RoleFloorBatch}, Apps: []contract.App{contract.Room}, Masked: true,
			Only: func(c plan.Case) bool { return c.Window > 1 },
		},
	}
}

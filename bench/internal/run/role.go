//go:build linux

package run

import (
	"os"

	"github.com/wireroom/wireroom/bench/internal/floor"
	"github.com/wireroom/wireroom/bench/internal/load"
	"github.com/wireroom/wireroom/bench/internal/sim"
	"github.com/wireroom/wireroom/bench/internal/wireroom"
)

// Roles by which the program, started by itself, becomes something else.
const (
	RoleLoad       = "@load"
	RoleWireroom   = "@wireroom"
	RoleFloor      = "@floor"
	RoleFloorBatch = "@floor-batch"
	RoleSim        = "@sim"
)

// Role plays the role that the arguments of the program name. It reports false
// if they name none.
func Role(args []string) (played bool, err error) {
	if len(args) == 0 {
		return false, nil
	}
	switch args[0] {
	case RoleLoad:
		return true, load.Main(os.Stdin, os.Stdout)
	case RoleWireroom:
		return true, wireroom.Main(args[1:])
	case RoleFloor, RoleFloorBatch:
		return true, floor.Main(args[1:], args[0] == RoleFloorBatch)
	case RoleSim:
		return true, sim.Main(args[1:], os.Stdout)
	}
	return false, nil
}

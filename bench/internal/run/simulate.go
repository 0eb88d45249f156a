//go:build linux

package run

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"

	"github.com/wireroom/wireroom/bench/internal/proc"
	"github.com/wireroom/wireroom/bench/internal/record"
	"github.com/wireroom/wireroom/bench/internal/sim"
)

// simulate runs one size of the simulation, in a process of its own.
func simulate(exe string, j job) record.Run {
	res := record.Run{Case: j.c.Name, Server: j.server.Name}
	n := j.c.Connections
	if need := uint64(n) * sim.PerConnection; need > proc.Available() {
		res.Failed = fmt.Sprintf("%d simulated connections want about %d MiB of memory, and %d MiB are free", n, need>>20, proc.Available()>>20)
		return res
	}
	said := &tail{limit: 2 << 10}
	cmd := exec.Command(exe, RoleSim, strconv.Itoa(n))
	cmd.Stderr = said
	out, err := cmd.Output()
	if err == nil {
		res.Sim = new(record.Sim)
		err = json.Unmarshal(out, res.Sim)
	}
	if err != nil {
		res.Failed = err.Error() + said.suffix()
	}
	return res
}

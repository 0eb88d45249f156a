//go:build linux

package run

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/wireroom/wireroom/bench/internal/contract"
)

// profile keeps the profiles of one run. Its methods do nothing if it is nil.
type profile struct {
	dir, name string
	control   contract.Controller
}

// begin begins the CPU profile.
func (p *profile) begin(control string) error {
	if p == nil {
		return nil
	}
	p.control = contract.Controller{Addr: control}
	return p.control.StartCPU()
}

// end ends it, and takes a heap profile.
func (p *profile) end() error {
	if p == nil {
		return nil
	}
	cpu, err := p.control.StopCPU()
	if err != nil {
		return err
	}
	if err := p.write("cpu", cpu); err != nil {
		return err
	}
	return p.heap(p.control.Addr)
}

// heap takes a heap profile.
func (p *profile) heap(control string) error {
	if p == nil {
		return nil
	}
	heap, err := contract.Controller{Addr: control}.Heap()
	if err != nil {
		return err
	}
	return p.write("heap", heap)
}

func (p *profile) write(kind string, data []byte) error {
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, p.name+"."+kind+".pprof"), data, 0o644); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	return nil
}

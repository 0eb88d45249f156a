//go:build linux

package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// Resident reads the resident memory of one process, often and cheaply.
type Resident struct {
	f    *os.File
	buf  [128]byte
	page uint64
}

// OpenResident returns the Resident of a process.
func OpenResident(pid int) (*Resident, error) {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return nil, fmt.Errorf("proc: %w", err)
	}
	return &Resident{f: f, page: uint64(os.Getpagesize())}, nil
}

// Bytes returns the resident memory now, or 0 if the process has ended.
func (r *Resident) Bytes() uint64 {
	n, err := r.f.ReadAt(r.buf[:], 0)
	if n == 0 && err != nil {
		return 0
	}
	fields := bytes.Fields(r.buf[:n])
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * r.page
}

// Close frees what OpenResident took.
func (r *Resident) Close() error { return r.f.Close() }

// ResidentBytes returns the resident memory of a process, or 0 if it has ended.
func ResidentBytes(pid int) uint64 {
	r, err := OpenResident(pid)
	if err != nil {
		return 0
	}
	defer r.Close() //nolint:errcheck // only read
	return r.Bytes()
}

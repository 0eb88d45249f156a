//go:build linux

package proc

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

// Verify that the clock of a process runs while it works, its own and that of
// another.
func TestCPU(t *testing.T) {
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); time.Since(begin) < 20*time.Millisecond; {
		_ = ReadBusy()
	}
	after, err := CPU(os.Getpid())
	if err != nil || after <= before {
		t.Errorf("%v, then %v, %v", before, after, err)
	}
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	if d, err := CPU(cmd.Process.Pid); err != nil || d < 0 {
		t.Errorf("of a child: %v, %v", d, err)
	}
	if ResidentBytes(cmd.Process.Pid) == 0 {
		t.Error("a child has no memory")
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := CPU(cmd.Process.Pid); err == nil {
		t.Error("the clock of a process that has ended still runs")
	}
	if got := ResidentBytes(cmd.Process.Pid); got != 0 {
		t.Errorf("a process that has ended has %d bytes", got)
	}
}

// Verify which columns of /proc/stat are work.
func TestBusy(t *testing.T) {
	got := parseBusy("cpu  1 2 4 1000 1000 8 16 32 64 128")
	want := Busy{Work: 31 * tick, Stolen: 32 * tick}
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if m := ThisMachine(); m.Cores < 1 || m.Memory == 0 || m.Kernel == "" {
		t.Errorf("%+v", m)
	}
}

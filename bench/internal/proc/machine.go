//go:build linux

package proc

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wireroom/wireroom/bench/internal/record"
)

// Busy is how long the processors of the machine have been at work, all
// together, since it was started.
type Busy struct {
	Work   time.Duration // for processes and interrupts
	Stolen time.Duration // wanted, and given to another machine by the hypervisor
}

// tick is the unit of /proc/stat: 1/USER_HZ, which is 100 on every system that
// Go runs on.
const tick = 10 * time.Millisecond

// ReadBusy reads /proc/stat; it is zero where that cannot be read.
func ReadBusy() Busy {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Busy{}
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return parseBusy(line)
}

// parseBusy reads the first line: cpu user nice system idle iowait irq softirq
// steal …, where guest times are part of user and nice.
func parseBusy(line string) Busy {
	var v [9]time.Duration
	for i, f := range strings.Fields(line) {
		if i == len(v) {
			break
		}
		n, _ := strconv.ParseInt(f, 10, 64) // the name of the line is 0
		v[i] = time.Duration(n) * tick
	}
	return Busy{Work: v[1] + v[2] + v[3] + v[6] + v[7], Stolen: v[8]}
}

// ThisMachine describes the machine.
func ThisMachine() record.Machine {
	return record.Machine{
		CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(),
		Memory: kilobytes(field("/proc/meminfo", "MemTotal")), Kernel: kernel(), Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH,
	}
}

// Available returns how much memory can still be had.
func Available() uint64 { return kilobytes(field("/proc/meminfo", "MemAvailable")) }

// field returns the value of the first line "name : value" of a file.
func field(file, name string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		key, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func kilobytes(s string) uint64 {
	n, _, _ := strings.Cut(s, " ")
	v, _ := strconv.ParseUint(n, 10, 64) // 0 if it is not there
	return v << 10
}

func kernel() string {
	data, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// Descriptors returns how many files a process may have open at once.
func Descriptors() int {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return 1024
	}
	return int(min(lim.Max, 1<<20)) // Go raises the soft limit to this at its start
}

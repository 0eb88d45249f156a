//go:build linux

package load

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"github.com/wireroom/wireroom/bench/internal/proc"
)

const epollIn = syscall.EPOLLIN

// ticker is a timerfd(2) in an epoll set, whose own timeouts are too coarse.
type ticker struct{ fd int }

type timerSpec struct{ interval, value syscall.Timespec }

func newTicker(ep int, every time.Duration) (*ticker, error) {
	const clockMonotonic = 1
	fd, _, errno := syscall.RawSyscall(syscall.SYS_TIMERFD_CREATE, clockMonotonic, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errno != 0 {
		return nil, fmt.Errorf("timerfd_create: %w", errno)
	}
	spec := timerSpec{syscall.NsecToTimespec(int64(every)), syscall.NsecToTimespec(int64(every))}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0); errno != 0 {
		return nil, fmt.Errorf("timerfd_settime: %w", errno)
	}
	if err := proc.Watch(ep, syscall.EPOLL_CTL_ADD, int(fd), syscall.EPOLLIN); err != nil {
		return nil, fmt.Errorf("epoll_ctl: %w", err)
	}
	return &ticker{int(fd)}, nil
}

// due returns how many ticks have passed since it was last asked.
func (t *ticker) due() int {
	var b [8]byte
	if n, errno := proc.Read(t.fd, b[:]); errno != 0 || n != len(b) {
		return 0
	}
	return int(binary.NativeEndian.Uint64(b[:]))
}

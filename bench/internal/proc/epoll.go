//go:build linux

package proc

import (
	"syscall"
	"unsafe"
)

// The calls below do not tell the Go scheduler that they may wait, which is
// why they cost no more than in C: they are for threads that have nothing else
// to do, and for calls that do not wait.

// Read is read(2) of a non-blocking descriptor; 0 is its end.
func Read(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return result(n, errno), errno
}

// Write is write(2) to a non-blocking descriptor.
func Write(fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return result(n, errno), errno
}

// Wait is epoll_wait(2) with a timeout in milliseconds. The thread waits, and
// the goroutine's processor with it. A signal is no event and no error.
func Wait(ep int, events []syscall.EpollEvent, timeout int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(ep), uintptr(unsafe.Pointer(unsafe.SliceData(events))),
		uintptr(len(events)), uintptr(timeout), 0, 0)
	if errno == syscall.EINTR {
		return 0, 0
	}
	return result(n, errno), errno
}

func result(n uintptr, errno syscall.Errno) int {
	if errno != 0 {
		return 0
	}
	return int(n)
}

// Watch adds a descriptor to an epoll set, or changes what is waited for.
func Watch(ep, op, fd int, events uint32) error {
	return syscall.EpollCtl(ep, op, fd, &syscall.EpollEvent{Events: events, Fd: int32(fd)})
}

//go:build linux && (386 || s390x)

package transport

import (
	"syscall"
	"unsafe"
)

// These systems have had no calls of their own for sockets in the beginning.
// What the calls below do not know of the arguments they do not look at.
const (
	sysRecv = syscall.SYS_READ
	sysSend = syscall.SYS_WRITE
)

// sendVec sends the first n pieces.
func sendVec(fd int, iov *[maxVec]syscall.Iovec, n int) (uintptr, syscall.Errno) {
	sent, _, errno := syscall.RawSyscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(iov)), uintptr(n))
	return sent, errno
}

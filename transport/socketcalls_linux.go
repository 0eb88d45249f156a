//go:build linux && !386 && !s390x

package transport

import (
	"syscall"
	"unsafe"
)

// The calls for sockets are cheaper than those for any file.
const (
	sysRecv = syscall.SYS_RECVFROM
	sysSend = syscall.SYS_SENDTO
)

// sendVec sends the first n pieces.
func sendVec(fd int, iov *[maxVec]syscall.Iovec, n int) (uintptr, syscall.Errno) {
	msg := syscall.Msghdr{Iov: &iov[0]}
	set(&msg.Iovlen, n)
	sent, _, errno := syscall.RawSyscall(syscall.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)), syscall.MSG_NOSIGNAL)
	return sent, errno
}

// set stores a length whose type depends on the processor.
func set[T uint32 | uint64](to *T, n int) { *to = T(n) }

//go:build linux && (386 || s390x)

package transport

import "syscall"

// These systems have had no calls of their own for sockets in the beginning.
// What the calls below do not know of the arguments they do not look at.
const (
	sysRecv = syscall.SYS_READ
	sysSend = syscall.SYS_WRITE
)

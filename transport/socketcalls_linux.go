//go:build linux && !386 && !s390x

package transport

import "syscall"

// The calls for sockets are cheaper than those for any file.
const (
	sysRecv = syscall.SYS_RECVFROM
	sysSend = syscall.SYS_SENDTO
)

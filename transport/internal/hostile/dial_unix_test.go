//go:build unix

package hostile_test

import "syscall"

// smallWindow is a net.Dialer.Control for a peer that has hardly room for what
// it does not read. It must be set before the connection is there: to take back
// a window that was offered confuses both ends.
func smallWindow(_, _ string, raw syscall.RawConn) error {
	var err error
	if cerr := raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 8<<10)
	}); cerr != nil {
		return cerr
	}
	return err
}

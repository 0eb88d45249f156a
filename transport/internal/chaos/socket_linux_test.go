package chaos_test

import "syscall"

// setReceiveBuffer bounds what the kernel takes for a socket that nobody reads.
// Before the connection is made it bounds the window from the first byte on.
// Segments are short then: those that do not fit would be sent again and again,
// each time later.
func setReceiveBuffer(bytes int) func(network, addr string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, bytes)
			if err == nil {
				err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, bytes/4)
			}
		})
		if cerr != nil {
			return cerr
		}
		return err
	}
}

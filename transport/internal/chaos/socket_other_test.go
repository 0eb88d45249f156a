//go:build !linux

package chaos_test

import "syscall"

// setReceiveBuffer leaves the buffer as the system makes it.
func setReceiveBuffer(int) func(network, addr string, c syscall.RawConn) error { return nil }

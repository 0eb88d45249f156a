//go:build !unix

package hostile_test

import "syscall"

func smallWindow(_, _ string, _ syscall.RawConn) error { return nil }

//go:build unix

package transport

import (
	"io"
	"syscall"
)

// canTryRead says that tryRead works here.
const canTryRead = true

// errWouldBlock is what tryRead returns when nothing has arrived.
const errWouldBlock = syscall.EAGAIN

// tryRead reads from a non-blocking socket.
func tryRead(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

//go:build !unix

package transport

import "errors"

// canTryRead says that tryRead does not work here: the reader holds its buffer.
const canTryRead = false

var errWouldBlock = errors.New("would block")

func tryRead(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }

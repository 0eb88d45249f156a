//go:build !unix

package transport

import (
	"errors"
	"syscall"
)

// isResourceError reports an error of accept that passes with time.
func isResourceError(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

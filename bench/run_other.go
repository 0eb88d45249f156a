//go:build !linux

package main

import (
	"errors"
	"runtime"
)

func run([]string) error {
	return errors.New("measuring needs Linux (epoll, /proc, clocks of processes); this is " + runtime.GOOS)
}

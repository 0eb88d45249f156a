package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// serveHTTP serves h, for libraries that upgrade connections of net/http.
func serveHTTP(addr string, h http.Handler) (net.Addr, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() { fmt.Fprintln(os.Stderr, "peers:", srv.Serve(l)) }()
	return l.Addr(), nil
}

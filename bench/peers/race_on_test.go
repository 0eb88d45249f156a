//go:build race

package main

// racy has the servers whose libraries the race detector reports, and what.
var racy = map[string]string{
	"nbio": "nbio hands connections to its poller through epoll, where the race detector sees no order: " +
		"(*Engine).listen writes what (*ServerProcessor).OnComplete reads",
}

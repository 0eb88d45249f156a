// Package hostile has no code of its own, only tests: what a server does with
// peers that break the rules or use them against it, over real TCP.
//
// A case is, as a rule, data: what the peer sends, and what must become of the
// connection. Each case runs in every cell of a matrix: each driver, on a bare
// listener and mounted under net/http. After each case a good client must be
// served, and after each cell nothing may be left: no goroutine, no file
// descriptor, no connection, no memory.
package hostile

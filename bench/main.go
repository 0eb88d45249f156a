// Command bench measures Wireroom, and other WebSocket servers beside it,
// against the least that a message can cost on the same machine. Run it from
// anywhere in the module:
//
//	go run ./bench
//
// The README says what it does and how to read it.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

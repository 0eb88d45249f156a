// Command peers is other WebSocket servers, to be measured beside Wireroom:
//
//	go run ./bench -peers
//
// builds and runs it. Each server is written as the library's own documentation
// recommends for speed, in a file that says what was followed. README.md has
// them side by side; the contract is in the README of bench.
package main

import (
	"fmt"
	"os"

	"github.com/wireroom/wireroom/bench/internal/contract"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 1 && args[0] == "-list" {
		return list(os.Stdout, os.Stderr)
	}
	cfg, err := contract.Parse(args)
	if err != nil {
		return err
	}
	for _, p := range peers {
		if p.name == cfg.Server {
			return p.serve(cfg)
		}
	}
	return fmt.Errorf("no server %q; -list shows what there is", cfg.Server)
}

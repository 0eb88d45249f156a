package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/wireroom/wireroom/bench/internal/contract"
	"github.com/wireroom/wireroom/bench/internal/wire"
)

// entry is what -list says of a server. The README of bench has its members.
type entry struct {
	Name    string         `json:"name"`
	Version string         `json:"version"`
	About   string         `json:"about"`
	Apps    []contract.App `json:"apps"`
	Command []string       `json:"command,omitempty"`
	Dialect *wire.Dialect  `json:"dialect,omitempty"`
}

// list prints what there is, and on notes what is missing.
func list(out, notes io.Writer) error {
	var entries []entry
	for i := range peers {
		p := &peers[i]
		entries = append(entries, entry{Name: p.name, Version: p.version(), About: p.about, Apps: p.apps, Dialect: p.dialect})
	}
	node, err := nodeEntries(".")
	if err != nil {
		if _, err := fmt.Fprintf(notes, "peers: without the servers for Node: %v\n", err); err != nil {
			return err
		}
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(append(entries, node...))
}

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/wireroom/wireroom/bench/internal/contract"
	"github.com/wireroom/wireroom/bench/internal/wire"
)

// nodePeer is a server for Node, a program of its own in the directory node.
type nodePeer struct {
	name    string // also the package's, whose version it goes by
	script  string
	about   string
	apps    []contract.App
	dialect *wire.Dialect
}

var nodePeers = []nodePeer{
	{
		name:   "ws",
		script: "node/ws.js",
		about:  "one thread, bufferutil; a loop over clients with send; slow members: nothing (its documentation has nothing)",
		apps:   contract.Apps,
	},
	{
		name:   "socket.io",
		script: "node/socketio.js",
		about: "one thread, bufferutil, WebSocket transport only; io.to(room).emit; slow members: nothing (its documentation has nothing). " +
			"No rpc: its acknowledgements are not JSON-RPC",
		apps: []contract.App{contract.Echo, contract.Room, contract.Churn},
		// Engine.IO 4: 0 open, 2 ping, 3 pong, 4 message; in a message
		// Socket.IO 5: 0 connect, 2 event. A connection is ready when the
		// namespace has been joined.
		dialect: &wire.Dialect{
			Path:    "/socket.io/?EIO=4&transport=websocket",
			Hello:   []string{"40"},
			Ready:   []string{`0{"sid"`, `40{"sid"`},
			Before:  `42["message","`,
			After:   `"]`,
			Answers: map[string]string{"2": "3"},
		},
	},
}

// nodeEntries returns the servers for Node, or why there are none. dir is that
// of this module.
func nodeEntries(dir string) ([]entry, error) {
	program, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("no program node: %w", err)
	}
	var entries []entry
	for _, p := range nodePeers {
		version, err := packageVersion(dir, p.name)
		if err != nil {
			return nil, fmt.Errorf("%w (npm ci in bench/peers/node installs it)", err)
		}
		if _, err := packageVersion(dir, "bufferutil"); err != nil {
			return nil, fmt.Errorf("%w (npm ci in bench/peers/node installs it)", err)
		}
		entries = append(entries, entry{
			Name: p.name, Version: version, About: p.about, Apps: p.apps, Command: []string{"node", p.script}, Dialect: p.dialect,
		})
	}
	out, err := exec.Command(program, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("node --version: %w", err)
	}
	for i := range entries {
		entries[i].Version += " on Node " + strings.TrimSpace(string(out))
	}
	return entries, nil
}

// packageVersion returns the version of an installed package.
func packageVersion(dir, name string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "node", "node_modules", name, "package.json"))
	if err != nil {
		return "", fmt.Errorf("package %s is not installed", name)
	}
	var p struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return "", fmt.Errorf("package %s: %w", name, err)
	}
	return p.Version, nil
}

//go:build linux

package run

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/wireroom/wireroom/bench/internal/contract"
	"github.com/wireroom/wireroom/bench/internal/record"
	"github.com/wireroom/wireroom/bench/internal/wire"
)

// Peer is what the program in bench/peers says of one of its servers.
type Peer struct {
	Name    string         `json:"name"`
	Version string         `json:"version"`
	About   string         `json:"about,omitempty"`
	Apps    []contract.App `json:"apps"`
	// Command starts a server that is a program of its own; a relative path in
	// it is one from bench/peers. Empty means the program itself, with the flag
	// -server NAME.
	Command []string      `json:"command,omitempty"`
	Dialect *wire.Dialect `json:"dialect,omitempty"`
}

// BuildPeers builds bench/peers into dir and asks it what it can be.
func BuildPeers(s Source, dir string) ([]Server, error) {
	src := s.peersDir()
	if _, err := os.Stat(filepath.Join(src, "go.mod")); s.Dir == "" || err != nil {
		return nil, fmt.Errorf("peers: no module in bench/peers")
	}
	exe := filepath.Join(dir, "peers")
	build := exec.Command("go", "build", "-C", src, "-o", exe, ".")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("peers: go build: %w: %s", err, out)
	}
	list := exec.Command(exe, "-list")
	list.Dir = src
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("peers: -list: %w", err)
	}
	var peers []Peer
	if err := json.Unmarshal(out, &peers); err != nil {
		return nil, fmt.Errorf("peers: -list: %w", err)
	}
	var servers []Server
	for _, p := range peers {
		servers = append(servers, p.server(exe, src))
	}
	return servers, nil
}

func (p *Peer) server(exe, src string) Server {
	s := Server{
		Server:  record.Server{Name: p.Name, Version: p.Version, About: p.About, Peer: true},
		Command: []string{exe}, Variant: p.Name, Apps: p.Apps, Dialect: p.Dialect,
	}
	if len(p.Command) > 0 {
		s.Command, s.Dir = p.Command, src
	}
	return s
}

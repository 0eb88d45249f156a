package main

import (
	"fmt"
	"net"
	"runtime/debug"
	"slices"

	"github.com/wireroom/wireroom/bench/internal/contract"
	"github.com/wireroom/wireroom/bench/internal/wire"
)

// peer is a server that this program can be.
type peer struct {
	name    string
	module  string // whose version it goes by
	about   string
	apps    []contract.App
	dialect *wire.Dialect

	// start serves one of the apps in the background, and returns as soon as
	// it listens.
	start func(app contract.App, addr string) (net.Addr, error)
}

var peers = []peer{gwsPeer, nbioPeer, gorillaPeer, coderPeer, melodyPeer, gobwasPeer, gnetPeer, centrifugePeer}

// messageLimit bounds the messages of clients, in bytes, where a library has a
// limit to be set.
const messageLimit = 1 << 20

// subprotocols are those of app RPC. The frame's type says which one it is, so
// that no server has to remember.
var subprotocols = []string{contract.SubprotocolJSON, contract.SubprotocolMsgpack}

// serve serves until the process is ended.
func (p *peer) serve(cfg contract.Config) error {
	if !slices.Contains(p.apps, cfg.App) {
		return fmt.Errorf("%s: no app %q", p.name, cfg.App)
	}
	control, err := contract.ServeControl(cfg.Control)
	if err != nil {
		return err
	}
	addr, err := p.start(cfg.App, cfg.Addr)
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	contract.Announce(addr, control)
	select {}
}

// version returns the version of the module that was built in.
func (p *peer) version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == p.module {
			return m.Version
		}
	}
	return ""
}

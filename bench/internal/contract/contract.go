// Package contract is what a server has to do to be measured: the flags it is
// started with, the line it prints, and, if it is written in Go, the control
// endpoint that tells its memory. The README of bench describes it for servers
// in other languages.
package contract

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
)

// App is what a server does with a connection. It is also the path that the
// client asks for, with a slash before it.
type App string

// The apps.
const (
	Echo  App = "echo"  // each message is sent back as it came
	RPC   App = "rpc"   // JSON-RPC 2.0, method echo, see Call
	Room  App = "room"  // joined at connect; each message goes to all members, its sender included
	Churn App = "churn" // joined at connect; each message is sent back to its sender only
)

// Apps lists all apps.
var Apps = []App{Echo, RPC, Room, Churn}

// Subprotocols by which a client of RPC chooses the format.
const (
	SubprotocolJSON    = "wireroom.v1.json"
	SubprotocolMsgpack = "wireroom.v1.msgpack"
)

// Call is the params of the method echo, by name, and its result.
type Call struct {
	Seq  uint64 `json:"seq" msgpack:"seq"`
	Text string `json:"text" msgpack:"text"`
}

// Config is how a server is started.
type Config struct {
	Addr    string // to listen on; port 0 means any
	Control string // the same for the control endpoint
	App     App    // the only one that will be asked for
	Server  string // which one, of a program that is several
}

// Args returns the command line for c.
func (c Config) Args() []string {
	args := []string{"-addr", c.Addr, "-control", c.Control, "-app", string(c.App)}
	if c.Server != "" {
		args = append(args, "-server", c.Server)
	}
	return args
}

// Parse reads the command line that Args makes.
func Parse(args []string) (Config, error) {
	var c Config
	var app string
	fs := flag.NewFlagSet("server", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&c.Addr, "addr", "127.0.0.1:0", "address to listen on")
	fs.StringVar(&c.Control, "control", "127.0.0.1:0", "address of the control endpoint")
	fs.StringVar(&app, "app", string(Echo), "what to serve")
	fs.StringVar(&c.Server, "server", "", "which server")
	if err := fs.Parse(args); err != nil {
		return c, fmt.Errorf("contract: %w", err)
	}
	c.App = App(app)
	return c, nil
}

// Announce prints the line that tells where the server listens, to be called
// when it does. control may be nil. Then it has the process end when standard
// input does, so that no server outlives the harness.
func Announce(addr, control net.Addr) {
	line := "listening on " + addr.String()
	if control != nil {
		line += " control " + control.String()
	}
	fmt.Println(line)
	go func() {
		io.Copy(io.Discard, os.Stdin) //nolint:errcheck // an error is an end, too
		os.Exit(0)
	}()
}

// ParseAnnounced reads the line that Announce prints. ok is false for any
// other line. control is empty if there is no control endpoint.
func ParseAnnounced(line string) (addr, control string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 3 || f[0] != "listening" || f[1] != "on" {
		return "", "", false
	}
	if len(f) >= 5 && f[3] == "control" {
		control = f[4]
	}
	return f[2], control, true
}

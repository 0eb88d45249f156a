// Package program runs an example as its users do: as a program of its own,
// which is ended by a signal.
package program

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// patience bounds every wait but that for the compiler.
const patience = 20 * time.Second

// Test builds the command in the current directory and checks what all
// examples have in common: they log where they listen, close their connections
// with 1001 (going away) and exit with status 0 when they are interrupted, and
// say what is wrong and exit with status 1 when their port is taken.
func Test(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows cannot send an interrupt to a single process")
	}
	bin := build(t)
	t.Run("SIGINT", func(t *testing.T) { interrupted(t, bin, os.Interrupt) })
	t.Run("SIGTERM", func(t *testing.T) { interrupted(t, bin, syscall.SIGTERM) })
	t.Run("port taken", func(t *testing.T) { portTaken(t, bin) })
}

// build builds the command, with the race detector if the test has it.
func build(t *testing.T) string {
	bin := filepath.Join(t.TempDir(), "example")
	args := []string{"build", "-buildvcs=false", "-o", bin}
	info, ok := debug.ReadBuildInfo()
	if ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	if out, err := exec.CommandContext(t.Context(), "go", append(args, ".")...).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

func interrupted(t *testing.T, bin string, sig os.Signal) {
	p := start(t, bin, "-addr", "127.0.0.1:0")
	var url string
	select {
	case url = <-p.stderr.url:
	case err := <-p.exit:
		t.Fatalf("ended before it listened: %v\n%s", err, &p.stderr)
	case <-time.After(patience):
		t.Fatalf("does not say where it listens:\n%s", &p.stderr)
	}
	closed := make(client, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := transport.Dial(ctx, url, closed)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Cut()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	select {
	case end := <-closed:
		if end.Code != transport.CloseGoingAway {
			t.Errorf("the connection was %v, want code %d", end, transport.CloseGoingAway)
		}
	case <-time.After(patience):
		t.Error("the connection was not closed")
	}
	if err := p.wait(t); err != nil {
		t.Errorf("ended with: %v\n%s", err, &p.stderr)
	}
}

func portTaken(t *testing.T, bin string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing depends on it
	p := start(t, bin, "-addr", l.Addr().String())
	var exit *exec.ExitError
	if err := p.wait(t); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("ended with: %v, want exit status 1", err)
	}
	line := p.stderr.String()
	if !regexp.MustCompile(`\A.*` + regexp.QuoteMeta(l.Addr().String()) + `.*\n\z`).MatchString(line) {
		t.Errorf("it says %q, want one line that names the address", line)
	}
}

// process is a program that runs.
type process struct {
	cmd    *exec.Cmd
	stderr watcher
	exit   chan error // receives once, at the end
}

func start(t *testing.T, bin string, args ...string) *process {
	p := &process{cmd: exec.Command(bin, args...), exit: make(chan error, 1)}
	p.stderr.url = make(chan string, 1)
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.exit <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() }) // as a rule it has ended long since
	return p
}

// wait waits for the end.
func (p *process) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.exit:
		return err
	case <-time.After(patience):
		t.Fatalf("does not end:\n%s", &p.stderr)
		return nil
	}
}

var listening = regexp.MustCompile(`listening on (ws://127\.0\.0\.1:\d+/ws)[\n,]`)

// watcher keeps what a program says and looks in it for the URL.
type watcher struct {
	url chan string // receives once

	mu    sync.Mutex
	text  bytes.Buffer
	found bool
}

// Write implements io.Writer.
func (w *watcher) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(b)
	if m := listening.FindSubmatch(w.text.Bytes()); m != nil && !w.found {
		w.found = true
		w.url <- string(m[1])
	}
	return len(b), nil
}

// String returns all that the program has said.
func (w *watcher) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// client is a transport.Handler that waits for the end.
type client chan *transport.CloseError

func (client) OnMessage(*transport.Conn, transport.Op, []byte) {}
func (client) OnReadDone(*transport.Conn)                      {}

// OnClose implements transport.Handler.
func (c client) OnClose(_ *transport.Conn, err *transport.CloseError) { c <- err }

// Package interop_test runs clients of other authors and other languages
// against the example servers, as separate processes over loopback.
package interop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// scriptTimeout is longer than the 20 s that a script grants itself, so
	// that the script's own account of what it waited for is seen first.
	scriptTimeout = 30 * time.Second
	startTimeout  = 30 * time.Second
	stopTimeout   = 15 * time.Second
)

func TestEcho(t *testing.T) {
	url := serve(t, "echo")
	t.Run("python3-websockets", func(t *testing.T) { runPython(t, "echo_python_websockets.py", url) })
	t.Run("ws", func(t *testing.T) { runNode(t, "echo_ws.mjs", url) })
}

func TestCalculator(t *testing.T) {
	url := serve(t, "calculator")
	t.Run("python3-websockets", func(t *testing.T) { runPython(t, "jsonrpc_python_websockets.py", url) })
	t.Run("rpc-websockets", func(t *testing.T) { runNode(t, "jsonrpc_rpc_websockets.mjs", url) })
	t.Run("json-rpc-2.0", func(t *testing.T) { runNode(t, "jsonrpc_json_rpc_2.mjs", url) })
	t.Run("msgpack", func(t *testing.T) { runNode(t, "msgpack.mjs", url) })
	t.Run("jrpc2", func(t *testing.T) { testJRPC2(t, url) })
}

var listening = regexp.MustCompile(`listening on (ws://127\.0\.0\.1:\d+/ws)`)

// serve builds and starts one of the example servers on a free port and
// returns its URL. When the test ends the server is interrupted and must exit
// with status 0.
func serve(t *testing.T, example string) (url string) {
	t.Helper()
	lookAtSources(t)

	bin := filepath.Join(t.TempDir(), example)
	if runtime.GOOS == "windows" {
		bin += ".exe"
	}
	// No version control stamp: git refuses to tell for a tree owned by another user.
	args := []string{"build", "-buildvcs=false", "-o", bin}
	if raceEnabled() {
		args = append(args, "-race")
	}
	build := exec.CommandContext(t.Context(), "go", append(args, "github.com/wireroom/wireroom/examples/"+example)...)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", example, err, out)
	}

	log := &logWatcher{url: make(chan string, 1)}
	// Not CommandContext with the test's context, which ends before the
	// clean-up that is to end the server in order.
	cmd := exec.Command(bin, "-addr", "127.0.0.1:0")
	cmd.Stdout = log
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", example, err)
	}
	exited := make(chan struct{})
	var exit error
	go func() {
		exit = cmd.Wait()
		close(exited)
	}()

	t.Cleanup(func() {
		if err := interrupt(cmd.Process); err != nil {
			t.Errorf("interrupt %s: %v", example, err)
		}
		select {
		case <-exited:
			if exit != nil && runtime.GOOS != "windows" { // there it was killed, see interrupt
				t.Errorf("%s ended with: %v", example, exit)
			}
		case <-time.After(stopTimeout):
			t.Errorf("%s still runs %v after the interrupt", example, stopTimeout)
			_ = cmd.Process.Kill() // an error means that it has just ended
			<-exited
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", example, log.String())
		}
	})

	select {
	case url = <-log.url:
		return url
	case <-exited:
		t.Fatalf("%s ended before it listened: %v", example, exit)
	case <-time.After(startTimeout):
		t.Fatalf("%s did not log where it listens within %v", example, startTimeout)
	}
	panic("unreachable")
}

// lookAtSources lists every folder of the module. go test reuses an earlier
// result until something changes that the test has looked at, and of the
// programs and scripts that are run here it knows nothing.
func lookAtSources(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join("..", ".."), func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// interrupt asks a server to stop. Windows cannot send an interrupt to one
// process, so there it is killed.
func interrupt(p *os.Process) error {
	if runtime.GOOS == "windows" {
		return p.Kill()
	}
	err := p.Signal(os.Interrupt)
	if errors.Is(err, os.ErrProcessDone) {
		return nil // how it ended is checked by the caller
	}
	return err
}

// raceEnabled reports whether this test was built with -race; the servers are
// then built with it too, so that a data race in them is seen as exit status 66.
func raceEnabled() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// logWatcher keeps what a server logs and looks in it for the URL.
type logWatcher struct {
	url chan string // receives the URL once

	mu    sync.Mutex
	text  bytes.Buffer
	found bool
}

// Write implements io.Writer; os/exec calls it from one goroutine.
func (l *logWatcher) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	if !l.found {
		// The pattern ends in fixed text, so a line cut short does not match.
		if m := listening.FindSubmatch(l.text.Bytes()); m != nil {
			l.found = true
			l.url <- string(m[1])
		}
	}
	return len(p), nil
}

// String returns all that was logged so far.
func (l *logWatcher) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// runNode runs a script of the folder clients with Node.js.
func runNode(t *testing.T, script, url string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node is missing: install Node.js 18 or newer")
	}
	if _, err := os.Stat(filepath.Join("clients", "node_modules")); err != nil {
		missing(t, "node_modules is missing: run `npm ci` in examples/interop/clients")
	}
	runScript(t, node, script, url)
}

// runPython runs a script of the folder clients with a Python that has the
// package websockets.
func runPython(t *testing.T, script, url string) {
	t.Helper()
	// The first is where Debian's own Python is: another one that comes
	// earlier in PATH does not see Debian's packages.
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		python, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if exec.CommandContext(t.Context(), python, "-c", "import websockets").Run() == nil {
			runScript(t, python, script, url)
			return
		}
	}
	missing(t, "a python3 with the package websockets is missing: apt-get install python3-websockets")
}

// missing skips the test, except in CI, which is to run all of them.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func runScript(t *testing.T, interpreter, script, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), scriptTimeout)
	defer cancel()

	cmd := exec.CommandContext(ctx, interpreter, script, url)
	cmd.Dir = "clients"
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	cmd.WaitDelay = 5 * time.Second // a grandchild that holds the output open
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = fmt.Errorf("no end after %v: %w", scriptTimeout, err)
	}
	if err != nil {
		t.Fatalf("%s %s %s: %v\n%s", interpreter, script, url, err, out)
	}
	// A script says how many checks it made, so that one that made none is
	// not taken for a success.
	if !strings.Contains(string(out), "\ndone: ") {
		t.Fatalf("%s does not say that it is done:\n%s", script, out)
	}
	t.Logf("%s\n%s", script, out)
}

// Package examples_test checks the program that the README prints.
package examples_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// Verify that the program in the README compiles, runs, and does what the text
// beside it says. Only its port is another one here.
func TestReadmeProgram(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```go\n")
	program, _, ok := strings.Cut(rest, "```")
	if !ok || !strings.HasPrefix(program, "package main") {
		t.Fatal("the README begins with no program")
	}
	if n := strings.Count(program, "\n"); n > 25 {
		t.Errorf("the program has grown to %d lines", n)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	if program = strings.ReplaceAll(program, "127.0.0.1:8080", addr); !strings.Contains(program, addr) {
		t.Fatal("the program does not listen on 127.0.0.1:8080")
	}

	run(t, program)
	got := make(chan string, 16)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := dial(ctx, t, "ws://"+addr+"/ws", got)
	for _, line := range messages(t, string(readme)) {
		if err := c.SendText(line); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		`{"jsonrpc":"2.0","result":null,"id":1}`,
		`{"jsonrpc":"2.0","method":"said","params":"hello"}`,
		`{"jsonrpc":"2.0","result":null,"id":2}`,
	}
	seen := make(map[string]bool)
	for range want {
		select {
		case m := <-got:
			seen[m] = true
		case <-ctx.Done():
			t.Fatalf("got only %v", seen)
		}
	}
	for _, w := range want {
		if !seen[w] {
			t.Errorf("%s is missing in %v", w, seen)
		}
	}
	c.Close(transport.CloseNormal, "")
}

// messages returns what the JavaScript in the README sends.
func messages(t *testing.T, readme string) (out []string) {
	s := bufio.NewScanner(strings.NewReader(readme))
	for s.Scan() {
		if _, rest, ok := strings.Cut(s.Text(), "ws.send('"); ok {
			m, _, _ := strings.Cut(rest, "')")
			out = append(out, m)
		}
	}
	if len(out) != 2 {
		t.Fatalf("the README sends %d messages", len(out))
	}
	return out
}

// run builds the program as a package of this module, without writing into it,
// and runs it until the test ends.
func run(t *testing.T, program string) {
	dir := t.TempDir()
	file, overlay, bin := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "readme.exe")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	here, err := filepath.Abs("readme-program/main.go")
	if err != nil {
		t.Fatal(err)
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{here: file}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay, "-o", bin, "./readme-program").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(context.Background(), bin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("it wrote:\n%s", &stderr)
		}
	})
}

// dial connects as soon as the program listens.
func dial(ctx context.Context, t *testing.T, url string, got chan string) *transport.Conn {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := transport.Dial(ctx, url, collector(got))
		if err == nil {
			return c
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal(fmt.Errorf("the program does not listen: %w", err))
		}
	}
}

type collector chan string

func (got collector) OnMessage(_ *transport.Conn, _ transport.Op, p []byte) { got <- string(p) }
func (collector) OnReadDone(*transport.Conn)                                {}
func (collector) OnClose(*transport.Conn, *transport.CloseError)            {}

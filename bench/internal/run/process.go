//go:build linux

package run

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// process is a child with which lines are exchanged.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string // closed when it has ended
	said  *tail
	gone  bool // lines has been seen closed

	complete chan struct{} // closed when said is
}

// start starts a child. It is told to go by the end of its standard input, and
// made to by stop.
func start(name, dir string, command []string, args ...string) (*process, error) {
	p := &process{name: name, lines: make(chan string, 16), said: &tail{limit: 2 << 10}, complete: make(chan struct{})}
	p.cmd = exec.Command(command[0], append(command[1:len(command):len(command)], args...)...)
	p.cmd.Dir = dir
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(p.complete)
		io.Copy(p.said, stderr) //nolint:errcheck // an error is an end, too
	}()
	go func() {
		defer close(p.lines)
		r := bufio.NewReader(stdout)
		for {
			line, err := r.ReadString('\n')
			if line = strings.TrimSpace(line); line != "" {
				p.lines <- line
			}
			if err != nil {
				return
			}
		}
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// expect waits for a line that accept takes; others are passed over.
func (p *process) expect(what string, within time.Duration, accept func(line string) bool) error {
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	for {
		select {
		case line, ok := <-p.lines:
			if !ok {
				p.gone = true
				p.hearOut()
				return fmt.Errorf("%s ended before %s%s", p.name, what, p.said.suffix())
			}
			if accept(line) {
				return nil
			}
		case <-timeout.C:
			return fmt.Errorf("%s: no %s within %v%s", p.name, what, within, p.said.suffix())
		}
	}
}

// hearOut waits until all has been read that the child said on standard error,
// unless a child of its own keeps that open.
func (p *process) hearOut() {
	select {
	case <-p.complete:
	case <-time.After(time.Second):
	}
}

// say writes a line to the child.
func (p *process) say(line []byte) error {
	if _, err := p.stdin.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("%s: %w%s", p.name, err, p.said.suffix())
	}
	return nil
}

// ended reports that the child has ended by itself, or does so within a time.
func (p *process) ended(within time.Duration) bool {
	return p.expect("its end", within, func(string) bool { return false }) != nil && p.gone
}

// stop ends the child and waits for it.
func (p *process) stop() {
	_ = p.stdin.Close()      // it may have ended already
	_ = p.cmd.Process.Kill() // as above
	for range p.lines {      // until the reader has ended, as Wait demands
		continue
	}
	p.hearOut()
	_ = p.cmd.Wait() // killed: it cannot be well
}

// tail keeps the last bytes of what a child says on standard error.
type tail struct {
	mu    sync.Mutex
	buf   []byte
	limit int
}

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - t.limit; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

// suffix returns what was said, to be put behind an error.
func (t *tail) suffix() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := string(bytes.TrimSpace(t.buf))
	if s == "" {
		return ""
	}
	return "; it said: " + s
}

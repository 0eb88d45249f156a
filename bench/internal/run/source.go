//go:build linux

package run

import (
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
)

// Source is the module that is measured.
type Source struct {
	Dir     string // empty if it cannot be found
	Commit  string
	Version string
}

// FindSource looks for the module in and above the working directory, and for
// its commit.
func FindSource() Source {
	s := Source{Commit: "unknown", Version: "(devel)"}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		s.Version = info.Main.Version
	}
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/wireroom/wireroom").Output()
	if err != nil {
		return s
	}
	s.Dir = strings.TrimSpace(string(out))
	git := func(args ...string) (string, bool) {
		out, err := exec.Command("git", append([]string{"-C", s.Dir}, args...)...).Output()
		return strings.TrimSpace(string(out)), err == nil
	}
	commit, ok := git("rev-parse", "--short=12", "HEAD")
	if !ok {
		return s
	}
	s.Commit, s.Version = commit, commit
	if changed, ok := git("status", "--porcelain", "--untracked-files=no"); ok && changed != "" {
		s.Commit += " with changes"
		s.Version += "+"
	}
	return s
}

// peersDir is where the peers are built.
func (s Source) peersDir() string { return filepath.Join(s.Dir, "bench", "peers") }

package hostile_test

import (
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strings"
	"testing"
)

var quiet = log.New(io.Discard, "", 0)

// width is how many cases attack at the same time. Most of them wait, so it has
// little to do with the number of processors.
const width = "16"

func TestMain(m *testing.M) {
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set {
		if err := flag.Set("test.parallel", width); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	code := m.Run()
	if n := cellsRun.Load(); n > 0 {
		var by []string
		servedBy.Range(func(cell, driver any) bool {
			by = append(by, fmt.Sprintf("%v by %v", cell, driver))
			return true
		})
		slices.Sort(by)
		run, skipped := casesRun.Load(), casesSkipped.Load()
		fmt.Printf("hostile: %d cases x %d cells: %d run, %d skipped (served: %s)\n",
			(run+skipped)/n, n, run, skipped, strings.Join(by, ", "))
	}
	os.Exit(code)
}

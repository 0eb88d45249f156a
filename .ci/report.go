// Report reads the events of go test -json. Without arguments it takes them
// from its standard input and prints what go test prints without -v, and the
// tests that were skipped. With -total FILE… it counts over all the files and
// prints one line "N passed, N failed, N skipped"; its exit status is 1 if a
// test failed or none ran.
//
// A test counts once, whether it ran in one file or in several (say with and
// without -race), and as failed if it failed in any. Subtests are tests. A
// package that failed without a failed test (it did not build, or its TestMain
// failed) counts as one failed test.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one line of go test -json; see go doc test2json.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build-output and build-fail
	Test       string
	Output     string
}

type testID struct{ pkg, test string }

func main() {
	if len(os.Args) > 2 && os.Args[1] == "-total" {
		ok, err := total(os.Args[2:])
		if err != nil {
			fmt.Println(err)
		}
		if err != nil || !ok {
			os.Exit(1)
		}
		return
	}
	if err := render(os.Stdin); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// each calls f for every event of r, and other for every line that is none.
func each(r io.Reader, f func(event), other func(string)) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) == nil && e.Action != "" {
				f(e)
			} else {
				other(line)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// render prints the events as they come; of a test, nothing before its end.
func render(r io.Reader) error {
	output := make(map[testID]*strings.Builder) // of the tests that run
	var order []testID                          // in which they began
	show := func(id testID) {
		if b := output[id]; b != nil {
			fmt.Print(b.String())
		}
	}
	return each(r, func(e event) {
		id := testID{e.Package, e.Test}
		switch {
		case e.Action == "build-output":
			fmt.Print(e.Output)
		case e.Test == "" && e.Action == "output":
			// Of a package without tests there is nothing to tell, and PASS
			// says less than the line "ok" that follows it.
			if !strings.Contains(e.Output, "[no test files]") && e.Output != "PASS\n" {
				fmt.Print(e.Output)
			}
		case e.Test == "" && e.Action == "fail":
			// What has not ended by now was ended by a panic or by the time limit.
			for _, id := range order {
				if id.pkg == e.Package {
					show(id)
					delete(output, id)
				}
			}
		case e.Test == "":
		case e.Action == "run":
			output[id] = new(strings.Builder)
			order = append(order, id)
		case e.Action == "output":
			if b := output[id]; b != nil {
				b.WriteString(e.Output)
			}
		case e.Action == "fail", e.Action == "skip" && !strings.HasPrefix(e.Test, "Fuzz"):
			// A fuzz target skips the inputs that say nothing to it: no news.
			show(id)
			delete(output, id)
		case e.Action == "pass", e.Action == "skip":
			delete(output, id)
		}
	}, func(line string) { fmt.Print(line) })
}

// total counts the tests of all the files and reports whether all is well.
func total(files []string) (ok bool, err error) {
	outcome := make(map[testID]string)
	worse := map[string]int{"": 0, "skip": 1, "pass": 2, "fail": 3} // a test passed if it ran in one file at least
	set := func(id testID, to string) {
		if worse[to] > worse[outcome[id]] {
			outcome[id] = to
		}
	}
	for _, name := range files {
		file, err := os.ReadFile(name)
		if err != nil {
			return false, err
		}
		running := make(map[testID]bool)
		failed := make(map[string]bool) // packages with a failed test
		fail := func(id testID) {
			set(id, "fail")
			failed[id.pkg] = true
		}
		err = each(bytes.NewReader(file), func(e event) {
			id := testID{e.Package, e.Test}
			switch {
			case e.Test != "" && e.Action == "run":
				running[id] = true
			case e.Test != "" && e.Action == "fail":
				delete(running, id)
				fail(id)
			case e.Test != "" && (e.Action == "pass" || e.Action == "skip"):
				delete(running, id)
				set(id, e.Action)
			case e.Test == "" && e.Action == "fail":
				for id := range running {
					if id.pkg == e.Package {
						fail(id)
					}
				}
				if !failed[e.Package] {
					fail(id)
				}
			}
		}, func(string) {})
		if err != nil {
			return false, fmt.Errorf("%s: %w", name, err)
		}
	}
	count := make(map[string]int)
	for _, o := range outcome {
		count[o]++
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", count["pass"], count["fail"], count["skip"])
	if count["pass"]+count["fail"] == 0 {
		fmt.Println("no test ran")
	}
	return count["fail"] == 0 && count["pass"] > 0, nil
}

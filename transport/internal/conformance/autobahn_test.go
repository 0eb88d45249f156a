package conformance_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/wireroom/wireroom/transport"
)

// scriptTimeout is longer than what a script grants itself.
const scriptTimeout = 75 * time.Second

// autobahn returns a Python that has the package autobahn.
func autobahn(t *testing.T) (python string) {
	t.Helper()
	// go test reuses an earlier result until something changes that the test has
	// looked at.
	for _, script := range []string{"autobahn_client.py", "autobahn_server.py"} {
		if _, err := os.Stat(script); err != nil {
			t.Fatal(err)
		}
	}
	// The first is where Debian's own Python is: another one that comes earlier
	// in PATH does not see Debian's packages.
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		python, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if exec.CommandContext(t.Context(), python, "-c", "import autobahn.asyncio.websocket").Run() == nil {
			return python
		}
	}
	const what = "a python3 with the package autobahn is missing: apt-get install python3-autobahn"
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
	return ""
}

// echoTo serves an echo for any number of clients, on the path that is returned.
func echoTo(t *testing.T, o *transport.Options) (url string) {
	t.Helper()
	h := func(*transport.Conn, *transport.Handshake) transport.Handler { return newHandler(new(testCase)) }
	return "ws://" + new(underTest).serve(t, h, o).addr + "/"
}

var checksDone = regexp.MustCompile(`\ndone: ([1-9][0-9]*) checks`)

// TestAutobahnClient has the client of python3-autobahn judge a Server.
func TestAutobahnClient(t *testing.T) {
	python := autobahn(t)
	for _, driver := range drivers() {
		for _, mode := range []string{"", "deflate"} {
			t.Run(strings.TrimSpace(string(driver)+" "+mode), func(t *testing.T) {
				o := &transport.Options{Driver: driver, MaxMessageBytes: 1 << 20, MaxFragments: -1, MaxControlFrames: -1, MaxQueueBytes: 16 << 20}
				args := []string{"autobahn_client.py"}
				if mode == "deflate" {
					o.Deflate, o.DeflateThreshold = true, -1
					needDeflate(t, serve(t, o))
					args = append(args, echoTo(t, o), mode)
				} else {
					args = append(args, echoTo(t, o))
				}
				ctx, cancel := context.WithTimeout(t.Context(), scriptTimeout)
				defer cancel()
				cmd := exec.CommandContext(ctx, python, args...)
				cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
				cmd.WaitDelay = 5 * time.Second
				out, err := cmd.CombinedOutput()
				done := checksDone.FindSubmatch(out)
				if err != nil || done == nil {
					t.Fatalf("%v: %v\n%s", args, err, out)
				}
				t.Logf("conformance: %s checks by python3-autobahn as client, server %s %s", done[1], driver, mode)
			})
		}
	}
}

// TestAutobahnServer connects a Dialer to the server of python3-autobahn.
func TestAutobahnServer(t *testing.T) {
	python := autobahn(t)
	for _, deflate := range []bool{false, true} {
		t.Run(fmt.Sprintf("Deflate is %v", deflate), func(t *testing.T) {
			o := &transport.Options{MaxMessageBytes: 1 << 20, MaxQueueBytes: 16 << 20, Deflate: deflate, DeflateThreshold: -1}
			d := &transport.Dialer{Options: o}
			args := []string{"autobahn_server.py"}
			if deflate {
				needOffer(t, d)
				args = append(args, "deflate")
			}
			ctx, cancel := context.WithTimeout(t.Context(), scriptTimeout)
			defer cancel()
			cmd := exec.CommandContext(ctx, python, args...)
			cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
			cmd.WaitDelay = 5 * time.Second
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(stdout)
			first, err := lines.ReadString('\n')
			url, ok := strings.CutPrefix(strings.TrimSpace(first), "listening on ")
			if err != nil || !ok {
				cancel()
				cmd.Wait()
				t.Fatalf("%q, %v\n%s", first, err, stderr.String())
			}
			connections, messages := talk(ctx, t, d, url)
			stdin.Close()
			var rest bytes.Buffer
			if _, err := rest.ReadFrom(lines); err != nil {
				t.Error(err)
			}
			if err := cmd.Wait(); err != nil || !strings.Contains(rest.String(), "\ndone") || strings.Contains(rest.String(), "fault: ") {
				t.Errorf("%v\n%s%s", err, rest.String(), stderr.String())
			}
			with := 0
			if deflate {
				with = connections
			}
			if want := fmt.Sprintf("connections=%d messages=%d deflate=%d pongs=", connections, messages, with); !strings.Contains(rest.String(), want) {
				t.Errorf("want %s, got\n%s", want, rest.String())
			}
			t.Logf("conformance: %d messages to python3-autobahn as server, Deflate is %v", messages, deflate)
		})
	}
}

// received is a message as a Dialer's connection got it.
type received struct {
	op      transport.Op
	payload string
}

// talk has connections of d echoed, and returns how many connections and
// messages that were.
func talk(ctx context.Context, t *testing.T, d *transport.Dialer, url string) (connections, messages int) {
	t.Helper()
	open := func() (c *transport.Conn, h *handler, got chan received) {
		t.Helper()
		got = make(chan received, 2000)
		h = newHandler(&testCase{on: func(_ *transport.Conn, op transport.Op, p []byte) { got <- received{op, string(p)} }})
		c, err := d.Dial(ctx, url, h)
		if err != nil {
			t.Fatal(err)
		}
		connections++
		return c, h, got
	}
	say := func(c *transport.Conn, op transport.Op, payload string) {
		t.Helper()
		messages++
		if err := c.Send(op, []byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(h *handler, got chan received, op transport.Op, payload string) {
		t.Helper()
		select {
		case m := <-got:
			if m.op != op || m.payload != payload {
				t.Errorf("got %v, %.60q (%d octets), want %v of %d octets", m.op, m.payload, len(m.payload), op, len(payload))
			}
		case err := <-h.ended:
			t.Fatalf("connection ended with %v", err)
		case <-time.After(caseTimeout):
			t.Fatal("no echo")
		}
	}

	c, h, got := open()
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 300000} {
		for i, payload := range []string{prose(n, n), noise(n, 1), strings.Repeat("a", n)} {
			op := transport.Text
			if i == 1 {
				op = transport.Binary
			}
			say(c, op, payload)
			hear(h, got, op, payload)
		}
	}
	for i := range 1000 {
		say(c, transport.Text, prose(i, i))
	}
	for i := range 1000 {
		hear(h, got, transport.Text, prose(i, i))
	}
	c.Close(3001, "schön")
	h.check(t, 3001)

	c, h, got = open()
	for _, op := range []transport.Op{transport.Text, transport.Binary} {
		say(c, op, "in fragments, please")
		hear(h, got, op, "a"+strings.Repeat("b", 126)+strings.Repeat("c", 70000))
	}
	say(c, transport.Text, "a breach, please")
	h.check(t, transport.CloseProtocolError)

	c, h, _ = open()
	say(c, transport.Text, "close, please")
	h.check(t, 4001)

	c, h, _ = open()
	c.Close(transport.CloseNoStatus, "")
	h.check(t, transport.CloseNoStatus)
	return connections, messages
}

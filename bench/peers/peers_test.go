package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/wireroom/wireroom/bench/internal/contract"
	"github.com/wireroom/wireroom/bench/internal/wire"
)

// asPeers has the test binary be the program that is tested.
const asPeers = "WIREROOM_TEST_AS_PEERS"

func TestMain(m *testing.M) {
	if os.Getenv(asPeers) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// testee is a server to be tested.
type testee struct {
	entry
	start func(t *testing.T, app contract.App) (addr string)
}

// testees returns all servers: those in Go run in this process, so that the
// race detector sees them, those for Node in their own.
func testees(t *testing.T) []testee {
	var all []testee
	for i := range peers {
		p := &peers[i]
		all = append(all, testee{
			entry{Name: p.name, Apps: p.apps, Dialect: p.dialect},
			func(t *testing.T, app contract.App) string {
				addr, err := p.start(app, "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				return addr.String()
			},
		})
	}
	node, err := nodeEntries(".")
	switch {
	case err != nil && os.Getenv("CI") == "true":
		t.Fatalf("the servers for Node: %v", err)
	case err != nil:
		t.Logf("without the servers for Node: %v", err)
	}
	for _, e := range node {
		all = append(all, testee{e, func(t *testing.T, app contract.App) string {
			addr, _ := process(t, e.Command, app, e.Name)
			return addr
		}})
	}
	return all
}

// process starts a server as the harness does, and returns where it listens.
func process(t *testing.T, command []string, app contract.App, name string) (addr, control string) {
	t.Helper()
	cfg := contract.Config{Addr: "127.0.0.1:0", Control: "127.0.0.1:0", App: app, Server: name}
	cmd := exec.Command(command[0], append(slices.Clone(command[1:]), cfg.Args()...)...)
	cmd.Env = append(os.Environ(), asPeers+"=1")
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close() // which tells the process to end
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("%s: no line that says where it listens: %v", name, err)
		}
		if addr, control, ok := contract.ParseAnnounced(strings.TrimSpace(line)); ok {
			go io.Copy(io.Discard, r) // so that it never waits
			return addr, control
		}
	}
}

// each runs a test for all servers that have an app.
func each(t *testing.T, app contract.App, test func(t *testing.T, s testee, addr string)) {
	for _, s := range testees(t) {
		if slices.Contains(s.Apps, app) {
			t.Run(s.Name, func(t *testing.T) {
				if why, ok := racy[s.Name]; ok {
					t.Skip(why)
				}
				test(t, s, s.start(t, app))
			})
		}
	}
}

// Verify that messages come back as they were sent and in their order, as many
// as may be under way (melody drops what is beyond 256), and that control frames are answered.
func TestEcho(t *testing.T) {
	each(t, contract.Echo, func(t *testing.T, s testee, addr string) {
		c := dial(t, addr, contract.Echo, s.Dialect, "")
		for i := range 200 {
			c.send(fmt.Sprintf("<%d %s>", i, strings.Repeat("x", i%100*3)))
		}
		for i := range 200 {
			c.want(fmt.Sprintf("<%d %s>", i, strings.Repeat("x", i%100*3)))
		}
		long := "<" + strings.Repeat("long", 15<<10) + ">"
		c.send(long)
		c.want(long)
		if s.Dialect == nil {
			echoFrames(t, s.Name, c)
		}
		c.close()
	})
}

// echoFrames tests what a protocol above WebSocket hides.
func echoFrames(t *testing.T, name string, c *client) {
	var pongs []string
	c.conn.SetPongHandler(func(data string) error {
		pongs = append(pongs, data)
		return nil
	})
	for _, data := range []string{"", "ping"} {
		c.write(websocket.PingMessage, data)
	}
	c.fragments("<in two ", "parts>")
	c.want("<in two parts>")
	if want := []string{"", "ping", "between"}; !slices.Equal(pongs, want) {
		t.Errorf("pongs: %q, want %q", pongs, want)
	}
	c.write(websocket.BinaryMessage, "\x00\xff")
	if kind, data, err := c.conn.ReadMessage(); err != nil || kind != websocket.BinaryMessage || string(data) != "\x00\xff" {
		t.Errorf("binary: %d, %q, %v", kind, data, err)
	}
	if name == "nbio" {
		return // v1.6.4 does not hand over empty messages: Parse takes one for none
	}
	c.send("")
	c.want("")
}

// Verify that calls are answered in the format that the subprotocol says, and
// that numbers and text survive.
func TestRPC(t *testing.T) {
	formats := []struct {
		subprotocol string
		kind        int
		marshal     func(any) ([]byte, error)
		unmarshal   func([]byte, any) error
	}{
		{contract.SubprotocolJSON, websocket.TextMessage, json.Marshal, json.Unmarshal},
		{contract.SubprotocolMsgpack, websocket.BinaryMessage, msgpack.Marshal, msgpack.Unmarshal},
	}
	type reply struct {
		Version string        `json:"jsonrpc" msgpack:"jsonrpc"`
		Result  contract.Call `json:"result" msgpack:"result"`
		Error   *rpcError     `json:"error" msgpack:"error"`
		ID      uint64        `json:"id" msgpack:"id"`
	}
	each(t, contract.RPC, func(t *testing.T, s testee, addr string) {
		for _, f := range formats {
			c := dial(t, addr, contract.RPC, s.Dialect, f.subprotocol)
			call := func(method string, id uint64, params contract.Call) {
				data, err := f.marshal(map[string]any{"jsonrpc": "2.0", "method": method, "params": params, "id": id})
				if err != nil {
					t.Fatal(err)
				}
				c.write(f.kind, string(data))
			}
			answered := func() (r reply) {
				kind, data, err := c.conn.ReadMessage()
				if err != nil {
					t.Fatal(err)
				}
				if err := f.unmarshal(data, &r); err != nil || kind != f.kind || r.Version != "2.0" {
					t.Fatalf("%s: type %d, %q, %v", f.subprotocol, kind, data, err)
				}
				return r
			}
			ids := []uint64{0, 1, 127, 128, math.MaxUint16, 1_000_000_000, math.MaxUint32}
			for _, id := range ids {
				call("echo", id, contract.Call{Seq: id, Text: fmt.Sprintf("täxt \" %d", id)})
			}
			for _, id := range ids {
				want := contract.Call{Seq: id, Text: fmt.Sprintf("täxt \" %d", id)}
				if r := answered(); r.ID != id || r.Result != want || r.Error != nil {
					t.Errorf("%s: got %+v, want %+v", f.subprotocol, r, want)
				}
			}
			call("other", 7, contract.Call{})
			if r := answered(); r.ID != 7 || r.Error == nil || r.Error.Code != -32601 {
				t.Errorf("%s: unknown method: %+v", f.subprotocol, r)
			}
			c.close()
		}
	})
}

// Verify that the replies are what the load generator takes for right.
func TestCalls(t *testing.T) {
	for _, m := range []*wire.Message{wire.CallJSON(), wire.CallMsgpack()} {
		f, _, err := wire.Next(m.Append(nil, 12, 34))
		if err != nil {
			t.Fatal(err)
		}
		out, err := answerCall(f.Op == wire.OpBinary, f.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if conn, seq, ok := m.Check(wire.Frame{Op: f.Op, Payload: out}); !ok || conn != 12 || seq != 34 {
			t.Errorf("%q: connection %d, number %d, %v", out, conn, seq, ok)
		}
	}
}

// Verify that bytes that are no request are answered, with the id null.
func TestNoRequest(t *testing.T) {
	for _, out := range []func() ([]byte, error){
		func() ([]byte, error) { return answerJSON([]byte("{")) },
		func() ([]byte, error) {
			b, err := answerMsgpack([]byte{0xc1})
			if err != nil {
				return nil, err
			}
			var v any
			if err := msgpack.Unmarshal(b, &v); err != nil {
				return nil, err
			}
			return json.Marshal(v)
		},
	} {
		b, err := out()
		if err != nil || !bytes.Contains(b, []byte(`"code":-32700`)) || !bytes.Contains(b, []byte(`"id":null`)) {
			t.Errorf("%s, %v", b, err)
		}
	}
}

// Verify that each message of a member goes to all members in its order, its
// sender included, and that the room outlives members that leave.
func TestRoom(t *testing.T) {
	each(t, contract.Room, func(t *testing.T, s testee, addr string) {
		var all []*client
		for range 5 {
			all = append(all, dial(t, addr, contract.Room, s.Dialect, ""))
		}
		// A member may not be in the room yet when its connection is ready. It
		// is, when it has got what it sent. What different members send may
		// come in any order.
		for i, c := range all {
			hello := fmt.Sprintf("<hello %d>", i)
			for c.send(hello); c.receive() != hello; {
			}
		}
		want := func(c *client, payload string) {
			t.Helper()
			got := c.receive()
			for strings.HasPrefix(got, "<hello") {
				got = c.receive()
			}
			if got != payload {
				t.Fatalf("got %.80q, want %.80q", got, payload)
			}
		}
		all[4].close()
		all[3].conn.Close() // without a word
		for i := range 100 {
			all[0].send(fmt.Sprintf("<%d>", i))
		}
		for _, c := range all[:3] {
			for i := range 100 {
				want(c, fmt.Sprintf("<%d>", i))
			}
		}
		all[1].send("<another's>")
		for _, c := range all[:3] {
			want(c, "<another's>")
		}
	})
}

// Verify that a message comes back to its sender only, and that connections
// may come and go.
func TestChurn(t *testing.T) {
	each(t, contract.Churn, func(t *testing.T, s testee, addr string) {
		other := dial(t, addr, contract.Churn, s.Dialect, "")
		for i := range 30 {
			c := dial(t, addr, contract.Churn, s.Dialect, "")
			c.send(fmt.Sprintf("<%d>", i))
			c.want(fmt.Sprintf("<%d>", i))
			c.close()
		}
		other.send("<mine>")
		other.want("<mine>")
		other.close()
	})
}

// Verify that each server can be started as the harness starts it, answers on
// its control endpoint, and ends with its standard input.
func TestProcess(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			if why, ok := racy[p.name]; ok {
				t.Skip(why)
			}
			addr, control := process(t, []string{exe}, contract.Echo, p.name)
			c := dial(t, addr, contract.Echo, p.dialect, "")
			c.send("<hello>")
			c.want("<hello>")
			if m, err := (contract.Controller{Addr: control}).Memory(true); err != nil || m.Heap == 0 {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
}

// Verify that -list prints servers that can be told apart, with what is said of
// each.
func TestList(t *testing.T) {
	var out, notes bytes.Buffer
	if err := list(&out, &notes); err != nil {
		t.Fatal(err)
	}
	var entries []entry
	if err := json.Unmarshal(out.Bytes(), &entries); err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(peers)+len(nodePeers) && notes.Len() == 0 {
		t.Errorf("%d servers, and not a word why", len(entries))
	}
	names := make(map[string]bool)
	for _, e := range entries {
		if names[e.Name] {
			t.Errorf("two servers are called %s", e.Name)
		}
		names[e.Name] = true
		if e.About == "" || len(e.Apps) == 0 {
			t.Errorf("%s: about %q, apps %v", e.Name, e.About, e.Apps)
		}
		if e.Dialect != nil && slices.Contains(e.Apps, contract.RPC) {
			t.Errorf("%s: a server with a dialect cannot have app rpc", e.Name)
		}
	}
}

// Verify that servers for Node are left out, with the reason, where they are
// not installed.
func TestWithoutNode(t *testing.T) {
	if entries, err := nodeEntries(t.TempDir()); err == nil || entries != nil {
		t.Errorf("%v, %v", entries, err)
	}
	t.Setenv("PATH", "")
	if entries, err := nodeEntries("."); err == nil || entries != nil {
		t.Errorf("%v, %v", entries, err)
	}
}

// Verify that an unknown server or app is an error.
func TestUnknown(t *testing.T) {
	for _, args := range [][]string{{"-server", "other"}, {"-server", "centrifuge", "-app", "rpc"}, {"-what"}} {
		if err := run(args); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

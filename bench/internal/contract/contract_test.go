package contract_test

import (
	"bytes"
	"testing"

	"github.com/wireroom/wireroom/bench/internal/contract"
)

// Verify that a server understands how it is started.
func TestArgs(t *testing.T) {
	for _, want := range []contract.Config{
		{Addr: "127.0.0.1:0", Control: "127.0.0.1:1", App: contract.Room},
		{Addr: "a", Control: "b", App: contract.Echo, Server: "gws"},
	} {
		if got, err := contract.Parse(want.Args()); err != nil || got != want {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	if _, err := contract.Parse([]string{"-what"}); err == nil {
		t.Error("an unknown flag is accepted")
	}
}

// Verify that only the line that tells the address is taken for it.
func TestAnnounced(t *testing.T) {
	for _, tt := range []struct {
		line, addr, control string
		ok                  bool
	}{
		{"listening on 127.0.0.1:5", "127.0.0.1:5", "", true},
		{"listening on 127.0.0.1:5 control 127.0.0.1:6", "127.0.0.1:5", "127.0.0.1:6", true},
		{"listening", "", "", false},
		{"I am listening on 127.0.0.1:5", "", "", false},
	} {
		if addr, control, ok := contract.ParseAnnounced(tt.line); addr != tt.addr || control != tt.control || ok != tt.ok {
			t.Errorf("%q: %q, %q, %v", tt.line, addr, control, ok)
		}
	}
}

// Verify that the control endpoint answers what is asked of it.
func TestControl(t *testing.T) {
	addr, err := contract.ServeControl("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := contract.Controller{Addr: addr.String()}
	before, err := c.Memory(false)
	if err != nil {
		t.Fatal(err)
	}
	after, err := c.Memory(true)
	if err != nil {
		t.Fatal(err)
	}
	if before.Heap == 0 || before.Goroutines == 0 || after.GCs < before.GCs+2 {
		t.Errorf("before %+v, after a collection %+v", before, after)
	}
	if err := c.StartCPU(); err != nil {
		t.Fatal(err)
	}
	if err := c.StartCPU(); err == nil {
		t.Error("two profiles at once")
	}
	for name, get := range map[string]func() ([]byte, error){"cpu": c.StopCPU, "heap": c.Heap} {
		if p, err := get(); err != nil || !bytes.HasPrefix(p, []byte{0x1f, 0x8b}) {
			t.Errorf("%s: %v, % x", name, err, p[:min(len(p), 8)])
		}
	}
}

//go:build linux

package run

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wireroom/wireroom/bench/internal/contract"
	"github.com/wireroom/wireroom/bench/internal/plan"
	"github.com/wireroom/wireroom/bench/internal/record"
)

// The test's own program plays the roles of the harness, and that of a server
// that is broken.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == roleBroken {
		exit(broken(os.Args[2:]))
	}
	if played, err := Role(os.Args[1:]); played {
		exit(err)
	}
	os.Exit(m.Run())
}

func exit(err error) {
	if err != nil {
		os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	os.Exit(0)
}

func program(t *testing.T) string {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

func cases(t *testing.T, selection string) []plan.Case {
	cs, err := plan.Select(selection)
	if err != nil {
		t.Fatal(err)
	}
	for i := range cs {
		cs[i] = plan.Quick(cs[i])
	}
	return cs
}

// Verify that every kind of scenario works from end to end, with Wireroom and
// with the floor, and that all messages arrive. No time is judged.
func TestEveryKind(t *testing.T) {
	exe := program(t)
	s := Schedule{
		Exe: exe, Servers: OwnServers(exe, "test"), Repetitions: 1, Profiles: t.TempDir(),
		Cases: cases(t, "echo-100-125B-d1$,echo-100-1024B-d16,rpc,broadcast-100-,paced-100-,slow,idle,churn,sim"),
	}
	runs, err := s.Run()
	if err != nil {
		t.Error(err)
	}
	kinds := make(map[record.Kind]int)
	for _, r := range runs {
		c := s.Cases[indexOf(s.Cases, r.Case)]
		kinds[c.Kind]++
		if r.Failed != "" {
			t.Errorf("%s, %s: %s", r.Case, r.Server, r.Failed)
			continue
		}
		check(t, c, &r)
	}
	for _, k := range []record.Kind{record.Echo, record.RPC, record.Broadcast, record.Paced, record.SlowKind, record.IdleKind, record.Churn, record.SimKind} {
		if kinds[k] == 0 {
			t.Errorf("nothing of kind %s was run", k)
		}
	}
	want := 0
	for _, j := range s.profiles() {
		want += 2
		if j.c.Kind == record.IdleKind {
			want-- // only the heap
		}
	}
	files, err := os.ReadDir(s.Profiles)
	if err != nil || len(files) != want || want < 2*len(s.Cases)-3 {
		t.Errorf("%d profiles, %v; want %d", len(files), err, want)
	}
}

func indexOf(cs []plan.Case, name string) int {
	for i := range cs {
		if cs[i].Name == name {
			return i
		}
	}
	return -1
}

// check verifies that a run has measured what its kind is about.
func check(t *testing.T, c plan.Case, r *record.Run) {
	t.Helper()
	l := &r.Load
	switch c.Kind {
	case record.SimKind:
		if r.Sim == nil || r.Sim.Bytes <= 0 {
			t.Errorf("%s: %+v", r.Case, r.Sim)
		}
		return
	case record.IdleKind:
		if in := r.Idle; in == nil || in.Connections != c.Connections || in.Full.RSS == 0 || in.Full.Go == nil || l.Connected != c.Connections || l.Messages != uint64(c.Connections) {
			t.Errorf("%s, %s: %+v, %+v", r.Case, r.Server, r.Idle, l)
		}
		return
	case record.SlowKind:
		if l.Slow == nil || l.Slow.Cut != c.Slow {
			t.Errorf("%s, %s: %+v", r.Case, r.Server, l.Slow)
		}
	case record.Churn:
	default:
		if l.Connected != c.Connections {
			t.Errorf("%s, %s: %d of %d connections", r.Case, r.Server, l.Connected, c.Connections)
		}
	}
	if l.Messages == 0 || l.Elapsed <= 0 || l.ServerCPU <= 0 || l.ClientCPU <= 0 || l.Latency.P50 <= 0 || l.RSSPeak == 0 || r.Memory == nil {
		t.Errorf("%s, %s: something was not measured: %+v", r.Case, r.Server, l)
	}
}

// Verify that a server that does wrong is caught, and how.
func TestBrokenServers(t *testing.T) {
	exe := program(t)
	for _, tt := range []struct{ defect, selection, want string }{
		{"none", "echo-100-125B-d16", ""},
		{"lose", "echo-100-125B-d16", " lost"},
		{"lose", "echo-100-125B-d1$", " lost"},
		{"repeat", "echo-100-125B-d16", " repeated"},
		{"swap", "echo-100-125B-d16", " reordered"},
		{"corrupt", "echo-100-125B-d16", " corrupt"},
		{"cut", "echo-100-125B-d16", "ended by the server"},
		{"mask", "echo-100-125B-d16", "masked"},
		{"refuse", "echo-100-125B-d16", "401"},
		{"hang up", "idle", "instead of upgrading"},
		{"die", "echo-100-125B-d16", "dying as ordered"},
	} {
		s := Schedule{
			Exe: exe, Repetitions: 1, Patience: 300 * time.Millisecond, Cases: cases(t, tt.selection),
			Servers: []Server{{Server: record.Server{Name: "broken"}, Command: []string{exe, roleBroken}, Variant: tt.defect, Apps: contract.Apps}},
		}
		runs, err := s.Run()
		if err != nil || len(runs) != 1 {
			t.Fatalf("%s: %d runs, %v", tt.defect, len(runs), err)
		}
		if got := runs[0].Failed; got != tt.want && (tt.want == "" || !strings.Contains(got, tt.want)) {
			t.Errorf("%s: failed with %q, want %q", tt.defect, got, tt.want)
		}
	}
}

// Verify that a program that is no server at all is reported with what it said.
func TestNoServer(t *testing.T) {
	s := Schedule{
		Exe: program(t), Repetitions: 1, Cases: cases(t, "echo-100-125B-d1$"),
		Servers: []Server{{Server: record.Server{Name: "sh"}, Command: []string{"sh", "-c", "echo no such thing >&2; exit 1"}, Apps: contract.Apps}},
	}
	runs, err := s.Run()
	if err != nil || !strings.Contains(runs[0].Failed, "no such thing") {
		t.Errorf("%+v, %v", runs, err)
	}
}

// Verify that within a repetition each case goes through all servers before the
// next begins, and that another server is first in the next repetition.
func TestOrder(t *testing.T) {
	s := Schedule{Servers: OwnServers("x", ""), Cases: cases(t, "echo-100-125B-d1$,broadcast-100-w16"), Repetitions: 2}
	var got []string
	for _, j := range s.jobs() {
		got = append(got, j.c.Name+" "+j.server.Name)
	}
	want := []string{
		"echo-100-125B-d1 wireroom", "echo-100-125B-d1 wireroom-nb", "echo-100-125B-d1 wireroom-go", "echo-100-125B-d1 floor",
		"broadcast-100-w16 wireroom", "broadcast-100-w16 wireroom-go", "broadcast-100-w16 floor", "broadcast-100-w16 floor-batch",
		"echo-100-125B-d1 wireroom-nb", "echo-100-125B-d1 wireroom-go", "echo-100-125B-d1 floor", "echo-100-125B-d1 wireroom",
		"broadcast-100-w16 wireroom-go", "broadcast-100-w16 floor", "broadcast-100-w16 floor-batch", "broadcast-100-w16 wireroom",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

package plan

import (
	"slices"
	"strings"
	"testing"
)

// Verify that the names by which goals and the short list go are names of
// cases, and that no two are the same.
func TestNames(t *testing.T) {
	names := Names(All())
	if sorted := slices.Sorted(slices.Values(names)); len(slices.Compact(sorted)) != len(names) {
		t.Errorf("names are not unique: %v", names)
	}
	for name := range goals {
		if !slices.Contains(names, name) {
			t.Errorf("there is a goal for %q, but no such case", name)
		}
	}
	for _, name := range short {
		if !slices.Contains(names, name) {
			t.Errorf("the short list has %q, but there is no such case", name)
		}
	}
}

// Verify what a selection selects.
func TestSelect(t *testing.T) {
	for _, tt := range []struct {
		selection string
		want      string
	}{
		{"", strings.Join(short, " ")},
		{"all", strings.Join(Names(All()), " ")},
		{"churn", "churn"},
		{"churn, rpc-.*-d16", "rpc-json-d16 rpc-msgpack-d16 churn"},
		{"^echo-100-125B", "echo-100-125B-d1 echo-100-125B-d16"},
	} {
		got, err := Select(tt.selection)
		if names := strings.Join(Names(got), " "); err != nil || names != tt.want {
			t.Errorf("%q: %s, %v; want %s", tt.selection, names, err, tt.want)
		}
	}
	for _, bad := range []string{"nothing", "churn,(", "churn,nothing"} {
		if _, err := Select(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// Verify that the quick form of every case is small.
func TestQuick(t *testing.T) {
	for _, c := range All() {
		q := Quick(c)
		if q.Connections < 1 || q.Connections > 40 || q.Slow >= q.Connections {
			t.Errorf("%s: %d connections, %d of them slow", c.Name, q.Connections, q.Slow)
		}
	}
}

package compare

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestOrder has datagrams of two interfaces that are read one after the other,
// two of them seen at the same time.
func TestOrder(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	o := Order{Most: 4}
	add := func(at int, name string) {
		o.Add(Datagram{Time: start.Add(time.Duration(at) * time.Millisecond), Interface: fmt.Sprint(at, name)})
	}
	names := func(all []Datagram) string {
		var told []string
		for _, d := range all {
			told = append(told, d.Interface)
		}
		return strings.Join(told, " ")
	}
	for _, at := range []int{10, 30, 40} {
		add(at, "a")
	}
	for _, at := range []int{0, 20, 30} {
		add(at, "b")
	}
	for _, step := range []struct {
		what, got, want string
	}{
		{"too many", names(o.Before(start)), "0b 10a"},
		{"before 30 ms", names(o.Before(start.Add(30 * time.Millisecond))), "20b"},
		{"nothing new", names(o.Before(start.Add(30 * time.Millisecond))), ""},
	} {
		if step.got != step.want {
			t.Errorf("%s: %q, want %q", step.what, step.got, step.want)
		}
	}
	add(5, "late")
	if got, want := names(o.Rest()), "5late 30a 30b 40a"; got != want {
		t.Errorf("the rest: %q, want %q", got, want)
	}
	if got := names(o.Rest()); got != "" {
		t.Errorf("after the rest: %q", got)
	}
}

package lease

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// entries tells what a table lists, and the times as they are on a clock.
func entries(tab *Table, c *clock) string {
	var lines []string
	at := func(t time.Time) string { return t.Sub(c.Now()).Round(time.Second).String() }
	tab.Entries(func(e Entry) bool {
		line := fmt.Sprintf("%v of %x %v", e.Addr, e.MAC[5], e.State)
		if !e.Since.IsZero() {
			line += " since " + at(e.Since)
		}
		if !e.Expires.IsZero() {
			line += " until " + at(e.Expires)
		}
		lines = append(lines, line)
		return true
	})
	return strings.Join(lines, ", ")
}

// TestEntries has what is listed of an address, from its offer to the next client.
func TestEntries(t *testing.T) {
	t.Parallel()
	c := newClock()
	o := options(c)
	o.Pools = []Range{span("192.0.2.10", "192.0.2.10")}
	tab := inMemory(t, o, nil)
	for _, step := range []struct {
		do   string
		run  func()
		want string
	}{
		{"nothing", func() {}, ""},
		{"offer", func() { addr(t, tab, mac(1), 0) }, "192.0.2.10 of 1 offered since 0s until 10s"},
		{"offer again", func() { c.move(4 * time.Second); addr(t, tab, mac(1), 0) }, "192.0.2.10 of 1 offered since -4s until 10s"},
		{"not taken", func() { c.move(time.Minute) }, ""},
		{"lease", func() { dora(t, tab, mac(1), 0) }, "192.0.2.10 of 1 bound since 0s until 1m0s"},
		{"renewal", func() { c.move(30 * time.Second); dora(t, tab, mac(1), 0) }, "192.0.2.10 of 1 bound since -30s until 1m0s"},
		{"asks anew", func() { c.move(55 * time.Second); addr(t, tab, mac(1), 0) }, "192.0.2.10 of 1 bound since -1m25s until 5s"},
		{"ended under the offer", func() { c.move(6 * time.Second) }, "192.0.2.10 of 1 offered since -1s until 4s"},
		{"the offer too", func() { c.move(6 * time.Second) }, "192.0.2.10 of 1 expired since -7s"},
		{"noticed", func() { tab.Stats() }, "192.0.2.10 of 1 expired since -7s"},
		{"lease again", func() { dora(t, tab, mac(1), 0) }, "192.0.2.10 of 1 bound since 0s until 1m0s"},
		{"release", func() { c.move(time.Second); tab.Release(mac(1), ip("192.0.2.10")) }, "192.0.2.10 of 1 released since 0s"},
		{"another client", func() { dora(t, tab, mac(2), 0) }, "192.0.2.10 of 2 bound since 0s until 1m0s"},
		{"decline", func() { c.move(time.Second); tab.Decline(mac(2), ip("192.0.2.10")) }, "192.0.2.10 of 2 declined since 0s until 10m0s"},
		{"quarantine over", func() { c.move(11 * time.Minute); tab.Stats() }, "192.0.2.10 of 2 declined since -11m0s"},
		{"another client again", func() { addr(t, tab, mac(3), 0) }, "192.0.2.10 of 3 offered since 0s until 10s"},
		{"chose another server", func() { tab.Forget(mac(3)) }, ""},
	} {
		step.run()
		if diff := cmp.Diff(step.want, entries(tab, c)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.do, diff)
		}
	}
}

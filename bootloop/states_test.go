package bootloop

import (
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// TestStates asks for every cell of the table in docs/states.md, each of a
// plugin of its own.
func TestStates(t *testing.T) {
	t.Parallel()
	const pooled, outside = "192.0.2.202", "198.51.100.7"
	with := func(m ...dhcpv4.Modifier) []dhcpv4.Modifier { return m }
	messages := map[string]func(its string) []dhcpv4.Modifier{
		"SELECTING its":       func(its string) []dhcpv4.Modifier { return with(server(self), requested(its)) },
		"SELECTING pooled":    func(string) []dhcpv4.Modifier { return with(server(self), requested(pooled)) },
		"RENEWING its":        func(its string) []dhcpv4.Modifier { return with(ciaddr(its)) },
		"RENEWING pooled":     func(string) []dhcpv4.Modifier { return with(ciaddr(pooled)) },
		"RENEWING outside":    func(string) []dhcpv4.Modifier { return with(ciaddr(outside)) },
		"INIT-REBOOT its":     func(its string) []dhcpv4.Modifier { return with(requested(its)) },
		"INIT-REBOOT pooled":  func(string) []dhcpv4.Modifier { return with(requested(pooled)) },
		"INIT-REBOOT outside": func(string) []dhcpv4.Modifier { return with(requested(outside)) },
	}
	cells := 0
	for _, row := range dhcptest.Table(t, "states.md", "bootloop behind it") {
		ask := func(message string) string {
			b := newBench(t, "subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.205 unsynced="+row["unsynced"])
			its := "192.0.2.77"
			if row["client"] == "holder" {
				_, its, _ = strings.Cut(b.dora(one), " ")
			}
			b.p.StrangersUnknown.Store(row["inventory"] == "does not")
			kind, with := discover, []dhcpv4.Modifier(nil)
			if message != "DISCOVER" {
				kind, with = request, messages[message](its)
			}
			got := b.say(one, kind, with...)
			word, addr, _ := strings.Cut(got, " ")
			if addr != "" && row["client"] == "holder" && addr != its {
				return got + ", which is not its address"
			}
			return word
		}
		for column, want := range row {
			if _, ok := messages[column]; !ok && column != "DISCOVER" {
				continue
			}
			if got := ask(column); got != want {
				t.Errorf("%s, unsynced=%s, %s, %s: %s, want %s", row["inventory"], row["unsynced"], row["client"], column, got, want)
			}
			cells++
		}
	}
	if want := 6 * (len(messages) + 1); cells != want {
		t.Errorf("%d cells, want %d", cells, want)
	}
}

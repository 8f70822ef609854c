package bootloop

import (
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// TestStates6 asks for every cell of the table in docs/states.md, each of a
// plugin of its own.
func TestStates6(t *testing.T) {
	t.Parallel()
	const pooled, outside = "2001:db8::1002", "2001:db8:7::7"
	type message struct {
		kind dhcpv6.MessageType
		with func(its string) []dhcpv6.Modifier
	}
	with := func(m ...dhcpv6.Modifier) []dhcpv6.Modifier { return m }
	messages := map[string]message{
		"SOLICIT":         {solicit, func(string) []dhcpv6.Modifier { return with(na(1)) }},
		"REQUEST its":     {asks, func(its string) []dhcpv6.Modifier { return with(own, na(1, its)) }},
		"REQUEST pooled":  {asks, func(string) []dhcpv6.Modifier { return with(own, na(1, pooled)) }},
		"RENEW its":       {renew, func(its string) []dhcpv6.Modifier { return with(own, na(1, its)) }},
		"RENEW pooled":    {renew, func(string) []dhcpv6.Modifier { return with(own, na(1, pooled)) }},
		"REBIND its":      {rebind, func(its string) []dhcpv6.Modifier { return with(na(1, its)) }},
		"REBIND outside":  {rebind, func(string) []dhcpv6.Modifier { return with(na(1, outside)) }},
		"CONFIRM its":     {confirm, func(its string) []dhcpv6.Modifier { return with(na(1, its)) }},
		"CONFIRM outside": {confirm, func(string) []dhcpv6.Modifier { return with(na(1, outside)) }},
		"RELEASE its":     {leaves, func(its string) []dhcpv6.Modifier { return with(own, na(1, its)) }},
	}
	cells := 0
	for _, row := range dhcptest.Table(t, "states.md", "bootloop by DHCPv6") {
		for column, m := range messages {
			want, ok := row[column]
			if !ok {
				t.Fatalf("no column %q", column)
			}
			b := newBench6(t, "subnet=2001:db8::/64,pool:2001:db8::1000-2001:db8::1005 unsynced="+row["unsynced"])
			its := "2001:db8::77"
			if row["client"] == "holder" {
				b.lease(one)
				its = "2001:db8::1000"
			}
			b.p.StrangersUnknown.Store(row["inventory"] == "does not")
			if got := cell6(b.say(one, m.kind, m.with(its)...), its); got != want {
				t.Errorf("%s, unsynced=%s, %s, %s: %s, want %s", row["inventory"], row["unsynced"], row["client"], column, got, want)
			}
			cells++
		}
	}
	if want := 6 * len(messages); cells != want {
		t.Errorf("%d cells, want %d", cells, want)
	}
}

// cell6 is what the table says of an answer.
func cell6(said, its string) string {
	kind, rest, _ := strings.Cut(said, " ")
	switch {
	case rest == "":
		return kind
	case strings.HasSuffix(rest, "/0s"):
		return kind + ", it ends"
	case strings.Contains(rest, "/"):
		if strings.Contains(rest, "="+its+"/") {
			return kind + " of its"
		}
		return kind + " of one"
	}
	return kind + ", " + strings.NewReplacer("1=", "", " ", ", ").Replace(rest)
}

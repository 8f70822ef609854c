package coresmd

import (
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// TestStates6 asks for every cell of the table of DHCPv6 in docs/states.md.
func TestStates6(t *testing.T) {
	t.Parallel()
	const another = "2001:db8:1::99"
	type message struct {
		kind dhcpv6.MessageType
		with func(its string) []dhcpv6.Modifier
	}
	listed := func(addr string, more ...dhcpv6.Modifier) func(string) []dhcpv6.Modifier {
		return func(its string) []dhcpv6.Modifier {
			if addr != "" {
				its = addr
			}
			return append(more, na(1, its))
		}
	}
	messages := map[string]message{
		"SOLICIT":             {solicit, func(string) []dhcpv6.Modifier { return mods6(na(1)) }},
		"REQUEST its":         {request6, listed("", toUs)},
		"REQUEST another":     {request6, listed(another, toUs)},
		"RENEW its":           {renew, listed("", toUs)},
		"RENEW another":       {renew, listed(another, toUs)},
		"REBIND another":      {rebind, listed(another)},
		"CONFIRM its":         {confirm, listed("")},
		"INFORMATION-REQUEST": {info, func(string) []dhcpv6.Modifier { return nil }},
		"RELEASE its":         {release6, listed("", toUs)},
	}
	machines := map[string]struct{ mac, its string }{
		"known": {node, "2001:db8:1::11"}, "gone": {goneNode, "2001:db8:1::12"}, "stranger": {strange, "2001:db8:1::98"},
	}
	benches := map[string]bench6{}
	for state, b := range inStates(t) {
		benches[state] = six(b)
	}
	cells := 0
	for _, row := range dhcptest.Table(t, "states.md", "coresmd by DHCPv6") {
		b, machine := benches[row["inventory"]], machines[row["machine"]]
		for name, m := range messages {
			want, ok := row[name]
			if !ok {
				t.Fatalf("no column %q", name)
			}
			reply, ended := b.ask(t, dhcptest.Request6(t, machine.mac, m.kind, m.with(machine.its)...), near)
			if got := word6(reply, ended, machine.its); got != want {
				t.Errorf("%s, %s, %s: %s, want %s", row["inventory"], row["machine"], name, got, want)
			}
			cells++
		}
	}
	if want := len(benches) * len(machines) * len(messages); cells != want {
		t.Errorf("%d cells, want %d", cells, want)
	}
}

// word6 is what the table says of an answer: its kind, the status that it or
// its IA has, and whether other addresses end.
func word6(reply dhcpv6.DHCPv6, ended bool, its string) string {
	if reply == nil {
		return "silence"
	}
	d := reply.(*dhcpv6.Message)
	text := d.MessageType.String()
	if !ended {
		text = "passed on"
	}
	if s := d.Options.Status(); s != nil {
		text += ", " + s.StatusCode.String()
	}
	for _, ia := range d.Options.IANA() {
		if s := ia.Options.Status(); s != nil {
			text += ", " + s.StatusCode.String()
		}
		for _, a := range ia.Options.Addresses() {
			switch addr := a.IPv6Addr.String(); {
			case a.ValidLifetime == 0:
				text += ", the other ends"
			case addr == its:
			default:
				text += " of " + addr
			}
		}
	}
	return text
}

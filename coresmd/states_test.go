package coresmd

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// The machines of the table of states.
const (
	goneNode = "02:00:00:00:00:02"
)

// inventoryOf returns interfaces with these last octets.
func inventoryOf(last ...int) string {
	text := "["
	for i, n := range last {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf(`{"MACAddress":"02:00:00:00:00:%02x","ComponentID":"x3000c0s0b0n0","IPAddresses":[{"IPAddress":"192.0.2.%d"},{"IPAddress":"2001:db8:1::%d"}]}`, n, 10+n, 10+n)
	}
	return text + "]"
}

// inState starts a plugin whose inventory is in a state: node is known, goneNode
// was.
func inState(t *testing.T, state string) bench {
	t.Helper()
	all, left := inventoryOf(1, 2, 3, 4, 5), inventoryOf(1, 3, 4, 5)
	folder := dhcptest.Inventory(t, all, testComponents)
	words := []string{"svc_base_uri=file://" + folder, "ipxe_base_uri=http://bss", "cache_valid=1h", "snapshot_file=" + filepath.Join(t.TempDir(), "inventory.json")}
	if state == "never loaded" {
		dhcptest.WriteInventory(t, folder, "", "")
		return newBench(t, words...)
	}
	b := newBench(t, words...)
	next := func(interfaces string) {
		dhcptest.WriteInventory(t, folder, interfaces, testComponents)
		_ = b.plugin.cache.Refresh(t.Context())
	}
	switch state {
	case "fresh":
		next(left)
	case "stale":
		next(left)
		next("")
	case "in doubt":
		next(inventoryOf(1, 3))
	case "from snapshot":
		dhcptest.WriteInventory(t, folder, left, testComponents)
		words[3] += ".later"
		newBench(t, words...)
		dhcptest.WriteInventory(t, folder, "", "")
		return newBench(t, words...)
	}
	return b
}

// inStates starts a plugin for each state.
func inStates(t *testing.T) map[string]bench {
	t.Helper()
	benches := map[string]bench{}
	for _, s := range smd.States() {
		b := inState(t, s.String())
		if got := b.plugin.cache.Status().State; got != s {
			t.Fatalf("the inventory is %v, want %v", got, s)
		}
		if got := b.p.StrangersUnknown.Load(); got == s.TellsStrangers() {
			t.Errorf("%v: bootloop is told that strangers are unknown: %v", s, got)
		}
		b.p.ReleaseTaken.Store(true)
		benches[s.String()] = b
	}
	return benches
}

// TestStates asks for every cell of the table in docs/states.md.
func TestStates(t *testing.T) {
	t.Parallel()
	const its, another = "192.0.2.11", "192.0.2.99"
	type message struct {
		kind dhcpv4.MessageType
		with func(its string) []dhcpv4.Modifier
	}
	server := serverID("192.0.2.1")
	messages := map[string]message{
		"DISCOVER":            {discover, func(string) []dhcpv4.Modifier { return nil }},
		"SELECTING its":       {request, func(its string) []dhcpv4.Modifier { return mods(server, requested(its)) }},
		"SELECTING another":   {request, func(string) []dhcpv4.Modifier { return mods(server, requested(another)) }},
		"INIT-REBOOT its":     {request, func(its string) []dhcpv4.Modifier { return mods(requested(its)) }},
		"INIT-REBOOT another": {request, func(string) []dhcpv4.Modifier { return mods(requested(another)) }},
		"RENEWING its":        {request, func(its string) []dhcpv4.Modifier { return mods(ciaddr(its)) }},
		"RENEWING another":    {request, func(string) []dhcpv4.Modifier { return mods(ciaddr(another)) }},
		"INFORM":              {inform, func(its string) []dhcpv4.Modifier { return mods(ciaddr(its)) }},
		"RELEASE its":         {release, func(its string) []dhcpv4.Modifier { return mods(ciaddr(its), server) }},
	}
	machines := map[string]struct{ mac, its string }{
		"known": {node, its}, "gone": {goneNode, "192.0.2.12"}, "stranger": {strange, "192.0.2.98"},
	}
	benches := inStates(t)
	cells := 0
	for _, row := range dhcptest.Table(t, "states.md", "coresmd") {
		b, machine := benches[row["inventory"]], machines[row["machine"]]
		for name, m := range messages {
			want, ok := row[name]
			if !ok {
				t.Fatalf("no column %q", name)
			}
			reply, ended := dhcptest.Exchange4(t, dhcptest.Request4(t, machine.mac, m.kind, m.with(machine.its)...), dhcptest.ServerID("192.0.2.1"), b.handle)
			if got := word(reply, ended, machine.its); got != want {
				t.Errorf("%s, %s, %s: %s, want %s", row["inventory"], row["machine"], name, got, want)
			}
			cells++
		}
	}
	if want := len(benches) * len(machines) * len(messages); cells != want {
		t.Errorf("%d cells, want %d", cells, want)
	}
}

// word is what the table says of an answer.
func word(reply *dhcpv4.DHCPv4, ended bool, its string) string {
	switch {
	case !ended:
		return "passed on"
	case reply == nil:
		return "silence"
	case reply.MessageType() == dhcpv4.MessageTypeNak:
		return "NAK"
	}
	if addr := reply.YourIPAddr.String(); addr != its && addr != "0.0.0.0" {
		return reply.MessageType().String() + " of " + addr
	}
	return reply.MessageType().String()
}

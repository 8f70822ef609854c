package coresmd

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
)

// TestRespectEnabled has a node that SMD disables and enables again.
func TestRespectEnabled(t *testing.T) {
	t.Parallel()
	disabled := strings.Replace(testComponents, `"Enabled":true`, `"Enabled":false`, 1)
	for name, c := range map[string]struct {
		respect string
		want    []string
	}{
		"true":  {"true", []string{"silence", "silence", "OFFER"}},
		"false": {"false", []string{"OFFER", "ACK", "OFFER"}},
	} {
		folder := dhcptest.Inventory(t, testInterfaces, disabled)
		b := newBench(t, "svc_base_uri=file://"+folder, "ipxe_base_uri=http://bss", "respect_enabled="+c.respect)
		say := func(words string) string {
			req := dhcptest.Request4(t, node, discover)
			if words == "renew" {
				req = dhcptest.Request4(t, node, request, ciaddr("192.0.2.11"))
			}
			reply, ended := dhcptest.Exchange4(t, req, dhcptest.ServerID("192.0.2.1"), b.handle)
			return word(reply, ended, "192.0.2.11")
		}
		got := []string{say("discover"), say("renew")}
		dhcptest.WriteInventory(t, folder, testInterfaces, testComponents)
		_ = b.plugin.cache.Refresh(t.Context())
		got = append(got, say("discover"))
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("respect_enabled=%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestInventoryMetrics has what is told of an inventory that is in doubt.
func TestInventoryMetrics(t *testing.T) {
	t.Parallel()
	b := inState(t, "in doubt")
	families, err := b.p.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), "coresmd_inventory_")
			if name == f.GetName() || name == "age_seconds" {
				continue
			}
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			if v := m.GetGauge().GetValue() + m.GetCounter().GetValue(); v != 0 {
				got[name] = v
			}
		}
	}
	want := map[string]float64{
		"state in doubt": 1, "doubted": 1, "machines": 5,
		"polls_total changed": 1, "polls_total doubted": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// TestReserved has a machine with an address of a pool of this process.
func TestReserved(t *testing.T) {
	t.Parallel()
	b := known(t)
	b.p.Reserve("pool 192.0.2.200-192.0.2.250", func(a netip.Addr) bool { return a.String() == "192.0.2.110" })
	_ = b.plugin.cache.Refresh(t.Context())
	e := b.log.LastEntry()
	if want := "inventory: 02:00:00:00:00:10 (x3000c0s0b0): address 192.0.2.110 is that of pool 192.0.2.200-192.0.2.250"; e.Message != want {
		t.Errorf("%s, want %s", e.Message, want)
	}
}

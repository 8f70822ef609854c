package coresmd

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/record"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// kept is what the ring of a process has, but for the times.
func kept(t *testing.T, p *process.Process) (all []record.Exchange) {
	t.Helper()
	ring, ok := process.Find[*record.Ring](p, record.Shared)
	if !ok {
		t.Fatal("nothing is recorded")
	}
	ring.Each(func(x *record.Exchange) bool {
		all = append(all, record.Exchange{
			V6: x.V6, Request: bytes.Clone(x.Request), Reply: bytes.Clone(x.Reply), Decisions: append([]record.Decision(nil), x.Decisions...),
		})
		return true
	})
	return all
}

// TestRecordedOnTheStockLoop has a packet loop that records nothing: the plugin
// records what it sees of both families.
func TestRecordedOnTheStockLoop(t *testing.T) {
	t.Parallel()
	b := six(known(t, "record=1MiB"))
	known, stranger := dhcptest.Request4(t, node, discover), dhcptest.Request4(t, strange, discover)
	other := dhcptest.Request4(t, node, request, serverID("192.0.2.2"), requested("192.0.2.11"))
	offer, _ := dhcptest.Exchange4(t, known, dhcptest.ServerID("192.0.2.1"), b.handle)
	dhcptest.Exchange4(t, stranger, dhcptest.ServerID("192.0.2.1"), b.handle)
	dhcptest.Exchange4(t, other, dhcptest.ServerID("192.0.2.1"), b.handle)
	release := dhcptest.Request6(t, node, release6, toUs, na(1))
	reply, _ := b.ask(t, release, process.Origin{})
	want := []record.Exchange{
		{Request: known.ToBytes(), Reply: offer.ToBytes(), Decisions: []record.Decision{{Plugin: "coresmd", Verdict: "OFFER"}}},
		{Request: other.ToBytes(), Decisions: []record.Decision{{Plugin: "coresmd", Verdict: "no reply", Reason: "another server's: 192.0.2.2"}}},
		{V6: true, Request: release.ToBytes(), Reply: reply.ToBytes(), Decisions: []record.Decision{{Plugin: "coresmd", Verdict: "REPLY", Reason: "release"}}},
	}
	if diff := cmp.Diff(want, kept(t, b.p), cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDecided has a packet loop that records: it is told what the log says, and
// the plugin records nothing itself.
func TestDecided(t *testing.T) {
	t.Parallel()
	b := six(known(t, "record=1MiB"))
	var got []record.Decision
	from := process.Origin{Decided: func(plugin, verdict, reason string) {
		got = append(got, record.Decision{Plugin: plugin, Verdict: verdict, Reason: reason})
	}}
	ask := func(req *dhcpv4.DHCPv4) {
		dhcptest.Exchange4(t, req, dhcptest.ServerID("192.0.2.1"), func(req, resp *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, bool) {
			return b.plugin.Handle(req, resp, from)
		})
	}
	ask(dhcptest.Request4(t, node, discover))
	ask(dhcptest.Request4(t, strange, discover))
	ask(dhcptest.Request4(t, node, request, requested("192.0.2.99")))
	b.ask(t, dhcptest.Request6(t, strange, dhcpv6.MessageTypeSolicit, na(1)), from)
	want := []record.Decision{
		{Plugin: "coresmd", Verdict: "OFFER"},
		{Plugin: "coresmd", Verdict: "passed on", Reason: "unknown machine"},
		{Plugin: "coresmd", Verdict: "NAK", Reason: "not its address: 192.0.2.11 is"},
		{Plugin: "coresmd", Verdict: "passed on", Reason: "unknown machine"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if all := kept(t, b.p); len(all) > 0 {
		t.Errorf("the plugin recorded %d exchanges itself", len(all))
	}
}

// TestRecordWord has words that are wrong, and two directives that differ.
func TestRecordWord(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"record=":        "",
		"record=1MiB":    "",
		"record=0MiB":    `argument 3 "record=0MiB": record: not a size; wanted a size from 1MiB to 1024MiB`,
		"record=2000MiB": `argument 3 "record=2000MiB": record: not a size; wanted a size from 1MiB to 1024MiB`,
		"record=64MB":    `argument 3 "record=64MB": record: not a size; wanted a size from 1MiB to 1024MiB`,
	} {
		_, err := parse([]string{"svc_base_uri=http://smd", "ipxe_base_uri=http://bss", word})
		got := ""
		if err != nil {
			got = err.Error()[len("coresmd directive:\n"):]
		}
		if got != want {
			t.Errorf("%s: %s\nwant %s", word, got, want)
		}
	}
	b := known(t, "record=1MiB")
	other := service{process: b.p, config: config{recordSize: 2 << 20}}
	want := "recorder: two directives of one process differ: record=1MiB, and record=2MiB"
	if err := other.startRecorder(); err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

package coresmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/record"
	"github.com/OpenCHAMI/coresmd/internal/status"
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

// TestCapture has the recorded packets of machines asked for: by any word, and
// those that nobody can tell whose they are with all.
func TestCapture(t *testing.T) {
	t.Parallel()
	b := six(known(t, "record=1MiB"))
	v := &views{service: b.plugin.service}
	ring, _ := process.Find[*record.Ring](b.p, record.Shared)
	of := func(mac string) []byte { return dhcptest.Request4(t, mac, discover).ToBytes() }
	relayed6 := dhcptest.Through(t, dhcptest.Request6(t, "02:00:00:00:00:77", solicit, na(1)), "2001:db8:1::1", "fe80::9", dhcptest.LinkLayer(node))
	all := map[string][]byte{
		"node":      of(node),
		"node in 6": dhcptest.Request6(t, node, solicit, na(1)).ToBytes(),
		"relayed":   relayed6.ToBytes(),
		"stranger":  of(strange),
		"malformed": []byte("no message"),
		"broken 6":  {12, 0},
		"cut":       of(node)[:100],
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		x := record.Exchange{Request: all[name], V6: name == "relayed" || strings.Contains(name, "6")}
		x.Decide("test", name, "")
		ring.Add(&x)
	}
	for word, want := range map[string]string{
		"":                  "broken 6, cut, malformed, node, node in 6, relayed, stranger",
		node:                "cut, node, node in 6, relayed",
		"0200.0000.0001":    "cut, node, node in 6, relayed",
		"192.0.2.11":        "cut, node, node in 6, relayed",
		"nid0001":           "cut, node, node in 6, relayed",
		"x3000c0s0b0n0":     "cut, node, node in 6, relayed",
		strange:             "stranger",
		"02:00:00:00:00:98": "404 nothing is recorded of 02:00:00:00:00:98; 7 exchanges of others are",
		"nid0815":           `404 nothing is known of "nid0815"`,
	} {
		params := status.Params{"machine": word}
		if word == "" {
			params = status.Params{}
		}
		var file bytes.Buffer
		got := fmt.Sprint("404 ", v.capture(params, &file))
		if file.Len() > 0 {
			got = comments(t, &file)
		}
		if got != want {
			t.Errorf("%q: %s\nwant %s", word, got, want)
		}
	}
	off := &views{service: known(t).plugin.service}
	want := "no packets are recorded; wanted record= in the directive coresmd, such as record=64MiB"
	if err := off.capture(status.Params{}, io.Discard); err == nil || err.Error() != want {
		t.Errorf("off: %v\nwant %s", err, want)
	}
}

// comments are the verdicts in a file.
func comments(t *testing.T, file io.Reader) string {
	t.Helper()
	r, err := record.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for {
		d, err := r.Next()
		if errors.Is(err, io.EOF) {
			return strings.Join(all, ", ")
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.TrimPrefix(d.Comment, "test: "))
	}
}

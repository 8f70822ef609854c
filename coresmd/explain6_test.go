package coresmd

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// TestExplain6 has the whole explanation of a machine that boots.
func TestExplain6(t *testing.T) {
	t.Parallel()
	b := known6(t, "ipxe_uri="+scripts(t), "subnet=2001:db8:1::/64,dns:2001:db8:1::53", "rule=name:nodes,type:Node,hostname:n{04d}", "domain=example.org")
	b.ask(t, dhcptest.Request6(t, bmc, solicit, na(1)), near)
	e := ask[status.Explanation](t, b.bench, "/api/v1/explain?machine="+node+"&message=solicit&arch=7&giaddr=2001:db8:1::1")
	want := []string{
		"warning: x3000c0s0b0n0 (" + node + ") was not heard since TIME",
		"info: SOLICIT is answered with ADVERTISE of 2001:db8:1::11 (coresmd)",
	}
	if diff := cmp.Diff(want, findings(e)); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	wantReply := []status.Option{
		{Name: "message", Value: "ADVERTISE"},
		{Code: 1, Name: "Client ID", Value: "00:03:00:01:02:00:00:00:00:01"},
		{Code: 2, Name: "Server ID", Value: "00:03:00:01:02:00:00:00:00:fe"},
		{Code: 59, Name: "Boot File URL", Value: "tftp://[2001:db8::a]/ipxe-x86_64.efi"},
		{Code: 3, Name: "IANA", Value: "IAID 00000001, T1 30m0s, T2 48m0s; 2001:db8:1::11 preferred 1h0m0s, valid 1h0m0s"},
		{Code: 23, Name: "DNS", Value: "2001:db8:1::53"},
		{Code: 39, Name: "FQDN", Value: "n0001.example.org"},
	}
	if diff := cmp.Diff(wantReply, e.Reply); diff != "" {
		t.Errorf("reply (-want +got):\n%s", diff)
	}
	wantPlace := &status.Placement{By: "relay address 2001:db8:1::1", Prefix: "2001:db8:1::/64", Address: "2001:db8:1::11"}
	if diff := cmp.Diff(wantPlace, e.Network); diff != "" {
		t.Errorf("network (-want +got):\n%s", diff)
	}
	wantQuery := status.Query{Machine: node, Giaddr: "2001:db8:1::1", Arch: "7", Message: "SOLICIT"}
	if diff := cmp.Diff(wantQuery, e.Query); diff != "" || len(e.Rules) != 1 || e.Rules[0].Result != "matched" || e.Prepared != "" {
		t.Errorf("rules %+v, prepared %q, query (-want +got):\n%s", e.Rules, e.Prepared, diff)
	}
}

// TestExplainMessages6 has the messages of DHCPv6 that can be explained.
func TestExplainMessages6(t *testing.T) {
	t.Parallel()
	b := known6(t)
	for query, want := range map[string]string{
		"message=SOLICIT":                      "ADVERTISE of 2001:db8:1::11",
		"giaddr=2001:db8:1::1":                 "ADVERTISE of 2001:db8:1::11",
		"giaddr=2001:db8:1::1&message=REQUEST": "REPLY of 2001:db8:1::11",
		"message=RENEW":                        "REPLY of 2001:db8:1::11",
		"message=REBIND":                       "REPLY of 2001:db8:1::11",
		"message=CONFIRM":                      "REPLY",
		"message=INFORMATION-REQUEST":          "REPLY",
	} {
		e := ask[status.Explanation](t, b.bench, "/api/v1/explain?machine="+node+"&"+query)
		last := e.Findings[len(e.Findings)-1].Text
		if want := fmt.Sprintf("%s is answered with %s (coresmd)", e.Query.Message, want); last != want {
			t.Errorf("%s: %s, want %s", query, last, want)
		}
	}
	if got := b.six.metrics.heard.Load(); got != 0 {
		t.Errorf("%d messages were counted", got)
	}
}

// TestFindings6 has what keeps machines from an address of IPv6.
func TestFindings6(t *testing.T) {
	t.Parallel()
	b := known6(t, "subnet=2001:db8:1::/64")
	for mac, want := range map[string]string{
		v4Only:   "error: SMD has no IPv6 address for x3000c0s1b0n0 (" + v4Only + ")",
		withBits: "error: x3000c0s1b0n0 (" + withBits + ") asks from 2001:db8:1::/64 (relay address 2001:db8:1::1), and SMD's addresses for it lie elsewhere: 2001:db8:3::14",
		strange:  "error: " + strange + " is not in SMD",
	} {
		e := ask[status.Explanation](t, b.bench, "/api/v1/explain?machine="+mac+"&giaddr=2001:db8:1::1")
		if got := findings(e)[0]; got != want {
			t.Errorf("%s: %s, want %s", mac, got, want)
		}
		for _, o := range e.Reply {
			if o.Code == 3 && o.Value != "IAID 00000001, T1 0s, T2 0s; NoAddrsAvail: no address for you here" {
				t.Errorf("%s: %s", mac, o.Value)
			}
		}
	}
}

// TestExplainBehind6 has a plugin behind coresmd that answers a stranger.
func TestExplainBehind6(t *testing.T) {
	t.Parallel()
	b := known6(t)
	process.Publish(b.p, publishedDry6, func(_ dhcpv6.DHCPv6, resp *dhcpv6.Message, _ process.Origin) exchange.Dry6 {
		exchange.SetIA(resp, exchange.NewTimes6(1e9).IA([4]byte{0, 0, 0, 1}, near.Networks[1].Addr()))
		return exchange.Dry6{Verdict: exchange.Advertise, Reply: resp}
	})
	e := ask[status.Explanation](t, b.bench, "/api/v1/explain?message=SOLICIT&machine="+strange)
	want := status.Verdict{Answer: "ADVERTISE", Plugin: "bootloop"}
	if diff := cmp.Diff(want, e.Verdict); diff != "" || !strings.Contains(fmt.Sprint(e.Reply), "2001:db8:1::1 preferred 1s") {
		t.Errorf("reply %v, verdict (-want +got):\n%s", e.Reply, diff)
	}
}

// TestNote6 has what journal and audit file are told: a record for each address.
func TestNote6(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit")
	b := known6(t, "audit="+path)
	efi := append(mods6(toUs, na(1), na(2)), efi6...)
	through := func(req dhcpv6.DHCPv6) dhcpv6.DHCPv6 {
		return dhcptest.Through(t, req, "2001:db8:1::1", "fe80::9", dhcptest.Raw6(dhcpv6.OptionInterfaceID, 'e', '0'))
	}
	b.ask(t, through(dhcptest.Request6(t, twoNets, request6, efi...)), near)
	b.ask(t, dhcptest.Request6(t, node, renew, toUs, na(1, "2001:db8:1::11")), near)
	b.ask(t, dhcptest.Request6(t, v4Only, renew, toUs, na(1, "2001:db8:1::99")), near)
	b.ask(t, dhcptest.Request6(t, node, release6, toUs, na(1, "2001:db8:1::11")), near)
	b.ask(t, dhcptest.Request6(t, node, decline6, toUs, na(1, "2001:db8:1::11")), near)
	b.ask(t, dhcptest.Request6(t, node, solicit, na(1)), near)
	b.six.journal.Settle(t.Context())
	m, ok := b.six.journal.Machine([6]byte{2, 0, 0, 0, 0, 2})
	if !ok || m.Giaddr.String() != "2001:db8:1::1" || m.Circuit != "e0" || m.Arch != uint16(iana.EFI_X86_64) || m.Addr.String() != "2001:db8:2::12" {
		t.Errorf("journal: %+v", m)
	}
	b.p.Stop()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if duid, want := r["duid"], fmt.Sprint("00:03:00:01:", r["mac"]); duid != want {
			t.Errorf("DUID %v, want %s: %s", duid, want, line)
		}
		got = append(got, fmt.Sprint(r["event"], " ", r["mac"], " ", r["ip"], " ", r["message"], " ", r["reason"]))
	}
	want := []string{
		"given " + twoNets + " 2001:db8:2::12 REQUEST <nil>", "given " + twoNets + " 2001:db8:1::12 REQUEST <nil>",
		"renewed " + node + " 2001:db8:1::11 RENEW <nil>",
		"refused " + v4Only + " 2001:db8:1::99 RENEW no address of the client's network in SMD: receiving address 2001:db8:1::1",
		"released " + node + " 2001:db8:1::11 RELEASE <nil>", "declined " + node + " 2001:db8:1::11 DECLINE <nil>",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("audit (-want +got):\n%s", diff)
	}
}

// noFiles is a file server that has nothing.
type noFiles struct{}

func (noFiles) Has(string) bool { return false }

// TestLoader6 has a loader that the TFTP server of a URL lacks, and one that is
// somebody else's.
func TestLoader6(t *testing.T) {
	t.Parallel()
	b := known6(t, "rule=type:Node,id:x3000c0s1b0n0,bootfile:tftp://[2001:db8::e]/x")
	b.six.tftpServer = noFiles{}
	for mac, want := range map[string]bool{node: true, withBits: false} {
		got := false
		for _, line := range findings(ask[status.Explanation](t, b.bench, "/api/v1/explain?message=SOLICIT&arch=7&machine="+mac)) {
			got = got || line == "error: loader ipxe-x86_64.efi is missing in /tftpboot"
		}
		if got != want {
			t.Errorf("%s: told of a missing loader: %v, want %v", mac, got, want)
		}
	}
}

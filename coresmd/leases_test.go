package coresmd

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// listed writes leases down, a line each.
func listed(a status.Leases) string {
	var lines []string
	for _, l := range a.Leases {
		words := []string{l.Address, l.Kind, l.State}
		if !l.Expires.IsZero() {
			words = append(words, "for", time.Until(l.Expires).Round(time.Minute).String())
		}
		lines = append(lines, strings.Join(append(words, l.MAC, l.ID, l.Hostname, l.DUID), " "))
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// TestLeasesOfMachines has what messages of both families make of the leases of machines of SMD.
func TestLeasesOfMachines(t *testing.T) {
	t.Parallel()
	b := known6(t, "lease_time=2h")
	process.Publish(b.p, publishedHandler4, b.plugin)
	process.Publish(b.p, publishedHandler6, b.six)
	say4 := func(mac string, kind dhcpv4.MessageType, with ...dhcpv4.Modifier) {
		dhcptest.Exchange4(t, dhcptest.Request4(t, mac, kind, with...), dhcptest.ServerID("192.0.2.1"), b.handle)
	}
	loop4 := func(mac string, kind dhcpv4.MessageType, with ...dhcpv4.Modifier) { // CoreDHCP gives no plugin these
		req := dhcptest.Request4(t, mac, kind, with...)
		prepared, err := dhcpv4.NewReplyFromRequest(req, dhcptest.Server("192.0.2.1"))
		if err != nil {
			t.Fatal(err)
		}
		b.plugin.Handle(req, prepared, process.Origin{})
	}
	say6 := func(mac string, kind dhcpv6.MessageType, with ...dhcpv6.Modifier) {
		b.ask(t, dhcptest.Request6(t, mac, kind, with...), near)
	}
	const (
		four  = "192.0.2.11 known %s 02:00:00:00:00:01 x3000c0s0b0n0 nid0001 "
		first = "2001:db8:1::12 known %s 02:00:00:00:00:02 x3000c0s0b0n0 nid0001 00:03:00:01:02:00:00:00:00:02"
		more  = "2001:db8:2::12 known %s 02:00:00:00:00:02 x3000c0s0b0n0 nid0001 00:03:00:01:02:00:00:00:00:02"
	)
	now := func(states ...string) string {
		var lines []string
		for i, form := range []string{four, first, more} {
			if i < len(states) && states[i] != "" {
				lines = append(lines, strings.Replace(form, "%s", states[i], 1))
			}
		}
		return strings.TrimSpace(strings.Join(lines, "\n"))
	}
	const states = "bound,offered,expired,released,declined,refused"
	for _, step := range []struct {
		do   string
		run  func()
		want string
	}{
		{"nothing", func() {}, ""},
		{"a stranger's release", func() { say4(strange, release, dhcptest.Ciaddr("192.0.2.99"), dhcptest.Server("192.0.2.1")) }, ""},
		{"another one's address", func() { say4(node, request, dhcptest.Requested("192.0.2.99")) }, ""},
		{"discover", func() { say4(node, discover) }, now("offered")},
		{"request", func() { say4(node, request, dhcptest.Requested("192.0.2.11"), dhcptest.Server("192.0.2.1")) }, now("bound for 2h0m0s")},
		{"inform", func() { say4(node, inform, dhcptest.Ciaddr("192.0.2.11")) }, now("bound for 2h0m0s")},
		{"discover again", func() { say4(node, discover) }, now("bound for 2h0m0s")},
		{"release", func() { say4(node, release, dhcptest.Ciaddr("192.0.2.11"), dhcptest.Server("192.0.2.1")) }, now("released")},
		{"init-reboot", func() { say4(node, request, dhcptest.Requested("192.0.2.11")) }, now("bound for 2h0m0s")},
		{"decline", func() {
			loop4(node, dhcpv4.MessageTypeDecline, dhcptest.Requested("192.0.2.11"), dhcptest.Server("192.0.2.1"))
		}, now("declined")},
		{"solicit", func() { say6(twoNets, solicit, na(1), na(2)) }, now("declined", "offered", "offered")},
		{"request", func() { say6(twoNets, request6, toUs, na(1), na(2)) }, now("declined", "bound for 2h0m0s", "bound for 2h0m0s")},
		{"renew of one", func() { say6(twoNets, renew, toUs, na(1, "2001:db8:1::12")) }, now("declined", "bound for 2h0m0s", "bound for 2h0m0s")},
		{"release of one", func() { say6(twoNets, release6, toUs, na(2, "2001:db8:2::12", "2001:db8:9::9")) }, now("declined", "bound for 2h0m0s", "released")},
		{"decline", func() { say6(twoNets, decline6, toUs, na(1, "2001:db8:1::12")) }, now("declined", "declined", "released")},
	} {
		step.run()
		if diff := cmp.Diff(step.want, listed(ask[status.Leases](t, b.bench, "/api/v1/leases?kind=known&state="+states))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.do, diff)
		}
	}

	for target, want := range map[string]string{
		"kind=known&state=none&address=2001:db8::/32": `2001:db8:1::11 known none 02:00:00:00:00:01 x3000c0s0b0n0 nid0001 
2001:db8:1::110 known none 02:00:00:00:00:10 x3000c0s0b0  
2001:db8:1::112 known none 02:00:00:00:00:02 x3000c0s0b0n0 nid0001 
2001:db8:3::14 known none 02:00:00:00:00:04 x3000c0s1b0n0 nid12345`,
		"kind=all&machine=x3000c0s0b0n0&limit=2": `192.0.2.11 known declined 02:00:00:00:00:01 x3000c0s0b0n0 nid0001 
2001:db8:1::11 known none 02:00:00:00:00:01 x3000c0s0b0n0 nid0001`,
		"kind=known&address=192.0.2.11":        `192.0.2.11 known declined 02:00:00:00:00:01 x3000c0s0b0n0 nid0001`,
		"kind=known&machine=02:00:00:00:00:05": "",
		"kind=known&expiring=3h":               "",
	} {
		if diff := cmp.Diff(want, listed(ask[status.Leases](t, b.bench, "/api/v1/leases?"+target))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", target, diff)
		}
	}
	wantCounts := []status.LeaseCount{{Kind: "known", State: "released", Leases: 1}, {Kind: "known", State: "declined", Leases: 2}, {Kind: "known", State: "none", Leases: 5}}
	if diff := cmp.Diff(wantCounts, ask[status.Leases](t, b.bench, "/api/v1/leases?kind=known&state=bound").Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	for query, want := range map[string]string{
		"":                        `{"status":404,"detail":"bootloop is not among the plugins: there are no temporary leases"}`,
		"kind=temporary":          `{"status":404,"detail":"bootloop is not among the plugins: there are no temporary leases"}`,
		"kind=mine":               `{"status":400,"detail":"kind \"mine\"; wanted one of known, temporary, all"}`,
		"state=bound,idle":        `{"status":400,"detail":"state \"idle\"; wanted some of bound,offered,expired,released,declined,refused,none"}`,
		"address=192.0.2.0/33":    `{"status":400,"detail":"address \"192.0.2.0/33\"; wanted an address or a prefix such as 192.0.2.0/24"}`,
		"expiring=-1s":            `{"status":400,"detail":"expiring \"-1s\"; wanted a time such as 10m or 1h"}`,
		"expiring=soon":           `{"status":400,"detail":"expiring \"soon\"; wanted a time such as 10m or 1h"}`,
		"kind=all&machine=nobody": `{"status":404,"detail":"nothing is known of \"nobody\""}`,
	} {
		code, body := get(t, b.bench, "/api/v1/leases?"+query)
		if code < http.StatusBadRequest || strings.NewReplacer("\n ", "", "\n", "", `": `, `":`).Replace(body) != want {
			t.Errorf("%q: %d\n%s\nwant %s", query, code, body, want)
		}
	}
}

// TestLeaseRefused has a machine whose address SMD changes: its renewal is refused.
func TestLeaseRefused(t *testing.T) {
	t.Parallel()
	folder := dhcptest.Inventory(t, testInterfaces, testComponents)
	b := newBench(t, "svc_base_uri=file://"+folder, "ipxe_base_uri=http://bss", "cache_valid=1h")
	b.said(t, node, request, dhcptest.Requested("192.0.2.11"))
	dhcptest.WriteInventory(t, folder, strings.Replace(testInterfaces, "192.0.2.11", "192.0.2.21", 1), testComponents)
	if err := b.plugin.cache.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.said(t, node, request, dhcptest.Ciaddr("192.0.2.11"))
	b.said(t, node, discover)
	want := "192.0.2.11 known refused 02:00:00:00:00:01 x3000c0s0b0n0 nid0001 \n192.0.2.21 known offered 02:00:00:00:00:01 x3000c0s0b0n0 nid0001"
	if diff := cmp.Diff(want, listed(ask[status.Leases](t, b, "/api/v1/leases?kind=known&machine="+node))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestTemporaryLeases has a question as it could be asked before there were kinds, and later ones.
func TestTemporaryLeases(t *testing.T) {
	t.Parallel()
	b := known(t)
	ends := time.Now().Add(5 * time.Minute)
	pools := []status.Pool{{Range: "192.0.2.200-192.0.2.209", Size: 10, Leased: 2}}
	all := []status.Lease{
		{Address: "2001:db8::1000", Kind: "temporary", State: "bound", Expires: ends, DUID: "00:04:07", Hostname: "printer"},
		{Address: "192.0.2.201", Kind: "temporary", State: "expired", MAC: strange},
		{Address: "192.0.2.200", Kind: "temporary", State: "bound", Expires: ends, MAC: strange},
	}
	process.Publish(b.p, status.PublishedLeases, status.LeaseView(func(visit func(status.Lease)) []status.Pool {
		for _, l := range all {
			if visit != nil {
				visit(l)
			}
		}
		return pools
	}))
	const (
		own     = "192.0.2.200 temporary bound for 5m0s " + strange
		gone    = "192.0.2.201 temporary expired " + strange
		printer = "2001:db8::1000 temporary bound for 5m0s   printer 00:04:07"
	)
	for query, want := range map[string]string{
		"":                             own + "   \n" + printer,
		"machine=" + strange:           own,
		"kind=temporary":               own + "   \n" + gone + "   \n" + printer,
		"kind=all&machine=PRINTER":     printer,
		"kind=all&machine=00:04:07":    printer,
		"kind=temporary&expiring=10m":  own + "   \n" + printer,
		"kind=temporary&expiring=1m":   "",
		"kind=temporary&limit=1":       own,
		"address=2001:db8::/64":        printer,
		"kind=temporary&state=expired": gone,
	} {
		a := ask[status.Leases](t, b, "/api/v1/leases?"+query)
		if diff := cmp.Diff(want, listed(a)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", query, diff)
		}
		if diff := cmp.Diff(pools, a.Pools); diff != "" {
			t.Errorf("%q: pools (-want +got):\n%s", query, diff)
		}
	}
}

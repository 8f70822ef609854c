package bootloop

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// dry asks what the plugin would make of a message.
func (b bench) dry(mac string, kind dhcpv4.MessageType, with ...dhcpv4.Modifier) string {
	b.tb.Helper()
	req := dhcptest.Request4(b.tb, mac, kind, with...)
	prepared, _ := dhcptest.Prepare4(req)
	dhcptest.ServerID(self)(req, prepared)
	try, ok := process.Find[func(req, resp *dhcpv4.DHCPv4, from process.Origin) exchange.Dry](b.p, "dry run of DHCPv4")
	if !ok {
		b.tb.Fatal("the plugin publishes no dry run")
	}
	d := try(req, prepared, process.Origin{})
	if d.Reply != nil {
		return fmt.Sprint(d.Verdict, " ", d.Reply.YourIPAddr)
	}
	return fmt.Sprint(d.Verdict, ": ", d.Reason)
}

// TestDryRun asks what strangers would get, and that nothing comes of it.
func TestDryRun(t *testing.T) {
	t.Parallel()
	b := newBench(t, "subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.201")
	before := dhcptest.MetricText(t, b.p.Registry, "bootloop_")
	for range 3 {
		for _, mac := range []string{one, two, three} {
			if got := b.dry(mac, discover); got != "OFFER 192.0.2.200" {
				t.Errorf("%s: %s", mac, got)
			}
		}
		if got := b.dry(one, request, server(self), requested("192.0.2.200")); got != "ACK 192.0.2.200" {
			t.Error(got)
		}
		if got := b.dry(one, discover, relay("198.51.100.1")); got != "no reply: no pool for the client's network: relay address 198.51.100.1" {
			t.Error(got)
		}
	}
	if diff := cmp.Diff(before, dhcptest.MetricText(t, b.p.Registry, "bootloop_")); diff != "" {
		t.Errorf("metrics (-before +after):\n%s", diff)
	}
	b.dora(two)
	b.dora(three)
	if got := b.dry(one, discover); got != "no reply: pool exhausted: 192.0.2.0/24" {
		t.Error(got)
	}
	if got := b.dry(two, discover); got != "OFFER 192.0.2.200" {
		t.Errorf("the holder: %s", got)
	}
}

// TestLeaseView lists leases, all and one machine's.
func TestLeaseView(t *testing.T) {
	t.Parallel()
	b := newBench(t, "subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.209")
	b.dora(one)
	b.dora(two)
	view, ok := process.Find[status.LeaseView](b.p, status.PublishedLeases)
	if !ok {
		t.Fatal("the plugin publishes no leases")
	}
	b.send(two, release, ciaddr("192.0.2.201"), server(self))
	b.send(three, discover)
	var got []status.Lease
	pools := view(func(l status.Lease) { got = append(got, l) })
	wantPools := []status.Pool{{Range: "192.0.2.200-192.0.2.209", Network: "192.0.2.0/24", Size: 10, Leased: 1, Offered: 1}}
	if diff := cmp.Diff(wantPools, pools); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(wantPools, view(nil)); diff != "" {
		t.Error(diff)
	}
	for i, ends := range []time.Duration{5 * time.Minute, 0, 10 * time.Second} {
		if l := &got[i]; ends == 0 && !l.Expires.IsZero() || ends > 0 && (time.Until(l.Expires) > ends || time.Until(l.Expires) < ends-5*time.Second) || time.Since(l.Since) > 5*time.Second {
			t.Errorf("%+v", l)
		}
		got[i].Expires, got[i].Since = time.Time{}, time.Time{}
	}
	const pool = "192.0.2.200-192.0.2.209"
	want := []status.Lease{
		{Address: "192.0.2.200", Kind: "temporary", State: "bound", MAC: one, Pool: pool},
		{Address: "192.0.2.201", Kind: "temporary", State: "released", MAC: two, Pool: pool},
		{Address: "192.0.2.202", Kind: "temporary", State: "offered", MAC: three, Pool: pool},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("leases (-want +got):\n%s", diff)
	}
}

// TestAudit has a line for each lease given, renewed, refused and released.
func TestAudit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	b := newBench(t, "subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.209 renew=ack lease_time=5m audit="+path)
	b.dora(one)
	b.send(one, request, ciaddr("192.0.2.200"))
	b.send(two, request, requested("192.0.2.200"), server(self))
	b.send(two, release, ciaddr("192.0.2.200"), server(self)) // not the holder
	b.send(one, release, ciaddr("192.0.2.200"), server(self))
	b.p.Stop()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		if !json.Valid([]byte(line)) {
			t.Errorf("%q is no JSON", line)
		}
		got = append(got, regexp.MustCompile(`"time":"[^"]*Z",|"xid":"0x[0-9a-f]*",?`).ReplaceAllString(strings.TrimSpace(line), ""))
	}
	want := []string{
		`{"event":"given","plugin":"bootloop","mac":"02:00:00:00:00:01","ip":"192.0.2.200","lease_seconds":300,"message":"REQUEST","state":"selecting",}`,
		`{"event":"renewed","plugin":"bootloop","mac":"02:00:00:00:00:01","ip":"192.0.2.200","lease_seconds":300,"message":"REQUEST","state":"renewing",}`,
		`{"event":"refused","plugin":"bootloop","mac":"02:00:00:00:00:02","ip":"192.0.2.200","message":"REQUEST","state":"selecting","reason":"not the offered address, or the offer ended"}`,
		`{"event":"released","plugin":"bootloop","mac":"02:00:00:00:00:01","ip":"192.0.2.200","message":"RELEASE","state":"release",}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

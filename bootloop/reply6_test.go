package bootloop

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/record"
	"github.com/coredhcp/coredhcp/handler"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/sirupsen/logrus"
)

// line returns the last line of the log with its fields in order.
func (b bench6) line() string {
	e := b.log.LastEntry()
	text := fmt.Sprintf("%v %s", e.Level, e.Message)
	for _, name := range []string{"mac", "duid", "message", "state", "ip", "giaddr", "bootfile", "reason"} {
		if v, ok := e.Data[name]; ok {
			text += fmt.Sprintf(" %s=%q", name, v)
		}
	}
	return text
}

// Clients that boot.
var (
	efi6 = []dhcpv6.Modifier{
		dhcptest.Raw6(dhcpv6.OptionClientArchType, 0, 7),
		dhcptest.Raw6(dhcpv6.OptionVendorClass, append([]byte{0, 0, 1, 0x57, 0, 32}, "PXEClient:Arch:00007:UNDI:003001"...)...),
	}
	http6 = []dhcpv6.Modifier{
		dhcptest.Raw6(dhcpv6.OptionClientArchType, 0, 16),
		dhcptest.Raw6(dhcpv6.OptionVendorClass, append([]byte{0, 0, 1, 0x57, 0, 33}, "HTTPClient:Arch:00016:UNDI:003001"...)...),
	}
	ipxe6 = []dhcpv6.Modifier{dhcptest.Raw6(dhcpv6.OptionUserClass, append([]byte{0, 4}, "iPXE"...)...), dhcptest.Raw6(dhcpv6.OptionClientArchType, 0, 7)}
)

// TestReplies6 has whole replies and their log lines.
func TestReplies6(t *testing.T) {
	t.Parallel()
	const who = ` mac="02:00:00:00:00:01" duid="00:03:00:01:02:00:00:00:00:01"`
	with := func(m ...dhcpv6.Modifier) []dhcpv6.Modifier { return m }
	here := process.Origin{Networks: []netip.Prefix{netip.MustParsePrefix("2001:db8::a/64")}}
	rows := map[string]struct {
		words string
		lease bool // the client has one
		kind  dhcpv6.MessageType
		with  []dhcpv6.Modifier
		line  string
	}{
		"solicit": {netWords6, false, solicit, with(na(1)), `info ADVERTISE` + who + ` message="SOLICIT" state="solicit" ip="2001:db8::1000"`},
		"solicit-rapid": {
			netWords6, false, solicit, with(na(1), dhcptest.Raw6(dhcpv6.OptionRapidCommit)),
			`info REPLY` + who + ` message="SOLICIT" state="solicit" ip="2001:db8::1000"`,
		},
		"solicit-several": {
			netWords6, false, solicit, with(na(1), na(2), na(3), dhcptest.TA(4), dhcptest.PD(5)),
			`warning ADVERTISE` + who + ` message="SOLICIT" state="solicit" ip="2001:db8::1000" reason="pool exhausted: 2001:db8::/64"`,
		},
		"request":      {netWords6, true, asks, with(own, na(1, "2001:db8::1000")), `info REPLY` + who + ` message="REQUEST" state="request" ip="2001:db8::1000"`},
		"renew-refuse": {netWords6, true, renew, with(own, na(1, "2001:db8::1000")), `info REPLY` + who + ` message="RENEW" state="renew" ip="2001:db8::1000" reason="renewal of a temporary lease, renew=ack would allow it"`},
		"renew": {
			"lease_time=90s renew=ack " + netWords6, true, renew, with(own, na(1, "2001:db8::1000", "2001:db8::7")),
			`info REPLY` + who + ` message="RENEW" state="renew" ip="2001:db8::1000"`,
		},
		"renew-unheld": {netWords6, false, renew, with(own, na(1, "2001:db8::1001")), `info REPLY` + who + ` message="RENEW" state="renew" ip="2001:db8::1001" reason="an address of a pool that this client has no lease of"`},
		"renew-elsewhere": {
			netWords6, false, renew, with(own, na(1, "2001:db8::77")),
			`info REPLY` + who + ` message="RENEW" state="renew" ip="2001:db8::77" reason="an address that another server may have given out"`,
		},
		"rebind-authoritative": {
			"authoritative=true " + netWords6, false, rebind, with(na(1, "2001:db8::77")),
			`info REPLY` + who + ` message="REBIND" state="rebind" ip="2001:db8::77" reason="an address that another server may have given out: authoritative=true"`,
		},
		"confirm": {netWords6, true, confirm, with(na(1, "2001:db8::1000")), `info REPLY` + who + ` message="CONFIRM" state="confirm" ip="2001:db8::1000"`},
		"confirm-elsewhere": {
			netWords6, true, confirm, with(na(1, "2001:db8:7::7")),
			`info REPLY` + who + ` message="CONFIRM" state="confirm" ip="2001:db8:7::7" reason="an address outside the client's network: 2001:db8:7::7"`,
		},
		"release": {netWords6, true, leaves, with(own, na(1, "2001:db8::1000")), `info REPLY` + who + ` message="RELEASE" state="release" ip="2001:db8::1000" reason="release: freed"`},
		"decline": {
			netWords6, true, decline, with(own, na(1, "2001:db8::1000"), na(2, "2001:db8::7")),
			`warning REPLY` + who + ` message="DECLINE" state="decline" ip="2001:db8::1000" reason="decline: 2001:db8::1000 is in use by somebody else"`,
		},
		"information-request": {
			"subnet=2001:db8::/64,dns:2001:db8::5|2001:db8::6,pool:2001:db8::1000-2001:db8::1001", false, informs, nil,
			`info REPLY` + who + ` message="INFORMATION-REQUEST" state="information-request"`,
		},
		"firmware": {
			netWords6, false, solicit, append(with(na(1)), efi6...),
			`info ADVERTISE` + who + ` message="SOLICIT" state="solicit" ip="2001:db8::1000" bootfile="tftp://[2001:db8::a]/ipxe-x86_64.efi"`,
		},
		"firmware-by-http": {
			netWords6, false, solicit, append(with(na(1)), http6...),
			`info ADVERTISE` + who + ` message="SOLICIT" state="solicit" ip="2001:db8::1000" reason="no boot_http for firmware that loads by HTTP"`,
		},
		"ipxe": {
			netWords6, false, solicit, append(with(na(1)), ipxe6...),
			`info ADVERTISE` + who + ` message="SOLICIT" state="solicit" ip="2001:db8::1000" bootfile="tftp://[2001:db8::a]/default"`,
		},
		"ipxe-script": {
			"script_path=http://[2001:db8::b]/wait.ipxe " + netWords6, true, asks, append(with(own, na(1, "2001:db8::1000")), ipxe6...),
			`info REPLY` + who + ` message="REQUEST" state="request" ip="2001:db8::1000" bootfile="http://[2001:db8::b]/wait.ipxe"`,
		},
	}
	rec := dhcptest.NewRecord(t, "six", len(rows))
	for name, c := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench6(t, c.words)
			chain := []handler.Handler6{dhcptest.ServerID6(dhcptest.LL(self6)), dhcptest.Earlier6(dhcpv6.WithDNS(net.ParseIP("2001:db8::53"))), b.handle(here)}
			ask := func(kind dhcpv6.MessageType, with ...dhcpv6.Modifier) dhcpv6.DHCPv6 {
				req := dhcptest.Request6(t, one, kind, with...)
				reply, _ := dhcptest.Exchange6(t, req, chain...)
				rec.Add6("six/"+name, c.words, dhcptest.Way{From: record.Interface{Networks: here.Networks}, Says: exchange.Says6}, req, reply)
				return reply
			}
			if c.lease {
				ask(solicit, na(1))
				ask(asks, own, na(1, "2001:db8::1000"))
			}
			reply := ask(c.kind, c.with...)
			if reply == nil {
				t.Fatalf("no reply: %s", b.line())
			}
			dhcptest.Golden(t, "six/"+name, reply.Summary())
			if diff := cmp.Diff(c.line, b.line()); diff != "" {
				t.Errorf("log line (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSilence6 has the messages that are not answered, with the reasons.
func TestSilence6(t *testing.T) {
	t.Parallel()
	const who = ` mac="02:00:00:00:00:01" duid="00:03:00:01:02:00:00:00:00:01"`
	b := newBench6(t, netWords6)
	alone := process.Origin{Dst: netip.MustParseAddr("2001:db8::a")}
	say := func(from process.Origin, kind dhcpv6.MessageType, with ...dhcpv6.Modifier) string {
		if got := b.pass(dhcptest.Request6(t, one, kind, with...), from); got != "silence" {
			t.Errorf("%v: %s", kind, got)
		}
		return b.line()
	}
	deep := dhcpv6.DHCPv6(dhcptest.Request6(t, one, solicit, na(1)))
	for range 40 {
		deep = dhcptest.Through(t, deep, "2001:db8::9", "fe80::1")
	}
	b.pass(deep, process.Origin{})
	long := func(d dhcpv6.DHCPv6) {
		d.UpdateOption(dhcpv6.OptClientID(&dhcpv6.DUIDOpaque{Type: 9, Data: make([]byte, 129)}))
	}
	many := make([]dhcpv6.Modifier, 70)
	for i := range many {
		many[i] = na(byte(i))
	}
	check(
		t,
		step{b.line(), `info no reply message="REQUEST" state="none" reason="not a request of a client: more than 32 relays"`},
		step{say(alone, solicit, na(1)), `info no reply duid="00:03:00:01:02:00:00:00:00:01" message="SOLICIT" state="solicit" reason="not a request of a client: sent to this server alone"`},
		step{say(process.Origin{}, solicit, many...), `info no reply duid="00:03:00:01:02:00:00:00:00:01" message="SOLICIT" state="solicit" reason="not a request of a client: more than 64 IAs"`},
		step{say(process.Origin{}, solicit, na(1), long), `info no reply duid="" message="SOLICIT" state="solicit" reason="not a request of a client: a client identifier of more than 130 octets"`},
		step{say(process.Origin{}, rebind, na(1, "2001:db8::77")), `info no reply` + who + ` message="REBIND" state="rebind" ip="2001:db8::77" reason="an address that another server may have given out"`},
		step{say(process.Origin{}, confirm, na(1)), `info no reply` + who + ` message="CONFIRM" state="confirm" reason="request without address and server: none listed"`},
		step{say(process.Origin{}, asks, dhcpv6.WithServerID(dhcptest.LL(two)), na(1)), `info no reply duid="00:03:00:01:02:00:00:00:00:01" message="REQUEST" state="request" reason="another server's: 00:03:00:01:02:00:00:00:00:02"`},
	)
}

// TestNobody6 has a client whose hardware address nobody tells: it has a lease
// as others have, and the log names it by its DUID.
func TestNobody6(t *testing.T) {
	t.Parallel()
	b := newBench6(t, netWords6)
	check(
		t,
		step{b.pass(nobody(t), process.Origin{}), "REPLY 2=2001:db8::1000/5m0s"},
		step{b.line(), `info REPLY duid="00:04:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:07" message="REQUEST" state="request" ip="2001:db8::1000"`},
	)
}

// TestNoServerID6 has no server_id before bootloop: an identifier of this host
// stands in, and an error a minute says what is missing.
func TestNoServerID6(t *testing.T) {
	t.Parallel()
	b := newBench6(t, netWords6)
	for range 3 {
		reply, _ := dhcptest.Exchange6(t, dhcptest.Request6(t, one, solicit, na(1)), b.handle(process.Origin{}))
		if reply == nil {
			continue // this host has no interface with a hardware address
		}
		if m, err := reply.GetInnerMessage(); err != nil || m.Options.ServerID() == nil {
			t.Errorf("no server identifier: %v", reply)
		}
	}
	var lines []string
	for _, e := range b.log.AllEntries() {
		if strings.HasPrefix(e.Message, "no server identifier: put server_id before bootloop") {
			lines = append(lines, e.Level.String())
		}
	}
	if diff := cmp.Diff([]string{"error"}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// TestAudit6 has a line for each lease of each IA.
func TestAudit6(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	b := newBench6(t, netWords6+" renew=ack lease_time=5m audit="+path)
	b.say(one, solicit, na(1))
	b.say(one, asks, own, na(1, "2001:db8::1000"), na(2), na(3))
	b.say(one, renew, own, na(1, "2001:db8::1000"))
	b.say(two, renew, own, na(1, "2001:db8::1000"))
	b.say(two, leaves, own, na(1, "2001:db8::1000")) // not the holder
	b.say(one, leaves, own, na(1, "2001:db8::1000"))
	b.say(one, decline, own, na(2, "2001:db8::1001"))
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
		got = append(got, regexp.MustCompile(`"time":"[^"]*Z",|"plugin":"bootloop",|"xid":"0x[0-9a-f]*",?`).ReplaceAllString(strings.TrimSpace(line), ""))
	}
	want := []string{
		`{"event":"given","mac":"02:00:00:00:00:01","duid":"00:03:00:01:02:00:00:00:00:01","ip":"2001:db8::1000","lease_seconds":300,"message":"REQUEST","state":"request",}`,
		`{"event":"given","mac":"02:00:00:00:00:01","duid":"00:03:00:01:02:00:00:00:00:01","ip":"2001:db8::1001","lease_seconds":300,"message":"REQUEST","state":"request",}`,
		`{"event":"refused","mac":"02:00:00:00:00:01","duid":"00:03:00:01:02:00:00:00:00:01","message":"REQUEST","state":"request","reason":"pool exhausted"}`,
		`{"event":"renewed","mac":"02:00:00:00:00:01","duid":"00:03:00:01:02:00:00:00:00:01","ip":"2001:db8::1000","lease_seconds":300,"message":"RENEW","state":"renew",}`,
		`{"event":"refused","mac":"02:00:00:00:00:02","duid":"00:03:00:01:02:00:00:00:00:02","ip":"2001:db8::1000","message":"RENEW","state":"renew","reason":"an address of a pool that this client has no lease of"}`,
		`{"event":"released","mac":"02:00:00:00:00:01","duid":"00:03:00:01:02:00:00:00:00:01","ip":"2001:db8::1000","message":"RELEASE","state":"release",}`,
		`{"event":"declined","mac":"02:00:00:00:00:01","duid":"00:03:00:01:02:00:00:00:00:01","ip":"2001:db8::1001","message":"DECLINE","state":"decline",}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestDryRun6 asks what strangers would get, and that nothing comes of it.
func TestDryRun6(t *testing.T) {
	t.Parallel()
	b := newBench6(t, "renew=ack "+netWords6)
	b.lease(one)
	try, ok := process.Find[func(dhcpv6.DHCPv6, *dhcpv6.Message, process.Origin) exchange.Dry6](b.p, "dry run of DHCPv6")
	if !ok {
		t.Fatal("the plugin publishes no dry run")
	}
	dry := func(mac string, kind dhcpv6.MessageType, with ...dhcpv6.Modifier) string {
		req := dhcptest.Request6(t, mac, kind, with...)
		prepared, _ := dhcptest.Prepare6(req)
		own(prepared)
		d := try(req, prepared.(*dhcpv6.Message), process.Origin{})
		if d.Reply == nil {
			return fmt.Sprint(d.Verdict, ": ", d.Reason)
		}
		return strings.TrimSpace(fmt.Sprint(d.Verdict, " ", words6(t, d.Reply), " ", d.Reason))
	}
	before := dhcptest.MetricText(t, b.p.Registry, "bootloop_")
	for range 3 {
		check(
			t,
			step{dry(one, solicit, na(1)), "ADVERTISE ADVERTISE 1=2001:db8::1000/5m0s"},
			step{dry(two, solicit, na(1)), "ADVERTISE ADVERTISE 1=2001:db8::1001/5m0s"},
			step{dry(three, asks, own, na(1)), "REPLY REPLY 1=2001:db8::1001/5m0s"},
			step{dry(one, renew, own, na(1, "2001:db8::1000")), "REPLY REPLY 1=2001:db8::1000/5m0s"},
			step{dry(one, leaves, own, na(1, "2001:db8::1000")), "REPLY REPLY Success release: freed"},
			step{dry(one, rebind, na(1, "2001:db8::77")), "no reply: an address that another server may have given out"},
			step{dry(one, asks, dhcpv6.WithServerID(dhcptest.LL(two)), na(1)), "no reply: another server's: 00:03:00:01:02:00:00:00:00:02"},
		)
	}
	if diff := cmp.Diff(before, dhcptest.MetricText(t, b.p.Registry, "bootloop_")); diff != "" {
		t.Errorf("metrics (-before +after):\n%s", diff)
	}
	check(t, step{b.say(one, renew, own, na(1, "2001:db8::1000")), "REPLY 1=2001:db8::1000/5m0s"})
}

// TestPanic6 has a handler that panics: the packet is dropped and shown.
func TestPanic6(t *testing.T) {
	t.Parallel()
	b := newBench6(t, netWords6)
	b.plugin.leases = nil
	if got := b.say(one, leaves, own, na(1, "2001:db8::1000")); got != "silence" {
		t.Error(got)
	}
	if e := b.log.LastEntry(); e.Level != logrus.ErrorLevel || !strings.HasPrefix(e.Message, "packet dropped after a panic\n") {
		t.Errorf("log: %v %s", e.Level, e.Message)
	}
}

// FuzzHandler6 takes octets from the wire through the handler to octets on the
// wire, in relays of any depth: nothing panics, and nobody is given an address
// outside the pool.
func FuzzHandler6(f *testing.F) {
	for _, with := range [][]dhcpv6.Modifier{
		{na(1)},
		{na(1, "2001:db8::1000"), na(2), dhcptest.TA(1), dhcptest.PD(1)},
		{own, na(1, "2001:db8::1001", "2001:db8::1000", "::", "::ffff:192.0.2.1")},
		append([]dhcpv6.Modifier{na(1), dhcptest.Raw6(dhcpv6.OptionRapidCommit)}, efi6...),
		append([]dhcpv6.Modifier{na(1), dhcptest.Raw6(dhcpv6.OptionFQDN, 0, 1, 'a', 0)}, ipxe6...),
		{dhcptest.Raw6(dhcpv6.OptionIANA, 0, 0, 0, 1)},
		{dhcptest.Raw6(dhcpv6.OptionClientArchType, 7)},
	} {
		for _, kind := range []dhcpv6.MessageType{solicit, asks, renew, rebind, confirm, leaves, decline, informs} {
			m := dhcpv6.Message{MessageType: kind}
			m.AddOption(dhcpv6.OptClientID(dhcptest.LL(one)))
			for _, modify := range with {
				modify(&m)
			}
			f.Add(m.ToBytes())
			if relayed, err := dhcpv6.EncapsulateRelay(&m, dhcpv6.MessageTypeRelayForward, net.ParseIP("2001:db8::9"), net.ParseIP("fe80::1")); err == nil {
				f.Add(relayed.ToBytes())
			}
		}
	}
	b := newBench6(f, netWords6+" renew=ack")
	f.Fuzz(func(t *testing.T, octets []byte) {
		req, err := dhcpv6.FromBytes(octets)
		if err != nil {
			return
		}
		prepared, ok := dhcptest.Prepare6(req)
		if !ok {
			return
		}
		own(prepared)
		b.log.Reset()
		reply, ended := b.handle(process.Origin{})(req, prepared)
		if e := b.log.LastEntry(); e.Data["panic"] != nil {
			t.Fatalf("panic: %v\n%s", e.Data["panic"], e.Message)
		}
		if !ended {
			t.Error("passed on")
		}
		if reply == nil {
			return
		}
		m := dhcptest.Parse6(t, reply.ToBytes()).(*dhcpv6.Message)
		for _, ia := range m.Options.IANA() {
			for _, a := range ia.Options.Addresses() {
				if got := a.IPv6Addr.String(); a.ValidLifetime > 0 && got != "2001:db8::1000" && got != "2001:db8::1001" {
					t.Errorf("address %s", got)
				}
			}
		}
	})
}

// BenchmarkHandshake6 has new clients go through Solicit and Request, each lease
// on disk before its Reply.
func BenchmarkHandshake6(b *testing.B) {
	bench := newBench6(b, "subnet=2001:db8::/64,pool:2001:db8::1:0:0:0-2001:db8::ffff:ffff:ffff:ffff")
	bench.plugin.log.Logger.SetLevel(logrus.WarnLevel)
	b.SetParallelism(64)
	b.ReportAllocs()
	began := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if got := bench.lease(randomMAC()); !strings.HasPrefix(got, "REPLY 1=2001:db8:") {
				b.Error(got)
			}
		}
	})
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "leases/s")
}

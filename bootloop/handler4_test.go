package bootloop

import (
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/coredhcp/coredhcp/handler"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
)

// bench is a plugin under test with its log.
type bench struct {
	tb     testing.TB
	plugin *handler4
	log    *logtest.Hook
	p      *process.Process
	file   string
}

// newBench starts a plugin on the words of a directive behind its lease file.
func newBench(tb testing.TB, words string) bench {
	tb.Helper()
	return open(tb, filepath.Join(tb.TempDir(), "leases.db"), words)
}

func open(tb testing.TB, file, words string) bench {
	tb.Helper()
	c, err := parse(strings.Fields("lease_file="+file+" "+words), false)
	if err != nil {
		tb.Fatal(err)
	}
	logger, hook := logtest.NewNullLogger()
	logger.SetLevel(logrus.DebugLevel)
	p := process.New()
	tb.Cleanup(p.Stop)
	s, err := start(c, p, logrus.NewEntry(logger))
	if err != nil {
		tb.Fatal(err)
	}
	return bench{tb, newHandler4(s), hook, p, file}
}

const (
	one   = "02:00:00:00:00:01"
	two   = "02:00:00:00:00:02"
	three = "02:00:00:00:00:03"
	self  = "192.0.2.1"

	discover = dhcpv4.MessageTypeDiscover
	request  = dhcpv4.MessageTypeRequest
	inform   = dhcpv4.MessageTypeInform
	release  = dhcpv4.MessageTypeRelease
)

// Short names of the kit.
var (
	ip        = dhcptest.IP
	requested = dhcptest.Requested
	ciaddr    = dhcptest.Ciaddr
	server    = dhcptest.Server
	raw       = dhcptest.Raw
	relay     = dhcptest.Relay
	pxe       = dhcptest.PXE
)

// earlier are the options that plugins before bootloop set.
func earlier() handler.Handler4 {
	return dhcptest.Earlier(dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithRouter(ip("192.0.2.254")), dhcpv4.WithDNS(ip("192.0.2.53")))
}

// handle is the plugin as stock CoreDHCP calls it.
func (b bench) handle(req, resp *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, bool) {
	return b.plugin.Handle(req, resp, process.Origin{})
}

// send takes a message through the chain.
func (b bench) send(mac string, kind dhcpv4.MessageType, with ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	b.tb.Helper()
	reply, ended := dhcptest.Exchange4(b.tb, dhcptest.Request4(b.tb, mac, kind, with...), dhcptest.ServerID(self), earlier(), b.handle)
	if !ended {
		b.tb.Error("a message was passed on: bootloop is the end of the chain")
	}
	return reply
}

// say sums a reply up: its type and address.
func (b bench) say(mac string, kind dhcpv4.MessageType, with ...dhcpv4.Modifier) string {
	b.tb.Helper()
	reply := b.send(mac, kind, with...)
	switch {
	case reply == nil:
		return "silence"
	case reply.MessageType() == dhcpv4.MessageTypeNak:
		return "NAK"
	}
	return reply.MessageType().String() + " " + reply.YourIPAddr.String()
}

// line returns the last line of the log with its fields in order.
func (b bench) line() string {
	e := b.log.LastEntry()
	text := fmt.Sprintf("%v %s", e.Level, e.Message)
	for _, name := range []string{"mac", "message", "state", "ip", "giaddr", "bootfile", "reason"} {
		if v, ok := e.Data[name]; ok {
			text += fmt.Sprintf(" %s=%q", name, v)
		}
	}
	return text
}

// dora takes a client through the whole handshake.
func (b bench) dora(mac string, with ...dhcpv4.Modifier) string {
	b.tb.Helper()
	offer := b.send(mac, discover, with...)
	if offer == nil {
		return "silence"
	}
	return b.say(mac, request, append(with, server(self), requested(offer.YourIPAddr.String()))...)
}

const netWords = "subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.201"

// TestHandshake has the rows of the protocol's table on one pool of two
// addresses, in the order in which they happen.
func TestHandshake(t *testing.T) {
	t.Parallel()
	b := newBench(t, netWords)
	for i, step := range []struct {
		got  string
		want string
		line string
	}{
		{b.say(one, discover), "OFFER 192.0.2.200", ""},
		{b.say(one, discover, requested("192.0.2.77")), "OFFER 192.0.2.200", ""},
		{b.say(one, request, server(self), requested("192.0.2.201")), "NAK", ""},
		{b.say(one, request, server(self), requested("192.0.2.200")), "ACK 192.0.2.200", ""},
		{b.say(one, request, server(self), requested("192.0.2.200")), "ACK 192.0.2.200", ""},
		{b.say(one, request, ciaddr("192.0.2.200")), "NAK", ""},
		{b.say(one, discover), "OFFER 192.0.2.200", ""},
		{b.say(one, request, requested("192.0.2.200")), "NAK", ""},
		{b.say(two, request, requested("192.0.2.200")), "NAK", ""},
		{b.say(two, request, ciaddr("198.51.100.7")), "NAK", ""},
		{b.say(two, request, ciaddr("192.0.2.77")), "silence", ""},
		{b.say(two, request), "silence", ""},
		{b.dora(two), "ACK 192.0.2.201", ""},
		{b.say(three, discover), "silence", ""},
		{b.say(two, release, ciaddr("192.0.2.201"), server(self)), "silence", ""},
		{b.say(three, release, ciaddr("192.0.2.200"), server(self)), "silence", ""},
		{b.dora(three), "ACK 192.0.2.201", ""},
		{b.say(one, request, ciaddr(self)), "NAK", ""},
		{b.say(one, inform, ciaddr("192.0.2.77")), "ACK 0.0.0.0", ""},
		{b.say("ff:ff:ff:ff:ff:ff", discover), "silence", ""},
	} {
		if step.got != step.want {
			t.Errorf("step %d: %s, want %s", i, step.got, step.want)
		}
	}
}

// TestReplies has whole replies and their log lines.
func TestReplies(t *testing.T) {
	t.Parallel()
	with := func(m ...dhcpv4.Modifier) []dhcpv4.Modifier { return m }
	rows := map[string]struct {
		words string
		dora  bool // a handshake goes before
		mac   string
		kind  dhcpv4.MessageType
		with  []dhcpv4.Modifier
		line  string
	}{
		"offer": {netWords, false, one, discover, nil, `info OFFER mac="02:00:00:00:00:01" message="DISCOVER" state="discover" ip="192.0.2.200"`},
		"ack": {
			netWords, true, one, request, with(server(self), requested("192.0.2.200"), raw(61, 1, 2, 3)),
			`info ACK mac="02:00:00:00:00:01" message="REQUEST" state="selecting" ip="192.0.2.200"`,
		},
		"nak-renewal": {
			netWords, true, one, request, with(ciaddr("192.0.2.200"), raw(61, 1, 2, 3)),
			`info NAK mac="02:00:00:00:00:01" message="REQUEST" state="renewing" ip="192.0.2.200" reason="renewal of a temporary lease, renew=ack would allow it"`,
		},
		"nak-relayed": {
			netWords, true, one, request, with(ciaddr("192.0.2.200"), relay("192.0.2.9"), raw(82, 1, 2, 'e', '0')),
			`info NAK mac="02:00:00:00:00:01" message="REQUEST" state="renewing" ip="192.0.2.200" giaddr="192.0.2.9" reason="renewal of a temporary lease, renew=ack would allow it"`,
		},
		"ack-renewal": {
			netWords + " renew=ack lease_time=90s", true, one, request, with(ciaddr("192.0.2.200")),
			`info ACK mac="02:00:00:00:00:01" message="REQUEST" state="renewing" ip="192.0.2.200"`,
		},
		"authoritative": {
			netWords + " authoritative=true", false, one, request, with(ciaddr("192.0.2.77")),
			`info NAK mac="02:00:00:00:00:01" message="REQUEST" state="renewing" ip="192.0.2.77" reason="an address that another server may have given out: authoritative=true"`,
		},
		"firmware": {
			netWords, false, one, discover, with(pxe(iana.EFI_X86_64)),
			`info OFFER mac="02:00:00:00:00:01" message="DISCOVER" state="discover" ip="192.0.2.200" bootfile="ipxe-x86_64.efi"`,
		},
		"ipxe": {
			netWords, false, one, discover, with(raw(77, 'i', 'P', 'X', 'E')),
			`info OFFER mac="02:00:00:00:00:01" message="DISCOVER" state="discover" ip="192.0.2.200" bootfile="default"`,
		},
		"ipxe-script": {
			netWords + " script_path=/site/wait.ipxe", false, one, discover, with(raw(175, 1, 1, 1)),
			`info OFFER mac="02:00:00:00:00:01" message="DISCOVER" state="discover" ip="192.0.2.200" bootfile="/site/wait.ipxe"`,
		},
		"single-range": {
			"ipv4_start=192.0.2.200 ipv4_end=192.0.2.201", false, one, discover, nil,
			`info OFFER mac="02:00:00:00:00:01" message="DISCOVER" state="discover" ip="192.0.2.200"`,
		},
		"declared": {
			"subnet=192.0.2.0/25,router:192.0.2.126,dns:192.0.2.3,pool:192.0.2.20-192.0.2.29", false, one, discover, nil,
			`info OFFER mac="02:00:00:00:00:01" message="DISCOVER" state="discover" ip="192.0.2.20"`,
		},
		"router-outside": {
			"subnet=192.0.2.0/25,pool:192.0.2.20-192.0.2.29", false, one, discover, nil,
			`info OFFER mac="02:00:00:00:00:01" message="DISCOVER" state="discover" ip="192.0.2.20"`,
		},
		"relay-is-router": {
			"subnet=198.51.100.0/24,pool:198.51.100.20-198.51.100.29", false, one, discover, with(relay("198.51.100.1"), raw(82, 1, 2, 'e', '0')),
			`info OFFER mac="02:00:00:00:00:01" message="DISCOVER" state="discover" ip="198.51.100.20" giaddr="198.51.100.1"`,
		},
		"inform": {
			netWords, false, one, inform, with(ciaddr("192.0.2.77")),
			`info ACK mac="02:00:00:00:00:01" message="INFORM" state="inform" ip="192.0.2.77"`,
		},
	}
	rec := dhcptest.NewRecord(t, "four", len(rows))
	for name, c := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, c.words)
			ask := func(kind dhcpv4.MessageType, with ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
				reply := b.send(c.mac, kind, with...)
				rec.Add4(name, c.words, dhcptest.Request4(t, c.mac, kind, with...), reply)
				return reply
			}
			if c.dora {
				offer := ask(discover)
				ask(request, server(self), requested(offer.YourIPAddr.String()))
			}
			reply := ask(c.kind, c.with...)
			if reply == nil {
				t.Fatalf("no reply: %s", b.line())
			}
			dhcptest.Golden(t, name, reply.Summary())
			if diff := cmp.Diff(c.line, b.line()); diff != "" {
				t.Errorf("log line (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNetworks has two networks with pools behind relays and a direct client.
func TestNetworks(t *testing.T) {
	t.Parallel()
	b := newBench(t, "subnet_pool=192.0.2.0/24,192.0.2.200,192.0.2.200 subnet_pool=192.0.2.0/24,192.0.2.210,192.0.2.210 subnet_pool=198.51.100.0/24,198.51.100.200,198.51.100.201")
	relayed := relay("198.51.100.1")
	elsewhere := relay("203.0.113.1")
	for i, step := range []struct{ got, want string }{
		{b.dora(one), "ACK 192.0.2.200"},
		{b.dora(two), "ACK 192.0.2.210"}, // the second pool of the network
		{b.say(three, discover), "silence"},
		{b.dora(three, relayed), "ACK 198.51.100.200"},
		{b.say(two, discover), "OFFER 192.0.2.210"},
		{b.dora(two, relayed), "ACK 198.51.100.201"}, // it moved
		{b.say(two, request, ciaddr("192.0.2.210"), relayed), "NAK"},
		{b.say(one, discover, elsewhere), "silence"},
		{b.say(one, request, ciaddr("203.0.113.7"), elsewhere), "silence"},
		{b.say(one, discover, relayed), "silence"}, // exhausted, and it keeps what it has
		{b.say(one, discover), "OFFER 192.0.2.200"},
	} {
		if step.got != step.want {
			t.Errorf("step %d: %s, want %s", i, step.got, step.want)
		}
	}
}

// TestRenewalPastTheRelay has a relayed client that renews by unicast: it is
// told the same router as before.
func TestRenewalPastTheRelay(t *testing.T) {
	t.Parallel()
	b := newBench(t, "renew=ack subnet=198.51.100.0/24,pool:198.51.100.200-198.51.100.209")
	b.dora(one, relay("198.51.100.1"))
	renewed := b.send(one, request, ciaddr("198.51.100.200"))
	if got := fmt.Sprint(renewed.MessageType(), renewed.Router()); got != "ACK [198.51.100.1]" {
		t.Errorf("%s, want the relay as router", got)
	}
}

// TestAnotherServer has a client that takes another server's offer: ours is
// free for the next one.
func TestAnotherServer(t *testing.T) {
	t.Parallel()
	b := newBench(t, "subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.200")
	for i, step := range []struct{ got, want string }{
		{b.say(one, discover), "OFFER 192.0.2.200"},
		{b.say(two, discover), "silence"},
		{b.say(one, request, server("192.0.2.2"), requested("192.0.2.77")), "silence"},
		{b.say(two, discover), "OFFER 192.0.2.200"},
	} {
		if step.got != step.want {
			t.Errorf("step %d: %s, want %s", i, step.got, step.want)
		}
	}
}

// TestInventoryNeverLoaded has bootloop told that strangers cannot be told from
// known machines: holders go on, nothing new is offered.
func TestInventoryNeverLoaded(t *testing.T) {
	t.Parallel()
	b := newBench(t, netWords)
	b.dora(one)
	b.p.StrangersUnknown.Store(true)
	b.log.Reset()
	got := []string{b.say(one, discover), b.say(two, discover), b.say(two, discover), b.say(one, request, ciaddr("192.0.2.200"))}
	want := []string{"OFFER 192.0.2.200", "silence", "silence", "NAK"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var lines []string
	for _, e := range b.log.AllEntries() {
		if e.Level == logrus.ErrorLevel {
			lines = append(lines, e.Data["reason"].(string))
		}
	}
	if diff := cmp.Diff([]string{"SMD not heard yet, strangers cannot be told from known machines"}, lines); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

// TestExhaustionLogs has a storm on a full pool: one line a minute.
func TestExhaustionLogs(t *testing.T) {
	t.Parallel()
	b := newBench(t, "subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.200")
	b.dora(one)
	b.log.Reset()
	for range 50 {
		b.say(two, discover)
	}
	var lines []string
	for _, e := range b.log.AllEntries() {
		if e.Level <= logrus.InfoLevel {
			lines = append(lines, fmt.Sprint(e.Level, " ", e.Data["reason"]))
		}
	}
	if diff := cmp.Diff([]string{"warning pool exhausted: 192.0.2.0/24"}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// TestInfrastructure has a pool that holds the server and a router: neither is
// given out, each is named once.
func TestInfrastructure(t *testing.T) {
	t.Parallel()
	b := newBench(t, "subnet=192.0.2.0/24,router:192.0.2.2,pool:192.0.2.1-192.0.2.3")
	got := []string{b.say(one, discover), b.say(two, discover), b.say(one, discover)}
	if diff := cmp.Diff([]string{"OFFER 192.0.2.3", "silence", "OFFER 192.0.2.3"}, got); diff != "" {
		t.Error(diff)
	}
	var lines []string
	for _, e := range b.log.AllEntries() {
		if strings.HasPrefix(e.Message, "pool ") {
			lines = append(lines, e.Message)
		}
	}
	want := []string{
		"pool 192.0.2.1-192.0.2.3 holds 192.0.2.2, the address of the server or of a router: it is not given out",
		"pool 192.0.2.1-192.0.2.3 holds 192.0.2.1, the address of the server or of a router: it is not given out",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// TestRestart has a lease that is there again after a restart with the pool
// moved: the server starts, warns and gives out the new pool.
func TestRestart(t *testing.T) {
	t.Parallel()
	b := newBench(t, netWords)
	b.dora(one)
	b.p.Stop()
	b = open(t, b.file, netWords)
	if got := b.say(one, request, ciaddr("192.0.2.200")); got != "NAK" {
		t.Errorf("renewal after a restart: %s", got)
	}
	if got := b.dora(two); got != "ACK 192.0.2.201" {
		t.Errorf("another client after a restart: %s", got)
	}
	b.p.Stop()
	b = open(t, b.file, "subnet=198.51.100.0/24,pool:198.51.100.10-198.51.100.19")
	var warnings int
	for _, e := range b.log.AllEntries() {
		if e.Level == logrus.WarnLevel && strings.Contains(e.Message, "192.0.2.20") {
			warnings++
		}
	}
	if warnings != 2 {
		t.Errorf("%d warnings about leases outside the pools, want 2", warnings)
	}
	if got := b.dora(one); got != "ACK 198.51.100.10" {
		t.Errorf("after the pool moved: %s", got)
	}
}

// TestPanic has a handler that panics: the packet is dropped and shown.
func TestPanic(t *testing.T) {
	t.Parallel()
	b := newBench(t, netWords)
	b.plugin.networks = nil
	b.plugin.place = nil
	b.plugin.leases = nil
	if got := b.say(one, release, ciaddr("192.0.2.200")); got != "silence" {
		t.Errorf("%s", got)
	}
	if e := b.log.LastEntry(); e.Level != logrus.ErrorLevel || !strings.HasPrefix(e.Message, "packet dropped after a panic\n") {
		t.Errorf("log: %v %s", e.Level, e.Message)
	}
}

// FuzzHandler4 takes octets from the wire through the handler to octets on the
// wire: nothing panics, and nobody is given an address outside the pool.
func FuzzHandler4(f *testing.F) {
	for _, with := range [][]dhcpv4.Modifier{
		nil,
		{raw(93, 7)},
		{raw(77, 200, 'i')},
		{raw(82, 5, 9, 1)},
		{raw(50, 1), raw(54, 1)},
		{pxe(7)},
		{requested("192.0.2.200")},
		{server(self), requested("192.0.2.200")},
		{ciaddr("192.0.2.200")},
		{relay("198.51.100.1")},
		{relay("192.0.2.9"), raw(82, 11, 4, 192, 0, 2, 9)},
	} {
		for _, kind := range []dhcpv4.MessageType{discover, request, inform, release} {
			f.Add(dhcptest.Request4(f, one, kind, with...).ToBytes())
		}
	}
	b := newBench(f, netWords)
	f.Fuzz(func(t *testing.T, octets []byte) {
		req, err := dhcpv4.FromBytes(octets)
		if err != nil {
			return
		}
		prepared, ok := dhcptest.Prepare4(req)
		if !ok {
			return
		}
		dhcptest.ServerID(self)(req, prepared)
		b.log.Reset()
		reply, ended := b.handle(req, prepared)
		if e := b.log.LastEntry(); e.Data["panic"] != nil {
			t.Fatalf("panic: %v\n%s", e.Data["panic"], e.Message)
		}
		if !ended {
			t.Error("passed on")
		}
		if reply == nil {
			return
		}
		reply = dhcptest.Parse4(t, reply.ToBytes())
		if got := reply.YourIPAddr.String(); got != "0.0.0.0" && got != "192.0.2.200" && got != "192.0.2.201" {
			t.Errorf("address %s", got)
		}
	})
}

// BenchmarkHandshake4 has new clients go through DISCOVER and REQUEST, each
// lease on disk before its ACK.
func BenchmarkHandshake4(b *testing.B) {
	bench := newBench(b, "subnet=10.0.0.0/8,pool:10.1.0.0-10.254.0.0")
	bench.plugin.log.Logger.SetLevel(logrus.WarnLevel)
	b.SetParallelism(64)
	b.ReportAllocs()
	began := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if got := bench.dora(randomMAC()); !strings.HasPrefix(got, "ACK") {
				b.Error(got)
			}
		}
	})
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "leases/s")
}

func randomMAC() string {
	n := rand.Uint32()
	return net.HardwareAddr{2, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}.String()
}

package bootloop

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/coredhcp/coredhcp/handler"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
)

// bench6 is a plugin in server6 under test with its log.
type bench6 struct {
	tb     testing.TB
	plugin *handler6
	log    *logtest.Hook
	p      *process.Process
	file   string
}

func newBench6(tb testing.TB, words string) bench6 {
	tb.Helper()
	return open6(tb, filepath.Join(tb.TempDir(), "leases.db"), words)
}

func open6(tb testing.TB, file, words string) bench6 {
	tb.Helper()
	c, err := parse(strings.Fields("lease_file="+file+" "+words), true)
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
	return bench6{tb, newHandler6(s), hook, p, file}
}

const (
	netWords6 = "subnet=2001:db8::/64,pool:2001:db8::1000-2001:db8::1001"
	self6     = "02:00:00:00:01:00" // whose DUID-LL is the server's

	solicit = dhcpv6.MessageTypeSolicit
	asks    = dhcpv6.MessageTypeRequest
	renew   = dhcpv6.MessageTypeRenew
	rebind  = dhcpv6.MessageTypeRebind
	confirm = dhcpv6.MessageTypeConfirm
	leaves  = dhcpv6.MessageTypeRelease
	decline = dhcpv6.MessageTypeDecline
	informs = dhcpv6.MessageTypeInformationRequest
)

// Short names of the kit.
var (
	na  = dhcptest.NA
	own = dhcpv6.WithServerID(dhcptest.LL(self6))
)

func (b bench6) handle(from process.Origin) handler.Handler6 {
	return func(req, resp dhcpv6.DHCPv6) (dhcpv6.DHCPv6, bool) { return b.plugin.Handle(req, resp, from) }
}

// pass takes a message through the chain and says in words what comes of it.
func (b bench6) pass(req dhcpv6.DHCPv6, from process.Origin, earlier ...handler.Handler6) string {
	b.tb.Helper()
	chain := append([]handler.Handler6{dhcptest.ServerID6(dhcptest.LL(self6))}, earlier...)
	reply, ended := dhcptest.Exchange6(b.tb, req, append(chain, b.handle(from))...)
	if !ended {
		b.tb.Error("a message was passed on: bootloop is the end of the chain")
	}
	return words6(b.tb, reply)
}

// say is pass for a message of a client that asks directly.
func (b bench6) say(mac string, kind dhcpv6.MessageType, with ...dhcpv6.Modifier) string {
	b.tb.Helper()
	return b.pass(dhcptest.Request6(b.tb, mac, kind, with...), process.Origin{})
}

// words6 says in words what a reply gives: kind, status, and of each IA its
// IAID, addresses with valid lifetime, and status.
func words6(tb testing.TB, reply dhcpv6.DHCPv6) string {
	tb.Helper()
	if reply == nil {
		return "silence"
	}
	m, err := reply.GetInnerMessage()
	if err != nil {
		tb.Fatal(err)
	}
	words := []string{m.MessageType.String()}
	for _, o := range m.Options.Options {
		switch o := o.(type) {
		case *dhcpv6.OptStatusCode:
			words = append(words, o.StatusCode.String())
		case *dhcpv6.OptIANA:
			words = append(words, ia6("", o.IaId, o.Options.Options, o.Options.Status()))
		case *dhcpv6.OptIATA:
			words = append(words, ia6("TA", o.IaId, o.Options.Options, o.Options.Status()))
		case *dhcpv6.OptIAPD:
			words = append(words, ia6("PD", o.IaId, nil, o.Options.Status()))
		}
	}
	return strings.Join(words, " ")
}

func ia6(kind string, iaid [4]byte, options dhcpv6.Options, status *dhcpv6.OptStatusCode) string {
	var parts []string
	for _, o := range options {
		if a, ok := o.(*dhcpv6.OptIAAddress); ok {
			parts = append(parts, fmt.Sprintf("%v/%v", a.IPv6Addr, a.ValidLifetime))
		}
	}
	if status != nil {
		parts = append(parts, status.StatusCode.String())
	}
	return fmt.Sprintf("%s%d=%s", kind, iaid[3], strings.Join(parts, ","))
}

// lease takes a client with one IA through the handshake.
func (b bench6) lease(mac string, with ...dhcpv6.Modifier) string {
	b.tb.Helper()
	advertised := b.say(mac, solicit, append(with, na(1))...)
	_, address, ok := strings.Cut(advertised, " 1=")
	if !ok {
		return advertised
	}
	address, _, _ = strings.Cut(address, "/")
	return b.say(mac, asks, append(with, own, na(1, address))...)
}

// A step is what a message comes to, and what it should.
type step struct{ got, want string }

func check(t *testing.T, steps ...step) {
	t.Helper()
	for i, s := range steps {
		if s.got != s.want {
			t.Errorf("step %d: %s, want %s", i, s.got, s.want)
		}
	}
}

// TestHandshake6 has the rows of the protocol's table on one pool of two
// addresses, in the order in which they happen.
func TestHandshake6(t *testing.T) {
	t.Parallel()
	b := newBench6(t, netWords6)
	check(
		t,
		step{b.say(one, solicit, na(1)), "ADVERTISE 1=2001:db8::1000/5m0s"},
		step{b.say(one, solicit, na(1, "2001:db8::77")), "ADVERTISE 1=2001:db8::1000/5m0s"},
		step{b.say(one, asks, own, na(1, "2001:db8::1000")), "REPLY 1=2001:db8::1000/5m0s"},
		step{b.say(one, asks, own, na(1, "2001:db8::1000")), "REPLY 1=2001:db8::1000/5m0s"},
		step{b.say(one, asks, own, na(1, "2001:db8::1001")), "REPLY 1=2001:db8::1000/5m0s"},
		step{b.say(one, renew, own, na(1, "2001:db8::1000")), "REPLY 1=2001:db8::1000/0s"},
		step{b.say(one, solicit, na(1)), "ADVERTISE 1=2001:db8::1000/5m0s"},
		step{b.say(one, rebind, na(1, "2001:db8::1000")), "REPLY 1=2001:db8::1000/0s"},
		step{b.say(two, renew, own, na(1, "2001:db8::1000")), "REPLY 1=2001:db8::1000/0s"},
		step{b.say(two, rebind, na(1, "2001:db8:7::7")), "REPLY 1=2001:db8:7::7/0s"},
		step{b.say(two, rebind, na(1, "2001:db8::77")), "silence"},
		step{b.say(two, renew, own, na(1, "2001:db8::77")), "REPLY 1=NoBinding"},
		step{b.say(two, renew, own, na(1)), "REPLY 1=NoBinding"},
		step{b.say(two, asks, own, na(7)), "REPLY 7=2001:db8::1001/5m0s"},
		step{b.say(two, asks, own, na(8)), "REPLY 8=NoAddrsAvail"},
		step{b.say(three, solicit, na(1)), "ADVERTISE 1=NoAddrsAvail"},
		step{b.say(three, asks, own, na(1, "2001:db8::1001")), "REPLY 1=NoAddrsAvail"},
		step{b.say(three, leaves, own, na(1, "2001:db8::1001")), "REPLY Success 1=NoBinding"},
		step{b.say(two, leaves, own, na(7, "2001:db8::1001")), "REPLY Success"},
		step{b.say(two, leaves, own, na(7, "2001:db8::1001")), "REPLY Success 7=NoBinding"},
		step{b.lease(three), "REPLY 1=2001:db8::1001/5m0s"},
		step{b.say(three, decline, own, na(1, "2001:db8::1001")), "REPLY Success"},
		step{b.say(two, solicit, na(1)), "ADVERTISE 1=NoAddrsAvail"}, // the declined one is in quarantine
		step{b.say(two, confirm, na(1, "2001:db8::77")), "REPLY Success"},
		step{b.say(two, confirm, na(1, "2001:db8::77"), na(2, "2001:db8:7::7")), "REPLY NotOnLink"},
		step{b.say(two, confirm, na(1)), "silence"},
		step{b.say(two, informs), "REPLY"},
		step{b.say(two, informs, na(1)), "silence"},
		step{b.say(two, solicit), "ADVERTISE"},
		step{b.say(two, asks, dhcpv6.WithServerID(dhcptest.LL(two)), na(1, "2001:db8::1001")), "silence"},
		step{b.say(two, solicit, own, na(1)), "silence"},
		step{b.say(two, asks, na(1)), "silence"},
	)
}

// TestSeveralIAs has a client with several IAs, of all kinds.
func TestSeveralIAs(t *testing.T) {
	t.Parallel()
	b := newBench6(t, "renew=ack "+netWords6)
	check(
		t,
		step{b.say(one, solicit, na(1), na(2), na(3), dhcptest.TA(4), dhcptest.PD(5)), "ADVERTISE 1=2001:db8::1000/5m0s 2=2001:db8::1001/5m0s 3=NoAddrsAvail TA4=NoAddrsAvail PD5=NoPrefixAvail"},
		step{b.say(one, asks, own, na(1, "2001:db8::1000"), na(2, "2001:db8::1001")), "REPLY 1=2001:db8::1000/5m0s 2=2001:db8::1001/5m0s"},
		step{b.say(one, renew, own, na(2, "2001:db8::1001", "2001:db8::1000"), na(1, "2001:db8::1000")), "REPLY 2=2001:db8::1001/5m0s,2001:db8::1000/0s 1=2001:db8::1000/5m0s"},
		step{b.say(one, renew, own, na(2, "2001:db8::1001"), na(3, "2001:db8::77")), "REPLY 2=2001:db8::1001/5m0s 3=NoBinding"},
		step{b.say(one, leaves, own, na(1, "2001:db8::1000"), na(3, "2001:db8::1000")), "REPLY Success 3=NoBinding"},
		step{b.say(one, rebind, na(1, "2001:db8::1000"), na(2, "2001:db8::1001")), "REPLY 1=2001:db8::1000/0s 2=2001:db8::1001/5m0s"},
	)
}

// through takes a message of a client through a relay in a network.
func (b bench6) through(link, mac string, kind dhcpv6.MessageType, with ...dhcpv6.Modifier) string {
	b.tb.Helper()
	req := dhcptest.Request6(b.tb, mac, kind, with...)
	return b.pass(dhcptest.Through(b.tb, req, link, "fe80::1"), process.Origin{})
}

// TestNetworks6 has two networks with pools behind relays and a direct client.
func TestNetworks6(t *testing.T) {
	t.Parallel()
	b := newBench6(t, "renew=ack subnet=2001:db8::/64,pool:2001:db8::1000-2001:db8::1000,pool:2001:db8::2000-2001:db8::2000 subnet=2001:db8:1::/64,pool:2001:db8:1::1000-2001:db8:1::1001 subnet=2001:db8:2::/64")
	here := process.Origin{Networks: []netip.Prefix{netip.MustParsePrefix("fe80::1/64"), netip.MustParsePrefix("2001:db8::1/64")}}
	direct := func(mac string, kind dhcpv6.MessageType, with ...dhcpv6.Modifier) string {
		return b.pass(dhcptest.Request6(t, mac, kind, with...), here)
	}
	far := "2001:db8:1::1"
	check(
		t,
		step{direct(one, asks, own, na(1)), "REPLY 1=2001:db8::1000/5m0s"},
		step{b.through("2001:db8::9", two, asks, own, na(1)), "REPLY 1=2001:db8::2000/5m0s"}, // the second pool of the network
		step{direct(three, solicit, na(1)), "ADVERTISE 1=NoAddrsAvail"},
		step{b.through(far, three, asks, own, na(1)), "REPLY 1=2001:db8:1::1000/5m0s"},
		step{b.through(far, two, asks, own, na(1, "2001:db8::2000")), "REPLY 1=2001:db8:1::1001/5m0s"}, // it moved
		step{direct(two, renew, own, na(1, "2001:db8:1::1001")), "REPLY 1=2001:db8:1::1001/0s"},        // and back
		step{b.through(far, one, solicit, na(1)), "ADVERTISE 1=NoAddrsAvail"},                          // exhausted, and it keeps what it has
		step{direct(one, solicit, na(1)), "ADVERTISE 1=2001:db8::1000/5m0s"},
		step{b.through("2001:db8:9::1", one, solicit, na(1)), "ADVERTISE 1=NoAddrsAvail"},
		step{b.through("2001:db8:2::1", one, solicit, na(1)), "ADVERTISE 1=NoAddrsAvail"}, // a network without a pool
		step{b.through("2001:db8:9::1", one, confirm, na(1, "2001:db8:9::7")), "silence"},
		step{direct(one, confirm, na(1, "2001:db8::1000")), "REPLY Success"},
		step{direct(one, confirm, na(1, "2001:db8:1::1000")), "REPLY NotOnLink"},
	)
	// The server's and the relay's own addresses are never given out.
	for _, a := range []string{"2001:db8::1", "2001:db8:1::1", "2001:db8::9", "2001:db8::", "2001:db8:1::"} {
		if !b.plugin.infra.taken(netip.MustParseAddr(a)) {
			t.Errorf("%s would be given out", a)
		}
	}
}

// TestOnlyNetwork6 has a network that is the only one: who asks directly is of
// it, wherever the request is received.
func TestOnlyNetwork6(t *testing.T) {
	t.Parallel()
	b := newBench6(t, netWords6)
	elsewhere := process.Origin{Networks: []netip.Prefix{netip.MustParsePrefix("2001:db8:9::1/64")}}
	check(
		t,
		step{b.pass(dhcptest.Request6(t, one, solicit, na(1)), elsewhere), "ADVERTISE 1=2001:db8::1000/5m0s"},
		step{b.through("2001:db8::9", one, solicit, na(1)), "ADVERTISE 1=2001:db8::1000/5m0s"},
		step{b.through("::", one, solicit, na(1)), "ADVERTISE 1=2001:db8::1000/5m0s"}, // a relay in a switch, RFC 6221
		step{b.through("2001:db8:9::9", one, solicit, na(1)), "ADVERTISE 1=NoAddrsAvail"},
	)
}

// TestClaimed6 has SMD assign addresses of the pool: they are not handed out,
// and a stranger that has one is moved to another.
func TestClaimed6(t *testing.T) {
	t.Parallel()
	for _, renewal := range []string{"nak", "ack"} {
		b := newBench6(t, "subnet=2001:db8::/64,pool:2001:db8::1000-2001:db8::1002 renew="+renewal)
		var claimed atomic.Value
		claimed.Store("2001:db8::1000")
		b.p.Claim(func(a netip.Addr) bool { return a.String() == claimed.Load() })
		got := []string{b.lease(one)}
		claimed.Store("2001:db8::1001")
		got = append(got, b.say(one, renew, own, na(1, "2001:db8::1001")), b.say(one, asks, own, na(1, "2001:db8::1001")), b.say(two, solicit, na(1)))
		claimed.Store("2001:db8::1002")
		got = append(got, b.say(one, asks, own, na(1, "2001:db8::1002")))
		want := []string{"REPLY 1=2001:db8::1001/5m0s", "REPLY 1=2001:db8::1001/0s", "REPLY 1=2001:db8::1002/5m0s", "ADVERTISE 1=NoAddrsAvail", "REPLY 1=NoAddrsAvail"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("renew=%s (-want +got):\n%s", renewal, diff)
		}
	}
}

// TestInventoryNeverLoaded6: holders go on, nothing new is given, and nobody is
// told that an address is not his.
func TestInventoryNeverLoaded6(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ unsynced, renewal, solicit, asks string }{
		{"wait", "REPLY 1=2001:db8::1000/0s", "silence", "silence"},
		{"offer", "REPLY 1=2001:db8::1000/0s", "ADVERTISE 1=2001:db8::1001/5m0s", "REPLY 1=2001:db8::1001/5m0s"},
	} {
		b := newBench6(t, netWords6+" unsynced="+c.unsynced)
		b.lease(one)
		b.say(three, solicit, na(1))
		b.p.StrangersUnknown.Store(true)
		rapid := dhcptest.Raw6(dhcpv6.OptionRapidCommit)
		check(
			t,
			step{b.say(one, solicit, na(1)), "ADVERTISE 1=2001:db8::1000/5m0s"},
			step{b.say(one, renew, own, na(1, "2001:db8::1000")), c.renewal},
			step{b.say(two, renew, own, na(1, "2001:db8::1000")), "silence"},
			step{b.say(two, rebind, na(1, "2001:db8:9::1")), "silence"},
			step{b.say(three, asks, own, na(1, "2001:db8::1001")), "REPLY 1=2001:db8::1001/5m0s"}, // the offer is from before
			step{b.say(three, leaves, own, na(1, "2001:db8::1001")), "REPLY Success"},
			step{b.say(two, solicit, na(1)), c.solicit},
			step{b.say(two, solicit, rapid, na(1)), c.asks},
			step{b.say(two, asks, own, na(1)), c.asks},
		)
	}
}

// TestRapidCommit has a client that takes a Reply at once: with an address the
// lease is on disk, without one there is nothing to commit.
func TestRapidCommit(t *testing.T) {
	t.Parallel()
	b := newBench6(t, "renew=ack subnet=2001:db8::/64,pool:2001:db8::1000-2001:db8::1000")
	rapid := dhcptest.Raw6(dhcpv6.OptionRapidCommit)
	refused := dhcptest.Earlier6(func(d dhcpv6.DHCPv6) { // as coresmd passes a stranger on
		d.(*dhcpv6.Message).MessageType = dhcpv6.MessageTypeAdvertise
		ia := &dhcpv6.OptIANA{IaId: [4]byte{0, 0, 0, 1}}
		ia.Options.Add(&dhcpv6.OptStatusCode{StatusCode: iana.StatusNoAddrsAvail})
		d.AddOption(ia)
	})
	check(
		t,
		step{b.pass(dhcptest.Request6(t, one, solicit, rapid, na(1)), process.Origin{}, refused), "REPLY 1=2001:db8::1000/5m0s"},
		step{b.say(one, renew, own, na(1, "2001:db8::1000")), "REPLY 1=2001:db8::1000/5m0s"},
		step{b.say(two, solicit, rapid, na(1)), "ADVERTISE 1=NoAddrsAvail"},
	)
}

// TestEarlierPlugins6: what an earlier plugin gave is left as it is, what it
// refused is replaced.
func TestEarlierPlugins6(t *testing.T) {
	t.Parallel()
	b := newBench6(t, netWords6)
	delegated := dhcptest.Earlier6(func(d dhcpv6.DHCPv6) {
		pd := &dhcpv6.OptIAPD{IaId: [4]byte{0, 0, 0, 9}}
		pd.Options.Add(&dhcpv6.OptIAPrefix{PreferredLifetime: time.Hour, ValidLifetime: time.Hour})
		d.AddOption(pd)
	})
	given := dhcptest.Earlier6(func(d dhcpv6.DHCPv6) { // as CoreDHCP's file does
		ia := &dhcpv6.OptIANA{IaId: [4]byte{0, 0, 0, 1}}
		ia.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP("2001:db8::77"), PreferredLifetime: time.Hour, ValidLifetime: time.Hour})
		d.AddOption(ia)
	})
	check(
		t,
		step{b.pass(dhcptest.Request6(t, one, solicit, na(1), na(2)), process.Origin{}, given), "ADVERTISE 1=2001:db8::77/1h0m0s 2=2001:db8::1000/5m0s"},
		step{b.pass(dhcptest.Request6(t, one, asks, own, na(1)), process.Origin{}, given), "REPLY 1=2001:db8::77/1h0m0s"},
		step{b.pass(dhcptest.Request6(t, one, rebind, dhcptest.PD(9)), process.Origin{}, delegated), "REPLY PD9="},
		step{b.say(one, rebind, dhcptest.PD(9)), "silence"},
	)
}

// TestRestart6 has leases that are there again after a restart.
func TestRestart6(t *testing.T) {
	t.Parallel()
	b := newBench6(t, "renew=ack "+netWords6)
	b.lease(one)
	b.p.Stop()
	b = open6(t, b.file, "renew=ack "+netWords6)
	check(
		t,
		step{b.say(one, renew, own, na(1, "2001:db8::1000")), "REPLY 1=2001:db8::1000/5m0s"},
		step{b.lease(two), "REPLY 1=2001:db8::1001/5m0s"},
	)
}

// TestBothFamilies has directives in server6 and server4 that name one lease
// file, and what is shown of their leases.
func TestBothFamilies(t *testing.T) {
	t.Parallel()
	b := newBench6(t, netWords6)
	c, err := parse(strings.Fields("lease_file="+b.file+" "+netWords), false)
	if err != nil {
		t.Fatal(err)
	}
	s, err := start(c, b.p, b.plugin.log)
	if err != nil {
		t.Fatal(err)
	}
	four := bench{t, newHandler4(s), b.log, b.p, b.file}
	check(
		t,
		step{four.dora(two), "ACK 192.0.2.200"},
		step{b.lease(one), "REPLY 1=2001:db8::1000/5m0s"},
		step{b.pass(nobody(t), process.Origin{}), "REPLY 2=2001:db8::1001/5m0s"},
	)
	var got []string
	view, _ := process.Find[status.LeaseView](b.p, status.PublishedLeases)
	pools := view(func(l status.Lease) {
		got = append(got, strings.Join([]string{l.Address, l.MAC, l.DUID, l.IAID, l.Pool}, " "))
	})
	for _, p := range pools {
		got = append(got, fmt.Sprintf("%s of %s: %d of %d", p.Range, p.Network, p.Leased, p.Size))
	}
	want := []string{
		"192.0.2.200 02:00:00:00:00:02   192.0.2.200-192.0.2.201",
		"2001:db8::1000 02:00:00:00:00:01 00:03:00:01:02:00:00:00:00:01 00000001 2001:db8::1000-2001:db8::1001",
		"2001:db8::1001  00:04:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:07 00000002 2001:db8::1000-2001:db8::1001",
		"192.0.2.200-192.0.2.201 of 192.0.2.0/24: 1 of 2",
		"2001:db8::1000-2001:db8::1001 of 2001:db8::/64: 2 of 2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("leases and pools (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]float64{"192.0.2.200-192.0.2.201": 1, "2001:db8::1000-2001:db8::1001": 2}, leasedOf(t, b.p)); diff != "" {
		t.Errorf("metric of leased addresses (-want +got):\n%s", diff)
	}
}

// nobody is the Request of a client whose hardware address nobody tells.
func nobody(t *testing.T) dhcpv6.DHCPv6 {
	t.Helper()
	m := dhcptest.Request6(t, one, asks, own, na(2))
	m.UpdateOption(dhcpv6.OptClientID(&dhcpv6.DUIDUUID{UUID: [16]byte{15: 7}}))
	return dhcptest.Parse6(t, m.ToBytes())
}

// leasedOf is the metric of leased addresses by pool.
func leasedOf(t *testing.T, p *process.Process) map[string]float64 {
	t.Helper()
	families, err := p.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	leased := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if labels := m.GetLabel(); f.GetName() == "bootloop_pool_addresses" && labels[1].GetValue() == "leased" {
				leased[labels[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	return leased
}

package test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// The addresses of IPv6 of every site.
var (
	serverIP6   = netip.MustParseAddr("2001:db8::1")
	relayIP6    = netip.MustParseAddr("2001:db8::2")
	farGateway6 = netip.MustParseAddr("2001:db8:1::1")
	dns6        = netip.MustParseAddr("2001:db8::53")
)

// A site6 is a site whose clients use IPv6. SMD is reached as ever.
type site6 struct {
	*looped
	duid string // of the server, as server_id takes it
}

func newSite6(t *testing.T) *site6 {
	t.Helper()
	s := &site6{newLooped(t), "LL 02:00:00:00:01:00"}
	s.server.IP("addr", "add", serverIP6.String()+"/64", "dev", "eth0", "nodad")
	return s
}

// config6 is a configuration of DHCPv6 with directives of plugins behind server_id and dns.
func (s *site6) config6(directives ...string) string {
	text := `server6:
  listen:
    - "[ff02::1:2%eth0]:547"
    - "[2001:db8::1]:547"
  plugins:
    - server_id: ` + s.duid + `
    - dns: 2001:db8::53
`
	for _, d := range directives {
		text += "    - " + d + "\n"
	}
	return text
}

// loop6 is a directive of bootloop in server6.
func (s *site6) loop6(words ...string) string {
	return "bootloop: lease_file=" + s.file + " " + strings.Join(words, " ")
}

// run6 starts the server for DHCPv6 alone.
func (s *site6) run6(directives ...string) *dhcptest.Process {
	s.t.Helper()
	return dhcptest.StartCoreDHCP6(s.server, dhcptest.CoreDHCPBinary(s.t), s.config6(directives...))
}

// host6 plugs a machine with one interface into a wire. It may use its addresses at once.
func (s *site6) host6(wire *dhcptest.Wire, mac int) *dhcptest.Namespace {
	s.t.Helper()
	ns := s.net.Namespace(fmt.Sprintf("six%x", mac))
	ns.QuickDAD()
	ns.Attach(wire, "eth0", dhcptest.MAC(mac))
	return ns
}

// farSite6 adds a second network behind a relay, and returns its wire.
func (s *site6) farSite6(flags ...string) *dhcptest.Wire {
	s.t.Helper()
	far := s.net.Wire("far")
	relay := s.net.Namespace("relay")
	relay.QuickDAD()
	relay.Attach(far, "eth0", dhcptest.MAC(0x200), netip.PrefixFrom(farGateway6, 64))
	relay.Attach(s.lan, "eth1", dhcptest.MAC(0x201), netip.PrefixFrom(relayIP6, 64))
	relay.Forward6()
	s.server.IP("-6", "route", "add", "2001:db8:1::/48", "via", relayIP6.String())
	dhcptest.StartDhcrelay6(relay, "eth0", "eth1", serverIP6, flags...)
	return far
}

// fartherSite6 adds a third network behind a relay in the second, and returns its wire.
func (s *site6) fartherSite6(far *dhcptest.Wire) *dhcptest.Wire {
	s.t.Helper()
	farther := s.net.Wire("farther")
	relay := s.net.Namespace("relay2")
	relay.QuickDAD()
	relay.Attach(farther, "eth0", dhcptest.MAC(0x210), netip.MustParsePrefix("2001:db8:1:1::1/64"))
	relay.Attach(far, "eth1", dhcptest.MAC(0x211), netip.MustParsePrefix("2001:db8:1::2/64"))
	dhcptest.StartDhcrelay6(relay, "eth0", "eth1", netip.MustParseAddr("ff02::1:2"))
	return farther
}

// lease6 is what a machine is to be given with an address and a lease time.
func lease6(addr string, leaseTime time.Duration) dhcptest.Bound6 {
	return dhcptest.Bound6{
		Addr: netip.MustParseAddr(addr), Preferred: leaseTime, Valid: leaseTime,
		T1: leaseTime / 2, T2: leaseTime * 4 / 5, DNS: []netip.Addr{dns6},
	}
}

// compare6 reports how a lease differs from the one wanted.
func compare6(t *testing.T, want, got dhcptest.Bound6) {
	t.Helper()
	if diff := dhcptest.DiffBound6(want, got); diff != "" {
		t.Errorf("lease (-want +got):\n%s", diff)
	}
}

// A kind6 is a DHCPv6 client that distributions ship.
type kind6 struct {
	name  string
	start func(*dhcptest.Namespace, string) *dhcptest.Client6
}

func kinds6() []kind6 {
	return []kind6{{"dhclient", dhcptest.StartDhclient6}, {"dhcpcd", dhcptest.StartDhcpcd6}}
}

package test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// smd6 is a directive of coresmd in server6.
func (s *site6) smd6(more ...string) string { return "coresmd: " + s.words(more...) }

// nodeLease6 is what a node with this NID is to be given with an address, one hour long.
func nodeLease6(nid int, addr string) dhcptest.Bound6 {
	b := lease6(addr, time.Hour)
	b.FQDN = fmt.Sprintf("nid%04d", nid)
	return b
}

// Every client, as distributions ship it, ends with SMD's address of its family and the
// whole set of options.
func TestClientsBind6(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	for i := range 3 {
		s.addNode(i+1, fmt.Sprintf("192.0.2.%d", 11+i), fmt.Sprintf("2001:db8::%x", 0x11+i))
	}
	s.run6(s.smd6(), s.loop6(pool6))
	for i, k := range kinds6() {
		client := k.start(s.host6(s.lan, i+1), "eth0")
		compare6(t, nodeLease6(i+1, fmt.Sprintf("2001:db8::%x", 0x11+i)), client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
	}
	third := s.host6(s.lan, 3)
	dhcptest.StartNetworkd(third, "eth0")
	third.WaitAddr6("eth0", netip.MustParseAddr("2001:db8::13"), dhcptest.BindTimeout)
}

// Behind a relay, and behind a relay behind that, a node has its address of the network that
// it is in, whatever else SMD holds for it.
func TestRelay6(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"plain": nil, "interface-id": {"-I"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite6(t)
			far := s.farSite6(flags...)
			farther := s.fartherSite6(far)
			for n := range 3 {
				s.addNode(n+1, fmt.Sprintf("2001:db8::1%d", n+1), fmt.Sprintf("2001:db8:1::1%d", n+1), fmt.Sprintf("2001:db8:1:1::1%d", n+1))
			}
			s.run6(s.smd6("subnet=2001:db8::/64", "subnet=2001:db8:1::/64", "subnet=2001:db8:1:1::/64"))
			for i, wire := range []*dhcptest.Wire{s.lan, far, farther} {
				k := kinds6()[i%len(kinds6())]
				client := k.start(s.host6(wire, i+1), "eth0")
				want := []string{"2001:db8::11", "2001:db8:1::12", "2001:db8:1:1::13"}[i]
				compare6(t, nodeLease6(i+1, want), client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
			}
		})
	}
}

// A stranger has a temporary address. It is posted to SMD, and its next Renew brings SMD's
// address in the place of that, without a restart.
func TestNewNode6(t *testing.T) {
	t.Parallel()
	for _, k := range kinds6() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			s := newSite6(t)
			dhcp := s.run6(s.smd6(), s.loop6("lease_time=20s", pool6))
			dhcp.WaitLog(`level=info.*inventory of`, takesUp)
			host := s.host6(s.lan, 1)
			client := k.start(host, "eth0")
			compare6(t, lease6("2001:db8::1000", 20*time.Second), client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
			s.addNode(1, "2001:db8::11")
			dhcp.WaitLog(`msg=REPLY .*ip="2001:db8::11".*message=RENEW`, 40*time.Second)
			host.WaitAddr6("eth0", netip.MustParseAddr("2001:db8::11"), 30*time.Second)
		})
	}
}

// A node whose address SMD changes has the new one after its next Renew, and not the old one
// any more.
func TestChangedAddress6(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	s.addNode(1, "2001:db8::11")
	s.run6(strings.Replace(s.smd6(), "lease_time=1h", "lease_time=20s", 1))
	host := s.host6(s.lan, 1)
	client := dhcptest.StartDhcpcd6(host, "eth0")
	if got := client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout); got.Addr != netip.MustParseAddr("2001:db8::11") {
		t.Errorf("got %+v", got)
	}
	s.smd.PatchInterface(dhcptest.MAC(1).String(), dhcptest.IPs("2001:db8::21"))
	host.WaitAddr6("eth0", netip.MustParseAddr("2001:db8::21"), 40*time.Second)
}

// A node that moves to another network while it is off asks whether its address is still
// right. It is not, and it has its address of the new network.
func TestMovedNode6(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	far := s.farSite6()
	s.addNode(1, "2001:db8::11", "2001:db8:1::11")
	dhcp := s.run6(s.smd6("subnet=2001:db8::/64", "subnet=2001:db8:1::/64"))
	host := s.host6(s.lan, 1)
	client := dhcptest.StartDhclient6(host, "eth0")
	compare6(t, nodeLease6(1, "2001:db8::11"), client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
	client.WaitLog(`Bound to lease`, takesUp)
	client.Restart()
	compare6(t, nodeLease6(1, "2001:db8::11"), client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
	client.Stop()
	if line := grep(dhcp.Log(), "msg=REPLY .*message=CONFIRM"); line == "" || strings.Contains(line, "reason") {
		t.Errorf("its address was to be confirmed: %q", line)
	}
	host.IP("link", "del", "eth0")
	host.Attach(far, "eth0", dhcptest.MAC(1))
	client.Restart()
	compare6(t, nodeLease6(1, "2001:db8:1::11"), client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
	if line := grep(dhcp.Log(), "message=CONFIRM"); !strings.Contains(line, "not an address of the client's network: 2001:db8::11") {
		t.Errorf("the old address was not refused: %q", line)
	}
}

// A lease that a node gives back is given again: SMD's address is the node's for good.
func TestReleasedNode6(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	s.addNode(1, "2001:db8::11")
	dhcp := s.run6(s.smd6(), s.loop6(pool6))
	host := s.host6(s.lan, 1)
	for range 2 {
		client := dhcptest.StartDhclient6(host, "eth0")
		compare6(t, nodeLease6(1, "2001:db8::11"), client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
		mark := dhcp.Mark()
		client.Release6()
		dhcp.WaitLogSince(mark, `msg=REPLY .*message=RELEASE.*prefix="?plugins/coresmd`, takesUp)
	}
}

// Both families are served by one process from one inventory.
func TestBothFamilies(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	s.addNode(1, "192.0.2.11", "2001:db8::11")
	dhcp := dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t),
		s.chain(s.words(), "bootloop: lease_file="+s.file+" "+tenAddresses)+s.config6(s.smd6(), s.loop6(pool6)))
	dhcp.WaitLog(`level=info.*inventory of`, takesUp)
	known, stranger := s.host6(s.lan, 1), s.host6(s.lan, 2)
	compare6(t, nodeLease6(1, "2001:db8::11"), dhcptest.StartDhclient6(known, "eth0").WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
	compare(t, nodeLease(1, "192.0.2.11"), dhcptest.Udhcpc(known, "eth0", dhcptest.ClientOptions{}))
	compare6(t, lease6("2001:db8::1000", 5*time.Minute), dhcptest.StartDhcpcd6(stranger, "eth0").WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
	strange(t, dhcptest.Udhcpc(stranger, "eth0", dhcptest.ClientOptions{}))
	if n := countLines(dhcp.Log(), `level=info.*inventory of`); n != 1 {
		t.Errorf("the inventory was loaded %d times for two directives:\n%s", n, grep(dhcp.Log(), "inventory of"))
	}
}

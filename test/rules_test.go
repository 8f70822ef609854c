package test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// One process serves a network directly and two behind relays, each by rules of its own. A node
// that has an address in all of them gets the one of where it asks from.
func TestThreeNetworks(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	wires := map[string]*dhcptest.Wire{
		"192.0.2":    s.lan,
		"198.51.100": s.farNetwork("east", farGateway, netip.MustParseAddr("192.0.2.2")),
		"203.0.113":  s.farNetwork("west", netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("192.0.2.3")),
	}
	for n := 1; n <= 3; n++ {
		s.addNode(n, fmt.Sprintf("203.0.113.%d", 10+n), fmt.Sprintf("198.51.100.%d", 10+n), fmt.Sprintf("192.0.2.%d", 10+n))
	}
	s.addNode(4, "192.0.2.14") // not of the networks behind the relays
	dhcp := s.serve(s.words(
		"rule=name:lan,subnet:192.0.2.0/24,hostname:lan{04d}",
		"rule=name:east,subnet:198.51.100.0/24,hostname:east{04d},routers:198.51.100.1,dns:198.51.100.53",
		"rule=name:west,subnet:203.0.113.0/24,hostname:west{04d},routers:203.0.113.1,cidr:25",
	))
	want := func(network string, n int) dhcptest.Bound {
		b := lanLease(fmt.Sprintf("%s.%d", network, 10+n))
		switch network {
		case "192.0.2":
			b.Hostname = fmt.Sprintf("lan%04d", n)
		case "198.51.100":
			b.Hostname, b.Routers, b.DNS = fmt.Sprintf("east%04d", n), []netip.Addr{farGateway}, []netip.Addr{netip.MustParseAddr("198.51.100.53")}
		case "203.0.113":
			b.Hostname, b.Routers = fmt.Sprintf("west%04d", n), []netip.Addr{netip.MustParseAddr("203.0.113.1")}
			b.Addr = netip.PrefixFrom(b.Addr.Addr(), 25)
		}
		return b
	}
	clients := []func(*dhcptest.Namespace, string, dhcptest.ClientOptions) dhcptest.Bound{dhcptest.Udhcpc, dhcptest.Dhclient, dhcptest.Udhcpc}
	for network, wire := range wires {
		for i, bind := range clients {
			host := s.net.Namespace(fmt.Sprintf("h%d-%s", i+1, network))
			host.Attach(wire, "eth0", dhcptest.MAC(i+1))
			compare(t, want(network, i+1), bind(host, "eth0", dhcptest.ClientOptions{}))
		}
	}
	host := s.net.Namespace("h4")
	host.Attach(wires["198.51.100"], "eth0", dhcptest.MAC(4))
	dhcptest.StartUdhcpc(host, "eth0", dhcptest.ClientOptions{}).WaitEvent(dhcptest.EventFail, dhcptest.BindTimeout)
	dhcp.WaitLog(`msg="no reply" giaddr=198.51.100.1 .*mac="02:00:00:00:00:04" .*reason="no address of the client's network in SMD: relay address 198.51.100.1"`, takesUp)
}

// A machine that a rule ignores gets no answer at all: not from the plugin behind coresmd
// either. Its line in the log names the rule.
func TestIgnored(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.addNode(1, "192.0.2.11")
	s.addNode(2)
	s.addNode(3, "192.0.2.13")
	dhcp := s.serve(s.words("rule=name:not-these,id_set:x3000c0s[1-2]b0n0,ignore:true", "rule=hostname:nid{04d}"))
	for _, n := range []int{1, 2} {
		dhcptest.StartUdhcpc(s.host(n), "eth0", dhcptest.ClientOptions{}).WaitEvent(dhcptest.EventFail, dhcptest.BindTimeout)
		dhcp.WaitLog(fmt.Sprintf(`level=info .*msg="no reply" .*id=x3000c0s%db0n0 .*reason="ignored by a rule" rule=not-these`, n), takesUp)
	}
	compare(t, nodeLease(3, "192.0.2.13"), dhcptest.Udhcpc(s.host(3), "eth0", dhcptest.ClientOptions{}))
}

// A relay in no declared network is answered if the mask that SMD lists with an address of the
// node, or else that of a rule, holds both; else the node is named in the log and left alone.
func TestUndeclaredRelay(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	far := s.farSite()
	s.addNode(1, "198.51.100.11/24")
	s.addNode(2, "198.51.100.12")
	s.addNode(3, "203.0.113.13/24")
	s.serve(s.words("subnet=192.0.2.0/24", "rule=id:x3000c0s2b0n0,hostname:two,cidr:22"))
	bind := func(n int) *dhcptest.Client {
		host := s.net.Namespace(fmt.Sprintf("far%d", n))
		host.Attach(far, "eth0", dhcptest.MAC(n))
		return dhcptest.StartUdhcpc(host, "eth0", dhcptest.ClientOptions{})
	}
	for n, bits := range map[int]int{1: 24, 2: 22} {
		got := bind(n).WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
		if want := netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(10 + n)}), bits); got.Addr != want {
			t.Errorf("node %d: %v, want %v", n, got.Addr, want)
		}
	}
	bind(3).WaitEvent(dhcptest.EventFail, dhcptest.BindTimeout)
}

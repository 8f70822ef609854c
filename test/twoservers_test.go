package test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// The pools of two servers.
const (
	firstPool  = "192.0.2.200-192.0.2.219"
	secondPool = "192.0.2.220-192.0.2.239"
)

// pair is two servers with one identifier and one SMD.
type pair struct {
	*site
	other         *dhcptest.Namespace
	first, second *dhcptest.Process
}

// newPair starts the first one, which has the address that both answer for.
func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{site: newWiring(t)}
	ns := p.net.Namespace("smd")
	ns.Attach(p.lan, "eth0", dhcptest.MAC(0x110), netip.MustParsePrefix("192.0.2.5/24"))
	p.smd = dhcptest.StartSMD(t, database.get(t), dhcptest.SMDOptions{Namespace: ns, Listen: "192.0.2.5:27779"})
	p.server.IP("addr", "add", "192.0.2.2/24", "dev", "eth0")
	p.other = p.net.Namespace("other")
	p.other.Attach(p.lan, "eth0", dhcptest.MAC(0x101), netip.MustParsePrefix("192.0.2.3/24"))
	p.first = p.start(p.server, firstPool, secondPool)
	return p
}

// start starts a server with a pool of its own.
func (p *pair) start(ns *dhcptest.Namespace, ours, theirs string) *dhcptest.Process {
	return dhcptest.StartCoreDHCP(ns, dhcptest.CoreDHCPBinary(p.t), `server4:
  listen: ["%eth0"]
  plugins:
    - server_id: 192.0.2.1
    - netmask: 255.255.255.0
    - coresmd: svc_base_uri=`+p.smd.URL()+` ipxe_base_uri=http://192.0.2.5:8081 cache_valid=1s lease_time=1h snapshot_file=off tftp_dir=`+p.tftp+`
    - bootloop: lease_file=`+p.t.TempDir()+`/leases.db lease_time=30s renew=ack subnet=192.0.2.0/24,pool:`+ours+` peer_pool=`+theirs+"\n")
}

// takeOver moves the address from the first server's host to the second's, and tells the wire.
func (p *pair) takeOver() {
	p.server.IP("addr", "del", "192.0.2.1/24", "dev", "eth0")
	p.other.IP("addr", "add", "192.0.2.1/24", "dev", "eth0")
	p.other.Run("busybox", "arping", "-U", "-c", "1", "-I", "eth0", "192.0.2.1")
}

// noRefusal reports a client that one of the servers has refused.
func (p *pair) noRefusal() {
	p.t.Helper()
	for name, server := range map[string]*dhcptest.Process{"first": p.first, "second": p.second} {
		if lines := grep(server.Log(), `msg=NAK`); lines != "" {
			p.t.Errorf("the %s server refused:\n%s", name, lines)
		}
	}
}

// Two servers with one identifier serve one wire. One of them is killed while machines boot:
// each ends with a lease, of SMD's address if SMD knows it, and every lease goes on.
func TestTwoServers(t *testing.T) {
	t.Parallel()
	const known, strangers = 8, 8
	p := newPair(t)
	for n := 1; n <= known; n++ {
		p.addNode(n, fmt.Sprintf("192.0.2.%d", 10+n))
	}
	var hosts []*dhcptest.Namespace
	for n := 1; n <= known; n++ {
		hosts = append(hosts, p.host(n))
	}
	for n := range strangers {
		hosts = append(hosts, p.host(0x80+n))
	}
	early := []*dhcptest.Client{dhcptest.StartUdhcpc(p.host(0x60), "eth0", dhcptest.ClientOptions{}), dhcptest.StartUdhcpc(p.host(0x61), "eth0", dhcptest.ClientOptions{})}
	for _, c := range early {
		c.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout) // of the first server's pool
	}
	p.second = p.start(p.other, secondPool, firstPool)
	dhcptest.Udhcpc(p.host(0x70), "eth0", dhcptest.ClientOptions{})
	for _, server := range []*dhcptest.Process{p.first, p.second} {
		server.WaitLog(`msg=OFFER.*02:00:00:00:00:70`, 10*time.Second) // both hear the wire
	}
	p.noRefusal()

	clients := make([]*dhcptest.Client, len(hosts))
	for i, host := range hosts {
		clients[i] = dhcptest.StartUdhcpc(host, "eth0", dhcptest.ClientOptions{})
	}
	p.first.WaitLog(`msg=OFFER.*02:00:00:00:00:0`, 30*time.Second)
	p.first.Kill9()

	holder := make(map[netip.Addr]int)
	addrs := make([]netip.Addr, len(clients))
	for i, c := range clients {
		addr := c.WaitEvent(dhcptest.EventBound, time.Minute).Addr.Addr()
		if other, held := holder[addr]; held {
			t.Errorf("machines %d and %d both have %v", other, i, addr)
		}
		holder[addr], addrs[i] = i, addr
		want := netip.AddrFrom4([4]byte{192, 0, 2, byte(11 + i)})
		if i < known && addr != want || i >= known && !isTemporary(dhcptest.Bound{Addr: netip.PrefixFrom(addr, 24)}) {
			t.Errorf("machine %d has %v", i, addr)
		}
	}
	p.noRefusal()

	p.takeOver()
	for i, c := range clients {
		if i >= known && ofFirst(addrs[i]) {
			continue
		}
		c.Renew()
		if got := c.WaitEvent(dhcptest.EventRenew, dhcptest.BindTimeout).Addr.Addr(); got != addrs[i] {
			t.Errorf("machine %d renewed %v as %v", i, addrs[i], got)
		}
	}
	// Those of the first server's pool keep their addresses to the end, and then get others.
	for i, c := range clients[known:] {
		if ofFirst(addrs[known+i]) {
			early = append(early, c)
		}
	}
	for _, c := range early {
		if got := c.WaitEvent(dhcptest.EventBound, 90*time.Second).Addr.Addr(); ofFirst(got) {
			t.Errorf("a stranger got %v of the pool of the server that is gone", got)
		}
	}
	p.noRefusal()
}

// ofFirst tells whether a temporary address is of the first server's pool.
func ofFirst(addr netip.Addr) bool { return addr.As4()[3] < 220 }

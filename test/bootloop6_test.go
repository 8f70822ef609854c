package test

import (
	"database/sql"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// pool6 is the network of most of these tests.
const pool6 = "subnet=2001:db8::/64,pool:2001:db8::1000-2001:db8::1fff"

// Every client, as distributions ship it, has an address of the pool. At T1 its address is
// taken back, it asks anew, and has the same one again. systemd-networkd takes its lease in
// one exchange. Debian's busybox has no udhcpc6.
func TestStrangersBind6(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	dhcp := s.run6(s.loop6("lease_time=20s", pool6))
	given := map[netip.Addr]string{}
	for i, k := range kinds6() {
		client := k.start(s.host6(s.lan, i+1), "eth0")
		first := client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout)
		compare6(t, lease6(fmt.Sprintf("2001:db8::%x", 0x1000+i), 20*time.Second), first)
		given[first.Addr] = k.name
		compare6(t, first, client.WaitEvent(dhcptest.EventBound6, 30*time.Second))
		mac := dhcptest.MAC(i + 1).String()
		if log := grep(dhcp.Log(), mac); countLines(log, `msg=REPLY .*reason="renewal of a temporary lease`) == 0 {
			t.Errorf("%s: no renewal was refused:\n%s", k.name, log)
		}
	}
	third := s.host6(s.lan, 3)
	dhcptest.StartNetworkd(third, "eth0")
	third.WaitAddr6("eth0", netip.MustParseAddr("2001:db8::1002"), dhcptest.BindTimeout)
	if log := grep(dhcp.Log(), dhcptest.MAC(3).String()); countLines(log, `msg=REPLY .*message=SOLICIT`) != 1 || countLines(log, `message=REQUEST`) != 0 {
		t.Errorf("systemd-networkd: one exchange was to do:\n%s", log)
	}
}

// renew=ack: renewals are renewals, the client keeps its address.
func TestRenewAck6(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	s.run6(s.loop6("lease_time=10s renew=ack", pool6))
	for i, k := range kinds6() {
		client := k.start(s.host6(s.lan, i+1), "eth0")
		first := client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout)
		compare6(t, first, client.WaitEvent(dhcptest.EventRenew6, 15*time.Second))
	}
}

// Behind a relay, and behind a relay behind that, a stranger has an address of its own
// network.
func TestStrangersBehindRelays6(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	far := s.farSite6("-I")
	farther := s.fartherSite6(far)
	s.run6(s.loop6(pool6, "subnet=2001:db8:1::/64,pool:2001:db8:1::1000-2001:db8:1::1fff", "subnet=2001:db8:1:1::/64,pool:2001:db8:1:1::1000-2001:db8:1:1::1fff"))
	for i, wire := range []*dhcptest.Wire{s.lan, far, farther} {
		client := dhcptest.StartDhclient6(s.host6(wire, i+1), "eth0")
		want := []string{"2001:db8::1000", "2001:db8:1::1000", "2001:db8:1:1::1000"}[i]
		compare6(t, lease6(want, 5*time.Minute), client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
	}
}

// A client that is killed and that finds its lease again asks whether it is still of this
// network. On another one it is not, and the client has an address there.
func TestConfirm6(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	far := s.farSite6()
	dhcp := s.run6(s.loop6(pool6, "subnet=2001:db8:1::/64,pool:2001:db8:1::1000-2001:db8:1::1fff"))
	host := s.host6(s.lan, 1)
	client := dhcptest.StartDhclient6(host, "eth0")
	compare6(t, lease6("2001:db8::1000", 5*time.Minute), client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
	client.WaitLog(`Bound to lease`, takesUp)

	mark := dhcp.Mark()
	client.Restart()
	dhcp.WaitLogSince(mark, `msg=REPLY .*message=CONFIRM`, dhcptest.BindTimeout)
	if line := grep(dhcp.LogSince(mark), "message=CONFIRM"); strings.Contains(line, "reason") {
		t.Errorf("an address of the network was not confirmed: %s", line)
	}
	compare6(t, lease6("2001:db8::1000", 5*time.Minute), client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
	client.Stop()

	mark = dhcp.Mark()
	host.IP("link", "del", "eth0")
	host.Attach(far, "eth0", dhcptest.MAC(1))
	client.Restart()
	compare6(t, lease6("2001:db8:1::1000", 5*time.Minute), client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
	if line := grep(dhcp.LogSince(mark), "message=CONFIRM"); !strings.Contains(line, "outside the client's network: 2001:db8::1000") {
		t.Errorf("an address of another network was to be told so: %q", line)
	}
}

// A lease that a client gives back is free for the next one.
func TestRelease6(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	dhcp := s.run6(s.loop6("subnet=2001:db8::/64,pool:2001:db8::1000-2001:db8::1000"))
	client := dhcptest.StartDhclient6(s.host6(s.lan, 1), "eth0")
	compare6(t, lease6("2001:db8::1000", 5*time.Minute), client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
	client.Release6()
	dhcp.WaitLog(`msg=REPLY .*message=RELEASE.*reason="release: freed"`, takesUp)
	next := dhcptest.StartDhclient6(s.host6(s.lan, 2), "eth0")
	compare6(t, lease6("2001:db8::1000", 5*time.Minute), next.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
}

// An address that somebody on the wire has already is declined, taken out of use, and the
// client has another one. The next client is not offered it either.
func TestLoopDecline6(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	dhcp := s.run6(s.loop6(pool6))
	s.host6(s.lan, 9).IP("addr", "add", "2001:db8::1000/64", "dev", "eth0", "nodad")
	wary := s.net.Namespace("wary") // which looks whether somebody has its addresses
	wary.Attach(s.lan, "eth0", dhcptest.MAC(1))
	client := dhcptest.StartDhclient6(wary, "eth0")
	compare6(t, lease6("2001:db8::1000", 5*time.Minute), client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
	compare6(t, lease6("2001:db8::1001", 5*time.Minute), client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
	dhcp.WaitLog(`level=warning msg=REPLY .*message=DECLINE.*reason="decline: 2001:db8::1000 is in use by somebody else"`, takesUp)
	next := dhcptest.StartDhclient6(s.host6(s.lan, 2), "eth0")
	compare6(t, lease6("2001:db8::1002", 5*time.Minute), next.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
}

// After kill -9 no lease that was given is anybody else's, and its holder has it again.
func TestKill6(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	directive := s.loop6("renew=ack subnet=2001:db8::/64,pool:2001:db8::1000-2001:db8::1001")
	dhcp := s.run6(directive)
	first := dhcptest.StartDhclient6(s.host6(s.lan, 1), "eth0")
	compare6(t, lease6("2001:db8::1000", 5*time.Minute), first.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
	first.Stop()
	dhcp.Kill9()
	if _, err := os.Stat(s.file + "-v6"); err != nil {
		t.Error(err)
	}
	if got := s.rows6(); !slices.Equal(got, []string{"2001:db8::1000 02:00:00:00:00:01"}) {
		t.Errorf("the file holds %v", got)
	}
	s.run6(directive)
	second := dhcptest.StartDhcpcd6(s.host6(s.lan, 2), "eth0")
	compare6(t, lease6("2001:db8::1001", 5*time.Minute), second.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
	again := dhcptest.StartDhclient6(s.host6(s.lan, 3), "eth0")
	again.WaitLog(`Status code of no addrs`, dhcptest.BindTimeout) // the pool is exhausted
}

// rows6 are the rows of the lease file of DHCPv6, in the order of their addresses.
func (s *site6) rows6() []string {
	s.t.Helper()
	db, err := sql.Open("sqlite3", "file:"+s.file+"-v6?mode=ro")
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("select ip || ' ' || mac from leases6 order by ip")
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var row string
		if err := rows.Scan(&row); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, row)
	}
	return all
}

// Two servers with pools of their own: a client has its lease of the one that it chose, and
// nothing of the other one. When its server is gone the other one does not speak against the
// lease, and gives it a lease of its own when that has ended.
func TestTwoServers6(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	const lasts = "lease_time=10s renew=ack "
	servers := map[string]*dhcptest.Process{"2001:db8::1000": s.run6(s.loop6(lasts + "subnet=2001:db8::/64,pool:2001:db8::1000-2001:db8::1fff"))}
	other := &site6{&looped{site: &site{t: t, net: s.net, lan: s.lan, server: s.net.Namespace("other")}, file: s.file + "-other"}, "LL 02:00:00:00:01:01"}
	other.server.QuickDAD()
	other.server.Attach(s.lan, "eth0", dhcptest.MAC(0x101), netip.MustParsePrefix("2001:db8::9/64"))
	config := strings.ReplaceAll(other.config6(other.loop6(lasts+"subnet=2001:db8::/64,pool:2001:db8::2000-2001:db8::2fff")), "[2001:db8::1]", "[2001:db8::9]")
	servers["2001:db8::2000"] = dhcptest.StartCoreDHCP6(other.server, dhcptest.CoreDHCPBinary(t), config)

	client := dhcptest.StartDhclient6(s.host6(s.lan, 1), "eth0")
	first := client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout)
	chosen, ok := servers[first.Addr.String()]
	if !ok {
		t.Fatalf("it has %v of neither server", first.Addr)
	}
	compare6(t, lease6(first.Addr.String(), 10*time.Second), first)
	delete(servers, first.Addr.String())
	if rows := append(s.rows6(), other.rows6()...); !slices.Equal(rows, []string{first.Addr.String() + " 02:00:00:00:00:01"}) {
		t.Errorf("the lease files hold %v", rows)
	}
	chosen.Stop()
	for addr, left := range servers {
		mark := left.Mark()
		compare6(t, lease6(addr, 10*time.Second), client.WaitEvent(dhcptest.EventBound6, 40*time.Second))
		if line := grep(left.LogSince(mark), "message=REBIND"); !strings.Contains(line, "another server may have given out") {
			t.Errorf("the other server's lease was to be left alone: %q", line)
		}
	}
}

// Where the packet loop tells who sent a packet, as ours does, a client on the wire whose
// DUID is a UUID is known by its link-local address, and bound by its own network among
// several.
func TestUUIDOnTheWire6(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	s.server.IP("addr", "add", "2001:db8:5::1/64", "dev", "lo", "nodad") // this host has two addresses
	s.addNode(1, "2001:db8::11")
	dhcp := s.run6(s.smd6("subnet=2001:db8::/64", "subnet=2001:db8:1::/64"), s.loop6(pool6, "subnet=2001:db8:1::/64,pool:2001:db8:1::1000-2001:db8:1::1fff"))
	dhcp.WaitLog(`level=info.*inventory of`, takesUp)
	client := dhcptest.StartDhcpcd6As(s.host6(s.lan, 1), "eth0", "00:04:2c:5a:7f:3e:4b:0d:4e:55:9d:5c:0a:7d:7c:0f:2b:11")
	compare6(t, nodeLease6(1, "2001:db8::11"), client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
	stranger := dhcptest.StartDhcpcd6As(s.host6(s.lan, 2), "eth0", "00:04:2c:5a:7f:3e:4b:0d:4e:55:9d:5c:0a:7d:7c:0f:2b:12")
	compare6(t, lease6("2001:db8::1000", 5*time.Minute), stranger.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
}

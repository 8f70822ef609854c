package test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	_ "github.com/mattn/go-sqlite3"
	"golang.org/x/sys/unix"
)

// tenAddresses is the network of most of these tests.
const tenAddresses = "subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.209"

// looped is a site with bootloop behind coresmd.
type looped struct {
	*site
	file string // of the leases
}

func newLooped(t *testing.T) *looped {
	t.Helper()
	return &looped{site: newSite(t, dhcptest.SMDOptions{}), file: filepath.Join(t.TempDir(), "leases.db")}
}

// chain is a configuration with coresmd and, behind it, another directive.
func (s *site) chain(coresmd, last string) string {
	head, _, _ := strings.Cut(s.config(coresmd), "    - range:")
	return head + "    - " + last + "\n"
}

// run starts the server with the words of bootloop that follow the lease file.
func (l *looped) run(words ...string) *dhcptest.Process {
	l.t.Helper()
	return l.start(l.words(), "bootloop: lease_file="+l.file+" "+strings.Join(words, " "))
}

// start starts the server with coresmd and another directive.
func (l *looped) start(coresmd, last string) *dhcptest.Process {
	l.t.Helper()
	return dhcptest.StartCoreDHCP(l.server, dhcptest.CoreDHCPBinary(l.t), l.chain(coresmd, last))
}

// far plugs a client's machine into the network behind the relay.
func (s *site) far(wire *dhcptest.Wire, mac int) *dhcptest.Namespace {
	s.t.Helper()
	ns := s.net.Namespace(fmt.Sprintf("far%x", mac))
	ns.Attach(wire, "eth0", dhcptest.MAC(mac))
	return ns
}

// farRouter joins the network behind the relay to the lan by a router beside the relay, which
// then does not see what its clients send by unicast.
func (s *site) farRouter(wire *dhcptest.Wire) {
	s.t.Helper()
	router := s.net.Namespace("router")
	router.Attach(wire, "eth0", dhcptest.MAC(0x210), netip.MustParsePrefix("198.51.100.254/24"))
	router.Attach(s.lan, "eth1", dhcptest.MAC(0x211), netip.MustParsePrefix("192.0.2.3/24"))
	router.Forward()
}

// tempLease is what a stranger is to be given on the lan with an address and a lease time.
func tempLease(addr netip.Addr, leaseTime time.Duration) dhcptest.Bound {
	b := lanLease(addr.String())
	b.LeaseTime, b.T1, b.T2 = leaseTime, (leaseTime / 2).Truncate(time.Second), (leaseTime * 7 / 8).Truncate(time.Second)
	return b
}

// A kind is a client that distributions ship.
type kind struct {
	name  string
	start func(*dhcptest.Namespace, string, dhcptest.ClientOptions) *dhcptest.Client
	// silent is set for a client that does not tell its script about siaddr.
	silent bool
}

func kinds() []kind {
	return []kind{
		{name: "udhcpc", start: dhcptest.StartUdhcpc},
		{name: "dhclient", start: dhcptest.StartDhclient},
		{name: "dhcpcd", start: dhcptest.StartDhcpcd, silent: true},
	}
}

// A stranger is a client of a kind with the lease that it was given at first.
type stranger struct {
	kind
	mac    net.HardwareAddr
	client *dhcptest.Client
	lease  dhcptest.Bound
}

// strangers starts a client of each kind, waits for their leases and compares these, all but
// the address, which is one of the pool and nobody else's.
func (l *looped) strangers(leaseTime time.Duration) []*stranger {
	l.t.Helper()
	var all []*stranger
	for i, k := range kinds() {
		all = append(all, &stranger{kind: k, mac: dhcptest.MAC(i + 1), client: k.start(l.host(i+1), "eth0", dhcptest.ClientOptions{})})
	}
	given := map[netip.Addr]bool{}
	for _, s := range all {
		s.lease = s.client.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
		want := tempLease(s.lease.Addr.Addr(), leaseTime)
		if s.silent {
			want.NextServer = netip.Addr{}
		}
		compare(l.t, want, s.lease)
		strange(l.t, s.lease)
		if given[s.lease.Addr.Addr()] {
			l.t.Errorf("%s: %v is somebody else's", s.name, s.lease.Addr)
		}
		given[s.lease.Addr.Addr()] = true
	}
	return all
}

// answers counts the replies of a type that a machine was given, ACK or NAK.
func answers(log, kind string, mac net.HardwareAddr) int {
	return countLines(log, `msg=`+kind+` .*mac="?`+mac.String())
}

// Every client, as distributions ship it, has an address of the pool after one DORA. Its
// renewal at T1 is refused, and the DORA that follows brings the same lease.
func TestStrangersBind(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	dhcp := l.run("lease_time=20s", tenAddresses)
	all := l.strangers(20 * time.Second)
	for _, s := range all {
		got := [2]int{answers(dhcp.Log(), "ACK", s.mac), answers(dhcp.Log(), "NAK", s.mac)}
		if want := [2]int{1, 0}; got != want {
			t.Errorf("%s: %d ACKs and %d NAKs, want one DORA:\n%s", s.name, got[0], got[1], grep(dhcp.Log(), s.mac.String()))
		}
	}
	for _, s := range all {
		compare(t, s.lease, s.client.WaitEvent(dhcptest.EventBound, 25*time.Second))
		naks := answers(dhcp.Log(), "NAK", s.mac)
		if n := countLines(dhcp.Log(), `msg=NAK .*mac="?`+s.mac.String()+`.*reason="renewal of a temporary lease, renew=ack`); n == 0 || n != naks {
			t.Errorf("%s: %d of %d NAKs refuse a renewal:\n%s", s.name, n, naks, grep(dhcp.Log(), s.mac.String()))
		}
	}
}

// renew=ack: every client renews at T1 and keeps its lease.
func TestStrangersRenew(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	dhcp := l.run("lease_time=20s", "renew=ack", tenAddresses)
	for _, s := range l.strangers(20 * time.Second) {
		compare(t, s.lease, s.client.WaitEvent(dhcptest.EventRenew, 20*time.Second))
	}
	if naks := grep(dhcp.Log(), `msg=NAK`); naks != "" {
		t.Errorf("the server refused:\n%s", naks)
	}
}

// A mover is a stranger that SMD learns of.
type mover struct {
	name   string
	client *dhcptest.Client
	want   dhcptest.Bound
	limit  time.Duration // from the POST to SMD's address
	posted time.Time
	took   time.Duration
	err    error
}

// watch waits for the mover's lease.
func (m *mover) watch() {
	var got dhcptest.Bound
	got, m.err = m.client.NextEvent(dhcptest.EventBound, m.limit+10*time.Second)
	m.took = time.Since(m.posted)
	if diff := dhcptest.DiffBound(m.want, got); m.err == nil && diff != "" {
		m.err = errors.New(diff)
	}
}

// A stranger that is posted to SMD holds SMD's address at the latest one renewal interval and
// five seconds later. Where the refusal of a unicast renewal does not reach the client, it is
// one rebinding interval and five seconds: a relay that is not the router never sees it, and
// dhcpcd hears no broadcasts while it renews.
func TestStrangerGetsKnown(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	farWire := l.farSite()
	l.farRouter(farWire)
	dhcp := l.start(l.words("subnet=192.0.2.0/24,router:192.0.2.254", "subnet=198.51.100.0/24,router:198.51.100.254"),
		"bootloop: lease_file="+l.file+" lease_time=30s "+tenAddresses+" subnet=198.51.100.0/24,router:198.51.100.254,pool:198.51.100.200-198.51.100.209")
	// 5 s are spare on an idle machine, udhcpc's pause of 3 s after a NAK among them. A busy one
	// gets 4 more; with these T1 still ends before T2.
	const t1, t2, spare = 15 * time.Second, 26 * time.Second, 9 * time.Second

	var movers []*mover
	for i, k := range kinds() {
		m := &mover{name: k.name, client: k.start(l.host(i+1), "eth0", dhcptest.ClientOptions{}), want: nodeLease(i+1, fmt.Sprintf("192.0.2.%d", 11+i)), limit: t1 + spare}
		if k.silent { // dhcpcd
			m.want.NextServer, m.limit = netip.Addr{}, t2+spare
		}
		movers = append(movers, m)
	}
	for i, k := range kinds()[:2] {
		want := nodeLease(i+4, fmt.Sprintf("198.51.100.%d", 14+i))
		want.Routers = []netip.Addr{netip.MustParseAddr("198.51.100.254")}
		movers = append(movers, &mover{name: k.name + " behind a relay", client: k.start(l.far(farWire, i+4), "eth0", dhcptest.ClientOptions{}), want: want, limit: t2 + spare})
	}
	rebooted := dhcptest.StartDhclient(l.host(6), "eth0", dhcptest.ClientOptions{})
	strange(t, rebooted.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))
	rebooted.WaitLog(`bound to`, takesUp) // the lease file is written
	rebooted.Stop()

	for _, m := range movers {
		strange(t, m.client.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))
	}
	var watching sync.WaitGroup
	for i, m := range movers {
		m.posted = time.Now()
		l.addNode(i+1, m.want.Addr.Addr().String())
		watching.Go(m.watch)
	}
	mark := dhcp.Mark()
	l.addNode(6, "192.0.2.16")
	dhcp.WaitLogSince(mark, `level=info.*inventory of`, takesUp)
	rebooted.Restart()
	compare(t, nodeLease(6, "192.0.2.16"), rebooted.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))
	if !strings.Contains(rebooted.Log(), "DHCPNAK") {
		t.Errorf("the temporary address was not refused:\n%s", rebooted.Log())
	}

	watching.Wait()
	for _, m := range movers {
		t.Logf("%s: from the POST to SMD's address %.1f s, at most %v wanted", m.name, m.took.Seconds(), m.limit)
		if m.err != nil || m.took > m.limit {
			t.Errorf("%s: after %v: %v", m.name, m.took, m.err)
		}
	}
}

// A relayed stranger has an address of its own network, with the relay as its router where
// none is declared, and renews through it.
func TestRelayedStrangers(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"plain": nil, "option 82": {"-a"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLooped(t)
			wire := l.farSite(flags...)
			l.run("lease_time=1m", "renew=ack", "subnet_pool=192.0.2.0/24,192.0.2.200,192.0.2.209", "subnet_pool=198.51.100.0/24,198.51.100.200,198.51.100.209")

			near := dhcptest.StartUdhcpc(l.host(1), "eth0", dhcptest.ClientOptions{})
			distant := dhcptest.StartUdhcpc(l.far(wire, 2), "eth0", dhcptest.ClientOptions{})
			compare(t, tempLease(netip.MustParseAddr("192.0.2.200"), time.Minute), near.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))
			want := tempLease(netip.MustParseAddr("198.51.100.200"), time.Minute)
			want.Routers = []netip.Addr{farGateway}
			compare(t, want, distant.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))
			distant.Renew()
			compare(t, want, distant.WaitEvent(dhcptest.EventRenew, takesUp))
		})
	}
}

// saysExhausted is the line of a pool that is used up, printed once a minute.
const saysExhausted = `level=warning.*pool exhausted`

// A pool of two has nothing for a third client, which the log says once, until one of the
// leases is given back or has ended.
func TestPoolExhausted(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	dhcp := l.run("lease_time=15s", "subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.201")
	leaver := dhcptest.StartUdhcpc(l.host(1), "eth0", dhcptest.ClientOptions{})
	first := leaver.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
	second := dhcptest.Udhcpc(l.host(2), "eth0", dhcptest.ClientOptions{}) // and is never heard of again
	ends := time.Now().Add(12 * time.Second)

	third := dhcptest.StartUdhcpc(l.host(3), "eth0", dhcptest.ClientOptions{})
	third.WaitEvent(dhcptest.EventFail, takesUp)
	leaver.Release()
	compare(t, tempLease(first.Addr.Addr(), 15*time.Second), third.WaitEvent(dhcptest.EventBound, takesUp))

	fourth := dhcptest.StartUdhcpc(l.host(4), "eth0", dhcptest.ClientOptions{})
	compare(t, tempLease(second.Addr.Addr(), 15*time.Second), fourth.WaitEvent(dhcptest.EventBound, 20*time.Second))
	if early := time.Until(ends); early > 0 {
		t.Errorf("%v was given to another client %v before its lease ended", second.Addr, early)
	}
	if n, packets := countLines(dhcp.Log(), saysExhausted), countLines(dhcp.Log(), `pool exhausted`); n != 1 || packets < 3 {
		t.Errorf("%d of %d lines of the exhausted pool are warnings, want one of several:\n%s", n, packets, grep(dhcp.Log(), `pool exhausted`))
	}
}

// A lease file of CoreDHCP's range plugin is taken over, and the other way round.
func TestRangeAndBack(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	hosts := map[int]*dhcptest.Namespace{}
	for n := 1; n <= 4; n++ {
		hosts[n] = l.host(n)
	}
	ranged := "range: " + l.file + " 192.0.2.200 192.0.2.209 60s"
	had := map[int]netip.Addr{}
	dhcp := l.start(l.words(), ranged)
	for n := 1; n <= 3; n++ {
		had[n] = dhcptest.Udhcpc(hosts[n], "eth0", dhcptest.ClientOptions{}).Addr.Addr()
	}
	dhcp.Stop()

	dhcp = l.start(l.words(), fmt.Sprintf("bootloop: lease_file=%s lease_time=60s ipv4_start=192.0.2.200 ipv4_end=192.0.2.209", l.file))
	for _, n := range []int{3, 1} {
		compare(t, tempLease(had[n], time.Minute), dhcptest.Udhcpc(hosts[n], "eth0", dhcptest.ClientOptions{}))
	}
	had[4] = dhcptest.Udhcpc(hosts[4], "eth0", dhcptest.ClientOptions{}).Addr.Addr()
	if problems := grep(dhcp.Log(), `level=(warning|error).*lease file`); problems != "" {
		t.Errorf("the file was not taken over as it is:\n%s", problems)
	}
	dhcp.Kill9()

	l.start(l.words(), ranged)
	got := map[int]netip.Addr{}
	for _, n := range []int{4, 2, 3, 1} {
		got[n] = dhcptest.Udhcpc(hosts[n], "eth0", dhcptest.ClientOptions{}).Addr.Addr()
	}
	if diff := cmp.Diff(had, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("addresses by client (-had +got):\n%s", diff)
	}
}

// ipxeClient are the options of iPXE on UEFI x86-64.
var ipxeClient = dhcptest.ClientOptions{VendorClass: pxeClient.VendorClass, Send: []string{"0x5d:0007", "0x4d:69505845"}, Ask: bootOptions}

// bootLease is a lease that names a boot file of the server's TFTP.
func bootLease(b dhcptest.Bound, file string) dhcptest.Bound {
	b.File, b.BootFile, b.RootPath, b.TFTPServer = file, file, serverIP.String(), serverIP.String()
	return b
}

// The four and five words of earlier releases.
func TestBootloopPositional(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	host := l.host(1)
	for name, tt := range map[string]struct{ words, script string }{
		"four words": {words: l.file + "4 20s 192.0.2.200 192.0.2.209", script: "reboot.ipxe"},
		"five words": {words: l.file + "5 first.ipxe 20s 192.0.2.200 192.0.2.209", script: "first.ipxe"},
	} {
		t.Run(name, func(t *testing.T) {
			dhcp := l.start(l.words(), "bootloop: "+tt.words)
			want := tempLease(netip.MustParseAddr("192.0.2.200"), 20*time.Second)
			compare(t, want, dhcptest.Udhcpc(host, "eth0", dhcptest.ClientOptions{Ask: bootOptions}))
			compare(t, bootLease(want, tt.script), dhcptest.Udhcpc(host, "eth0", ipxeClient))
			dhcp.Stop()
		})
	}
}

// Mistakes in a directive refuse the start and are named, all of them that the words show.
func TestBootloopMistakes(t *testing.T) {
	t.Parallel()
	s := newWiring(t)
	file := filepath.Join(t.TempDir(), "leases.db")
	tests := map[string]struct {
		words string
		want  []string
	}{
		"pools overlap":   {words: "lease_file=" + file + " " + tenAddresses + ",pool:192.0.2.205-192.0.2.215", want: []string{`192\.0\.2\.205-192\.0\.2\.215`, `overlaps`, `192\.0\.2\.200-192\.0\.2\.209`}},
		"pool backwards":  {words: "lease_file=" + file + " ipv4_start=192.0.2.209 ipv4_end=192.0.2.200", want: []string{`192\.0\.2\.209-192\.0\.2\.200`, `before its start`}},
		"unknown key":     {words: "lease_file=" + file + " colour=red " + tenAddresses, want: []string{`argument 2`, `colour`}},
		"no pool":         {words: "lease_file=" + file, want: []string{`no pool`}},
		"no folder":       {words: "lease_file=/nonexistent/leases.db " + tenAddresses, want: []string{`/nonexistent`, `no folder`}},
		"words backwards": {words: file + " 20s 192.0.2.209 192.0.2.200", want: []string{`192\.0\.2\.209-192\.0\.2\.200`, `before its start`}},
		"three words":     {words: file + " 20s 192.0.2.200", want: []string{`3 words`}},
		"all at once": {
			words: "lease_file=/nonexistent/leases.db colour=red lease_time=soon subnet=192.0.2.0/24,pool:192.0.2.9-192.0.2.5 subnet_pool=192.0.2.0/24,192.0.2.20,192.0.2.30 subnet_pool=192.0.2.0/24,192.0.2.25,192.0.2.35",
			want:  []string{`colour`, `soon`, `192\.0\.2\.9-192\.0\.2\.5`, `192\.0\.2\.25-192\.0\.2\.35.*overlaps.*192\.0\.2\.20-192\.0\.2\.30`},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { refused(t, s, s.chain(s.words(), "bootloop: "+tt.words), tt.want...) })
	}
}

// As long as no inventory was ever loaded, holders of leases go on and strangers get
// nothing, which the log says once. They are served as soon as SMD is there.
func TestInventoryNeverLoaded(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	words := []string{"lease_time=1m", tenAddresses}
	dhcp := l.run(words...)
	holder := dhcptest.StartUdhcpc(l.host(1), "eth0", dhcptest.ClientOptions{})
	lease := holder.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
	dhcp.Kill9()
	l.smd.Stop()

	dhcp = l.run(words...)
	dhcp.WaitLog(saysDown, takesUp)
	late := dhcptest.StartUdhcpc(l.host(2), "eth0", dhcptest.ClientOptions{})
	holder.Renew()
	holder.WaitEvent(dhcptest.EventNAK, takesUp)
	compare(t, lease, holder.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))
	late.WaitEvent(dhcptest.EventFail, takesUp)
	const says = `SMD not heard yet, strangers cannot be told from known machines`
	if n, packets := countLines(dhcp.Log(), `level=error.*`+says), countLines(dhcp.Log(), says); n != 1 || packets < 3 {
		t.Errorf("%d of %d lines are errors, want one of several:\n%s", n, packets, grep(dhcp.Log(), says))
	}
	l.smd.Start()
	compare(t, tempLease(netip.MustParseAddr("192.0.2.201"), time.Minute), late.WaitEvent(dhcptest.EventBound, takesUp))
}

// rows returns the leases in a lease file, in the order of their addresses.
func rows(t *testing.T, file string) []string {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+file+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found, err := db.Query("select mac || ' ' || ip || ' ' || expiry || ' ' || hostname from leases4 order by ip")
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	var all []string
	for found.Next() {
		var row string
		if err := found.Scan(&row); err != nil {
			t.Fatal(err)
		}
		all = append(all, row)
	}
	return all
}

// A health check like `dhcping -c IP -s IP -h 00:00:00:00:00:00`, from the server's own host
// and from elsewhere, is answered with a NAK and changes nothing.
func TestHealthProbe(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	l.run("lease_time=1m", tenAddresses)
	holder := dhcptest.StartUdhcpc(l.host(1), "eth0", dhcptest.ClientOptions{})
	lease := holder.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
	before := rows(t, l.file)
	elsewhere := l.host(2)
	elsewhere.IP("addr", "add", "192.0.2.50/24", "dev", "eth0")
	for name, ns := range map[string]*dhcptest.Namespace{"on the server": l.server, "elsewhere": elsewhere} {
		t.Run(name, func(t *testing.T) { probe(t, ns) })
	}
	if diff := cmp.Diff(before, rows(t, l.file)); len(before) != 1 || diff != "" {
		t.Errorf("leases, of which there was one (-before +after):\n%s", diff)
	}
	holder.Renew()
	holder.WaitEvent(dhcptest.EventNAK, takesUp)
	compare(t, lease, holder.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))
}

// probe sends a health check and compares the answer.
func probe(t *testing.T, ns *dhcptest.Namespace) {
	t.Helper()
	conn, err := ns.ListenPacket("udp4", ":68")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	req, err := dhcpv4.New(dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), dhcpv4.WithHwAddr(make(net.HardwareAddr, 6)), dhcpv4.WithClientIP(serverIP.AsSlice()))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ask(conn, req)
	if err != nil {
		t.Fatal(err)
	}
	want, err := dhcpv4.New(dhcpv4.WithMessageType(dhcpv4.MessageTypeNak), dhcpv4.WithHwAddr(req.ClientHWAddr), dhcpv4.WithTransactionID(req.TransactionID),
		dhcptest.Server(serverIP.String()), dhcpv4.WithOption(dhcpv4.OptMessage("server is alive")))
	if err != nil {
		t.Fatal(err)
	}
	want.OpCode = dhcpv4.OpcodeBootReply
	if diff := cmp.Diff(want.Summary(), got.Summary()); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

// ask sends a message to the server and returns the reply to it.
func ask(conn net.PacketConn, req *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, error) {
	server := net.UDPAddrFromAddrPort(netip.AddrPortFrom(serverIP, dhcpv4.ServerPort))
	if _, err := conn.WriteTo(req.ToBytes(), server); err != nil {
		return nil, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return nil, err
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return nil, err
		}
		reply, err := dhcpv4.FromBytes(buf[:n])
		if err != nil {
			return nil, err
		}
		if reply.TransactionID == req.TransactionID {
			return reply, nil
		}
	}
}

// iPXE that nobody knows is told the reboot script, which the server has built in under each
// of its names.
func TestRebootScript(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	l.run("lease_time=1m", tenAddresses)
	host := l.host(1)
	bound := dhcptest.Udhcpc(host, "eth0", ipxeClient)
	compare(t, bootLease(tempLease(netip.MustParseAddr("192.0.2.200"), time.Minute), "default"), bound)
	want := rebootScript(t, serverIP)
	for _, name := range []string{bound.BootFile, "reboot.ipxe", "/default"} {
		got, err := dhcptest.TFTPGet(host, bound.NextServer, name)
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.Equal(want, got) {
			t.Errorf("%s is not the reboot script (-want +got):\n%s", name, cmp.Diff(string(want), string(got)))
		}
	}
}

// smallDisk mounts a file system of one megabyte.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill writes into a file until its disk is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	page := make([]byte, os.Getpagesize())
	for {
		if _, err := f.Write(page); errors.Is(err, unix.ENOSPC) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// While the disk of the lease file is full, leases go on for the time they have left and
// new ones are refused, which the log says once. With space again all is as before.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	disk := smallDisk(t)
	l.file = filepath.Join(disk, "leases.db")
	dhcp := l.run("lease_time=1m", tenAddresses)
	holder := dhcptest.StartUdhcpc(l.host(1), "eth0", dhcptest.ClientOptions{})
	lease := holder.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
	const says = `lease not written`

	filler := filepath.Join(disk, "filler")
	fill(t, filler)
	holder.Renew()
	holder.WaitEvent(dhcptest.EventNAK, takesUp)
	left := holder.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
	dhcp.WaitLog(`level=error msg=ACK .*`+says, takesUp)
	if left.LeaseTime <= 30*time.Second || left.LeaseTime >= time.Minute {
		t.Errorf("lease time %v, want what was left of a minute", left.LeaseTime)
	}
	compare(t, tempLease(lease.Addr.Addr(), left.LeaseTime), left)

	fill(t, filler) // the space of SQLite's log, which the failure gave back
	late := dhcptest.StartUdhcpc(l.host(2), "eth0", dhcptest.ClientOptions{})
	late.WaitEvent(dhcptest.EventFail, dhcptest.BindTimeout)
	refusals := `msg="no reply" .*` + dhcptest.MAC(2).String() + `.*` + says
	if n := countLines(dhcp.Log(), refusals); n == 0 {
		t.Errorf("no line says %q:\n%s", refusals, grep(dhcp.Log(), dhcptest.MAC(2).String()))
	}
	if n := countLines(dhcp.Log(), `level=error.*`+says); n != 1 {
		t.Errorf("%d errors, want one a minute:\n%s", n, grep(dhcp.Log(), says))
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	compare(t, tempLease(netip.MustParseAddr("192.0.2.201"), time.Minute), late.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))
	holder.Renew()
	holder.WaitEvent(dhcptest.EventNAK, takesUp)
	compare(t, lease, holder.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))
	dhcp.Kill9()
	if got := rows(t, l.file); len(got) != 2 {
		t.Errorf("the file holds %q, want two leases", got)
	}
}

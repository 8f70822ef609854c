package test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

var (
	leaseAge  = regexp.MustCompile(`(?m)^((?:bound|offered|expired|released|declined) +[0-9a-f.:]+) +\d+[smh]\w* `)
	leaseLeft = regexp.MustCompile(` (AGE) +(\d+[smh]\w*) `)
	leaseDUID = regexp.MustCompile(`(00:01:00:01):[0-9a-f]{2}:[0-9a-f]{2}:[0-9a-f]{2}:[0-9a-f]{2}:`)
)

// leases is what the command lists, without the blanks between its columns. A time that is left
// is written as LEFT, or as SHORT below a minute.
func (s *site) leases(words ...string) string {
	s.t.Helper()
	out, status := s.command(append([]string{"leases"}, words...)...)
	if status != 0 {
		s.t.Fatalf("leases %v: status %d\n%s", words, status, out)
	}
	out = leaseAge.ReplaceAllString(out, "$1 AGE  ")
	out = leaseLeft.ReplaceAllStringFunc(out, func(text string) string {
		if strings.HasSuffix(strings.TrimSpace(text), "s") {
			return " AGE SHORT "
		}
		return " AGE LEFT "
	})
	out = leaseDUID.ReplaceAllString(out, "$1:TIME:")
	out = regexp.MustCompile(`start (just now|\d+ seconds ago)`).ReplaceAllString(out, "start AGO")
	return regexp.MustCompile(`  +`).ReplaceAllString(out, " ")
}

// Real clients of both families take, renew, lose and give back leases of SMD, strangers have
// temporary ones, and the command says how each stands.
func TestLeases(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	s.addNode(1, "192.0.2.11", "2001:db8::11")
	s.addNode(2, "192.0.2.12")
	s.addNode(3, "192.0.2.13")
	s.addNode(4, "192.0.2.14")
	words := s.words("http_addr="+statusAddr, "rule=id:x3000c0s2b0n0,lease_time:2s", "rule=type:Node,hostname:nid{04d}")
	dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t),
		s.chain(words, "bootloop: lease_file="+s.file+" "+tenAddresses)+s.config6("coresmd: "+words, s.loop6(pool6)))
	s.ready("ok")
	if diff := cmp.Diff("known since the start AGO: 5 none\n", strings.SplitAfter(s.leases("--known"), "\n")[0]); diff != "" {
		t.Errorf("before all (-want +got):\n%s", diff)
	}

	node, gone, stranger, left := s.host6(s.lan, 1), s.host6(s.lan, 2), s.host6(s.lan, 0x21), s.host6(s.lan, 4)
	client := dhcptest.StartUdhcpc(node, "eth0", dhcptest.ClientOptions{})
	compare(t, nodeLease(1, "192.0.2.11"), client.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))
	short := dhcptest.StartUdhcpc(gone, "eth0", dhcptest.ClientOptions{})
	short.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
	short.Stop() // it does not renew
	strange(t, dhcptest.Udhcpc(stranger, "eth0", dhcptest.ClientOptions{Hostname: "printer"}))
	leaving := dhcptest.StartUdhcpc(left, "eth0", dhcptest.ClientOptions{})
	leaving.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
	leaving.Release()
	leaving.WaitEvent(dhcptest.EventDeconfig, takesUp)
	dhcptest.StartDhclient6(node, "eth0").WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout)
	dhcptest.StartDhcpcd6(stranger, "eth0").WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout)
	s.tester().ask(3, discover, 2*time.Second)
	client.Renew()
	client.WaitEvent(dhcptest.EventRenew, takesUp)

	temporary := s.leases("--temporary", "--state", "bound")
	addr := func(expr string) string { return regexp.MustCompile(expr).FindString(temporary) }
	want := fmt.Sprintf(`STATE ADDRESS AGE LEFT KIND MACHINE HOSTNAME MAC DUID
bound 192.0.2.11 AGE LEFT known x3000c0s1b0n0 nid0001 02:00:00:00:00:01
expired 192.0.2.12 AGE SHORT known x3000c0s2b0n0 nid0002 02:00:00:00:00:02
offered 192.0.2.13 AGE known x3000c0s3b0n0 nid0003 02:00:00:00:00:03
released 192.0.2.14 AGE known x3000c0s4b0n0 nid0004 02:00:00:00:00:04
bound %s AGE LEFT temporary printer 02:00:00:00:00:21
bound 2001:db8::11 AGE LEFT known x3000c0s1b0n0 nid0001 02:00:00:00:00:01 00:01:00:01:TIME:02:00:00:00:00:01
bound %s AGE LEFT temporary client 02:00:00:00:00:21 00:03:00:01:02:00:00:00:00:21
POOL NETWORK SIZE USED LEASED OFFERED DECLINED TAKEN
192.0.2.200-192.0.2.209 192.0.2.0/24 10 10%% 1 0 0 0
2001:db8::1000-2001:db8::1fff 2001:db8::/64 4096 0%% 1 0 0 0
known since the start AGO: 2 bound, 1 offered, 1 expired, 1 released
temporary: 2 bound
`, addr(`192\.0\.2\.2\d\d`), addr(`2001:db8::1[0-9a-f]{3}`))
	dhcptest.Eventually(t, takesUp, func() error { // the short lease ends
		if diff := cmp.Diff(want, s.leases()); diff != "" {
			return fmt.Errorf("leases (-want +got):\n%s", diff)
		}
		return nil
	})
	for word, lines := range map[string]int{ // with heading and counts
		"x3000c0s1b0n0": 4, "nid0001": 4, "0200.0000.0001": 4, "192.0.2.11": 3, "192.0.2.0/28": 6, "2001:db8::/32": 5, "printer": 3, "00:03:00:01:02:00:00:00:00:21": 3,
	} {
		if out := s.leases(word); countLines(out, "") != lines {
			t.Errorf("%s: want %d lines:\n%s", word, lines, out)
		}
	}
	if out := s.leases("--expiring", "30m", "--sort", "left"); !strings.HasPrefix(out, "STATE ADDRESS AGE LEFT KIND MACHINE HOSTNAME MAC DUID\nbound "+addr(`192\.0\.2\.2\d\d`)) || countLines(out, "^bound") != 2 {
		t.Errorf("expiring:\n%s", out)
	}

	// SMD gives the machine another address: its renewal is refused, and it takes the other one.
	s.smd.PatchInterface(dhcptest.MAC(1).String(), dhcptest.IPs("192.0.2.31", "2001:db8::11"))
	moves(t, client, nodeLease(1, "192.0.2.31"))
	wantMoved := `STATE ADDRESS AGE LEFT KIND MACHINE HOSTNAME MAC DUID
refused 192.0.2.11 0s known x3000c0s1b0n0 nid0001 02:00:00:00:00:01
bound 192.0.2.31 AGE LEFT known x3000c0s1b0n0 nid0001 02:00:00:00:00:01
bound 2001:db8::11 AGE LEFT known x3000c0s1b0n0 nid0001 02:00:00:00:00:01 00:01:00:01:TIME:02:00:00:00:00:01
known since the start AGO: 2 bound, 1 refused
`
	got := regexp.MustCompile(`(refused 192.0.2.11) \d+s`).ReplaceAllString(s.leases("x3000c0s1b0n0"), "$1 0s")
	if diff := cmp.Diff(wantMoved, got); diff != "" {
		t.Errorf("moved (-want +got):\n%s", diff)
	}
}

// A reload forgets what machines of SMD were given, and says so; temporary leases are in the file.
func TestReloadLeases(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	l.addNode(1, "192.0.2.11")
	l.addNode(2, "192.0.2.12")
	dhcp := l.start(l.words("http_addr="+statusAddr), "bootloop: lease_file="+l.file+" "+tenAddresses)
	l.ready("ok")
	client := dhcptest.StartUdhcpc(l.host(1), "eth0", dhcptest.ClientOptions{})
	client.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
	temporary := dhcptest.Udhcpc(l.host(3), "eth0", dhcptest.ClientOptions{}).Addr.Addr()
	mark := dhcp.Mark()
	dhcp.Signal(syscall.SIGHUP)
	dhcp.WaitLogSince(mark, `process \d+ serves now`, 20*time.Second)
	const heading = "STATE ADDRESS AGE LEFT KIND MACHINE HOSTNAME MAC DUID\n"
	const pools = "POOL NETWORK SIZE USED LEASED OFFERED DECLINED TAKEN\n192.0.2.200-192.0.2.209 192.0.2.0/24 10 10% 1 0 0 0\n"
	stranger := fmt.Sprintf("bound %v AGE temporary 02:00:00:00:00:03\n", temporary) // one time only: what is left
	want := heading + stranger + pools + "known since the start AGO: 2 none\ntemporary: 1 bound\n"
	dhcptest.Eventually(t, takesUp, func() error {
		if diff := cmp.Diff(want, l.leases()); diff != "" {
			return fmt.Errorf("after a reload (-want +got):\n%s", diff)
		}
		return nil
	})
	client.Renew()
	client.WaitEvent(dhcptest.EventRenew, takesUp)
	want = heading + "bound 192.0.2.11 AGE LEFT known x3000c0s1b0n0 nid0001 02:00:00:00:00:01\n" + stranger + pools + "known since the start AGO: 1 bound, 1 none\ntemporary: 1 bound\n"
	if diff := cmp.Diff(want, l.leases()); diff != "" {
		t.Errorf("after a renewal (-want +got):\n%s", diff)
	}
}

// Of 100,000 machines that all have their leases the list comes within a few seconds, the start of
// the command included, and one machine within a second. The quickest of a few runs counts.
func TestLeasesLarge(t *testing.T) {
	t.Parallel()
	s := newWiring(t)
	const machines = 100_000
	var interfaces, components strings.Builder
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(1 + i>>16), byte(i >> 8), byte(i)}) }
	for i := range machines {
		between := ","
		if i == 0 {
			between = ""
		}
		fmt.Fprintf(&components, `%s{"ID":"x%d","Type":"Node","NID":%d}`, between, 100_000+i, i+1)
		fmt.Fprintf(&interfaces, `%s{"MACAddress":"%s","ComponentID":"x%d","IPAddresses":[{"IPAddress":"%v"}]}`, between, hardwareOf(i), 100_000+i, addr(i))
	}
	folder := dhcptest.Inventory(t, "["+interfaces.String()+"]", `{"Components":[`+components.String()+"]}")
	words := strings.Replace(s.words("http_addr="+statusAddr, "rule=type:Node,hostname:nid{06d}"), "http://127.0.0.1:27779", "file://"+folder, 1)
	dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), s.config(words))
	s.ready("ok")
	s.tester().bind(machines, addr)
	best := func(words ...string) (out string, took time.Duration) {
		took = time.Hour
		for range 3 {
			began := time.Now()
			out, _ = s.command(words...)
			took = min(took, time.Since(began))
		}
		t.Logf("%v: %v", words, took)
		return out, took
	}
	out, took := best("leases")
	if lines := strings.Count(out, "\n"); lines != machines+2 || !strings.HasSuffix(out, ": 100000 bound\n") {
		t.Errorf("%d lines, the last %q", lines, out[len(out)-60:])
	}
	if took > 5*time.Second && !raced() {
		t.Errorf("all: %v, want 5s at most", took)
	}
	out, took = best("leases", "x165543")
	if strings.Count(out, "\n") != 3 || !strings.Contains(out, " 10.2.0.7 ") {
		t.Errorf("one:\n%s", out)
	}
	if took > time.Second && !raced() {
		t.Errorf("one: %v, want a second at most", took)
	}
}

// hardwareOf is the address of one of many machines.
func hardwareOf(i int) net.HardwareAddr {
	return net.HardwareAddr{2, 2, 0, byte(i >> 16), byte(i >> 8), byte(i)}
}

// bind has many machines ask for the addresses that they remember, each until it has its lease.
func (c *tester) bind(machines int, addr func(int) netip.Addr) {
	c.t.Helper()
	const atOnce = 100
	server := net.UDPAddrFromAddrPort(netip.AddrPortFrom(serverIP, dhcpv4.ServerPort))
	buf := make([]byte, 1500)
	for first := 0; first < machines; first += atOnce {
		waiting := make(map[uint32]bool)
		for i := first; i < min(first+atOnce, machines); i++ {
			waiting[uint32(i)] = true
		}
		for tries := 0; len(waiting) > 0; tries++ {
			if tries == 100 {
				c.t.Fatalf("%d machines from %d on have no answer", len(waiting), first)
			}
			for i := range waiting {
				req, err := dhcpv4.New(dhcpv4.WithMessageType(request), dhcpv4.WithHwAddr(hardwareOf(int(i))), dhcptest.Requested(addr(int(i)).String()),
					dhcpv4.WithRelay(testerIP.AsSlice()), dhcpv4.WithTransactionID(dhcpv4.TransactionID(binary.BigEndian.AppendUint32(nil, i))))
				if err != nil {
					c.t.Fatal(err)
				}
				if _, err := c.conn.WriteTo(req.ToBytes(), server); err != nil {
					c.t.Fatal(err)
				}
			}
			_ = c.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			for len(waiting) > 0 {
				n, _, err := c.conn.ReadFrom(buf)
				if err != nil {
					break
				}
				if reply, err := dhcpv4.FromBytes(buf[:n]); err == nil && reply.MessageType() == dhcpv4.MessageTypeAck {
					delete(waiting, binary.BigEndian.Uint32(reply.TransactionID[:]))
				}
			}
		}
	}
}

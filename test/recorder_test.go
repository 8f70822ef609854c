package test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
)

// tshark reads a file, and prints these fields of each packet; checksums are checked. A line
// that was there before is left out: clients repeat themselves.
func tshark(t *testing.T, file string, fields ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args := []string{"-r", file, "-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-T", "fields", "-E", "separator=|", "-E", "occurrence=f"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	out, err := exec.CommandContext(ctx, "tshark", args...).Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, out)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimRight(line, "\n"); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// Whoever asks directly, through a relay, by DHCPv6 or what nobody can read, is in the file that
// Wireshark reads: who, to whom, what was decided, with checksums that are right.
func TestLoopRecords(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	far := s.farSite()
	s.addNode(1, "192.0.2.11")
	s.addNode(2, "198.51.100.12")
	s.addNode(3, "2001:db8::13")
	words := s.words("http_addr="+statusAddr, "record=1MiB", "subnet=192.0.2.0/24", "subnet=198.51.100.0/24,router:198.51.100.1", "subnet=2001:db8::/64")
	config := s.chain(words, "bootloop: lease_file="+s.file+" subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.220") + s.config6("coresmd: "+words)
	dhcptest.StartCoreDHCP6(s.server, dhcptest.CoreDHCPBinary(t), config)
	s.ready("ok")

	dhcptest.Udhcpc(s.host(1), "eth0", dhcptest.ClientOptions{})
	dhcptest.Udhcpc(s.far(far, 2), "eth0", dhcptest.ClientOptions{})
	dhcptest.StartDhclient6(s.host6(s.lan, 3), "eth0").WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout)
	strange(t, dhcptest.Udhcpc(s.host(4), "eth0", dhcptest.ClientOptions{}))
	enemy := s.net.Namespace("enemy")
	enemy.Attach(s.lan, "eth0", dhcptest.MAC(0x66), netip.MustParsePrefix("192.0.2.66/24"))
	conn, err := enemy.ListenPacket("udp4", ":68")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.WriteTo([]byte("no message"), &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 67}); err != nil {
		t.Fatal(err)
	}

	file := filepath.Join(t.TempDir(), "all.pcapng")
	var got string
	dhcptest.Eventually(t, takesUp, func() error { // the last packet may be on its way
		if out, status := s.command("pcap", "all", "-w", file); status != 0 {
			t.Fatalf("pcap: status %d: %s", status, out)
		}
		got = tshark(t, file, "frame.interface_name", "ip.src", "ipv6.src", "udp.srcport", "ip.dst", "ipv6.dst", "udp.dstport",
			"ip.checksum.status", "udp.checksum.status", "dhcp.hw.mac_addr", "dhcp.option.dhcp", "dhcpv6.msgtype", "frame.packet_flags_direction", "frame.comment")
		if !strings.Contains(got, "malformed") {
			return fmt.Errorf("what is malformed is not there:\n%s", got)
		}
		return nil
	})
	want := `eth0|0.0.0.0||68|255.255.255.255||67|1|1|02:00:00:00:00:01|1||0x00000001|coresmd: OFFER
eth0|192.0.2.1||67|192.0.2.11||68|1|1|02:00:00:00:00:01|2||0x00000002|coresmd: OFFER
eth0|0.0.0.0||68|255.255.255.255||67|1|1|02:00:00:00:00:01|3||0x00000001|coresmd: ACK
eth0|192.0.2.1||67|192.0.2.11||68|1|1|02:00:00:00:00:01|5||0x00000002|coresmd: ACK
eth0|192.0.2.2||67|192.0.2.1||67|1|1|02:00:00:00:00:02|1||0x00000001|coresmd: OFFER
eth0|192.0.2.1||67|198.51.100.1||67|1|1|02:00:00:00:00:02|2||0x00000002|coresmd: OFFER
eth0|192.0.2.2||67|192.0.2.1||67|1|1|02:00:00:00:00:02|3||0x00000001|coresmd: ACK
eth0|192.0.2.1||67|198.51.100.1||67|1|1|02:00:00:00:00:02|5||0x00000002|coresmd: ACK
eth0||fe80::ff:fe00:3|546||ff02::1:2|547||1|||1|0x00000001|coresmd: ADVERTISE
eth0||fe80::ff:fe00:100|547||fe80::ff:fe00:3|546||1|||2|0x00000002|coresmd: ADVERTISE
eth0||fe80::ff:fe00:3|546||ff02::1:2|547||1|||3|0x00000001|coresmd: REPLY
eth0||fe80::ff:fe00:100|547||fe80::ff:fe00:3|546||1|||7|0x00000002|coresmd: REPLY
eth0|0.0.0.0||68|255.255.255.255||67|1|1|02:00:00:00:00:04|1||0x00000001|coresmd: passed on: unknown machine\nbootloop: OFFER
eth0|192.0.2.1||67|192.0.2.200||68|1|1|02:00:00:00:00:04|2||0x00000002|bootloop: OFFER
eth0|0.0.0.0||68|255.255.255.255||67|1|1|02:00:00:00:00:04|3||0x00000001|coresmd: passed on: unknown machine\nbootloop: ACK
eth0|192.0.2.1||67|192.0.2.200||68|1|1|02:00:00:00:00:04|5||0x00000002|bootloop: ACK
eth0|192.0.2.66||68|192.0.2.1||67|1|1||||0x00000001|coredhcp: no reply: malformed
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, want := tshark(t, file, "frame.interface_description"), "networks 192.0.2.1/24 2001:db8::1/64 fe80::ff:fe00:100/64\n"; got != want {
		t.Errorf("interface %q, want %q", got, want)
	}
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, status := s.command("replay", file, "-c", path); status != 0 || !strings.HasSuffix(out, " 0 answered differently; packets left out: 1 malformed\n") {
		t.Errorf("replay: status %d\n%s", status, out)
	}
	one := filepath.Join(t.TempDir(), "one.pcapng")
	s.command("pcap", "nid0001", "-w", one)
	if got, want := tshark(t, one, "dhcp.option.hostname", "dhcp.ip.your"), "|0.0.0.0\nnid0001|192.0.2.11\n"; got != want {
		t.Errorf("of one machine:\n%s", got)
	}
}

// A bug report is a file: what a client was answered is asked again of the configuration, of
// another one, and in a capture by tcpdump of the same.
func TestReplay(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.addNode(1, "192.0.2.11")
	last := "bootloop: lease_file=" + filepath.Join(t.TempDir(), "leases.db") + " subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.220"
	config := s.chain(s.words("http_addr="+statusAddr, "record=1MiB"), last)
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	now, changed := write("now.yaml", config), write("changed.yaml", strings.Replace(config, "lease_time=1h", "lease_time=2h", 1))
	dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), config)
	s.ready("ok")
	wire := s.capture(filepath.Join(folder, "wire.pcap"))
	compare(t, nodeLease(1, "192.0.2.11"), dhcptest.Udhcpc(s.host(1), "eth0", dhcptest.ClientOptions{}))
	strange(t, dhcptest.Udhcpc(s.host(2), "eth0", dhcptest.ClientOptions{}))
	wire(8)

	file := filepath.Join(folder, "bug.pcapng")
	if out, status := s.command("pcap", "all", "-w", file); status != 0 {
		t.Fatalf("pcap: status %d: %s", status, out)
	}
	saved := filepath.Join(folder, "saved.pcapng") // as Wireshark saves it
	if out, err := exec.CommandContext(t.Context(), "tshark", "-r", file, "-w", saved).CombinedOutput(); err != nil {
		t.Fatalf("tshark: %v: %s", err, out)
	}
	for _, file := range []string{file, saved, filepath.Join(folder, "wire.pcap")} {
		out, status := s.command("replay", file, "-c", now)
		if status != 0 || countLines(out, ": same\n") < 4 || countLines(out, ": different\n") > 0 || !strings.HasSuffix(out, " 0 answered differently\n") {
			t.Errorf("%s: status %d\n%s", filepath.Base(file), status, out)
		}
		out, status = s.command("replay", file, "-c", changed, "--differences")
		lines := repeats.ReplaceAllString(clocks.ReplaceAllString(out, "TIME"), "")
		if got := grep(lines, `^TIME|->`); status != 1 || got != changedLeases {
			t.Errorf("%s, changed: status %d\n%s", filepath.Base(file), status, out)
		}
	}
	if out, status := s.command("pcap", "192.0.2.99"); status != 2 || !strings.Contains(out, `nothing is known of "192.0.2.99"`) {
		t.Errorf("pcap of nobody: status %d: %s", status, out)
	}
}

// changedLeases are the differences of TestReplay.
const changedLeases = `TIME  x3000c0s1b0n0 02:00:00:00:00:01 DISCOVER: different
           51 IP Addresses Lease Time: 1h0m0s -> 2h0m0s
           58 Renew Time Value: 30m0s -> 1h0m0s
           59 Rebinding Time Value: 52m30s -> 1h45m0s
TIME  x3000c0s1b0n0 02:00:00:00:00:01 REQUEST (selecting): different
           51 IP Addresses Lease Time: 1h0m0s -> 2h0m0s
           58 Renew Time Value: 30m0s -> 1h0m0s
           59 Rebinding Time Value: 52m30s -> 1h45m0s
`

var (
	clocks  = regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:\d\d)`)
	repeats = regexp.MustCompile(`, \d+ times`) // of a client on a busy machine
)

// capture captures what the server sees of DHCP, with tshark, until it is called with how many
// packets there are at least.
func (s *site) capture(file string) (end func(packets int)) {
	s.t.Helper()
	cmd := s.server.Command(context.Background(), "tshark", "-q", "-i", "eth0", "-F", "pcap", "-w", file, "-f", "udp port 67 or udp port 68")
	p := dhcptest.StartProcess(s.t, "tshark", cmd)
	dhcptest.Eventually(s.t, 20*time.Second, func() error {
		if info, err := os.Stat(file); err != nil || info.Size() < 24 || !strings.Contains(p.Log(), "Capturing on") {
			return fmt.Errorf("tshark does not capture yet: %s", p.Log())
		}
		return nil
	})
	return func(packets int) {
		s.t.Helper()
		dhcptest.Eventually(s.t, 20*time.Second, func() error {
			if n := strings.Count(tshark(s.t, file, "frame.number"), "\n"); n < packets {
				return fmt.Errorf("%d packets are captured; want %d", n, packets)
			}
			return nil
		})
		p.Stop()
	}
}

// A capture at another server, brought elsewhere, says what a shadow beside it would say: the
// differences are those that are planted.
func TestReplayIncumbent(t *testing.T) {
	t.Parallel()
	for _, i := range incumbents {
		t.Run(i.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, dhcptest.SMDOptions{})
			for n, addr := range shadowed {
				s.addNode(n+1, addr)
			}
			far := s.farSite()
			i.start(s, s.server)
			folder := t.TempDir()
			file, config := filepath.Join(folder, "wire.pcap"), filepath.Join(folder, "config.yaml")
			if err := os.WriteFile(config, []byte(shadowConfig("192.0.2.1", "svc_base_uri=http://127.0.0.1:27779 lease_time=1h", folder)), 0o644); err != nil {
				t.Fatal(err)
			}
			end := s.capture(file)
			dhcptest.Udhcpc(s.host(1), "eth0", dhcptest.ClientOptions{})
			two := dhcptest.StartUdhcpc(s.host(2), "eth0", dhcptest.ClientOptions{})
			two.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
			two.Renew()
			two.WaitEvent(dhcptest.EventRenew, dhcptest.BindTimeout)
			dhcptest.Udhcpc(s.far(far, 4), "eth0", dhcptest.ClientOptions{VendorClass: "PXEClient:Arch:00007:UNDI:003016", Send: []string{"0x5d:0007"}, Ask: []string{"bootfile"}})
			dhcptest.Udhcpc(s.host(0x60), "eth0", dhcptest.ClientOptions{})
			end(18)
			out, status := s.command("replay", file, "-c", config, "--incumbent", "--differences")
			if status != 1 {
				t.Errorf("status %d", status)
			}
			dhcptest.Golden(t, "replay/"+i.name, repeats.ReplaceAllString(clocks.ReplaceAllString(out, "TIME"), ""))
			if leases, err := filepath.Glob(folder + "/leases*"); err != nil || len(leases) > 0 {
				t.Errorf("written: %v %v", leases, err)
			}
		})
	}
}

// A reload begins to record, and ends it. No configuration has to be written anew for it but its
// one word.
func TestReloadRecorder(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	l.addNode(1, "192.0.2.11")
	host, file := l.host(1), filepath.Join(t.TempDir(), "one.pcapng")
	pcap := func() string {
		out, status := l.command("pcap", "x3000c0s1b0n0", "-w", file)
		return fmt.Sprintf("%d %s", status, out)
	}
	becomes := func(want string) { // a question may still be the predecessor's
		t.Helper()
		dhcptest.Eventually(t, takesUp, func() error {
			if got := pcap(); got != want {
				return fmt.Errorf("pcap: %s, want %s", got, want)
			}
			return nil
		})
	}
	const off = "2 coresmd: asking http://127.0.0.1:6767: no packets are recorded; wanted record= in the directive coresmd, such as record=64MiB\n"
	s := l.serveFile(l.chainOf("http_addr="+statusAddr, tenAddresses))
	dhcptest.Udhcpc(host, "eth0", dhcptest.ClientOptions{})
	if got := pcap(); got != off {
		t.Errorf("before: %s", got)
	}
	s.write(l.chainOf("http_addr="+statusAddr+" record=2MiB", tenAddresses))
	s.reload()
	becomes("2 coresmd: asking http://127.0.0.1:6767: nothing is recorded of x3000c0s1b0n0; 0 exchanges of others are\n")
	dhcptest.Udhcpc(host, "eth0", dhcptest.ClientOptions{})
	if got := pcap(); got != "0 " {
		t.Errorf("recorded: %s", got)
	}
	if got, want := tshark(t, file, "dhcp.option.dhcp", "frame.comment"), "1|coresmd: OFFER\n2|coresmd: OFFER\n3|coresmd: ACK\n5|coresmd: ACK\n"; got != want {
		t.Errorf("recorded:\n%s", got)
	}
	s.write(l.chainOf("http_addr="+statusAddr, tenAddresses))
	s.reload()
	becomes(off)
	s.stop()
}

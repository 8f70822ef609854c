package test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	compared "github.com/OpenCHAMI/coresmd/internal/compare"
	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// An incumbent is another server with the machines of these tests. What differs from what
// SMD and our configuration say is planted:
//
//	lease time    20m, not 1h
//	node 2        192.0.2.112, not 192.0.2.12
//	node 3        no router
//	node 4        boot file old.efi
//	node 5        not known
//	node 6        known; a rule of ours ignores it
//	MAC 0x60      known, and not in SMD
type incumbent struct {
	name, tool, pkg, file, config string
	args                          func(path string) []string
	ready                         string // a line of its log
}

var incumbents = []incumbent{
	{
		name: "kea", tool: "kea-dhcp4", pkg: "kea-dhcp4-server", file: "kea.json",
		config: `{"Dhcp4": {
"interfaces-config": {"interfaces": ["eth0"], "dhcp-socket-type": "raw"},
"lease-database": {"type": "memfile", "persist": true, "name": "DIR/leases.csv"},
"valid-lifetime": 1200, "calculate-tee-times": true, "match-client-id": false, "host-reservation-identifiers": ["hw-address"],
"loggers": [{"name": "kea-dhcp4", "severity": "INFO", "output_options": [{"output": "stdout"}]}],
"option-data": [{"name": "domain-name-servers", "data": "192.0.2.53"}], "next-server": "192.0.2.1",
"subnet4": [
{"subnet": "192.0.2.0/24", "id": 1, "reservations": [
{"hw-address": "02:00:00:00:00:01", "ip-address": "192.0.2.11", "hostname": "nid0001", "option-data": [{"name": "routers", "data": "192.0.2.254"}]},
{"hw-address": "02:00:00:00:00:02", "ip-address": "192.0.2.112", "hostname": "nid0002", "option-data": [{"name": "routers", "data": "192.0.2.254"}]},
{"hw-address": "02:00:00:00:00:03", "ip-address": "192.0.2.13", "hostname": "nid0003"},
{"hw-address": "02:00:00:00:00:06", "ip-address": "192.0.2.16", "hostname": "nid0006", "option-data": [{"name": "routers", "data": "192.0.2.254"}]},
{"hw-address": "02:00:00:00:00:60", "ip-address": "192.0.2.60", "hostname": "stranger", "option-data": [{"name": "routers", "data": "192.0.2.254"}]}]},
{"subnet": "198.51.100.0/24", "id": 2, "option-data": [{"name": "routers", "data": "198.51.100.1"}], "reservations": [
{"hw-address": "02:00:00:00:00:04", "ip-address": "198.51.100.14", "hostname": "nid0004", "boot-file-name": "old.efi",
"option-data": [{"name": "boot-file-name", "data": "old.efi"}]}]}]}}
`,
		args:  func(path string) []string { return []string{"-c", path} },
		ready: `DHCP4_STARTED`,
	},
	{
		name: "dnsmasq", tool: "dnsmasq", pkg: "dnsmasq-base", file: "dnsmasq.conf",
		config: `port=0
interface=eth0
except-interface=lo
dhcp-range=192.0.2.0,static,255.255.255.0,20m
dhcp-range=set:far,198.51.100.0,static,255.255.255.0,20m
dhcp-host=02:00:00:00:00:01,192.0.2.11,nid0001
dhcp-host=02:00:00:00:00:02,192.0.2.112,nid0002
dhcp-host=02:00:00:00:00:03,set:routerless,192.0.2.13,nid0003
dhcp-host=02:00:00:00:00:04,198.51.100.14,nid0004
dhcp-host=02:00:00:00:00:06,192.0.2.16,nid0006
dhcp-host=02:00:00:00:00:60,192.0.2.60,stranger
dhcp-option=option:dns-server,192.0.2.53
dhcp-option=tag:!far,option:router,192.0.2.254
dhcp-option=tag:far,option:router,198.51.100.1
dhcp-option=tag:routerless,option:router
dhcp-option=28
dhcp-boot=tag:far,old.efi,,192.0.2.1
dhcp-authoritative
dhcp-leasefile=DIR/leases
no-ping
log-dhcp
log-facility=-
user=root
pid-file=
`,
		args:  func(path string) []string { return []string{"--keep-in-foreground", "--conf-file=" + path} },
		ready: `DHCP, static leases only`,
	},
}

// start starts the server on a host.
func (i incumbent) start(s *site, on *dhcptest.Namespace) {
	s.t.Helper()
	dir := s.t.TempDir()
	path := filepath.Join(dir, i.file)
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(i.config, "DIR", dir)), 0o644); err != nil {
		s.t.Fatal(err)
	}
	cmd := on.Command(context.Background(), dhcptest.Need(s.t, i.tool, i.pkg), i.args(path)...)
	cmd.Env = append(os.Environ(), "KEA_PIDFILE_DIR="+dir, "KEA_LOCKFILE_DIR="+dir)
	p := dhcptest.StartProcess(s.t, i.name, cmd)
	p.WaitLog(i.ready, 10*time.Second)
}

// A shadowing is a coredhcp --shadow.
type shadowing struct {
	*dhcptest.Process
	t      *testing.T
	report string // its file
	temp   string // its folder of temporary files
}

// shadowIn starts coredhcp --shadow in a namespace.
func shadowIn(ns *dhcptest.Namespace, t *testing.T, config string, flags ...string) *shadowing {
	t.Helper()
	s := &shadowing{t: t, report: filepath.Join(t.TempDir(), "report"), temp: t.TempDir()}
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-c", `exec "$0" "$@" >"$REPORT"`, dhcptest.CoreDHCPBinary(t), "--shadow", "-c", path}, flags...)
	cmd := ns.Command(context.Background(), "sh", args...)
	cmd.Env = append(os.Environ(), "REPORT="+s.report, "TMPDIR="+s.temp)
	s.Process = dhcptest.StartProcess(t, "coredhcp --shadow", cmd)
	s.WaitLog(`listening beside other servers`, 20*time.Second)
	return s
}

// text is the report so far, without what is another one in each run.
func (s *shadowing) text() string {
	s.t.Helper()
	octets, err := os.ReadFile(s.report)
	if err != nil {
		s.t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d `).ReplaceAllString(string(octets), "TIME ")
	// A client may not hear the first reply to it.
	text = regexp.MustCompile(`, \d+ times`).ReplaceAllString(text, "")
	text = regexp.MustCompile(`(datagrams|sent again): \d+`).ReplaceAllString(text, "$1: N")
	return regexp.MustCompile(`in [\dms]+, since .*`).ReplaceAllString(text, "in DURATION, since TIME")
}

// wait waits for a line of the report.
func (s *shadowing) wait(expr string) {
	s.t.Helper()
	dhcptest.Eventually(s.t, 20*time.Second, func() error {
		if text := s.text(); !regexp.MustCompile(expr).MatchString(text) {
			return fmt.Errorf("no %q in\n%s", expr, text)
		}
		return nil
	})
}

// end ends the shadow, which must have left nothing behind.
func (s *shadowing) end() {
	s.t.Helper()
	s.Signal(syscall.SIGTERM)
	if err := s.Wait(5 * time.Second); err != nil {
		s.t.Errorf("%v\n%s", err, s.Log())
	}
	empty(s.t, s.temp)
}

// empty reports what is in a folder.
func empty(t *testing.T, folder string) {
	t.Helper()
	files, err := os.ReadDir(folder)
	if err != nil || len(files) > 0 {
		t.Errorf("left in %s: %v %v", folder, files, err)
	}
}

// noUDP checks that a process has no UDP socket: it can send no reply.
func (s *shadowing) noUDP() {
	s.t.Helper()
	dir := fmt.Sprintf("/proc/%d/", s.ID())
	var sockets []string
	fds, err := os.ReadDir(dir + "fd")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, fd := range fds {
		if name, err := os.Readlink(dir + "fd/" + fd.Name()); err == nil && strings.HasPrefix(name, "socket:[") {
			sockets = append(sockets, " "+strings.Trim(name[len("socket:"):], "[]")+" ")
		}
	}
	if len(sockets) == 0 {
		s.t.Error("it hears nothing: no socket")
	}
	for _, table := range []string{"udp", "udp6", "raw", "raw6"} {
		text, err := os.ReadFile(dir + "net/" + table)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, socket := range sockets {
			if strings.Contains(string(text), socket) {
				s.t.Errorf("socket %s of %s", socket, table)
			}
		}
	}
}

// shadowConfig is what we would serve these machines by. All that it could write would be
// in one folder.
func shadowConfig(id, words, folder string) string {
	return `server4:
  listen: ["%eth0"]
  plugins:
    - server_id: ` + id + `
    - dns: 192.0.2.53
    - netmask: 255.255.255.0
    - sleep: 10s
    - coresmd: ` + words + ` ipxe_base_uri=http://192.0.2.1:8081 snapshot_file=` + folder + `/inventory.json audit=` + folder + `/audit http_addr=127.0.0.1:6767 rule=id:x3000c0s6b0n0,ignore:true rule=type:Node,hostname:nid{04d} subnet=192.0.2.0/24,router:192.0.2.254 subnet=198.51.100.0/24,router:198.51.100.1
    - bootloop: lease_file=` + folder + `/leases.db subnet=192.0.2.0/24,router:192.0.2.254,pool:192.0.2.200-192.0.2.220
`
}

// TestLoopShadow has our server beside another one, on its host, and on a port to which a
// switch mirrors that host's. Real clients ask; the differences are those that are planted.
func TestLoopShadow(t *testing.T) {
	t.Parallel()
	for _, i := range incumbents {
		t.Run(i.name, func(t *testing.T) {
			t.Parallel()
			testShadow(t, i)
		})
	}
}

// shadowed are the addresses that SMD has for nodes 1 to 7. The last one is never heard.
var shadowed = []string{"192.0.2.11", "192.0.2.12", "192.0.2.13", "198.51.100.14", "192.0.2.15", "192.0.2.16", "192.0.2.17"}

func testShadow(t *testing.T, i incumbent) {
	s := newSite(t, dhcptest.SMDOptions{})
	for n, addr := range shadowed {
		s.addNode(n+1, addr)
	}
	mirror := s.mirror(1)
	far := s.farSite()
	i.start(s, s.server)
	folder := t.TempDir()
	config := shadowConfig("192.0.2.1", "svc_base_uri=http://127.0.0.1:27779 lease_time=1h", folder)
	beside := shadowIn(s.server, t, config)
	lines := shadowIn(s.server, t, config, "--log-format=json", "--shadow-interface", "eth0", "--shadow-interface", "lo")
	// Elsewhere, with the incumbent's lease time: most differs but for who we are.
	mirrored := shadowIn(mirror, t, shadowConfig("192.0.2.7", "svc_base_uri=file://"+shadowInventory(t)+" lease_time=20m", folder),
		"--shadow-interface", "mirror0", "--shadow-address", "192.0.2.7/24")
	beside.noUDP()

	host := func(mac int) *dhcptest.Namespace { return s.host(mac) }
	one := dhcptest.StartUdhcpc(host(1), "eth0", dhcptest.ClientOptions{})
	one.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
	two := dhcptest.StartUdhcpc(host(2), "eth0", dhcptest.ClientOptions{})
	two.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
	two.Renew()
	two.WaitEvent(dhcptest.EventRenew, dhcptest.BindTimeout)
	dhcptest.Dhclient(host(3), "eth0", dhcptest.ClientOptions{})
	four := s.net.Namespace("host4")
	four.Attach(far, "eth0", dhcptest.MAC(4))
	dhcptest.Udhcpc(four, "eth0", dhcptest.ClientOptions{VendorClass: "PXEClient:Arch:00007:UNDI:003016", Send: []string{"0x5d:0007"}, Ask: []string{"bootfile"}})
	dhcptest.Udhcpc(host(0x60), "eth0", dhcptest.ClientOptions{})
	dhcptest.Udhcpc(host(6), "eth0", dhcptest.ClientOptions{})
	five := dhcptest.StartUdhcpc(host(5), "eth0", dhcptest.ClientOptions{})
	five.WaitEvent(dhcptest.EventFail, 20*time.Second)
	five.Stop()
	one.Release()

	for _, shadow := range []*shadowing{beside, lines, mirrored} {
		shadow.wait(`x3000c0s5b0n0.*ours only`)
		shadow.wait(`RELEASE`)
		shadow.end()
	}
	empty(t, folder)
	lines.readLines()
	dhcptest.Golden(t, "shadow/"+i.name, beside.text())
	dhcptest.Golden(t, "shadow/"+i.name+"-mirror", mirrored.text())
	if sent := strings.TrimSpace(mirror.Run("cat", "/sys/class/net/mirror0/statistics/tx_packets")); sent != "0" {
		t.Errorf("the port that hears the mirror sent %s packets", sent)
	}
}

// readLines checks what programs read: a line for each exchange, and the summary.
func (s *shadowing) readLines() {
	s.t.Helper()
	var kinds []string
	for line := range strings.Lines(s.text()) {
		var one struct {
			Exchange *compared.Exchange
			Summary  *compared.Summary
		}
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			s.t.Fatalf("%v\n%s", err, line)
		}
		switch x := one.Exchange; {
		case x != nil:
			kinds = append(kinds, x.Message+" "+x.Result)
			if x.ID == "x3000c0s2b0n0" && x.State == "renewing" {
				want := []compared.Difference{{Code: 53, Part: "53 DHCP Message Type", Old: "ACK", New: "NAK"}}
				if diff := cmp.Diff(want, x.Replies[0].Differences); diff != "" || x.Client != "02:00:00:00:00:02" || x.Ours.Reason != "not its address: 192.0.2.12 is" {
					s.t.Errorf("%s (-want +got):\n%s", line, diff)
				}
			}
			if x.ID == "x3000c0s5b0n0" && (x.Times < 2 || x.Times > 4) {
				s.t.Errorf("sent %d times", x.Times)
			}
		case one.Summary.Exchanges != len(kinds) || one.Summary.Machines != 7:
			s.t.Errorf("after %d exchanges: %s", len(kinds), line)
		default:
			kinds = append(kinds, "summary")
		}
	}
	want := []string{
		"DISCOVER different", "REQUEST different", "DISCOVER different", "REQUEST different", "REQUEST different", "DISCOVER different", "REQUEST different",
		"DISCOVER different", "REQUEST different", "DISCOVER different", "REQUEST different", "DISCOVER incumbent only", "REQUEST incumbent only",
		"DISCOVER ours only", "RELEASE same", "summary",
	}
	if diff := cmp.Diff(want, kinds); diff != "" {
		s.t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// On the host of a relay both sides of it are heard, and each exchange is one. On the client's
// side alone the replies that the relay passes on say which relay it is.
func TestLoopShadowRelay(t *testing.T) {
	t.Parallel()
	s := newWiring(t)
	far, relay := s.net.Wire("far"), s.net.Namespace("relay")
	relay.Attach(far, "eth0", dhcptest.MAC(0x200), netip.PrefixFrom(farGateway, 24))
	relay.Attach(s.lan, "eth1", dhcptest.MAC(0x201), netip.PrefixFrom(relayIP, 24))
	relay.Forward()
	s.server.IP("route", "add", "198.51.100.0/24", "via", relayIP.String())
	dhcptest.StartDhcrelay(relay, "eth0", "eth1", serverIP)
	incumbents[0].start(s, s.server)
	config := shadowConfig("192.0.2.1", "svc_base_uri=file://"+shadowInventory(t)+" lease_time=20m", t.TempDir())
	both := shadowIn(relay, t, config)
	one := shadowIn(relay, t, config, "--shadow-interface", "eth0")
	four := s.net.Namespace("host4")
	four.Attach(far, "eth0", dhcptest.MAC(4))
	dhcptest.Udhcpc(four, "eth0", dhcptest.ClientOptions{})
	for _, shadow := range []*shadowing{both, one} {
		shadow.wait(`REQUEST`)
		shadow.end()
	}
	want := `TIME x3000c0s4b0n0 02:00:00:00:00:04 DISCOVER, relay 198.51.100.1: different
    192.0.2.1: OFFER of 198.51.100.14
        file: old.efi -> nothing
    we: OFFER of 198.51.100.14 by coresmd
TIME x3000c0s4b0n0 02:00:00:00:00:04 REQUEST (selecting), relay 198.51.100.1: different
    192.0.2.1: ACK of 198.51.100.14
        file: old.efi -> nothing
    we: ACK of 198.51.100.14 by coresmd
`
	for name, text := range map[string]string{"both sides": both.text(), "the client's side": one.text()} {
		lines, _, _ := strings.Cut(text, "\n\n")
		if diff := cmp.Diff(want, lines+"\n"); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Where two servers answer, each is held against ours. A machine's own port hears both.
func TestLoopShadowTwo(t *testing.T) {
	t.Parallel()
	s := newWiring(t)
	other := s.net.Namespace("other")
	other.Attach(s.lan, "eth0", dhcptest.MAC(0x101), netip.MustParsePrefix("192.0.2.3/24"))
	incumbents[0].start(s, s.server)
	incumbents[1].start(s, other)
	one := s.host(1)
	shadow := shadowIn(one, t, shadowConfig("192.0.2.1", "svc_base_uri=file://"+shadowInventory(t)+" lease_time=20m", t.TempDir()), "--shadow-address", "192.0.2.1/24")
	dhcptest.Udhcpc(one, "eth0", dhcptest.ClientOptions{})
	shadow.wait(`REQUEST`)
	shadow.end()
	discover, _, _ := strings.Cut(shadow.text(), "TIME x3000c0s1b0n0 02:00:00:00:00:01 REQUEST")
	head, replies, _ := strings.Cut(discover, "\n")
	if want := "TIME x3000c0s1b0n0 02:00:00:00:00:01 DISCOVER: different, 2 servers answered"; head != want {
		t.Errorf("%q, want %q", head, want)
	}
	kea := "    192.0.2.1: OFFER of 192.0.2.11\n"
	masq := "    192.0.2.3: OFFER of 192.0.2.11\n        siaddr: 192.0.2.3 -> 192.0.2.1\n        54 Server Identifier: 192.0.2.3 -> 192.0.2.1\n" +
		"        61 Client identifier: nothing -> 0x01020000000001\n"
	we := "    we: OFFER of 192.0.2.11 by coresmd\n"
	if replies != kea+masq+we && replies != masq+kea+we {
		t.Errorf("%s", discover)
	}
	// dnsmasq refuses the client that takes the other one's offer: then both answer twice.
	if text := shadow.text(); !regexp.MustCompile(`\n      [12] of them by more than one server\n`).MatchString(text) {
		t.Errorf("%s", text)
	}
}

// An interface that goes down and comes back is heard again.
func TestLoopShadowDown(t *testing.T) {
	t.Parallel()
	s := newWiring(t)
	shadow := shadowIn(s.server, t, shadowConfig("192.0.2.1", "svc_base_uri=file://"+shadowInventory(t), t.TempDir()), "--shadow-interface", "eth0")
	tap := s.host(1).Tap("eth0")
	s.server.IP("link", "set", "eth0", "down")
	shadow.WaitLog(`--shadow-interface eth0: it is down`, 10*time.Second)
	mark := shadow.Mark()
	s.server.IP("link", "set", "eth0", "up")
	shadow.WaitLogSince(mark, `listening beside other servers on eth0`, 10*time.Second)
	carried(t, tap, s.server.Tap("eth0"))
	tap.Send(toAll(67, dhcptest.Request4(t, dhcptest.MAC(1).String(), dhcpv4.MessageTypeDiscover).ToBytes()))
	shadow.wait(`02:00:00:00:00:01 DISCOVER: ours only`)
	shadow.end()
}

// A burst of 10,000 machines is heard whole.
func TestLoopShadowBurst(t *testing.T) {
	t.Parallel()
	s := newWiring(t)
	folder := dhcptest.Inventory(t, "[]", `{"Components":[]}`)
	shadow := shadowIn(s.server, t, shadowConfig("192.0.2.1", "svc_base_uri=file://"+folder, t.TempDir()))
	tap := s.host(1).Tap("eth0")
	carried(t, tap, s.server.Tap("eth0"))
	const machines = 10_000
	for n := range machines {
		discover := dhcptest.Request4(t, dhcptest.MAC(n).String(), dhcpv4.MessageTypeDiscover)
		tap.Send(toAll(67, discover.ToBytes()))
	}
	dhcptest.Eventually(t, 30*time.Second, func() error {
		if got := strings.Count(shadow.text(), "ours only"); got != machines {
			return fmt.Errorf("%d of %d", got, machines)
		}
		return nil
	})
	shadow.end()
	if text := shadow.text(); !strings.Contains(text, fmt.Sprintf("\n%d exchanges of %d clients in DURATION", machines, machines)) || strings.Contains(text, "not heard") {
		t.Errorf("%s", text[strings.LastIndex(text, "\n\n"):])
	}
}

// What cannot be is said, and nothing is begun.
func TestLoopShadowMistakes(t *testing.T) {
	t.Parallel()
	ns := dhcptest.NewNet(t).Namespace("alone")
	ns.IP("link", "add", "down0", "type", "veth", "peer", "name", "down1")
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte("server4:\n  plugins:\n    - server_id: 192.0.2.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for words, want := range map[string]string{
		"--shadow":                            "no interface to listen on: none is up; wanted --shadow-interface",
		"--shadow --shadow-interface eth0":    "--shadow-interface eth0: there is no such interface",
		"--shadow --shadow-address 192.0.2.1": `invalid argument "192.0.2.1" for "--shadow-address" flag: wanted an address with the length of its network, such as 192.0.2.1/24`,
		"--shadow-interface eth0":             "--shadow-interface and --shadow-address are for --shadow, which is missing",
		"--shadow --shadow-interface lo -c " + config + " -L error -x": "unknown shorthand flag: 'x' in -x",
	} {
		cmd := ns.Command(t.Context(), dhcptest.CoreDHCPBinary(t), append([]string{"-c", config, "-L", "error"}, strings.Fields(words)...)...)
		cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%s\nwant %s", words, err, out, want)
		}
	}
}

// masq6 is an incumbent of DHCPv6. What is planted:
//
//	lease time    20m, not 1h
//	node 2        2001:db8::112, not 2001:db8::12
//	node 3        behind a relay; not known to SMD there
var masq6 = incumbent{
	name: "dnsmasq6", tool: "dnsmasq", pkg: "dnsmasq-base", file: "dnsmasq.conf",
	config: `port=0
interface=eth0
except-interface=lo
dhcp-duid=1,0200000009
dhcp-range=2001:db8::,static,64,20m
dhcp-range=2001:db8:1::,static,64,20m
dhcp-host=02:00:00:00:00:01,[2001:db8::11],nid0001
dhcp-host=02:00:00:00:00:02,[2001:db8::112],nid0002
dhcp-host=id:00:03:00:01:02:00:00:00:00:03,[2001:db8:1::13],nid0003
dhcp-option=option6:dns-server,[2001:db8::53]
dhcp-authoritative
dhcp-leasefile=DIR/leases
log-dhcp
log-facility=-
user=root
pid-file=
`,
	args:  func(path string) []string { return []string{"--keep-in-foreground", "--conf-file=" + path} },
	ready: `DHCPv6, static leases only on 2001:db8:1::`,
}

// TestLoopShadow6 does the same with DHCPv6, where a client names the server that it
// requests an address from by its DUID.
func TestLoopShadow6(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	for n, addr := range []string{"2001:db8::11", "2001:db8::12", "2001:db8::13", "2001:db8::14"} {
		s.addNode(n+1, addr)
	}
	far := s.farSite6()
	masq6.start(s.site, s.server)
	folder := t.TempDir()
	beside := shadowIn(s.server, t, s.config6(s.smd6("snapshot_file="+folder+"/inventory.json", "subnet=2001:db8::/64", "subnet=2001:db8:1::/64")))
	beside.noUDP()
	for n, wire := range []*dhcptest.Wire{s.lan, s.lan, far} {
		client := dhcptest.StartDhcpcd6(s.host6(wire, n+1), "eth0")
		client.WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout)
	}
	beside.wait(`x3000c0s3b0n0.* REQUEST`)
	beside.end()
	empty(t, folder)
	dhcptest.Golden(t, "shadow/dnsmasq6", beside.text())
}

// toAll is a frame from the first machine to all, to a port.
func toAll(port uint16, payload []byte) []byte {
	return dhcptest.UDP{
		Src: dhcptest.MAC(1), Dst: layers.EthernetBroadcast, From: netip.MustParseAddrPort("0.0.0.0:68"),
		To: netip.AddrPortFrom(netip.MustParseAddr("255.255.255.255"), port), Payload: payload,
	}.Frame()
}

// carried waits until what is sent on one tap arrives at others.
func carried(t *testing.T, from *dhcptest.Tap, to ...*dhcptest.Tap) {
	t.Helper()
	for _, tap := range to {
		dhcptest.Eventually(t, 10*time.Second, func() error {
			frame := toAll(9, []byte("hello"))
			frame[35] = 9 // from port 9 too: not a port of DHCP
			from.Send(frame)
			if _, ok := tap.ReceiveUDP(9, 100*time.Millisecond); !ok {
				return errors.New("the wire does not carry yet")
			}
			return nil
		})
	}
}

// Where a packet is seen on several interfaces it is one packet, and the client's network is
// that of the interface which has an address: a bridge, not its port. What comes in a VLAN is
// not of the trunk's network. Fragments and garbage are counted.
func TestLoopShadowInterfaces(t *testing.T) {
	t.Parallel()
	s := newWiring(t)
	s.server.IP("addr", "flush", "dev", "eth0")
	s.server.IP("link", "add", "br0", "type", "bridge", "forward_delay", "0")
	s.server.IP("link", "set", "eth0", "master", "br0")
	s.server.IP("addr", "add", "192.0.2.1/24", "dev", "br0")
	s.server.IP("link", "set", "br0", "up")
	trunk := s.net.Namespace("trunk")
	trunk.Attach(s.lan, "eth0", dhcptest.MAC(0x120), netip.MustParsePrefix("192.0.2.1/24"))
	folder := dhcptest.Inventory(t, `[{"MACAddress": "02:00:00:00:00:01", "ComponentID": "x1", "Type": "Node", "IPAddresses": [{"IPAddress": "192.0.2.11"}, {"IPAddress": "198.51.100.11"}]}]`,
		`{"Components":[{"ID": "x1", "Type": "Node", "NID": 1, "State": "Ready"}]}`)
	config := shadowConfig("192.0.2.1", "svc_base_uri=file://"+folder, t.TempDir())
	bridged, trunked := shadowIn(s.server, t, config), shadowIn(trunk, t, config, "--shadow-address", "198.51.100.1/24")

	tap := s.host(1).Tap("eth0")
	discover := dhcptest.Request4(t, dhcptest.MAC(1).String(), dhcpv4.MessageTypeDiscover)
	carried(t, tap, s.server.Tap("br0"), trunk.Tap("eth0"))
	tap.Send(toAll(67, discover.ToBytes()))
	tap.Send(toAll(67, []byte("garbage")))
	fragment := toAll(67, make([]byte, 300))
	fragment[20] |= 0x20 // more fragments
	binary.BigEndian.PutUint16(fragment[24:], 0)
	binary.BigEndian.PutUint16(fragment[24:], ^dhcptest.Sum(fragment[14:34]))
	tap.Send(fragment)
	discover.TransactionID = dhcpv4.TransactionID{7}
	tap.Send(slices.Insert(toAll(67, discover.ToBytes()), 12, 0x81, 0, 0, 7)) // in VLAN 7

	bridged.wait(`(?s)DISCOVER.*DISCOVER`)
	trunked.wait(`(?s)DISCOVER.*DISCOVER`)
	bridged.end()
	trunked.Signal(syscall.SIGHUP)
	trunked.wait(`(?m)^datagrams`)
	trunked.end() // the second summary
	dhcptest.Golden(t, "shadow/bridge", bridged.text())
	dhcptest.Golden(t, "shadow/vlan", trunked.text())
}

// shadowInventory is the inventory of these tests in files.
func shadowInventory(t *testing.T) string {
	t.Helper()
	var interfaces, components []string
	for n, addr := range shadowed {
		id := fmt.Sprintf("x3000c0s%db0n0", n+1)
		interfaces = append(interfaces, fmt.Sprintf(`{"MACAddress": "%s", "ComponentID": "%s", "Type": "Node", "IPAddresses": [{"IPAddress": "%s"}]}`, dhcptest.MAC(n+1), id, addr))
		components = append(components, fmt.Sprintf(`{"ID": "%s", "Type": "Node", "NID": %s, "State": "Ready"}`, id, strconv.Itoa(n+1)))
	}
	return dhcptest.Inventory(t, "["+strings.Join(interfaces, ",")+"]", `{"Components":[`+strings.Join(components, ",")+"]}")
}

// mirror has the switch of the lan mirror a port to one of a new host, which has no address
// and is silent by itself.
func (s *site) mirror(port int) *dhcptest.Namespace {
	s.t.Helper()
	ns := s.net.Namespace("mirror")
	s.lan.Mirror(port, ns, "mirror0")
	return ns
}

package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// statusAddr is where the server tells of itself in these tests.
const statusAddr = "127.0.0.1:6767"

// get asks the server's namespace by HTTP.
func (s *site) get(target string) (code int, body string, err error) {
	client := http.Client{
		Transport: &http.Transport{DialContext: s.server.Dial, DisableKeepAlives: true},
		Timeout:   10 * time.Second,
	}
	resp, err := client.Get(target)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// told asks the status listener and returns what it says.
func (s *site) told(path string) string {
	s.t.Helper()
	code, body, err := s.get("http://" + statusAddr + path)
	if err != nil || code != http.StatusOK {
		s.t.Fatalf("%s: %d %v\n%s", path, code, err, body)
	}
	return body
}

// command runs the command coresmd beside the server. It returns what it prints and its exit status.
func (s *site) command(words ...string) (out string, status int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	cmd := s.server.Command(ctx, filepath.Join(filepath.Dir(dhcptest.CoreDHCPBinary(s.t)), "coresmd"), words...)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("coresmd %v: %v\n%s", words, err, text)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// firstLine is the first line of an explanation, its times taken out.
func (s *site) firstLine(words ...string) string {
	s.t.Helper()
	out, _ := s.command(append([]string{"explain"}, words...)...)
	line, _, _ := strings.Cut(out, "\n")
	return stamps.ReplaceAllString(strings.ReplaceAll(line, s.tftp, "TFTP_DIR"), "TIME")
}

var stamps = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)`)

func mac(n int) string { return dhcptest.MAC(n).String() }

// scriptService answers for the boot script service in the server's namespace.
func (s *site) scriptService() net.Listener {
	s.t.Helper()
	l, err := s.server.Listen("192.0.2.1:8081")
	if err != nil {
		s.t.Fatal(err)
	}
	service := http.Server{Handler: http.NotFoundHandler(), ErrorLog: discard()}
	go func() { _ = service.Serve(l) }()
	s.t.Cleanup(func() { service.Close() })
	return l
}

// ready waits until /readyz says so, or says something else.
func (s *site) ready(want string) {
	s.t.Helper()
	dhcptest.Eventually(s.t, takesUp, func() error {
		_, body, err := s.get("http://" + statusAddr + status.PathReady)
		if err == nil && strings.TrimSpace(body) != want {
			err = fmt.Errorf("readyz: %q, want %q", body, want)
		}
		return err
	})
}

// Twenty faults are planted in a running site, one at a time. What explain says first names each.
func TestTwentyFaults(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	scripts := s.scriptService()
	if err := os.WriteFile(s.tftp+"/ipxe-x86_64.efi", []byte("loader"), 0o644); err != nil {
		t.Fatal(err)
	}
	disabled := false
	for n := range 20 {
		s.addNode(40+n, fmt.Sprintf("192.0.2.%d", 140+n)) // so that a lost half is noticed
	}
	s.addNode(1, "192.0.2.11")
	s.addNode(2)
	s.addNode(3, "192.0.2.13")
	s.addNode(0x13, "192.0.2.13")
	s.addNode(4, "198.51.100.14")
	s.addNode(5, "192.0.2.15")
	s.addNode(6, "192.0.2.16")
	s.addNode(10, "192.0.2.20")
	s.addNode(0x1a, "192.0.2.21")
	s.smd.PostComponents(
		dhcptest.Component{ID: "x3000c0s7b0n0", State: "Ready", Type: "Node", NID: 7, Enabled: &disabled},
		dhcptest.Component{ID: "x3000c0s8b0n0", State: "Ready", Type: "Node", NID: 5},
	)
	s.smd.PostInterfaces(
		dhcptest.Interface{MAC: dhcptest.MAC(7).String(), ComponentID: "x3000c0s7b0n0", Addresses: dhcptest.IPs("192.0.2.17")},
		dhcptest.Interface{MAC: dhcptest.MAC(8).String(), ComponentID: "x3000c0s8b0n0", Addresses: dhcptest.IPs("192.0.2.18")},
		dhcptest.Interface{MAC: dhcptest.MAC(9).String(), ComponentID: "x3000c0s9b0n0", Addresses: dhcptest.IPs("192.0.2.19")},
	)
	snapshot := t.TempDir() + "/inventory.json"
	words := s.words("http_addr="+statusAddr, "respect_enabled=true", "snapshot_file="+snapshot, "subnet=192.0.2.0/24", "subnet=198.51.100.0/24",
		"rule=name:hands-off,id:x3000c0s6b0n0,ignore:true", "rule=type:Node,hostname:nid{04d}")
	last := "bootloop: lease_file=" + t.TempDir() + "/leases.db subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.201"
	run := func(config string) *dhcptest.Process {
		return dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), config)
	}
	var table strings.Builder
	note := func(fault string, words ...string) {
		t.Helper()
		fmt.Fprintf(&table, "%s\n  %s\n", fault, s.firstLine(words...))
	}
	wire := s.tester()
	ask := func(n int, with ...dhcpv4.Modifier) {
		wire.ask(n, discover, 2*time.Second, with...)
	}

	dhcp := run(strings.Replace(s.chain(words, last), "%eth0", "%lo", 1))
	s.ready("ok")
	note("listening on the wrong interface", mac(5))
	dhcp.Stop()

	dhcp = run(s.chain(words, last))
	s.ready("ok")
	probe, err := dhcpv4.New(dhcpv4.WithMessageType(request), dhcpv4.WithClientIP(serverIP.AsSlice()), dhcpv4.WithHwAddr(make(net.HardwareAddr, 6)), dhcpv4.WithRelay(testerIP.AsSlice()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wire.conn.WriteTo(probe.ToBytes(), net.UDPAddrFromAddrPort(netip.AddrPortFrom(serverIP, dhcpv4.ServerPort))); err != nil {
		t.Fatal(err)
	}
	dhcp.WaitLog("state=probe", takesUp)
	note("health probe only", mac(5))

	ask(5, dhcptest.PXE(7))
	wire.ask(5, request, 2*time.Second, dhcptest.PXE(7), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(serverIP.AsSlice())), dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IPv4(192, 0, 2, 15))))
	told := time.Now()

	ask(0x101)
	note("wrong MAC in SMD", mac(1))
	ask(2)
	note("no address", mac(2))
	ask(0x13)
	ask(3)
	note("duplicate address", doubly(s, "192.0.2.13"))
	ask(4)
	note("address of another network", mac(4))
	ask(6)
	note("rule that ignores it", mac(6))
	ask(7)
	note("disabled component", mac(7))
	ask(9)
	note("missing component", mac(9))
	note("relay in no network", mac(5), "--giaddr", "203.0.113.1")
	ask(10, dhcptest.PXE(27))
	note("no loader for the architecture", mac(10))
	ask(0x1a, dhcptest.PXE(11))
	note("loader file missing", mac(0x1a))
	for _, n := range []int{0x8001, 0x8002} { // the offers to others end in ten seconds
		dhcptest.Eventually(t, 20*time.Second, func() error {
			_, addr, _ := strings.Cut(wire.ask(n, discover, time.Second), " ")
			got := wire.ask(n, request, time.Second, dhcpv4.WithOption(dhcpv4.OptServerIdentifier(serverIP.AsSlice())), dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.ParseIP(addr))))
			if !strings.HasPrefix(got, "ACK") {
				return fmt.Errorf("%x: %s", n, got)
			}
			return nil
		})
	}
	ask(0x8003)
	note("pool exhausted", mac(0x8003))
	ask(8)
	note("name collision", mac(8))
	wire.ask(41, request, 300*time.Millisecond, dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, 66))), dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IPv4(192, 0, 2, 166))))
	dhcp.WaitLog(`reason="another server's: 192.0.2.66"`, takesUp)
	note("another server's answer taken", mac(41))
	time.Sleep(time.Until(told.Add(11 * time.Second)))
	note("firewall eats TFTP", mac(5))
	ask(42)
	scripts.Close()
	note("script URL dead", mac(42))
	s.scriptService()

	s.smd.Stop()
	s.state("stale")
	note("SMD down", mac(42))
	dhcp.Stop()
	run(s.chain(words, last))
	ask(42)
	note("from snapshot", mac(42))
	s.smd.Start()
	s.state("fresh")
	for n := range 20 {
		s.smd.DeleteInterface(dhcptest.MAC(40 + n).String())
	}
	s.state("in doubt")
	note("in doubt", mac(42))
	if n := strings.Count(table.String(), "\n  "); n != 20 {
		t.Errorf("%d faults, want 20", n)
	}
	dhcptest.Golden(t, "explain", table.String())
}

// state waits for a state of the inventory.
func (s *site) state(want string) {
	s.t.Helper()
	dhcptest.Eventually(s.t, 2*takesUp, func() error {
		var now status.Status
		err := json.Unmarshal([]byte(s.told(status.PathStatus)), &now)
		if err == nil && now.Inventory.State != want {
			err = fmt.Errorf("inventory %s, want %s", now.Inventory.State, want)
		}
		return err
	})
}

// doubly returns the MAC that the fault about an address that two have is told of: the one that
// SMD lists second.
func doubly(s *site, addr string) string {
	s.t.Helper()
	var faults status.Faults
	if err := json.Unmarshal([]byte(s.told(status.PathFaults)), &faults); err != nil {
		s.t.Fatal(err)
	}
	for _, f := range faults.Faults {
		if f.Kind == "address-twice" && strings.Contains(f.Reason, addr) {
			return f.MAC
		}
	}
	s.t.Fatalf("no fault of %s: %+v", addr, faults)
	return ""
}

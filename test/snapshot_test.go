package test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// A node that was added a moment ago gets its lease at its first DISCOVER,
// although the inventory is looked at once an hour.
func TestNewNodeAtFirstDiscover(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.addNode(1, "192.0.2.11")
	words := strings.Replace(s.words("snapshot_file=off"), "cache_valid=1s", "cache_valid=1h", 1)
	dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), s.bootloopConfig(words))
	client := s.tester()
	for n := 2; n <= 5; n++ {
		addr := "192.0.2.1" + string(rune('0'+n))
		s.addNode(n, addr)
		began := time.Now()
		if got := client.ask(n, discover, 2*time.Second); got != "OFFER "+addr {
			t.Errorf("node %d, first DISCOVER: %s", n, got)
		}
		t.Logf("node %d: offered %s after %v", n, addr, time.Since(began).Round(time.Millisecond))
	}
	if got := client.ask(9, discover, 2*time.Second); !strings.HasPrefix(got, "OFFER 192.0.2.20") {
		t.Errorf("a stranger: %s", got)
	}
	want := nodeLease(6, "192.0.2.16")
	s.addNode(6, "192.0.2.16")
	compare(t, want, dhcptest.Udhcpc(s.host(6), "eth0", dhcptest.ClientOptions{}))
}

// The server starts while SMD is down: with a snapshot it serves from it, with
// one that is cut off or without any it offers nothing and refuses nobody.
func TestStartWithoutSMD(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.addNode(1, "192.0.2.11")
	s.addNode(2, "192.0.2.12")
	file := filepath.Join(t.TempDir(), "inventory.json")
	start := func() *dhcptest.Process {
		return dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), s.bootloopConfig(s.words("snapshot_file="+file)))
	}
	client := s.tester()
	start().Stop()
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s.smd.Stop()
	for name, c := range map[string]struct {
		text                            []byte
		says                            string
		discover, renew, other, unknown string
	}{
		"whole":     {whole, `serving 2 machines from the snapshot of \S+, \d+s old`, "OFFER 192.0.2.11", "ACK 192.0.2.11", "silence", "silence"},
		"truncated": {whole[:len(whole)/2], `level=error.*reading snapshot_file.*broken JSON.*set aside`, "silence", "silence", "silence", "silence"},
		"none":      {nil, `level=error.*no inventory yet`, "silence", "silence", "silence", "silence"},
	} {
		_ = os.Remove(file)
		if c.text != nil {
			if err := os.WriteFile(file, c.text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		dhcp := start()
		dhcp.WaitLog(c.says, takesUp)
		wait := 700 * time.Millisecond
		for what, got := range map[string][2]string{
			"DISCOVER":                     {client.ask(1, discover, wait), c.discover},
			"renewal":                      {client.ask(1, request, wait, dhcptest.Ciaddr("192.0.2.11")), c.renew},
			"renewal of another":           {client.ask(1, request, wait, dhcptest.Ciaddr("192.0.2.99")), c.other},
			"renewal of a pooled address":  {client.ask(1, request, wait, dhcptest.Ciaddr("192.0.2.205")), c.other},
			"renewal of another network's": {client.ask(1, request, wait, dhcptest.Requested("198.51.100.1")), c.other},
			"a stranger's DISCOVER":        {client.ask(9, discover, wait), c.unknown},
		} {
			if got[0] != got[1] {
				t.Errorf("%s, %s: %s, want %s", name, what, got[0], got[1])
			}
		}
		dhcp.Stop()
	}
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	dhcp := start()
	s.smd.Start()
	dhcp.WaitLog(saysUp, takesUp)
	dhcptest.Eventually(t, takesUp, func() error { return wanted(client.ask(9, discover, time.Second), "OFFER 192.0.2.200") })
	if err := wanted(client.ask(1, request, time.Second, dhcptest.Ciaddr("192.0.2.99")), "NAK 0.0.0.0"); err != nil {
		t.Errorf("after SMD is back: %v", err)
	}
}

// An inventory that was emptied serves on until a human says that it is right.
func TestTrustBySignal(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.addNode(1, "192.0.2.11")
	dhcp := dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), s.bootloopConfig(s.words("snapshot_file=off")))
	client := s.tester()
	s.smd.DeleteInterface(dhcptest.MAC(1).String())
	dhcp.WaitLog(`0 machines where 1 were: not believed without a human`, takesUp)
	if err := wanted(client.ask(1, discover, time.Second), "OFFER 192.0.2.11"); err != nil {
		t.Error(err)
	}
	dhcp.Signal(syscall.SIGUSR1)
	dhcp.WaitLog(`inventory of .*: 0 machines`, takesUp)
	if err := wanted(client.ask(1, discover, time.Second), "OFFER 192.0.2.200"); err != nil {
		t.Error(err)
	}
}

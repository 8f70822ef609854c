package test

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
)

// The example configuration starts as it is written, but for the folder of its files and
// the SMD, and serves a node and a stranger.
func TestExampleConfiguration(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.addNode(1, "192.0.2.11")
	example, err := os.ReadFile("../resources/config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := withServer6(t, string(example))
	for name, value := range map[string]string{"https://smd.example.org": s.smd.URL(), "/var/lib/coredhcp/": t.TempDir() + "/"} {
		if !strings.Contains(text, name) {
			t.Fatalf("%s does not stand in the example", name)
		}
		text = strings.ReplaceAll(text, name, value)
	}
	s.server.IP("addr", "add", serverIP6.String()+"/64", "dev", "eth0", "nodad")
	dhcptest.StartCoreDHCP(s.server, dhcptest.CoreDHCPBinary(t), text)

	known := nodeLease(1, "192.0.2.11")
	known.Hostname = "nid0001.cluster.example.org"
	compare(t, known, dhcptest.Udhcpc(s.host(1), "eth0", dhcptest.ClientOptions{}))

	unknown := lanLease("192.0.2.200")
	unknown.LeaseTime, unknown.T1, unknown.T2 = 5*time.Minute, 150*time.Second, 262*time.Second
	compare(t, unknown, dhcptest.Udhcpc(s.host(2), "eth0", dhcptest.ClientOptions{}))

	stranger := s.net.Namespace("six")
	stranger.QuickDAD()
	stranger.Attach(s.lan, "eth0", dhcptest.MAC(3))
	compare6(t, lease6("2001:db8::1000", 5*time.Minute), dhcptest.StartDhclient6(stranger, "eth0").WaitEvent(dhcptest.EventBound6, dhcptest.BindTimeout))
}

// withServer6 takes the comment off the section server6 of the example.
func withServer6(t *testing.T, example string) string {
	t.Helper()
	before, section, found := strings.Cut(example, "\n# server6:\n")
	if !found {
		t.Fatal("the example has no section server6")
	}
	text := before + "\nserver6:\n"
	for line := range strings.Lines(section) {
		text += strings.TrimPrefix(strings.TrimPrefix(line, "#"), " ")
	}
	return text
}

// What the demonstration prints before the server's log.
const demonstration = `inventory  x3000c0s0b0n0 is node 1, 02:00:00:00:00:01 has 192.0.2.11
server     coredhcp listens on 192.0.2.1

A machine that the inventory knows, 02:00:00:00:00:01:
  DISCOVER   OFFER of 192.0.2.11 from 192.0.2.1
  REQUEST    ACK of 192.0.2.11, nid0001.cluster.example.org, router 192.0.2.254, lease 1h0m0s
  boot file  ipxe-x86_64.efi, 65536 octets by TFTP from 192.0.2.1
  iPXE       script http://192.0.2.1:8081/boot/v1/bootscript?mac=02:00:00:00:00:01

A machine that nobody knows, 02:00:00:00:00:02:
  DISCOVER   OFFER of 192.0.2.200 from 192.0.2.1
  REQUEST    ACK of 192.0.2.200, no host name, router 192.0.2.254, lease 5m0s
  boot file  default, SIZE octets by TFTP from 192.0.2.1
  inventory  x3000c0s1b0n0 is node 2, 02:00:00:00:00:02 has 192.0.2.12
  renewal    NAK: 192.0.2.200 is not the address of this machine
  DISCOVER   OFFER of 192.0.2.12 from 192.0.2.1
  REQUEST    ACK of 192.0.2.12, nid0002.cluster.example.org, router 192.0.2.254, lease 1h0m0s

The server's log:
`

// The demonstration plays to its end, and leaves nothing behind.
func TestDemo(t *testing.T) {
	t.Parallel()
	cmd, folder := demo(t)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	want := strings.Replace(demonstration, "SIZE", strconv.Itoa(len(rebootScript(t, serverIP))), 1)
	got, _, _ := strings.Cut(out.String(), "time=")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	leftBehind(t, cmd.Process.Pid, folder)
}

// rebootScript is the built-in script as this server serves it.
func rebootScript(t *testing.T, server netip.Addr) []byte {
	t.Helper()
	script, err := template.ParseFiles("../resources/reboot.ipxe")
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := script.Execute(&text, struct{ Server netip.Addr }{server}); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

// An interrupt in the middle cleans up as well.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	cmd, folder := demo(t)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seen := make([]byte, 1)
	if _, err := out.Read(seen); err != nil { // the namespaces are there
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("the demonstration ended with %v, want exit status 1", err)
	}
	leftBehind(t, cmd.Process.Pid, folder)
}

// demo builds the demonstration and returns its command and its folder for temporary files.
func demo(t *testing.T) (cmd *exec.Cmd, folder string) {
	t.Helper()
	folder = t.TempDir()
	path := filepath.Join(t.TempDir(), "demo")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./demo").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd = exec.CommandContext(t.Context(), path)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "TMPDIR="+folder)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd, folder
}

// leftBehind reports namespaces and files of a demonstration that has ended.
func leftBehind(t *testing.T, pid int, folder string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ip", "netns", "list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"demo-server-", "demo-nodes-"} {
		if strings.Contains(string(out), name+strconv.Itoa(pid)) {
			t.Errorf("namespace %s%d is left behind", name, pid)
		}
	}
	files, err := os.ReadDir(folder)
	if err != nil || len(files) > 0 {
		t.Errorf("left behind: %v %v", files, err)
	}
}

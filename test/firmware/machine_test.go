//go:build firmware

package firmware

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// lifetime bounds the life of every machine.
const lifetime = 8 * time.Minute

// machine is an emulated computer. Its console and what it sent and received
// are kept in build/firmware/TEST.
type machine struct {
	*dhcptest.Process
	t       *testing.T
	mac     net.HardwareAddr
	started time.Time
	folder  string
}

// bios is a machine with SeaBIOS whose network card has the iPXE ROM of
// Debian's ipxe-qemu.
func bios(card string) []string {
	return []string{"-machine", "pc", "-device", card + ",netdev=n0,mac=MAC,bootindex=0"}
}

// uefi is a machine with OVMF that boots by OVMF's own PXE client, since its
// network card has no ROM.
func uefi(t *testing.T) []string {
	t.Helper()
	const code = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	vars := filepath.Join(t.TempDir(), "vars.fd")
	copyFile(t, vars, "/usr/share/OVMF/OVMF_VARS_4M.fd", "ovmf")
	return []string{
		"-machine", "q35",
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=" + code,
		"-drive", "if=pflash,format=raw,unit=1,file=" + vars,
		"-device", "virtio-net-pci,netdev=n0,mac=MAC,bootindex=0,romfile=",
	}
}

// power switches a machine on. It is plugged into the lan by its only
// interface, and boots from nothing else.
func (s *site) power(n int, hardware ...string) *machine {
	s.t.Helper()
	return s.powerOf("qemu-system-x86_64", "qemu-system-x86", n, hardware...)
}

// powerOf is power for a machine that an emulator of a package stands for.
func (s *site) powerOf(emulator, pkg string, n int, hardware ...string) *machine {
	s.t.Helper()
	m := &machine{t: s.t, mac: dhcptest.MAC(n), folder: folder(s.t)}
	host := s.net.Namespace(fmt.Sprintf("host%x", n))
	host.Attach(s.lan, "eth0", dhcptest.MAC(0x1000+n))
	host.IP("link", "add", "br0", "type", "bridge", "forward_delay", "0")
	host.IP("tuntap", "add", "tap0", "mode", "tap")
	for _, iface := range []string{"eth0", "tap0"} {
		host.IP("link", "set", iface, "master", "br0", "up")
	}
	host.IP("link", "set", "br0", "up")
	ctx, cancel := context.WithTimeout(context.Background(), lifetime)
	s.t.Cleanup(cancel)
	args := []string{
		"-nodefaults", "-no-user-config", "-nographic", "-accel", "tcg", "-m", "512",
		"-serial", "file:" + m.consolePath(),
		"-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no,vnet_hdr=off",
		"-object", "filter-dump,id=d0,netdev=n0,file=" + filepath.Join(m.folder, "net.pcap"),
	}
	for _, word := range hardware {
		args = append(args, strings.ReplaceAll(word, "MAC", m.mac.String()))
	}
	m.started = time.Now()
	m.Process = dhcptest.StartProcess(s.t, "qemu", host.Command(ctx, dhcptest.Need(s.t, emulator, pkg), args...))
	s.t.Cleanup(m.report)
	return m
}

// folder makes an empty folder that outlives the test.
func folder(t *testing.T) string {
	t.Helper()
	root, err := dhcptest.RepoRoot()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "build", "firmware", t.Name())
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func (m *machine) consolePath() string { return filepath.Join(m.folder, "console.txt") }

// escapes are what terminals are controlled with.
var escapes = regexp.MustCompile(`\x1b\[[0-9;?=]*[A-Za-z]|\r`)

// console returns what the machine has printed, without terminal control.
func (m *machine) console() string {
	text, _ := os.ReadFile(m.consolePath())
	return escapes.ReplaceAllString(string(text), "")
}

// waitConsole waits until the machine prints a text.
func (m *machine) waitConsole(text string, timeout time.Duration) {
	m.t.Helper()
	m.waitConsoleTimes(text, 1, timeout)
}

// waitConsoleTimes waits until the machine has printed a text n times.
func (m *machine) waitConsoleTimes(text string, n int, timeout time.Duration) {
	m.t.Helper()
	dhcptest.Eventually(m.t, timeout, func() error {
		if strings.Count(m.console(), text) >= n {
			return nil
		}
		return fmt.Errorf("%q is not %d times on the console", text, n)
	})
	m.t.Logf("%q after %.1f s", text, time.Since(m.started).Seconds())
}

// report shows the end of the console if the test failed.
func (m *machine) report() {
	if !m.t.Failed() {
		return
	}
	lines := strings.Split(strings.TrimSpace(m.console()), "\n")
	m.t.Logf("console and capture are in %s; the console ends:\n%s", m.folder, strings.Join(lines[max(0, len(lines)-40):], "\n"))
}

//go:build firmware

package firmware

import (
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// The addresses of the node, once it is known and before.
const (
	known   = "192.0.2.11"
	unknown = "192.0.2.200"
)

// A known node whose card has iPXE: one handshake, its script by HTTP.
func TestBIOSKnown(t *testing.T) {
	t.Parallel()
	for _, card := range []string{"e1000", "virtio-net-pci"} {
		t.Run(card, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			mac := dhcptest.MAC(1)
			s.addNode(mac, known)
			s.addScript(mac, off(mac))
			s.serve()
			s.booted(s.power(1, append(bios(card), "-no-reboot")...), time.Minute)
			s.handshakes(ack{known, scriptOf(mac)})
		})
	}
}

// An unknown machine runs the reboot script. While it waits it becomes known, and it boots
// its own script without a hand on it.
func TestBIOSBecomesKnown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	mac := dhcptest.MAC(1)
	s.addScript(mac, off(mac))
	s.serve()
	m := s.power(1, append(bios("virtio-net-pci"), "-no-reboot")...)
	m.waitConsole("Asking again in 10 seconds", time.Minute)
	s.addNode(mac, known)
	s.booted(m, time.Minute)
	s.handshakes(ack{unknown, "default"}, ack{known, scriptOf(mac)})
}

// The same by a loader: the firmware is given iPXE by TFTP before anybody knows it.
func TestUEFIBecomesKnown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	mac := dhcptest.MAC(1)
	s.addLoader("ipxe-x86_64.efi", "/boot/ipxe.efi")
	s.addScript(mac, off(mac))
	s.serve()
	m := s.power(1, append(uefi(t), "-no-reboot")...)
	m.waitConsole("Asking again in 10 seconds", 2*time.Minute)
	s.addNode(mac, known)
	s.booted(m, time.Minute)
	s.handshakes(ack{unknown, "ipxe-x86_64.efi"}, ack{unknown, "default"}, ack{known, scriptOf(mac)})
}

// A machine that stays unknown asks again with waits that double, reboots within two
// minutes, and begins anew.
func TestBIOSStaysUnknown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.serve()
	m := s.power(1, bios("virtio-net-pci")...)
	m.waitConsole("SMD does not know this machine", time.Minute)
	began := time.Now()
	mark := s.dhcp.Mark()
	for _, wait := range []time.Duration{5, 10, 20, 40} {
		from := time.Now()
		s.dhcp.WaitLogSince(mark, `(?s)msg=OFFER.* msg=ACK `, 60*time.Second)
		mark = s.dhcp.Mark()
		if took := time.Since(from); took < wait*time.Second || took > (wait+12)*time.Second {
			t.Errorf("it had a lease %v after the one before; it is to ask after %d s", took, wait)
		}
		t.Logf("asked again, %.1f s after the script began", time.Since(began).Seconds())
	}
	m.waitConsole("SMD still does not know", 20*time.Second)
	m.waitConsoleTimes("SeaBIOS", 2, 20*time.Second)
	if took := time.Since(began); took > 2*time.Minute {
		t.Errorf("it rebooted after %v", took)
	}
	m.waitConsoleTimes("SMD does not know this machine", 2, time.Minute)
	s.handshakes(ack{unknown, "default"})
}

// When DHCP dies while a machine waits, it keeps to the two minutes.
func TestBIOSNoDHCP(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.serve()
	m := s.power(1, append(bios("virtio-net-pci"), "-no-reboot")...)
	m.waitConsole("Asking again in 5 seconds", time.Minute)
	s.dhcp.Stop()
	m.waitConsole("Asking again in 20 seconds", time.Minute)
	m.waitConsole("SMD still does not know", 85*time.Second)
	if err := m.Wait(5 * time.Second); err != nil {
		t.Errorf("qemu: %v", err)
	}
}

// OVMF's PXE client loads iPXE by TFTP, and iPXE gets the script.
func TestUEFIKnown(t *testing.T) {
	t.Parallel()
	for loader, file := range map[string]string{"ipxe.efi": "/boot/ipxe.efi", "snponly.efi": "/usr/lib/ipxe/snponly.efi"} {
		t.Run(loader, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			mac := dhcptest.MAC(1)
			s.addNode(mac, known)
			s.addScript(mac, off(mac))
			s.addLoader("ipxe-x86_64.efi", file)
			s.serve()
			s.booted(s.power(1, append(uefi(t), "-no-reboot")...), 2*time.Minute)
			s.handshakes(ack{known, "ipxe-x86_64.efi"}, ack{known, scriptOf(mac)})
		})
	}
}

// The loader for BIOS. Debian has no PXE ROM that is not iPXE, so iPXE loads it; it runs
// on what the ROM offers to any loader.
func TestUndionly(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	mac := dhcptest.MAC(1)
	s.addNode(mac, known)
	s.addLoader("undionly.kpxe", "/usr/lib/ipxe/undionly.kpxe")
	s.addScript(mac, "chain tftp://${next-server}/undionly.kpxe")
	s.serve()
	m := s.power(1, append(bios("e1000"), "-no-reboot")...)
	s.asked(m, time.Minute)
	s.addScript(mac, "echo by ${netX/chip}\n"+off(mac))
	s.booted(m, time.Minute)
	s.handshakes(ack{known, scriptOf(mac)})
}

// Loaders of sites have these two commands built in. When the boot file cannot be had at
// first, config.ipxe asks again.
func TestConfigScript(t *testing.T) {
	t.Parallel()
	const builtIn = "dhcp\nchain tftp://${root-path}:69/config.ipxe"
	for name, late := range map[string]bool{"at once": false, "late": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			mac := dhcptest.MAC(1)
			s.addNode(mac, known)
			s.addScript(mac, builtIn)
			s.serve()
			m := s.power(1, append(bios("virtio-net-pci"), "-no-reboot")...)
			s.asked(m, time.Minute)
			if late {
				s.noScript(mac)
				m.waitConsole("Asking for a boot file", time.Minute)
			}
			s.addScript(mac, off(mac))
			s.booted(m, time.Minute)
			s.handshakes(ack{known, scriptOf(mac)})
		})
	}
}

// UEFI firmware that boots by HTTP is told of no boot file, and goes on with what it would
// boot next.
func TestUEFIHTTP(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.addNode(dhcptest.MAC(1), known)
	s.serve()
	m := s.power(1, append(uefi(t), noPXE...)...)
	m.waitConsole("Start HTTP Boot over IPv4", time.Minute)
	m.waitConsole(`failed to load Boot0001 "UEFI HTTPv4`, 2*time.Minute)
	if log := s.dhcp.Log(); !strings.Contains(log, " msg=OFFER ") || strings.Contains(log, " bootfile=") || strings.Contains(log, " msg=TFTP ") {
		t.Errorf("it was to be offered an address and no boot file:\n%s", log)
	}
}

// noPXE makes OVMF boot by HTTP only.
var noPXE = []string{"-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=no", "-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=no"}

// Where boot files are served by HTTP, it gets the loader there, and iPXE its script.
func TestUEFIHTTPBoot(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	mac := dhcptest.MAC(1)
	s.addNode(mac, known)
	s.addLoader("ipxe-x86_64.efi", "/boot/ipxe.efi")
	s.addScript(mac, off(mac))
	s.serve("boot_http=8082")
	s.booted(s.power(1, append(append(uefi(t), noPXE...), "-no-reboot")...), 3*time.Minute)
	s.handshakes(ack{known, "http://192.0.2.1:8082/ipxe-x86_64.efi"}, ack{known, scriptOf(mac)})
	if log := s.dhcp.Log(); !strings.Contains(log, " msg=HTTP ") || strings.Contains(log, " msg=TFTP ") {
		t.Errorf("the loader was to come by HTTP, and nothing by TFTP:\n%s", log)
	}
}

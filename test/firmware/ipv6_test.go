//go:build firmware

package firmware

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// known6 is the node's address of IPv6, behind the relay.
const known6 = "2001:db8:1::11"

// newSite6 makes a site that has IPv6 only: its machines are in a network behind a router
// that is a DHCPv6 relay too. iPXE calls itself by a UUID: nobody but a relay tells whose
// that is.
func newSite6(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	s.server.IP("addr", "add", "2001:db8::1/64", "dev", "eth0", "nodad")
	lan := s.lan
	s.lan = s.net.Wire("far")
	router := s.net.Namespace("router")
	router.QuickDAD()
	router.Forward6()
	router.Attach(s.lan, "eth0", dhcptest.MAC(0x200), netip.MustParsePrefix("2001:db8:1::1/64"))
	router.Attach(lan, "eth1", dhcptest.MAC(0x201), netip.MustParsePrefix("2001:db8::2/64"))
	s.server.IP("-6", "route", "add", "2001:db8:1::/64", "via", "2001:db8::2")
	router.Advertise("eth0", netip.MustParsePrefix("2001:db8:1::1/64"))
	dhcptest.StartDhcrelay6(router, "eth0", "eth1", netip.MustParseAddr("2001:db8::1"))
	return s
}

// serve6 starts the two servers.
func (s *site) serve6() {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	service := s.server.Command(context.Background(), self)
	service.Env = append(os.Environ(), scriptsEnv+"="+s.scripts)
	s.bss = dhcptest.StartProcess(s.t, "boot script service", service)
	s.dhcp = dhcptest.StartCoreDHCP6(s.server, dhcptest.CoreDHCPBinary(s.t), `server6:
  listen:
    - "[2001:db8::1]:547"
  plugins:
    - server_id: LL 02:00:00:00:01:00
    - coresmd: svc_base_uri=file://`+s.inventory+` ipxe_base_uri=http://[2001:db8::1]:8081 cache_valid=1s tftp_dir=`+s.tftp+`
    - bootloop: lease_file=`+filepath.Join(s.t.TempDir(), "leases.db")+` lease_time=5m subnet=2001:db8:1::/64,pool:2001:db8:1::1000-2001:db8:1::1fff
`)
}

// only6 makes OVMF boot by PXE over IPv6 only.
var only6 = []string{"-uuid", "2c5a7f3e-4b0d-4e55-9d5c-0a7d7c0f2b11", "-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=no"}

// OVMF's PXE client loads iPXE by TFTP over IPv6, and iPXE gets the script.
func TestUEFIKnown6(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	mac := dhcptest.MAC(1)
	s.addNode(mac, known6)
	s.addScript(mac, off(mac))
	s.addLoader("ipxe-x86_64.efi", "/boot/ipxe.efi")
	s.serve6()
	s.booted(s.power(1, append(append(uefi(t), only6...), "-no-reboot")...), 3*time.Minute)
	s.leases6(t, "2001:db8:1::11 tftp://[2001:db8::1]/ipxe-x86_64.efi", "2001:db8:1::11 "+scriptOf6(mac))
}

// An unknown machine runs the reboot script over IPv6, becomes known meanwhile, and boots its
// own script without a hand on it.
func TestUEFIBecomesKnown6(t *testing.T) {
	t.Parallel()
	s := newSite6(t)
	mac := dhcptest.MAC(1)
	s.addScript(mac, off(mac))
	s.addLoader("ipxe-x86_64.efi", "/boot/ipxe.efi")
	s.serve6()
	m := s.power(1, append(append(uefi(t), only6...), "-no-reboot")...)
	m.waitConsole("Asking again in 10 seconds", 3*time.Minute)
	s.addNode(mac, known6)
	s.booted(m, 2*time.Minute)
	s.leases6(t, "2001:db8:1::1001 tftp://[2001:db8::1]/ipxe-x86_64.efi", "2001:db8:1::1002 tftp://[2001:db8::1]/default", "2001:db8:1::11 "+scriptOf6(mac))
}

// scriptOf6 is the boot file of a known machine that runs iPXE.
func scriptOf6(mac net.HardwareAddr) string {
	return "http://[2001:db8::1]:8081/boot/v1/bootscript?mac=" + mac.String()
}

// leases6 compares what Replies to Requests gave that name a boot file, equal ones in a row
// taken together. OVMF and iPXE have different DUIDs. OVMF has a lease without one before: its router says that there is DHCPv6.
func (s *site) leases6(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for line := range strings.Lines(s.dhcp.Log()) {
		if !strings.Contains(line, " msg=REPLY ") || !strings.Contains(line, " message=REQUEST ") {
			continue
		}
		one := field(line, "ip") + " " + field(line, "bootfile")
		if field(line, "bootfile") != "" && (len(got) == 0 || got[len(got)-1] != one) {
			got = append(got, one)
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("leases %q, want %q", got, want)
	}
}

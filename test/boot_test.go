package test

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// bootOptions are what firmware asks for beside what every client does.
var bootOptions = []string{"bootfile", "tftp", "rootpath"}

// A BMC has an address and neither a name nor anything to boot, even if it asks.
func TestBMC(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.smd.PostComponents(dhcptest.Component{ID: "x3000c0s0b0", State: "Ready", Type: "NodeBMC"})
	s.smd.PostInterfaces(dhcptest.Interface{MAC: dhcptest.MAC(0x11).String(), ComponentID: "x3000c0s0b0", Addresses: dhcptest.IPs("192.0.2.111")})
	s.serve(s.words())
	compare(t, lanLease("192.0.2.111"), dhcptest.Udhcpc(s.host(0x11), "eth0", dhcptest.ClientOptions{Ask: bootOptions}))
}

// pxeClient are the options of UEFI x86-64 firmware.
var pxeClient = dhcptest.ClientOptions{VendorClass: "PXEClient:Arch:00007:UNDI:003016", Send: []string{"0x5d:0007", "0x5e:010310"}, Ask: bootOptions}

// The loader by the firmware's architecture, the script for iPXE, nothing for a system
// that is up.
func TestBootOptions(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.addNode(1, "192.0.2.11")
	s.serve(s.words())
	node := s.host(1)
	const script = "http://192.0.2.1:8081/boot/v1/bootscript?mac=02:00:00:00:00:01"
	bios := dhcptest.ClientOptions{VendorClass: "PXEClient:Arch:00000:UNDI:002001", Send: []string{"0x5d:0000"}, Ask: bootOptions}
	ipxe := dhcptest.ClientOptions{VendorClass: pxeClient.VendorClass, Send: []string{"0x5d:0007", "0x4d:69505845"}, Ask: bootOptions}
	lengthPrefixed := dhcptest.ClientOptions{VendorClass: pxeClient.VendorClass, Send: []string{"0x5d:0007", "0x4d:0469505845"}, Ask: bootOptions}
	tests := map[string]struct {
		client dhcptest.ClientOptions
		want   string // empty for no boot options at all
	}{
		"UEFI x86-64":                   {client: pxeClient, want: "ipxe-x86_64.efi"},
		"BIOS":                          {client: bios, want: "undionly.kpxe"},
		"iPXE":                          {client: ipxe, want: script},
		"iPXE, user class as RFC 3004":  {client: lengthPrefixed, want: script},
		"operating system that asks so": {client: dhcptest.ClientOptions{Ask: bootOptions}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			want := nodeLease(1, "192.0.2.11")
			if tt.want != "" {
				want.BootFile, want.RootPath, want.TFTPServer = tt.want, serverIP.String(), serverIP.String()
			}
			if tt.want != script {
				want.File = tt.want
			}
			compare(t, want, dhcptest.Udhcpc(node, "eth0", tt.client))
		})
	}
}

// The loader that the lease names comes by TFTP, octet for octet.
func TestLoaderByTFTP(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.addNode(1, "192.0.2.11")
	loader := make([]byte, 300_000)
	_, _ = rand.Read(loader)
	if err := os.WriteFile(filepath.Join(s.tftp, "ipxe-x86_64.efi"), loader, 0o644); err != nil {
		t.Fatal(err)
	}
	s.serve(s.words())
	node := s.host(1)
	bound := dhcptest.Udhcpc(node, "eth0", pxeClient)
	for _, name := range []string{bound.BootFile, "/" + bound.BootFile} {
		got, err := dhcptest.TFTPGet(node, bound.NextServer, name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, loader) {
			t.Errorf("%s: got %d octets that differ from the loader's %d", name, len(got), len(loader))
		}
	}
	if got, err := dhcptest.TFTPGet(node, bound.NextServer, "reboot.ipxe"); err != nil || !strings.HasPrefix(string(got), "#!ipxe") {
		t.Errorf("reboot.ipxe: %v: %q", err, got)
	}
	if _, err := dhcptest.TFTPGet(node, bound.NextServer, "missing.efi"); err == nil {
		t.Error("missing.efi was served")
	}
}

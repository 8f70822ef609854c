//go:build firmware

package firmware

import (
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// An unknown machine waits in the retry script. It is posted to the real SMD meanwhile, and
// boots its own script without a hand on it.
func TestBecomesKnownToSMD(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	pg, err := dhcptest.NewPostgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
	})
	smd := dhcptest.StartSMD(t, pg, dhcptest.SMDOptions{Namespace: s.server})
	s.source = "http://127.0.0.1:27779"
	mac := dhcptest.MAC(1)
	s.addScript(mac, off(mac))
	s.serve()
	m := s.power(1, append(bios("virtio-net-pci"), "-no-reboot")...)
	m.waitConsole("Asking again in 10 seconds", time.Minute)
	smd.PostComponents(dhcptest.Component{ID: "x3000c0s1b0n0", State: "Ready", Type: "Node", NID: 1, Role: "Compute"})
	smd.PostInterfaces(dhcptest.Interface{MAC: mac.String(), ComponentID: "x3000c0s1b0n0", Addresses: dhcptest.IPs(known)})
	s.booted(m, time.Minute)
	s.handshakes(ack{unknown, "default"}, ack{known, scriptOf(mac)})
}

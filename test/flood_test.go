//go:build storm

package test

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// A gigabyte of garbage and of spoiled messages at the port: the server goes on, with
// the memory that it had, and without a panic.
func TestLoopGigabyte(t *testing.T) {
	t.Parallel()
	s := newWiring(t)
	dhcp := dhcptest.LaunchCoreDHCP(s.server, quiet(t), configOf("%eth0", known(t)))
	dhcptest.Eventually(t, soon, func() error { return s.answers(dhcp) })
	before := dhcp.PeakMemory()
	enemy := s.net.Namespace("enemy")
	enemy.Attach(s.lan, "eth0", dhcptest.MAC(0x66), netip.MustParsePrefix("192.0.2.66/24"))
	conn, err := enemy.ListenPacket("udp4", ":68")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	random := rand.New(rand.NewPCG(1, 2))
	seeds := nastyMessages(t)
	noise := make([]byte, 1400)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	sent := 0
	for i := 0; sent < 1<<30; i++ {
		packet := noise[:700+random.IntN(700)]
		if i%4 == 0 {
			packet = spoil(random, append([]byte(nil), seeds[i/4%len(seeds)]...))
		}
		if _, err := conn.WriteTo(packet, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 67}); err != nil {
			t.Fatal(err)
		}
		sent += len(packet)
	}
	dhcptest.Eventually(t, soon, func() error { return s.answers(dhcp) })
	after := dhcp.PeakMemory()
	t.Logf("%d octets; memory %d MB before, %d MB at most", sent, before>>20, after>>20)
	if after > before+100<<20 {
		t.Errorf("memory grew from %d to %d", before, after)
	}
	if n := countLines(dhcp.Log(), "panic"); n != 0 {
		t.Errorf("%d lines of panics:\n%s", n, grep(dhcp.Log(), "panic"))
	}
}

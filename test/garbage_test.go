package test

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// An enemy on the provisioning network sends garbage, and messages of a known machine with
// octets changed, to the DHCP and the TFTP port: the server goes on.
func TestGarbage(t *testing.T) {
	t.Parallel()
	s := newSite(t, dhcptest.SMDOptions{})
	s.addNode(1, "192.0.2.11")
	dhcp := s.serve(s.words())
	enemy := s.net.Namespace("enemy")
	enemy.Attach(s.lan, "eth0", dhcptest.MAC(0x66), netip.MustParsePrefix("192.0.2.66/24"))
	conn, err := enemy.ListenPacket("udp4", ":68")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	random := rand.New(rand.NewPCG(1, 2))
	seeds := nastyMessages(t)
	for i := range 20_000 {
		packet := append([]byte(nil), seeds[i%len(seeds)]...)
		if i >= len(seeds) {
			packet = spoil(random, packet)
		}
		for _, port := range []int{67, 69} {
			if _, err := conn.WriteTo(packet, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: port}); err != nil {
				t.Fatal(err)
			}
		}
	}
	node := s.host(1)
	compare(t, nodeLease(1, "192.0.2.11"), dhcptest.Udhcpc(node, "eth0", dhcptest.ClientOptions{}))
	if _, err := dhcptest.TFTPGet(node, serverIP, "reboot.ipxe"); err != nil {
		t.Error(err)
	}
	if n := countLines(dhcp.Log(), "panic"); n != 0 {
		t.Errorf("%d lines of panics:\n%s", n, grep(dhcp.Log(), "panic"))
	}
}

// nastyMessages are messages of the known machine, one for each option a handler reads and
// each length that is wrong for it.
func nastyMessages(t *testing.T) [][]byte {
	t.Helper()
	var messages [][]byte
	mac := dhcptest.MAC(1).String()
	for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform, dhcpv4.MessageTypeRelease} {
		for _, code := range []uint8{12, 43, 50, 52, 54, 55, 57, 60, 61, 66, 67, 77, 82, 93, 94, 97, 118, 175} {
			for _, length := range []int{0, 1, 2, 3, 5, 255, 300} {
				value := make([]byte, length)
				for i := range value {
					value[i] = byte(i * 7)
				}
				messages = append(messages, dhcptest.Request4(t, mac, kind, dhcptest.Raw(code, value...)).ToBytes())
			}
		}
	}
	return messages
}

// spoil changes octets of a packet, cuts it, or replaces it.
func spoil(random *rand.Rand, packet []byte) []byte {
	switch random.IntN(8) {
	case 0:
		return packet[:random.IntN(len(packet))]
	case 1:
		packet = make([]byte, random.IntN(600))
		for i := range packet {
			packet[i] = byte(random.Uint32())
		}
		return packet
	}
	for range 1 + random.IntN(8) {
		packet[random.IntN(len(packet))] = byte(random.Uint32())
	}
	return packet
}

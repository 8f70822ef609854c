package server

import (
	"net"
	"net/netip"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/mmsg"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/record"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/sirupsen/logrus"
)

// BenchmarkPacket4 is what a packet costs outside the kernel and the plugins.
func BenchmarkPacket4(b *testing.B) { benchPacket4(b, process.New()) }

// BenchmarkPacket4Recorded is the same while packets are recorded.
func BenchmarkPacket4Recorded(b *testing.B) {
	p := process.New()
	process.Publish(p, record.Shared, record.New(64<<20))
	benchPacket4(b, p)
}

func benchPacket4(b *testing.B, in *process.Process) {
	l, err := listen(in, loopback(), nil, logrus.NewEntry(logrus.New()))
	if err != nil {
		b.Fatal(err)
	}
	defer l.close()
	l.chains.Store(&chains{v4: []link4{func(req, resp *dhcpv4.DHCPv4, from process.Origin) (*dhcpv4.DHCPv4, bool) {
		resp.Options[1], resp.Options[3], resp.Options[6] = req.GatewayIPAddr, req.GatewayIPAddr, req.GatewayIPAddr
		resp.Options[51], resp.Options[58], resp.Options[59] = req.GatewayIPAddr, req.GatewayIPAddr, req.GatewayIPAddr
		return address(req, resp, from)
	}}})
	s := l.sockets[1]
	octets := request4(b, dhcpv4.MessageTypeRequest, dhcpv4.WithGatewayIP(net.IPv4(192, 0, 2, 254)), generic(82, 1, 1, 'x'),
		generic(61, 1, 2), generic(55, 1, 3, 6), generic(57, 1, 2), generic(60, 1, 2), generic(50, 1, 2, 3, 4), generic(54, 1, 2, 3, 4)).ToBytes()
	w := writing{loop: l}
	b.ReportAllocs()
	for b.Loop() {
		p := packet{Datagram: mmsg.Datagram{Payload: octets, From: netip.MustParseAddrPort("192.0.2.254:67"), Index: 1}}
		s.see(&p)
		if why := s.parse(&p); why != "" {
			b.Fatal(why)
		}
		s.handle(&p, &w)
		s.out.queue.messages, s.out.queue.octets = s.out.queue.messages[:0], s.out.queue.octets[:0]
	}
}

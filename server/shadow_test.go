package server

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/compare"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// TestShadowReadsLate has a handshake on the host of a relay, whose interface
// to the clients is read first: each exchange is one all the same.
func TestShadowReadsLate(t *testing.T) {
	t.Parallel()
	var told []string
	s := &shadow{heard: make(chan compare.Datagram, heardAhead), order: compare.Order{Most: heardAhead}}
	s.pairing = compare.New(compare.Options{
		Ask4: func(*dhcpv4.DHCPv4, *compare.Datagram) compare.Answer { return compare.Answer{} },
		Tell: func(x *compare.Exchange) { told = append(told, x.Message+" by "+x.Relay+", "+x.Replies[0].Answer) },
	})
	client, server, relay := netip.MustParseAddrPort("0.0.0.0:68"), netip.MustParseAddrPort("192.0.2.1:67"), netip.MustParseAddrPort("198.51.100.1:67")
	all, back := netip.MustParseAddrPort("255.255.255.255:67"), netip.MustParseAddrPort("198.51.100.14:68")
	start := time.Now()
	hear := func(at int, iface string, from, to netip.AddrPort, message dhcpv4.MessageType, op dhcpv4.OpcodeType, relayed bool) {
		m, err := dhcpv4.New(dhcpv4.WithTransactionID(dhcpv4.TransactionID{1, 2, 3, 4}), dhcpv4.WithHwAddr(net.HardwareAddr{2, 0, 0, 0, 0, 4}), dhcpv4.WithMessageType(message))
		if err != nil {
			t.Fatal(err)
		}
		if m.OpCode = op; relayed {
			m.GatewayIPAddr = relay.Addr().AsSlice()
		}
		s.heard <- compare.Datagram{Time: start.Add(time.Duration(at) * time.Millisecond), Interface: iface, Index: len(iface), From: from, To: to, Payload: m.ToBytes()}
	}
	hear(0, "clients", client, all, dhcpv4.MessageTypeDiscover, dhcpv4.OpcodeBootRequest, false)
	hear(3, "clients", relay, back, dhcpv4.MessageTypeOffer, dhcpv4.OpcodeBootReply, true)
	hear(4, "clients", client, all, dhcpv4.MessageTypeRequest, dhcpv4.OpcodeBootRequest, false)
	hear(7, "clients", relay, back, dhcpv4.MessageTypeAck, dhcpv4.OpcodeBootReply, true)
	hear(1, "up", relay, server, dhcpv4.MessageTypeDiscover, dhcpv4.OpcodeBootRequest, true)
	hear(2, "up", server, relay, dhcpv4.MessageTypeOffer, dhcpv4.OpcodeBootReply, true)
	hear(5, "up", relay, server, dhcpv4.MessageTypeRequest, dhcpv4.OpcodeBootRequest, true)
	hear(6, "up", server, relay, dhcpv4.MessageTypeAck, dhcpv4.OpcodeBootReply, true)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	s.compare(ctx, nil)
	s.rest()
	s.pairing.Cut()
	if len(told) != 2 || told[0] != "DISCOVER by 198.51.100.1, OFFER" || told[1] != "REQUEST by 198.51.100.1, ACK" {
		t.Errorf("%q", told)
	}
	if counts := s.pairing.Counts(); counts.Datagrams != 8 || counts.Copies != 4 || counts.Strays != 0 {
		t.Errorf("%+v", counts)
	}
}

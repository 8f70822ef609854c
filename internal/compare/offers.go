package compare

import (
	"container/list"
	"net"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// An offer is what we would have offered a client.
type offer struct {
	server []byte // our identifier
	addr4  []byte
	duid   dhcpv6.DUID // our identifier of DHCPv6
	ias    map[[4]byte]*dhcpv6.OptIANA
	at     *list.Element
}

// offers remembers the last offer to each client; the oldest give way to others.
type offers struct {
	most  int
	of    map[string]*offer // by hardware address, or DUID
	order list.List         // of their keys, the oldest in front
}

func newOffers(most int) offers { return offers{most: most, of: make(map[string]*offer)} }

// note remembers an offer; nil: there is none any more.
func (s *offers) note(client string, o *offer) {
	if before := s.of[client]; before != nil {
		s.order.Remove(before.at)
		delete(s.of, client)
	}
	if o == nil {
		return
	}
	if len(s.of) >= s.most {
		delete(s.of, s.order.Remove(s.order.Front()).(string))
	}
	o.at = s.order.PushBack(client)
	s.of[client] = o
}

// note4 remembers what a DISCOVER was answered.
func (s *offers) note4(req, reply *dhcpv4.DHCPv4) {
	if req.MessageType() != dhcpv4.MessageTypeDiscover {
		return
	}
	client := string(req.ClientHWAddr)
	if reply == nil || reply.MessageType() != dhcpv4.MessageTypeOffer || len(reply.ServerIdentifier()) != net.IPv4len {
		s.note(client, nil)
		return
	}
	s.note(client, &offer{server: reply.ServerIdentifier(), addr4: reply.YourIPAddr.To4()})
}

// note6 remembers what a Solicit was answered.
func (s *offers) note6(client string, req *dhcpv6.Message, reply dhcpv6.DHCPv6) {
	if req.MessageType != dhcpv6.MessageTypeSolicit {
		return
	}
	var m *dhcpv6.Message
	if reply != nil {
		m, _ = reply.GetInnerMessage()
	}
	if m == nil || m.Options.ServerID() == nil {
		s.note(client, nil)
		return
	}
	o := &offer{duid: m.Options.ServerID(), ias: make(map[[4]byte]*dhcpv6.OptIANA)}
	for _, ia := range m.Options.IANA() {
		o.ias[ia.IaId] = ia
	}
	s.note(client, o)
}

package server

import (
	"net"
	"net/netip"

	"github.com/OpenCHAMI/coresmd/internal/mmsg"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// kinds4 is what the prepared reply to each type of message is; a plugin never
// sees other types. No reply to a RELEASE or DECLINE leaves.
var kinds4 = map[dhcpv4.MessageType]dhcpv4.MessageType{
	dhcpv4.MessageTypeDiscover: dhcpv4.MessageTypeOffer,
	dhcpv4.MessageTypeRequest:  dhcpv4.MessageTypeAck,
	dhcpv4.MessageTypeInform:   dhcpv4.MessageTypeAck,
	dhcpv4.MessageTypeRelease:  dhcpv4.MessageTypeNone,
	dhcpv4.MessageTypeDecline:  dhcpv4.MessageTypeNone,
}

// answer4 takes a packet through the chain. It returns why there is no reply.
func (s *socket) answer4(p *packet, w *writing) reason {
	req := p.v4
	if req.OpCode != dhcpv4.OpcodeBootRequest {
		return notRequest
	}
	asked := kind4(req)
	kind, ok := kinds4[asked]
	if !ok {
		return badType
	}
	resp := p.reply4
	prepare4(resp, req, kind)
	origin := s.origin(p, w)
	var stop bool
	for _, link := range s.loop.chains.Load().v4 {
		if resp, stop = link(req, resp, origin); stop {
			break
		}
	}
	if why := withheld4(asked, resp); why != "" {
		return why
	}
	return s.send4(p, resp, w)
}

// usualOptions is how many options a reply to firmware has of its own. One more
// fits, and then the table of options has half the size that it has beyond.
const usualOptions = 13

// prepare4 makes what dhcpv4.NewReplyFromRequest does, with a type.
func prepare4(resp, req *dhcpv4.DHCPv4, kind dhcpv4.MessageType) {
	*resp = dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeBootReply, HWType: req.HWType, ClientHWAddr: req.ClientHWAddr,
		TransactionID: req.TransactionID, Flags: req.Flags,
		ClientIPAddr: net.IPv4zero, YourIPAddr: net.IPv4zero, ServerIPAddr: net.IPv4zero, GatewayIPAddr: req.GatewayIPAddr,
	}
	agent, client := dhcpv4.OptionRelayAgentInformation.Code(), dhcpv4.OptionClientIdentifier.Code() // RFC 6842
	relayed, identified := req.Options[agent], req.Options[client]
	room := usualOptions
	for _, value := range [...][]byte{relayed, identified} {
		if value != nil {
			room++
		}
	}
	resp.Options = make(dhcpv4.Options, room)
	if relayed != nil {
		resp.Options[agent] = relayed
	}
	if identified != nil {
		resp.Options[client] = identified
	}
	if kind != dhcpv4.MessageTypeNone {
		resp.Options[dhcpv4.OptionDHCPMessageType.Code()] = []byte{byte(kind)}
	}
}

// withheld4 says why a reply does not leave; empty: it does.
func withheld4(asked dhcpv4.MessageType, resp *dhcpv4.DHCPv4) reason {
	switch {
	case resp == nil:
		return silence
	case asked == dhcpv4.MessageTypeRelease, asked == dhcpv4.MessageTypeDecline:
		return noReply
	case asked == dhcpv4.MessageTypeInform:
		return ""
	}
	switch kind4(resp) {
	case dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeAck:
		if resp.YourIPAddr.To4() == nil || resp.YourIPAddr.IsUnspecified() {
			return noAddress
		}
	}
	return ""
}

// origin says where a packet came from.
func (s *socket) origin(p *packet, w *writing) process.Origin {
	i, _ := s.loop.table.Index(p.Index)
	o := process.Origin{Interface: i.Name, Index: p.Index, Networks: i.Networks, Peer: p.From, Dst: p.Dst, Waits: w.waits}
	if p.seen != nil {
		o.Decided = p.seen.Decide
	}
	return o
}

// send4 queues a reply for where RFC 2131 section 4.1 sends it.
func (s *socket) send4(p *packet, resp *dhcpv4.DHCPv4, w *writing) reason {
	req := p.v4
	m := mmsg.Message{Source: s.loop.pinned(server4(resp))}
	nak := kind4(resp) == dhcpv4.MessageTypeNak
	switch ciaddr := addr4(req.ClientIPAddr); {
	case addr4(req.GatewayIPAddr).IsValid():
		if nak {
			resp.SetBroadcast() // the client may have no address for the relay to send it to
		}
		m.To = netip.AddrPortFrom(addr4(req.GatewayIPAddr), relayPort(p))
	case !nak && ciaddr.IsValid():
		m.To = netip.AddrPortFrom(ciaddr, dhcpv4.ClientPort)
	case !nak && !req.IsBroadcast() && s.framed(p, resp):
		return s.sendFrame(p, resp, w)
	default:
		m.To = netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), dhcpv4.ClientPort)
	}
	if a := m.To.Addr(); a.IsLinkLocalUnicast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		m.Index = p.Index
	}
	w.room = appendMessage4(w.room[:0], resp)
	m.Payload = w.room
	p.replied(m.Source, s.addr.Port(), m.To, m.Payload)
	return w.add(s.out, m)
}

// relayPort is the port of a relay: the one that it sent from, if it says so in
// option 82 (RFC 8357).
func relayPort(p *packet) uint16 {
	const sourcePort = 19
	for v := p.v4.Options[dhcpv4.OptionRelayAgentInformation.Code()]; len(v) >= 2; v = v[min(2+int(v[1]), len(v)):] {
		if v[0] == sourcePort {
			return p.From.Port()
		}
	}
	return dhcpv4.ServerPort
}

// framed says that a client without address can be sent a frame.
func (s *socket) framed(p *packet, resp *dhcpv4.DHCPv4) bool {
	i, ok := s.loop.table.Index(p.Index)
	return ok && len(i.HardwareAddr) == 6 && resp.HWType == iana.HWTypeEthernet && len(resp.ClientHWAddr) == 6 && addr4(resp.YourIPAddr).IsValid()
}

// sendFrame queues a reply as a frame to the client's hardware address.
func (s *socket) sendFrame(p *packet, resp *dhcpv4.DHCPv4, w *writing) reason {
	i, _ := s.loop.table.Index(p.Index)
	o, err := s.loop.ethernet(p.Index)
	if err != nil {
		s.loop.complain("sending by "+i.Name, err)
		return sendFailed
	}
	from := netip.AddrPortFrom(source4(resp, i.Networks), s.addr.Port())
	to := netip.AddrPortFrom(addr4(resp.YourIPAddr), dhcpv4.ClientPort)
	w.room = appendFrame(w.room[:0], i.HardwareAddr, resp.ClientHWAddr, from, to, func(room []byte) []byte {
		return appendMessage4(room, resp)
	})
	p.replied(from.Addr(), from.Port(), to, w.room[frameHeader:])
	return w.add(o, mmsg.Message{Payload: w.room, Index: p.Index})
}

// source4 is the address that a frame comes from: the server identifier, or else
// siaddr, or else the interface's first.
func source4(resp *dhcpv4.DHCPv4, networks []netip.Prefix) netip.Addr {
	for _, a := range []netip.Addr{server4(resp), addr4(resp.ServerIPAddr)} {
		if a.IsValid() {
			return a
		}
	}
	for _, n := range networks {
		if n.Addr().Is4() {
			return n.Addr()
		}
	}
	return netip.IPv4Unspecified()
}

// kind4 is the type of a message, as its MessageType returns it, without garbage.
func kind4(d *dhcpv4.DHCPv4) dhcpv4.MessageType {
	if value := d.Options[dhcpv4.OptionDHCPMessageType.Code()]; len(value) == 1 {
		return dhcpv4.MessageType(value[0])
	}
	return dhcpv4.MessageTypeNone
}

// server4 is the server identifier of a message.
func server4(d *dhcpv4.DHCPv4) netip.Addr {
	return addr4(d.Options[dhcpv4.OptionServerIdentifier.Code()])
}

// addr4 turns an address of a message into a netip.Addr; the unspecified one is none.
func addr4(ip net.IP) netip.Addr {
	four := ip.To4()
	if four == nil || four.Equal(net.IPv4zero) {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte(four))
}

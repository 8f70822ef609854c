package compare

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// add4 takes a datagram of DHCPv4. It returns false if that is no message of a
// client or a server.
func (p *Pairing) add4(d *Datagram) bool {
	m, err := dhcpv4.FromBytes(d.Payload)
	if err != nil {
		return false
	}
	k := key{client: string(m.ClientHWAddr), relay: addr(m.GatewayIPAddr)}
	copy(k.xid[:], m.TransactionID[:])
	switch m.OpCode {
	case dhcpv4.OpcodeBootRequest:
		if messages4[m.MessageType()] == "" {
			return false
		}
		if p.opts.Ask4 != nil {
			r := &request4{m}
			if r.state(d) == probe && !p.opts.AsIs {
				p.counts.Probes++
				p.probed = k
				return true
			}
			k.kind = kind{uint8(m.MessageType()), r.shape()}
			p.request(k, m.HopCount, r, d)
		}
		return true
	case dhcpv4.OpcodeBootReply:
		return p.answered4(k, m, d)
	}
	return false
}

// messages4 are the messages of clients.
var messages4 = map[dhcpv4.MessageType]string{
	dhcpv4.MessageTypeDiscover: "DISCOVER", dhcpv4.MessageTypeRequest: "REQUEST", dhcpv4.MessageTypeInform: "INFORM",
	dhcpv4.MessageTypeRelease: "RELEASE", dhcpv4.MessageTypeDecline: "DECLINE",
}

// replies4 are the messages of servers, with those that they answer.
var replies4 = map[dhcpv4.MessageType][]dhcpv4.MessageType{
	dhcpv4.MessageTypeOffer: {dhcpv4.MessageTypeDiscover},
	dhcpv4.MessageTypeAck:   {dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform},
	dhcpv4.MessageTypeNak:   {dhcpv4.MessageTypeRequest},
}

// rapid4 are the messages that an ACK with the rapid commit option answers (RFC
// 4039 section 3.1). Any other ACK of a transaction whose request was not seen is
// no answer to its DISCOVER.
var rapid4 = []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover}

// answered4 takes a reply. One that a relay passes on to its client was seen
// before, unless nothing is seen of what lies behind the relay.
func (p *Pairing) answered4(k key, m *dhcpv4.DHCPv4, d *Datagram) bool {
	kinds := replies4[m.MessageType()]
	if kinds == nil {
		return false
	}
	if m.MessageType() == dhcpv4.MessageTypeAck && m.Options.Has(dhcpv4.OptionRapidCommit) {
		kinds = rapid4
	}
	if k == p.probed {
		return true
	}
	keys := k.each(kinds)
	r := reply4(m)
	if r.Server == "" {
		r.Server = d.From.Addr().String()
	}
	if k.relay == "" || d.To.Port() != dhcpv4.ClientPort {
		p.reply(keys, r)
		return true
	}
	for i := range keys {
		keys[i] = keys[i].direct()
		if _, passed := p.relayed[keys[i]]; passed {
			p.counts.Copies++
			return true
		}
	}
	if x := p.reply(keys, r); x != nil && x.Relay == "" {
		x.behind(p, m.GatewayIPAddr)
	}
	return true
}

// each returns the key with the kinds that requests with these messages have.
func (k key) each(messages []dhcpv4.MessageType) []key {
	var keys []key
	for _, message := range messages {
		for state := range uint8(shapes) {
			if k.kind = (kind{uint8(message), state}); state == 0 || message == dhcpv4.MessageTypeRequest {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// behind notes that a request, seen as its client sent it, goes through a relay,
// and asks us anew as that passes it on.
func (x *pending) behind(p *Pairing, giaddr net.IP) {
	m, err := dhcpv4.FromBytes(x.datagram.Payload)
	if err != nil {
		return
	}
	m.GatewayIPAddr, m.HopCount = giaddr, m.HopCount+1
	x.Relay = addr(giaddr)
	p.ask(x, &request4{m})
}

// reply4 writes a reply down.
func reply4(m *dhcpv4.DHCPv4) Reply {
	r := Reply{Server: addr(m.ServerIdentifier()), Answer: m.MessageType().String(), Address: addr(m.YourIPAddr), Parts: Parts4(m)}
	if r.Parts == nil {
		r.Parts = []Part{} // it says nothing, and is a reply all the same
	}
	return r
}

// A request4 is a request of DHCPv4.
type request4 struct{ *dhcpv4.DHCPv4 }

func (m *request4) describe(x *Exchange, d *Datagram) {
	x.Client, x.XID = m.ClientHWAddr.String(), strings.TrimPrefix(m.TransactionID.String(), "0x")
	x.Message, x.State = messages4[m.MessageType()], m.state(d)
	x.Relay, x.Hostname = addr(m.GatewayIPAddr), printable(m.HostName())
}

// shapes is how many shapes a DHCPREQUEST has.
const shapes = 3

// shape tells the states of a DHCPREQUEST apart, whoever it is sent to.
func (m *request4) shape() uint8 {
	switch {
	case m.MessageType() != dhcpv4.MessageTypeRequest, m.Options.Has(dhcpv4.OptionServerIdentifier):
		return 0
	case addr(m.ClientIPAddr) != "":
		return 1
	}
	return 2
}

// state is the state that a request shows (RFC 2131 section 4.3.2).
func (m *request4) state(d *Datagram) string {
	if m.MessageType() != dhcpv4.MessageTypeRequest {
		return strings.ToLower(messages4[m.MessageType()])
	}
	switch to, ciaddr := d.To.Addr(), addr(m.ClientIPAddr); {
	case m.Options.Has(dhcpv4.OptionServerIdentifier):
		return "selecting"
	case ciaddr == to.String():
		return probe
	case ciaddr != "" && to == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "rebinding"
	case ciaddr != "":
		return "renewing"
	case m.Options.Has(dhcpv4.OptionRequestedIPAddress):
		return "init-reboot"
	}
	return "none"
}

// probe is the state of a health check: its address is that of the server.
const probe = "probe"

// ask asks us. What a client selects is the offer that we would have made it.
func (m *request4) ask(p *Pairing, d *Datagram) Answer {
	selecting := m.MessageType() == dhcpv4.MessageTypeRequest && m.Options.Has(dhcpv4.OptionServerIdentifier)
	if selecting && !p.opts.AsIs {
		if silence, none := m.select4(p, d); none {
			return silence
		}
	}
	a := p.opts.Ask4(m.DHCPv4, d)
	if a.MAC == "" {
		a.MAC = m.ClientHWAddr.String()
	}
	p.offers.note4(m.DHCPv4, a.V4)
	return a
}

// select4 turns the selection of an incumbent's offer into that of ours. Where
// we have made none because none was seen, we are asked for it; where we make
// none, there is nothing to select, and that is our answer.
func (m *request4) select4(p *Pairing, d *Datagram) (silence Answer, none bool) {
	if _, ok := p.offers.of[string(m.ClientHWAddr)]; !ok {
		discover := *m.DHCPv4
		discover.Options = dhcpv4.Options{}
		for code, value := range m.Options {
			discover.Options[code] = value
		}
		discover.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeDiscover))
		discover.DeleteOption(dhcpv4.OptionServerIdentifier)
		discover.DeleteOption(dhcpv4.OptionRequestedIPAddress)
		discover.ClientIPAddr = net.IPv4zero
		a := p.opts.Ask4(&discover, d)
		if p.offers.note4(&discover, a.V4); a.V4 == nil {
			return a, true
		}
	}
	o := p.offers.of[string(m.ClientHWAddr)]
	m.Options[dhcpv4.OptionServerIdentifier.Code()] = slices.Clone(o.server)
	m.Options[dhcpv4.OptionRequestedIPAddress.Code()] = slices.Clone(o.addr4)
	return Answer{}, false
}

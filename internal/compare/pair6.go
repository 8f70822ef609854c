package compare

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// add6 takes a datagram of DHCPv6. It returns false if that is no message of a
// client or a server, or of a relay for them.
func (p *Pairing) add6(d *Datagram) bool {
	m, err := dhcpv6.FromBytes(d.Payload)
	if err != nil {
		return false
	}
	inner, err := m.GetInnerMessage()
	if err != nil || inner == nil {
		return false
	}
	k := key{six: true, kind: kind{message: uint8(inner.MessageType)}, client: client6(inner)}
	copy(k.xid[:], inner.TransactionID[:])
	hops, outer := uint8(0), m.Type()
	if relay, ok := m.(*dhcpv6.RelayMessage); ok {
		hops, k.relay = relay.HopCount+1, relay.LinkAddr.String()+" "+relay.PeerAddr.String()
	}
	if kinds := replies6[inner.MessageType]; kinds != nil && outer != dhcpv6.MessageTypeRelayForward {
		if k.client == "" {
			k.client = clientless(m, d.To.Addr())
		}
		p.answered6(k, kinds, inner, d)
		return true
	}
	if !slices.Contains(replies6[dhcpv6.MessageTypeReply], inner.MessageType) || outer == dhcpv6.MessageTypeRelayReply {
		return false
	}
	if k.client == "" {
		k.client = clientless(m, d.From.Addr())
	}
	if p.opts.Ask6 != nil {
		p.request(k, hops, &request6{outer: m, inner: inner}, d)
	}
	return true
}

// replies6 are the messages of servers, with those that they answer.
var replies6 = map[dhcpv6.MessageType][]dhcpv6.MessageType{
	dhcpv6.MessageTypeAdvertise: {dhcpv6.MessageTypeSolicit},
	dhcpv6.MessageTypeReply: {
		dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRebind, dhcpv6.MessageTypeConfirm, dhcpv6.MessageTypeRelease,
		dhcpv6.MessageTypeDecline, dhcpv6.MessageTypeInformationRequest, dhcpv6.MessageTypeSolicit, // the last: rapid commit
	},
}

// client6 is the DUID of a client; empty: it shows none.
func client6(m *dhcpv6.Message) string {
	if id := m.GetOneOption(dhcpv6.OptionClientID); id != nil {
		return string(id.ToBytes())
	}
	return ""
}

// clientless names a client without a DUID, which asks for a configuration only,
// by its address. peer is whom the datagram is from, or for.
func clientless(m dhcpv6.DHCPv6, peer netip.Addr) string {
	for m.IsRelay() {
		relay, ok := m.(*dhcpv6.RelayMessage)
		if !ok || relay.Options.RelayMessage() == nil {
			break
		}
		if m = relay.Options.RelayMessage(); !m.IsRelay() {
			return relay.PeerAddr.String()
		}
	}
	return peer.WithZone("").String()
}

func (p *Pairing) answered6(k key, kinds []dhcpv6.MessageType, inner *dhcpv6.Message, d *Datagram) {
	keys := make([]key, 0, len(kinds))
	for _, message := range kinds {
		k.kind.message = uint8(message)
		if _, passed := p.relayed[k]; passed && k.relay == "" {
			p.counts.Copies++
			return
		}
		keys = append(keys, k)
	}
	r := reply6(inner)
	if r.Server == "" {
		r.Server = d.From.Addr().String()
	}
	p.reply(keys, r)
}

// reply6 writes a reply down.
func reply6(d dhcpv6.DHCPv6) Reply {
	m, err := d.GetInnerMessage()
	if err != nil || m == nil {
		return Reply{Answer: noReply}
	}
	r := Reply{Answer: m.MessageType.String(), Parts: finer(m)}
	if id := m.Options.ServerID(); id != nil {
		r.Server = net.HardwareAddr(id.ToBytes()).String()
	}
	var addrs []string
	for _, ia := range m.Options.IANA() {
		for _, a := range ia.Options.Addresses() {
			if a.ValidLifetime > 0 {
				addrs = append(addrs, a.IPv6Addr.String())
			}
		}
	}
	r.Address = strings.Join(addrs, ", ")
	return r
}

// A request6 is a request of DHCPv6, with what is inside of the relays' messages.
type request6 struct {
	outer dhcpv6.DHCPv6
	inner *dhcpv6.Message
}

func (m *request6) describe(x *Exchange, d *Datagram) {
	x.DUID, x.Message = net.HardwareAddr(client6(m.inner)).String(), m.inner.MessageType.String()
	if x.Client = x.DUID; x.Client == "" {
		x.Client = clientless(m.outer, d.From.Addr())
	}
	x.XID = strings.TrimPrefix(m.inner.TransactionID.String(), "0x")
	if relay, ok := m.outer.(*dhcpv6.RelayMessage); ok {
		x.Relay = relay.LinkAddr.String()
	}
	if name := m.inner.Options.FQDN(); name != nil && name.DomainName != nil {
		x.Hostname = printable(strings.Join(name.DomainName.Labels, "."))
	}
}

// ask asks us. What a client requests is what we would have advertised to it.
func (m *request6) ask(p *Pairing, d *Datagram) Answer {
	client := client6(m.inner)
	if m.inner.MessageType == dhcpv6.MessageTypeRequest && !p.opts.AsIs {
		if silence, none := m.select6(p, client, d); none {
			return silence
		}
	}
	a := p.opts.Ask6(m.outer, d)
	p.offers.note6(client, m.inner, a.V6)
	return a
}

// select6 turns the Request to an incumbent into one to us.
func (m *request6) select6(p *Pairing, client string, d *Datagram) (silence Answer, none bool) {
	if _, ok := p.offers.of[client]; !ok {
		given := *m.inner
		m.inner.MessageType = dhcpv6.MessageTypeSolicit
		m.inner.Options.Options = slices.DeleteFunc(slices.Clone(given.Options.Options), func(o dhcpv6.Option) bool {
			return o.Code() == dhcpv6.OptionServerID
		})
		a := p.opts.Ask6(m.outer, d)
		p.offers.note6(client, m.inner, a.V6)
		*m.inner = given
		if _, ok := p.offers.of[client]; !ok {
			return Answer{Plugin: a.Plugin, Reason: a.Reason, MAC: a.MAC, ID: a.ID}, true
		}
	}
	o := p.offers.of[client]
	for i, option := range m.inner.Options.Options {
		switch option := option.(type) {
		case *dhcpv6.OptIANA:
			m.inner.Options.Options[i] = o.wanted(option)
		default:
			if option.Code() == dhcpv6.OptionServerID {
				m.inner.Options.Options[i] = dhcpv6.OptServerID(o.duid)
			}
		}
	}
	return Answer{}, false
}

// wanted is what a client wants of us in an IA: the addresses that we would have
// advertised.
func (o *offer) wanted(ia *dhcpv6.OptIANA) *dhcpv6.OptIANA {
	wanted := &dhcpv6.OptIANA{IaId: ia.IaId, T1: ia.T1, T2: ia.T2}
	if ours := o.ias[ia.IaId]; ours != nil {
		for _, a := range ours.Options.Addresses() {
			wanted.Options.Add(a)
		}
	}
	return wanted
}

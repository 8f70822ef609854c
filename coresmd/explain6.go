package coresmd

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/OpenCHAMI/coresmd/internal/compare"
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// intel is the enterprise number in the vendor class of PXE firmware.
const intel = 343

// request6 makes the message that a question is about, with an IA for an
// address; invalid: for any.
func (q *query) request6(mac smd.MAC, kind dhcpv6.MessageType, addr netip.Addr, server dhcpv6.DUID) dhcpv6.DHCPv6 {
	m := &dhcpv6.Message{MessageType: kind}
	m.AddOption(dhcpv6.OptClientID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: mac[:]}))
	m.AddOption(dhcpv6.OptRequestedOption(dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList, dhcpv6.OptionFQDN,
		dhcpv6.OptionNTPServer, dhcpv6.OptionBootfileURL, dhcpv6.OptionBootfileParam))
	if server != nil && (kind == dhcpv6.MessageTypeRequest || kind == dhcpv6.MessageTypeRenew) {
		m.AddOption(dhcpv6.OptServerID(server))
	}
	if kind != dhcpv6.MessageTypeInformationRequest {
		ia := &dhcpv6.OptIANA{IaId: [4]byte{0, 0, 0, 1}}
		if addr.IsValid() {
			ia.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: addr.AsSlice()})
		}
		m.AddOption(ia)
	}
	q.classes(m)
	if !q.giaddr.IsValid() {
		return m
	}
	relayed := &dhcpv6.RelayMessage{MessageType: dhcpv6.MessageTypeRelayForward, LinkAddr: q.giaddr.AsSlice(), PeerAddr: linkLocal(mac)}
	relayed.AddOption(dhcpv6.OptRelayMessage(m))
	return relayed
}

// classes adds what a question says of the client that boots.
func (q *query) classes(m *dhcpv6.Message) {
	class := q.Class
	if q.hasArch {
		m.AddOption(dhcpv6.OptClientArchType(iana.Arch(q.arch)))
		if class == "" {
			class = fmt.Sprintf("PXEClient:Arch:%05d:UNDI:003016", q.arch)
		}
	}
	if class != "" {
		m.AddOption(&dhcpv6.OptVendorClass{EnterpriseNumber: intel, Data: [][]byte{[]byte(class)}})
	}
	if q.UserClass != "" {
		m.AddOption(&dhcpv6.OptUserClass{UserClasses: [][]byte{[]byte(q.UserClass)}})
	}
}

// linkLocal returns the link-local address that is made of a hardware address.
func linkLocal(mac smd.MAC) net.IP {
	return net.IP{0xfe, 0x80, 8: mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]}
}

// through takes the request through the plugins. Other messages than a Solicit
// are for the address that a Solicit is told.
func (h *handler6) through(e *explained) {
	told := h.try(e, dhcpv6.MessageTypeSolicit, netip.Addr{}, nil)
	if told != nil && e.q.kind6 != dhcpv6.MessageTypeSolicit {
		h.try(e, e.q.kind6, e.addr, told.Options.ServerID())
	}
}

// try takes one message through the plugins. It returns their reply; nil: there
// is none.
func (h *handler6) try(e *explained, kind dhcpv6.MessageType, addr netip.Addr, server dhcpv6.DUID) *dhcpv6.Message {
	req := e.q.request6(e.mac, kind, addr, server)
	inner, err := req.GetInnerMessage()
	if err != nil {
		return nil // it was made with one
	}
	resp, from, by := h.prepare(e, req, inner)
	if len(from.Networks) == 0 && !req.IsRelay() {
		from.Networks = h.rehearsed()
	}
	prepared, _ := resp.(*dhcpv6.Message)
	x := &exchange6{req: req, inquiry: inquiry{from: from, dry: true}}
	if by != "" {
		return h.ended(e, x, prepared, by)
	}
	x.from.Dst = netip.Addr{} // that of the packet which is the example
	v, reply, _ := h.answer(x, resp)
	dry, plugin := exchange.Dry6{Verdict: v, Reason: x.reason()}, "coresmd"
	if reply != nil {
		dry.Reply = prepared
	}
	if next, ok := process.Find[dry6](h.process, publishedDry6); ok && v == exchange.Pass {
		dry, plugin = next(req, prepared, x.from), "bootloop"
	}
	e.x, e.place, e.loader = &x.inquiry, x.where(), ""
	if own := fmt.Sprintf("tftp://[%v]/", x.server); strings.HasPrefix(x.bootfile, own) {
		e.loader = strings.TrimPrefix(x.bootfile, own)
	}
	e.became, e.reason, e.plugin = dry.Verdict, dry.Reason, plugin
	e.reply, e.addr = optionsOf(compare.Parts6(dry.Reply)), addrOf6(dry.Reply)
	return dry.Reply
}

// addrOf6 returns the first address that a reply gives; invalid: none.
func addrOf6(d *dhcpv6.Message) netip.Addr {
	if d == nil {
		return netip.Addr{}
	}
	for _, ia := range d.Options.IANA() {
		for _, a := range ia.Options.Addresses() {
			if addr, ok := netip.AddrFromSlice(a.IPv6Addr); ok && a.ValidLifetime > 0 {
				return addr
			}
		}
	}
	return netip.Addr{}
}

// ended notes that a plugin before this one ended the chain, with a reply or
// without.
func (h *handler6) ended(e *explained, x *exchange6, reply *dhcpv6.Message, by string) *dhcpv6.Message {
	verdict := exchange.Drop
	if reply != nil {
		verdict = exchange.Reply
		if reply.MessageType == dhcpv6.MessageTypeAdvertise {
			verdict = exchange.Advertise
		}
	}
	e.x, e.place, e.loader, e.became, e.reason, e.plugin = &x.inquiry, "", "", verdict, "", by
	e.reply, e.addr = optionsOf(compare.Parts6(reply)), addrOf6(reply)
	return reply
}

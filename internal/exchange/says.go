package exchange

import (
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// Says4 tells whether a reply has something for a client that sent a message of
// that kind: an address in an OFFER or ACK, but to an INFORM, and never anything
// to a RELEASE or DECLINE.
func Says4(asked dhcpv4.MessageType, d *dhcpv4.DHCPv4) bool {
	switch asked {
	case dhcpv4.MessageTypeRelease, dhcpv4.MessageTypeDecline:
		return false
	case dhcpv4.MessageTypeInform:
		return true
	}
	switch d.MessageType() {
	case dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeAck:
		return Addr(d.YourIPAddr).IsValid()
	}
	return true
}

// Says6 tells whether a reply has something for the client: an IA, a status, or
// an option that it asked for.
func Says6(req, d *dhcpv6.Message) bool {
	asked := req.Options.RequestedOptions()
	return slices.ContainsFunc(d.Options.Options, func(o dhcpv6.Option) bool {
		return isIA(o) || o.Code() == dhcpv6.OptionStatusCode || slices.Contains(asked, o.Code())
	})
}

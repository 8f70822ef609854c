package exchange

import (
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Nak returns the DHCPNAK that takes the place of a prepared reply (RFC 2131
// section 4.3.2, table 3). What earlier plugins added is left out; it keeps op,
// xid, chaddr, flags, giaddr and options 61 and 82, and gains the text.
func Nak(req, prepared *dhcpv4.DHCPv4, server netip.Addr, text string) *dhcpv4.DHCPv4 {
	nak := &dhcpv4.DHCPv4{
		OpCode:        dhcpv4.OpcodeBootReply,
		HWType:        req.HWType,
		TransactionID: req.TransactionID,
		Flags:         req.Flags,
		ClientIPAddr:  net.IPv4zero.To4(),
		YourIPAddr:    net.IPv4zero.To4(),
		ServerIPAddr:  net.IPv4zero.To4(),
		GatewayIPAddr: req.GatewayIPAddr,
		ClientHWAddr:  req.ClientHWAddr,
		Options:       make(dhcpv4.Options),
	}
	for _, code := range []dhcpv4.OptionCode{dhcpv4.OptionClientIdentifier, dhcpv4.OptionRelayAgentInformation} {
		if value := prepared.GetOneOption(code); value != nil {
			nak.UpdateOption(dhcpv4.OptGeneric(code, value))
		}
	}
	nak.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeNak))
	if server.IsValid() {
		nak.UpdateOption(dhcpv4.OptServerIdentifier(server.AsSlice()))
	}
	nak.UpdateOption(dhcpv4.OptMessage(text))
	if Addr(req.GatewayIPAddr).IsValid() {
		nak.SetBroadcast()
	}
	return nak
}

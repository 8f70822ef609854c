package dhcptest

import (
	"net"
	"testing"

	"github.com/coredhcp/coredhcp/handler"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// LL returns the DUID-LL of a hardware address.
func LL(mac string) dhcpv6.DUID {
	hw, err := net.ParseMAC(mac)
	if err != nil {
		panic(err)
	}
	return &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: hw}
}

// Request6 returns a DHCPv6 message of a client as it comes from the wire. Its
// client identifier is the DUID-LL of a hardware address, its transaction id is
// fixed.
func Request6(tb testing.TB, mac string, kind dhcpv6.MessageType, modifiers ...dhcpv6.Modifier) *dhcpv6.Message {
	tb.Helper()
	m := &dhcpv6.Message{MessageType: kind, TransactionID: dhcpv6.TransactionID{0xca, 0xfe, 1}}
	m.AddOption(dhcpv6.OptClientID(LL(mac)))
	for _, modify := range modifiers {
		modify(m)
	}
	return Parse6(tb, m.ToBytes()).(*dhcpv6.Message)
}

// Parse6 parses octets that must be a DHCPv6 message.
func Parse6(tb testing.TB, octets []byte) dhcpv6.DHCPv6 {
	tb.Helper()
	packet, err := dhcpv6.FromBytes(octets)
	if err != nil {
		tb.Fatal(err)
	}
	return packet
}

// Through takes a message through a relay with these addresses.
func Through(tb testing.TB, d dhcpv6.DHCPv6, link, peer string, modifiers ...dhcpv6.Modifier) dhcpv6.DHCPv6 {
	tb.Helper()
	relayed, err := dhcpv6.EncapsulateRelay(d, dhcpv6.MessageTypeRelayForward, net.ParseIP(link), net.ParseIP(peer))
	if err != nil {
		tb.Fatal(err)
	}
	for _, modify := range modifiers {
		modify(relayed)
	}
	return Parse6(tb, relayed.ToBytes())
}

// NA adds an IA_NA whose IAID ends in an octet, with addresses.
func NA(iaid byte, addrs ...string) dhcpv6.Modifier {
	ia := &dhcpv6.OptIANA{IaId: [4]byte{0, 0, 0, iaid}}
	for _, a := range addrs {
		ia.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP(a)})
	}
	return func(d dhcpv6.DHCPv6) { d.AddOption(ia) }
}

// TA adds an IA_TA whose IAID ends in an octet.
func TA(iaid byte) dhcpv6.Modifier {
	return func(d dhcpv6.DHCPv6) { d.AddOption(&dhcpv6.OptIATA{IaId: [4]byte{0, 0, 0, iaid}}) }
}

// PD adds an IA_PD whose IAID ends in an octet.
func PD(iaid byte) dhcpv6.Modifier {
	return func(d dhcpv6.DHCPv6) { d.AddOption(&dhcpv6.OptIAPD{IaId: [4]byte{0, 0, 0, iaid}}) }
}

// Raw6 adds an option of any octets.
func Raw6(code dhcpv6.OptionCode, value ...byte) dhcpv6.Modifier {
	return func(d dhcpv6.DHCPv6) { d.AddOption(&dhcpv6.OptionGeneric{OptionCode: code, OptionData: value}) }
}

// LinkLayer adds the client link-layer address that a relay tells.
func LinkLayer(mac string) dhcpv6.Modifier {
	return func(d dhcpv6.DHCPv6) {
		d.AddOption(dhcpv6.OptClientLinkLayerAddress(iana.HWTypeEthernet, LL(mac).(*dhcpv6.DUIDLL).LinkLayerAddr))
	}
}

// Prepare6 returns the reply that a packet loop prepares for a request, and
// false for a message that is given to no plugin. That of CoreDHCP gives plugins
// no Decline, ours does.
func Prepare6(req dhcpv6.DHCPv6) (dhcpv6.DHCPv6, bool) {
	m, err := req.GetInnerMessage()
	if err != nil {
		return nil, false
	}
	switch {
	case m.MessageType == dhcpv6.MessageTypeSolicit && m.GetOneOption(dhcpv6.OptionRapidCommit) == nil:
		reply, err := dhcpv6.NewAdvertiseFromSolicit(m)
		return reply, err == nil
	case m.MessageType == dhcpv6.MessageTypeDecline && m.GetOneOption(dhcpv6.OptionClientID) != nil:
		reply := &dhcpv6.Message{MessageType: dhcpv6.MessageTypeReply, TransactionID: m.TransactionID}
		reply.AddOption(m.GetOneOption(dhcpv6.OptionClientID))
		return reply, true
	}
	reply, err := dhcpv6.NewReplyFromMessage(m)
	return reply, err == nil
}

// ServerID6 returns a handler that sets the server identifier as CoreDHCP's
// server_id does, and judges no message.
func ServerID6(duid dhcpv6.DUID) handler.Handler6 {
	return Earlier6(dhcpv6.WithServerID(duid))
}

// Earlier6 returns a handler that sets options as earlier plugins do.
func Earlier6(modifiers ...dhcpv6.Modifier) handler.Handler6 {
	return func(_, resp dhcpv6.DHCPv6) (dhcpv6.DHCPv6, bool) {
		for _, modify := range modifiers {
			modify(resp)
		}
		return resp, false
	}
}

// Exchange6 takes a request through a chain as CoreDHCP does. It returns the
// reply as it is sent, in the relays' answers where there are relays; nil for
// silence, and whether the chain was ended by a handler.
func Exchange6(tb testing.TB, req dhcpv6.DHCPv6, chain ...handler.Handler6) (reply dhcpv6.DHCPv6, ended bool) {
	tb.Helper()
	reply, ok := Prepare6(req)
	if !ok {
		tb.Fatalf("no plugin is given a message like this: %s", req.Summary())
	}
	for _, handle := range chain {
		if reply, ended = handle(req, reply); ended {
			break
		}
	}
	if reply == nil {
		return nil, ended
	}
	if relay, ok := req.(*dhcpv6.RelayMessage); ok {
		wrapped, err := dhcpv6.NewRelayReplFromRelayForw(relay, reply.(*dhcpv6.Message))
		if err != nil {
			return nil, ended
		}
		reply = wrapped
	}
	return Parse6(tb, reply.ToBytes()), ended
}

package exchange

import (
	"encoding/binary"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// Shown is what a message shows of a client beside its hardware address. Its
// slices are those of the message.
type Shown struct {
	Giaddr                           netip.Addr
	Circuit, Remote, Class, Hostname []byte
	Arch                             uint16
	HasArch                          bool
	DUID                             interface{ ToBytes() []byte } // of DHCPv6; nil: none
}

// Show reads what a message shows. relay is its option 82; nil: none.
func Show(req *dhcpv4.DHCPv4, relay *dhcpv4.RelayOptions) Shown {
	s := Shown{
		Giaddr: Addr(req.GatewayIPAddr),
		Class:  req.GetOneOption(dhcpv4.OptionClassIdentifier), Hostname: req.GetOneOption(dhcpv4.OptionHostName),
	}
	if relay != nil {
		s.Circuit, s.Remote = relay.Get(dhcpv4.AgentCircuitIDSubOption), relay.Get(dhcpv4.AgentRemoteIDSubOption)
	}
	if archs := req.GetOneOption(dhcpv4.OptionClientSystemArchitectureType); len(archs) >= 2 {
		s.Arch, s.HasArch = binary.BigEndian.Uint16(archs), true
	}
	return s
}

// LeaseEvent says in one word what a verdict makes of a lease; empty: nothing.
func LeaseEvent(s State, v Verdict) string {
	switch {
	case v == Ack && s == Renewing:
		return "renewed"
	case v == Ack && (s == Selecting || s == InitReboot):
		return "given"
	case v == NakReply && s != Probe:
		return "refused"
	case v == Drop && s == Release:
		return "released"
	case v == Drop && s == Decline:
		return "declined"
	}
	return ""
}

// A Dry is what a plugin would make of a request.
type Dry struct {
	Verdict Verdict
	Reply   *dhcpv4.DHCPv4 // nil: none, or passed on
	Reason  string
}

// A Dry6 is the Dry of DHCPv6. Its reply is there also where the request is
// passed on.
type Dry6 struct {
	Verdict Verdict
	Reply   *dhcpv6.Message // nil: none
	Reason  string
}

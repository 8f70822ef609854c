// Package exchange holds what both plugins need of RFC 2131 and RFC 8415: the
// state that a request shows, whose request it is, the NAK and the refusals,
// and the times of a lease. It knows neither machines nor pools.
package exchange

import (
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// A State is what a client is doing, by the names of RFC 2131 and RFC 8415.
type State uint8

// The states of a client that a message can show. A renewing client and a
// rebinding one send the same message, one by unicast and one by broadcast,
// which a plugin does not see: renewing stands for both (section 4.3.2).
const (
	None       State = iota // a request that shows no state
	Discover                // DHCPDISCOVER
	Selecting               // DHCPREQUEST that answers an offer
	InitReboot              // DHCPREQUEST of a client that remembers its address
	Renewing                // DHCPREQUEST of a client that has its address
	Inform                  // DHCPINFORM
	Release                 // DHCPRELEASE
	Decline                 // DHCPDECLINE
	Probe                   // DHCPREQUEST of a health check
)

// The states of a client that only a DHCPv6 message can show. Release and
// Decline are of both families.
const (
	Solicit     State = iota + Probe + 1
	Requesting        // Request, which answers an Advertise
	Confirm           // a client that may have moved
	Renew             // a client asks the server that it has its addresses from
	Rebind            // a client asks any server
	InfoRequest       // Information-request: a client wants options only
)

var stateNames = [...]string{
	None: "none", Discover: "discover", Selecting: "selecting", InitReboot: "init-reboot",
	Renewing: "renewing", Inform: "inform", Release: "release", Decline: "decline", Probe: "probe",
	Solicit: "solicit", Requesting: "request", Confirm: "confirm", Renew: "renew", Rebind: "rebind", InfoRequest: "information-request",
}

// messageNames are the kinds of messages that show a state; empty: REQUEST.
var messageNames = [...]string{
	Discover: "DISCOVER", Inform: "INFORM", Release: "RELEASE", Decline: "DECLINE",
	Solicit: "SOLICIT", Confirm: "CONFIRM", Renew: "RENEW", Rebind: "REBIND", InfoRequest: "INFORMATION-REQUEST",
}

func (s State) String() string { return stateNames[s] }

// Message is the kind of message that shows the state.
func (s State) Message() string {
	if name := messageNames[s]; name != "" {
		return name
	}
	return "REQUEST"
}

// Wants says that a client in this state wants an address, or wants to keep one.
func (s State) Wants() bool {
	return s >= Discover && s <= Renewing || s >= Solicit && s < InfoRequest
}

// States are all states, for tables with a row each.
func States() []State {
	all := make([]State, len(stateNames))
	for i := range all {
		all[i] = State(i)
	}
	return all
}

// A Request is what a message says, read once.
type Request struct {
	State  State
	Server netip.Addr // option 54; invalid when absent or not four octets
	Addr   netip.Addr // the address that the client asks for or has; invalid when there is none
}

// Read reads a message (RFC 2131 section 4.3). self is the server identifier:
// a request whose ciaddr it is comes from a health check.
func Read(req *dhcpv4.DHCPv4, self netip.Addr) Request {
	ciaddr := Addr(req.ClientIPAddr)
	switch req.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		return Request{State: Discover}
	case dhcpv4.MessageTypeInform:
		return Request{State: Inform, Addr: ciaddr}
	case dhcpv4.MessageTypeRelease:
		return Request{State: Release, Server: ServerOf(req), Addr: ciaddr}
	case dhcpv4.MessageTypeDecline:
		return Request{State: Decline, Server: ServerOf(req), Addr: addrOption(req, dhcpv4.OptionRequestedIPAddress)}
	case dhcpv4.MessageTypeRequest:
		if ciaddr.IsValid() && ciaddr == self {
			return Request{State: Probe, Addr: ciaddr}
		}
		return request(req, ciaddr)
	}
	return Request{}
}

// request reads a DHCPREQUEST (section 4.3.2).
func request(req *dhcpv4.DHCPv4, ciaddr netip.Addr) Request {
	server := ServerOf(req)
	requested := addrOption(req, dhcpv4.OptionRequestedIPAddress)
	switch {
	case server.IsValid() && requested.IsValid():
		return Request{Selecting, server, requested}
	case server.IsValid():
		return Request{Selecting, server, ciaddr}
	case ciaddr.IsValid():
		return Request{State: Renewing, Addr: ciaddr}
	case requested.IsValid():
		return Request{State: InitReboot, Addr: requested}
	}
	return Request{}
}

// Addr turns an address of a message into a netip.Addr. The unspecified
// address and one that is not four octets are none.
func Addr(ip net.IP) netip.Addr {
	four := ip.To4()
	if four == nil {
		return netip.Addr{}
	}
	a := netip.AddrFrom4([4]byte(four))
	if a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// ServerOf returns the server identifier that a message holds. It is invalid
// when absent or not four octets.
func ServerOf(m *dhcpv4.DHCPv4) netip.Addr { return addrOption(m, dhcpv4.OptionServerIdentifier) }

// addrOption reads an option without making a copy of it.
func addrOption(m *dhcpv4.DHCPv4, code dhcpv4.OptionCode) netip.Addr {
	value := m.Options[code.Code()]
	if len(value) != 4 {
		return netip.Addr{}
	}
	return Addr(value)
}

// ServerID returns the identifier by which the client knows this server: the
// override that its relay asks for (RFC 5107), or else self. relay is option 82
// of the request; nil: none.
func ServerID(relay *dhcpv4.RelayOptions, self netip.Addr) netip.Addr {
	if relay == nil {
		return self
	}
	override := relay.Get(dhcpv4.ServerIdentifierOverrideSubOption)
	if len(override) != 4 {
		return self
	}
	if a := Addr(override); a.IsValid() {
		return a
	}
	return self
}

// Mac returns the hardware address of a client, or why it has none that a
// lease can be given to: hlen other than 6, InfiniBand, zero, multicast.
func Mac(req *dhcpv4.DHCPv4) (mac [6]byte, reason string) {
	switch {
	case req.HWType == iana.HWTypeInfiniband:
		return mac, "InfiniBand hardware address"
	case len(req.ClientHWAddr) != len(mac):
		return mac, "hardware address is not six octets"
	}
	mac = [6]byte(req.ClientHWAddr)
	return mac, unusable(mac)
}

// unusable says why a hardware address is nobody's; empty: it may be.
func unusable(mac [6]byte) string {
	switch {
	case mac == [6]byte{}:
		return "zero hardware address"
	case mac[0]&1 != 0:
		return "multicast hardware address"
	}
	return ""
}

// Times are the times of a lease (RFC 2131 section 4.4.5).
type Times struct{ Lease, T1, T2 time.Duration }

// NewTimes returns a lease time with T1 at a half and T2 at seven eighths.
func NewTimes(lease time.Duration) Times {
	return Times{lease, (lease / 2).Truncate(time.Second), (lease * 7 / 8).Truncate(time.Second)}
}

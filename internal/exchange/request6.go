package exchange

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// Limits of a message, above which it is no client's.
const (
	mostRelays = 32 // the hop limit of RFC 3315; that of RFC 8415 is 8
	mostIAs    = 64
	mostDUID   = 130 // octets (RFC 8415 section 11.1)
)

// A Request6 is what a DHCPv6 message says, read once.
type Request6 struct {
	Request // its Addr is the first address that the client lists

	Inner  *dhcpv6.Message      // what the client sent
	Relay  *dhcpv6.RelayMessage // of the relay nearest to the client; nil: the client asked directly
	Client dhcpv6.DUID          // nil: none
	For    dhcpv6.DUID          // the server that the message names; nil: none
}

// states6 are the states that messages show.
var states6 = map[dhcpv6.MessageType]State{
	dhcpv6.MessageTypeSolicit:            Solicit,
	dhcpv6.MessageTypeRequest:            Requesting,
	dhcpv6.MessageTypeConfirm:            Confirm,
	dhcpv6.MessageTypeRenew:              Renew,
	dhcpv6.MessageTypeRebind:             Rebind,
	dhcpv6.MessageTypeRelease:            Release,
	dhcpv6.MessageTypeDecline:            Decline,
	dhcpv6.MessageTypeInformationRequest: InfoRequest,
}

// Read6 reads a message that a client sent, directly or through relays. Another
// one is to be discarded; reason says what is wrong with it.
func Read6(req dhcpv6.DHCPv6) (r Request6, reason string) {
	for relays := 1; req.IsRelay(); relays++ {
		relay, ok := req.(*dhcpv6.RelayMessage)
		if !ok || relay.MessageType != dhcpv6.MessageTypeRelayForward {
			return r, "a relay's answer is no request"
		}
		if relays > mostRelays {
			return r, fmt.Sprintf("more than %d relays", mostRelays)
		}
		r.Relay = relay
		if req = relay.Options.RelayMessage(); req == nil {
			return r, "a relay passed nothing on"
		}
	}
	m, ok := req.(*dhcpv6.Message)
	if !ok {
		return r, "no message"
	}
	r.Inner, r.Client, r.For = m, m.Options.ClientID(), m.Options.ServerID()
	if r.State = states6[m.MessageType]; r.State == None {
		return r, fmt.Sprintf("%v is no request of a client", m.MessageType)
	}
	if listed := r.Listed(); len(listed) > 0 {
		r.Addr = listed[0]
	}
	if id := m.GetOneOption(dhcpv6.OptionClientID); id != nil && len(id.ToBytes()) > mostDUID {
		r.Client = nil // nor does a log want it
		return r, fmt.Sprintf("a client identifier of more than %d octets", mostDUID)
	}
	return r, r.malformed()
}

// malformed says why the contents of a message are against the protocol (RFC
// 8415 section 16).
func (r *Request6) malformed() string {
	ias := 0
	for _, o := range r.Inner.Options.Options {
		if isIA(o) {
			ias++
		}
	}
	switch {
	case ias > mostIAs:
		return fmt.Sprintf("more than %d IAs", mostIAs)
	case r.State == InfoRequest && ias > 0:
		return "an IA where only options are asked for"
	case r.State == InfoRequest:
		return ""
	case r.Client == nil:
		return "no client identifier"
	}
	switch r.State {
	case Solicit, Confirm, Rebind:
		if r.For != nil {
			return "a server identifier where none belongs"
		}
	default:
		if r.For == nil {
			return "no server identifier"
		}
	}
	return ""
}

// Elsewhere says that a message is for another server than self.
func (r *Request6) Elsewhere(self dhcpv6.DUID) bool { return r.For != nil && !r.For.Equal(self) }

// Unicast says that a client sent its message to this server alone, which it
// may not (RFC 9915 section 16). dst is where the packet went; invalid: not
// told.
func (r *Request6) Unicast(dst netip.Addr) bool {
	return r.Relay == nil && dst.IsValid() && !dst.IsMulticast()
}

// Rapid says that a client takes a Reply at once (RFC 8415 section 18.3.1).
func (r *Request6) Rapid() bool {
	return r.State == Solicit && r.Inner.Options.GetOne(dhcpv6.OptionRapidCommit) != nil
}

// Mac returns the hardware address of the client: what the relay nearest to it
// tells (RFC 6939), else that of the client identifier, else that of a
// link-local address of the form EUI-64. peer is who sent the packet; invalid:
// not told.
func (r *Request6) Mac(peer netip.Addr) (mac [6]byte, reason string) {
	if r.Relay != nil {
		if mac, ok := ethernet(r.Relay.Options.ClientLinkLayerAddress()); ok {
			return mac, ""
		}
		peer = addr6(r.Relay.PeerAddr)
	}
	switch d := r.Client.(type) {
	case *dhcpv6.DUIDLL:
		if mac, ok := ethernet(d.HWType, d.LinkLayerAddr); ok {
			return mac, ""
		}
	case *dhcpv6.DUIDLLT:
		if mac, ok := ethernet(d.HWType, d.LinkLayerAddr); ok {
			return mac, ""
		}
	}
	if mac, ok := eui64(peer); ok {
		return mac, ""
	}
	return mac, "neither relay, client identifier nor link-local address tell one"
}

// ethernet returns the address of an Ethernet interface.
func ethernet(kind iana.HWType, hw net.HardwareAddr) (mac [6]byte, ok bool) {
	if kind != iana.HWTypeEthernet || len(hw) != len(mac) {
		return mac, false
	}
	mac = [6]byte(hw)
	return mac, unusable(mac) == ""
}

// eui64 returns the hardware address that a link-local address was made of (RFC
// 4291 appendix A).
func eui64(a netip.Addr) (mac [6]byte, ok bool) {
	if !a.Is6() || !a.IsLinkLocalUnicast() {
		return mac, false
	}
	b := a.As16()
	if b[11] != 0xff || b[12] != 0xfe {
		return mac, false
	}
	mac = [6]byte{b[8] ^ 2, b[9], b[10], b[13], b[14], b[15]}
	return mac, unusable(mac) == ""
}

// DUIDText writes a DUID as octets with colons; nil: nothing.
func DUIDText(d dhcpv6.DUID) string {
	if d == nil {
		return ""
	}
	var words []string
	for _, octet := range d.ToBytes() {
		words = append(words, hex.EncodeToString([]byte{octet}))
	}
	return strings.Join(words, ":")
}

// Listed returns the usable addresses that a client lists in all its IAs.
func (r *Request6) Listed() []netip.Addr {
	var list []netip.Addr
	for _, o := range r.Inner.Options.Options {
		switch ia := o.(type) {
		case *dhcpv6.OptIANA:
			list = appendAddrs(list, ia.Options.Options)
		case *dhcpv6.OptIATA:
			list = appendAddrs(list, ia.Options.Options)
		}
	}
	return list
}

// Addrs returns the usable addresses that a client lists in an IA.
func Addrs(ia *dhcpv6.OptIANA) []netip.Addr { return appendAddrs(nil, ia.Options.Options) }

func appendAddrs(list []netip.Addr, options dhcpv6.Options) []netip.Addr {
	for _, o := range options {
		if listed, ok := o.(*dhcpv6.OptIAAddress); ok {
			if a := addr6(listed.IPv6Addr); a.IsValid() {
				list = append(list, a)
			}
		}
	}
	return list
}

// addr6 turns an address of a message into a netip.Addr. The unspecified
// address is none.
func addr6(ip net.IP) netip.Addr {
	if len(ip) != net.IPv6len {
		return netip.Addr{}
	}
	a := netip.AddrFrom16([16]byte(ip))
	if a.IsUnspecified() || a.Is4In6() {
		return netip.Addr{}
	}
	return a
}

// Fields returns what every log line of an exchange begins with.
func (r *Request6) Fields() map[string]any {
	fields := map[string]any{"message": r.State.Message(), "state": r.State.String()}
	if r.Inner == nil {
		return fields
	}
	fields["xid"] = r.Inner.TransactionID.String()
	fields["duid"] = DUIDText(r.Client)
	if r.Addr.IsValid() {
		fields["ip"] = r.Addr.String()
	}
	return fields
}

// Show reads what a message shows of a client beside its hardware address. link
// is the address by which relays name its network.
func (r *Request6) Show(link netip.Addr) Shown {
	s := Shown{Giaddr: link}
	if r.Client != nil {
		s.DUID = r.Client
	}
	if r.Relay != nil {
		s.Circuit = r.Relay.Options.InterfaceID()
		if remote := r.Relay.Options.RemoteID(); remote != nil {
			s.Remote = remote.RemoteID
		}
	}
	for _, class := range r.Inner.Options.VendorClasses() {
		if len(class.Data) > 0 {
			s.Class = class.Data[0]
			break
		}
	}
	if name := r.Inner.Options.FQDN(); name != nil && name.DomainName != nil {
		s.Hostname = []byte(strings.Join(name.DomainName.Labels, "."))
	}
	if archs := r.Inner.Options.ArchTypes(); len(archs) > 0 {
		s.Arch, s.HasArch = uint16(archs[0]), true
	}
	return s
}

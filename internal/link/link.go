// Package link says which network a client is on. It holds the networks that
// an administrator declared and one longest-prefix table of them.
package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// optionSubnetSelection is the subnet selection option (RFC 3011).
const optionSubnetSelection = dhcpv4.GenericOptionCode(118)

// Relayed returns the address by which a relay or the client itself names the
// client's network: link selection (RFC 3527), subnet selection (RFC 3011),
// giaddr. It is the zero Addr when the client asked directly. relay is option
// 82 of the request; nil: none, or one that does not parse.
func Relayed(req *dhcpv4.DHCPv4, relay *dhcpv4.RelayOptions) netip.Addr {
	if relay != nil {
		if a, ok := four(relay.Get(dhcpv4.LinkSelectionSubOption)); ok {
			return a
		}
	}
	if a, ok := four(req.GetOneOption(optionSubnetSelection)); ok {
		return a
	}
	a, _ := four(req.GatewayIPAddr.To4())
	return a
}

// SubnetSelection returns the subnet selection option of a request for its
// reply to echo, and false when there is none (RFC 3011 section 2).
func SubnetSelection(req *dhcpv4.DHCPv4) (dhcpv4.Option, bool) {
	value := req.GetOneOption(optionSubnetSelection)
	return dhcpv4.OptGeneric(optionSubnetSelection, value), len(value) == 4
}

// Find returns the network that a client is on: the one of relayed, which
// Relayed returned, or else that of ciaddr, or else that of the address on which
// the request was received. A network that a relay names and nobody declared is
// not found, whatever the rest says.
func (t Table) Find(req *dhcpv4.DHCPv4, relayed, receiving netip.Addr) (Network, bool) {
	if relayed.IsValid() {
		return t.Lookup(relayed)
	}
	if a, ok := four(req.ClientIPAddr.To4()); ok {
		if n, ok := t.Lookup(a); ok {
			return n, true
		}
	}
	return t.Lookup(receiving)
}

// Receiving returns the address that stands for the receiving interface: self,
// the server identifier, where the networks of the interface are not told or
// self is of one of them, else the interface's first IPv4 address.
func Receiving(networks []netip.Prefix, self netip.Addr) netip.Addr {
	first := self
	for _, p := range slices.Backward(networks) {
		switch {
		case p.Contains(self):
			return self
		case p.Addr().Is4():
			first = p.Addr()
		}
	}
	return first
}

// four reads four octets as an address. The unspecified address is none.
func four(b []byte) (netip.Addr, bool) {
	if len(b) != 4 {
		return netip.Addr{}, false
	}
	a := netip.AddrFrom4([4]byte(b))
	if a.IsUnspecified() {
		return netip.Addr{}, false
	}
	return a, true
}

// Source returns the address of this host from which packets to dst leave, by
// asking the kernel's routes. Nothing is sent.
func Source(dst netip.Addr) (netip.Addr, error) {
	if !dst.IsValid() {
		return netip.Addr{}, errors.New("finding the address of this host: no address to go to")
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(dst, dhcpv4.ClientPort)))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("finding the address of this host towards %v: %w", dst, err)
	}
	defer func() { _ = conn.Close() }()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

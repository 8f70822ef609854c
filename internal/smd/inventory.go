// Package smd keeps what SMD, the State Management Database, knows of the
// machines of a cluster: a client that asks, a pure step that turns records
// into an index by MAC address, and a cache that keeps the index fresh. SMD's
// own types do not leave this package.
package smd

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A MAC is the hardware address of an Ethernet interface.
type MAC [6]byte

func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// ParseMAC reads a MAC address with colons, dashes, dots or no separators, in
// upper or lower case. Tools that write SMD's database use all of them.
func ParseMAC(text string) (MAC, error) {
	var mac MAC
	var room [2 * len(mac)]byte
	digits := room[:0]
	for _, c := range []byte(strings.TrimSpace(text)) {
		switch {
		case c == ':', c == '-', c == '.':
		case len(digits) == len(room):
			return MAC{}, fmt.Errorf("%q is not a MAC address", text)
		default:
			digits = append(digits, c)
		}
	}
	if n, err := hex.Decode(mac[:], digits); err != nil || n < len(mac) {
		return MAC{}, fmt.Errorf("%q is not a MAC address", text)
	}
	switch {
	case mac == MAC{}:
		return MAC{}, fmt.Errorf("%q is the zero MAC address", text)
	case mac[0]&1 != 0:
		return MAC{}, fmt.Errorf("%q is a multicast MAC address", text)
	}
	return mac, nil
}

// A Machine is one Ethernet interface of SMD and its component. It is never
// written to after it was made.
type Machine struct {
	MAC    MAC
	ID     string       // the component's xname
	Type   string       // the component's type: Node, NodeBMC, ...
	NID    uint64       // node id, of a BMC that of its first node; valid if HasNID
	HasNID bool         // switches have none
	Addrs  []netip.Addr // usable addresses of both families in SMD's order, none twice

	// Prefixes are those of Addrs that SMD lists with a prefix length.
	Prefixes []netip.Prefix
	// NIC is the place of the interface among those of its component, from 0:
	// ones with an address first, then by MAC address. SMD has no order.
	NIC int

	Disabled bool // SMD says Enabled=false
	*Traits
}

// Traits are what else SMD says of a component. Machines that have the same
// share them.
type Traits struct{ Role, SubRole, Class, Arch, State string }

// equal says that SMD says the same of two machines.
func (m *Machine) equal(o *Machine) bool { return m.alike(o) && m.State == o.State }

// alike is equal but for the state, which changes whenever a machine boots.
func (m *Machine) alike(o *Machine) bool {
	return m.MAC == o.MAC && m.ID == o.ID && m.Type == o.Type && m.NID == o.NID && m.HasNID == o.HasNID && m.NIC == o.NIC &&
		m.Disabled == o.Disabled && slices.Equal(m.Addrs, o.Addrs) && slices.Equal(m.Prefixes, o.Prefixes) && m.Traits.alike(o.Traits)
}

func (t *Traits) alike(o *Traits) bool {
	return t.Role == o.Role && t.SubRole == o.SubRole && t.Class == o.Class && t.Arch == o.Arch
}

// Bits returns the prefix length that SMD lists with an address; 0: none.
func (m *Machine) Bits(a netip.Addr) int {
	for _, p := range m.Prefixes {
		if p.Addr() == a {
			return p.Bits()
		}
	}
	return 0
}

// An Index is the machines of an inventory by their MAC addresses.
type Index map[MAC]*Machine

// parseAddr reads an address as SMD holds it: there may be blanks around it and
// a prefix length behind it. A length that is none is dropped; the prefix is
// then not valid.
func parseAddr(text string) (netip.Addr, netip.Prefix, error) {
	bare, length, _ := strings.Cut(strings.TrimSpace(text), "/")
	a, err := netip.ParseAddr(strings.TrimSpace(bare))
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, netip.Prefix{}, fmt.Errorf("%q is not an IP address", text)
	}
	a = a.Unmap()
	switch {
	case a.IsUnspecified(), a.IsMulticast(), a.IsLoopback(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return netip.Addr{}, netip.Prefix{}, fmt.Errorf("%q is not an address of a machine", text)
	}
	bits, err := strconv.Atoi(strings.TrimSpace(length))
	if err != nil || bits == 0 {
		bits = -1
	}
	return a, netip.PrefixFrom(a, bits), nil
}

// Package smd keeps what SMD, the State Management Database, knows of the
// machines of a cluster: a client that asks, a pure step that turns records
// into an index by MAC address, and a cache that keeps the index fresh. SMD's
// own types do not leave this package.
package smd

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	base "github.com/Cray-HPE/hms-base/v2"
	"github.com/OpenCHAMI/smd/v2/pkg/sm"
)

// A MAC is the hardware address of an Ethernet interface.
type MAC [6]byte

func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }

// ParseMAC reads a MAC address with colons, dashes, dots or no separators, in
// upper or lower case. Tools that write SMD's database use all of them.
func ParseMAC(text string) (MAC, error) {
	digits := strings.NewReplacer(":", "", "-", "", ".", "").Replace(strings.TrimSpace(text))
	var mac MAC
	if len(digits) != hex.EncodedLen(len(mac)) {
		return MAC{}, fmt.Errorf("%q is not a MAC address", text)
	}
	if _, err := hex.Decode(mac[:], []byte(digits)); err != nil {
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
	NID    uint64       // node id; valid if HasNID
	HasNID bool         // BMCs and switches have none
	Addrs  []netip.Addr // usable addresses of both families in SMD's order, none twice
}

func (m Machine) equal(o Machine) bool {
	return m.MAC == o.MAC && m.ID == o.ID && m.Type == o.Type && m.NID == o.NID && m.HasNID == o.HasNID &&
		slices.Equal(m.Addrs, o.Addrs)
}

// A Fault is something in the inventory that was set aside or is doubtful.
type Fault struct {
	MAC    string // as SMD has it
	ID     string // xname, or empty
	Reason string
}

func (f Fault) String() string {
	switch {
	case f.MAC == "":
		return f.ID + ": " + f.Reason
	case f.ID == "":
		return f.MAC + ": " + f.Reason
	}
	return f.MAC + " (" + f.ID + "): " + f.Reason
}

// An Index is the machines of an inventory by their MAC addresses.
type Index map[MAC]Machine

// newIndex joins interfaces with their components. A bad record is set aside
// with its reason and never stops the rest.
func newIndex(interfaces []sm.CompEthInterfaceV2, components map[string]component) (Index, []Fault) {
	ix := indexer{
		index: make(Index, len(interfaces)),
		owner: make(map[netip.Addr]MAC, len(interfaces)),
	}
	for _, record := range interfaces {
		ix.add(record, components)
	}
	return ix.index, ix.faults
}

// A component is what is used of SMD's component.
type component struct {
	ID, Type string
	NID      uint64
	HasNID   bool
}

func newComponent(record base.Component, nid uint64, hasNID bool) component {
	return component{record.ID, record.Type, nid, hasNID}
}

// An indexer makes one index.
type indexer struct {
	index  Index
	owner  map[netip.Addr]MAC // the first interface that lists an address
	faults []Fault
}

func (ix *indexer) fault(record sm.CompEthInterfaceV2, format string, a ...any) {
	ix.faults = append(ix.faults, Fault{record.MACAddr, record.CompID, fmt.Sprintf(format, a...)})
}

func (ix *indexer) add(record sm.CompEthInterfaceV2, components map[string]component) {
	mac, err := ParseMAC(record.MACAddr)
	if err != nil {
		ix.fault(record, "interface %q set aside: %v", record.ID, err)
		return
	}
	if record.CompID == "" {
		ix.fault(record, "interface set aside: no component")
		return
	}
	comp, ok := components[record.CompID]
	if !ok {
		ix.fault(record, "interface set aside: component does not exist")
		return
	}
	if first, twice := ix.index[mac]; twice {
		ix.fault(record, "interface set aside: its MAC address is that of an interface of %s", first.ID)
		return
	}
	ix.index[mac] = Machine{
		MAC: mac, ID: comp.ID, Type: cmp.Or(comp.Type, record.Type), NID: comp.NID, HasNID: comp.HasNID,
		Addrs: ix.addrs(record, mac),
	}
}

// addrs reads the addresses that SMD lists for an interface.
func (ix *indexer) addrs(record sm.CompEthInterfaceV2, mac MAC) []netip.Addr {
	var list []netip.Addr
	for _, mapping := range record.IPAddrs {
		if strings.TrimSpace(mapping.IPAddr) == "" {
			continue
		}
		a, err := parseAddr(mapping.IPAddr)
		if err != nil {
			ix.fault(record, "address set aside: %v", err)
			continue
		}
		if slices.Contains(list, a) {
			continue
		}
		if other, ok := ix.owner[a]; ok {
			ix.fault(record, "address %v is also that of %v", a, other)
		} else {
			ix.owner[a] = mac
		}
		list = append(list, a)
	}
	if len(list) == 0 {
		ix.fault(record, "no usable address")
	}
	return list
}

// parseAddr reads an address as SMD holds it: blanks around it and a prefix
// length behind it are dropped.
func parseAddr(text string) (netip.Addr, error) {
	bare, _, _ := strings.Cut(strings.TrimSpace(text), "/")
	a, err := netip.ParseAddr(strings.TrimSpace(bare))
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address", text)
	}
	a = a.Unmap()
	switch {
	case a.IsUnspecified(), a.IsMulticast(), a.IsLoopback(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return netip.Addr{}, fmt.Errorf("%q is not an address of a machine", text)
	}
	return a, nil
}

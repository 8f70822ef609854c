package smd

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	base "github.com/Cray-HPE/hms-base/v2"
	"github.com/OpenCHAMI/smd/v2/pkg/sm"
)

// A component is what is used of SMD's component.
type component struct {
	ID, Type string
	NID      uint64
	HasNID   bool
	Disabled bool
	*Traits

	nic *Machine // the first of its interfaces that was read
}

func newComponent(record base.Component, nid uint64, hasNID bool, traits *Traits) component {
	return component{ID: record.ID, Type: record.Type, NID: nid, HasNID: hasNID, Disabled: record.Enabled != nil && !*record.Enabled, Traits: traits}
}

// An interner keeps one copy of what many components have.
type interner map[Traits]*Traits

func (in interner) traits(record base.Component) *Traits {
	t := Traits{record.Role, record.SubRole, record.Class, record.Arch, record.State}
	shared, ok := in[t]
	if !ok {
		shared = &Traits{intern(t.Role), intern(t.SubRole), intern(t.Class), intern(t.Arch), intern(t.State)}
		in[*shared] = shared
	}
	return shared
}

// An inventory is what one answer says.
type inventory struct {
	index   Index
	owner   map[netip.Addr]MAC // the first interface that lists an address, also one that was set aside
	faults  []Fault
	orphans []sm.CompEthInterfaceV2 // their components were not there
}

// An indexer joins interfaces with their components. A bad record is set aside
// with its reason and never stops the rest.
type indexer struct {
	inventory
	before     Index // a machine that is the same there is taken from it
	components map[string]component
	further    map[string][]*Machine // interfaces of components that have several
}

func newIndexer(components map[string]component, before Index) *indexer {
	return &indexer{
		before: before,
		inventory: inventory{
			index: make(Index, len(components)),
			owner: make(map[netip.Addr]MAC, len(components)),
		},
		components: components,
		further:    make(map[string][]*Machine),
	}
}

func (ix *indexer) fault(kind Kind, record sm.CompEthInterfaceV2, format string, a ...any) {
	ix.faults = append(ix.faults, Fault{kind, record.MACAddr, record.CompID, fmt.Sprintf(format, a...)})
}

func (ix *indexer) add(record sm.CompEthInterfaceV2) {
	mac, err := ParseMAC(record.MACAddr)
	if err != nil {
		ix.fault(BadMAC, record, "interface %q set aside: %v", record.ID, err)
		ix.claim(record, mac)
		return
	}
	if record.CompID == "" {
		ix.fault(NoComponent, record, "interface set aside: no component")
		ix.claim(record, mac)
		return
	}
	comp, ok := ix.components[record.CompID]
	if !ok {
		ix.orphans = append(ix.orphans, record)
		return
	}
	if first, twice := ix.index[mac]; twice {
		ix.fault(TwiceMAC, record, "interface set aside: its MAC address is that of an interface of %s", first.ID)
		ix.claim(record, mac)
		return
	}
	m := Machine{MAC: mac, ID: comp.ID, Type: cmp.Or(comp.Type, intern(record.Type)), Disabled: comp.Disabled, Traits: comp.Traits}
	m.NID, m.HasNID = ix.number(comp)
	m.Addrs, m.Prefixes = ix.addrs(record, mac)
	ix.group(comp, ix.enter(&m))
}

// enter puts a machine into the index and returns the one that is there: of one
// that did not change that of the index before, so that two inventories need
// little more memory than one.
func (ix *indexer) enter(m *Machine) *Machine {
	entry := ix.before[m.MAC]
	if entry == nil || !entry.equal(m) {
		own := *m
		entry = &own
	}
	ix.index[m.MAC] = entry
	return entry
}

// mostNodes is how many nodes a BMC is looked through for.
const mostNodes = 16

// number returns the node id of a component, of a BMC that of its first node.
func (ix *indexer) number(c component) (nid uint64, has bool) {
	if c.HasNID || !strings.HasSuffix(c.Type, "BMC") {
		return c.NID, c.HasNID
	}
	for n := range mostNodes {
		if node := ix.components[c.ID+"n"+strconv.Itoa(n)]; node.HasNID {
			return node.NID, true
		}
	}
	return 0, false
}

// group notes which interfaces a component has.
func (ix *indexer) group(c component, m *Machine) {
	if c.nic == nil {
		c.nic = m
		ix.components[c.ID] = c
		return
	}
	if ix.further[c.ID] == nil {
		ix.further[c.ID] = []*Machine{c.nic}
	}
	ix.further[c.ID] = append(ix.further[c.ID], m)
}

// arrange gives the interfaces of a component their places. A machine may be
// served already, so that one in another place is another one.
func (ix *indexer) arrange(nics []*Machine) {
	slices.SortFunc(nics, func(a, b *Machine) int {
		return cmp.Or(cmp.Compare(min(len(b.Addrs), 1), min(len(a.Addrs), 1)), slices.Compare(a.MAC[:], b.MAC[:]))
	})
	for i, m := range nics {
		if m.NIC != i {
			moved := *m
			moved.NIC = i
			ix.enter(&moved)
		}
	}
}

// lacks says that interfaces name components that are not there and that were
// not missed before.
func (ix *indexer) lacks(before map[string]bool) bool {
	return slices.ContainsFunc(ix.orphans, func(r sm.CompEthInterfaceV2) bool { return !before[r.CompID] })
}

// adopt takes the interfaces without component once more, with components that
// were read later, and sets the rest aside. It returns what is not there.
func (ix *indexer) adopt(later map[string]component) (missing map[string]bool) {
	orphans := ix.orphans
	ix.orphans = nil
	ix.components = later
	for _, record := range orphans {
		ix.add(record)
	}
	missing = make(map[string]bool)
	for _, record := range ix.orphans {
		missing[record.CompID] = true
		ix.fault(NoComponent, record, "interface set aside: component does not exist")
		mac, _ := ParseMAC(record.MACAddr)
		ix.claim(record, mac)
	}
	for _, nics := range ix.further {
		ix.arrange(nics)
	}
	ix.before, ix.components, ix.orphans, ix.further = nil, nil, nil, nil
	return missing
}

// claim notes the addresses of an interface that was set aside: SMD assigns
// them all the same.
func (ix *indexer) claim(record sm.CompEthInterfaceV2, mac MAC) {
	for _, mapping := range record.IPAddrs {
		a, _, err := parseAddr(mapping.IPAddr)
		if _, taken := ix.owner[a]; err == nil && !taken {
			ix.owner[a] = mac
		}
	}
}

// addrs reads the addresses that SMD lists for an interface, and the prefixes
// of those that have a length.
func (ix *indexer) addrs(record sm.CompEthInterfaceV2, mac MAC) (list []netip.Addr, prefixes []netip.Prefix) {
	for _, mapping := range record.IPAddrs {
		if strings.TrimSpace(mapping.IPAddr) == "" {
			continue
		}
		a, prefix, err := parseAddr(mapping.IPAddr)
		if err != nil {
			ix.fault(BadAddress, record, "address set aside: %v", err)
			continue
		}
		if slices.Contains(list, a) {
			continue
		}
		if other, ok := ix.owner[a]; ok {
			ix.fault(SharedAddress, record, "address %v is also that of %v", a, other)
		} else {
			ix.owner[a] = mac
		}
		list = append(list, a)
		if prefix.IsValid() {
			prefixes = append(prefixes, prefix)
		}
	}
	if len(list) == 0 {
		ix.fault(NoAddress, record, "no usable address")
	}
	return list, prefixes
}

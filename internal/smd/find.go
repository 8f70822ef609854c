package smd

import (
	"cmp"
	"net/netip"
	"slices"
)

// Owner returns the machine that SMD assigns an address to.
func (c *Cache) Owner(a netip.Addr) (MAC, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	mac, ok := c.owner[a]
	if !ok {
		mac, ok = c.pulledAddrs[a]
	}
	return mac, ok
}

// Find returns the first machines that a function picks, in the order of
// Compare, and no more than most. It looks at all, and holds nobody up.
func (c *Cache) Find(pick func(*Machine) bool, most int) []Machine {
	var found []Machine
	add := func(m *Machine) {
		if pick(m) {
			found = append(found, *m)
		}
	}
	for _, m := range c.serving() {
		add(m)
	}
	for _, m := range c.pulledMachines() {
		add(m)
	}
	slices.SortFunc(found, Compare)
	return found[:min(len(found), most)]
}

// Compare orders machines by component, NIC and MAC address.
func Compare(a, b Machine) int {
	return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.NIC, b.NIC), slices.Compare(a.MAC[:], b.MAC[:]))
}

func (c *Cache) pulledMachines() []*Machine {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var machines []*Machine
	for mac, p := range c.pulled {
		if _, known := c.index[mac]; !known && p.Machine != nil {
			machines = append(machines, p.Machine)
		}
	}
	return machines
}

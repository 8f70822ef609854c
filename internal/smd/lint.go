package smd

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Reserved tells why an address cannot be that of a machine; empty: it can.
type Reserved func(Machine, netip.Addr) string

// lint checks an inventory that is served now and notes its faults in the
// poll. One that did not change is checked again only if what is reserved did.
func (c *Cache) lint(p *Poll) {
	if p.Outcome != Changed && p.Outcome != Unchanged {
		return
	}
	var reserved Reserved
	version := c.linted
	if c.opts.Reserved != nil {
		reserved, version = c.opts.Reserved()
	}
	if p.Outcome == Unchanged && version == c.linted {
		return
	}
	c.linted = version
	faults := slices.Concat(c.found, lintNames(c.serving()), lintAddrs(c.serving(), reserved))
	c.mu.Lock()
	defer c.mu.Unlock()
	p.NewFaults, p.Faults = added(faults, c.faults), len(faults)
	c.faults = faults
}

// lintAddrs returns the machines that have reserved addresses.
func lintAddrs(index Index, reserved Reserved) []Fault {
	if reserved == nil {
		return nil
	}
	var faults []Fault
	for _, m := range index {
		for _, a := range m.Addrs {
			if why := reserved(*m, a); why != "" {
				faults = append(faults, Fault{TakenAddress, m.MAC.String(), m.ID, fmt.Sprintf("address %v is that of %s", a, why)})
			}
		}
	}
	slices.SortFunc(faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.MAC, b.MAC), cmp.Compare(a.Reason, b.Reason))
	})
	return faults
}

// lintNames returns the nodes that get the host name of another one.
func lintNames(index Index) []Fault {
	nodes := make([]*Machine, 0, len(index))
	for _, m := range index {
		if m.Type == "Node" && m.HasNID {
			nodes = append(nodes, m)
		}
	}
	slices.SortFunc(nodes, func(a, b *Machine) int {
		return cmp.Or(cmp.Compare(a.NID, b.NID), cmp.Compare(a.ID, b.ID), slices.Compare(a.MAC[:], b.MAC[:]))
	})
	var faults []Fault
	var first *Machine
	for _, m := range nodes {
		switch {
		case first == nil || m.NID != first.NID:
			first = m
		case m.ID != first.ID:
			faults = append(faults, Fault{TwiceNID, m.MAC.String(), m.ID, fmt.Sprintf("NID %d is also that of %s: both get one host name", m.NID, first.ID)})
		}
	}
	return faults
}

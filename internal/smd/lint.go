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
	faults := slices.Concat(c.found, lintAddrs(c.serving(), reserved))
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
			if why := reserved(m, a); why != "" {
				faults = append(faults, Fault{TakenAddress, m.MAC.String(), m.ID, fmt.Sprintf("address %v is that of %s", a, why)})
			}
		}
	}
	slices.SortFunc(faults, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.MAC, b.MAC), cmp.Compare(a.Reason, b.Reason))
	})
	return faults
}

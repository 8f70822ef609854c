package smd

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"maps"
	"net/netip"
	"slices"
)

// Reserved tells why an address cannot be that of a machine; empty: it can.
type Reserved func(Machine, netip.Addr) string

// lint checks an inventory that is served now and notes its faults in the
// poll. One that did not change is checked again only if what is reserved did.
// Machines are compared with each other, which takes long, only if that can
// find something else than the last time. Their addresses are quick to check,
// and those of this host may be other ones without anybody's word.
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
	if !c.compared {
		c.compared, c.twice = true, slices.Concat(lintNIDs(c.serving()), lintNames(c.serving(), c.opts.HostName))
	}
	faults := slices.Concat(c.found, c.twice, lintAddrs(c.serving(), reserved))
	p.NewFaults, p.Faults = added(faults, c.Status().Faults), len(faults)
	c.setFaults(faults)
}

// setFaults shows faults to everybody. Packets wait for mu: what takes long
// has no place here.
func (c *Cache) setFaults(faults []Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = faults
}

// sameName says that a machine gets the name that it got before its state was
// another one: a rule may ask for the state.
func (c *Cache) sameName(before, now *Machine) bool {
	return c.opts.HostName == nil || before.State == now.State || c.opts.HostName(*before) == c.opts.HostName(*now)
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

// lintNIDs returns the nodes that have the node id of another one.
func lintNIDs(index Index) []Fault {
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
			faults = append(faults, Fault{TwiceNID, m.MAC.String(), m.ID, fmt.Sprintf("NID %d is also that of %s", m.NID, first.ID)})
		}
	}
	return faults
}

// lintNames returns the machines that get the host name of another one, unless
// that follows from a node id that two have, and the first interface that gets
// the name of another one of its machine: where one does, thousands do.
func lintNames(index Index, name func(Machine) string) []Fault {
	if name == nil {
		return nil
	}
	machines := slices.SortedFunc(maps.Values(index), func(a, b *Machine) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.NIC, b.NIC), slices.Compare(a.MAC[:], b.MAC[:]))
	})
	var faults []Fault
	var shared *Machine                                                      // the first one
	seed, first := maphash.MakeSeed(), make(map[uint64]*Machine, len(index)) // texts would double the memory
	for _, m := range machines {
		text := name(*m)
		sum := maphash.String(seed, text)
		other, taken := first[sum]
		switch {
		case text == "":
		case !taken:
			first[sum] = m
		case other.ID == m.ID:
			shared = cmp.Or(shared, m)
		case m.NID != other.NID || m.Type != other.Type || m.Type != "Node":
			faults = append(faults, Fault{TwiceName, m.MAC.String(), m.ID, fmt.Sprintf("host name %s is also that of %s", text, other.ID)})
		}
	}
	if m := shared; m != nil {
		faults = append(faults, Fault{SharedName, m.MAC.String(), m.ID, fmt.Sprintf(
			"host name %s is also that of another interface of its component; it is the first such interface ({nic} in a pattern tells them apart)", name(*m))})
	}
	return faults
}

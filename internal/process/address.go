package process

import "net/netip"

// Claim publishes which addresses SMD assigns to its machines. No pool of this
// process hands them out.
func (p *Process) Claim(assigns func(netip.Addr) bool) { p.claims.Store(&assigns) }

// Claimed says that SMD assigns an address to one of its machines.
func (p *Process) Claimed(a netip.Addr) bool {
	assigns := p.claims.Load()
	return assigns != nil && (*assigns)(a)
}

// A reservation is addresses that no machine of SMD should have.
type reservation struct {
	name  string
	holds func(netip.Addr) bool
}

// Reserve publishes addresses that no machine of SMD should have, such as those
// of a pool. They are named in complaints.
func (p *Process) Reserve(name string, holds func(netip.Addr) bool) {
	p.reserveMu.Lock()
	defer p.reserveMu.Unlock()
	p.reserved = append(p.reserved[:len(p.reserved):len(p.reserved)], reservation{name, holds})
}

// Reserved returns what names the reservation of an address, or nothing, and
// how many reservations there are.
func (p *Process) Reserved() (name func(netip.Addr) string, count int) {
	p.reserveMu.Lock()
	all := p.reserved
	p.reserveMu.Unlock()
	return func(a netip.Addr) string {
		for _, r := range all {
			if r.holds(a) {
				return r.name
			}
		}
		return ""
	}, len(all)
}

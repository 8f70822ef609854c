package bootloop

import (
	"net/netip"
	"sync"

	"github.com/OpenCHAMI/coresmd/internal/lease"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/sirupsen/logrus"
)

// A network is a network with its pools.
type network struct {
	link.Network
	pools []int // indices of the pools in the lease table
}

func (n network) String() string {
	if n.Prefix.IsValid() {
		return n.Prefix.String()
	}
	return n.Pools[0].String()
}

func newNetworks(c config) []network {
	nets := make([]network, len(c.networks))
	for i, n := range c.networks {
		nets[i].Network = n
	}
	for pool, at := range c.place {
		nets[at].pools = append(nets[at].pools, pool)
	}
	return nets
}

// withPool returns the index of a declared network that has a pool, else -1.
func (s *service) withPool(found link.Network) int {
	for i, n := range s.nets {
		if n.Prefix == found.Prefix && len(n.pools) > 0 {
			return i
		}
	}
	return -1
}

// infrastructure are addresses that belong to the network itself: the server
// and the routers. They are never given out.
type infrastructure struct {
	log   *logrus.Entry
	pools []lease.Range

	mu   sync.RWMutex
	seen map[netip.Addr]bool // guarded by mu
}

// newInfrastructure returns one that knows the routers of the networks, and in
// DHCPv6 the address that each router of a network answers to (RFC 4291 section
// 2.6.1).
func newInfrastructure(log *logrus.Entry, c config) *infrastructure {
	f := &infrastructure{log: log, pools: c.pools, seen: make(map[netip.Addr]bool)}
	for _, n := range c.networks {
		for _, r := range n.Routers {
			f.see(r)
		}
		if n.Prefix.Addr().Is6() {
			f.seen[n.Prefix.Addr()] = true
		}
	}
	return f
}

// see learns of an address of the network itself. An invalid one is none.
func (f *infrastructure) see(a netip.Addr) {
	if !a.IsValid() || f.taken(a) {
		return
	}
	f.mu.Lock()
	known := f.seen[a]
	f.seen[a] = true
	f.mu.Unlock()
	for _, p := range f.pools {
		if !known && !a.Less(p.First) && !p.Last.Less(a) {
			f.log.Warnf("pool %v holds %v, the address of the server or of a router: it is not given out", p, a)
		}
	}
}

// taken says that an address is one of the network itself.
func (f *infrastructure) taken(a netip.Addr) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.seen[a]
}

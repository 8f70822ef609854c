package bootloop

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/lease"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/sirupsen/logrus"
)

// A network4 is a network with its pools and what its clients are told.
type network4 struct {
	link.Network
	pools []int // indices of the pools in the lease table
	told  []dhcpv4.Modifier
	relay atomic.Pointer[netip.Addr] // the relay that clients were last heard through
}

func (n *network4) String() string {
	if n.Prefix.IsValid() {
		return n.Prefix.String()
	}
	return n.Pools[0].String()
}

func newNetworks4(c config) []*network4 {
	networks := make([]*network4, len(c.networks))
	for i, n := range c.networks {
		networks[i] = &network4{Network: n}
		if n.Prefix.IsValid() {
			networks[i].told = n.Modifiers()
		}
	}
	for pool, at := range c.place {
		networks[at].pools = append(networks[at].pools, pool)
	}
	return networks
}

// networkOf returns the index of the client's network, or -1 where none with a
// pool is it. A direct client always uses a network that is the only one.
func (h *handler4) networkOf(x *exchange4) int {
	if len(h.networks) == 1 {
		return h.only(x)
	}
	found, ok := h.table.Find(x.req, x.relayed, x.self)
	if !ok {
		return -1
	}
	for i, n := range h.networks {
		if n.Prefix == found.Prefix && len(n.pools) > 0 {
			return i
		}
	}
	return -1
}

// only returns 0 if the only network is the client's.
func (h *handler4) only(x *exchange4) int {
	if x.relayed.IsValid() && !h.prefix(x, 0).Contains(x.relayed) {
		return -1
	}
	return 0
}

// prefix returns the prefix of a network. That of a single range, which nobody
// declared, follows from the mask that an earlier plugin set; it is invalid
// where there is none.
func (h *handler4) prefix(x *exchange4, network int) netip.Prefix {
	n := h.networks[network]
	if n.Prefix.IsValid() {
		return n.Prefix
	}
	ones, bits := x.prepared.SubnetMask().Size()
	if bits != 32 {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(n.Pools[0].First, ones).Masked()
}

// relay returns the relay's address in the client's network, invalid where
// there is none. A client that renews sends by unicast, past its relay: it is
// told the one that its network was last heard through.
func (h *handler4) relay(x *exchange4, prefix netip.Prefix) netip.Addr {
	last := &h.networks[x.network].relay
	giaddr := exchange.Addr(x.req.GatewayIPAddr)
	switch {
	case prefix.Contains(giaddr):
		if !x.dry {
			last.Store(&giaddr)
		}
		return giaddr
	case giaddr.IsValid(), prefix.Contains(x.self), last.Load() == nil:
		return netip.Addr{}
	}
	return *last.Load()
}

// outside says that the address asked for cannot be one of the client's
// network.
func (h *handler4) outside(x *exchange4) bool {
	prefix := h.prefix(x, x.network)
	return prefix.IsValid() && !prefix.Contains(x.ask.Addr)
}

// inNetwork says that the address asked for is of a pool of the client's
// network.
func (h *handler4) inNetwork(x *exchange4) bool {
	pool, ok := h.leases.PoolOf(x.ask.Addr)
	return ok && h.place[pool] == x.network
}

func (h *handler4) from(x *exchange4) string {
	if x.relayed.IsValid() {
		return "relay address " + x.relayed.String()
	}
	return "receiving address " + x.self.String()
}

// infrastructure are addresses that belong to the network itself: the server
// and the routers. They are never given out.
type infrastructure struct {
	log   *logrus.Entry
	pools []lease.Range

	mu   sync.RWMutex
	seen map[netip.Addr]bool // guarded by mu
}

// newInfrastructure returns one that knows the routers of the networks.
func newInfrastructure(log *logrus.Entry, c config) *infrastructure {
	f := &infrastructure{log: log, pools: c.pools, seen: make(map[netip.Addr]bool)}
	for _, n := range c.networks {
		for _, r := range n.Routers {
			f.add(r)
		}
	}
	return f
}

// see learns of the server and the routers of a prepared reply.
func (f *infrastructure) see(self netip.Addr, routers []net.IP) {
	f.add(self)
	for _, r := range routers {
		f.add(exchange.Addr(r))
	}
}

func (f *infrastructure) add(a netip.Addr) {
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

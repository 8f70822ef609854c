package bootloop

import (
	"net/netip"
	"sync/atomic"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// A network4 is what the clients of a network are told.
type network4 struct {
	told  []dhcpv4.Modifier
	relay atomic.Pointer[netip.Addr] // the relay that clients were last heard through
}

func newNetworks4(nets []network) []*network4 {
	networks := make([]*network4, len(nets))
	for i, n := range nets {
		networks[i] = &network4{}
		if n.Prefix.IsValid() {
			networks[i].told = n.Modifiers()
		}
	}
	return networks
}

// networkOf returns the index of the client's network, or -1 where none with a
// pool is it. A direct client always uses a network that is the only one.
func (h *handler4) networkOf(x *exchange4) int {
	if len(h.nets) == 1 {
		return h.only(x)
	}
	found, ok := h.table.Find(x.req, x.relayed, h.receiving(x))
	if !ok {
		return -1
	}
	return h.withPool(found)
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
	n := h.nets[network]
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
	case giaddr.IsValid(), prefix.Contains(h.receiving(x)), last.Load() == nil:
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

// receiving is the address that stands for the receiving interface.
func (h *handler4) receiving(x *exchange4) netip.Addr {
	return link.Receiving(x.from.Networks, x.self)
}

func (h *handler4) from(x *exchange4) string {
	if x.relayed.IsValid() {
		return "relay address " + x.relayed.String()
	}
	return "receiving address " + h.receiving(x).String()
}

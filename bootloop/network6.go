package bootloop

import (
	"net/netip"

	"github.com/OpenCHAMI/coresmd/internal/link"
)

// networkOf returns the index of the client's network, or -1 where none with a
// pool is it. A direct client always uses a network that is the only one.
func (h *handler6) networkOf(x *exchange6) int {
	if len(h.nets) == 1 && (!x.relayed.IsValid() || h.nets[0].Prefix.Contains(x.relayed)) {
		return 0
	}
	found, ok := h.table.Find6(x.relayed, h.receiving(x))
	if !ok {
		return -1
	}
	return h.withPool(found)
}

// learn notes addresses of the network itself.
func (h *handler6) learn(x *exchange6) {
	if x.dry {
		return
	}
	h.infra.see(x.relayed)
	for _, p := range x.from.Networks {
		h.infra.see(p.Addr())
	}
}

func (h *handler6) from(x *exchange6) string {
	if x.relayed.IsValid() {
		return "link address " + x.relayed.String()
	}
	if own := link.Receiving6(h.receiving(x)); own.IsValid() {
		return "receiving address " + own.String()
	}
	return "no address of the receiving interface is known"
}

// receiving are the addresses of the receiving interface, as far as they are
// known.
func (h *handler6) receiving(x *exchange6) []netip.Prefix { return x.inquiry.from.Networks }
func (h *handler6) describe(x *exchange6)                 {}

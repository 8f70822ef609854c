package bootloop

import (
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// reply4 completes the prepared reply. It is the only place that writes
// options.
func (h *handler4) reply4(x *exchange4) *dhcpv4.DHCPv4 {
	d := x.prepared
	netboot.Without(d)
	exchange.SetServer(d, x.server)
	h.writeLease(x)
	exchange.Apply(d, h.networks[x.network].told)
	h.writeRouter(x)
	if selection, ok := link.SubnetSelection(x.req); ok {
		d.UpdateOption(selection)
	}
	h.replies.Write(d, x.req, x.client, h.boot().Next(x.self), x.bootfile)
	return d
}

// writeLease writes the address and its times.
func (h *handler4) writeLease(x *exchange4) {
	times := h.times
	switch {
	case !x.addr.IsValid():
		exchange.WithoutLease(x.prepared)
		return
	case x.left > 0:
		times = exchange.NewTimes(x.left).Modifiers()
	}
	x.prepared.YourIPAddr = x.addr.AsSlice()
	exchange.Apply(x.prepared, times)
}

// writeRouter sees to the router: none outside the network, and the relay where
// there is no other.
func (h *handler4) writeRouter(x *exchange4) {
	prefix := h.prefix(x, x.network)
	relay := h.relay(x, prefix)
	if !prefix.IsValid() {
		return
	}
	link.KeepRouters(prefix)(x.prepared)
	if !x.prepared.Options.Has(dhcpv4.OptionRouter) && relay.IsValid() {
		x.prepared.Options[dhcpv4.OptionRouter.Code()] = relay.AsSlice()
	}
}

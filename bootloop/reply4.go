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
	mods := append(make([]dhcpv4.Modifier, 0, 16), netboot.Without, exchange.WithServerID(x.server))
	mods = append(mods, h.lease(x)...)
	mods = append(mods, h.networks[x.network].told...)
	mods = append(mods, h.router(x))
	if selection, ok := link.SubnetSelection(x.req); ok {
		mods = append(mods, dhcpv4.WithOption(selection))
	}
	for _, modify := range h.replies.Append(mods, x.req, x.client, h.boot().Next(x.self), x.bootfile) {
		modify(x.prepared)
	}
	return x.prepared
}

// lease returns what writes the address and its times.
func (h *handler4) lease(x *exchange4) []dhcpv4.Modifier {
	times := h.times
	switch {
	case !x.addr.IsValid():
		return []dhcpv4.Modifier{exchange.WithoutLease}
	case x.left > 0:
		times = exchange.NewTimes(x.left).Modifiers()
	}
	return append([]dhcpv4.Modifier{dhcpv4.WithYourIP(x.addr.AsSlice())}, times...)
}

// router returns what sees to the router: none outside the network, and the
// relay where there is no other.
func (h *handler4) router(x *exchange4) dhcpv4.Modifier {
	prefix := h.prefix(x, x.network)
	relay := h.relay(x, prefix)
	return func(d *dhcpv4.DHCPv4) {
		if !prefix.IsValid() {
			return
		}
		link.KeepRouters(prefix)(d)
		if !d.Options.Has(dhcpv4.OptionRouter) && relay.IsValid() {
			exchange.Set(dhcpv4.OptionRouter, relay.AsSlice())(d)
		}
	}
}

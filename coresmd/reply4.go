package coresmd

import (
	"net/netip"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// fixed4 are the options that do not depend on the request. Their octets are
// made once and shared by all replies.
type fixed4 struct {
	lease    []dhcpv4.Modifier
	networks map[netip.Prefix][]dhcpv4.Modifier
	boot     *netboot.Replies4
}

func newFixed4(c config) *fixed4 {
	f := &fixed4{
		lease:    exchange.NewTimes(c.leaseTime).Modifiers(),
		networks: make(map[netip.Prefix][]dhcpv4.Modifier),
		boot:     netboot.NewReplies4(c.loaders),
	}
	for _, n := range c.subnets {
		f.networks[n.Prefix] = n.Modifiers()
	}
	return f
}

// reply4 completes the prepared reply. It is the only place that writes
// options.
func (h *handler4) reply4(x *exchange4) *dhcpv4.DHCPv4 {
	mods := append(make([]dhcpv4.Modifier, 0, 16), netboot.Without, exchange.WithServerID(x.server))
	if x.addr.IsValid() {
		mods = append(mods, dhcpv4.WithYourIP(x.addr.AsSlice()))
		mods = append(mods, h.fixed.lease...)
	} else {
		mods = append(mods, exchange.WithoutLease)
	}
	mods = append(mods, h.fixed.networks[x.network.Prefix]...)
	if x.hostname != "" {
		mods = append(mods, exchange.Set(dhcpv4.OptionHostName, []byte(x.hostname)))
	}
	if selection, ok := link.SubnetSelection(x.req); ok {
		mods = append(mods, dhcpv4.WithOption(selection))
	}
	for _, modify := range h.fixed.boot.Append(mods, x.req, x.boot, x.self, x.bootfile) {
		modify(x.prepared)
	}
	return x.prepared
}

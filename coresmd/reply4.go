package coresmd

import (
	"net"
	"net/netip"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/rule"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// fixed4 are the options that do not depend on the request. Their octets are
// made once and shared by all replies.
type fixed4 struct {
	lease    []dhcpv4.Modifier
	networks map[netip.Prefix][]dhcpv4.Modifier
	explicit map[netip.Prefix]bool // networks that no rule stands for
	rules    []fixedRule4
	masks    [33]dhcpv4.Modifier // by prefix length
	boot     *netboot.Replies4
}

// A fixedRule4 is what one rule says.
type fixedRule4 struct {
	lease []dhcpv4.Modifier // for those who get a lease
	told  []dhcpv4.Modifier
}

func newFixed4(c config) *fixed4 {
	f := &fixed4{
		lease:    exchange.NewTimes(c.leaseTime).Modifiers(),
		networks: make(map[netip.Prefix][]dhcpv4.Modifier),
		explicit: make(map[netip.Prefix]bool),
		boot:     netboot.NewReplies4(c.boot.Loaders),
	}
	for _, n := range c.declared {
		if n.Prefix.Addr().Is4() {
			f.networks[n.Prefix] = n.Modifiers()
		}
	}
	for _, n := range c.subnets {
		f.explicit[n.Prefix] = true
	}
	for bits := range f.masks {
		f.masks[bits] = exchange.Set(dhcpv4.OptionSubnetMask, net.CIDRMask(bits, 32))
	}
	for _, r := range c.rules.Rules() {
		f.rules = append(f.rules, newFixedRule4(r))
	}
	return f
}

func newFixedRule4(r rule.Rule) fixedRule4 {
	var f fixedRule4
	if r.LeaseTime > 0 {
		f.lease = exchange.NewTimes(r.LeaseTime).Modifiers()
	}
	addrs := func(code dhcpv4.OptionCode, list []netip.Addr) {
		if octets := octets4(list); len(octets) > 0 {
			f.told = append(f.told, exchange.Set(code, octets))
		}
	}
	addrs(dhcpv4.OptionRouter, r.Routers)
	addrs(dhcpv4.OptionDomainNameServer, r.DNS)
	addrs(dhcpv4.OptionNTPServers, r.NTP)
	if r.MTU > 0 {
		f.told = append(f.told, exchange.Set(dhcpv4.OptionInterfaceMTU, dhcpv4.Uint16(r.MTU).ToBytes()))
	}
	if len(r.Search) > 0 {
		f.told = append(f.told, dhcpv4.WithDomainSearchList(r.Search...))
	}
	for _, o := range r.Options4 {
		f.told = append(f.told, exchange.Set(dhcpv4.GenericOptionCode(uint8(o.Code)), o.Data))
	}
	return f
}

// octets4 returns the octets of the IPv4 addresses of a list.
func octets4(list []netip.Addr) []byte {
	var octets []byte
	for _, a := range list {
		if a.Is4() {
			octets = append(octets, a.AsSlice()...)
		}
	}
	return octets
}

// reply4 completes the prepared reply. It is the only place that writes
// options.
func (h *handler4) reply4(x *exchange4) *dhcpv4.DHCPv4 {
	d := x.prepared
	netboot.Without(d)
	exchange.SetServer(d, x.server)
	if x.addr.IsValid() {
		d.YourIPAddr = x.addr.AsSlice()
		exchange.Apply(d, h.fixed.lease)
	} else {
		exchange.WithoutLease(d)
	}
	exchange.Apply(d, h.fixed.networks[x.network.Prefix])
	if beside, err := x.given().Prefix(x.bits); x.bits > 0 && err == nil {
		link.KeepRouters(beside)(d)
	}
	for i := range x.told.Matched.Len() {
		r := &h.fixed.rules[x.told.Matched.At(i)]
		if x.addr.IsValid() {
			exchange.Apply(d, r.lease)
		}
		exchange.Apply(d, r.told)
	}
	if bits := h.maskBits(x); bits > 0 {
		h.fixed.masks[bits](d)
	}
	if x.told.Hostname != "" {
		d.Options[dhcpv4.OptionHostName.Code()] = []byte(x.told.Hostname)
	}
	if selection, ok := link.SubnetSelection(x.req); ok {
		d.UpdateOption(selection)
	}
	h.fixed.boot.Write(d, x.req, x.boot, h.next(x), x.bootfile)
	return d
}

// next is the server that the machine loads from.
func (h *handler4) next(x *exchange4) netip.Addr {
	if x.told.NextServer.IsValid() {
		return x.told.NextServer
	}
	return h.boot.Next(x.self)
}

// maskBits returns the prefix length that takes the place of that of the
// client's network; 0: none. A rule that asks for a subnet and says no mask sets
// that of the subnet, unless a network that is declared inside it is the
// client's.
func (h *handler4) maskBits(x *exchange4) int {
	subnet, own := x.told.Subnet, x.network.Prefix
	switch {
	case x.told.Mask > 0:
		return x.told.Mask
	case x.bits > 0:
		return x.bits
	case !subnet.IsValid(), h.fixed.explicit[own] && own.Bits() >= subnet.Bits():
		return 0
	}
	return subnet.Bits()
}

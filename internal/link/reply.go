package link

import (
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Modifiers returns what writes mask, routers and name servers of a declared
// network into a reply. A router that stands there already is kept only if the
// network declares none and the router lies in it.
func (n Network) Modifiers() []dhcpv4.Modifier {
	mods := []dhcpv4.Modifier{set(dhcpv4.OptionSubnetMask, n.Mask)}
	if len(n.Routers) > 0 {
		mods = append(mods, set(dhcpv4.OptionRouter, joined(n.Routers)))
	} else {
		mods = append(mods, KeepRouters(n.Prefix))
	}
	if len(n.DNS) > 0 {
		mods = append(mods, set(dhcpv4.OptionDomainNameServer, joined(n.DNS)))
	}
	return mods
}

// KeepRouters takes the routers outside a prefix out of a reply.
func KeepRouters(within netip.Prefix) dhcpv4.Modifier {
	return func(d *dhcpv4.DHCPv4) {
		var kept []netip.Addr
		for _, ip := range d.Router() {
			if a, ok := four(ip.To4()); ok && within.Contains(a) {
				kept = append(kept, a)
			}
		}
		if len(kept) == 0 {
			d.DeleteOption(dhcpv4.OptionRouter)
			return
		}
		set(dhcpv4.OptionRouter, joined(kept))(d)
	}
}

func joined(addrs []netip.Addr) []byte {
	var b []byte
	for _, a := range addrs {
		b = append(b, a.AsSlice()...)
	}
	return b
}

func set(code dhcpv4.OptionCode, value []byte) dhcpv4.Modifier {
	return func(d *dhcpv4.DHCPv4) { d.Options[code.Code()] = value }
}

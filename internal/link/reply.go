package link

import (
	"net"
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
	code := dhcpv4.OptionRouter.Code()
	return func(d *dhcpv4.DHCPv4) {
		routers := d.Options[code]
		kept := inside(nil, routers, within)
		switch kept {
		case 0:
			delete(d.Options, code)
		case len(routers): // all of them
		default:
			octets := make([]byte, kept)
			inside(octets, routers, within)
			d.Options[code] = octets
		}
	}
}

// inside copies those of some addresses that a prefix holds, and returns their
// length.
func inside(to, addrs []byte, within netip.Prefix) (n int) {
	for ; len(addrs) >= net.IPv4len; addrs = addrs[net.IPv4len:] {
		if within.Contains(netip.AddrFrom4([4]byte(addrs))) {
			if to != nil {
				copy(to[n:], addrs[:net.IPv4len])
			}
			n += net.IPv4len
		}
	}
	return n
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

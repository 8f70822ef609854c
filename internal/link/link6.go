package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// Relayed6 returns the address by which relays name the client's network: the
// link-address of the relay nearest to the client that tells one (RFC 8415
// section 13.1). A relay in a switch tells none (RFC 6221). It is the zero Addr
// when the client asked directly.
func Relayed6(req dhcpv6.DHCPv6) netip.Addr {
	var nearest netip.Addr
	for req != nil && req.IsRelay() {
		relay, ok := req.(*dhcpv6.RelayMessage)
		if !ok {
			break
		}
		if a, ok := netip.AddrFromSlice(relay.LinkAddr); ok && global(a) {
			nearest = a
		}
		req = relay.Options.RelayMessage()
	}
	return nearest
}

// Find6 returns the network that a client is on: that of relayed, which Relayed6
// returned, or else of the addresses of the receiving interface the first that
// lies in a declared network.
func (t Table) Find6(relayed netip.Addr, receiving []netip.Prefix) (Network, bool) {
	if relayed.IsValid() {
		return t.Lookup(relayed)
	}
	for _, p := range receiving {
		if global(p.Addr()) {
			if n, ok := t.Lookup(p.Addr()); ok {
				return n, true
			}
		}
	}
	return Network{}, false
}

// Receiving6 returns the first address of the receiving interface that hosts
// elsewhere can reach; invalid: it has none.
func Receiving6(receiving []netip.Prefix) netip.Addr {
	if at := slices.IndexFunc(receiving, func(p netip.Prefix) bool { return global(p.Addr()) }); at >= 0 {
		return receiving[at].Addr()
	}
	return netip.Addr{}
}

// global says that an address is an IPv6 address that routers forward.
func global(a netip.Addr) bool { return a.Is6() && !a.Is4In6() && a.IsGlobalUnicast() }

// Own6 returns an address of this host with its prefix length: want, or if that
// is invalid the only one that hosts elsewhere can reach. Several, or none, are
// an error.
func Own6(want netip.Addr) (netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("reading the addresses of this host: %w", err)
	}
	var own []netip.Prefix
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && global(p.Addr()) {
			own = append(own, p)
		}
	}
	return choose6(own, want)
}

func choose6(own []netip.Prefix, want netip.Addr) (netip.Prefix, error) {
	if want.IsValid() {
		if at := slices.IndexFunc(own, func(p netip.Prefix) bool { return p.Addr() == want }); at >= 0 {
			return own[at], nil
		}
		return netip.Prefix{}, fmt.Errorf("%v is no address of this host", want)
	}
	switch len(own) {
	case 0:
		return netip.Prefix{}, errors.New("this host has no global IPv6 address")
	case 1:
		return own[0], nil
	}
	return netip.Prefix{}, fmt.Errorf("this host has %d global IPv6 addresses", len(own))
}

// lookAgain is how long what Own6 found holds.
const lookAgain = time.Minute

// A Host6 knows the address of this host that stands in where the packet loop
// tells no receiving interface. It is looked for anew once a minute. The zero
// value is ready.
type Host6 struct {
	Look func(want netip.Addr) (netip.Prefix, error) // nil: Own6
	last atomic.Pointer[found6]
}

type found6 struct {
	own   []netip.Prefix
	err   error
	until time.Time
}

// Find returns what Own6 returns for want, which is the same at each call.
// Without an error that is one prefix. Nobody writes to it.
func (h *Host6) Find(want netip.Addr, now time.Time) ([]netip.Prefix, error) {
	if last := h.last.Load(); last != nil && now.Before(last.until) {
		return last.own, last.err
	}
	look := h.Look
	if look == nil {
		look = Own6
	}
	found := &found6{until: now.Add(lookAgain)}
	p, err := look(want)
	if found.err = err; err == nil {
		found.own = []netip.Prefix{p}
	}
	h.last.Store(found)
	return found.own, found.err
}

// DUID returns an identifier made of the hardware address of an interface of
// this host: of the one with that index, else of the first that has one. It
// stands in where no server identifier is configured.
func DUID(index int) (dhcpv6.DUID, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("reading the interfaces of this host: %w", err)
	}
	var first *dhcpv6.DUIDLL
	for _, i := range interfaces {
		if len(i.HardwareAddr) != 6 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		d := &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: i.HardwareAddr}
		if i.Index == index {
			return d, nil
		}
		if first == nil {
			first = d
		}
	}
	if first == nil {
		return nil, errors.New("no interface of this host has a hardware address")
	}
	return first, nil
}

package coresmd

import (
	"net/netip"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// publishedAddr6 is the name under which server_addr6 is published.
const publishedAddr6 = "server_addr6"

// receiving returns the addresses of the interface that a direct request came
// in by, as far as they are known.
func (h *handler6) receiving(x *exchange6) []netip.Prefix {
	switch {
	case x.ask6.Relay != nil:
		return nil
	case len(x.from.Networks) > 0:
		return x.from.Networks
	}
	own, _ := h.own.Find(h.serverAddr6, time.Now())
	return own
}

// rehearsed is where a direct request to a configuration comes in: by the
// interface with server_addr6, which may be one of another host.
func (h *handler6) rehearsed() []netip.Prefix {
	if _, err := h.own.Find(h.serverAddr6, time.Now()); err == nil || !h.rehearses || !h.serverAddr6.IsValid() {
		return nil
	}
	return []netip.Prefix{netip.PrefixFrom(h.serverAddr6, h.serverAddr6.BitLen())}
}

// address returns the address of this server that stands in URLs; invalid: it
// is not known.
func (h *handler6) address(x *exchange6) netip.Addr {
	if h.serverAddr6.IsValid() {
		return h.serverAddr6
	}
	if a := link.Receiving6(x.from.Networks); a.IsValid() {
		return a
	}
	own, err := h.own.Find(netip.Addr{}, time.Now())
	if err == nil {
		return own[0].Addr()
	}
	if !x.dry && (x.boot.Kind == netboot.PXE || x.boot.Kind == netboot.HTTP) {
		h.noURL.Do(func() {
			h.log.Warnf("machines that boot by IPv6 are told no URL: %v; server_addr6= names the one to tell them", err)
		})
	}
	return netip.Addr{}
}

// identify finds our server identifier. Where no plugin before us has set one,
// that of an interface stands in. It returns false if there is none.
func (h *handler6) identify(x *exchange6) bool {
	if x.self = x.prepared.Options.ServerID(); x.self != nil {
		return true
	}
	self, err := link.DUID(x.from.Index)
	if !x.dry && h.noServer.Allow(time.Now()) {
		h.log.WithError(err).Errorf("no server identifier: put server_id before coresmd; %s stands in", exchange.DUIDText(self))
	}
	if err != nil {
		return false
	}
	x.self = self
	x.prepared.AddOption(dhcpv6.OptServerID(self))
	return true
}

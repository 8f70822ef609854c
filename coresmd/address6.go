package coresmd

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// publishedAddr6 is the name under which server_addr6 is published.
const publishedAddr6 = "server_addr6"

// An own6 knows the address of this host that stands in where the packet loop
// tells no receiving interface. It is looked for anew from time to time.
type own6 struct {
	last   atomic.Pointer[ownAddr6]
	warned sync.Once // that there is none
}

type ownAddr6 struct {
	prefixes []netip.Prefix // one, or none
	err      error          // why there is none
	until    time.Time
}

func (o *own6) find(want netip.Addr, now time.Time) *ownAddr6 {
	if last := o.last.Load(); last != nil && now.Before(last.until) {
		return last
	}
	found := &ownAddr6{until: now.Add(lookAgain)}
	p, err := link.Own6(want)
	if found.err = err; err == nil {
		found.prefixes = []netip.Prefix{p}
	}
	o.last.Store(found)
	return found
}

// receiving returns the addresses of the interface that a direct request came
// in by, as far as they are known.
func (h *handler6) receiving(x *exchange6) []netip.Prefix {
	switch {
	case x.ask6.Relay != nil:
		return nil
	case len(x.from.Networks) > 0:
		return x.from.Networks
	}
	return h.own.find(h.serverAddr6, time.Now()).prefixes
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
	own := h.own.find(netip.Addr{}, time.Now())
	if len(own.prefixes) > 0 {
		return own.prefixes[0].Addr()
	}
	if !x.dry && (x.boot.Kind == netboot.PXE || x.boot.Kind == netboot.HTTP) {
		h.own.warned.Do(func() {
			h.log.Warnf("machines that boot by IPv6 are told no URL: %v; server_addr6= names the one to tell them", own.err)
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

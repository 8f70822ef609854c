package coresmd

import (
	"net/netip"
	"strings"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/rule"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// fixed6 are the options that do not depend on the request. They are made once
// and shared by all replies.
type fixed6 struct {
	networks map[netip.Prefix][]dhcpv6.Option
	rules    [][]dhcpv6.Option
}

func newFixed6(c config) *fixed6 {
	f := &fixed6{networks: make(map[netip.Prefix][]dhcpv6.Option)}
	for _, n := range c.declared {
		if isV6(n.Prefix.Addr()) {
			f.networks[n.Prefix] = dns6(nil, n.DNS)
		}
	}
	for _, r := range c.rules.Rules() {
		f.rules = append(f.rules, ruleOptions6(r))
	}
	return f
}

// ruleOptions6 are the options that one rule tells.
func ruleOptions6(r rule.Rule) []dhcpv6.Option {
	told := dns6(nil, r.DNS)
	if len(r.Search) > 0 {
		var names []byte
		for _, name := range r.Search {
			names = append(names, domainName(name, true)...)
		}
		told = append(told, option6(dhcpv6.OptionDomainSearchList, names))
	}
	// A sub-option for each server (RFC 5908 section 4.1).
	var servers []byte
	for _, a := range r.NTP {
		if isV6(a) {
			servers = append(append(servers, 0, byte(dhcpv6.NTPSuboptionSrvAddrCode), 0, 16), a.AsSlice()...)
		}
	}
	if len(servers) > 0 {
		told = append(told, option6(dhcpv6.OptionNTPServer, servers))
	}
	for _, o := range r.Options6 {
		told = append(told, option6(dhcpv6.OptionCode(o.Code), o.Data))
	}
	return told
}

// dns6 appends the name servers of IPv6 of a list.
func dns6(to []dhcpv6.Option, list []netip.Addr) []dhcpv6.Option {
	var octets []byte
	for _, a := range list {
		if isV6(a) {
			octets = append(octets, a.AsSlice()...)
		}
	}
	if len(octets) == 0 {
		return to
	}
	return append(to, option6(dhcpv6.OptionDNSRecursiveNameServer, octets))
}

func option6(code dhcpv6.OptionCode, octets []byte) dhcpv6.Option {
	return &dhcpv6.OptionGeneric{OptionCode: code, OptionData: octets}
}

// domainName encodes a name (RFC 1035 section 3.1). A whole one ends in the
// root.
func domainName(name string, whole bool) []byte {
	octets := make([]byte, 0, len(name)+2)
	for label := range strings.SplitSeq(name, ".") {
		octets = append(append(octets, byte(len(label))), label...)
	}
	if whole {
		octets = append(octets, 0)
	}
	return octets
}

// reply6 completes the prepared reply. It is the only place that writes
// options.
func (h *handler6) reply6(x *exchange6) {
	d := x.prepared
	netboot.Reply6(d, x.ask6.Inner, x.boot, x.bootfile)
	switch x.ask.State {
	case exchange.Release, exchange.Decline:
		d.UpdateOption(exchange.Status(iana.StatusSuccess))
		return
	case exchange.Confirm:
		code := iana.StatusSuccess
		if x.offLink {
			code = iana.StatusNotOnLink
		}
		d.UpdateOption(exchange.Status(code))
		return
	}
	h.giveIAs(x)
	h.tell(x)
}

// giveIAs answers the IAs. Without an address a Solicit has an Advertise only.
func (h *handler6) giveIAs(x *exchange6) {
	d := x.prepared
	times := exchange.NewTimes6(h.leaseOf(&x.inquiry))
	for _, g := range x.ias {
		exchange.SetIA(d, x.ask6.Answer(g.ia, g.addr, times))
	}
	x.ask6.RefuseOthers(d)
	if x.addr.IsValid() {
		x.ask6.Commit(d)
	} else {
		x.ask6.Advertise(d)
	}
}

// tell writes what network, rules and name say. Later ones go before earlier
// ones.
func (h *handler6) tell(x *exchange6) {
	d := x.prepared
	for _, o := range h.fixed.networks[x.network.Prefix] {
		d.UpdateOption(o)
	}
	for i := range x.told.Matched.Len() {
		for _, o := range h.fixed.rules[x.told.Matched.At(i)] {
			d.UpdateOption(o)
		}
	}
	if o := fqdn(x.ask6.Inner, x.told.Hostname); o != nil {
		d.UpdateOption(o)
	}
}

// Flags of a client's name (RFC 4704 section 4.1).
const (
	serverUpdates byte = 1 << iota // the server writes the client's address into DNS
	overridden                     // the server does not do as the client asked
	noUpdates                      // the server writes nothing into DNS
)

// fqdn returns the option with a client's name; nil: it has none, or did not
// ask. A name without a domain is no whole one (RFC 4704 section 4.2).
func fqdn(req *dhcpv6.Message, name string) dhcpv6.Option {
	sent := req.Options.FQDN()
	if name == "" || sent == nil && !req.IsOptionRequested(dhcpv6.OptionFQDN) {
		return nil
	}
	flags := noUpdates
	if sent != nil && sent.Flags&serverUpdates != 0 {
		flags |= overridden
	}
	return option6(dhcpv6.OptionFQDN, append([]byte{flags}, domainName(name, strings.Contains(name, "."))...))
}

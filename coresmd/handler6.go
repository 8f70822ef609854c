package coresmd

import (
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/sirupsen/logrus"
)

// A handler6 answers DHCPv6 requests.
type handler6 struct {
	*service
	last     last6
	fixed    *fixed6
	own      link.Host6
	noURL    sync.Once     // the complaint that this server has no address for URLs
	noServer process.Limit // of the complaint that server_id is missing
}

// An exchange6 is one request on its way through the handler.
type exchange6 struct {
	inquiry
	req      dhcpv6.DHCPv6
	ask6     exchange.Request6
	prepared *dhcpv6.Message
	self     dhcpv6.DUID // our server identifier
	server   netip.Addr  // our address in URLs; invalid: not known
	ias      []given6    // what the IAs get, in their order
	offLink  bool        // an address to confirm is of another network
}

// A given6 is an IA with the address that it gets; invalid: none.
type given6 struct {
	ia     *dhcpv6.OptIANA
	listed []netip.Addr // by the client
	addr   netip.Addr
}

// Handle answers a request. Stock CoreDHCP calls it without an origin, and puts
// the reply to a relayed request into the relays' answers.
func (h *handler6) Handle(req, resp dhcpv6.DHCPv6, from process.Origin) (reply dhcpv6.DHCPv6, stop bool) {
	defer exchange.Recover(func(value any, stack []byte) {
		h.recovered(req, value, stack)
		reply, stop = nil, true
	})
	if h.rehearses {
		return h.rehearse6(req, resp, from)
	}
	began := time.Now()
	x := exchange6{req: req, inquiry: inquiry{from: from}}
	v, reply, stop := h.answer(&x, resp)
	h.metrics.count(x.ask.State, v, x.why, began)
	if h.logs(&x.inquiry, v) {
		h.logExchange(&x.inquiry, v, x.fields())
	}
	h.note6(&x, v, began)
	h.recorded(&x.inquiry, v, true, req, reply)
	return reply, stop
}

// answer takes a request to its reply.
func (h *handler6) answer(x *exchange6, resp dhcpv6.DHCPv6) (v exchange.Verdict, reply dhcpv6.DHCPv6, stop bool) {
	prepared, ok := resp.(*dhcpv6.Message)
	if !ok {
		return x.because(exchange.Drop, malformed, "an earlier plugin prepared no message"), nil, true
	}
	x.prepared = prepared
	switch v = h.decide(x); v {
	case exchange.Drop:
		return v, nil, true
	case exchange.Pass:
		if x.ask6.Refuse(prepared); !h.pass && !exchange.Says6(x.ask6.Inner, prepared) {
			return exchange.Drop, nil, true
		}
		return v, prepared, false
	}
	h.reply6(x)
	return x.ask6.Verdict(prepared), prepared, true
}

// decide takes a request to its verdict; Reply stands for Advertise too.
func (h *handler6) decide(x *exchange6) exchange.Verdict {
	var wrong string
	x.ask6, wrong = exchange.Read6(x.req)
	x.ask = x.ask6.Request
	x.relayed = link.Relayed6(x.req)
	x.giaddr = x.relayed
	switch {
	case wrong != "":
		return x.because(exchange.Drop, malformed, wrong)
	case x.ask6.Unicast(x.from.Dst):
		return x.because(exchange.Drop, unicast, "to "+x.from.Dst.String())
	case !h.identify(x):
		return x.because(exchange.Drop, noServerID, "")
	}
	if !x.dry {
		h.last.see(x, time.Now())
	}
	mac, reason := x.ask6.Mac(x.from.Peer.Addr())
	if reason != "" {
		return x.because(exchange.Pass, badHardware, reason)
	}
	x.mac = mac
	switch {
	case x.ask6.Elsewhere(x.self):
		x.machine = h.cache.Lookup(mac).Machine
		return x.because(exchange.Drop, otherServer, exchange.DUIDText(x.ask6.For))
	case !h.find(&x.inquiry):
		return x.stranger()
	case h.respect && x.machine.Disabled:
		return x.because(exchange.Drop, disabled, "")
	}
	return h.known(x)
}

// known is the verdict on a machine that SMD knows.
func (h *handler6) known(x *exchange6) exchange.Verdict {
	x.boot = netboot.FromV6(x.ask6.Inner)
	receiving := h.receiving(x)
	x.network, x.linked = h.networks6.Find6(x.relayed, receiving)
	if !h.judge(&x.inquiry, isV6) {
		return x.because(exchange.Drop, ignored, "")
	}
	return h.byState(x, receiving)
}

func isV6(a netip.Addr) bool { return a.Is6() && !a.Is4In6() }

// byState is the verdict by the message that the client sent.
func (h *handler6) byState(x *exchange6, receiving []netip.Prefix) exchange.Verdict {
	switch x.ask.State {
	case exchange.Release:
		if h.process.ReleaseTaken.Load() && x.ask.Addr.IsValid() && !slices.Contains(x.machine.Addrs, x.ask.Addr) {
			return x.because(exchange.Pass, released, "") // a temporary lease
		}
		return x.because(exchange.Reply, released, "")
	case exchange.Decline:
		return x.because(exchange.Reply, conflict, "the machine declined "+joined(x.ask6.Listed()))
	case exchange.Confirm:
		return h.confirm(x, receiving)
	case exchange.InfoRequest:
		h.describe(x)
		return exchange.Reply
	}
	return h.lease(x)
}

// lease is the verdict on a machine that asks for addresses.
func (h *handler6) lease(x *exchange6) exchange.Verdict {
	if len(x.machine.Addrs) == 0 {
		return x.because(exchange.Pass, noAddress, "")
	}
	if other := x.foreign(); other.IsValid() && x.state == smd.FromSnapshot {
		return x.because(exchange.Drop, unsure, other.String())
	}
	x.assign()
	h.describe(x)
	switch {
	case x.addr.IsValid() || len(x.ias) == 0:
	case x.first.IsValid():
		x.because(exchange.Reply, noneLeft, "")
	default:
		x.because(exchange.Reply, otherNetwork, x.where())
	}
	return exchange.Reply
}

// foreign returns an address that a client which holds some wants to keep and
// that is none of its own here; invalid: there is none.
func (x *exchange6) foreign() netip.Addr {
	if x.ask.State == exchange.Solicit {
		return netip.Addr{}
	}
	for _, a := range x.ask6.Listed() {
		if !x.owns(a) {
			return a
		}
	}
	return netip.Addr{}
}

// owns says that an address is one of the machine's in the client's network.
func (x *exchange6) owns(a netip.Addr) bool {
	at := slices.Index(x.machine.Addrs, a)
	return at >= 0 && x.here&(1<<at) != 0
}

// assign gives each IA an address: the one that the client lists there, if it
// is the machine's, or else the next one that no IA has.
func (x *exchange6) assign() {
	free := x.here
	for _, o := range x.ask6.Inner.Options.Options {
		ia, ok := o.(*dhcpv6.OptIANA)
		if !ok || slices.ContainsFunc(x.ias, func(g given6) bool { return g.ia.IaId == ia.IaId }) {
			continue
		}
		g := given6{ia: ia, listed: exchange.Addrs(ia)}
		for _, a := range g.listed {
			if at := slices.Index(x.machine.Addrs, a); at >= 0 && free&(1<<at) != 0 {
				g.addr, free = a, free&^(1<<at)
				break
			}
		}
		x.ias = append(x.ias, g)
	}
	for i := range x.ias {
		g := &x.ias[i]
		if at := bits.TrailingZeros64(free); !g.addr.IsValid() && free != 0 {
			g.addr, free = x.machine.Addrs[at], free&^(1<<at)
		}
		x.gets(g.addr)
	}
}

// gets notes an address that the machine gets; invalid: none.
func (x *exchange6) gets(a netip.Addr) {
	switch {
	case !a.IsValid():
	case !x.addr.IsValid():
		x.addr = a
	default:
		x.further += ", " + a.String()
	}
}

// confirm is the verdict on a client that asks whether its addresses are of the
// network that it is on now (RFC 8415 section 18.3.3).
func (h *handler6) confirm(x *exchange6, receiving []netip.Prefix) exchange.Verdict {
	listed := x.ask6.Listed()
	if len(listed) == 0 {
		return x.because(exchange.Drop, noState, "no address to confirm")
	}
	for _, a := range listed {
		here, sure := h.lies(x, a, receiving)
		switch {
		case here || x.owns(a):
		case !sure:
			return x.because(exchange.Drop, otherNetwork, "nobody tells the client's network")
		default:
			x.offLink = true
			return x.because(exchange.Reply, notOnLink, a.String())
		}
	}
	return exchange.Reply
}

// lies says whether an address lies in the client's network, as far as that is
// known.
func (h *handler6) lies(x *exchange6, a netip.Addr, receiving []netip.Prefix) (here, sure bool) {
	switch {
	case x.linked:
		n, ok := h.networks6.Lookup(a)
		return ok && n.Prefix == x.network.Prefix, true
	case x.relayed.IsValid(), len(receiving) == 0, !h.networks6.Empty():
		return false, false
	}
	return slices.ContainsFunc(receiving, func(p netip.Prefix) bool { return isV6(p.Addr()) && p.Contains(a) }), true
}

// describe decides what else the machine is told.
func (h *handler6) describe(x *exchange6) {
	x.server = h.address(x)
	x.described(h.boot.File6(x.boot, x.server, x.told.Bootfile, h.iPXEScript(&x.inquiry)))
}

// untold stands for a network that nobody names.
const untold = "nobody tells where it asks from"

// where says where the client asks from.
func (x *exchange6) where() string {
	if x.relayed.IsValid() {
		return "relay address " + x.relayed.String()
	}
	if a := link.Receiving6(x.from.Networks); a.IsValid() {
		return "receiving address " + a.String()
	}
	return untold
}

// fields are those that the line of an exchange begins with.
func (x *exchange6) fields() logrus.Fields {
	fields := logrus.Fields(x.ask6.Fields())
	if x.mac != (smd.MAC{}) {
		fields["mac"] = x.mac.String()
	}
	if x.relayed.IsValid() {
		fields["giaddr"] = x.relayed.String()
	}
	return fields
}

func joined(addrs []netip.Addr) string { return strings.Join(texts(addrs), ", ") }

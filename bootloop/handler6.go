package bootloop

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/lease"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// A handler6 answers DHCPv6 requests of machines nobody knows.
type handler6 struct {
	*service
	times exchange.Times6
	told  [][]dhcpv6.Option // of each network
	own   link.Host6
	addr6 func() netip.Addr // of this server, that coresmd was told; invalid: none
}

func newHandler6(s *service) *handler6 {
	h := &handler6{service: s, times: exchange.NewTimes6(s.leaseTime), told: options6(s.nets)}
	h.addr6 = sync.OnceValue(func() netip.Addr {
		a, _ := process.Find[netip.Addr](s.process, "server_addr6")
		return a
	})
	process.Publish(s.process, "dry run of DHCPv6", h.try)
	if s.replays {
		process.Publish(s.process, PublishedRecall6, s.recall6)
	}
	return h
}

// An exchange6 is one request on its way through the handler.
type exchange6 struct {
	inquiry
	exchange.Request6
	req      dhcpv6.DHCPv6
	prepared *dhcpv6.Message
	hostname string
	grants   []grant
}

// A grant is what becomes of an identity association of a client.
type grant struct {
	ia    *dhcpv6.OptIANA // as the client sent it
	addr  netip.Addr      // what it gets; invalid: none
	left  time.Duration   // of a lease that could not be renewed; else 0
	ends  bool            // the addresses that it lists are not to be used any more
	freed bool            // its address is free again, or in quarantine
	why   reason          // of what it does not get
	note  string          // of why
}

// Handle answers a request. Bootloop is the end of the chain. Stock CoreDHCP
// calls it without an origin.
func (h *handler6) Handle(req, resp dhcpv6.DHCPv6, from process.Origin) (reply dhcpv6.DHCPv6, stop bool) {
	defer exchange.Recover(func(value any, stack []byte) {
		h.recovered(req, value, stack)
		reply, stop = nil, true
	})
	if h.rehearses {
		return h.rehearse(req, resp, from), true
	}
	began := time.Now()
	x := exchange6{inquiry: inquiry{from: from, network: -1}, req: req}
	v := h.answer(&x, resp)
	h.metrics.count(x.ask.State, v, x.why, began)
	h.logExchange(&x.inquiry, v, x.fields)
	h.note6(&x, v, began)
	h.recorded(&x.inquiry, v, true, req, x.prepared)
	if v == exchange.Drop {
		return nil, true
	}
	return x.prepared, true
}

// rehearse is Handle of a plugin that rehearses.
func (h *handler6) rehearse(req, resp dhcpv6.DHCPv6, from process.Origin) dhcpv6.DHCPv6 {
	prepared, ok := resp.(*dhcpv6.Message)
	if !ok {
		return nil
	}
	dry := h.answerTo(req, prepared, from, !h.replays)
	if from.Decided != nil {
		from.Decided("bootloop", dry.Verdict.String(), dry.Reason)
	}
	if dry.Reply == nil {
		return nil
	}
	return dry.Reply
}

// try says what this plugin would make of a request. Nothing changes by it but
// the prepared reply.
func (h *handler6) try(req dhcpv6.DHCPv6, resp *dhcpv6.Message, from process.Origin) exchange.Dry6 {
	return h.answerTo(req, resp, from, true)
}

func (h *handler6) answerTo(req dhcpv6.DHCPv6, resp *dhcpv6.Message, from process.Origin, dry bool) exchange.Dry6 {
	x := exchange6{inquiry: inquiry{from: from, network: -1, dry: dry}, req: req}
	v := h.answer(&x, resp)
	d := exchange.Dry6{Verdict: v, Reason: x.reason()}
	if v != exchange.Drop {
		d.Reply = x.prepared
	}
	return d
}

// answer takes a request to its verdict, and the prepared reply to its end.
func (h *handler6) answer(x *exchange6, resp dhcpv6.DHCPv6) exchange.Verdict {
	prepared, ok := resp.(*dhcpv6.Message)
	if !ok {
		return x.because(exchange.Drop, malformed, "no prepared reply")
	}
	x.prepared = prepared
	if v := h.decide(x); v == exchange.Drop {
		return v
	}
	h.reply6(x)
	return x.Verdict(x.prepared)
}

// decide takes a request to its verdict: Drop, or Reply, which stands for an
// Advertise too.
func (h *handler6) decide(x *exchange6) exchange.Verdict {
	r, wrong := exchange.Read6(x.req)
	x.Request6, x.ask = r, r.Request
	switch {
	case wrong != "":
		return x.because(exchange.Drop, malformed, wrong)
	case r.Unicast(x.from.Dst):
		return x.because(exchange.Drop, malformed, "sent to this server alone")
	case x.prepared.Options.ServerID() == nil && !h.standIn(x):
		return x.because(exchange.Drop, noServerID, "")
	case r.Elsewhere(x.prepared.Options.ServerID()):
		h.forget(x)
		return x.because(exchange.Drop, otherServer, exchange.DUIDText(r.For))
	}
	x.mac, _ = r.Mac(x.from.Peer.Addr())
	x.relayed = link.Relayed6(x.req)
	x.hostname = hostname(r.Inner)
	h.learn(x)
	x.network = h.networkOf(x)
	return h.byState(x)
}

// hostname is the first label of the name by which a client calls itself.
func hostname(m *dhcpv6.Message) string {
	name := m.Options.FQDN()
	if name == nil || name.DomainName == nil || len(name.DomainName.Labels) == 0 {
		return ""
	}
	first, _, _ := strings.Cut(name.DomainName.Labels[0], ".")
	return first
}

// byState is the verdict by the message that the client sent.
func (h *handler6) byState(x *exchange6) exchange.Verdict {
	switch x.ask.State {
	case exchange.Solicit, exchange.Requesting:
		return h.asking(x)
	case exchange.Renew, exchange.Rebind:
		return h.returning(x)
	case exchange.Confirm:
		return h.confirming(x)
	case exchange.Release:
		return h.leaving(x, released, h.leases.Release)
	case exchange.Decline:
		return h.leaving(x, declined, h.leases.Decline)
	}
	if x.network < 0 { // an Information-request
		return x.because(exchange.Drop, noPool, h.from(x))
	}
	h.describe(x)
	return exchange.Reply
}

// each makes the grants of a message, one for each IA_NA that no earlier plugin
// gave an address to.
func (x *exchange6) each(decide func(*grant)) {
	for _, ia := range x.Inner.Options.IANA() {
		if exchange.Given(x.prepared, ia) {
			continue
		}
		g := grant{ia: ia}
		decide(&g)
		x.grants = append(x.grants, g)
		if g.addr.IsValid() && !x.addr.IsValid() {
			x.addr, x.left = g.addr, g.left
		}
		if x.why == fine {
			x.why, x.detail = g.why, g.note
		}
	}
}

// holder is an IA of the client as the lease table knows it.
func (x *exchange6) holder(ia *dhcpv6.OptIANA) lease.Client {
	return lease.Client{MAC: x.mac, DUID: string(x.Client.ToBytes()), IAID: ia.IaId}
}

// asking is the verdict on a Solicit or a Request. An IA for which there is no
// address is refused; a client that may be a machine of SMD, or whose lease is
// not on disk, is told nothing and will ask again.
func (h *handler6) asking(x *exchange6) exchange.Verdict {
	give := h.offer
	if x.ask.State == exchange.Requesting || x.Rapid() {
		give = h.assign
	}
	x.each(func(g *grant) {
		if x.network < 0 {
			g.why, g.note = noPool, h.from(x)
			return
		}
		give(x, g)
	})
	switch {
	case x.addr.IsValid() || exchange.Served(x.prepared):
		h.describe(x)
	case x.why == notLoaded || x.why == notWritten:
		return exchange.Drop
	}
	return exchange.Reply
}

// offer holds an address for an IA (RFC 8415 section 18.3.1).
func (h *handler6) offer(x *exchange6, g *grant) {
	c := x.holder(g.ia)
	if _, holds := h.leases.Held(c); !holds && h.strangerUnknown() {
		g.why = notLoaded
		return
	}
	l, err := h.acquire(&x.inquiry, c)
	if err != nil {
		g.why, g.note = exhausted, h.nets[x.network].String()
		return
	}
	g.addr = l.Addr
}

// assign leases an address to an IA: the one that was offered, or else, since
// the client has asked this server, what it would be offered now.
func (h *handler6) assign(x *exchange6, g *grant) {
	c := x.holder(g.ia)
	if listed := exchange.Addrs(g.ia); len(listed) > 0 && h.inNetwork(&x.inquiry, listed[0]) && !x.dry {
		if l, err := h.confirm(&x.inquiry, c, listed[0], x.hostname); !unheld(err) {
			g.committed(l, err)
			return
		}
	}
	h.offer(x, g)
	if !g.addr.IsValid() || x.dry {
		return
	}
	l, err := h.confirm(&x.inquiry, c, g.addr, x.hostname)
	g.addr = netip.Addr{}
	g.committed(l, err)
}

// committed notes what came of a lease that was to be written. What is not on
// disk is not given, but for the time that the client had before.
func (g *grant) committed(l lease.Lease, err error) {
	switch {
	case unheld(err):
		g.why = notOffered
		return
	case err != nil:
		g.why, g.note = notWritten, err.Error()
		if g.left = leftOf(l); g.left == 0 {
			return
		}
		g.note = "the time that is left: " + g.note
	}
	g.addr = l.Addr
}

// returning is the verdict on a Renew or a Rebind.
func (h *handler6) returning(x *exchange6) exchange.Verdict {
	judged := exchange.Served(x.prepared)
	mute := false
	x.each(func(g *grant) {
		h.renewed(x, g)
		judged = judged || g.ends || g.addr.IsValid()
		mute = mute || g.why == notLoaded || g.why == notWritten
	})
	switch {
	case x.addr.IsValid():
		h.describe(x)
	case judged:
	case mute, x.ask.State == exchange.Rebind:
		return exchange.Drop
	}
	return exchange.Reply
}

// renewed decides on an IA of a Renew or a Rebind. Lifetimes of zero let the
// client ask anew, and its address stays reserved for it.
func (h *handler6) renewed(x *exchange6, g *grant) {
	c, listed := x.holder(g.ia), exchange.Addrs(g.ia)
	held, holds := h.leases.Held(c)
	if !holds || !slices.Contains(listed, held.Addr) || !h.inNetwork(&x.inquiry, held.Addr) {
		h.strange(x, g, listed)
		return
	}
	switch {
	case h.process.Claimed(held.Addr):
		g.ends, g.why = true, claimed
	case !h.renew:
		g.ends, g.why = true, renewal
	case x.dry:
		g.addr = held.Addr
	default:
		l, err := h.extend(&x.inquiry, c, held.Addr, x.hostname)
		g.committed(l, err)
		g.ends = g.why == notOffered
	}
}

// strange decides on an IA whose addresses are not leased to it. While SMD was
// not heard the client may be one of its machines, and the addresses its own.
// What another server may have given out is left to that.
func (h *handler6) strange(x *exchange6, g *grant, listed []netip.Addr) {
	ours := func(a netip.Addr) bool { _, pooled := h.leases.PoolOf(a); return pooled }
	outside := func(a netip.Addr) bool { return x.network >= 0 && !h.nets[x.network].Prefix.Contains(a) }
	neither := func(a netip.Addr) bool { return !ours(a) && !outside(a) }
	switch {
	case h.process.StrangersUnknown.Load():
		g.why = notLoaded
	case len(listed) == 0:
		g.why, g.note = elsewhere, "none listed"
	case !slices.ContainsFunc(listed, neither):
		g.ends, g.why = true, otherNetwork
		if slices.ContainsFunc(listed, ours) {
			g.why = notOurs
		}
	case h.authoritative:
		g.ends, g.why, g.note = true, elsewhere, "authoritative=true"
	default:
		g.why = elsewhere
	}
}

// confirming is the verdict on a Confirm (RFC 8415 section 18.3.3).
func (h *handler6) confirming(x *exchange6) exchange.Verdict {
	listed := x.Listed()
	switch {
	case x.network < 0:
		return x.because(exchange.Drop, noPool, h.from(x))
	case len(listed) == 0:
		return x.because(exchange.Drop, noState, "none listed")
	}
	prefix := h.nets[x.network].Prefix
	if at := slices.IndexFunc(listed, func(a netip.Addr) bool { return !prefix.Contains(a) }); at >= 0 {
		return x.because(exchange.Reply, otherNetwork, listed[at].String())
	}
	return exchange.Reply
}

// leaving is the verdict on a Release or a Decline.
func (h *handler6) leaving(x *exchange6, why reason, leave func(lease.Client, netip.Addr) bool) exchange.Verdict {
	detail := notTheHolder
	if x.dry {
		leave = h.holds
	}
	x.each(func(g *grant) {
		for _, a := range exchange.Addrs(g.ia) {
			if leave(x.holder(g.ia), a) {
				g.freed, x.addr, detail = true, a, "freed"
			}
		}
		if !g.freed {
			g.note = notTheHolder
		}
	})
	if why == declined && detail != notTheHolder {
		detail = x.addr.String() + " is in use by somebody else"
	}
	return x.because(exchange.Reply, why, detail)
}

// holds says that a client has a lease of an address.
func (h *handler6) holds(c lease.Client, a netip.Addr) bool {
	held, ok := h.leases.Held(c)
	return ok && held.Addr == a
}

// forget drops the offers to a client that chose another server.
func (h *handler6) forget(x *exchange6) {
	if x.dry {
		return
	}
	for _, ia := range x.Inner.Options.IANA() {
		h.leases.Forget(x.holder(ia))
	}
}

// standIn puts an identifier of this host in the place of a server identifier
// that no plugin before us has set. It returns false if this host has none.
func (h *handler6) standIn(x *exchange6) bool {
	self, err := link.DUID(x.from.Index)
	if !x.dry && h.quiet[noServerID].Allow(time.Now()) {
		h.log.WithError(err).Errorf("no server identifier: put server_id before bootloop; %s stands in", exchange.DUIDText(self))
	}
	if err != nil {
		return false
	}
	dhcpv6.WithServerID(self)(x.prepared)
	return true
}

// fields are what the log line of an exchange begins with.
func (x *exchange6) fields() map[string]any {
	fields := x.Fields()
	if x.mac != (lease.MAC{}) {
		fields["mac"] = net.HardwareAddr(x.mac[:]).String()
	}
	if x.relayed.IsValid() {
		fields["giaddr"] = x.relayed.String()
	}
	return fields
}

package bootloop

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/lease"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// A handler4 answers DHCPv4 requests of machines nobody knows.
type handler4 struct {
	*service
	networks []*network4 // as in config
	times    []dhcpv4.Modifier
	replies  *netboot.Replies4
}

func newHandler4(s *service) *handler4 {
	h := &handler4{
		service: s, networks: newNetworks4(s.nets),
		times:   exchange.NewTimes(s.leaseTime).Modifiers(),
		replies: netboot.NewReplies4(netboot.DefaultLoaders()),
	}
	process.Publish(s.process, "dry run of DHCPv4", h.try)
	s.process.ReleaseTaken.Store(true)
	if s.replays {
		process.Publish(s.process, PublishedRecall4, s.recall4)
	}
	return h
}

// An exchange4 is one request on its way through the handler.
type exchange4 struct {
	inquiry
	req      *dhcpv4.DHCPv4
	prepared *dhcpv4.DHCPv4
	relay    *dhcpv4.RelayOptions // option 82; nil: none that parses
	self     netip.Addr           // our server identifier
	server   netip.Addr           // the identifier by which the client knows us
}

// Handle answers a request. Bootloop is the end of the chain. Stock CoreDHCP
// calls it without an origin.
func (h *handler4) Handle(req, resp *dhcpv4.DHCPv4, from process.Origin) (reply *dhcpv4.DHCPv4, stop bool) {
	defer exchange.Recover(func(value any, stack []byte) {
		h.recovered(req, value, stack)
		reply, stop = nil, true
	})
	if h.rehearses {
		return h.rehearse(req, resp, from), true
	}
	x := exchange4{inquiry: inquiry{from: from, network: -1}, req: req, prepared: resp}
	began := time.Now()
	v, reply := h.answer(&x)
	h.metrics.count(x.ask.State, v, x.why, began)
	h.logExchange(&x.inquiry, v, func() map[string]any { return x.ask.Fields(req) })
	h.note4(&x, v, began)
	h.recorded(&x.inquiry, v, false, req, reply)
	return reply, true
}

// answer takes a request to its reply.
func (h *handler4) answer(x *exchange4) (v exchange.Verdict, reply *dhcpv4.DHCPv4) {
	v = h.decide(x)
	switch v {
	case exchange.Offer, exchange.Ack:
		reply = h.reply4(x)
	case exchange.NakReply:
		reply = exchange.Nak(x.req, x.prepared, x.server, x.nakText())
	}
	return v, reply
}

// rehearse is Handle of a plugin that rehearses.
func (h *handler4) rehearse(req, resp *dhcpv4.DHCPv4, from process.Origin) *dhcpv4.DHCPv4 {
	dry := h.answerTo(req, resp, from, !h.replays)
	if from.Decided != nil {
		from.Decided("bootloop", dry.Verdict.String(), dry.Reason)
	}
	return dry.Reply
}

// try says what this plugin would make of a request. Nothing changes by it.
func (h *handler4) try(req, resp *dhcpv4.DHCPv4, from process.Origin) exchange.Dry {
	return h.answerTo(req, resp, from, true)
}

func (h *handler4) answerTo(req, resp *dhcpv4.DHCPv4, from process.Origin, dry bool) exchange.Dry {
	x := exchange4{inquiry: inquiry{from: from, network: -1, dry: dry}, req: req, prepared: resp}
	v, reply := h.answer(&x)
	return exchange.Dry{Verdict: v, Reply: reply, Reason: x.reason()}
}

// decide takes a request to its verdict.
func (h *handler4) decide(x *exchange4) exchange.Verdict {
	x.relay = x.req.RelayAgentInfo()
	x.relayed = link.Relayed(x.req, x.relay)
	x.self = exchange.ServerOf(x.prepared)
	x.ask = exchange.Read(x.req, x.self)
	if x.ask.State == exchange.Probe {
		x.server = x.self
		return x.because(exchange.NakReply, probe, "")
	}
	mac, reason := exchange.Mac(x.req)
	if reason != "" {
		return x.because(exchange.Drop, badHardware, reason)
	}
	x.mac = mac
	if !x.self.IsValid() && !h.standIn(x) {
		return x.because(exchange.Drop, noServerID, "")
	}
	x.server = exchange.ServerID(x.relay, x.self)
	if !x.dry {
		h.infra.see(x.self)
		for _, router := range x.prepared.Router() {
			h.infra.see(exchange.Addr(router))
		}
	}
	x.network = h.networkOf(x)
	return h.byState(x)
}

// byState is the verdict by the message that the client sent.
func (h *handler4) byState(x *exchange4) exchange.Verdict {
	if h.ofPeer(x.ask) {
		return x.because(exchange.Drop, elsewhere, "")
	}
	switch x.ask.State {
	case exchange.Discover:
		return h.discover(x)
	case exchange.Selecting:
		return h.selecting(x)
	case exchange.InitReboot, exchange.Renewing:
		return h.returning(x)
	case exchange.Inform:
		if x.network < 0 {
			return x.because(exchange.Drop, noPool, h.from(x))
		}
		h.describe(x)
		return exchange.Ack
	case exchange.Release:
		if !h.leases.Release(x.holder(), x.ask.Addr) {
			return x.because(exchange.Drop, released, notTheHolder)
		}
		return x.because(exchange.Drop, released, "freed")
	case exchange.Decline:
		if !h.leases.Decline(x.holder(), x.ask.Addr) {
			return x.because(exchange.Drop, declined, notTheHolder)
		}
		return x.because(exchange.Drop, declined, x.ask.Addr.String()+" is in use by somebody else")
	}
	return x.because(exchange.Drop, noState, "")
}

// holder is the client as the lease table knows it.
func (x *exchange4) holder() lease.Client { return lease.Of(x.mac) }

// discover is the verdict on a DISCOVER (RFC 2131 section 4.3.1).
func (h *handler4) discover(x *exchange4) exchange.Verdict {
	if x.network < 0 {
		return x.because(exchange.Drop, noPool, h.from(x))
	}
	if _, holds := h.leases.Held(x.holder()); !holds && h.strangerUnknown() {
		return x.because(exchange.Drop, notLoaded, "")
	}
	l, err := h.acquire(&x.inquiry, x.holder())
	if err != nil {
		return x.because(exchange.Drop, exhausted, h.nets[x.network].String())
	}
	x.addr = l.Addr
	h.describe(x)
	return exchange.Offer
}

// selecting is the verdict on a REQUEST that answers an offer. The ACK leaves
// when the lease is on disk.
func (h *handler4) selecting(x *exchange4) exchange.Verdict {
	if x.ask.Server != x.self && x.ask.Server != x.server {
		if !x.dry {
			h.leases.Forget(x.holder())
		}
		return x.because(exchange.Drop, otherServer, x.ask.Server.String())
	}
	if !h.inNetwork(&x.inquiry, x.ask.Addr) {
		return h.refuse(x, notOffered, "")
	}
	if x.dry {
		x.addr = x.ask.Addr // that Peek has just shown
		h.describe(x)
		return exchange.Ack
	}
	l, err := h.confirm(&x.inquiry, x.holder(), x.ask.Addr, x.req.HostName())
	return h.committed(x, l, err)
}

// committed is the verdict on a lease that was to be written.
func (h *handler4) committed(x *exchange4, l lease.Lease, err error) exchange.Verdict {
	switch {
	case unheld(err):
		return h.refuse(x, notOffered, "")
	case err != nil:
		return h.unwritten(x, l, err)
	}
	x.addr = l.Addr
	h.describe(x)
	return exchange.Ack
}

// refuse is the verdict on a request for an address that is not the client's
// lease. While SMD was not heard the client may be one of its machines, and the
// address its own: then there is no answer.
func (h *handler4) refuse(x *exchange4, why reason, detail string) exchange.Verdict {
	if h.process.StrangersUnknown.Load() {
		return x.because(exchange.Drop, notLoaded, "")
	}
	return x.because(exchange.NakReply, why, detail)
}

// unwritten is the verdict on a lease that is not on disk: nothing is
// acknowledged that a restart would lose. A lease that the client had before
// goes on for the time it has left.
func (h *handler4) unwritten(x *exchange4, before lease.Lease, err error) exchange.Verdict {
	if x.left = leftOf(before); x.left == 0 {
		return x.because(exchange.Drop, notWritten, err.Error())
	}
	x.addr = before.Addr
	h.describe(x)
	return x.because(exchange.Ack, notWritten, "the time that is left: "+err.Error())
}

// returning is the verdict on a REQUEST of a client that has an address or
// remembers one.
func (h *handler4) returning(x *exchange4) exchange.Verdict {
	held, holds := h.leases.Held(x.holder())
	if holds && held.Addr == x.ask.Addr && h.inNetwork(&x.inquiry, x.ask.Addr) {
		return h.renewed(x)
	}
	_, pooled := h.leases.PoolOf(x.ask.Addr)
	switch {
	case pooled:
		return h.refuse(x, notOurs, "")
	case x.network >= 0 && h.outside(x):
		return h.refuse(x, otherNetwork, "")
	case h.authoritative:
		return h.refuse(x, elsewhere, "authoritative=true")
	}
	return x.because(exchange.Drop, elsewhere, "")
}

// renewed is the verdict on the renewal of a temporary lease. A NAK lets the
// client ask anew, and its address stays reserved for it.
func (h *handler4) renewed(x *exchange4) exchange.Verdict {
	if h.process.Claimed(x.ask.Addr) {
		return x.because(exchange.NakReply, claimed, "")
	}
	if !h.renew {
		return x.because(exchange.NakReply, renewal, "")
	}
	l, err := h.extend(&x.inquiry, x.holder(), x.ask.Addr, x.req.HostName())
	return h.committed(x, l, err)
}

// describe decides what a client that boots is told.
func (h *handler4) describe(x *exchange4) {
	x.client = netboot.FromV4(x.req)
	x.bootfile, x.detail = h.boot().File4(x.req, x.client, x.self, "", h.scriptPath)
}

// standIn puts this host's own address in the place of a server identifier
// that no plugin before us has set. It returns false if this host has none.
func (h *handler4) standIn(x *exchange4) bool {
	towards := h.pools[0].First
	for _, a := range []netip.Addr{x.ask.Addr, x.relayed} {
		if a.IsValid() {
			towards = a
		}
	}
	self, err := link.Source(towards)
	if !x.dry && h.quiet[noServerID].Allow(time.Now()) {
		h.log.WithError(err).Errorf("no server identifier: put server_id before bootloop; %v stands in", self)
	}
	x.self = self
	return self.IsValid()
}

// renewalText is what a client is told that may not renew its temporary lease.
const renewalText = "temporary lease: ask anew"

func (x *exchange4) nakText() string {
	switch x.why {
	case probe:
		return "server is alive"
	case renewal:
		return renewalText
	}
	return fmt.Sprintf("%v is not the address of this machine", x.ask.Addr)
}

package bootloop

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/audit"
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/journal"
	"github.com/OpenCHAMI/coresmd/internal/lease"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/sirupsen/logrus"
)

// notTheHolder is why a RELEASE or a DECLINE changes nothing.
const notTheHolder = "not the holder"

// commitLimit bounds the wait for a lease to be on disk. A client repeats its
// request sooner than that.
const commitLimit = 5 * time.Second

// A handler4 answers DHCPv4 requests of machines nobody knows.
type handler4 struct {
	config
	process  *process.Process
	log      *logrus.Entry
	metrics  *metrics
	leases   *lease.Table
	journal  *journal.Journal
	audit    *audit.Log  // nil: none
	networks []*network4 // as in config
	times    []dhcpv4.Modifier
	boot     func() *netboot.Boot // what coresmd tells machines, else what is usual
	replies  *netboot.Replies4
	infra    *infrastructure
	quiet    [len(reasonNames)]process.Limit // of reasons that a storm would repeat
}

// An exchange4 is one request on its way through the handler.
type exchange4 struct {
	req      *dhcpv4.DHCPv4
	prepared *dhcpv4.DHCPv4
	ask      exchange.Request
	relayed  netip.Addr
	self     netip.Addr
	server   netip.Addr
	mac      lease.MAC
	network  int // index of the client's network; none: -1
	addr     netip.Addr
	dry      bool                 // nothing is changed, counted or logged by this exchange
	relay    *dhcpv4.RelayOptions // option 82; nil: none that parses
	left     time.Duration        // of a lease that could not be renewed; else 0
	client   netboot.Client
	bootfile string
	why      reason
	detail   string
}

// Handle is the handler that CoreDHCP calls. Bootloop is the end of its chain.
func (h *handler4) Handle(req, resp *dhcpv4.DHCPv4) (reply *dhcpv4.DHCPv4, stop bool) {
	defer exchange.Recover(func(value any, stack []byte) {
		h.recovered(req, value, stack)
		reply, stop = nil, true
	})
	x := exchange4{req: req, prepared: resp, network: -1}
	began := time.Now()
	v, reply := h.answer(&x)
	h.metrics.count(x.ask.State, v, x.why, began)
	h.logExchange(&x, v)
	h.note(&x, v, began)
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
		h.infra.see(x.self, x.prepared.Router())
	}
	x.network = h.networkOf(x)
	return h.byState(x)
}

// byState is the verdict by the message that the client sent.
func (h *handler4) byState(x *exchange4) exchange.Verdict {
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
		if !h.leases.Release(lease.Of(x.mac), x.ask.Addr) {
			return x.because(exchange.Drop, released, notTheHolder)
		}
		return x.because(exchange.Drop, released, "freed")
	case exchange.Decline:
		if !h.leases.Decline(lease.Of(x.mac), x.ask.Addr) {
			return x.because(exchange.Drop, declined, notTheHolder)
		}
		return x.because(exchange.Drop, declined, x.ask.Addr.String()+" is in use by somebody else")
	}
	return x.because(exchange.Drop, noState, "")
}

// discover is the verdict on a DISCOVER (RFC 2131 section 4.3.1).
func (h *handler4) discover(x *exchange4) exchange.Verdict {
	if x.network < 0 {
		return x.because(exchange.Drop, noPool, h.from(x))
	}
	if _, holds := h.leases.Held(lease.Of(x.mac)); !holds && !h.unsynced && h.process.StrangersUnknown.Load() {
		return x.because(exchange.Drop, notLoaded, "")
	}
	acquire := h.leases.Acquire
	if x.dry {
		acquire = h.leases.Peek
	}
	l, err := acquire(lease.Of(x.mac), h.networks[x.network].pools...)
	if err != nil {
		return x.because(exchange.Drop, exhausted, h.networks[x.network].String())
	}
	x.addr = l.Addr
	h.describe(x)
	return exchange.Offer
}

// selecting is the verdict on a REQUEST that answers an offer. The ACK leaves
// when the lease is on disk.
func (h *handler4) selecting(x *exchange4) exchange.Verdict {
	if x.dry {
		x.addr = x.ask.Addr // that Peek has just shown
		h.describe(x)
		return exchange.Ack
	}
	if x.ask.Server != x.self && x.ask.Server != x.server {
		h.leases.Forget(lease.Of(x.mac))
		return x.because(exchange.Drop, otherServer, x.ask.Server.String())
	}
	if !h.inNetwork(x) {
		return h.refuse(x, notOffered, "")
	}
	ctx, cancel := context.WithTimeout(h.process.Context(), commitLimit)
	defer cancel()
	l, err := h.leases.Confirm(ctx, lease.Of(x.mac), x.ask.Addr, x.req.HostName())
	return h.committed(x, l, err)
}

// committed is the verdict on a lease that was to be written.
func (h *handler4) committed(x *exchange4, l lease.Lease, err error) exchange.Verdict {
	switch {
	case errors.Is(err, lease.ErrNotOffered), errors.Is(err, lease.ErrNotLeased):
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
	left := time.Until(before.Expires).Truncate(time.Second)
	if !before.Addr.IsValid() || left <= 0 {
		return x.because(exchange.Drop, notWritten, err.Error())
	}
	x.addr, x.left = before.Addr, left
	h.describe(x)
	return x.because(exchange.Ack, notWritten, "the time that is left: "+err.Error())
}

// returning is the verdict on a REQUEST of a client that has an address or
// remembers one.
func (h *handler4) returning(x *exchange4) exchange.Verdict {
	held, holds := h.leases.Held(lease.Of(x.mac))
	if holds && held.Addr == x.ask.Addr && h.inNetwork(x) {
		return h.extend(x)
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

// extend is the verdict on the renewal of a temporary lease. A NAK lets the
// client ask anew, and its address stays reserved for it.
func (h *handler4) extend(x *exchange4) exchange.Verdict {
	if h.process.Claimed(x.ask.Addr) {
		return x.because(exchange.NakReply, claimed, "")
	}
	if !h.renew {
		return x.because(exchange.NakReply, renewal, "")
	}
	ctx, cancel := context.WithTimeout(h.process.Context(), commitLimit)
	defer cancel()
	l, err := h.leases.Extend(ctx, lease.Of(x.mac), x.ask.Addr, x.req.HostName())
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

// because notes the reason of a verdict.
func (x *exchange4) because(v exchange.Verdict, why reason, detail string) exchange.Verdict {
	x.why, x.detail = why, detail
	return v
}

func (x *exchange4) nakText() string {
	switch x.why {
	case probe:
		return "server is alive"
	case renewal:
		return "temporary lease: ask anew"
	}
	return fmt.Sprintf("%v is not the address of this machine", x.ask.Addr)
}

// recovered reports a panic of the handler with the packet that caused it.
func (h *handler4) recovered(req *dhcpv4.DHCPv4, value any, stack []byte) {
	h.metrics.drops[panicked].Inc()
	h.metrics.panics.Inc()
	h.log.WithFields(logrus.Fields{"packet": exchange.Dump(req), "panic": value}).Errorf("packet dropped after a panic\n%s", stack)
}

// storms are the reasons whose lines are printed once a minute.
var storms = []reason{noPool, exhausted, notLoaded, notWritten}

// level is that of the line of an exchange.
func (h *handler4) level(x *exchange4) logrus.Level {
	switch {
	case x.why == probe:
		return logrus.DebugLevel
	case slices.Contains(storms, x.why) && !h.quiet[x.why].Allow(time.Now()):
		return logrus.DebugLevel
	case x.why == notWritten, x.why == notLoaded:
		return logrus.ErrorLevel
	case x.why == exhausted, x.why == declined:
		return logrus.WarnLevel
	}
	return logrus.InfoLevel
}

// logExchange writes the line of one exchange. Nothing is formatted that is
// not printed.
func (h *handler4) logExchange(x *exchange4, v exchange.Verdict) {
	level := h.level(x)
	if !h.log.Logger.IsLevelEnabled(level) {
		return
	}
	fields := logrus.Fields(x.ask.Fields(x.req))
	if level < logrus.DebugLevel {
		if held := h.quiet[x.why].Held(); held > 0 {
			fields["held_back"] = held // lines like this one
		}
	}
	if x.addr.IsValid() {
		fields["ip"] = x.addr.String()
	}
	if x.bootfile != "" {
		fields["bootfile"] = x.bootfile
	}
	if text := x.reason(); text != "" {
		fields["reason"] = text
	}
	h.log.WithFields(fields).Log(level, v.String())
}

func (x *exchange4) reason() string {
	text := x.why.String()
	if x.detail != "" && text != "" {
		text += ": "
	}
	return text + x.detail
}

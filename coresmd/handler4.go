package coresmd

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// A handler4 answers DHCPv4 requests.
type handler4 struct {
	*service
	last     last4
	fixed    *fixed4
	noServer process.Limit // of the complaint that server_id is missing
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

// Handle answers a request. Stock CoreDHCP calls it without an origin.
func (h *handler4) Handle(req, resp *dhcpv4.DHCPv4, from process.Origin) (reply *dhcpv4.DHCPv4, stop bool) {
	defer exchange.Recover(func(value any, stack []byte) {
		h.recovered(req, value, stack)
		reply, stop = nil, true
	})
	if h.rehearses {
		return h.rehearse4(req, resp, from)
	}
	began := time.Now()
	h.last.see(req, resp, from, began)
	x := exchange4{req: req, prepared: resp, inquiry: inquiry{from: from}}
	v, reply, stop := h.answer(&x)
	h.metrics.count(x.ask.State, v, x.why, began)
	if h.logs(&x.inquiry, v) {
		h.logExchange(&x.inquiry, v, x.ask.Fields(req))
	}
	h.note4(&x, v, began)
	h.recorded(&x.inquiry, v, false, req, reply)
	return reply, stop
}

// answer takes a request to its reply.
func (h *handler4) answer(x *exchange4) (v exchange.Verdict, reply *dhcpv4.DHCPv4, stop bool) {
	v = h.decide(x)
	switch v {
	case exchange.Pass:
		if reply = x.prepared; !h.pass && !exchange.Says4(x.req.MessageType(), reply) {
			return exchange.Drop, nil, true
		}
	case exchange.Offer, exchange.Ack:
		reply, stop = h.reply4(x), true
	case exchange.NakReply:
		reply, stop = exchange.Nak(x.req, x.prepared, x.server, x.nakText()), true
	case exchange.Drop:
		stop = true
	}
	return v, reply, stop
}

// decide takes a request to its verdict.
func (h *handler4) decide(x *exchange4) exchange.Verdict {
	x.self = exchange.ServerOf(x.prepared)
	x.ask = exchange.Read(x.req, x.self)
	x.relay = x.req.RelayAgentInfo()
	x.relayed, x.giaddr = link.Relayed(x.req, x.relay), exchange.Addr(x.req.GatewayIPAddr)
	x.server = exchange.ServerID(x.relay, x.self)
	if x.ask.State == exchange.Probe {
		return x.because(exchange.NakReply, probe, "")
	}
	mac, reason := exchange.Mac(x.req)
	if reason != "" {
		return x.because(exchange.Drop, badHardware, reason)
	}
	x.mac = mac
	if !h.find(&x.inquiry) {
		return h.stranger4(x)
	}
	if h.respect && x.machine.Disabled {
		return x.because(exchange.Drop, disabled, "")
	}
	if !x.self.IsValid() && !h.standIn(x) {
		return x.because(exchange.Drop, noServerID, "")
	}
	return h.known(x)
}

// stranger4 is the verdict on a machine that SMD does not know. CoreDHCP would
// answer a DHCPRELEASE.
func (h *handler4) stranger4(x *exchange4) exchange.Verdict {
	if x.ask.State == exchange.Release && !h.process.ReleaseTaken.Load() {
		return x.because(exchange.Drop, released, "")
	}
	return x.stranger()
}

// known is the verdict on a machine that SMD knows.
func (h *handler4) known(x *exchange4) exchange.Verdict {
	x.boot = netboot.FromV4(x.req)
	x.network, x.linked = h.networks.Find(x.req, x.relayed, link.Receiving(x.from.Networks, x.self))
	if x.relayed.IsValid() && !x.linked && !h.networks.Empty() {
		x.earlier, _ = x.prepared.SubnetMask().Size()
	}
	if !h.judge(&x.inquiry, netip.Addr.Is4) {
		return x.because(exchange.Drop, ignored, "")
	}
	return h.byState(x)
}

// byState is the verdict by the message that the client sent.
func (h *handler4) byState(x *exchange4) exchange.Verdict {
	switch x.ask.State {
	case exchange.Release:
		if h.process.ReleaseTaken.Load() && !slices.Contains(x.machine.Addrs, x.ask.Addr) {
			return x.because(exchange.Pass, released, "") // a temporary lease
		}
		return x.because(exchange.Drop, released, "")
	case exchange.Decline:
		return x.because(exchange.Drop, conflict, "the machine declined "+x.ask.Addr.String())
	case exchange.None:
		return x.because(exchange.Drop, noState, "")
	case exchange.Inform:
		h.describe(x)
		return exchange.Ack
	}
	return h.lease(x)
}

// lease is the verdict on a machine that asks for an address.
func (h *handler4) lease(x *exchange4) exchange.Verdict {
	switch {
	case len(x.machine.Addrs) == 0:
		return x.because(exchange.Pass, noAddress, "")
	case x.ask.State == exchange.Selecting && x.ask.Server != x.self && x.ask.Server != x.server:
		return x.because(exchange.Drop, otherServer, x.ask.Server.String())
	}
	switch {
	case !x.first.IsValid():
		return x.because(exchange.Drop, otherNetwork, x.where())
	case x.ask.State == exchange.Discover:
		x.addr = x.first
		h.describe(x)
		return exchange.Offer
	case !x.holds && x.state == smd.FromSnapshot:
		return x.because(exchange.Drop, unsure, x.first.String()+" was")
	case !x.holds:
		return x.because(exchange.NakReply, notIts, x.first.String()+" is")
	}
	x.addr = x.ask.Addr
	h.describe(x)
	return exchange.Ack
}

// describe decides what else the machine is told.
func (h *handler4) describe(x *exchange4) {
	x.described(h.boot.File4(x.req, x.boot, x.self, x.told.Bootfile, h.iPXEScript(&x.inquiry)))
}

// standIn puts this host's own address in the place of a server identifier
// that no plugin before us has set. It returns false if this host has none.
func (h *handler4) standIn(x *exchange4) bool {
	towards := x.relayed
	if !towards.IsValid() {
		towards = x.ask.Addr
	}
	if first := slices.IndexFunc(x.machine.Addrs, netip.Addr.Is4); !towards.IsValid() && first >= 0 {
		towards = x.machine.Addrs[first]
	}
	self, err := link.Source(towards)
	if !x.dry && h.noServer.Allow(time.Now()) {
		h.log.WithError(err).Errorf("no server identifier: put server_id before coresmd; %v stands in", self)
	}
	x.self, x.server = self, exchange.ServerID(x.relay, self)
	return self.IsValid()
}

// where says where the client asks from.
func (x *exchange4) where() string {
	if x.relayed.IsValid() {
		return "relay address " + x.relayed.String()
	}
	return "receiving address " + link.Receiving(x.from.Networks, x.self).String()
}

func (x *exchange4) nakText() string {
	if x.why == probe {
		return "server is alive"
	}
	return fmt.Sprintf("%v is not the address of this machine", x.ask.Addr)
}

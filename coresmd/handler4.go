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
	"github.com/sirupsen/logrus"
)

// A handler4 answers DHCPv4 requests.
type handler4 struct {
	*service
	fixed    *fixed4
	noServer process.Limit // of the complaint that server_id is missing
}

// An exchange4 is one request on its way through the handler.
type exchange4 struct {
	req      *dhcpv4.DHCPv4
	prepared *dhcpv4.DHCPv4
	ask      exchange.Request
	relayed  netip.Addr // by which a relay names the client's network; invalid: none
	self     netip.Addr // our server identifier
	server   netip.Addr // the identifier by which the client knows us
	mac      smd.MAC
	machine  smd.Machine
	state    smd.State    // of the inventory
	pulled   smd.Pulled   // what came of asking SMD for the machine
	network  link.Network // zero where none is declared
	addr     netip.Addr   // what the machine gets; invalid for an INFORM
	boot     netboot.Client
	hostname string
	bootfile string
	why      reason
	detail   string // of why, for the log
}

// Handle is the handler that CoreDHCP calls.
func (h *handler4) Handle(req, resp *dhcpv4.DHCPv4) (reply *dhcpv4.DHCPv4, stop bool) {
	defer exchange.Recover(func(value any, stack []byte) {
		h.recovered(req, value, stack)
		reply, stop = nil, true
	})
	x := exchange4{req: req, prepared: resp}
	v := h.decide(&x)
	switch v {
	case exchange.Pass:
		reply = resp
	case exchange.Offer, exchange.Ack:
		reply, stop = h.reply4(&x), true
	case exchange.NakReply:
		reply, stop = exchange.Nak(req, resp, x.server, x.nakText()), true
	case exchange.Drop:
		stop = true
	}
	h.metrics.count(x.ask.State, v, x.why)
	h.logExchange(&x, v)
	return reply, stop
}

// decide takes a request to its verdict.
func (h *handler4) decide(x *exchange4) exchange.Verdict {
	x.self = exchange.Addr(x.prepared.ServerIdentifier())
	x.ask = exchange.Read(x.req, x.self)
	relay := x.req.RelayAgentInfo()
	x.relayed = link.Relayed(x.req, relay)
	x.server = exchange.ServerID(relay, x.self)
	if x.ask.State == exchange.Probe {
		return x.because(exchange.NakReply, probe, "")
	}
	mac, reason := exchange.Mac(x.req)
	if reason != "" {
		return x.because(exchange.Drop, badHardware, reason)
	}
	x.mac = mac
	if !h.find(x) {
		return h.stranger(x)
	}
	if h.respect && x.machine.Disabled {
		return x.because(exchange.Drop, disabled, "")
	}
	if !x.self.IsValid() && !h.standIn(x) {
		return x.because(exchange.Drop, noServerID, "")
	}
	return h.known(x)
}

// find looks the machine up. SMD is asked for one that wants an address or a
// configuration and is not known yet. It returns false if nobody knows it.
func (h *handler4) find(x *exchange4) bool {
	found := h.cache.Lookup(x.mac)
	if !found.Known && x.ask.State != exchange.Release && x.ask.State != exchange.Decline && x.ask.State != exchange.None {
		found, x.pulled = h.cache.Pull(x.mac)
		h.metrics.pulled[x.pulled].Inc()
	}
	x.machine, x.state = found.Machine, found.State
	return found.Known
}

// stranger is the verdict on a machine that SMD does not know.
func (h *handler4) stranger(x *exchange4) exchange.Verdict {
	switch {
	case x.ask.State == exchange.Release && !h.process.ReleaseTaken.Load():
		return x.because(exchange.Drop, released, "")
	case x.ask.State == exchange.Discover && x.pulled == smd.Busy:
		return x.because(exchange.Drop, busy, "")
	case x.state == smd.NeverLoaded:
		return x.because(exchange.Pass, notLoaded, "")
	case x.state == smd.FromSnapshot:
		return x.because(exchange.Pass, notInSnapshot, "")
	}
	return x.because(exchange.Pass, unknown, "")
}

// known is the verdict on a machine that SMD knows, by the message it sent.
func (h *handler4) known(x *exchange4) exchange.Verdict {
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
		x.network, _ = h.networks.Find(x.req, x.relayed, x.self)
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
	x.network, _ = h.networks.Find(x.req, x.relayed, x.self)
	first, holds := h.addrs(x)
	switch {
	case !first.IsValid():
		return x.because(exchange.Drop, otherNetwork, x.from())
	case x.ask.State == exchange.Discover:
		x.addr = first
		h.describe(x)
		return exchange.Offer
	case !holds && x.state == smd.FromSnapshot:
		return x.because(exchange.Drop, unsure, first.String()+" was")
	case !holds:
		return x.because(exchange.NakReply, notIts, first.String()+" is")
	}
	x.addr = x.ask.Addr
	h.describe(x)
	return exchange.Ack
}

// addrs returns the machine's first address in the client's network, and
// whether the address that it asks for is one of them.
func (h *handler4) addrs(x *exchange4) (first netip.Addr, holds bool) {
	for _, a := range x.machine.Addrs {
		if !a.Is4() || !h.onLink(a, x.network) {
			continue
		}
		if !first.IsValid() {
			first = a
		}
		holds = holds || a == x.ask.Addr
	}
	return first, holds
}

// onLink says that an address belongs to the network, not to a smaller one
// declared inside it. Where no network is declared all belong.
func (h *handler4) onLink(a netip.Addr, n link.Network) bool {
	if h.networks.Empty() {
		return true
	}
	own, ok := h.networks.Lookup(a)
	return ok && own.Prefix == n.Prefix
}

// describe decides what else the machine is told.
func (h *handler4) describe(x *exchange4) {
	x.hostname = h.hostname(x.machine)
	x.boot = netboot.FromV4(x.req)
	switch x.boot.Kind {
	case netboot.IPXE:
		x.bootfile = h.script.For(x.mac)
	case netboot.PXE:
		name, ok := h.loaders.Loader(x.boot.Archs)
		if !ok {
			x.detail = fmt.Sprintf("no loader for architecture %v", x.boot.Archs)
		}
		x.bootfile = name
	}
}

// hostname names a machine: nid%04d for nodes, nothing for the rest.
func (h *handler4) hostname(m smd.Machine) string {
	if m.Type != "Node" || !m.HasNID {
		return ""
	}
	if h.domain != "" {
		return fmt.Sprintf("nid%04d.%s", m.NID, h.domain)
	}
	return fmt.Sprintf("nid%04d", m.NID)
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
	if h.noServer.Allow(time.Now()) {
		h.log.WithError(err).Errorf("no server identifier: put server_id before coresmd; %v stands in", self)
	}
	x.self, x.server = self, exchange.ServerID(x.req.RelayAgentInfo(), self)
	return self.IsValid()
}

// from says where the client asks from.
func (x *exchange4) from() string {
	if x.relayed.IsValid() {
		return "relay address " + x.relayed.String()
	}
	return "receiving address " + x.self.String()
}

// because notes the reason of a verdict.
func (x *exchange4) because(v exchange.Verdict, why reason, detail string) exchange.Verdict {
	x.why, x.detail = why, detail
	return v
}

func (x *exchange4) nakText() string {
	if x.why == probe {
		return "server is alive"
	}
	return fmt.Sprintf("%v is not the address of this machine", x.ask.Addr)
}

// recovered reports a panic of the handler with the packet that caused it.
func (h *handler4) recovered(req *dhcpv4.DHCPv4, value any, stack []byte) {
	h.metrics.drops[panicked].Inc()
	h.log.WithFields(logrus.Fields{"packet": exchange.Dump(req), "panic": value}).Errorf("packet dropped after a panic\n%s", stack)
}

// logExchange writes the line of one exchange. Nothing is formatted that is
// not printed.
func (h *handler4) logExchange(x *exchange4, v exchange.Verdict) {
	level := logrus.InfoLevel
	switch {
	case x.why == conflict:
		level = logrus.WarnLevel
	case v == exchange.Pass, x.why == probe, x.why == busy:
		level = logrus.DebugLevel
	}
	if !h.log.Logger.IsLevelEnabled(level) {
		return
	}
	fields := logrus.Fields(x.ask.Fields(x.req))
	set := func(name, value string) {
		if value != "" {
			fields[name] = value
		}
	}
	set("id", x.machine.ID)
	set("type", x.machine.Type)
	set("hostname", x.hostname)
	set("bootfile", x.bootfile)
	set("reason", x.reason())
	if x.addr.IsValid() {
		fields["ip"] = x.addr.String()
	}
	h.log.WithFields(fields).Log(level, v.String())
}

func (x *exchange4) reason() string {
	switch {
	case x.detail == "":
		return x.why.String()
	case x.why == fine:
		return x.detail
	}
	return x.why.String() + ": " + x.detail
}

package coresmd

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/rule"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/sirupsen/logrus"
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
	req      *dhcpv4.DHCPv4
	prepared *dhcpv4.DHCPv4
	ask      exchange.Request
	relay    *dhcpv4.RelayOptions // option 82; nil: none that parses
	relayed  netip.Addr           // by which a relay names the client's network; invalid: none
	self     netip.Addr           // our server identifier
	server   netip.Addr           // the identifier by which the client knows us
	from     process.Origin
	mac      smd.MAC
	machine  smd.Machine
	state    smd.State  // of the inventory
	pulled   smd.Pulled // what came of asking SMD for the machine

	network link.Network // the client's; zero where none is declared
	linked  bool         // there is one
	first   netip.Addr   // the machine's first address there; invalid: none
	holds   bool         // the address that it asks for is one of its there
	bits    int          // prefix length that puts an address beside an undeclared relay; 0: none

	told     rule.Decision
	boot     netboot.Client
	archs    [4]uint16  // room for the client's architectures
	addr     netip.Addr // what the machine gets; invalid for an INFORM
	bootfile string
	why      reason
	detail   string // of why, for the log

	dry bool // nothing is changed, counted or logged by this exchange
}

// Handle answers a request. Stock CoreDHCP calls it without an origin.
func (h *handler4) Handle(req, resp *dhcpv4.DHCPv4, from process.Origin) (reply *dhcpv4.DHCPv4, stop bool) {
	defer exchange.Recover(func(value any, stack []byte) {
		h.recovered(req, value, stack)
		reply, stop = nil, true
	})
	began := time.Now()
	h.last.see(req, resp, from, began)
	x := exchange4{req: req, prepared: resp, from: from}
	v, reply, stop := h.answer(&x)
	h.metrics.count(x.ask.State, v, x.why, began)
	h.logExchange(&x, v)
	h.note(&x, v, began)
	return reply, stop
}

// answer takes a request to its reply.
func (h *handler4) answer(x *exchange4) (v exchange.Verdict, reply *dhcpv4.DHCPv4, stop bool) {
	v = h.decide(x)
	switch v {
	case exchange.Pass:
		reply = x.prepared
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
	x.self = exchange.Addr(x.prepared.ServerIdentifier())
	x.ask = exchange.Read(x.req, x.self)
	x.relay = x.req.RelayAgentInfo()
	x.relayed = link.Relayed(x.req, x.relay)
	x.server = exchange.ServerID(x.relay, x.self)
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
	if !found.Known && !x.dry && x.ask.State != exchange.Release && x.ask.State != exchange.Decline && x.ask.State != exchange.None {
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

// known is the verdict on a machine that SMD knows.
func (h *handler4) known(x *exchange4) exchange.Verdict {
	x.boot = netboot.FromV4(x.req)
	x.network, x.linked = h.networks.Find(x.req, x.relayed, link.Receiving(x.from.Networks, x.self))
	h.findAddrs(x)
	f := x.facts(x.given())
	x.told = h.rules.Decide(&f)
	if x.told.Ignore {
		return x.because(exchange.Drop, ignored, "")
	}
	return h.byState(x)
}

// given is the address that the machine would be given.
func (x *exchange4) given() netip.Addr {
	if x.holds || x.ask.State == exchange.Inform {
		return x.ask.Addr
	}
	return x.first
}

func (x *exchange4) facts(given netip.Addr) rule.Facts {
	f := facts(x.machine, given)
	f.Giaddr = exchange.Addr(x.req.GatewayIPAddr)
	f.BootArchs = x.archs[:0]
	for _, arch := range x.boot.Archs {
		f.BootArchs = append(f.BootArchs, uint16(arch))
	}
	return f
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

// findAddrs looks for the machine's addresses in the client's network.
func (h *handler4) findAddrs(x *exchange4) {
	for _, a := range x.machine.Addrs {
		bits, here := h.onLink(x, a)
		if !a.Is4() || !here {
			continue
		}
		if !x.first.IsValid() {
			x.first, x.bits = a, bits
		}
		if a == x.ask.Addr {
			x.holds, x.bits = true, bits
		}
	}
}

// onLink says that an address belongs to the client's network, not to a smaller
// one declared inside it. Where no network is declared all belong. Beside a
// relay in no declared network it belongs if one prefix holds both: that is
// returned too.
func (h *handler4) onLink(x *exchange4, a netip.Addr) (bits int, here bool) {
	switch {
	case h.networks.Empty():
		return 0, true
	case x.linked:
		own, ok := h.networks.Lookup(a)
		return 0, ok && own.Prefix == x.network.Prefix
	case !x.relayed.IsValid() || !a.Is4():
		return 0, false
	}
	bits = h.prefixOf(x, a)
	prefix, err := a.Prefix(bits)
	return bits, err == nil && prefix.Contains(x.relayed)
}

// prefixOf returns the prefix length of an address: that of its rule, or else
// of SMD, or else of an earlier plugin.
func (h *handler4) prefixOf(x *exchange4, a netip.Addr) int {
	f := x.facts(a)
	if d := h.rules.Decide(&f); d.Mask > 0 {
		return d.Mask
	}
	if bits := x.machine.Bits(a); bits > 0 {
		return bits
	}
	if ones, bits := x.prepared.SubnetMask().Size(); bits == 32 && ones > 0 {
		return ones
	}
	return a.BitLen()
}

// describe decides what else the machine is told.
func (h *handler4) describe(x *exchange4) {
	var script string
	if x.boot.Kind == netboot.IPXE {
		script = h.scriptOf(x.machine, x.told)
	}
	file, note := h.boot.File4(x.req, x.boot, x.self, x.told.Bootfile, script)
	x.bootfile, x.detail = file, strings.Trim(x.told.NoName+"; "+note, "; ")
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
	h.metrics.panics.Inc()
	h.log.WithFields(logrus.Fields{"packet": exchange.Dump(req), "panic": value}).Errorf("packet dropped after a panic\n%s", stack)
}

// logExchange writes the line of one exchange. Nothing is formatted that is
// not printed.
func (h *handler4) logExchange(x *exchange4, v exchange.Verdict) {
	level := x.level(v)
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
	if v == exchange.Offer || v == exchange.Ack {
		set("hostname", x.told.Hostname)
	}
	set("bootfile", x.bootfile)
	set("rule", h.names(x.told, h.log.Logger.IsLevelEnabled(logrus.DebugLevel)))
	set("reason", x.reason())
	if x.addr.IsValid() {
		fields["ip"] = x.addr.String()
	}
	h.log.WithFields(fields).Log(level, v.String())
}

// level is that of the line of an exchange. A machine that a rule ignores has
// the level of the rule, none at all for none.
func (x *exchange4) level(v exchange.Verdict) logrus.Level {
	switch {
	case x.why == ignored && x.told.Log == rule.None:
		return logrus.TraceLevel
	case x.why == ignored && x.told.Log == rule.Debug, v == exchange.Pass, x.why == probe, x.why == busy:
		return logrus.DebugLevel
	case x.why == conflict:
		return logrus.WarnLevel
	}
	return logrus.InfoLevel
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

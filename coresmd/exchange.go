package coresmd

import (
	"net/netip"
	"strings"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/rule"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/sirupsen/logrus"
)

// An inquiry is what becomes known of one request on its way through a handler,
// whichever family it is of.
type inquiry struct {
	ask     exchange.Request
	from    process.Origin
	relayed netip.Addr // by which a relay names the client's network; invalid: none
	giaddr  netip.Addr // of the relay; invalid: none
	mac     smd.MAC
	machine smd.Machine
	state   smd.State  // of the inventory
	pulled  smd.Pulled // what came of asking SMD for the machine

	network link.Network // the client's; zero where none is declared
	linked  bool         // there is one
	here    uint64       // which of the machine's addresses lie there: a bit for each
	first   netip.Addr   // the first of them; invalid: none
	holds   bool         // the address that it asks for is one of them
	bits    int          // prefix length that puts an address beside an undeclared relay; 0: none
	earlier int          // prefix length that an earlier plugin told; 0: none

	told     rule.Decision
	boot     netboot.Client
	archs    [4]uint16  // room for the client's architectures
	addr     netip.Addr // what the machine gets; invalid: none
	further  string     // more that it gets, for the log
	bootfile string
	why      reason
	detail   string // of why, for the log

	dry bool // nothing is changed, counted or logged by this exchange
}

// find looks the machine up. SMD is asked for one that wants an address or a
// configuration and is not known yet. It returns false if nobody knows it.
func (s *service) find(x *inquiry) bool {
	found := s.cache.Lookup(x.mac)
	if !found.Known && !x.dry && x.ask.State != exchange.Release && x.ask.State != exchange.Decline && x.ask.State != exchange.None {
		found, x.pulled = s.cache.Pull(x.mac)
		s.metrics.pulled[x.pulled].Inc()
	}
	x.machine, x.state = found.Machine, found.State
	return found.Known
}

// stranger is the verdict on a machine that SMD does not know.
func (x *inquiry) stranger() exchange.Verdict {
	first := x.ask.State == exchange.Discover || x.ask.State == exchange.Solicit
	switch {
	case first && x.pulled == smd.Busy:
		return x.because(exchange.Drop, busy, "")
	case x.state == smd.NeverLoaded:
		return x.because(exchange.Pass, notLoaded, "")
	case x.state == smd.FromSnapshot:
		return x.because(exchange.Pass, notInSnapshot, "")
	}
	return x.because(exchange.Pass, unknown, "")
}

// judge finds the addresses of a known machine in the client's network and what
// the rules say of it. It returns false if one says that it gets no answer.
func (s *service) judge(x *inquiry, family func(netip.Addr) bool) bool {
	s.findAddrs(x, family)
	f := x.facts(x.given())
	x.told = s.rules.Decide(&f)
	return !x.told.Ignore
}

// given is the address that the machine would be given.
func (x *inquiry) given() netip.Addr {
	if x.holds || x.ask.State == exchange.Inform {
		return x.ask.Addr
	}
	return x.first
}

func (x *inquiry) facts(given netip.Addr) rule.Facts {
	f := facts(x.machine, given)
	f.Giaddr = x.giaddr
	f.BootArchs = x.archs[:0]
	for _, arch := range x.boot.Archs {
		f.BootArchs = append(f.BootArchs, uint16(arch))
	}
	return f
}

// findAddrs looks for the machine's addresses of a family in the client's
// network.
func (s *service) findAddrs(x *inquiry, family func(netip.Addr) bool) {
	for i, a := range x.machine.Addrs {
		if !family(a) {
			continue
		}
		bits, here := s.onLink(x, a)
		if !here {
			continue
		}
		x.here |= 1 << i
		if !x.first.IsValid() {
			x.first, x.bits = a, bits
		}
		if a == x.ask.Addr {
			x.holds, x.bits = true, bits
		}
	}
}

// onLink says that an address belongs to the client's network, not to a smaller
// one declared inside it. Where no network of its family is declared all belong.
// Beside a relay in no declared network it belongs if one prefix holds both:
// that is returned too.
func (s *service) onLink(x *inquiry, a netip.Addr) (bits int, here bool) {
	networks := s.table(a)
	switch {
	case networks.Empty():
		return 0, true
	case x.linked:
		own, ok := networks.Lookup(a)
		return 0, ok && own.Prefix == x.network.Prefix
	case !x.relayed.IsValid():
		return 0, false
	}
	bits = s.prefixOf(x, a)
	prefix, err := a.Prefix(bits)
	return bits, err == nil && prefix.Contains(x.relayed)
}

// prefixOf returns the prefix length of an address: that of its rule, or else
// of SMD, or else of an earlier plugin.
func (s *service) prefixOf(x *inquiry, a netip.Addr) int {
	f := x.facts(a)
	if d := s.rules.Decide(&f); d.Mask > 0 && a.Is4() {
		return d.Mask
	}
	if bits := x.machine.Bits(a); bits > 0 {
		return bits
	}
	if x.earlier > 0 {
		return x.earlier
	}
	return a.BitLen()
}

// iPXEScript is what iPXE is to run; empty for other clients.
func (s *service) iPXEScript(x *inquiry) string {
	if x.boot.Kind != netboot.IPXE {
		return ""
	}
	return s.scriptOf(x.machine, x.told)
}

// described notes what a machine is told to load, and what the log should tell.
func (x *inquiry) described(file, note string) {
	x.bootfile, x.detail = file, strings.Trim(x.told.NoName+"; "+note, "; ")
}

// because notes the reason of a verdict.
func (x *inquiry) because(v exchange.Verdict, why reason, detail string) exchange.Verdict {
	x.why, x.detail = why, detail
	return v
}

func (x *inquiry) reason() string {
	switch {
	case x.detail == "":
		return x.why.String()
	case x.why == fine:
		return x.detail
	}
	return x.why.String() + ": " + x.detail
}

// recovered reports a panic of a handler with the packet that caused it.
func (s *service) recovered(req interface{ ToBytes() []byte }, value any, stack []byte) {
	s.metrics.drops[panicked].Inc()
	s.metrics.panics.Inc()
	s.log.WithFields(logrus.Fields{"packet": exchange.Dump(req), "panic": value}).Errorf("packet dropped after a panic\n%s", stack)
}

// logs says that the line of an exchange is printed. Else nothing of it is
// formatted.
func (s *service) logs(x *inquiry, v exchange.Verdict) bool {
	return s.log.Logger.IsLevelEnabled(x.level(v))
}

// logExchange writes the line of one exchange, which begins with the fields of
// its request.
func (s *service) logExchange(x *inquiry, v exchange.Verdict, fields logrus.Fields) {
	set := func(name, value string) {
		if value != "" {
			fields[name] = value
		}
	}
	set("id", x.machine.ID)
	set("type", x.machine.Type)
	if v != exchange.Pass && v != exchange.Drop && v != exchange.NakReply {
		set("hostname", x.told.Hostname)
	}
	set("bootfile", x.bootfile)
	set("rule", s.names(x.told, s.log.Logger.IsLevelEnabled(logrus.DebugLevel)))
	set("reason", x.reason())
	if x.addr.IsValid() {
		fields["ip"] = x.addr.String() + x.further
	}
	s.log.WithFields(fields).Log(x.level(v), v.String())
}

// quiet are reasons that strangers and health probes give many times.
var quiet = map[reason]bool{probe: true, busy: true, notLoaded: true, notInSnapshot: true, unknown: true, noAddress: true}

// level is that of the line of an exchange. A machine that a rule ignores has
// the level of the rule, none at all for none.
func (x *inquiry) level(v exchange.Verdict) logrus.Level {
	switch {
	case x.why == ignored && x.told.Log == rule.None:
		return logrus.TraceLevel
	case x.why == badHardware:
		return logrus.InfoLevel
	case x.why == ignored && x.told.Log == rule.Debug, v == exchange.Pass, quiet[x.why]:
		return logrus.DebugLevel
	case x.why == conflict:
		return logrus.WarnLevel
	}
	return logrus.InfoLevel
}

package coresmd

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/OpenCHAMI/coresmd/internal/compare"
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/journal"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// The names under which a plugin behind this one publishes what it would make
// of a request.
const (
	publishedDry4 = "dry run of DHCPv4"
	publishedDry6 = "dry run of DHCPv6"
)

// A dry4 is what a plugin would make of a request. Nothing changes by it.
type dry4 = func(req, resp *dhcpv4.DHCPv4, from process.Origin) exchange.Dry

// A dry6 is the dry4 of DHCPv6. The reply may be written to.
type dry6 = func(req dhcpv6.DHCPv6, resp *dhcpv6.Message, from process.Origin) exchange.Dry6

func (v *views) explain(ctx context.Context, q status.Params) (any, error) {
	return v.explainOf(ctx, q, v.resolve(q["machine"]))
}

// explainOf explains the first of the machines that a question may be about.
func (v *views) explainOf(ctx context.Context, q status.Params, macs []smd.MAC) (*status.Explanation, error) {
	four, has4 := process.Find[*handler4](v.process, publishedHandler4)
	six, has6 := process.Find[*handler6](v.process, publishedHandler6)
	query, err := readQuery(q, !has4 && has6)
	if err != nil {
		return nil, err
	}
	e := &explained{ctx: ctx, q: query}
	switch {
	case query.six && !has6:
		return nil, status.Absent("coresmd is not among the plugins of server6")
	case query.six:
		e.service, e.ask = six.service, six.through
	case !has4:
		return nil, status.Absent("coresmd is not among the plugins of server4")
	default:
		e.service, e.ask = four.service, four.through
	}
	v.journal.Settle(ctx)
	return e.explain(macs), nil
}

// A query is a question of an administrator, read.
type query struct {
	status.Query
	giaddr  netip.Addr // invalid: none is given
	direct  bool       // the machine asks without a relay
	arch    uint16
	hasArch bool
	six     bool // it is about DHCPv6
	kind    dhcpv4.MessageType
	kind6   dhcpv6.MessageType
}

// explainable are the messages that can be explained.
var explainable = map[string]dhcpv4.MessageType{
	"DISCOVER": dhcpv4.MessageTypeDiscover, "REQUEST": dhcpv4.MessageTypeRequest, "INFORM": dhcpv4.MessageTypeInform,
}

// explainable6 are those of DHCPv6.
var explainable6 = map[string]dhcpv6.MessageType{
	"SOLICIT": dhcpv6.MessageTypeSolicit, "REQUEST": dhcpv6.MessageTypeRequest, "RENEW": dhcpv6.MessageTypeRenew,
	"REBIND": dhcpv6.MessageTypeRebind, "CONFIRM": dhcpv6.MessageTypeConfirm, "INFORMATION-REQUEST": dhcpv6.MessageTypeInformationRequest,
}

// readQuery reads a question. only6 says that nothing but DHCPv6 is answered.
func readQuery(q status.Params, only6 bool) (query, error) {
	r := query{Query: status.Query{
		Machine: q["machine"], Giaddr: q["giaddr"], Arch: q["arch"], Class: q["class"], UserClass: q["user_class"], Message: strings.ToUpper(q["message"]),
	}}
	if strings.TrimSpace(r.Machine) == "" {
		return r, status.Wrong("machine is missing; wanted a MAC, an xname, an IP address or a host name")
	}
	r.direct = r.Giaddr == "none"
	if r.Giaddr != "" && !r.direct {
		a, err := netip.ParseAddr(r.Giaddr)
		if err != nil || a.Is4In6() {
			return r, status.Wrong("giaddr %q; wanted the address of a relay or none", r.Giaddr)
		}
		r.giaddr = a
	}
	if err := r.readMessage(only6); err != nil {
		return r, err
	}
	if r.Arch != "" {
		n, err := strconv.ParseUint(r.Arch, 10, 16)
		if err != nil {
			return r, status.Wrong("arch %q; wanted a number of option 93 such as 7", r.Arch)
		}
		r.arch, r.hasArch = uint16(n), true
	}
	return r, nil
}

// readMessage finds which message of which family a question is about. A
// REQUEST is one of the relay's family.
func (q *query) readMessage(only6 bool) error {
	q.six = only6 || isV6(q.giaddr)
	switch {
	case q.Message == "" && q.six:
		q.Message = "SOLICIT"
	case q.Message == "":
		q.Message = "DISCOVER"
	}
	kind, is4 := explainable[q.Message]
	kind6, is6 := explainable6[q.Message]
	if !is4 && !is6 {
		return status.Wrong("message %q; wanted DISCOVER, REQUEST or INFORM, or of DHCPv6 SOLICIT, REQUEST, RENEW, REBIND, CONFIRM or INFORMATION-REQUEST", q.Message)
	}
	if is4 != is6 {
		q.six = is6
	}
	q.kind, q.kind6 = kind, kind6
	family := map[bool]string{false: "IPv4", true: "IPv6"}[q.six]
	if q.giaddr.IsValid() && isV6(q.giaddr) != q.six {
		return status.Wrong("giaddr %q; wanted an %s address or none for %s", q.Giaddr, family, q.Message)
	}
	return nil
}

// asHeard fills in what a question leaves open, as the machine was last heard.
func (q *query) asHeard(m journal.Machine) {
	if !q.giaddr.IsValid() && !q.direct && m.Giaddr.IsValid() && isV6(m.Giaddr) == q.six {
		q.giaddr, q.Giaddr = m.Giaddr, m.Giaddr.String()
	}
	if q.hasArch || q.Class != "" || q.UserClass != "" {
		return
	}
	q.Class = m.Class
	firmware := strings.HasPrefix(m.Class, "PXEClient") || strings.HasPrefix(m.Class, "HTTPClient")
	if m.HasArch && (m.Class == "" || firmware) {
		q.arch, q.hasArch, q.Arch = m.Arch, true, strconv.Itoa(int(m.Arch))
	}
}

// request makes the message that a question is about.
func (q *query) request(mac smd.MAC, with ...dhcpv4.Modifier) (*dhcpv4.DHCPv4, error) {
	mods := []dhcpv4.Modifier{
		dhcpv4.WithHwAddr(net.HardwareAddr(mac[:])), dhcpv4.WithMessageType(q.kind), dhcpv4.WithTransactionID(dhcpv4.TransactionID{}),
		dhcpv4.WithRequestedOptions(dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionHostName,
			dhcpv4.OptionTFTPServerName, dhcpv4.OptionBootfileName),
	}
	if q.giaddr.IsValid() {
		mods = append(mods, dhcpv4.WithRelay(q.giaddr.AsSlice()))
	}
	class := q.Class
	if q.hasArch {
		mods = append(mods, dhcpv4.WithOption(dhcpv4.OptClientArch(iana.Arch(q.arch))))
		if class == "" {
			class = fmt.Sprintf("PXEClient:Arch:%05d:UNDI:003016", q.arch)
		}
	}
	if class != "" {
		mods = append(mods, dhcpv4.WithOption(dhcpv4.OptClassIdentifier(class)))
	}
	if q.UserClass != "" {
		mods = append(mods, dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionUserClassInformation, []byte(q.UserClass))))
	}
	return dhcpv4.New(append(mods, with...)...)
}

// An explained is a question on its way to its answer.
type explained struct {
	*service
	ctx     context.Context
	ask     func(*explained) // takes the request through the plugins
	q       query
	mac     smd.MAC
	x       *inquiry // of coresmd
	place   string   // where the machine asks from
	loader  string   // what it is to load from this host's TFTP server; empty: nothing
	plugin  string   // that answers
	became  exchange.Verdict
	reason  string
	addr    netip.Addr // in the reply; invalid: none
	reply   []status.Option
	past    journal.Machine
	heard   bool // past is there
	answer  *status.Explanation
	similar []alike
	faults  []smd.Fault // of the machine
}

// explain answers a question about the first of some machines.
func (e *explained) explain(macs []smd.MAC) *status.Explanation {
	e.answer = &status.Explanation{State: e.service.inventory()}
	if len(macs) == 0 {
		e.answer.Query = e.q.Query
		e.faults = e.faultsOf(func(f smd.Fault) bool { return strings.EqualFold(f.ID, e.q.Machine) })
		e.answer.Findings = append(e.lookup(), e.surroundings()...)
		e.answer.Verdict.Answer = "nothing"
		return e.answer
	}
	e.mac = macs[0]
	e.past, e.heard = e.journal.Machine(e.mac)
	if e.heard {
		e.q.asHeard(e.past)
	}
	e.ask(e)
	e.describe(macs[1:])
	e.answer.Findings = e.findings()
	return e.answer
}

// unseen notes that what earlier plugins put into a reply is not known.
func (e *explained) unseen() {
	e.answer.Prepared = "no packet came in yet: what plugins before coresmd put into the reply is not known"
}

// through takes the request through the plugins. A REQUEST is for the address
// that a DISCOVER is offered.
func (h *handler4) through(e *explained) {
	wanted := e.q.kind
	e.q.kind = dhcpv4.MessageTypeDiscover
	offer := h.try(e)
	e.q.kind = wanted
	if wanted == dhcpv4.MessageTypeDiscover || offer == nil {
		return
	}
	if wanted == dhcpv4.MessageTypeInform {
		h.try(e, dhcpv4.WithClientIP(offer.YourIPAddr))
		return
	}
	h.try(e, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.YourIPAddr)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(offer.ServerIdentifier())))
}

// try takes one message through the plugins. It returns their reply; nil: there
// is none.
func (h *handler4) try(e *explained, with ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	req, err := e.q.request(e.mac, with...)
	if err != nil {
		e.became, e.reason, e.plugin, e.x = exchange.Drop, err.Error(), "coresmd", &inquiry{}
		return nil
	}
	p := h.prepare(req)
	if !p.seen {
		e.unseen()
	}
	x := &exchange4{req: req, prepared: p.resp, inquiry: inquiry{from: p.from, dry: true}}
	dry, plugin := exchange.Dry{Verdict: exchange.VerdictOf(p.resp), Reply: p.resp}, p.by
	if p.by == "" {
		dry, plugin = h.rehearsed(x)
	}
	e.x, e.place, e.loader = &x.inquiry, x.where(), ""
	if !strings.Contains(x.bootfile, "://") && h.next(x) == x.self {
		e.loader = x.bootfile
	}
	e.became, e.reason, e.plugin, e.addr = dry.Verdict, dry.Reason, plugin, netip.Addr{}
	if e.reply = optionsOf(compare.Parts4(dry.Reply)); dry.Reply != nil {
		e.addr = exchange.Addr(dry.Reply.YourIPAddr)
	}
	return dry.Reply
}

// optionsOf writes a message down option by option, its header first.
func optionsOf(parts []compare.Part) []status.Option {
	var all []status.Option
	for _, p := range parts {
		all = append(all, status.Option(p))
	}
	return all
}

// rehearsed is what this plugin, or one behind it, makes of a request.
func (h *handler4) rehearsed(x *exchange4) (dry exchange.Dry, plugin string) {
	v, reply, stop := h.answer(x)
	if next, ok := process.Find[dry4](h.process, publishedDry4); ok && v == exchange.Pass {
		return next(x.req, x.prepared, x.from), "bootloop"
	}
	if !stop {
		reply = nil
	}
	return exchange.Dry{Verdict: v, Reply: reply, Reason: x.reason()}, "coresmd"
}

// describe writes down what was found.
func (e *explained) describe(others []smd.MAC) {
	a := e.answer
	a.Query, a.MAC = e.q.Query, e.mac.String()
	if found := e.cache.Lookup(e.mac); found.Known {
		a.Known, a.Machine = true, e.machineOf(found.Machine)
	}
	for _, mac := range others {
		if found := e.cache.Lookup(mac); found.Known {
			a.Others = append(a.Others, *e.machineOf(found.Machine))
		}
	}
	e.faults = e.faultsOf(e.concerns)
	for _, f := range e.faults {
		a.Faults = append(a.Faults, e.fault(f))
	}
	a.Verdict = status.Verdict{Answer: e.became.String(), Plugin: e.plugin, Reason: e.reason}
	if a.Known {
		a.Network = e.placement()
		a.Rules = e.judged()
	}
	a.Reply = e.reply
	if e.heard {
		past := history(e.past)
		a.Journal = &past
	}
	e.similar = e.alikes(e.mac, a.Known)
	for _, s := range e.similar {
		a.Similar = append(a.Similar, s.mac.String())
	}
}

// concerns says that a fault is one of the machine.
func (e *explained) concerns(f smd.Fault) bool {
	mac, err := smd.ParseMAC(f.MAC)
	return err == nil && mac == e.mac || e.answer.Machine != nil && f.ID == e.answer.Machine.ID && f.MAC == ""
}

func (s *service) faultsOf(pick func(smd.Fault) bool) []smd.Fault {
	var found []smd.Fault
	for _, f := range s.cache.Status().Faults {
		if pick(f) {
			found = append(found, f)
		}
	}
	slices.SortStableFunc(found, func(a, b smd.Fault) int { return strings.Compare(severityOf(a.Kind), severityOf(b.Kind)) })
	return found
}

func (e *explained) placement() *status.Placement {
	x := e.x
	p := &status.Placement{By: e.place, Address: textOf(x.first)}
	networks := &e.networks
	if e.q.six {
		networks = &e.networks6
	}
	switch {
	case networks.Empty():
		p.By = "no network is declared: every address will do"
	case x.linked:
		p.Prefix, p.Routers = x.network.Prefix.String(), texts(x.network.Routers)
	}
	return p
}

func (e *explained) judged() []status.Rule {
	f := e.x.facts(e.x.given())
	var all []status.Rule
	for _, step := range e.rules.Explain(&f) {
		r := status.Rule{Number: step.Rule + 1, Name: e.rules.Name(step.Rule), Text: e.rules.Rules()[step.Rule].String(), Result: "missed"}
		switch {
		case step.Matched:
			r.Result = "matched"
		case step.Skipped:
			r.Result = "not reached"
		default:
			r.Key, r.Want, r.Have = step.Key, step.Want, step.Have
		}
		all = append(all, r)
	}
	return all
}

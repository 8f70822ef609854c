package coresmd

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/journal"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// publishedDry4 is the name under which a plugin behind this one publishes
// what it would make of a request.
const publishedDry4 = "dry run of DHCPv4"

// A dry4 is what a plugin would make of a request. Nothing changes by it.
type dry4 = func(req, resp *dhcpv4.DHCPv4, from process.Origin) exchange.Dry

func (v *views) explain(ctx context.Context, q status.Params) (any, error) {
	h, ok := process.Find[*handler4](v.process, publishedHandler4)
	if !ok {
		return nil, status.Absent("coresmd is not among the plugins of server4")
	}
	query, err := readQuery(q)
	if err != nil {
		return nil, err
	}
	v.journal.Settle(ctx)
	return h.explain(ctx, query), nil
}

// A query is a question of an administrator, read.
type query struct {
	status.Query
	giaddr  netip.Addr // invalid: none is given
	direct  bool       // the machine asks without a relay
	arch    uint16
	hasArch bool
	kind    dhcpv4.MessageType
}

// explainable are the messages that can be explained.
var explainable = map[string]dhcpv4.MessageType{
	"DISCOVER": dhcpv4.MessageTypeDiscover, "REQUEST": dhcpv4.MessageTypeRequest, "INFORM": dhcpv4.MessageTypeInform,
}

func readQuery(q status.Params) (query, error) {
	r := query{Query: status.Query{
		Machine: q["machine"], Giaddr: q["giaddr"], Arch: q["arch"], Class: q["class"], UserClass: q["user_class"], Message: strings.ToUpper(q["message"]),
	}}
	if strings.TrimSpace(r.Machine) == "" {
		return r, status.Wrong("machine is missing; wanted a MAC, an xname, an IP address or a host name")
	}
	if r.Message == "" {
		r.Message = "DISCOVER"
	}
	var ok bool
	if r.kind, ok = explainable[r.Message]; !ok {
		return r, status.Wrong("message %q; wanted DISCOVER, REQUEST or INFORM", q["message"])
	}
	r.direct = r.Giaddr == "none"
	if r.Giaddr != "" && !r.direct {
		a, err := netip.ParseAddr(r.Giaddr)
		if err != nil || !a.Is4() {
			return r, status.Wrong("giaddr %q; wanted an IPv4 address or none", r.Giaddr)
		}
		r.giaddr = a
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

// asHeard fills in what a question leaves open, as the machine was last heard.
func (q *query) asHeard(m journal.Machine) {
	if !q.giaddr.IsValid() && !q.direct && m.Giaddr.Is4() {
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
	h       *handler4
	ctx     context.Context
	q       query
	mac     smd.MAC
	x       exchange4 // of coresmd
	dry     exchange.Dry
	plugin  string
	past    journal.Machine
	heard   bool // past is there
	answer  *status.Explanation
	similar []alike
	faults  []smd.Fault // of the machine
}

// explain answers a question.
func (h *handler4) explain(ctx context.Context, q query) *status.Explanation {
	e := &explained{h: h, ctx: ctx, q: q, answer: &status.Explanation{State: h.inventory()}}
	macs := h.resolve(q.Machine)
	if len(macs) == 0 {
		e.answer.Query = q.Query
		e.faults = h.faultsOf(func(f smd.Fault) bool { return strings.EqualFold(f.ID, q.Machine) })
		e.answer.Findings = append(e.lookup(), e.surroundings()...)
		e.answer.Verdict.Answer = "nothing"
		return e.answer
	}
	e.mac = macs[0]
	e.past, e.heard = h.journal.Machine(e.mac)
	if e.heard {
		e.q.asHeard(e.past)
	}
	e.run()
	e.describe(macs[1:])
	e.answer.Findings = e.findings()
	return e.answer
}

// run takes the request through the plugins. A REQUEST is for the address that
// a DISCOVER is offered.
func (e *explained) run() {
	wanted := e.q.kind
	e.q.kind = dhcpv4.MessageTypeDiscover
	e.through()
	if wanted == dhcpv4.MessageTypeDiscover || e.dry.Reply == nil {
		e.q.kind = wanted
		return
	}
	e.q.kind = wanted
	offered, server := e.dry.Reply.YourIPAddr, e.dry.Reply.ServerIdentifier()
	if wanted == dhcpv4.MessageTypeInform {
		e.through(dhcpv4.WithClientIP(offered))
		return
	}
	e.through(dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offered)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server)))
}

func (e *explained) through(with ...dhcpv4.Modifier) {
	req, err := e.q.request(e.mac, with...)
	if err != nil {
		e.dry, e.plugin = exchange.Dry{Verdict: exchange.Drop, Reason: err.Error()}, "coresmd"
		return
	}
	p := e.h.prepare(req)
	if p.by != "" {
		e.dry, e.plugin = exchange.Dry{Verdict: exchange.VerdictOf(p.resp), Reply: p.resp}, p.by
		return
	}
	if !p.seen {
		e.answer.Prepared = "no packet came in yet: what plugins before coresmd put into the reply is not known"
	}
	e.x = exchange4{req: req, prepared: p.resp, inquiry: inquiry{from: p.from, dry: true}}
	v, reply, stop := e.h.answer(&e.x)
	e.dry, e.plugin = exchange.Dry{Verdict: v, Reason: e.x.reason()}, "coresmd"
	if stop {
		e.dry.Reply = reply
	}
	if next, ok := process.Find[dry4](e.h.process, publishedDry4); ok && v == exchange.Pass {
		e.dry, e.plugin = next(req, p.resp, p.from), "bootloop"
	}
}

// describe writes down what was found.
func (e *explained) describe(others []smd.MAC) {
	a := e.answer
	a.Query, a.MAC = e.q.Query, e.mac.String()
	if found := e.h.cache.Lookup(e.mac); found.Known {
		a.Known, a.Machine = true, e.h.machineOf(found.Machine)
	}
	for _, mac := range others {
		if found := e.h.cache.Lookup(mac); found.Known {
			a.Others = append(a.Others, *e.h.machineOf(found.Machine))
		}
	}
	e.faults = e.h.faultsOf(e.concerns)
	for _, f := range e.faults {
		a.Faults = append(a.Faults, e.h.fault(f))
	}
	a.Verdict = status.Verdict{Answer: e.dry.Verdict.String(), Plugin: e.plugin, Reason: e.dry.Reason}
	if a.Known {
		a.Network = e.placement()
		a.Rules = e.rules()
	}
	a.Reply = optionsOf(e.dry.Reply)
	if e.heard {
		past := history(e.past)
		a.Journal = &past
	}
	e.similar = e.h.alikes(e.mac, a.Known)
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
	x := &e.x
	p := &status.Placement{By: x.where(), Address: textOf(x.first)}
	switch {
	case e.h.networks.Empty():
		p.By = "no network is declared: every address will do"
	case x.linked:
		p.Prefix, p.Routers = x.network.Prefix.String(), texts(x.network.Routers)
	}
	return p
}

func (e *explained) rules() []status.Rule {
	f := e.x.facts(e.x.given())
	var all []status.Rule
	for _, step := range e.h.rules.Explain(&f) {
		r := status.Rule{Number: step.Rule + 1, Name: e.h.rules.Name(step.Rule), Text: e.h.rules.Rules()[step.Rule].String(), Result: "missed"}
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

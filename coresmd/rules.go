package coresmd

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/OpenCHAMI/coresmd/internal/args"
	"github.com/OpenCHAMI/coresmd/internal/link"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/rule"
	"github.com/OpenCHAMI/coresmd/internal/smd"
)

// unmatched is the host name of a machine that no rule is for.
const unmatched = "unknown-{04d}"

// naming are the options in which earlier releases say how machines are named.
// They are read as rules.
type naming struct {
	node, bmc rule.Rule   // node_pattern, bmc_pattern
	types     []rule.Rule // hostname_by_type
	rest      string      // hostname_default
}

// ruleOptions are those of what machines are told by rules.
func (c *config) ruleOptions() args.Options {
	return args.Options{
		{
			Name: "rule", Value: args.List(&c.given, rule.Grammar, rule.Parse), Repeat: true,
			Help: "A rule: which machines it is for and what they are told, see Rules.",
		},
		{
			Name: "rule_log", Value: args.Of(&c.ruleLog, "info, debug or none", rule.ParseLevel), Default: "info",
			Help: "Whether the log line of an exchange names the rules that matched: always, where debug lines are printed, or never. A rule may say so for itself.",
		},
		{
			Name: "node_pattern", Value: args.Of(&c.naming.node, aPattern, patternOf("Node")),
			Help: "Host names of nodes; an older way to say `rule=type:Node,hostname:PATTERN` behind all other rules.",
		},
		{
			Name: "bmc_pattern", Value: args.Of(&c.naming.bmc, aPattern, patternOf("NodeBMC")),
			Help: "Host names of the BMCs of nodes; an older way to say `rule=type:NodeBMC,hostname:PATTERN` behind all other rules.",
		},
		{
			Name: "hostname_by_type", Value: args.List(&c.naming.types, "TYPE:PATTERN such as HSNSwitch:sw-{id}", parseByType), Repeat: true,
			Help: "Host names of a type; an older way to say `rule=type:TYPE,hostname:PATTERN` behind all other rules.",
		},
		{
			Name: "hostname_default", Value: args.Of(&c.naming.rest, aPattern, parseDefault),
			Help: "Host names of machines that no rule is for, in the place of `unknown-{04d}`.",
		},
	}
}

const aPattern = "a pattern such as nid{04d} or {id}"

// patternOf returns what reads a pattern as the rule for a type.
func patternOf(kind string) func(string) (rule.Rule, error) {
	return func(text string) (rule.Rule, error) { return rule.Parse("type:" + kind + ",hostname:" + text) }
}

func parseByType(text string) (rule.Rule, error) {
	kind, pattern, found := strings.Cut(text, ":")
	if !found || kind == "" || pattern == "" {
		return rule.Rule{}, errors.New("no type and pattern")
	}
	return patternOf(kind)(pattern)
}

func parseDefault(text string) (string, error) {
	r, err := rule.Parse("hostname:" + text)
	return r.Hostname, err
}

// compile makes the rules of all options. Rules come first; where there are
// none, and no older option but those of nodes and BMCs, machines are named as
// the releases did that knew no rules.
func (c *config) compile() error {
	rules := slices.Concat(c.given, c.naming.types)
	o := rule.Options{Domain: c.domain, Log: c.ruleLog}
	if len(rules) > 0 || c.naming.rest != "" {
		o.Default = unmatched
	}
	if c.naming.rest != "" {
		o.Default = c.naming.rest
	}
	for _, r := range []rule.Rule{c.naming.node, c.naming.bmc} {
		if r.Hostname != "" {
			rules = append(rules, r)
		}
	}
	if o.Default == "" && c.naming.bmc.Hostname != "" && c.naming.node.Hostname == "" {
		rules = append(rules, rule.Rule{Types: []string{"Node"}, Hostname: "nid{04d}"})
	}
	set, err := rule.New(rules, o)
	c.rules = set
	return err
}

// link lists the networks: those declared, and those that a rule is for.
func (c *config) link() error {
	networks := slices.Clone(c.subnets)
	for _, r := range c.rules.Rules() {
		for _, prefix := range r.Subnets {
			if !slices.ContainsFunc(networks, func(n link.Network) bool { return n.Prefix == prefix }) {
				networks = append(networks, networkOf(prefix))
			}
		}
	}
	_, twice := link.NewTable(networks)
	c.networks, c.networks6 = tableOf(networks, netip.Addr.Is4), tableOf(networks, netip.Addr.Is6)
	c.declared = networks
	return twice
}

// tableOf returns the table of the networks of one family. What is twice there
// is told elsewhere.
func tableOf(networks []link.Network, family func(netip.Addr) bool) link.Table {
	t, _ := link.NewTable(slices.DeleteFunc(slices.Clone(networks), func(n link.Network) bool { return !family(n.Prefix.Addr()) }))
	return t
}

// table returns the declared networks of an address's family.
func (c *config) table(a netip.Addr) *link.Table {
	if a.Is4() {
		return &c.networks
	}
	return &c.networks6
}

// networkOf is a network of which nothing but its prefix is declared.
func networkOf(prefix netip.Prefix) link.Network {
	n := link.Network{Prefix: prefix}
	if prefix.Addr().Is4() {
		n.Mask = net.CIDRMask(prefix.Bits(), 32)
	}
	return n
}

// parseScripts reads the boot scripts that rules name, by their URLs.
func (c *config) parseScripts() error {
	c.scripts = make(map[string]netboot.Script)
	var errs []error
	for _, r := range c.rules.Rules() {
		if r.Script != "" {
			script, err := netboot.ParseScript(r.Script)
			c.scripts[r.Script] = script
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// scriptOf returns where a machine's boot script is.
func (c config) scriptOf(m smd.Machine, d rule.Decision) string {
	if script, ok := c.scripts[d.Script]; ok {
		return script.For(m.MAC)
	}
	return c.script.For(m.MAC)
}

// facts are what rules may ask of a machine that is given an address.
func facts(m smd.Machine, addr netip.Addr) rule.Facts {
	return rule.Facts{
		MAC: m.MAC, ID: m.ID, Type: m.Type, NID: m.NID, HasNID: m.HasNID, NIC: m.NIC,
		Role: m.Role, SubRole: m.SubRole, Class: m.Class, Arch: m.Arch, State: m.State,
		Addr: addr,
	}
}

// namer returns what names machines for the check of the inventory. Without
// rules there is none: the interfaces of a node then have one name by design.
func (c config) namer() func(smd.Machine) string {
	if len(c.rules.Rules()) == 0 {
		return nil
	}
	return c.hostName
}

// hostName is the name of a machine that is given the first of its addresses.
func (c config) hostName(m smd.Machine) string {
	var addr netip.Addr
	if len(m.Addrs) > 0 {
		addr = m.Addrs[0]
	}
	f := facts(m, addr)
	return c.rules.Decide(&f).Hostname
}

// names are the rules that matched, as far as the log is to name them.
func (s *service) names(d rule.Decision, debug bool) string {
	if d.Log == rule.None || d.Log == rule.Debug && !debug {
		return ""
	}
	return s.matched(d)
}

// matched are the rules that matched.
func (s *service) matched(d rule.Decision) string {
	if d.Matched.Len() == 0 {
		return ""
	}
	name := s.rules.Name(d.Matched.At(0))
	for i := 1; i < d.Matched.Len(); i++ {
		name += ", " + s.rules.Name(d.Matched.At(i))
	}
	return name
}

package rule

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// builtIn is the name of a node that no rule names.
const builtIn = "nid{04d}"

// Options are what holds for all rules.
type Options struct {
	Domain  string // the global domain; empty: none
	Default string // pattern of the name when there are rules and none matches; empty: no name
	Log     Level  // of rules that say none
}

// A Set is the rules of a server, compiled. It is never written to.
type Set struct {
	rules    []Rule
	labels   []string
	matchers []matcher
	names    []*pattern // of the rules; nil: none
	indexes  [factCount]index
	domain   string
	unnamed  *pattern // for machines that no rule matches; nil: none
	builtIn  *pattern
	log      Level
}

// New compiles the rules. Every mistake is in the error; that of a rule names
// it by its number and name.
func New(rules []Rule, o Options) (*Set, error) {
	s := &Set{log: o.Log}
	errs := []error{s.settings(o)}
	for i := range rules {
		s.labels = append(s.labels, label(i, rules[i].Name))
		errs = append(errs, s.add(i, &rules[i]))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for fact := range s.indexes {
		s.indexes[fact] = newIndex(s.rules, fact)
	}
	return s, nil
}

func (s *Set) settings(o Options) error {
	var errs []error
	var err error
	if s.builtIn, err = compile(builtIn); err != nil {
		errs = append(errs, err)
	}
	if o.Domain != "" {
		if s.domain, err = parseDomain(o.Domain); err != nil {
			errs = append(errs, fmt.Errorf("domain %q: %w", o.Domain, err))
		}
	}
	if o.Default != "" {
		if s.unnamed, err = compile(o.Default); err != nil {
			errs = append(errs, fmt.Errorf("name %q of machines that no rule matches: %w", o.Default, err))
		} else if !s.unnamed.fits(AppendDefault.domains("", s.domain)) {
			errs = append(errs, fmt.Errorf("name %q of machines that no rule matches with domain %q: %s", o.Default, s.domain, tooLong))
		}
	}
	return errors.Join(errs...)
}

// add compiles one rule. A rule that was not made by Parse is read again, so
// that it holds to the same.
func (s *Set) add(i int, r *Rule) error {
	checked, err := Parse(r.String())
	if err != nil {
		return inRule(i, r.Name, err)
	}
	m, err := newMatcher(&checked)
	if err != nil {
		return inRule(i, r.Name, err)
	}
	var name *pattern
	if checked.Hostname != "" {
		if name, err = compile(checked.Hostname); err != nil {
			return inRule(i, r.Name, err)
		}
		if !name.fits(checked.Append.domains(checked.Domain, s.domain)) {
			return inRule(i, r.Name, fmt.Errorf("hostname %q with its domains: %s; wanted a shorter name", checked.Hostname, tooLong))
		}
	}
	s.rules = append(s.rules, checked)
	s.matchers = append(s.matchers, m)
	s.names = append(s.names, name)
	return nil
}

// inRule names the rule that each of the mistakes is in.
func inRule(i int, name string, err error) error {
	where := "rule " + strconv.Itoa(i+1)
	if name != "" {
		where += " (" + name + ")"
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return fmt.Errorf("%s: %w", where, err)
	}
	var errs []error
	for _, one := range joined.Unwrap() {
		errs = append(errs, fmt.Errorf("%s: %w", where, one))
	}
	return errors.Join(errs...)
}

func label(i int, name string) string {
	if name != "" {
		return name
	}
	return "rule " + strconv.Itoa(i+1)
}

// Rules returns the rules in their order. The slice is not to be written to.
func (s *Set) Rules() []Rule { return s.rules }

// Name returns what a rule is called in a log line: its name, or "rule 3".
func (s *Set) Name(i int) string { return s.labels[i] }

// Decide says what a machine is told. It allocates the host name, and a list of
// the matched rules when they are more than eight.
func (s *Set) Decide(f *Facts) Decision {
	var id [maxID]byte
	x := s.look(f, &id)
	d := Decision{Log: s.log}
	var n naming
	for i := s.next(&x, 0); i < len(s.rules); i = s.next(&x, i+1) {
		r := &s.rules[i]
		d.take(i, r, f.Addr.Unmap().WithZone(""))
		n.take(r, s.names[i])
		if !r.Continue {
			break
		}
	}
	if !d.Ignore {
		d.Hostname, d.NoName = s.name(f, n, d.Matched.n > 0)
	}
	return d
}

// take puts what a rule says in the place of what earlier ones said.
func (d *Decision) take(i int, r *Rule, a addr) {
	d.Matched.add(i)
	d.Ignore = r.Ignore // an ignoring rule is the last
	over(&d.Log, r.Log)
	if r.Subnets != nil {
		d.Subnet = longest(r.Subnets, a)
	}
	over(&d.Mask, r.Mask)
	over(&d.LeaseTime, r.LeaseTime)
	over(&d.NextServer, r.NextServer)
	over(&d.Bootfile, r.Bootfile)
	over(&d.Script, r.Script)
	over(&d.MTU, r.MTU)
	overList(&d.Routers, r.Routers)
	overList(&d.DNS, r.DNS)
	overList(&d.NTP, r.NTP)
	overList(&d.Search, r.Search)
}

// over replaces a value by one that is given.
func over[T comparable](to *T, v T) {
	var zero T
	if v != zero {
		*to = v
	}
}

func overList[T any](to *[]T, v []T) {
	if v != nil {
		*to = v
	}
}

// A naming is what the matched rules say about the name.
type naming struct {
	pattern *pattern
	domain  string
	append  Append
}

func (n *naming) take(r *Rule, p *pattern) {
	over(&n.pattern, p)
	over(&n.domain, r.Domain)
	over(&n.append, r.Append)
}

// name makes a machine's name: that of the rules, or the default where none of
// them matched, or else the one that is built in.
func (s *Set) name(f *Facts, n naming, matched bool) (name, why string) {
	p := n.pattern
	switch {
	case p != nil:
	case len(s.rules) > 0 && !matched:
		p = s.unnamed
	case f.HasNID && isNode(f.Type):
		p = s.builtIn
	}
	if p == nil {
		return "", ""
	}
	return p.full(f, n.append.domains(n.domain, s.domain))
}

// isNode says whether a type is that of nodes.
func isNode(text string) bool { return strings.EqualFold(text, "Node") }

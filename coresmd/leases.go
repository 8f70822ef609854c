package coresmd

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/journal"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/OpenCHAMI/coresmd/internal/status"
)

// leaseStates and leaseKinds are the words of questions for leases, in the
// order in which they are counted.
var (
	leaseKinds  = []string{status.LeaseKnown, status.LeaseTemporary}
	leaseStates = []string{
		status.LeaseBound, status.LeaseOffered, status.LeaseExpired, status.LeaseReleased, status.LeaseDeclined, status.LeaseRefused, status.LeaseNone,
	}
)

// A leaseQuestion is what is asked about leases.
type leaseQuestion struct {
	kinds, states []string
	word          string // of a machine; empty: of all
	macs          []smd.MAC
	within        netip.Prefix  // of the address; invalid: any
	expiring      time.Duration // in which a lease ends; 0: any time
	limit         int
	now           time.Time
}

// leases lists leases. A question that says neither kind nor state is for what
// there was first: temporary leases that are bound.
func (v *views) leases(_ context.Context, params status.Params) (any, error) {
	q, err := v.leaseQuestion(params)
	if err != nil {
		return nil, err
	}
	l := leaseList{
		q: q, counts: make(map[status.LeaseCount]int),
		answer: status.Leases{Counts: []status.LeaseCount{}, Since: v.started.Round(0)},
	}
	temporary, ok := process.Find[status.LeaseView](v.process, status.PublishedLeases)
	switch {
	case !ok && params["kind"] != "all" && params["kind"] != status.LeaseKnown:
		return nil, status.Absent("bootloop is not among the plugins: there are no temporary leases")
	case !ok:
	case slices.Contains(q.kinds, status.LeaseTemporary):
		l.answer.Pools = temporary(l.add)
	default:
		l.answer.Pools = temporary(nil)
	}
	if slices.Contains(q.kinds, status.LeaseKnown) {
		v.knownLeases(&l)
	}
	if q.word != "" && len(q.macs) == 0 && len(l.counts) == 0 {
		return nil, status.Absent("nothing is known of %q", q.word)
	}
	return l.end(), nil
}

func (v *views) leaseQuestion(params status.Params) (q leaseQuestion, err error) {
	q = leaseQuestion{kinds: leaseKinds, states: leaseStates, word: strings.TrimSpace(params["machine"]), now: time.Now()}
	q.limit, err = params.Limit()
	for _, read := range []func(status.Params) error{q.readKind, q.readState, q.readAddress, q.readExpiring} {
		if err == nil {
			err = read(params)
		}
	}
	if err == nil && q.word != "" {
		q.macs = v.resolve(q.word)
	}
	return q, err
}

func (q *leaseQuestion) readKind(params status.Params) error {
	switch kind, given := params["kind"]; {
	case slices.Contains(leaseKinds, kind):
		q.kinds = []string{kind}
	case !given:
		q.kinds, q.states = []string{status.LeaseTemporary}, []string{status.LeaseBound}
	case kind != "all":
		return status.Wrong("kind %q; wanted one of %s, all", kind, strings.Join(leaseKinds, ", "))
	}
	return nil
}

func (q *leaseQuestion) readState(params status.Params) error {
	words, given := params["state"]
	if !given {
		return nil
	}
	q.states = strings.Split(words, ",")
	for _, word := range q.states {
		if !slices.Contains(leaseStates, word) {
			return status.Wrong("state %q; wanted some of %s", word, strings.Join(leaseStates, ","))
		}
	}
	return nil
}

func (q *leaseQuestion) readAddress(params status.Params) (err error) {
	word, given := params["address"]
	if !given {
		return nil
	}
	if q.within, err = parsePrefix(word); err != nil {
		return status.Wrong("address %q; wanted an address or a prefix such as 192.0.2.0/24", word)
	}
	return nil
}

func (q *leaseQuestion) readExpiring(params status.Params) (err error) {
	word, given := params["expiring"]
	if !given {
		return nil
	}
	if q.expiring, err = time.ParseDuration(word); err != nil || q.expiring <= 0 {
		return status.Wrong("expiring %q; wanted a time such as 10m or 1h", word)
	}
	return nil
}

// parsePrefix reads a prefix, or an address as the prefix that has it alone.
func parsePrefix(word string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(word); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(word)
	return p.Masked(), err
}

// about says that a machine and an address are what is asked about, as far as
// that is known without their names.
func (q *leaseQuestion) about(mac smd.MAC, a netip.Addr) bool {
	return (!q.within.IsValid() || q.within.Contains(a)) && (len(q.macs) == 0 || slices.Contains(q.macs, mac))
}

// named says that a lease is of the machine that is asked about. A word that
// no machine of SMD has may be the name of a stranger, or its client identifier.
func (q *leaseQuestion) named(l *status.Lease) bool {
	return q.word == "" || len(q.macs) > 0 || named(l.Hostname, q.word) || l.DUID != "" && strings.EqualFold(l.DUID, q.word)
}

// A leaseList gathers the answer.
type leaseList struct {
	q      leaseQuestion
	answer status.Leases
	found  []foundLease
	counts map[status.LeaseCount]int // by kind and state
}

// A foundLease is a lease with its place in the order of all.
type foundLease struct {
	addr netip.Addr
	status.Lease
}

// add takes a temporary lease, if it is asked for.
func (l *leaseList) add(one status.Lease) {
	a, err := netip.ParseAddr(one.Address)
	var mac smd.MAC
	if hw, parseErr := net.ParseMAC(one.MAC); parseErr == nil {
		mac = smd.MAC(hw)
	}
	if err == nil && l.q.about(mac, a) && l.q.named(&one) {
		l.put(foundLease{a, one})
	}
}

// put takes a lease that is asked about, and lists it if its state and its end
// are asked for.
func (l *leaseList) put(f foundLease) {
	l.counts[status.LeaseCount{Kind: f.Kind, State: f.State}]++
	ends := f.State == status.LeaseBound && f.Expires.Sub(l.q.now) <= l.q.expiring
	if slices.Contains(l.q.states, f.State) && (l.q.expiring == 0 || ends) {
		l.found = append(l.found, f)
	}
}

func (l *leaseList) end() status.Leases {
	slices.SortStableFunc(l.found, func(a, b foundLease) int {
		return cmp.Or(a.addr.Compare(b.addr), slices.Index(leaseStates, a.State)-slices.Index(leaseStates, b.State))
	})
	l.answer.Total = len(l.found)
	l.answer.Leases = make([]status.Lease, 0, min(len(l.found), l.q.limit))
	for _, f := range l.found[:min(len(l.found), l.q.limit)] {
		l.answer.Leases = append(l.answer.Leases, f.Lease)
	}
	for _, kind := range leaseKinds {
		for _, state := range leaseStates {
			c := status.LeaseCount{Kind: kind, State: state}
			if c.Leases = l.counts[c]; c.Leases > 0 {
				l.answer.Counts = append(l.answer.Counts, c)
			}
		}
	}
	return l.answer
}

// stateWords are the states of the journal by their names of the API.
var stateWords = map[journal.LeaseState]string{
	journal.Offered: status.LeaseOffered, journal.Given: status.LeaseBound, journal.Released: status.LeaseReleased,
	journal.Declined: status.LeaseDeclined, journal.Refused: status.LeaseRefused,
}

// A possession is a machine with an address.
type possession struct {
	mac  smd.MAC
	addr netip.Addr
}

// knownLeases lists what the machines of SMD were given, and their addresses
// that they were not.
func (v *views) knownLeases(l *leaseList) {
	heard := make(map[possession]bool)
	v.journal.Leases(func(h journal.Holder) bool {
		for _, one := range h.Leases {
			heard[possession{h.MAC, one.Addr}] = true
			if l.q.about(h.MAC, one.Addr) {
				v.known(l, &h, one)
			}
		}
		return true
	})
	four, six := v.served()
	v.cache.Find(func(m *smd.Machine) bool {
		for _, a := range m.Addrs {
			asked := four && a.Is4() || six && isV6(a)
			if asked && !heard[possession{m.MAC, a}] && l.q.about(m.MAC, a) {
				l.known(a, status.Lease{State: status.LeaseNone, MAC: m.MAC.String(), ID: m.ID, Hostname: v.hostName(*m)})
			}
		}
		return false
	}, 0)
}

// served says which families this plugin answers.
func (v *views) served() (four, six bool) {
	_, four = process.Find[*handler4](v.process, publishedHandler4)
	_, six = process.Find[*handler6](v.process, publishedHandler6)
	return four, six
}

// known lists what the journal has of a lease.
func (v *views) known(l *leaseList, h *journal.Holder, one journal.Lease) {
	m := v.cache.Lookup(h.MAC).Machine
	shown := status.Lease{State: stateWords[one.State], Since: one.Since, MAC: macText(h.MAC), ID: m.ID, Expires: one.Ends}
	if m.ID != "" {
		shown.Hostname = v.hostName(m)
	}
	if isV6(one.Addr) {
		shown.DUID = h.DUID
	}
	if one.State == journal.Given && !one.Ends.After(l.q.now) {
		shown.State, shown.Since = status.LeaseExpired, one.Ends
	}
	l.known(one.Addr, shown)
}

func (l *leaseList) known(a netip.Addr, one status.Lease) {
	one.Kind, one.Address = status.LeaseKnown, a.String()
	if l.q.named(&one) {
		l.put(foundLease{a, one})
	}
}

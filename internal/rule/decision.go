package rule

import (
	"iter"
	"net/netip"
	"slices"
	"time"
)

// Facts are what is known of a machine and its request.
type Facts struct {
	MAC                                         [6]byte
	ID, Type, Role, SubRole, Class, Arch, State string // as SMD has them
	NID                                         uint64 // of a BMC: of its first node
	HasNID                                      bool
	NIC                                         int        // 0: the component's first interface
	Addr                                        netip.Addr // the address being given; invalid: none
	Giaddr                                      netip.Addr // invalid: none
	BootArchs                                   []uint16   // option 93, in the client's order
}

// A Decision is what a machine is told. Its slices are shared with the rules
// and never written to.
type Decision struct {
	Matched Matched
	Ignore  bool   // the machine gets no answer; nothing else counts
	Log     Level  // of the last matched rule that says one, else Options.Log
	NoName  string // why a name that was wanted could not be made, in words

	Hostname   string       // with its domains; empty: none
	Mask       int          // prefix length of netmask or cidr; 0: not set
	Subnet     netip.Prefix // the subnet that holds Addr, of the last matched rule with a subnet key; zero: none
	LeaseTime  time.Duration
	NextServer netip.Addr
	Bootfile   string
	Script     string
	MTU        uint16
	Routers    []netip.Addr
	DNS        []netip.Addr
	NTP        []netip.Addr
	Search     []string
}

// Matched are the rules that matched: indices into Rules, in the order of
// evaluation.
type Matched struct {
	n     int
	first [8]int32
	more  []int32
}

func (m *Matched) add(i int) {
	if m.n < len(m.first) {
		m.first[m.n] = int32(i)
	} else {
		m.more = append(m.more, int32(i))
	}
	m.n++
}

// Len returns the number of rules that matched.
func (m Matched) Len() int { return m.n }

// At returns the i-th of them, from 0 and below Len.
func (m Matched) At(i int) int {
	if i < len(m.first) {
		return int(m.first[i])
	}
	return int(m.more[i-len(m.first)])
}

// All returns them with their place.
func (m Matched) All() iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		for i := range m.n {
			if !yield(i, m.At(i)) {
				return
			}
		}
	}
}

// Options4 returns the DHCPv4 options that the matched rules set, in order of
// their codes; of two of one code the later rule's. The slice is not to be
// written to.
func (s *Set) Options4(m Matched) []Option {
	return s.options(m, func(r *Rule) []Option { return r.Options4 })
}

// Options6 does the same for DHCPv6.
func (s *Set) Options6(m Matched) []Option {
	return s.options(m, func(r *Rule) []Option { return r.Options6 })
}

// options allocates only when more than one rule has some.
func (s *Set) options(m Matched, of func(*Rule) []Option) []Option {
	var merged []Option
	owned := false
	for i := range m.n {
		list := of(&s.rules[m.At(i)])
		if len(list) == 0 {
			continue
		}
		if merged == nil {
			merged = list
			continue
		}
		if !owned {
			merged, owned = slices.Clone(merged), true
		}
		for _, o := range list {
			merged = put(merged, o)
		}
	}
	return merged
}

// put puts an option into a list in order of codes, in the place of one of the
// same code.
func put(list []Option, o Option) []Option {
	at, found := slices.BinarySearchFunc(list, o.Code, func(o Option, code uint16) int { return int(o.Code) - int(code) })
	if found {
		list[at] = o
		return list
	}
	return slices.Insert(list, at, o)
}

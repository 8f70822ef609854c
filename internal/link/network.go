package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// A Network is one network as an administrator declared it.
type Network struct {
	Prefix  netip.Prefix
	Routers []netip.Addr
	DNS     []netip.Addr
	Mask    net.IPMask // of an IPv4 network; that of the prefix unless declared
	Pools   []Range
}

// A Range is the addresses from First to Last, both included.
type Range struct{ First, Last netip.Addr }

func (r Range) String() string { return r.First.String() + "-" + r.Last.String() }

// Contains tells whether an address lies in the range.
func (r Range) Contains(a netip.Addr) bool { return r.First.Compare(a) <= 0 && a.Compare(r.Last) <= 0 }

// Grammar is what ParseNetwork takes, in words for an error.
const Grammar = "CIDR[,router:IP|IP][,dns:IP|IP][,mask:MASK][,pool:START-END]"

// ParseNetwork reads the grammar in which networks are declared. Every mistake
// is in the error.
func ParseNetwork(text string) (Network, error) {
	words := strings.Split(text, ",")
	prefix, err := netip.ParsePrefix(words[0])
	if err != nil {
		return Network{}, fmt.Errorf("%q is not a network in CIDR notation", words[0])
	}
	if prefix != prefix.Masked() {
		return Network{}, fmt.Errorf("%v has host bits set; the network is %v", prefix, prefix.Masked())
	}
	n := Network{Prefix: prefix}
	if prefix.Addr().Is4() {
		n.Mask = net.CIDRMask(prefix.Bits(), 32)
	}
	var errs []error
	seen := make(map[string]bool)
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, ":")
		at := slices.IndexFunc(setters, func(s setter) bool { return s.key == key })
		switch {
		case at < 0:
			errs = append(errs, unknownKeyError(key))
		case seen[key] && key != "pool":
			errs = append(errs, fmt.Errorf("%s is given twice", key))
		default:
			errs = append(errs, setters[at].set(&n, value))
		}
		seen[key] = true
	}
	return n, errors.Join(errs...)
}

// A setter reads the value of a key.
type setter struct {
	key string
	set func(*Network, string) error
}

var setters = []setter{
	{"router", func(n *Network, text string) (err error) { n.Routers, err = addrs("router", text, *n); return }},
	{"dns", func(n *Network, text string) (err error) { n.DNS, err = addrs("dns", text, *n); return }},
	{"mask", (*Network).setMask},
	{"pool", (*Network).addPool},
}

// An unknownKeyError is a key that the grammar does not have.
type unknownKeyError string

func (e unknownKeyError) Error() string { return fmt.Sprintf("unknown key %q", string(e)) }

// Unknown returns the key and those that there are, for a suggestion.
func (e unknownKeyError) Unknown() (word string, known []string) {
	for _, s := range setters {
		known = append(known, s.key)
	}
	return string(e), known
}

// addrs reads addresses separated by |, of the network's family. A router
// outside its network cannot be reached.
func addrs(key, text string, n Network) ([]netip.Addr, error) {
	var list []netip.Addr
	for word := range strings.SplitSeq(text, "|") {
		a, err := netip.ParseAddr(word)
		switch {
		case err != nil || a.Is4() != n.Prefix.Addr().Is4():
			return nil, fmt.Errorf("%s %q is not an address of the family of %v", key, word, n.Prefix)
		case key == "router" && !n.Prefix.Contains(a):
			return nil, fmt.Errorf("%s %v is outside %v", key, a, n.Prefix)
		}
		list = append(list, a)
	}
	return list, nil
}

func (n *Network) setMask(text string) error {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() || !n.Prefix.Addr().Is4() {
		return fmt.Errorf("mask %q is not an IPv4 mask", text)
	}
	mask := net.IPMask(a.AsSlice())
	if ones, bits := mask.Size(); bits == 0 || ones == 0 {
		return fmt.Errorf("mask %s is not ones followed by zeros", text)
	}
	n.Mask = mask
	return nil
}

func (n *Network) addPool(text string) error {
	r, err := ParseRange(text)
	if err != nil {
		return err
	}
	if !n.Prefix.Contains(r.First) || !n.Prefix.Contains(r.Last) {
		return fmt.Errorf("pool %v is outside %v", r, n.Prefix)
	}
	n.Pools = append(n.Pools, r)
	return nil
}

// ParseRange reads START-END.
func ParseRange(text string) (Range, error) {
	start, end, _ := strings.Cut(text, "-")
	first, err1 := netip.ParseAddr(start)
	last, err2 := netip.ParseAddr(end)
	switch {
	case err1 != nil || err2 != nil || first.Is4() != last.Is4():
		return Range{}, fmt.Errorf("pool %q is not START-END", text)
	case last.Less(first):
		return Range{}, fmt.Errorf("pool %s ends before its start", text)
	}
	return Range{first, last}, nil
}

// A Table finds the network that an address lies in: the longest prefix.
type Table struct{ networks []Network }

// NewTable returns the table of the networks. A prefix declared twice is an
// error.
func NewTable(networks []Network) (Table, error) {
	sorted := slices.Clone(networks)
	slices.SortStableFunc(sorted, func(a, b Network) int { return b.Prefix.Bits() - a.Prefix.Bits() })
	var errs []error
	for i, n := range sorted {
		if slices.ContainsFunc(sorted[:i], func(m Network) bool { return m.Prefix == n.Prefix }) {
			errs = append(errs, fmt.Errorf("subnet %v is declared twice", n.Prefix))
		}
	}
	return Table{sorted}, errors.Join(errs...)
}

// Empty says that no network is declared.
func (t Table) Empty() bool { return len(t.networks) == 0 }

// Lookup returns the network with the longest prefix that holds the address.
func (t Table) Lookup(a netip.Addr) (Network, bool) {
	for _, n := range t.networks {
		if n.Prefix.Contains(a) {
			return n, true
		}
	}
	return Network{}, false
}

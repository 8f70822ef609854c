package rule

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
)

// The facts that are words of SMD and compared without regard to case.
const (
	factType = iota
	factRole
	factSubRole
	factClass
	factArch
	factState
	factCount
)

var wordKeys = [factCount]string{"type", "role", "subrole", "class", "arch", "state"}

func (f *Facts) words() [factCount]string {
	return [factCount]string{f.Type, f.Role, f.SubRole, f.Class, f.Arch, f.State}
}

func (r *Rule) words() [factCount][]string {
	return [factCount][]string{r.Types, r.Roles, r.SubRoles, r.Classes, r.Archs, r.States}
}

// An index finds by a fact of a machine the rules that it does not exclude.
type index struct {
	words []string   // the different words that rules ask for
	rows  [][]uint64 // of the words, and before them that of any other; a bit for each rule
}

func newIndex(rules []Rule, fact int) index {
	var x index
	for i := range rules {
		for _, w := range rules[i].words()[fact] {
			if x.row(w) == 0 {
				x.words = append(x.words, w)
			}
		}
	}
	x.rows = make([][]uint64, len(x.words)+1)
	for n := range x.rows {
		x.rows[n] = make([]uint64, (len(rules)+63)/64)
		for i := range rules {
			if wanted := rules[i].words()[fact]; wanted == nil || n > 0 && containsFold(wanted, x.words[n-1]) {
				x.rows[n][i/64] |= 1 << (i % 64)
			}
		}
	}
	return x
}

// row returns the place of a word's row.
func (x *index) row(text string) int {
	for i, w := range x.words {
		if strings.EqualFold(w, text) {
			return i + 1
		}
	}
	return 0
}

func containsFold(words []string, text string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, text) })
}

// A matcher is the match keys of a rule that are no words, compiled.
type matcher struct {
	subnets []network
	giaddrs []network
	macs    []macMatch
	ids     []string // in lower case
	sets    []idSet
	archs   []uint16
}

type macMatch struct{ mask, value uint64 }

func newMatcher(r *Rule) (matcher, error) {
	m := matcher{subnets: networks(r.Subnets), giaddrs: networks(r.Giaddrs), archs: r.BootArchs}
	for _, p := range r.MACs {
		m.macs = append(m.macs, macMatch{^uint64(0) << (48 - 8*p.N), macNumber(p.Octets)})
	}
	for _, text := range r.IDs {
		m.ids = append(m.ids, lowered(text))
	}
	for _, text := range r.IDSets {
		set, err := parseIDSet(text)
		if err != nil {
			return matcher{}, err
		}
		m.sets = append(m.sets, set)
	}
	return m, nil
}

func macNumber(octets [6]byte) uint64 {
	n := uint64(0)
	for _, b := range octets {
		n = n<<8 | uint64(b)
	}
	return n
}

// A place is an address in two numbers. Many networks are compared with one
// address.
type place struct {
	family    uint8 // 4, 6 or, without an address, 0
	high, low uint64
}

// A network is the places that agree with one in the bits of a mask.
type network struct {
	place
	highMask, lowMask uint64
}

func placeOf(a addr) place {
	a = a.Unmap()
	switch {
	case a.Is4():
		four := a.As4()
		return place{4, 0, uint64(binary.BigEndian.Uint32(four[:]))}
	case a.Is6():
		all := a.As16()
		return place{6, binary.BigEndian.Uint64(all[:8]), binary.BigEndian.Uint64(all[8:])}
	}
	return place{}
}

func networks(prefixes []prefix) []network {
	var all []network
	for _, p := range prefixes {
		free := p.Addr().BitLen() - p.Bits() // low bits that do not count
		all = append(all, network{placeOf(p.Addr()), ^uint64(0) << max(free-64, 0), ^uint64(0) << free})
	}
	return all
}

// A subject is a machine as matchers look at it.
type subject struct {
	rows   [factCount][]uint64
	addr   place
	giaddr place
	mac    uint64
	id     []byte // in lower case; empty where it is too long for a rule to name
	archs  []uint16
}

// look makes the subject of a machine. id is where its xname goes.
func (s *Set) look(f *Facts, id *[maxID]byte) subject {
	x := subject{addr: placeOf(f.Addr), giaddr: placeOf(f.Giaddr), mac: macNumber(f.MAC), archs: f.BootArchs}
	words := f.words()
	for fact := range words {
		row := s.indexes[fact].row(words[fact])
		x.rows[fact] = s.indexes[fact].rows[row]
	}
	x.id = lowerID(id, f.ID)
	return x
}

// next returns the first rule from a place on that a machine matches, or the
// number of rules.
func (s *Set) next(x *subject, from int) int {
	for from < len(s.rules) {
		block := from / 64
		left := x.allowed(block) >> (from % 64) << (from % 64)
		for ; left != 0; left &= left - 1 {
			i := block*64 + bits.TrailingZeros64(left)
			if s.matchers[i].miss(x) == "" {
				return i
			}
		}
		from = block*64 + 64
	}
	return len(s.rules)
}

// allowed returns which of 64 rules the words of a machine do not exclude.
func (x *subject) allowed(block int) uint64 {
	left := ^uint64(0)
	for i := range x.rows {
		left &= x.rows[i][block]
	}
	return left
}

// miss returns the first key that a machine does not match; empty: it matches.
// The words were looked at before.
func (m *matcher) miss(x *subject) string {
	switch {
	case m.subnets != nil && !contain(m.subnets, x.addr):
		return "subnet"
	case m.giaddrs != nil && !contain(m.giaddrs, x.giaddr):
		return "giaddr"
	case m.ids != nil && !m.hasID(x.id):
		return "id"
	case m.sets != nil && !m.inSet(x.id):
		return "id_set"
	}
	return m.missInterface(x)
}

// missInterface does so for what an interface and its firmware say.
func (m *matcher) missInterface(x *subject) string {
	switch {
	case m.macs != nil && !m.hasMAC(x.mac):
		return "mac"
	case m.archs != nil && !m.hasArch(x.archs):
		return "bootarch"
	}
	return ""
}

func contain(networks []network, a place) bool {
	for i := range networks {
		if n := &networks[i]; n.family == a.family && (a.high^n.high)&n.highMask == 0 && (a.low^n.low)&n.lowMask == 0 {
			return true
		}
	}
	return false
}

func (m *matcher) hasMAC(mac uint64) bool {
	for _, one := range m.macs {
		if mac&one.mask == one.value {
			return true
		}
	}
	return false
}

func (m *matcher) hasID(id []byte) bool {
	for _, one := range m.ids {
		if string(id) == one {
			return true
		}
	}
	return false
}

func (m *matcher) inSet(id []byte) bool {
	for i := range m.sets {
		if m.sets[i].holds(id) {
			return true
		}
	}
	return false
}

func (m *matcher) hasArch(archs []uint16) bool {
	for _, one := range m.archs {
		if slices.Contains(archs, one) {
			return true
		}
	}
	return false
}

// longest returns the longest of the networks that hold an address.
func longest(networks []prefix, a addr) prefix {
	var best prefix
	for _, p := range networks {
		if p.Contains(a) && (!best.IsValid() || p.Bits() > best.Bits()) {
			best = p
		}
	}
	return best
}

// lowerID puts an xname in lower case into a buffer. One that does not fit is
// in no rule.
func lowerID(buf *[maxID]byte, text string) []byte {
	if len(text) > maxID {
		return nil
	}
	for i := range len(text) {
		buf[i] = lower(text[i])
	}
	return buf[:len(text)]
}

// lowered does the same for the xname of a rule.
func lowered(text string) string {
	all := []byte(text)
	for i, c := range all {
		all[i] = lower(c)
	}
	return string(all)
}

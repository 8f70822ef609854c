// Package rule decides what a known machine is told. It knows nothing of DHCP.
//
// A rule is one line of text: keys that a machine must match, and keys that say
// what it is told. Rules are read by Parse, compiled by New, and asked by Decide.
package rule

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// A Rule is one rule as an administrator wrote it. The zero value of a field
// means that its key is not given. Inside one match key any of the alternatives
// is enough; all match keys that are given must hold.
type Rule struct {
	Name string

	Types, IDs, Roles, SubRoles, Classes, Archs, States []string // compared without regard to case

	IDSets    []string       // bracket lists
	Subnets   []netip.Prefix // of the address being given
	MACs      []MACs
	Giaddrs   []netip.Prefix // one address: a prefix of all its bits
	BootArchs []uint16       // option 93

	Hostname   string // a pattern
	Domain     string
	Append     Append
	Routers    []netip.Addr // IPv4
	Mask       int          // prefix length of netmask or cidr, 1 to 32
	DNS        []netip.Addr // of both families
	NTP        []netip.Addr // of both families
	MTU        uint16
	Search     []string
	LeaseTime  time.Duration // whole seconds
	NextServer netip.Addr    // IPv4
	Bootfile   string
	Script     string   // an http or https URL
	Options4   []Option // in order of their codes
	Options6   []Option // in order of their codes

	Ignore   bool
	Continue bool
	Log      Level
}

// MACs are the MAC addresses that begin with the first N of the octets.
type MACs struct {
	Octets [6]byte // zero behind the first N
	N      int     // 1 to 6
}

func (m MACs) String() string {
	var words []string
	for i, octet := range m.Octets {
		if i < m.N {
			words = append(words, fmt.Sprintf("%02x", octet))
		}
	}
	return strings.Join(words, ":")
}

// An Option is the value of a DHCP option that has no key of its own.
type Option struct {
	Code uint16
	Data []byte // never empty, never written to
}

// A Level is how a rule that matched is logged.
type Level uint8

// The levels. Default: the rule does not say.
const (
	Default Level = iota
	Info
	Debug
	None
)

// An Append says which domains stand behind a host name.
type Append uint8

// The ways to append domains. AppendDefault: that of the rule if one is set,
// else the global one.
const (
	AppendDefault Append = iota
	AppendGlobal
	AppendRule
	AppendGlobalRule // name.GLOBAL.RULE
	AppendRuleGlobal // name.RULE.GLOBAL
	AppendNone
)

// ParseLevel reads info, debug or none.
func ParseLevel(text string) (Level, error) { return oneOf(levels, text) }

func (l Level) String() string { return wordOf(levels, l) }

func (a Append) String() string { return wordOf(appends, a) }

var levels = []word[Level]{{"info", Info}, {"debug", Debug}, {"none", None}}

var appends = []word[Append]{
	{"global", AppendGlobal},
	{"rule", AppendRule},
	{"global|rule", AppendGlobalRule},
	{"rule|global", AppendRuleGlobal},
	{"none", AppendNone},
}

// String returns the rule in its canonical form, from which Parse makes an
// equal one.
func (r Rule) String() string {
	var words []string
	for _, k := range keys {
		for _, text := range k.text(&r) {
			words = append(words, k.name+":"+quote(text))
		}
	}
	return strings.Join(words, ",")
}

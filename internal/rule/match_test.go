package rule

import (
	"net/netip"
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	node := Facts{
		MAC: [6]byte{2, 0, 0, 0xab, 0, 1}, ID: "x3000c0s0b0n0", Type: "Node", Role: "Compute", SubRole: "Worker", Class: "River", Arch: "X86", State: "Ready",
		Addr: netip.MustParseAddr("192.0.2.7"), Giaddr: netip.MustParseAddr("198.51.100.1"), BootArchs: []uint16{9, 7},
	}
	for name, c := range map[string]struct {
		match   string // keys of the rule
		change  func(*Facts)
		matches bool
	}{
		"no key":                   {"", nil, true},
		"no key, nothing known":    {"", func(f *Facts) { *f = Facts{} }, true},
		"type":                     {"type:Node", nil, true},
		"type in another case":     {"type:NODE", nil, true},
		"another type":             {"type:NodeBMC", nil, false},
		"type is no prefix":        {"type:Nod", nil, false},
		"one of two types":         {"type:NodeBMC|Node", nil, true},
		"no type":                  {"type:Node", func(f *Facts) { f.Type = "" }, false},
		"id":                       {"id:X3000C0S0B0N0", nil, true},
		"id of SMD in capitals":    {"id:x3000c0s0b0n0", func(f *Facts) { f.ID = "X3000C0S0B0N0" }, true},
		"another id":               {"id:x3000c0s0b0n1", nil, false},
		"id is no prefix":          {"id:x3000c0s0b0n", nil, false},
		"one of two ids":           {"id:x1|x3000c0s0b0n0", nil, true},
		"id_set":                   {"id_set:x[3000-3001]c0s[0-3]b0n0", nil, true},
		"not in id_set":            {"id_set:x[3000-3001]c0s[1-3]b0n0", nil, false},
		"in the second id_set":     {"id_set:x1|x3000c[0]s0b0n0", nil, true},
		"in the quoted id_set":     {"id_set:'x1,x3000c[0,1]s0b0n0'", nil, true},
		"subnet":                   {"subnet:192.0.2.0/24", nil, true},
		"second subnet":            {"subnet:198.51.100.0/24|192.0.2.0/29", nil, true},
		"another subnet":           {"subnet:192.0.2.0/30", nil, false},
		"subnet of all":            {"subnet:0.0.0.0/0", nil, true},
		"no address":               {"subnet:0.0.0.0/0|::/0", func(f *Facts) { f.Addr = netip.Addr{} }, false},
		"mapped address":           {"subnet:192.0.2.0/24", func(f *Facts) { f.Addr = netip.MustParseAddr("::ffff:192.0.2.7") }, true},
		"IPv6":                     {"subnet:2001:db8::/32", func(f *Facts) { f.Addr = netip.MustParseAddr("2001:db8::7") }, true},
		"IPv6 with a zone":         {"subnet:fe80::/64", func(f *Facts) { f.Addr = netip.MustParseAddr("fe80::1%eth0") }, true},
		"IPv6 /65":                 {"subnet:2001:db8:0:0:8000::/65", func(f *Facts) { f.Addr = netip.MustParseAddr("2001:db8::8000:0:0:1") }, true},
		"below IPv6 /65":           {"subnet:2001:db8:0:0:8000::/65", func(f *Facts) { f.Addr = netip.MustParseAddr("2001:db8::7fff:0:0:1") }, false},
		"another IPv6 /63":         {"subnet:2001:db8::/63", func(f *Facts) { f.Addr = netip.MustParseAddr("2001:db8:0:2::1") }, false},
		"IPv6 /63":                 {"subnet:2001:db8::/63", func(f *Facts) { f.Addr = netip.MustParseAddr("2001:db8:0:1::1") }, true},
		"IPv6 is not in 0.0.0.0/0": {"subnet:0.0.0.0/0", func(f *Facts) { f.Addr = netip.MustParseAddr("::7") }, false},
		"IPv4 is not in ::/0":      {"subnet:::/0", nil, false},
		"role":                     {"role:compute", nil, true},
		"another role":             {"role:Service", nil, false},
		"subrole":                  {"subrole:Master|Worker", nil, true},
		"another subrole":          {"subrole:Master", nil, false},
		"class":                    {"class:RIVER", nil, true},
		"another class":            {"class:Mountain", nil, false},
		"arch":                     {"arch:x86", nil, true},
		"another arch":             {"arch:ARM", nil, false},
		"state":                    {"state:ready|on", nil, true},
		"another state":            {"state:Off", nil, false},
		"a role is not a class":    {"class:Compute", nil, false},
		"whole MAC":                {"mac:02:00:00:AB:00:01", nil, true},
		"MAC with dashes":          {"mac:02-00-00-ab", nil, true},
		"first octet":              {"mac:02", nil, true},
		"another MAC":              {"mac:02:00:00:ab:00:02", nil, false},
		"another prefix":           {"mac:02:00:01", nil, false},
		"octets in the middle":     {"mac:00:00:ab", nil, false},
		"second MAC":               {"mac:04|02:00:00", nil, true},
		"giaddr":                   {"giaddr:198.51.100.1", nil, true},
		"giaddr in a network":      {"giaddr:198.51.100.0/24", nil, true},
		"another giaddr":           {"giaddr:198.51.100.2", nil, false},
		"no giaddr":                {"giaddr:0.0.0.0/0", func(f *Facts) { f.Giaddr = netip.Addr{} }, false},
		"link-address":             {"giaddr:2001:db8::/64", func(f *Facts) { f.Giaddr = netip.MustParseAddr("2001:db8::1") }, true},
		"bootarch":                 {"bootarch:7", nil, true},
		"second bootarch":          {"bootarch:0|9", nil, true},
		"another bootarch":         {"bootarch:0|11", nil, false},
		"no bootarch":              {"bootarch:0", func(f *Facts) { f.BootArchs = nil }, false},
		"all keys":                 {"type:Node,id:x3000c0s0b0n0,id_set:x[3000]c0s0b0n0,subnet:192.0.2.0/24,role:Compute,subrole:Worker,class:River,arch:X86,state:Ready,mac:02,giaddr:198.51.100.1,bootarch:7", nil, true},
		"all keys but one":         {"type:Node,id:x3000c0s0b0n0,id_set:x[3000]c0s0b0n0,subnet:192.0.2.0/24,role:Compute,subrole:Worker,class:River,arch:X86,state:Ready,mac:02,giaddr:198.51.100.1,bootarch:6", nil, false},
		"both of two keys":         {"type:Node,role:Service", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := node
			if c.change != nil {
				c.change(&f)
			}
			s := set(t, Options{}, strings.TrimPrefix(c.match+",mtu:1500", ","))
			d := s.Decide(&f)
			if (d.Matched.Len() == 1) != c.matches || (d.MTU == 1500) != c.matches {
				t.Errorf("matched %d rules, MTU %d; want a match: %v", d.Matched.Len(), d.MTU, c.matches)
			}
			if strings.HasPrefix(c.match, "subnet") && d.Subnet.IsValid() != c.matches {
				t.Errorf("subnet %v", d.Subnet)
			}
			steps := s.Explain(&f)
			if len(steps) != 1 || steps[0].Matched != c.matches || (steps[0].Key == "") != c.matches {
				t.Errorf("explained as %+v", steps)
			}
		})
	}
}

// set compiles rules.
func set(tb testing.TB, o Options, texts ...string) *Set {
	tb.Helper()
	var rules []Rule
	for _, text := range texts {
		rules = append(rules, mustParse(tb, text))
	}
	s, err := New(rules, o)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

package rule

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// told writes a decision down, with the names of the rules that matched.
func told(s *Set, d Decision) string {
	var words []string
	for _, rule := range d.Matched.All() {
		words = append(words, s.Name(rule))
	}
	all := []string{"[" + strings.Join(words, " ") + "]"}
	add := func(key string, value any) {
		text := fmt.Sprint(value)
		switch text {
		case "", "0", "false", "[]", "0s", "invalid IP", "invalid Prefix":
		default:
			all = append(all, key+"="+text)
		}
	}
	add("ignore", d.Ignore)
	add("log", [...]string{"", "info", "debug", "none"}[d.Log])
	add("name", d.Hostname)
	add("noname", d.NoName)
	add("mask", d.Mask)
	add("subnet", d.Subnet)
	add("lease", d.LeaseTime)
	add("next", d.NextServer)
	add("boot", d.Bootfile)
	add("script", d.Script)
	add("mtu", d.MTU)
	add("routers", d.Routers)
	add("dns", d.DNS)
	add("ntp", d.NTP)
	add("search", d.Search)
	add("option", s.Options4(d.Matched))
	add("option6", s.Options6(d.Matched))
	return strings.Join(all, " ")
}

func TestDecide(t *testing.T) {
	t.Parallel()
	node := Facts{ID: "x3000c0s0b0n0", Type: "Node", Role: "Compute", NID: 7, HasNID: true, Addr: netip.MustParseAddr("192.0.2.7")}
	bmc := Facts{ID: "x3000c0s0b0", Type: "NodeBMC", NID: 7, HasNID: true, Addr: netip.MustParseAddr("192.0.2.8")}
	pdu := Facts{ID: "x3000m0", Type: "CabinetPDUController"}
	stranger := node
	stranger.HasNID = false
	o := Options{Domain: "example.org", Default: "unknown-{04d}", Log: Debug}
	for name, c := range map[string]struct {
		rules []string
		o     Options
		f     Facts
		want  string
	}{
		"no rules, node":              {nil, o, node, "[] log=debug name=nid0007.example.org"},
		"no rules, node in capitals":  {nil, Options{}, Facts{Type: "NODE", HasNID: true}, "[] name=nid0000"},
		"no rules, node, no number":   {nil, o, stranger, "[] log=debug"},
		"no rules, BMC":               {nil, o, bmc, "[] log=debug"},
		"none matches":                {[]string{"type:CabinetPDUController,hostname:pdu"}, o, node, "[] log=debug name=unknown-0007.example.org"},
		"none matches, no number":     {[]string{"type:Node,hostname:n{d}"}, o, pdu, "[] log=debug noname=no node number for {04d}"},
		"none matches, no default":    {[]string{"type:NodeBMC,hostname:b"}, Options{}, node, "[]"},
		"no name, node":               {[]string{"mtu:1500"}, o, node, "[rule 1] log=debug name=nid0007.example.org mtu=1500"},
		"no name, BMC":                {[]string{"mtu:1500"}, o, bmc, "[rule 1] log=debug mtu=1500"},
		"no name, node, no number":    {[]string{"mtu:1500"}, o, stranger, "[rule 1] log=debug mtu=1500"},
		"name, no number":             {[]string{"hostname:n{d},mtu:1500"}, o, stranger, "[rule 1] log=debug noname=no node number for {d} mtu=1500"},
		"first match ends":            {[]string{"name:a,type:NodeBMC,mtu:1000", "name:b,type:Node,mtu:1500", "name:c,type:Node,mtu:9000,hostname:x"}, Options{}, node, "[b] name=nid0007 mtu=1500"},
		"continue:false ends":         {[]string{"mtu:1500,continue:false", "mtu:9000"}, Options{}, bmc, "[rule 1] mtu=1500"},
		"continue, nothing else":      {[]string{"mtu:1500,continue:true"}, Options{}, bmc, "[rule 1] mtu=1500"},
		"continue does not match":     {[]string{"type:Node,mtu:1500,continue:true", "cidr:24"}, Options{}, bmc, "[rule 2] mask=24"},
		"later replaces earlier":      {[]string{"mtu:1500,cidr:24,continue:true", "type:Node,mtu:1400,continue:true", "mtu:9000,dns:192.0.2.53", "mtu:68"}, Options{}, bmc, "[rule 1 rule 3] mask=24 mtu=9000 dns=[192.0.2.53]"},
		"later leaves what it lacks":  {[]string{"hostname:a,domain:a.org,domain_append:none,continue:true", "domain:b.org"}, o, bmc, "[rule 1 rule 2] log=debug name=a"},
		"name and domain of two":      {[]string{"domain:a.org,continue:true", "hostname:b"}, o, bmc, "[rule 1 rule 2] log=debug name=b.a.org"},
		"lists are replaced":          {[]string{"dns:192.0.2.1|192.0.2.2,routers:192.0.2.3,ntp:192.0.2.4,search:a.b,continue:true", "dns:192.0.2.9,ntp:192.0.2.8,search:c"}, Options{}, bmc, "[rule 1 rule 2] routers=[192.0.2.3] dns=[192.0.2.9] ntp=[192.0.2.8] search=[c]"},
		"options code by code":        {[]string{"option:114=a,option:43=b,continue:true", "mtu:1500,continue:true", "option:224=x,option:43=c,option6:60=y"}, Options{}, bmc, "[rule 1 rule 2 rule 3] mtu=1500 option=[43=c 114=a 224=x] option6=[60=y]"},
		"ignore":                      {[]string{"type:NodeBMC,ignore:true", "hostname:x"}, o, bmc, "[rule 1] ignore=true log=debug"},
		"ignore of others":            {[]string{"type:NodeBMC,ignore:true", "hostname:x"}, Options{}, node, "[rule 2] name=x"},
		"ignore after continue":       {[]string{"hostname:x{d},mtu:1500,continue:true", "ignore:true"}, Options{}, node, "[rule 1 rule 2] ignore=true mtu=1500"},
		"ignore:false is no pardon":   {[]string{"mtu:1500,ignore:false,continue:true", "ignore:true"}, Options{}, node, "[rule 1 rule 2] ignore=true mtu=1500"},
		"log of a rule":               {[]string{"mtu:1500,log:info"}, o, bmc, "[rule 1] log=info mtu=1500"},
		"log none over debug":         {[]string{"mtu:1500,log:none"}, o, bmc, "[rule 1] log=none mtu=1500"},
		"log of the last that says":   {[]string{"mtu:1500,log:none,continue:true", "mtu:1400,log:info,continue:true", "cidr:8"}, o, bmc, "[rule 1 rule 2 rule 3] log=info mask=8 mtu=1400"},
		"subnet":                      {[]string{"subnet:192.0.2.0/24|198.51.100.0/24,mtu:1500"}, Options{}, bmc, "[rule 1] subnet=192.0.2.0/24 mtu=1500"},
		"longest of a rule's subnets": {[]string{"subnet:192.0.0.0/16|192.0.2.0/28|192.0.2.0/24,mtu:1500"}, Options{}, bmc, "[rule 1] subnet=192.0.2.0/28 mtu=1500"},
		"subnet of the last":          {[]string{"subnet:192.0.2.0/24,mtu:1500,continue:true", "subnet:192.0.0.0/16,cidr:20,continue:true", "ntp:192.0.2.1"}, Options{}, bmc, "[rule 1 rule 2 rule 3] mask=20 subnet=192.0.0.0/16 mtu=1500 ntp=[192.0.2.1]"},
		"everything": {
			[]string{"netmask:255.255.0.0,lease_time:90s,next_server:192.0.2.9,bootfile:x.efi,script:http://bss/x,mtu:9000,routers:192.0.2.1"},
			Options{},
			bmc, "[rule 1] mask=16 lease=1m30s next=192.0.2.9 boot=x.efi script=http://bss/x mtu=9000 routers=[192.0.2.1]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := set(t, c.o, c.rules...)
			f := c.f
			if diff := cmp.Diff(c.want, told(s, s.Decide(&f))); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
			if diff := diff(c.f, f); diff != "" {
				t.Errorf("facts were written to (-want +got):\n%s", diff)
			}
		})
	}
}

// TestManyMatches has more matches than a decision holds without allocating,
// and more rules than one word of an index.
func TestManyMatches(t *testing.T) {
	t.Parallel()
	var rules []string
	var want []int
	for i := range 200 {
		rules = append(rules, fmt.Sprintf("type:%s,mtu:%d,option:%d=a,continue:true", []string{"Node", "NodeBMC"}[i%2], 100+i, 130+i%20))
		if i%2 == 0 {
			want = append(want, i)
		}
	}
	s := set(t, Options{}, rules...)
	d := s.Decide(&Facts{Type: "Node"})
	var got []int
	for place, rule := range d.Matched.All() {
		if d.Matched.At(place) != rule {
			t.Errorf("At(%d) is %d, All has %d", place, d.Matched.At(place), rule)
		}
		got = append(got, rule)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("matched (-want +got):\n%s", diff)
	}
	if d.MTU != 298 || len(s.Options4(d.Matched)) != 10 {
		t.Errorf("MTU %d and options %v", d.MTU, s.Options4(d.Matched))
	}
	if again := s.Options4(d.Matched); fmt.Sprint(again) != fmt.Sprint(s.Options4(d.Matched)) {
		t.Error("merging wrote to the rules")
	}
	for range d.Matched.All() { // may be left early
		break
	}
	if d := s.Decide(&Facts{Type: "RouterBMC"}); d.Matched.Len() != 0 {
		t.Errorf("another type matched %d rules", d.Matched.Len())
	}
}

// TestOptionsAreShared has the options of a rule unharmed by merging.
func TestOptionsAreShared(t *testing.T) {
	t.Parallel()
	s := set(t, Options{}, "type:Node,option:43=a,option:224=b,continue:true", "option:43=c")
	node, other := s.Decide(&Facts{Type: "Node"}), s.Decide(&Facts{})
	for range 2 {
		if got := fmt.Sprint(s.Options4(node.Matched), s.Options4(other.Matched)); got != "[43=c 224=b] [43=c]" {
			t.Errorf("options %s", got)
		}
	}
	if got := s.Rules()[0].String(); got != "type:Node,option:43=a,option:224=b,continue:true" {
		t.Errorf("the first rule is now %s", got)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	s := set(t, Options{},
		"type:NodeBMC|RouterBMC,mtu:1500", "subnet:198.51.100.0/24,mtu:1500", "id_set:x[1-3],mtu:1500", "id:x9,mtu:1500", "mac:04,mtu:1500",
		"giaddr:192.0.2.1,mtu:1500", "bootarch:0|6,mtu:1500", "type:Node,role:Service,mtu:1500", "name:here,type:node,continue:true,mtu:1500",
		"state:On,mtu:1500", "mtu:1400", "mtu:1300", "type:NodeBMC,mtu:1200")
	f := Facts{MAC: [6]byte{2, 0, 0, 0, 0, 1}, ID: "x3000c0s0b0n0", Type: "Node", Role: "Compute", Addr: netip.MustParseAddr("192.0.2.7"), BootArchs: []uint16{7, 9}}
	want := []Step{
		{Rule: 0, Key: "type", Want: "NodeBMC|RouterBMC", Have: "Node"},
		{Rule: 1, Key: "subnet", Want: "198.51.100.0/24", Have: "192.0.2.7"},
		{Rule: 2, Key: "id_set", Want: "x[1-3]", Have: "x3000c0s0b0n0"},
		{Rule: 3, Key: "id", Want: "x9", Have: "x3000c0s0b0n0"},
		{Rule: 4, Key: "mac", Want: "04", Have: "02:00:00:00:00:01"},
		{Rule: 5, Key: "giaddr", Want: "192.0.2.1"},
		{Rule: 6, Key: "bootarch", Want: "0|6", Have: "7|9"},
		{Rule: 7, Key: "role", Want: "Service", Have: "Compute"},
		{Rule: 8, Matched: true},
		{Rule: 9, Key: "state", Want: "On"},
		{Rule: 10, Matched: true},
		{Rule: 11, Skipped: true},
		{Rule: 12, Skipped: true},
	}
	if diff := diff(want, s.Explain(&f)); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if got := s.Explain(&Facts{})[1]; got != (Step{Rule: 1, Key: "subnet", Want: "198.51.100.0/24"}) {
		t.Errorf("without an address: %+v", got)
	}
	if s.Name(0) != "rule 1" || s.Name(8) != "here" {
		t.Errorf("names %q and %q", s.Name(0), s.Name(8))
	}
}

// TestNewMistakes has what only the whole shows, and rules that Parse did not
// make.
func TestNewMistakes(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 63)
	long = long + "." + long + "." + long
	bad := func(r Rule) []Rule { return []Rule{{MTU: 1500}, r} }
	for name, c := range map[string]struct {
		rules []Rule
		o     Options
		want  string
	}{
		"global domain":  {nil, Options{Domain: "a_b"}, `domain "a_b": '_' is not for domain names`},
		"default name":   {nil, Options{Default: "unknown_{x}"}, `name "unknown_{x}" of machines that no rule matches: '_' is not for host names`},
		"default domain": {nil, Options{Default: long, Domain: long}, `name "` + long + `" of machines that no rule matches with domain "` + long + `": longer than 253 characters`},
		"name and domain": {
			[]Rule{mustParse(t, "name:all,hostname:"+long), mustParse(t, "hostname:"+long+",domain_append:none")},
			Options{Domain: long},
			`rule 1 (all): hostname "` + long + `" with its domains: longer than 253 characters; wanted a shorter name`,
		},
		"empty":         {bad(Rule{}), Options{}, "rule 2: the rule is empty; wanted KEY:VALUE[,KEY:VALUE]"},
		"empty, named":  {bad(Rule{Name: "x"}), Options{}, "rule 2 (x): no action; wanted a key that says what a machine is told, such as hostname, or ignore:true"},
		"two mistakes":  {bad(Rule{Mask: 33, MTU: 1}), Options{Domain: "-"}, "domain \"-\": \"-\" begins with a hyphen\nrule 2: netmask \"33\": not a mask; wanted a mask such as 255.255.255.0\nrule 2: mtu \"1\": out of range; wanted a number from 68 to 65535"},
		"negative mask": {bad(Rule{Mask: -1}), Options{}, `rule 2: netmask "-1": not a mask; wanted a mask such as 255.255.255.0`},
		"no such level": {bad(Rule{MTU: 1500, Log: 9}), Options{}, `rule 2: log "none of the words": not understood; wanted info, debug or none`},
		"no such way":   {bad(Rule{Append: 9}), Options{}, `rule 2: domain_append "none of the words": not understood; wanted global, rule, global|rule, rule|global or none`},
		"no octets":     {bad(Rule{MTU: 1500, MACs: []MACs{{}}}), Options{}, "rule 2: mac is empty; wanted MAC addresses or their first octets separated by | such as 02:00:00"},
		"empty option":  {bad(Rule{Options4: []Option{{43, nil}}}), Options{}, `rule 2: option "43=": the value is empty; wanted CODE=VALUE, a code from 1 to 254 and a text or 0x and hexadecimal digits`},
		"host bits":     {bad(Rule{MTU: 1500, Subnets: prefixes("192.0.2.1/24")}), Options{}, `rule 2: subnet "192.0.2.1/24": host bits are set, the network is 192.0.2.0/24; wanted networks in CIDR notation separated by |`},
		"lease time":    {bad(Rule{LeaseTime: -time.Hour}), Options{}, `rule 2: lease_time "-1h0m0s": too short; wanted a duration of whole seconds, at least 1s, such as 90s, 5m or 1h`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := New(c.rules, c.o)
			if err == nil {
				t.Fatal("no error")
			}
			if s != nil {
				t.Error("an error and a set")
			}
			if diff := cmp.Diff(c.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	got := Table()
	for _, want := range []string{
		"| match key | value | meaning |\n|---|---|---|\n| `type` | SMD types separated by \\| such as Node\\|NodeBMC | Type of the component. |\n",
		"\n\n| action key | value | meaning |\n|---|---|---|\n| `hostname` |",
		"\n\n| other key | value | meaning |\n|---|---|---|\n| `name` |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the table has no %q:\n%s", want, got)
		}
	}
	for _, k := range keys {
		if strings.Count(got, "\n| `"+k.name+"` |") != 1 {
			t.Errorf("the table does not have %s once", k.name)
		}
		if k.wanted == "" || k.help == "" {
			t.Errorf("%s has no words", k.name)
		}
	}
}

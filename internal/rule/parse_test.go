package rule

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

var comparers = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func diff(want, got any) string {
	return cmp.Diff(want, got, comparers, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }))
}

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, t := range texts {
		all = append(all, netip.MustParseAddr(t))
	}
	return all
}

// TestParse has each key, and each way to write it.
func TestParse(t *testing.T) {
	t.Parallel()
	ignored := func(r Rule) Rule { r.Ignore = true; return r }
	for text, c := range map[string]struct {
		want  Rule
		canon string // empty: the text
	}{
		"type:Node,ignore:true":                               {ignored(Rule{Types: []string{"Node"}}), ""},
		"type:Node|NodeBMC,ignore:true":                       {ignored(Rule{Types: []string{"Node", "NodeBMC"}}), ""},
		"id:x3000c0s0b0n0,ignore:true":                        {ignored(Rule{IDs: []string{"x3000c0s0b0n0"}}), ""},
		"id_set:x3000c0s[0-3,7,10-12]b0n[0-1]|x1,ignore:true": {ignored(Rule{IDSets: []string{"x3000c0s[0-3,7,10-12]b0n[0-1]", "x1"}}), ""},
		`id_set:"x1c[0,1],x2c[00-10]|x3",ignore:true`:         {ignored(Rule{IDSets: []string{"x1c[0,1]", "x2c[00-10]", "x3"}}), "id_set:x1c[0,1]|x2c[00-10]|x3,ignore:true"},
		"subnet:192.0.2.0/24|2001:DB8::/32,ignore:true":       {ignored(Rule{Subnets: prefixes("192.0.2.0/24", "2001:db8::/32")}), "subnet:192.0.2.0/24|2001:db8::/32,ignore:true"},
		"role:Compute,subrole:Worker,class:River,arch:X86,state:Ready,ignore:true": {
			ignored(Rule{Roles: []string{"Compute"}, SubRoles: []string{"Worker"}, Classes: []string{"River"}, Archs: []string{"X86"}, States: []string{"Ready"}}), "",
		},
		"mac:02-00-AB|02:00:00:00:00:01|04,ignore:true": {
			ignored(Rule{MACs: []MACs{{[6]byte{2, 0, 0xab}, 3}, {[6]byte{2, 0, 0, 0, 0, 1}, 6}, {[6]byte{4}, 1}}}), "mac:02:00:ab|02:00:00:00:00:01|04,ignore:true",
		},
		"giaddr:192.0.2.1|198.51.100.0/24|2001:db8::1,ignore:true": {ignored(Rule{Giaddrs: prefixes("192.0.2.1/32", "198.51.100.0/24", "2001:db8::1/128")}), "giaddr:192.0.2.1|198.51.100.0/24|2001:db8::1,ignore:true"},
		"bootarch:0|7|65535,ignore:true":                           {ignored(Rule{BootArchs: []uint16{0, 7, 65535}}), ""},

		"hostname:Nid{04d}{nic}.a":                  {Rule{Hostname: "Nid{04d}{nic}.a"}, ""},
		"domain:.cluster.example.org.":              {Rule{Domain: "cluster.example.org"}, "domain:cluster.example.org"},
		"domain_append:global":                      {Rule{Append: AppendGlobal}, ""},
		"domain_append:rule":                        {Rule{Append: AppendRule}, ""},
		"domain_append:global|rule":                 {Rule{Append: AppendGlobalRule}, ""},
		"domain_append:rule|global":                 {Rule{Append: AppendRuleGlobal}, ""},
		"domain_append:none":                        {Rule{Append: AppendNone}, ""},
		"routers:192.0.2.1|192.0.2.2":               {Rule{Routers: addrs("192.0.2.1", "192.0.2.2")}, ""},
		"netmask:255.255.254.0":                     {Rule{Mask: 23}, ""},
		"netmask:255.255.255.255":                   {Rule{Mask: 32}, ""},
		"netmask:128.0.0.0":                         {Rule{Mask: 1}, ""},
		"cidr:24":                                   {Rule{Mask: 24}, "netmask:255.255.255.0"},
		"cidr:/9":                                   {Rule{Mask: 9}, "netmask:255.128.0.0"},
		"cidr:192.0.2.7/30":                         {Rule{Mask: 30}, "netmask:255.255.255.252"},
		"dns:192.0.2.53|2001:db8::53":               {Rule{DNS: addrs("192.0.2.53", "2001:db8::53")}, ""},
		"ntp:192.0.2.123":                           {Rule{NTP: addrs("192.0.2.123")}, ""},
		"mtu:9000":                                  {Rule{MTU: 9000}, ""},
		"search:example.org|cluster.example.org":    {Rule{Search: []string{"example.org", "cluster.example.org"}}, ""},
		"lease_time:90s":                            {Rule{LeaseTime: 90 * time.Second}, "lease_time:1m30s"},
		"lease_time:4294967294s":                    {Rule{LeaseTime: 4294967294 * time.Second}, "lease_time:1193046h28m14s"},
		"next_server:192.0.2.9":                     {Rule{NextServer: netip.MustParseAddr("192.0.2.9")}, ""},
		"bootfile:grub/x64.efi":                     {Rule{Bootfile: "grub/x64.efi"}, ""},
		`bootfile:"a,b'c"`:                          {Rule{Bootfile: "a,b'c"}, ""},
		`bootfile:a'"'"'"b`:                         {Rule{Bootfile: `a"'b`}, `bootfile:"a"'"'"'b"`},
		"script:https://[2001:db8::1]:8080/x?a=[1]": {Rule{Script: "https://[2001:db8::1]:8080/x?a=[1]"}, ""},
		`script:"http://bss/x?a=1,b=]"`:             {Rule{Script: "http://bss/x?a=1,b=]"}, ""},
		"option:114=http://192.0.2.1/a,option:43=0x0104c0000201": {
			Rule{Options4: []Option{{43, []byte{1, 4, 0xc0, 0, 2, 1}}, {114, []byte("http://192.0.2.1/a")}}}, "option:43=0x0104c0000201,option:114=http://192.0.2.1/a",
		},
		"option:224=0X4142":                         {Rule{Options4: []Option{{224, []byte("AB")}}}, "option:224=AB"},
		"option:224=0x3078":                         {Rule{Options4: []Option{{224, []byte("0x")}}}, ""},
		`option:224="a,b=c:d"`:                      {Rule{Options4: []Option{{224, []byte("a,b=c:d")}}}, `option:"224=a,b=c:d"`},
		"option6:41=GMT,option6:999=é":              {Rule{Options6: []Option{{41, []byte("GMT")}, {999, []byte("é")}}}, "option6:41=GMT,option6:999=0xc3a9"},
		"ignore:true,name:no-bmc_1.a":               {Rule{Name: "no-bmc_1.a", Ignore: true}, "name:no-bmc_1.a,ignore:true"},
		"mtu:68,ignore:false":                       {Rule{MTU: 68}, "mtu:68"},
		"mtu:68,continue:true,log:none":             {Rule{MTU: 68, Continue: true, Log: None}, ""},
		"mtu:68,continue:false,log:info":            {Rule{MTU: 68, Log: Info}, "mtu:68,log:info"},
		"log:debug,mtu:65535":                       {Rule{MTU: 65535, Log: Debug}, "mtu:65535,log:debug"},
		`"type:Node,id_set:'x1n[0-1],x2',mtu:1500"`: {Rule{Types: []string{"Node"}, IDSets: []string{"x1n[0-1]", "x2"}, MTU: 1500}, "type:Node,id_set:x1n[0-1]|x2,mtu:1500"},
		`'type:"Node",mtu:1500'`:                    {Rule{Types: []string{"Node"}, MTU: 1500}, "type:Node,mtu:1500"},
		`"type:Node","mtu:1500"`:                    {Rule{Types: []string{"Node"}, MTU: 1500}, "type:Node,mtu:1500"},
		`type:"Node"|'NodeBMC',mtu:"1500"`:          {Rule{Types: []string{"Node", "NodeBMC"}, MTU: 1500}, "type:Node|NodeBMC,mtu:1500"},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := diff(c.want, got); diff != "" {
				t.Errorf("rule (-want +got):\n%s", diff)
			}
			canon := c.canon
			if canon == "" {
				canon = text
			}
			if got.String() != canon {
				t.Errorf("canonical form %s, want %s", got, canon)
			}
			again, err := Parse(got.String())
			if err != nil {
				t.Fatalf("the canonical form %s: %v", got, err)
			}
			if diff := diff(got, again); diff != "" {
				t.Errorf("rule from its canonical form (-want +got):\n%s", diff)
			}
		})
	}
}

// TestMistakes has each line of testdata/mistakes.txt refused. The golden file
// has the texts.
func TestMistakes(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile("testdata/mistakes.txt")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(list)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			b.WriteString(line + "\n")
			continue
		}
		text := strings.ReplaceAll(line, "A300", strings.Repeat("a", 300))
		r, err := Parse(strings.ReplaceAll(text, "A63", strings.Repeat("a", 63)))
		if err == nil {
			t.Errorf("%s: taken as %s", line, r)
			continue
		}
		if diff := diff(Rule{}, r); diff != "" {
			t.Errorf("%s: an error and a rule (-want +got):\n%s", line, diff)
		}
		b.WriteString("rule=" + line + "\n")
		for mistake := range strings.SplitSeq(err.Error(), "\n") {
			b.WriteString("    " + mistake + "\n")
		}
	}
	dhcptest.Golden(t, "mistakes", b.String())
}

// TestUnprintable has what the list of mistakes cannot hold.
func TestUnprintable(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"mtu:1500,bootfile:a\nb", "mtu:1500,bootfile:\xff", "bootfile:\x00"} {
		_, err := Parse(text)
		if want := "a character that cannot be printed; wanted KEY:VALUE[,KEY:VALUE]"; err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// FuzzParse has any text: no panic, an error of printable lines, or a rule whose
// canonical form makes an equal rule and is its own canonical form.
func FuzzParse(f *testing.F) {
	list, err := os.ReadFile("testdata/mistakes.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(list)) {
		f.Add(strings.TrimSuffix(line, "\n"))
	}
	for _, seed := range []string{
		"name:a,type:Node|NodeBMC,id:x1|x2,id_set:x[0-3,07]n[1],subnet:192.0.2.0/24|2001:db8::/32,role:a,subrole:b,class:c,arch:d,state:e,mac:02:00|04,giaddr:192.0.2.1|2001:db8::/64,bootarch:7|9,hostname:a{04d}{d}{id}{parent}{type}{role}{mac}{nic},domain:example.org,domain_append:rule|global,continue:true",
		"routers:192.0.2.1,netmask:255.255.0.0,dns:2001:db8::1,ntp:192.0.2.1,mtu:1500,search:a.b|c,lease_time:1h,next_server:192.0.2.2,bootfile:x,script:http://a/b,option:43=0x0102,option:60=a,option6:60=b,log:info",
		`'bootfile:"a,b",cidr:/24'`, `bootfile:a'"'"'"b,option:224="0x`, "ignore:true,log:none",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Parse(text)
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if strings.TrimSpace(line) == "" {
					t.Errorf("an empty line in the error %q", err)
				}
			}
			return
		}
		again, err := Parse(r.String())
		if err != nil {
			t.Fatalf("%s is the canonical form of %q: %v", r, text, err)
		}
		if diff := diff(r, again); diff != "" {
			t.Errorf("%s is the canonical form of %q (-want +got):\n%s", r, text, diff)
		}
		if again.String() != r.String() {
			t.Errorf("canonical forms %s and %s", r, again)
		}
		if _, err := New([]Rule{r}, Options{}); err != nil {
			t.Errorf("%s cannot be compiled: %v", r, err)
		}
	})
}

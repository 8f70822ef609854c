package coresmd

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/rule"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// A ruled row is an exchange under rules: the words behind the common ones, and
// the fields of the log line behind the address.
type ruled struct {
	words  string
	mac    string
	kind   dhcpv4.MessageType
	with   []dhcpv4.Modifier
	result string
	line   string // level, verdict, and what stands behind ip and giaddr
}

var ruledRows = map[string]ruled{
	"name": {
		"rule=type:Node,hostname:node-{05d}", node, discover, nil, "reply",
		`info OFFER hostname="node-00001" rule="rule 1"`,
	},
	"second-interface": {
		"rule=type:Node,hostname:nid{04d}{nic}", twoNets, discover, nil, "reply",
		`info OFFER hostname="nid0001-nic1" rule="rule 1"`,
	},
	"bmc-has-the-number-of-its-node": {
		"rule=name:bmcs,type:NodeBMC,hostname:bmc{04d} domain=example.org", bmc, discover, nil, "reply",
		`info OFFER hostname="bmc0001.example.org" rule="bmcs"`,
	},
	"no-rule-matches": {
		"rule=type:NodeBMC,hostname:bmc{04d} domain=example.org", node, discover, nil, "reply",
		`info OFFER hostname="unknown-0001.example.org"`,
	},
	"no-rule-matches-default": {
		"rule=type:NodeBMC,hostname:bmc{04d} hostname_default=any-{id}", node, discover, nil, "reply",
		`info OFFER hostname="any-x3000c0s0b0n0"`,
	},
	"rule-without-a-name": {
		"rule=routers:192.0.2.253", node, discover, nil, "reply",
		`info OFFER hostname="nid0001" rule="rule 1"`,
	},
	"name-that-cannot-be-made": {
		"rule=hostname:{role}-{04d}", v6First, discover, nil, "reply",
		`info OFFER rule="rule 1" reason="no role for {role}"`,
	},
	"domains": {
		"domain=example.org rule=hostname:a,domain:rack.example.com,domain_append:rule|global", node, discover, nil, "reply",
		`info OFFER hostname="a.rack.example.com.example.org" rule="rule 1"`,
	},
	"domain-of-the-rule": {
		"domain=example.org rule=hostname:a,domain:example.com", node, discover, nil, "reply",
		`info OFFER hostname="a.example.com" rule="rule 1"`,
	},
	"bare-name": {
		"domain=example.org rule=hostname:a,domain_append:none", node, discover, nil, "reply",
		`info OFFER hostname="a" rule="rule 1"`,
	},
	"routers-and-mask": {
		"rule=routers:192.0.2.253|192.0.2.252,netmask:255.255.252.0", node, discover, nil, "reply",
		`info OFFER hostname="nid0001" rule="rule 1"`,
	},
	"rule-goes-before-network": {
		"subnet=192.0.2.0/24,router:192.0.2.254,dns:192.0.2.53 rule=subnet:192.0.0.0/16,routers:192.0.2.253,dns:192.0.2.54|2001:db8::54,cidr:20", node, discover, nil, "reply",
		`info OFFER hostname="nid0001" rule="rule 1"`,
	},
	"mask-of-the-subnet": {
		"rule=subnet:192.0.0.0/20|198.51.0.0/16,hostname:a", node, discover, nil, "reply",
		`info OFFER hostname="a" rule="rule 1"`,
	},
	"mask-of-the-network-inside": {
		"subnet=192.0.2.0/25 rule=subnet:192.0.0.0/20,hostname:a", node, discover, nil, "reply",
		`info OFFER hostname="a" rule="rule 1"`,
	},
	"address-of-where-it-asks-from": {
		"rule=name:near,subnet:192.0.2.0/24,hostname:near rule=name:far,subnet:198.51.100.0/24,hostname:far,routers:198.51.100.1", twoNets, discover, mods(relay("198.51.100.1")), "reply",
		`info OFFER hostname="far" rule="far"`,
	},
	"address-of-where-it-asks-from-directly": {
		"rule=name:near,subnet:192.0.2.0/24,hostname:near rule=name:far,subnet:198.51.100.0/24,hostname:far,routers:198.51.100.1", twoNets, discover, nil, "reply",
		`info OFFER hostname="near" rule="near"`,
	},
	"network-of-the-other-family": {
		"subnet=2001:db8:1::/64 rule=subnet:2001:db8::/64,hostname:six", node, discover, nil, "reply",
		`info OFFER hostname="unknown-0001"`,
	},
	"relay-in-no-network": {
		"rule=subnet:192.0.2.0/24,hostname:near", node, discover, mods(relay("203.0.113.1")), "silence",
		`info no reply reason="no address of the client's network in SMD: relay address 203.0.113.1"`,
	},
	"relay-in-no-network-but-beside": { // the mask of an earlier plugin is 24 bits long
		"subnet=192.0.2.0/25 rule=type:Node,hostname:a", twoNets, discover, mods(relay("198.51.100.1")), "reply",
		`info OFFER hostname="a" rule="rule 1"`,
	},
	"relay-beside-by-the-mask-of-a-rule": {
		"subnet=203.0.113.0/24 rule=type:Node,hostname:a,cidr:8", twoNets, discover, mods(relay("198.18.0.1")), "reply",
		`info OFFER hostname="a" rule="rule 1"`,
	},
	"lease-time": {
		"lease_time=1h rule=type:Node,lease_time:10m", node, request, mods(ciaddr("192.0.2.11")), "reply",
		`info ACK hostname="nid0001" rule="rule 1"`,
	},
	"inform-has-no-lease-time": {
		"rule=type:Node,lease_time:10m,mtu:9000", node, inform, mods(ciaddr("192.0.2.11")), "reply",
		`info ACK hostname="nid0001" rule="rule 1"`,
	},
	"what-else": {
		`rule=ntp:192.0.2.123|2001:db8::123,mtu:9000,search:example.org|example.com,option:252="http://192.0.2.1/a,b",option:224=0x0102ff`, node, discover, nil, "reply",
		`info OFFER hostname="nid0001" rule="rule 1"`,
	},
	"loader-of-the-rule": {
		"rule=bootarch:6|7,bootfile:snponly.efi,next_server:192.0.2.9", node, discover, mods(pxe(iana.EFI_X86_64)), "reply",
		`info OFFER hostname="nid0001" bootfile="snponly.efi" rule="rule 1"`,
	},
	"loader-of-another-architecture": {
		"rule=bootarch:6|7,bootfile:snponly.efi,next_server:192.0.2.9", node, discover, mods(pxe(iana.EFI_ARM64)), "reply",
		`info OFFER hostname="unknown-0001" bootfile="ipxe-arm64.efi"`,
	},
	"loader-is-not-for-ipxe": {
		"rule=bootfile:snponly.efi,script:https://boot.example.org/s?x=y", node, discover, mods(raw(77, 'i', 'P', 'X', 'E')), "reply",
		`info OFFER hostname="nid0001" bootfile="https://boot.example.org/s?x=y&mac=02:00:00:00:00:01" rule="rule 1"`,
	},
	"continue": {
		"rule=name:all,dns:192.0.2.54,mtu:1400,lease_time:10m,option:224=a,option:225=b,continue:true rule=name:nodes,type:Node,mtu:9000,option:225=c,hostname:n{04d} rule=name:never,hostname:never", node, discover, nil, "reply",
		`info OFFER hostname="n0001" rule="all, nodes"`,
	},
	"by-what-SMD-says": {
		"rule=role:management,hostname:a rule=role:COMPUTE,state:ready,mac:02-00-00,hostname:b", node, discover, nil, "reply",
		`info OFFER hostname="b" rule="rule 2"`,
	},
	"by-relay": {
		"rule=giaddr:192.0.2.254,hostname:relayed", node, discover, mods(relay("192.0.2.254")), "reply",
		`info OFFER hostname="relayed" rule="rule 1"`,
	},
	"ignored": {
		"rule=name:not-this,id:X3000C0S0B0N0,ignore:true", node, discover, nil, "silence",
		`info no reply rule="not-this" reason="ignored by a rule"`,
	},
	"ignored-without-an-address": {
		"rule=name:not-this,id:x3000c0s1b0n0,ignore:true", noAddrs, discover, nil, "silence",
		`info no reply rule="not-this" reason="ignored by a rule"`,
	},
	"ignored-debug": {
		"rule=id:x3000c0s0b0n0,ignore:true,log:debug", node, request, mods(ciaddr("192.0.2.11")), "silence",
		`debug no reply rule="rule 1" reason="ignored by a rule"`,
	},
	"ignored-release": {
		"rule=id:x3000c0s0b0n0,ignore:true", node, release, mods(ciaddr("192.0.2.201"), serverID("192.0.2.1")), "silence",
		`info no reply rule="rule 1" reason="ignored by a rule"`,
	},
	"without-an-address": {
		"rule=hostname:a", noAddrs, discover, nil, "passed",
		`debug passed on rule="rule 1" reason="no usable address in SMD"`,
	},
	"unknown-machine": {
		"rule=ignore:true", strange, discover, nil, "passed",
		`debug passed on reason="unknown machine"`,
	},
	"another-address": {
		"rule=name:nodes,type:Node,hostname:a", node, request, mods(ciaddr("192.0.2.201")), "reply",
		`info NAK rule="nodes" reason="not its address: 192.0.2.11 is"`,
	},
	"rule-log-none": {
		"rule_log=none rule=hostname:a", node, discover, nil, "reply",
		`info OFFER hostname="a"`,
	},
	"rule-says-log": {
		"rule_log=none rule=hostname:a,log:info", node, discover, nil, "reply",
		`info OFFER hostname="a" rule="rule 1"`,
	},
	"rule-says-none": {
		"rule_log=info rule=hostname:a,log:none", node, discover, nil, "reply",
		`info OFFER hostname="a"`,
	},
	"node-pattern": {
		"node_pattern=n{06d}", node, discover, nil, "reply",
		`info OFFER hostname="n000001" rule="rule 1"`,
	},
	"node-pattern-of-a-bmc": {
		"node_pattern=n{06d}", bmc, discover, nil, "reply",
		`info OFFER`,
	},
	"bmc-pattern": {
		"bmc_pattern=bmc{04d}", bmc, discover, nil, "reply",
		`info OFFER hostname="bmc0001" rule="rule 1"`,
	},
	"bmc-pattern-of-a-node": {
		"bmc_pattern=bmc{04d}", node, discover, nil, "reply",
		`info OFFER hostname="nid0001" rule="rule 2"`,
	},
	"by-type": {
		"hostname_by_type=Node:n{02d} hostname_by_type=NodeBMC:b-{id}", bmc, discover, nil, "reply",
		`info OFFER hostname="b-x3000c0s0b0" rule="rule 2"`,
	},
	"by-type-of-another": {
		"hostname_by_type=Node:n{02d} domain=example.org", bmc, discover, nil, "reply",
		`info OFFER hostname="unknown-0001.example.org"`,
	},
}

// TestRules has whole replies under rules.
func TestRules(t *testing.T) {
	rec := dhcptest.NewRecord(t, "rules", len(ruledRows))
	for name, r := range ruledRows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := known(t, strings.Fields(r.words)...)
			req := dhcptest.Request4(t, r.mac, r.kind, r.with...)
			reply, ended := dhcptest.Exchange4(t, req, dhcptest.ServerID("192.0.2.1"), earlier(), b.handle)
			if got := result(reply, ended); got != r.result {
				t.Errorf("result %q, want %q", got, r.result)
			}
			if r.result == "reply" && reply != nil {
				dhcptest.Golden(t, "rules/"+name, reply.Summary())
			}
			b.recordTo(rec, "rules/"+name, req, reply, ended)
			if diff := cmp.Diff(r.line, b.ruleLine()); diff != "" {
				t.Errorf("log line (-want +got):\n%s", diff)
			}
		})
	}
}

// ruleLine is the last line of the log without the fields that say who asked
// what.
func (b bench) ruleLine() string {
	e := b.log.LastEntry()
	text := fmt.Sprintf("%v %s", e.Level, e.Message)
	for _, name := range []string{"hostname", "bootfile", "rule", "reason"} {
		if v, ok := e.Data[name]; ok {
			text += fmt.Sprintf(" %s=%q", name, v)
		}
	}
	return text
}

// TestRuleLogNone has a machine that is ignored without a line at any level.
func TestRuleLogNone(t *testing.T) {
	t.Parallel()
	b := known(t, "rule=ignore:true,log:none")
	b.log.Reset()
	reply, ended := dhcptest.Exchange4(t, dhcptest.Request4(t, node, discover), dhcptest.ServerID("192.0.2.1"), b.handle)
	if reply != nil || !ended || len(b.log.AllEntries()) > 0 {
		t.Errorf("%v %v, line %q", reply, ended, b.line())
	}
}

// TestRulesInLint has a rule under which all machines get one name: the check of
// the inventory tells of it.
func TestRulesInLint(t *testing.T) {
	t.Parallel()
	b := known(t, "rule=type:Node,hostname:node", "rule=hostname:bmc")
	var got []string
	for _, f := range b.plugin.cache.Status().Faults {
		if strings.HasPrefix(string(f.Kind), "name-") {
			got = append(got, f.String())
		}
	}
	want := []string{
		"02:00:00:00:00:03 (x3000c0s1b0n0): host name node is also that of x3000c0s0b0n0",
		"02:00:00:00:00:04 (x3000c0s1b0n0): host name node is also that of x3000c0s0b0n0",
		"02:00:00:00:00:07 (x3000c0s1b0n0): host name node is also that of x3000c0s0b0n0",
		"02:00:00:00:00:05 (x3000c0s1b0n0): host name node is also that of x3000c0s0b0n0",
		"02:00:00:00:00:06 (x3000c0s1b0n0): host name node is also that of x3000c0s0b0n0",
		"02:00:00:00:00:02 (x3000c0s0b0n0): host name node is also that of another interface of its component; it is the first such interface ({nic} in a pattern tells them apart)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
}

// BenchmarkRules has 100 rules of which the last one matches, for 10,000
// different machines, beside reading the packet that asks.
func BenchmarkRules(b *testing.B) {
	octets := relayedPXE(b)
	b.Run("FromBytes", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := dhcpv4.FromBytes(octets); err != nil {
				b.Fatal(err)
			}
		}
	})
	kinds := []string{
		"type:Node,subnet:10.%d.0.0/16", "type:NodeBMC,id_set:x%dc0s[0-7]b0", "role:Service,mac:06:00:%02x", "id_set:x%dc[0-3]s[0-31]b[0-1]n[0-1]", "class:Hill,giaddr:10.%d.0.1",
	}
	var rules []rule.Rule
	for i := range 99 {
		rules = append(rules, parseRule(b, fmt.Sprintf(kinds[i%len(kinds)], 100+i)+",hostname:other-{04d}"))
	}
	rules = append(rules, parseRule(b, "type:Node,role:Compute,subnet:10.1.0.0/16,hostname:nid{05d},routers:10.1.0.1"))
	set, err := rule.New(rules, rule.Options{Domain: "cluster.example.org", Default: unmatched})
	if err != nil {
		b.Fatal(err)
	}
	machines := make([]rule.Facts, 10_000)
	for i := range machines {
		machines[i] = rule.Facts{
			MAC: [6]byte{2, 0, 0, 1, byte(i >> 8), byte(i)}, ID: fmt.Sprintf("x%dc%ds%db%dn%d", 3000+i/512, i/64%8, i/4%16, i/2%2, i%2),
			Type: "Node", Role: "Compute", Class: "River", Arch: "X86", State: "Ready", NID: uint64(i), HasNID: true,
			Addr: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), Giaddr: netip.AddrFrom4([4]byte{10, 1, 0, 1}), BootArchs: []uint16{7},
		}
	}
	b.Run("Decide", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if d := set.Decide(&machines[i%len(machines)]); d.Matched.At(0) != 99 {
				b.Fatalf("rule %d", d.Matched.At(0))
			}
		}
	})
}

func parseRule(tb testing.TB, text string) rule.Rule {
	tb.Helper()
	r, err := rule.Parse(text)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// TestRuleAllocations holds the handler to its usual number of allocations under
// rules.
func TestRuleAllocations(t *testing.T) {
	holdAllocations(t, known(t, "rule=name:all,mtu:9000,continue:true", "rule=type:Node,subnet:192.0.2.0/24,bootarch:7,hostname:nid{04d},routers:192.0.2.254"))
}

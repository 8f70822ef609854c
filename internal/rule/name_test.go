package rule

import (
	"math"
	"strings"
	"testing"
)

func TestName(t *testing.T) {
	t.Parallel()
	node := Facts{MAC: [6]byte{2, 0, 0, 0xAB, 0, 1}, ID: "x3000c0s0b0n0", Type: "Node", Role: "Compute", NID: 42, HasNID: true}
	a := strings.Repeat("a", 63)
	for name, c := range map[string]struct {
		rule   string
		domain string // the global one
		change func(*Facts)
		want   string // "!" before why there is no name
	}{
		"literal":                {"hostname:Login-1.a", "", nil, "Login-1.a"},
		"number":                 {"hostname:nid{04d}", "", nil, "nid0042"},
		"number without zero":    {"hostname:nid{4d}", "", nil, "nid0042"},
		"number without width":   {"hostname:nid{d}", "", nil, "nid42"},
		"number 0":               {"hostname:nid{02d}", "", func(f *Facts) { f.NID = 0 }, "nid00"},
		"longer than its width":  {"hostname:nid{1d}", "", nil, "nid42"},
		"20 digits":              {"hostname:{020d}", "", func(f *Facts) { f.NID = math.MaxUint64 }, "18446744073709551615"},
		"width 20":               {"hostname:{20d}", "", nil, "00000000000000000042"},
		"no number":              {"hostname:nid{04d}", "", func(f *Facts) { f.HasNID = false }, "!no node number for {04d}"},
		"no number, no width":    {"hostname:nid{d}", "", func(f *Facts) { f.HasNID = false }, "!no node number for {d}"},
		"id":                     {"hostname:{id}", "", func(f *Facts) { f.ID = "X3000C0S0B0N0" }, "x3000c0s0b0n0"},
		"no id":                  {"hostname:{id}", "", func(f *Facts) { f.ID = "" }, "!no id for {id}"},
		"id that is no label":    {"hostname:{id}", "", func(f *Facts) { f.ID = "x_1" }, "!{id} holds a character that is not for host names"},
		"id with a dot":          {"hostname:{id}", "", func(f *Facts) { f.ID = "x.1" }, "!{id} holds a character that is not for host names"},
		"id with an octet":       {"hostname:{id}", "", func(f *Facts) { f.ID = "x\xff" }, "!{id} holds a character that is not for host names"},
		"id with a hyphen last":  {"hostname:{id}", "", func(f *Facts) { f.ID = "x-" }, "!a label of the name ends with a hyphen"},
		"id with a hyphen first": {"hostname:{id}", "", func(f *Facts) { f.ID = "-x" }, "!a label of the name begins with a hyphen"},
		"id of 64":               {"hostname:{id}", "", func(f *Facts) { f.ID = strings.Repeat("x", 64) }, "!a label of the name is longer than 63 characters"},
		"id of 63":               {"hostname:{id}", "", func(f *Facts) { f.ID = a }, a},
		"id of 1000":             {"hostname:{id}", "", func(f *Facts) { f.ID = strings.Repeat("x", 1000) }, "!longer than 253 characters"},
		"parent":                 {"hostname:{parent}-n", "", nil, "x3000c0s0b0-n"},
		"parent of a BMC":        {"hostname:{parent}", "", func(f *Facts) { f.ID = "x3000c0s12b0" }, "x3000c0s12"},
		"parent of a cabinet":    {"hostname:{parent}", "", func(f *Facts) { f.ID = "x3000" }, "!no parent for {parent}"},
		"type":                   {"hostname:{type}-1", "", func(f *Facts) { f.Type = "NodeBMC" }, "nodebmc-1"},
		"no type":                {"hostname:{type}-1", "", func(f *Facts) { f.Type = "" }, "!no type for {type}"},
		"role":                   {"hostname:{role}{d}", "", nil, "compute42"},
		"no role":                {"hostname:{role}{d}", "", func(f *Facts) { f.Role = "" }, "!no role for {role}"},
		"role of two words":      {"hostname:{role}{d}", "", func(f *Facts) { f.Role = "Big Memory" }, "!{role} holds a character that is not for host names"},
		"mac":                    {"hostname:{mac}", "", nil, "020000ab0001"},
		"first interface":        {"hostname:n{d}{nic}", "", nil, "n42"},
		"second interface":       {"hostname:n{d}{nic}", "", func(f *Facts) { f.NIC = 1 }, "n42-nic1"},
		"eleventh interface":     {"hostname:n{d}{nic}.a", "", func(f *Facts) { f.NIC = 10 }, "n42-nic10.a"},
		"interface in front":     {"hostname:{d}{nic}x", "", func(f *Facts) { f.NIC = 1 }, "42-nic1x"},
		"every placeholder":      {"hostname:a{02d}b{id}c{parent}d{type}e{role}.f{mac}g{nic}", "", nil, "a42bx3000c0s0b0n0cx3000c0s0b0dnodeecompute.f020000ab0001g"},

		"global domain":             {"hostname:n", "example.org", nil, "n.example.org"},
		"domain of the rule":        {"hostname:n,domain:rule.example.org", "example.org", nil, "n.rule.example.org"},
		"only of the rule":          {"hostname:n,domain:rule.example.org", "", nil, "n.rule.example.org"},
		"append global":             {"hostname:n,domain:r.org,domain_append:global", "g.org", nil, "n.g.org"},
		"append rule":               {"hostname:n,domain:r.org,domain_append:rule", "g.org", nil, "n.r.org"},
		"append global|rule":        {"hostname:n,domain:r.org,domain_append:global|rule", "g.org", nil, "n.g.org.r.org"},
		"append rule|global":        {"hostname:n,domain:r.org,domain_append:rule|global", "g.org", nil, "n.r.org.g.org"},
		"append none":               {"hostname:n,domain:r.org,domain_append:none", "g.org", nil, "n"},
		"append rule without one":   {"hostname:n,domain_append:rule", "g.org", nil, "n"},
		"append both without one":   {"hostname:n,domain_append:rule|global", "g.org", nil, "n.g.org"},
		"append global without one": {"hostname:n,domain:r.org,domain_append:global", "", nil, "n"},
		"domain, built-in name":     {"domain:r.org", "g.org", nil, "nid0042.r.org"},
		"append, built-in name":     {"domain_append:none", "g.org", nil, "nid0042"},
		"dots around the global":    {"hostname:n", ".g.org.", nil, "n.g.org"},
		"253 characters":            {"hostname:{id}.n,domain:" + a + "." + a + ".a", a[:59], func(f *Facts) { f.ID = a }, a + ".n." + a + "." + a + ".a"},
		"254 characters with both":  {"hostname:{id},domain:" + a + "." + a + ",domain_append:rule|global", a[:62], func(f *Facts) { f.ID = a }, "!longer than 253 characters"},
		"253 characters with both":  {"hostname:{id},domain:" + a + "." + a + ",domain_append:rule|global", a[:61], func(f *Facts) { f.ID = a }, a + "." + a + "." + a + "." + a[:61]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := node
			if c.change != nil {
				c.change(&f)
			}
			d := set(t, Options{Domain: c.domain}, c.rule).Decide(&f)
			got := d.Hostname
			if d.NoName != "" {
				got += "!" + d.NoName
			}
			if got != c.want {
				t.Errorf("name %q, want %q", got, c.want)
			}
		})
	}
}

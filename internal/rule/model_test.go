package rule

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// This file holds a second evaluator that is as plain as can be: rules as lists
// of conditions and settings, all rules walked, all names made with Sprintf.

// A spec is a rule of the model and its text.
type spec struct {
	conditions []func(Facts) bool
	settings   map[string]string // by key; options by key and code
	text       []string
	goOn       bool
}

// pick takes one to three of the words.
func pick(r *rand.Rand, words ...string) []string {
	var taken []string
	for range 1 + r.IntN(3) {
		taken = append(taken, words[r.IntN(len(words))])
	}
	return taken
}

func (s *spec) match(key string, values []string, holds func(f Facts, value string) bool) {
	s.text = append(s.text, key+":"+strings.Join(values, "|"))
	s.conditions = append(s.conditions, func(f Facts) bool {
		return slices.ContainsFunc(values, func(v string) bool { return holds(f, v) })
	})
}

func (s *spec) tell(key, value string) {
	s.text = append(s.text, key+":"+value)
	s.settings[key] = value
}

func equal(of func(Facts) string) func(Facts, string) bool {
	return func(f Facts, v string) bool { return strings.EqualFold(of(f), v) }
}

func inNetwork(a netip.Addr, network string) bool {
	return a.IsValid() && netip.MustParsePrefix(network).Contains(a)
}

func randomSpec(r *rand.Rand) *spec {
	s := &spec{settings: make(map[string]string)}
	maybe := func(n int) bool { return r.IntN(n) == 0 }
	if maybe(2) {
		s.match("type", pick(r, "Node", "NODEBMC", "RouterBMC"), equal(func(f Facts) string { return f.Type }))
	}
	if maybe(4) {
		s.match("role", pick(r, "Compute", "service"), equal(func(f Facts) string { return f.Role }))
	}
	if maybe(6) {
		s.match("subrole", pick(r, "Worker", "Master"), equal(func(f Facts) string { return f.SubRole }))
	}
	if maybe(6) {
		s.match("class", pick(r, "River", "Mountain"), equal(func(f Facts) string { return f.Class }))
	}
	if maybe(6) {
		s.match("arch", pick(r, "X86", "ARM"), equal(func(f Facts) string { return f.Arch }))
	}
	if maybe(6) {
		s.match("state", pick(r, "On", "Ready"), equal(func(f Facts) string { return f.State }))
	}
	if maybe(4) {
		s.match("id_set", pick(r, "x[1-2]b0", "x[1-3]b0n[0-1]", "X2b[0,0]n1", "x3b0n[01-02]"), func(f Facts, v string) bool {
			return slices.Contains(expand(strings.ToLower(v)), strings.ToLower(f.ID))
		})
	}
	if maybe(8) {
		s.match("id", pick(r, "x1b0n0", "X1B0"), equal(func(f Facts) string { return f.ID }))
	}
	if maybe(4) {
		s.match("subnet", pick(r, "192.0.2.0/24", "192.0.2.0/25", "198.51.100.0/24", "2001:db8::/64"), func(f Facts, v string) bool { return inNetwork(f.Addr, v) })
	}
	if maybe(8) {
		s.match("giaddr", pick(r, "192.0.2.1", "198.51.100.0/24"), func(f Facts, v string) bool {
			return f.Giaddr.IsValid() && (v == f.Giaddr.String() || strings.Contains(v, "/") && inNetwork(f.Giaddr, v))
		})
	}
	if maybe(6) {
		s.match("mac", pick(r, "02:00", "02:00:00:00:00:01", "04"), func(f Facts, v string) bool {
			return strings.HasPrefix(strings.ReplaceAll(fmt.Sprintf("% x", f.MAC), " ", ":"), v)
		})
	}
	if maybe(8) {
		s.match("bootarch", pick(r, "0", "7", "11"), func(f Facts, v string) bool {
			return slices.ContainsFunc(f.BootArchs, func(a uint16) bool { return fmt.Sprint(a) == v })
		})
	}
	s.actions(r)
	r.Shuffle(len(s.text), func(i, j int) { s.text[i], s.text[j] = s.text[j], s.text[i] })
	return s
}

func (s *spec) actions(r *rand.Rand) {
	if r.IntN(12) == 0 {
		s.tell("ignore", "true")
		return
	}
	for _, one := range [][]string{
		{"hostname", "a{03d}", "b-{id}", "c{role}{nic}", "{parent}.d"},
		{"domain", "r.org", "s.org"},
		{"domain_append", "global", "rule", "global|rule", "rule|global", "none"},
		{"mtu", "1500", "9000"},
		{"netmask", "255.255.0.0"},
		{"cidr", "24"},
		{"routers", "192.0.2.1", "192.0.2.2|192.0.2.3"},
		{"dns", "192.0.2.53", "2001:db8::53"},
		{"ntp", "192.0.2.4"},
		{"search", "a.b|c", "d"},
		{"lease_time", "1m0s", "1h0m0s"},
		{"next_server", "192.0.2.5", "192.0.2.6"},
		{"bootfile", "x", "y"},
		{"script", "http://a/b", "https://c"},
	} {
		key, values := one[0], one[1:]
		if r.IntN(4) == 0 && (key != "cidr" || s.settings["netmask"] == "") {
			s.tell(key, values[r.IntN(len(values))])
		}
	}
	for _, code := range []string{"43", "114"} {
		if r.IntN(5) == 0 {
			value := string("ab"[r.IntN(2)])
			s.text = append(s.text, "option:"+code+"="+value)
			s.settings["option "+code] = value
		}
	}
	if len(s.settings) == 0 {
		s.tell("mtu", "1400")
	}
	if r.IntN(3) == 0 {
		s.text = append(s.text, "log:"+[]string{"info", "debug", "none"}[r.IntN(3)])
		s.settings["log"] = s.text[len(s.text)-1][4:]
	}
	if s.goOn = r.IntN(2) == 0; s.goOn {
		s.text = append(s.text, "continue:true")
	}
}

func randomFacts(r *rand.Rand) Facts {
	word := func(words ...string) string { return words[r.IntN(len(words))] }
	f := Facts{
		MAC: [6]byte{byte(2 + 2*r.IntN(2)), 0, 0, 0, 0, byte(r.IntN(2))}, ID: word("x1b0", "x1b0n0", "X2b0n1", "x3b0n02", ""), Type: word("Node", "NodeBMC", "routerbmc", "X", ""),
		Role: word("Compute", "Service", "", "a_b"), SubRole: word("worker", ""), Class: word("River", "mountain"), Arch: word("X86", "Other"), State: word("Ready", "Off"),
		NID: uint64(r.IntN(2000)), HasNID: r.IntN(3) > 0, NIC: r.IntN(3), BootArchs: [][]uint16{nil, {0}, {9, 7}}[r.IntN(3)],
	}
	if r.IntN(4) > 0 {
		f.Addr = netip.MustParseAddr(word("192.0.2.7", "192.0.2.200", "198.51.100.1", "2001:db8::1"))
	}
	if r.IntN(2) > 0 {
		f.Giaddr = netip.MustParseAddr(word("192.0.2.1", "198.51.100.1"))
	}
	return f
}

// decide evaluates the rules of the model. The settings that nobody made are
// missing; ignore leaves the rest out of account.
func decide(specs []*spec, f Facts) (settings map[string]string, matched []int) {
	settings = make(map[string]string)
	for i, s := range specs {
		if slices.ContainsFunc(s.conditions, func(holds func(Facts) bool) bool { return !holds(f) }) {
			continue
		}
		matched = append(matched, i)
		for key, value := range s.settings {
			settings[key] = value
		}
		if value, ok := s.settings["cidr"]; ok {
			settings["mask"] = value
		}
		if _, ok := s.settings["netmask"]; ok {
			settings["mask"] = "16"
		}
		if !s.goOn {
			break
		}
	}
	return settings, matched
}

// nameOf makes the name of a machine the model's way; "" where there is none.
func nameOf(settings map[string]string, matched bool, f Facts) string {
	pattern, ok := settings["hostname"]
	switch {
	case ok:
	case !matched:
		pattern = "unknown-{02d}"
	case f.Type == "Node" && f.HasNID:
		pattern = "nid{04d}"
	default:
		return ""
	}
	id := strings.ToLower(f.ID)
	parent := strings.TrimRight(strings.TrimRight(id, "0123456789"), "bnx")
	lacking := strings.Contains(pattern, "d}") && strings.Contains(pattern, "{0") && !f.HasNID ||
		strings.Contains(pattern, "{id}") && id == "" || strings.Contains(pattern, "{parent}") && parent == "" ||
		strings.Contains(pattern, "{role}") && (f.Role == "" || strings.Contains(f.Role, "_"))
	if lacking {
		return ""
	}
	nic := ""
	if f.NIC > 0 {
		nic = fmt.Sprintf("-nic%d", f.NIC)
	}
	name := strings.NewReplacer("{02d}", fmt.Sprintf("%02d", f.NID), "{03d}", fmt.Sprintf("%03d", f.NID), "{04d}", fmt.Sprintf("%04d", f.NID),
		"{id}", id, "{parent}", parent, "{role}", strings.ToLower(f.Role), "{nic}", nic).Replace(pattern)
	own := settings["domain"]
	order := settings["domain_append"]
	if order == "" && own != "" {
		order = "rule"
	} else if order == "" {
		order = "global"
	}
	for _, which := range strings.Split(order, "|") {
		if domain := map[string]string{"rule": own, "global": "g.org"}[which]; domain != "" {
			name += "." + domain
		}
	}
	return name
}

// TestModel compares decisions on random rules and machines with those of the
// model: which rules match in which order, where the evaluation ends, and what
// later rules replace.
func TestModel(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	seen := make(map[string]int)
	for round := range 400 {
		var specs []*spec
		var rules []Rule
		for range 1 + r.IntN(12) {
			one := randomSpec(r)
			if round%20 == 0 { // more rules than one word of an index has bits
				for range 70 {
					specs = append(specs, &spec{conditions: []func(Facts) bool{func(Facts) bool { return false }}})
					rules = append(rules, mustParse(t, "type:Nothing,mtu:68"))
				}
			}
			specs, rules = append(specs, one), append(rules, mustParse(t, strings.Join(one.text, ",")))
		}
		s, err := New(rules, Options{Domain: "g.org", Default: "unknown-{02d}"})
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			compare(t, r, s, specs, seen)
		}
	}
	for _, what := range []string{"none", "one", "several", "ignored", "named", "nameless"} {
		if seen[what] < 500 {
			t.Errorf("%s: %d of the decisions", what, seen[what])
		}
	}
}

func compare(t *testing.T, r *rand.Rand, s *Set, specs []*spec, seen map[string]int) {
	t.Helper()
	f := randomFacts(r)
	settings, matched := decide(specs, f)
	d := s.Decide(&f)
	var got []int
	for _, rule := range d.Matched.All() {
		got = append(got, rule)
	}
	explained := s.Explain(&f)
	for i, step := range explained {
		ended := len(matched) > 0 && i > matched[len(matched)-1] && !specs[matched[len(matched)-1]].goOn
		if step.Matched != slices.Contains(matched, i) || step.Skipped != ended || (step.Key == "") != (step.Matched || step.Skipped) {
			t.Fatalf("%+v\nexplained as %+v; the rules that match are %v", f, step, matched)
		}
	}
	ignored := settings["ignore"] == "true"
	name := ""
	if !ignored {
		name = nameOf(settings, len(matched) > 0, f)
	}
	want := []string{
		fmt.Sprint(matched), fmt.Sprint(ignored), name, settings["log"], settings["mask"], settings["mtu"], settings["routers"], settings["dns"], settings["ntp"],
		settings["search"], settings["lease_time"], settings["next_server"], settings["bootfile"], settings["script"], settings["option 43"], settings["option 114"],
	}
	has := []string{
		fmt.Sprint(got), fmt.Sprint(d.Ignore), d.Hostname, [...]string{"", "info", "debug", "none"}[d.Log], number0(d.Mask), number0(int(d.MTU)), bar(d.Routers), bar(d.DNS), bar(d.NTP),
		bar(d.Search), strings.TrimPrefix(d.LeaseTime.String(), "0s"), strings.TrimPrefix(d.NextServer.String(), "invalid IP"), d.Bootfile, d.Script, optionOf(s, d, 43), optionOf(s, d, 114),
	}
	if diff := diff(want, has); diff != "" {
		for i, one := range specs {
			t.Logf("rule %d: %s", i, strings.Join(one.text, ","))
		}
		t.Fatalf("%+v\nmodel and decision (-want +got):\n%s", f, diff)
	}
	count := func(what string, is bool) {
		if is {
			seen[what]++
		}
	}
	count("none", len(matched) == 0)
	count("one", len(matched) == 1)
	count("several", len(matched) > 1)
	count("ignored", ignored)
	count("named", name != "")
	count("nameless", name == "" && !ignored)
}

func number0(n int) string { return strings.TrimPrefix(fmt.Sprint(n), "0") }

func bar[T any](list []T) string {
	return strings.Join(strings.Fields(strings.Trim(fmt.Sprint(list), "[]")), "|")
}

func optionOf(s *Set, d Decision, code uint16) string {
	for _, o := range s.Options4(d.Matched) {
		if o.Code == code {
			return string(o.Data)
		}
	}
	return ""
}

// FuzzDecide has any rules and any machine: no panic, the same decision twice,
// and a name that is one.
func FuzzDecide(f *testing.F) {
	f.Add("type:Node,hostname:nid{04d}{nic},continue:true\nsubnet:192.0.2.0/24,domain:a.b", "x3000c0s0b0n0", "Node", "Compute", uint64(1), true, 1, []byte{2, 0, 0, 0, 0, 1, 192, 0, 2, 7, 0, 7})
	f.Add("id_set:x[0-99][0-9]b0n[00-10],hostname:{id}-{parent}", "x00b0n00", "", "", uint64(0), false, -1, []byte{})
	f.Add("mac:02,giaddr:192.0.2.7,bootarch:7,ignore:true", "\xff", "a b", "..", uint64(1)<<63, true, 1<<40, []byte{2})
	f.Fuzz(func(t *testing.T, texts, id, typ, role string, nid uint64, hasNID bool, nic int, octets []byte) {
		var rules []Rule
		for text := range strings.SplitSeq(texts, "\n") {
			if r, err := Parse(text); err == nil {
				rules = append(rules, r)
			}
		}
		s, err := New(rules, Options{Default: "unknown-{id}-{mac}{nic}"})
		if err != nil {
			t.Fatal(err)
		}
		octets = append(octets, bytes.Repeat([]byte{0}, 12)...)
		facts := Facts{MAC: [6]byte(octets), ID: id, Type: typ, Role: role, NID: nid, HasNID: hasNID, NIC: nic, BootArchs: []uint16{uint16(octets[10])<<8 | uint16(octets[11])}}
		facts.Addr, _ = netip.AddrFromSlice(octets[6:10])
		facts.Giaddr = facts.Addr
		d := s.Decide(&facts)
		if again := s.Decide(&facts); told(s, d) != told(s, again) {
			t.Errorf("%s, then %s", told(s, d), told(s, again))
		}
		s.Explain(&facts)
		if d.Hostname == "" {
			return
		}
		if len(d.Hostname) > 253 || d.NoName != "" {
			t.Errorf("name %q of %d, and none because: %s", d.Hostname, len(d.Hostname), d.NoName)
		}
		for label := range strings.SplitSeq(d.Hostname, ".") {
			if !isHostLabel(label) {
				t.Errorf("name %q has the label %q", d.Hostname, label)
			}
		}
	})
}

func isHostLabel(label string) bool {
	return label != "" && len(label) <= 63 && strings.Trim(label, "-") == label &&
		strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}

package rule

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
)

// hundred are rules as a large site has them. A machine of many() matches the
// last one only.
func hundred(tb testing.TB, last string) *Set {
	var rules []Rule
	for i := range 99 {
		text := []string{
			"type:Node,subnet:10.%d.0.0/16,hostname:n{05d},routers:10.%[1]d.0.1",
			"type:Node,id_set:x%dc[0-7]s[0-7]b[0-1]n[0-3],hostname:c{05d}",
			"type:NodeBMC|RouterBMC,id_set:x%dc[0-7]s[0-7]b[0-1],ignore:true",
			"type:Node,role:Service,mac:02:ff:%02x,hostname:s{05d}",
			"id:x%dc0s0b0n0,hostname:login{02d}",
		}[i%5]
		rules = append(rules, mustParse(tb, fmt.Sprintf(text, i)))
	}
	s, err := New(append(rules, mustParse(tb, last)), Options{Domain: "cluster.example.org", Default: "unknown-{04d}"})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func mustParse(tb testing.TB, text string) Rule {
	tb.Helper()
	r, err := Parse(text)
	if err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
	return r
}

const lastOfHundred = "type:Node,role:Compute,id_set:x[1000-1999]c[0-7]s[0-7]b[0-1]n[0-3],subnet:10.200.0.0/16,hostname:nid{05d}"

func many() []Facts {
	all := make([]Facts, 10000)
	for i := range all {
		all[i] = Facts{
			MAC: [6]byte{2, 0, 0, 0, byte(i >> 8), byte(i)},
			ID:  fmt.Sprintf("x%dc%ds%db%dn%d", 1000+i/512, i/64%8, i/8%8, i/4%2, i%4), Type: "Node", Role: "Compute", Class: "Mountain",
			Arch: "X86", State: "Ready", NID: uint64(i), HasNID: true, Addr: netip.AddrFrom4([4]byte{10, 200, byte(i >> 8), byte(i)}),
		}
	}
	return all
}

// BenchmarkDecide has 10,000 machines that each match the last of 100 rules.
func BenchmarkDecide(b *testing.B) {
	s, machines := hundred(b, lastOfHundred), many()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if d := s.Decide(&machines[i%len(machines)]); d.Hostname == "" {
			b.Fatalf("%+v has no name: %s", machines[i%len(machines)], d.NoName)
		}
		i++
	}
}

// TestDecideAllocates holds the allocations of a decision to that of the name.
func TestDecideAllocates(t *testing.T) {
	machines := many()
	for name, c := range map[string]struct {
		last string
		want float64
	}{
		"a name":                 {lastOfHundred, 1},
		"a name with domains":    {"type:Node,hostname:nid{05d}-{id}-{mac}{nic},domain:example.org,domain_append:rule|global", 1},
		"ignored":                {"type:Node,ignore:true", 0},
		"a name without its NID": {"type:Node,hostname:{role}-{04d}", 0},
		"no rule matches":        {"type:CabinetPDU,hostname:nid{05d}", 0},
	} {
		s := hundred(t, c.last)
		got := testing.AllocsPerRun(1000, func() {
			f := machines[4711]
			f.HasNID = c.want > 0
			d := s.Decide(&f)
			if (d.Hostname != "") != (c.want > 0) {
				t.Fatalf("%s: name %q", name, d.Hostname)
			}
			if options := s.Options4(d.Matched); options != nil {
				t.Fatalf("%s: options %v", name, options)
			}
			runtime.KeepAlive(d)
		})
		if got != c.want {
			t.Errorf("%s: %v allocations, want %v", name, got, c.want)
		}
	}
}

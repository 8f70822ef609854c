package rule

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func TestIDSet(t *testing.T) {
	t.Parallel()
	for set, c := range map[string]struct{ in, out string }{
		"x1000s0c0b[0-3]n0":             {"x1000s0c0b0n0 x1000s0c0b3n0 X1000S0C0B1N0", "x1000s0c0b4n0 x1000s0c0b00n0 x1000s0c0bn0 x1000s0c0b0n01 x1000s0c0b0n x1000s0c0b0 xx1000s0c0b0n0"},
		"X1000S0C0B[0-3]N0":             {"x1000s0c0b0n0", "x1000s0c0b4n0"},
		"x3000c0s[0-3,7,10-12]b0n[0-1]": {"x3000c0s0b0n0 x3000c0s7b0n1 x3000c0s12b0n1", "x3000c0s4b0n0 x3000c0s8b0n0 x3000c0s13b0n0 x3000c0s1b0n2 x3000c0s07b0n0"},
		"nid[0-9]":                      {"nid0 nid9", "nid10 nid00 nid"},
		"nid[00-10]":                    {"nid00 nid09 nid10", "nid0 nid9 nid010 nid11"},
		"nid[0-010]":                    {"nid000 nid010", "nid0 nid10 nid0010"},
		"nid[098-101]":                  {"nid098 nid099 nid100 nid101", "nid98 nid097 nid0100"},
		"nid[08-101]":                   {"nid08 nid99 nid100", "nid8 nid099 nid0100"},
		"nid[007]":                      {"nid007", "nid7 nid07 nid0007"},
		"nid[7,007]":                    {"nid7 nid007", "nid07"},
		"nid[0]":                        {"nid0", "nid00 nid"},
		"nid[0-1][0-9]":                 {"nid00 nid19", "nid20 nid0 nid000 nid190"},
		"nid[1-12][1-12]":               {"nid11 nid112 nid121 nid1212", "nid1 nid13012 nid1313 nid01"},
		"x[1-2]2[0-9]":                  {"x129 x220", "x12 x32 x119"},
		"[0-9]":                         {"5", "a 55"},
		"[0-1]a[0-1]a":                  {"0a1a", "0a1 0a1ab a0a"},
		"x3000c0s0b0n0":                 {"x3000c0s0b0n0", "x3000c0s0b0n00 x3000c0s0b0n"},
		"x[999999999999999990-999999999999999999]": {"x999999999999999995", "x999999999999999989 x1000000000000000000 x0999999999999999995 x18446744073709551616"},
		"x[0-0]":                    {"x0", "x1"},
		strings.Repeat("[0-9]", 10): {"1234567890", "123456789 12345678901"},
	} {
		parsed, err := parseIDSet(set)
		if err != nil {
			t.Errorf("%s: %v", set, err)
			continue
		}
		var buf [maxID]byte
		for _, id := range strings.Fields(c.in) {
			if !parsed.holds(lowerID(&buf, id)) {
				t.Errorf("%s does not hold %s", set, id)
			}
		}
		for _, id := range strings.Fields(c.out) {
			if parsed.holds(lowerID(&buf, id)) {
				t.Errorf("%s holds %s", set, id)
			}
		}
	}
}

// TestIDSetLong has the longest xname that a rule can name, one that is longer,
// and none at all.
func TestIDSetLong(t *testing.T) {
	t.Parallel()
	s, err := New([]Rule{mustParse(t, "id_set:x[0-9]"+strings.Repeat("a", 61)+",mtu:1500")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]int{
		"x1" + strings.Repeat("a", 61): 1, "x1" + strings.Repeat("a", 62): 0, "x12" + strings.Repeat("a", 61): 0, "": 0, strings.Repeat("1", 1000): 0,
	} {
		if got := s.Decide(&Facts{ID: id}).Matched.Len(); got != want {
			t.Errorf("%q matches %d rules, want %d", id, got, want)
		}
	}
}

// TestIDSetBounded has a list with as many ways to divide digits as there can be,
// and digits that fit none of them.
func TestIDSetBounded(t *testing.T) {
	t.Parallel()
	set, err := parseIDSet(strings.Repeat("[1-999999999999999999]", 30) + "x")
	if err != nil {
		t.Fatal(err)
	}
	var buf [maxID]byte
	if set.holds(lowerID(&buf, strings.Repeat("1", 63))) {
		t.Error("digits are in a list that ends in a letter")
	}
	if !set.holds(lowerID(&buf, strings.Repeat("1", 62)+"x")) {
		t.Error("62 digits are no 30 numbers")
	}
}

// expand lists a bracket list, one xname after the other.
func expand(set string) []string {
	before, after, found := strings.Cut(set, "[")
	if !found {
		return []string{set}
	}
	list, behind, _ := strings.Cut(after, "]")
	var all []string
	for _, part := range strings.Split(list, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		width := 1
		for _, end := range []string{first, last} {
			if strings.HasPrefix(end, "0") {
				width = max(width, len(end))
			}
		}
		lo, _ := strconv.Atoi(first)
		hi, _ := strconv.Atoi(last)
		for n := lo; n <= hi; n++ {
			for _, rest := range expand(behind) {
				all = append(all, fmt.Sprintf("%s%0*d%s", before, width, n, rest))
			}
		}
	}
	return all
}

// randomSet makes a bracket list of few characters, so that much of it can be
// taken in more than one way.
func randomSet(r *rand.Rand) string {
	var b strings.Builder
	end := func() string { return fmt.Sprintf("%0*d", 1+r.IntN(3), r.IntN(14)) }
	for range 1 + r.IntN(3) {
		b.WriteString([]string{"", "x", "1", "0", "x1"}[r.IntN(5)])
		var parts []string
		for range 1 + r.IntN(2) {
			first, last := end(), end()
			lo, _ := strconv.Atoi(first)
			hi, _ := strconv.Atoi(last)
			switch {
			case r.IntN(3) == 0:
				parts = append(parts, first)
			case lo <= hi:
				parts = append(parts, first+"-"+last)
			default:
				parts = append(parts, last+"-"+first)
			}
		}
		b.WriteString("[" + strings.Join(parts, ",") + "]")
	}
	return b.String() + []string{"", "n", "0"}[r.IntN(3)]
}

// TestIDSetExpanded compares random lists with their expansions: every member
// is in, and near misses are in only where the expansion has them.
func TestIDSetExpanded(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		text := randomSet(r)
		set, err := parseIDSet(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		members := make(map[string]bool)
		all := expand(text)
		for _, id := range all {
			members[id] = true
		}
		var buf [maxID]byte
		check := func(id string) {
			if got := set.holds(lowerID(&buf, id)); got != members[id] {
				t.Fatalf("%s holds %s: %v, its expansion: %v", text, id, got, members[id])
			}
		}
		for _, id := range all[:min(len(all), 500)] {
			check(id)
			at := r.IntN(len(id))
			check(id[:at] + id[at+1:])
			check(id[:at] + "0" + id[at:])
			check(id[:at] + string("01x2"[r.IntN(4)]) + id[at+1:])
		}
	}
}

package rule

import (
	"fmt"
	"strings"
)

// A Step is what became of one rule for one machine.
type Step struct {
	Rule    int // index into Rules
	Matched bool
	Skipped bool   // an earlier rule ended the evaluation
	Key     string // the first key that does not hold; empty: matched or skipped
	Want    string // what the rule has under that key
	Have    string // what the machine has; empty: nothing
}

// Explain says for each rule whether it matched a machine, and why not.
func (s *Set) Explain(f *Facts) []Step {
	var id [maxID]byte
	x := s.look(f, &id)
	steps := make([]Step, len(s.rules))
	ended := false
	for i := range s.rules {
		steps[i] = Step{Rule: i, Skipped: ended}
		if ended {
			continue
		}
		missed := s.miss(i, &x)
		if missed == "" {
			steps[i].Matched = true
			ended = !s.rules[i].Continue
			continue
		}
		steps[i].Key = missed
		steps[i].Want = strings.Join(keyNamed(missed).text(&s.rules[i]), "")
		steps[i].Have = f.under(missed)
	}
	return steps
}

// miss returns the first key of a rule that a machine does not match; empty: it
// matches.
func (s *Set) miss(i int, x *subject) string {
	for fact, row := range x.rows {
		if row[i/64]&(1<<(i%64)) == 0 {
			return wordKeys[fact]
		}
	}
	return s.matchers[i].miss(x)
}

// under returns what a machine has under a match key.
func (f *Facts) under(name string) string {
	words := f.words()
	for fact, k := range wordKeys {
		if k == name {
			return words[fact]
		}
	}
	switch name {
	case "id", "id_set":
		return f.ID
	case "subnet":
		return textOf(f.Addr)
	case "giaddr":
		return textOf(f.Giaddr)
	case "mac":
		return MACs{f.MAC, len(f.MAC)}.String()
	}
	return strings.Join(alternatives(f.BootArchs, func(n uint16) string { return fmt.Sprint(n) }), "")
}

func textOf(a addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.Unmap().String()
}

package compare

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// mostNames bounds what a summary remembers: clients, for all that it counts
// them in together.
const mostNames = 1 << 20

// A Tally sums exchanges up. It is for one goroutine.
type Tally struct {
	since   time.Time
	results map[string]*Count
	parts   map[string]*Count
	servers map[string]*Count
	clients *Count
	several int
	heard   map[string]bool // IDs of machines
	names   int             // of all counts together
}

// A Count is how often something was seen.
type Count struct {
	What      string `json:"what"`
	Exchanges int    `json:"exchanges"`
	Clients   int    `json:"clients"`           // that they were of; of very many clients not all are counted
	Example   string `json:"example,omitempty"` // the first

	names map[string]struct{}
}

// NewTally returns a sum of nothing, since now.
func NewTally(now time.Time) *Tally {
	return &Tally{
		since: now, results: make(map[string]*Count), parts: make(map[string]*Count), servers: make(map[string]*Count),
		clients: &Count{names: make(map[string]struct{})}, heard: make(map[string]bool),
	}
}

// Add adds an exchange.
func (t *Tally) Add(x *Exchange) {
	t.count(t.clients, x, "")
	t.count(countOf(t.results, x.Result), x, x.example())
	if x.ID != "" {
		t.heard[x.ID] = true
	}
	if len(x.Replies) > 1 {
		t.several++
	}
	parts := make(map[string]bool)
	for _, r := range x.Replies {
		t.count(countOf(t.servers, r.Server), x, "")
		for _, d := range r.Differences {
			if !parts[d.Part] {
				parts[d.Part] = true
				t.count(countOf(t.parts, d.Part), x, fmt.Sprintf("%s %s: %s -> %s", x.Who(), r.Answer, orNothing(d.Old), orNothing(d.New)))
			}
		}
	}
}

// example says of whom and what an exchange was.
func (x *Exchange) example() string {
	text := x.Who() + " " + x.Message
	switch {
	case x.Result == OursOnly || x.Result == IncumbentOnly && x.Ours.Reason != "":
		text += ", we: " + x.Ours.says()
	}
	return text
}

func countOf(counts map[string]*Count, what string) *Count {
	c := counts[what]
	if c == nil {
		if len(counts) >= 1000 { // identifiers that somebody makes up
			what = "others"
			if c = counts[what]; c != nil {
				return c
			}
		}
		c = &Count{What: what, names: make(map[string]struct{})}
		counts[what] = c
	}
	return c
}

func (t *Tally) count(c *Count, x *Exchange, example string) {
	if c.Exchanges++; c.Exchanges == 1 {
		c.Example = example
	}
	if _, known := c.names[x.Client]; !known && t.names < mostNames {
		t.names++
		c.names[x.Client] = struct{}{}
	}
	c.Clients = len(c.names)
}

// A Summary is what came of a comparison.
type Summary struct {
	Since     time.Time `json:"since"`
	Until     time.Time `json:"until"`
	Exchanges int       `json:"exchanges"`
	Clients   int       `json:"clients"`
	Several   int       `json:"several"`     // exchanges that more than one server answered
	Results   []Count   `json:"results"`     // all of them, in the order of Results
	Parts     []Count   `json:"differences"` // by part of the answers, the most frequent first
	Servers   []Count   `json:"servers"`     // that answered
	Machines  int       `json:"machines"`    // components that SMD knows
	Silent    []string  `json:"silent"`      // those that were not heard
	Counts
}

// Results are all results, in the order of a summary.
func Results() []string {
	return []string{Same, Identity, Different, IncumbentOnly, OursOnly, Nobody, Unfinished}
}

// Sum returns the summary. machines calls its argument with the ID of each
// machine that there is; nil: nobody knows.
func (t *Tally) Sum(now time.Time, c Counts, machines func(func(id string))) Summary {
	s := Summary{
		Since: t.since, Until: now, Exchanges: t.clients.Exchanges, Clients: t.clients.Clients, Several: t.several,
		Parts: sorted(t.parts), Servers: sorted(t.servers), Silent: []string{}, Counts: c,
	}
	for _, result := range Results() {
		count := Count{What: result}
		if seen := t.results[result]; seen != nil {
			count = *seen
		}
		s.Results = append(s.Results, count)
	}
	if machines != nil {
		all := make(map[string]bool)
		machines(func(id string) { all[id] = true })
		s.Machines = len(all)
		for id := range all {
			if !t.heard[id] {
				s.Silent = append(s.Silent, id)
			}
		}
		slices.Sort(s.Silent)
	}
	return s
}

func sorted(counts map[string]*Count) []Count {
	all := []Count{}
	for _, c := range slices.SortedFunc(maps.Values(counts), func(a, b *Count) int {
		return cmp.Or(cmp.Compare(b.Exchanges, a.Exchanges), cmp.Compare(a.What, b.What))
	}) {
		all = append(all, *c)
	}
	return all
}

// titles are the results in a summary.
var titles = map[string]string{
	Same: "answered alike", Identity: "alike but for which server it is", Different: "answered differently",
	IncumbentOnly: "answered by the incumbent only", OursOnly: "answered by us only", Nobody: "answered by nobody",
	Unfinished: "not awaited",
}

// mostSilent bounds the machines that the text of a summary names.
const mostSilent = 10

// Text writes a summary as people read it.
func (s *Summary) Text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s of %s in %v, since %s", plural(s.Exchanges, "exchange"), plural(s.Clients, "client"), s.Until.Sub(s.Since).Round(time.Second), s.Since.Local().Format(time.DateTime))
	for _, c := range s.Results {
		if c.Exchanges == 0 && c.What == Unfinished {
			continue
		}
		line("%7d %s%s", c.Exchanges, titles[c.What], c.of(c.What != Same && c.What != Identity))
	}
	if s.Several > 0 {
		line("%7d of them by more than one server", s.Several)
	}
	for _, c := range s.Servers {
		line("server %s: %s", c.What, plural(c.Exchanges, "exchange"))
	}
	if len(s.Parts) > 0 {
		line("differences, from the incumbent's to ours:")
	}
	for _, c := range s.Parts {
		line("%7d %s%s", c.Exchanges, c.What, c.of(true))
	}
	if s.Machines > 0 {
		line("%s in SMD, %d of them not heard%s", plural(s.Machines, "machine"), len(s.Silent), names(s.Silent))
	}
	line("datagrams: %d, of which malformed: %d, replies to nothing: %d, seen twice: %d, sent again: %d, health probes: %d%s",
		s.Datagrams, s.Malformed, s.Strays, s.Copies, s.Repeated, s.Probes, early(s.Early))
	return b.String()
}

// of says of whom a count is.
func (c *Count) of(example bool) string {
	if c.Exchanges == 0 {
		return ""
	}
	text := ", " + plural(c.Clients, "client")
	if example && c.Example != "" {
		text += ", such as " + c.Example
	}
	return text
}

func early(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; exchanges that ended before their time, because there were too many: %d", n)
}

func names(ids []string) string {
	switch {
	case len(ids) == 0:
		return ""
	case len(ids) > mostSilent:
		return fmt.Sprintf(": %s and %d more", strings.Join(ids[:mostSilent], " "), len(ids)-mostSilent)
	}
	return ": " + strings.Join(ids, " ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

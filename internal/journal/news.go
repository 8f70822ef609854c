package journal

// newsSize is how many events are kept in their order, whoever they are of.
const newsSize = 256

// News is an event in the order of all.
type News struct {
	Number uint64 // from 1; the next event has the next number
	MAC    MAC
	Known  bool // to SMD
	Step   Step // of the machine after the event
	Past
}

// news is a ring of the last events.
type news struct {
	ring  [newsSize]News
	count uint64 // of all that were ever added
}

func (n *news) add(r *record, e *Event) {
	n.ring[n.count%newsSize] = News{
		Number: n.count + 1, MAC: r.mac, Known: r.known, Step: r.step,
		Past: Past{
			First: e.At, Last: e.At, Times: 1, Kind: e.Kind, Plugin: e.Plugin, Message: e.Message, State: e.State, Verdict: e.Verdict,
			Reason: clip(e.why()), Addr: e.Addr, Bootfile: clip(e.Bootfile), Rule: e.Rule, Octets: e.Octets,
		},
	}
	n.count++
}

// since returns the events after a number, the oldest first, and the most at
// the end; those that the ring no longer has are left out.
func (n *news) since(number uint64, most int) []News {
	from := max(min(number, n.count), n.count-min(n.count, uint64(min(most, newsSize))))
	list := make([]News, 0, n.count-from)
	for ; from < n.count; from++ {
		one := n.ring[from%newsSize]
		one.Reason, one.Bootfile = printable(one.Reason), printable(one.Bootfile)
		list = append(list, one)
	}
	return list
}

// why is the reason of an event in one text.
func (e *Event) why() string {
	switch {
	case e.Reason == "":
		return e.Detail
	case e.Detail != "":
		return e.Reason + ": " + e.Detail
	}
	return e.Reason
}

func clip(s string) string { return s[:min(len(s), textLength)] }

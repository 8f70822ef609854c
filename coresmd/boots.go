package coresmd

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/bootfile"
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/journal"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/OpenCHAMI/coresmd/internal/status"
)

// patience is how long a machine may be at a step before it is stuck there,
// and mostTries how often it may begin again.
const mostTries = 2

var patience = map[journal.Step]time.Duration{
	journal.Discover: time.Minute, journal.Ack: time.Minute, journal.Loader: 2 * time.Minute, journal.Asking: time.Minute,
}

// stuck says that a machine does not come further.
func stuck(m *journal.Head, now time.Time) bool {
	wait, on := patience[m.Step]
	return on && (now.Sub(m.StepAt) > wait || m.Tries > mostTries)
}

func (v *views) boots(_ context.Context, q status.Params) (any, error) {
	limit, err := q.Limit()
	if err != nil {
		return nil, err
	}
	only, given, err := v.onlyMachine(q)
	if err != nil {
		return nil, err
	}
	answer := v.bootsOf(limit, limit, func(m *journal.Head) bool { return !given || m.MAC == only })
	if given {
		answer.Silent = 1 - answer.Total
	}
	return answer, nil
}

// bootsOf tells of the machines that a function picks: so many that are stuck,
// and so many in all.
func (v *views) bootsOf(mostStuck, most int, pick func(*journal.Head) bool) status.Boots {
	now := time.Now()
	var held, others []journal.Head
	counts := make(map[journal.Step]*status.StepCount)
	answer := status.Boots{Machines: []status.Boot{}}
	v.journal.Heads(func(m journal.Head) bool {
		if !pick(&m) || !v.cache.Knows(m.MAC) {
			return true
		}
		c := countOf(counts, m.Step)
		c.Machines++
		answer.Total++
		switch {
		case stuck(&m, now):
			c.Stuck++
			answer.Stuck++
			held = append(held, m)
		case len(others) < most:
			others = append(others, m)
		}
		return true
	})
	for step := journal.Discover; step <= journal.Up; step++ {
		answer.Steps = append(answer.Steps, *countOf(counts, step))
	}
	answer.Silent = max(0, v.cache.Status().Machines-answer.Total)
	slices.SortFunc(held, func(a, b journal.Head) int { return a.Trying.Compare(b.Trying) })
	held = held[:min(len(held), mostStuck)]
	for _, m := range append(held, others[:min(len(others), most-min(most, len(held)))]...) {
		answer.Machines = append(answer.Machines, v.bootOf(m, now))
	}
	return answer
}

func countOf(counts map[journal.Step]*status.StepCount, step journal.Step) *status.StepCount {
	if counts[step] == nil {
		counts[step] = &status.StepCount{Step: step.String()}
	}
	return counts[step]
}

// bootOf tells of one machine.
func (v *views) bootOf(head journal.Head, now time.Time) status.Boot {
	m := v.cache.Lookup(head.MAC).Machine
	past, _ := v.journal.Machine(head.MAC)
	b := status.Boot{
		MAC: macText(head.MAC), ID: m.ID, Hostname: v.hostName(m), Address: textOf(past.Addr),
		Step: head.Step.String(), Since: head.StepAt, Last: head.Last, Tries: head.Tries, Steps: stepsOf(past.Boot),
		Stuck: stuck(&head, now),
	}
	if b.Stuck {
		b.StuckSeconds = now.Sub(head.Trying).Seconds()
		b.Hint, b.Mend = hint(&past)
	}
	return b
}

func stepsOf(b journal.Boot) []status.BootStep {
	steps := []status.BootStep{}
	var before time.Time
	for step, at := range b {
		if at.IsZero() {
			continue
		}
		s := status.BootStep{Step: journal.Step(step).String(), At: at}
		if !before.IsZero() {
			s.Seconds = at.Sub(before).Seconds()
		}
		steps, before = append(steps, s), at
	}
	return steps
}

func macText(mac smd.MAC) string { return net.HardwareAddr(mac[:]).String() }

// hint says what it usually means that a machine is stuck where it is, and
// what to do about it.
func hint(m *journal.Machine) (means, mend string) {
	switch m.Step {
	case journal.Ack:
		return ackHint(m)
	case journal.Loader:
		return "it has its loader, and no iPXE asked since: Secure Boot, a loader of another architecture, or iPXE without a driver for its network card",
			"look at its console; try another build of iPXE"
	}
	return askHint(m)
}

// askHint is of a machine that asks for an address.
func askHint(m *journal.Machine) (means, mend string) {
	last, _ := lastOf(m, func(p journal.Past) bool { return p.Kind == journal.Exchange })
	_, other, taken := strings.Cut(last.Reason, otherServer.String()+": ")
	switch {
	case taken:
		return "it took the offer of another server, " + other, "find that server, and end it"
	case last.Verdict == exchange.Offer.String(), last.Verdict == exchange.Advertise.String():
		return "it is offered " + textOf(last.Addr) + " and does not take it: the offer does not arrive, or another server's pleases it more",
			"look at the relay, at the switch port (VLAN, spanning tree), and for another DHCP server"
	case last.Verdict == exchange.Ack.String():
		return "it has its address and is told of no script: " + last.Reason, "coresmd explain " + macText(m.MAC)
	}
	return fmt.Sprintf("its %s is answered with %s: %s", last.Message, last.Verdict, last.Reason), "coresmd explain " + macText(m.MAC)
}

// ackHint is of a machine that has its address and no loader.
func ackHint(m *journal.Machine) (means, mend string) {
	told, _ := lastOf(m, func(p journal.Past) bool { return p.Verdict == exchange.Ack.String() })
	got, asked := lastOf(m, func(p journal.Past) bool { return p.Kind != journal.Exchange && !p.Last.Before(m.Boot[journal.Ack]) })
	switch {
	case told.Bootfile == "":
		return "it is told of no boot file: " + told.Reason, "bootfile_arch=, boot_http=, or a rule with bootfile:NAME"
	case !asked:
		return "it was told to load " + told.Bootfile + ", and no request for it came: a firewall eats UDP port 69, or its firmware gave up",
			"let UDP port 69 through, and the ports of transfers or set single_port=true"
	case got.Verdict == string(bootfile.Gone) && got.Octets == 0 && strings.HasPrefix(got.Reason, "no acknowledgement"):
		return "its request for " + got.Bootfile + " was answered and never acknowledged: a firewall or a NAT does not let the port through that the answer comes from",
			"single_port=true"
	case got.Verdict == string(bootfile.Gone):
		return fmt.Sprintf("its transfer of %s broke off after %d octets: %s", got.Bootfile, got.Octets, got.Reason), "look for lost packets, and for a file that is too large for it"
	}
	return fmt.Sprintf("its request for %s ended with %s: %s", got.Bootfile, got.Verdict, got.Reason), "see to the file in tftp_dir"
}

// lastOf returns the last event of a kind; false: there is none.
func lastOf(m *journal.Machine, is func(journal.Past) bool) (journal.Past, bool) {
	for _, p := range slices.Backward(m.Events) {
		if is(p) {
			return p, true
		}
	}
	return journal.Past{}, false
}

// events tells what happened after an event of a number.
func (v *views) events(after uint64, most int) status.Events {
	news, last := v.journal.Since(after, most)
	answer := status.Events{Events: make([]status.Happening, 0, len(news)), Last: last}
	if last > after {
		answer.LeftOut = last - after - uint64(len(news))
	}
	for _, n := range news {
		h := status.Happening{Number: n.Number, MAC: macText(n.MAC), Known: n.Known, Step: n.Step.String(), Event: eventOf(n.Past)}
		if found := v.cache.Lookup(n.MAC); found.Known {
			h.ID, h.Hostname = found.ID, v.hostName(found.Machine)
		}
		answer.Events = append(answer.Events, h)
	}
	return answer
}

// overview is what the page shows.
func (v *views) overview(ctx context.Context) status.Overview {
	everybody := func(*journal.Head) bool { return true }
	o := status.Overview{
		Status:  view[status.Status](ctx, v.status, nil),
		Boots:   v.bootsOf(status.PageStuck, 0, everybody),
		Unknown: view[status.Unknown](ctx, v.unknown, status.LimitTo(status.PageUnknown)),
		Faults:  view[status.Faults](ctx, v.faults, status.LimitTo(status.PageFaults)),
		Events:  v.events(0, status.PageEvents).Events,
	}
	slices.Reverse(o.Events)
	return o
}

// view asks a view a question that is right.
func view[T any](ctx context.Context, ask status.View, q status.Params) T {
	answer, err := ask(ctx, q)
	if err != nil {
		panic(err) // the page says so
	}
	return answer.(T)
}

// search is what the page shows for a word: the machine that it stands for, or
// those that it is a part of the name of.
func (v *views) search(ctx context.Context, word string) status.Search {
	s := status.Search{Word: word, At: time.Now()}
	macs, ok := v.standsFor(word)
	if !ok {
		macs, s.Found = v.fitting(word)
	}
	if len(s.Found) > 0 {
		return s
	}
	s.One, s.Err = v.explainOf(ctx, status.Params{"machine": word}, macs)
	return s
}

// fitting returns the machines whose name is a word, or else those of whose
// names it is a part, if there are several.
func (v *views) fitting(word string) ([]smd.MAC, []status.Machine) {
	var exact []smd.Machine
	parts := v.cache.Find(func(m *smd.Machine) bool {
		name := v.hostName(*m)
		if named(name, word) && len(exact) < mostOthers {
			exact = append(exact, *m)
		}
		return contains(m, name, word)
	}, status.PageFound+1)
	switch {
	case len(exact) > 0:
		slices.SortFunc(exact, smd.Compare)
		return macsOf(exact), nil
	case len(parts) < 2:
		return macsOf(parts), nil
	}
	found := make([]status.Machine, 0, len(parts))
	for _, m := range parts {
		found = append(found, *v.machineOf(m))
	}
	return nil, found
}

// contains says that a word is a part of what a machine is called.
func contains(m *smd.Machine, hostname, word string) bool {
	word = strings.ToLower(word)
	part := func(name string) bool { return strings.Contains(strings.ToLower(name), word) }
	return part(m.ID) || part(hostname) || part(m.MAC.String()) || slices.ContainsFunc(texts(m.Addrs), part)
}

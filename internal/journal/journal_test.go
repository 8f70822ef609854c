package journal

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	one  = MAC{2, 0, 0, 0, 0, 1}
	two  = MAC{2, 0, 0, 0, 0, 2}
	addr = netip.MustParseAddr("192.0.2.11")
	noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
)

func ask(mac MAC, after time.Duration, message, verdict string, boot int) Event {
	return Event{
		At: noon.Add(after), MAC: mac, Plugin: "coresmd", Message: message, State: strings.ToLower(message), Verdict: verdict,
		Addr: addr, Leased: verdict == "ACK", Known: true, Boots: boot != noBoot, IPXE: boot == ipxe,
	}
}

// leased is an event that makes something of a lease.
func leased(after time.Duration, state LeaseState, lasts time.Duration, addrs ...string) Event {
	e := Event{At: noon.Add(after), MAC: one, Plugin: "coresmd", Lease: state, Lasts: lasts, Held: netip.MustParseAddr(addrs[0])}
	for _, a := range addrs[1:] {
		e.More = append(e.More, netip.MustParseAddr(a))
	}
	return e
}

// TestLeases has what becomes of leases, event by event.
func TestLeases(t *testing.T) {
	t.Parallel()
	const a, b, c = "192.0.2.11", "2001:db8::11", "2001:db8::12"
	j := New(Options{})
	shown := func() string {
		var text []string
		j.Leases(func(h Holder) bool {
			for _, l := range h.Leases {
				line := fmt.Sprintf("%v %s since %v", l.Addr, [...]string{"none", "offered", "given", "released", "declined", "refused"}[l.State], l.Since.Sub(noon))
				if !l.Ends.IsZero() {
					line += fmt.Sprintf(" until %v", l.Ends.Sub(noon))
				}
				text = append(text, line)
			}
			return true
		})
		return strings.Join(text, ", ")
	}
	for _, step := range []struct {
		event Event
		want  string
	}{
		{ask(two, 0, "DISCOVER", "no reply", firmware), ""},
		{leased(time.Second, Refused, 0, a), ""}, // it never was the machine's
		{leased(2*time.Second, Offered, 0, a), a + " offered since 2s"},
		{leased(3*time.Second, Offered, 0, a), a + " offered since 2s"},
		{leased(4*time.Second, Given, time.Minute, a), a + " given since 4s until 1m4s"},
		{leased(34*time.Second, Given, time.Minute, a), a + " given since 4s until 1m34s"}, // renewed
		{leased(50*time.Second, Offered, 0, a), a + " given since 4s until 1m34s"},         // asked anew
		{leased(2*time.Minute, Given, time.Minute, a), a + " given since 2m0s until 3m0s"}, // too late to renew
		{leased(4*time.Minute, Offered, 0, a), a + " offered since 4m0s"},                  // it had ended
		{leased(5*time.Minute, Given, time.Hour, a), a + " given since 5m0s until 1h5m0s"}, //
		{leased(6*time.Minute, Refused, 0, a), a + " refused since 6m0s"},                  // SMD has another one
		{leased(7*time.Minute, Given, time.Hour, a), a + " given since 7m0s until 1h7m0s"}, //
		{leased(8*time.Minute, Declined, 0, a), a + " declined since 8m0s"},                //
		{leased(9*time.Minute, Given, time.Minute, b, c), a + " declined since 8m0s, " + b + " given since 9m0s until 10m0s, " + c + " given since 9m0s until 10m0s"},
		{leased(10*time.Minute, Released, 0, b), a + " declined since 8m0s, " + b + " released since 10m0s, " + c + " given since 9m0s until 10m0s"},
		{leased(11*time.Minute, Given, 200*365*24*time.Hour, c), a + " declined since 8m0s, " + b + " released since 10m0s, " + c + " given since 11m0s until " + time.Unix(1<<32-1, 0).Sub(noon).String()},
	} {
		j.note(step.event)
		if diff := cmp.Diff(step.want, shown()); diff != "" {
			t.Errorf("after %v (-want +got):\n%s", step.event.At.Sub(noon), diff)
		}
	}
	moved := leased(12*time.Minute, Given, time.Hour, b)
	moved.Gone = []netip.Addr{netip.MustParseAddr(c), netip.MustParseAddr("2001:db8::99")}
	j.note(moved)
	want := a + " declined since 8m0s, " + b + " given since 12m0s until 1h12m0s, " + c + " refused since 12m0s"
	if diff := cmp.Diff(want, shown()); diff != "" {
		t.Errorf("another address in the place of one (-want +got):\n%s", diff)
	}
	for i := range mostLeases { // the ones that ended go first, then the oldest
		j.note(leased(20*time.Minute, Given, time.Hour, fmt.Sprint("2001:db8::2", i)))
	}
	j.note(leased(20*time.Minute, Given, time.Hour, "2001:db8::28"))
	var last []string
	for i := range mostLeases {
		last = append(last, fmt.Sprintf("2001:db8::2%d given since 20m0s until 1h20m0s", i+1))
	}
	if diff := cmp.Diff(strings.Join(last, ", "), shown()); diff != "" {
		t.Errorf("more than are remembered (-want +got):\n%s", diff)
	}
}

type octets []byte

func (o octets) ToBytes() []byte { return o }

// TestHolderDUID has client identifiers: one made of the machine's own MAC, and another one.
func TestHolderDUID(t *testing.T) {
	t.Parallel()
	j := New(Options{Machines: 4})
	for i, duid := range []octets{{0, 3, 0, 1, 2, 0, 0, 0, 0, 1}, {0, 3, 0, 1, 2, 0, 0, 0, 0, 2}, {0, 4, 1, 2, 3}} {
		e := leased(0, Given, time.Hour, "2001:db8::11")
		e.MAC[5], e.Shown.DUID = byte(i+1), duid
		j.note(e)
	}
	var got []string
	j.Leases(func(h Holder) bool { got = append(got, h.DUID); return true })
	if diff := cmp.Diff([]string{"00:04:01:02:03", "00:03:00:01:02:00:00:00:00:02", "00:03:00:01:02:00:00:00:00:01"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := len(j.store.texts.ids); n != 2 {
		t.Errorf("%d texts, want one for both that are made of the machine's MAC, and the other", n)
	}
}

// The kinds of clients.
const (
	noBoot = iota
	firmware
	ipxe
)

// lines tells a history.
func lines(m Machine) []string {
	var text []string
	for _, e := range m.Events {
		line := fmt.Sprintf("%d %v %s %s %s", e.Times, e.Kind, e.Message, e.Verdict, e.Bootfile)
		if e.Reason != "" {
			line += " (" + e.Reason + ")"
		}
		text = append(text, strings.Join(strings.Fields(line), " "))
	}
	return text
}

// TestBoot has the whole boot of a node, and its steps.
func TestBoot(t *testing.T) {
	t.Parallel()
	j := New(Options{})
	with := func(e Event, file string) Event { e.Bootfile = file; return e }
	transfer := func(after time.Duration, file, outcome string) Event {
		return Event{Kind: TFTP, At: noon.Add(after), From: addr, Verdict: outcome, Bootfile: file, Octets: 900}
	}
	script := "http://192.0.2.1:8081/boot/v1/bootscript?mac=02:00:00:00:00:01"
	var steps []string
	for _, e := range []Event{
		with(ask(one, 0, "DISCOVER", "OFFER", firmware), "ipxe.efi"),
		with(ask(one, 1*time.Second, "REQUEST", "ACK", firmware), "ipxe.efi"),
		transfer(2*time.Second, "ipxe.efi", "gone"),
		transfer(3*time.Second, "ipxe.efi", "sent"),
		with(ask(one, 4*time.Second, "DISCOVER", "OFFER", ipxe), script),
		with(ask(one, 5*time.Second, "REQUEST", "ACK", ipxe), script),
		transfer(6*time.Second, "config.ipxe", "sent"),
		ask(one, 30*time.Second, "DISCOVER", "OFFER", noBoot),
		ask(one, 31*time.Second, "REQUEST", "ACK", noBoot),
		ask(one, 1831*time.Second, "REQUEST", "ACK", noBoot),
	} {
		j.note(e)
		m, _ := j.Machine(one)
		steps = append(steps, m.Step.String())
	}
	want := []string{"discover", "ack", "ack", "loader", "ipxe", "script", "script", "script", "up", "up"}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	m, _ := j.Machine(one)
	if diff := cmp.Diff([]string{
		"1 exchange DISCOVER OFFER ipxe.efi", "1 exchange REQUEST ACK ipxe.efi", "1 tftp gone ipxe.efi", "1 tftp sent ipxe.efi",
		"1 exchange DISCOVER OFFER " + script, "1 exchange REQUEST ACK " + script, "1 tftp sent config.ipxe",
		"1 exchange DISCOVER OFFER", "2 exchange REQUEST ACK",
	}, lines(m)); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	last := m.Events[len(m.Events)-1]
	if !m.StepAt.Equal(noon.Add(31*time.Second)) || !last.First.Equal(noon.Add(31*time.Second)) || !last.Last.Equal(noon.Add(1831*time.Second)) {
		t.Errorf("step since %v, last event from %v to %v", m.StepAt, last.First, last.Last)
	}
	if m.Addr != addr || !m.Known {
		t.Errorf("%+v", m)
	}
}

// TestTries has a machine that comes to its loader and begins again, until it
// gets its script; and one that is never answered.
func TestTries(t *testing.T) {
	t.Parallel()
	j := New(Options{})
	say := func(after time.Duration, message, verdict string, boot int) {
		j.note(ask(one, after, message, verdict, boot))
	}
	for i := range 3 {
		minute := time.Duration(i) * time.Minute
		say(minute, "DISCOVER", "OFFER", firmware)
		say(minute+time.Second, "DISCOVER", "OFFER", firmware)
		say(minute+4*time.Second, "REQUEST", "ACK", firmware)
		j.note(Event{Kind: TFTP, At: noon.Add(minute + 6*time.Second), From: addr, Verdict: "sent"})
	}
	at := func(after time.Duration) time.Time { return noon.Add(after).Local() }
	m, _ := j.Machine(one)
	want := Boot{Discover: at(2 * time.Minute), Ack: at(2*time.Minute + 4*time.Second), Loader: at(2*time.Minute + 6*time.Second)}
	if diff := cmp.Diff(want, m.Boot); diff != "" || m.Tries != 3 || !m.Trying.Equal(noon) {
		t.Errorf("%d tries since %v (-want +got):\n%s", m.Tries, m.Trying, diff)
	}
	script := ask(one, 3*time.Minute, "REQUEST", "ACK", ipxe)
	script.Bootfile = "http://192.0.2.1/"
	j.note(script)
	say(time.Hour, "DISCOVER", "OFFER", firmware)
	m, _ = j.Machine(one)
	if diff := cmp.Diff(Boot{Discover: at(time.Hour)}, m.Boot); diff != "" || m.Tries != 1 || !m.Trying.Equal(at(time.Hour)) {
		t.Errorf("after its script: %d tries since %v (-want +got):\n%s", m.Tries, m.Trying, diff)
	}
	silent := ask(two, time.Second, "DISCOVER", "no reply", noBoot)
	silent.Wants = true
	j.note(silent)
	var steps []string
	j.Heads(func(h Head) bool {
		steps = append(steps, fmt.Sprint(h.MAC[5], h.Step, h.Tries))
		return true
	})
	if diff := cmp.Diff([]string{"2 discover 1", "1 discover 1"}, steps); diff != "" {
		t.Error(diff)
	}
}

// TestSince has readers that come early, late, and too late.
func TestSince(t *testing.T) {
	t.Parallel()
	j := New(Options{})
	numbers := func(number uint64, most int) []uint64 {
		list, last := j.Since(number, most)
		all := []uint64{last}
		for _, n := range list {
			all = append(all, n.Number)
		}
		return all
	}
	for i := range 3 {
		e := ask(one, time.Duration(i)*time.Second, "REQUEST", "ACK", ipxe)
		e.Reason, e.Detail, e.Bootfile = "reason", "detail\n", strings.Repeat("x", 300)
		j.note(e)
	}
	for name, c := range map[string]struct {
		number uint64
		most   int
		want   []uint64
	}{
		"all": {0, 10, []uint64{3, 1, 2, 3}}, "the last": {0, 1, []uint64{3, 3}}, "those after": {2, 10, []uint64{3, 3}},
		"none": {3, 10, []uint64{3}}, "of another server": {99, 10, []uint64{3}}, "nothing": {0, 0, []uint64{3}},
	} {
		if diff := cmp.Diff(c.want, numbers(c.number, c.most)); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", name, diff)
		}
	}
	list, _ := j.Since(2, 1)
	want := News{Number: 3, MAC: one, Known: true, Step: Script, Past: Past{
		First: noon.Add(2 * time.Second), Last: noon.Add(2 * time.Second), Times: 1, Plugin: "coresmd", Message: "REQUEST", State: "request",
		Verdict: "ACK", Reason: "0x" + hex.EncodeToString([]byte("reason: detail\n")), Addr: addr, Bootfile: strings.Repeat("x", 200),
	}}
	if diff := cmp.Diff([]News{want}, list, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for range 300 {
		j.note(ask(two, time.Minute, "DISCOVER", "OFFER", firmware))
	}
	if got := numbers(2, 1000); len(got) != 1+newsSize || got[0] != 303 || got[1] != 303-newsSize+1 || got[newsSize] != 303 {
		t.Errorf("%v", got)
	}
}

// TestStranger has one that asks for hours: what it does takes two events.
func TestStranger(t *testing.T) {
	t.Parallel()
	j := New(Options{})
	for i := range 1000 {
		e := ask(one, time.Duration(i)*time.Minute, "DISCOVER", "passed on", firmware)
		e.Known = false
		e.Shown = Shown{
			Giaddr: netip.MustParseAddr("192.0.2.254"), Circuit: []byte("swp\x01"), Remote: []byte("leaf1"),
			Class: []byte("PXEClient:Arch:00007"), Arch: 7, HasArch: true,
		}
		e.Reason, e.Detail = "unknown machine", "not in SMD"
		j.note(e)
		e.Plugin, e.Verdict, e.Reason, e.Detail = "bootloop", "OFFER", "", ""
		j.note(e)
	}
	m, _ := j.Machine(one)
	if diff := cmp.Diff([]string{"1000 exchange DISCOVER passed on (unknown machine: not in SMD)", "1000 exchange DISCOVER OFFER"}, lines(m)); diff != "" {
		t.Error(diff)
	}
	if m.Circuit != "0x73777001" || m.Remote != "leaf1" || m.Class != "PXEClient:Arch:00007" || m.Arch != 7 || m.Giaddr.String() != "192.0.2.254" || m.Known {
		t.Errorf("%+v", m)
	}
}

// TestOwner has transfers: of the machine that was given the address last, or
// of the one that somebody else knows, or of nobody.
func TestOwner(t *testing.T) {
	t.Parallel()
	other := netip.MustParseAddr("2001:db8::2")
	j := New(Options{Owner: func(a netip.Addr) (MAC, bool) { return two, a == other }})
	fetch := func(from netip.Addr) { j.note(Event{Kind: HTTP, At: noon, From: from, Verdict: "sent", Bootfile: "x"}) }
	j.note(ask(one, 0, "REQUEST", "ACK", firmware))
	fetch(netip.MustParseAddr("::ffff:192.0.2.11"))
	fetch(other)
	fetch(netip.MustParseAddr("192.0.2.99"))
	three := MAC{2, 0, 0, 0, 0, 3}
	j.note(ask(three, 1, "REQUEST", "ACK", firmware)) // it has the address now
	fetch(addr)
	moved := ask(three, 2, "REQUEST", "ACK", firmware)
	moved.Addr = netip.MustParseAddr("192.0.2.99")
	j.note(moved)
	fetch(moved.Addr)
	fetch(addr)                                     // it left that: nobody's
	j.note(ask(one, 3, "REQUEST", "ACK", firmware)) // it has it again
	fetch(addr)
	got := map[string][]string{}
	j.Machines(func(m Machine) bool { got[fmt.Sprint(m.MAC[5])] = lines(m); return true })
	if diff := cmp.Diff(map[string][]string{
		"1": {"2 exchange REQUEST ACK", "2 http sent x"}, "2": {"1 http sent x"},
		"3": {"2 http sent x", "1 exchange REQUEST ACK", "1 exchange REQUEST ACK"},
	}, got); diff != "" {
		t.Error(diff)
	}
}

// TestBound has more machines than fit: strangers do not push out those of SMD.
func TestBound(t *testing.T) {
	t.Parallel()
	j := New(Options{Machines: 100})
	mac := func(kind, i int) MAC { return MAC{2, byte(kind), 0, 0, byte(i >> 8), byte(i)} }
	for i := range 80 {
		e := ask(mac(0, i), time.Duration(i), "REQUEST", "ACK", noBoot)
		e.Addr = netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
		j.note(e)
	}
	for i := range 1000 {
		e := ask(mac(1, i), time.Duration(1000+i), "DISCOVER", "passed on", noBoot)
		e.Known = false
		j.note(e)
	}
	var known, strange []MAC
	j.Machines(func(m Machine) bool {
		if m.Known {
			known = append(known, m.MAC)
		} else {
			strange = append(strange, m.MAC)
		}
		return true
	})
	if len(known) != 75 || len(strange) != 25 || known[0] != mac(0, 79) || strange[0] != mac(1, 999) || strange[24] != mac(1, 975) {
		t.Errorf("%d of SMD from %v, %d strangers from %v", len(known), known[0], len(strange), strange[0])
	}
	if _, ok := j.Owner(netip.MustParseAddr("10.0.0.0")); ok {
		t.Error("a machine that was forgotten has its address")
	}
	if got := j.Stats(); got != (Stats{Machines: 100, Limit: 100}) {
		t.Errorf("%+v", got)
	}
}

// TestLost has a journal that nobody reads: who reports does not wait, and what
// is lost is counted.
func TestLost(t *testing.T) {
	t.Parallel()
	j := New(Options{})
	for range queueSize + 7 {
		j.Add(ask(one, 0, "DISCOVER", "OFFER", noBoot))
	}
	if got := j.Stats().Lost; got != 7 {
		t.Errorf("%d lost, want 7", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { j.Run(ctx) })
	j.Settle(t.Context())
	m, ok := j.Machine(one)
	cancel()
	run.Wait()
	if !ok || m.Events[0].Times < queueSize-1 {
		t.Errorf("%+v", m)
	}
}

// TestReadersDoNotDelay has readers of everything beside events: none is lost.
func TestReadersDoNotDelay(t *testing.T) {
	t.Parallel()
	j := New(Options{Machines: 2000})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { j.Run(ctx) })
	all.Go(func() {
		for ctx.Err() == nil {
			j.Machines(func(Machine) bool { return true })
		}
	})
	for i := range 5000 {
		j.Add(ask(MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}, time.Duration(i), "DISCOVER", "OFFER", noBoot))
	}
	j.Settle(t.Context())
	cancel()
	all.Wait()
	if got := j.Stats(); got.Machines != 2000 || got.Lost != 0 {
		t.Errorf("%+v", got)
	}
}

// TestForgottenTexts has texts that nobody needs any more: they take no room.
func TestForgottenTexts(t *testing.T) {
	t.Parallel()
	j := New(Options{Machines: 10})
	for i := range 10_000 {
		e := ask(MAC{2, 0, 0, 0, byte(i >> 8), byte(i)}, time.Duration(i), "DISCOVER", "no reply", noBoot)
		e.Detail, e.Rule, e.Bootfile, e.Shown.Class = fmt.Sprint("detail ", i), fmt.Sprint("rule ", i), fmt.Sprint("file ", i), fmt.Append(nil, "class ", i)
		j.note(e)
	}
	if n := len(j.store.texts.ids); n != 40 || len(j.store.texts.all) > 60 {
		t.Errorf("%d texts for 10 machines, room for %d", n, len(j.store.texts.all))
	}
}

// FuzzStore has events of a few machines in any order, against a plain list.
func FuzzStore(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 255, 254, 3, 3, 3})
	f.Fuzz(func(t *testing.T, ops []byte) {
		j := New(Options{Machines: 4})
		heard := map[MAC]int{}
		for i, op := range ops {
			mac := MAC{2, 0, 0, 0, 0, op & 7}
			e := ask(mac, time.Duration(i)*time.Second, fmt.Sprint("M", op>>6), []string{"ACK", "OFFER"}[op>>3&1], int(op>>4&3)%3)
			e.Known, e.Detail, e.Addr = op&1 == 0, string(ops[:op&3]), netip.AddrFrom4([4]byte{10, 0, 0, op >> 5})
			j.note(e)
			heard[mac] = i
		}
		var got []int
		j.Machines(func(m Machine) bool {
			got = append(got, heard[m.MAC])
			if len(m.Events) == 0 || len(m.Events) > Events || !m.Last.Equal(noon.Add(time.Duration(heard[m.MAC])*time.Second)) {
				t.Errorf("%+v", m)
			}
			return true
		})
		if len(got) > 4 || len(got) < min(4, len(heard)) || !slices.IsSortedFunc(got, func(a, b int) int { return b - a }) {
			t.Errorf("machines heard at %v of %d", got, len(heard))
		}
		if n := j.store.known.n + j.store.strange.n; n != len(j.store.machines) {
			t.Errorf("%d in lists, %d machines", n, len(j.store.machines))
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	j := New(Options{})
	ctx, cancel := context.WithCancel(b.Context())
	var run sync.WaitGroup
	run.Go(func() { j.Run(ctx) })
	i := 0
	for b.Loop() {
		i++
		j.Add(ask(MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}, time.Duration(i), "DISCOVER", "OFFER", noBoot))
	}
	b.ReportMetric(float64(j.Stats().Lost)/float64(i), "lost/op")
	cancel()
	run.Wait()
}

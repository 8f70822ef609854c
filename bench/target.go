package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/OpenCHAMI/coresmd/bench/load"
)

// A target is what is to be reached.
type target struct {
	about string
	want  string
	limit float64
	least bool // limit is the least; else the most
	got   func(*ledger) (float64, bool)
	unit  string
}

// met tells whether a number reaches a target.
func (t target) met(got float64) bool {
	if t.least {
		return got >= t.limit
	}
	return got <= t.limit
}

// unchanged is how much longer a median may be and count as the same.
const unchanged = 1.1

var targets = [...]target{
	{"relayed leases a second, against Kea", "at least 5 x", 5, true, ratio(rate, relayedScene, ours, kea), "x"},
	{"relayed leases a second, against a UDP echo", "at least 0.45 x", 0.45, true, ratio(rate, relayedScene, ours, echo), "x"},
	{"direct leases a second, against Kea", "at least 7 x", 7, true, ratio(rate, directScene, ours, kea), "x"},
	{"processor time a lease, relayed, against Kea", "at most 0.18 x", 0.18, false, ratio(cost, relayedScene, ours, kea), "x"},
	{"processor time a lease, direct, against Kea", "at most 0.15 x", 0.15, false, ratio(cost, directScene, ours, kea), "x"},
	{"10,000 at once, relayed: all have leases after", "at most 1.0 s", 1, false, of(took, burstRelayed, ours), "s"},
	{"10,000 at once, relayed: messages sent again", "fewer than 100", 99, false, of(again, burstRelayed, ours), ""},
	{"10,000 at once, direct: all have leases after", "at most 1.0 s", 1, false, of(took, burstDirect, ours), "s"},
	{"10,000 at once, direct: messages sent again", "fewer than 100", 99, false, of(again, burstDirect, ours), ""},
	{"100,000 at once: all have leases after", "at most 10 s", 10, false, of(took, burstMany, ours), "s"},
	{"100,000 at once: most memory", "at most 250 MB", 250, false, of(peak, burstMany, ours), "MB"},
	{"median time to a lease while 100,000 interfaces are read again, against otherwise", "unchanged: at most 1.1 x", unchanged, false, of(slowdown, refreshScene, ours), "x"},
	{"messages sent again meanwhile", "none", 0, false, of(again, refreshScene, ours), ""},
	{"leases a second for new machines, each on disk before its ACK, against Kea, which does not wait for the disk", "at least 1 x", 1, true, ratio(rate, strangersScene, ours, kea), "x"},
	{"median time to a lease of a known machine beside 2,000 new ones a second, against none", "unchanged: at most 1.1 x", unchanged, false, of(slowdown, busyScene, ours), "x"},
}

// The values of a record. In scenes with two crowds the known machines are the
// last one.
func rate(r record) float64 { return perSecond(r.Results[0]) }

func cost(r record) float64 {
	return milliseconds(r.Results[0].Server) / float64(max(r.Results[0].Leases, 1))
}
func took(r record) float64  { return r.Results[0].Took.Seconds() }
func again(r record) float64 { return float64(r.Results[0].Again) }
func left(r record) float64  { return float64(r.Results[0].Open) }
func peak(r record) float64  { return float64(r.Peak) / 1e6 }
func p50(r record) float64   { return milliseconds(known(r).P50) }

// The values of scenes with phases.
func calm50(r record) float64   { return milliseconds(known(r).Calm.P50) }
func calm99(r record) float64   { return milliseconds(known(r).Calm.P99) }
func busy50(r record) float64   { return milliseconds(known(r).Busy.P50) }
func busy99(r record) float64   { return milliseconds(known(r).Busy.P99) }
func slowdown(r record) float64 { return busy50(r) / max(calm50(r), 1e-9) }

// The values of what perfdhcp tells.
func asked(r record) float64 { return float64(r.Theirs.Asked) }
func delay(r record) float64 { return milliseconds(r.Theirs.Delay) }
func unanswered(r record) float64 {
	return 1000 * float64(r.Theirs.Asked-r.Theirs.Answered) / float64(max(r.Theirs.Asked, 1))
}

func known(r record) load.Result { return r.Results[len(r.Results)-1] }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// of returns the median of a value.
func of(value func(record) float64, scene string, p peer) func(*ledger) (float64, bool) {
	return func(l *ledger) (float64, bool) { return median(l.of(scene, p.name), value) }
}

// ratio returns the median of what two servers had in the same scene and round,
// one divided by the other: the machine is a fifth slower at times, and then it is
// so for both.
func ratio(value func(record) float64, scene string, p, other peer) func(*ledger) (float64, bool) {
	return func(l *ledger) (float64, bool) {
		others := make(map[int]float64)
		for _, r := range l.of(scene, other.name) {
			others[r.Round] = value(r)
		}
		paired := slices.DeleteFunc(l.of(scene, p.name), func(r record) bool { return others[r.Round] <= 0 })
		return median(paired, func(r record) float64 { return value(r) / others[r.Round] })
	}
}

// judge returns the table of all targets, and how many are met and missed.
func judge(l *ledger) (rows [][]string, met, missed int) {
	for _, t := range targets {
		got, ok := t.got(l)
		row := []string{t.about, t.want, "not measured", ""}
		if ok {
			row[2], row[3] = short(got)+" "+t.unit, "missed"
			missed++
		}
		if ok && t.met(got) {
			row[3] = "met"
			missed--
			met++
		}
		rows = append(rows, row)
	}
	return rows, met, missed
}

// short writes a number with as many digits as it is good for.
func short(n float64) string {
	switch {
	case n == 0 || n >= 100:
		return fmt.Sprintf("%.0f", n)
	case n >= 10:
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.2f", n)
}

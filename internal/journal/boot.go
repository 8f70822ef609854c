package journal

import "time"

// A Boot is the last one of a machine: when it came to each step. Zero: it did
// not.
type Boot [Up + 1]time.Time

// A boot is a Boot, packed, and how often it was tried.
type boot struct {
	began int64      // this boot
	at    [Up]uint32 // by step, from Discover: ticks from began, and one; 0: the boot did not come there
	tried uint32     // ticks from the first of its tries to began
	tries uint16     // boots since the last one that came to its script
}

// come enters that a boot came to a step, the first of another boot or a
// later one.
func (b *boot) come(from, to Step, at int64) {
	if from == NoStep || from == Up || to < from {
		b.begin(from, at)
	}
	b.at[to-1] = 1 + ticks(at-b.began, 1<<32-2)
}

func (b *boot) begin(from Step, at int64) {
	b.tried = ticks(at-b.trying(), 1<<32-1)
	if from == NoStep || from >= Script {
		b.tries, b.tried = 0, 0
	}
	b.tries = min(b.tries+1, 1<<16-2)
	b.began, b.at = at, [Up]uint32{}
}

// trying is when the first of its tries began.
func (b *boot) trying() int64 { return b.began - int64(b.tried)*int64(tick) }

// came is when the boot came to a step; zero: it did not.
func (b *boot) came(to Step) time.Time {
	if to == NoStep || b.at[to-1] == 0 {
		return time.Time{}
	}
	return time.Unix(0, b.began+int64(b.at[to-1]-1)*int64(tick))
}

func (b *boot) show() (shown Boot) {
	for step := range shown {
		shown[step] = b.came(Step(step))
	}
	return shown
}

// ticks counts those in nanoseconds, and no more than most.
func ticks(ns, most int64) uint32 { return uint32(min(max(ns, 0)/int64(tick), most)) }

// advance returns how far the boot has come after an event.
func (r *record) advance(e *Event) Step {
	switch {
	case e.Kind != Exchange && e.Verdict == sent && r.step < Loader:
		return Loader
	case e.Kind != Exchange:
		return r.step
	case e.IPXE && e.Leased && e.Bootfile != "":
		return Script
	case e.IPXE:
		return Asking
	}
	return r.withoutIPXE(e)
}

// withoutIPXE is how far the boot has come after a message that is not
// iPXE's.
func (r *record) withoutIPXE(e *Event) Step {
	switch {
	case e.Boots && e.Leased:
		return Ack
	case e.Boots:
		return Discover
	case e.Leased:
		return Up
	case e.Wants && r.step == NoStep:
		return Discover
	}
	return r.step
}

// sent is the verdict of a transfer that the client has as a whole.
const sent = "sent"

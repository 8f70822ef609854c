package smd

import (
	"hash/maphash"
	"time"
)

// DefaultDoubt is how long SMD has to say the same before an inventory that
// shrank by more than half is believed.
const DefaultDoubt = 10 * time.Minute

// A Doubt is an answer that is not believed yet.
type Doubt struct {
	Machines int       // in SMD's last answer
	Before   int       // in the inventory that serves
	Since    time.Time // the first answer of those that agree
	Until    time.Time // when it will be believed; zero: never without a human
}

// A doubter holds back answers that lost too much at once: a database that was
// restored half, an API that serves before its data are there.
type doubter struct {
	patience time.Duration
	seed     maphash.Seed
	doubt    Doubt     // the answer in doubt; zero: none
	set      [2]uint64 // stands for the machines of that answer
}

func newDoubter(patience time.Duration) doubter {
	if patience == 0 {
		patience = DefaultDoubt
	}
	return doubter{patience: patience, seed: maphash.MakeSeed()}
}

// believe says whether an answer may take the place of the inventory that
// serves. Answers agree while they hold the same machines.
func (d *doubter) believe(serving, answer Index, now time.Time) bool {
	if len(answer) >= (len(serving)+1)/2 {
		d.doubt = Doubt{}
		return true
	}
	set := d.setOf(answer)
	if d.doubt.Before == 0 || set != d.set {
		d.doubt.Since, d.set = now, set
	}
	d.doubt.Machines, d.doubt.Before = len(answer), len(serving)
	d.doubt.Until = time.Time{}
	if len(answer) == 0 {
		return false
	}
	d.doubt.Until = d.doubt.Since.Add(d.patience)
	if now.Before(d.doubt.Until) {
		return false
	}
	d.doubt = Doubt{}
	return true
}

// setOf sums the machines of an index up, in whatever order they come.
func (d *doubter) setOf(index Index) (set [2]uint64) {
	for mac := range index {
		h := maphash.Comparable(d.seed, mac)
		set[0] += h
		set[1] ^= h
	}
	return set
}

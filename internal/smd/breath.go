package smd

import "time"

// breath is how many records are gone through at a stretch: about two
// milliseconds' work. The pause takes one.
const breath = 256

// pause lets others go first. On one core nobody else runs for ten milliseconds
// while somebody computes: packets would wait as long, again and again, while a
// large inventory is read. They are answered when this goroutine sleeps, unless it wakes
// before the network is looked at.
func pause() { time.Sleep(time.Microsecond) }

// breathe is called for each of many records, and pauses now and then.
func breathe(record int) {
	if record%breath == 0 {
		pause()
	}
}

// breathing has a comparison breathe, for many of them. One is as much work as
// a small part of a record.
func breathing[T, R any](compare func(a, b T) R) func(a, b T) R {
	const part = 32
	n := 0
	return func(a, b T) R {
		if n++; n%(part*breath) == 0 {
			pause()
		}
		return compare(a, b)
	}
}

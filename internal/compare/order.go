package compare

import (
	"slices"
	"time"
)

// An Order puts datagrams in the order in which they were seen. Each interface
// is read by itself: a reply that leaves by one may be read before the request
// that came by another.
type Order struct {
	Most int // datagrams that are held at once

	held []Datagram // by time
}

// Add takes a datagram, whose octets it keeps.
func (o *Order) Add(d Datagram) {
	at, _ := slices.BinarySearchFunc(o.held, d.Time, func(other Datagram, t time.Time) int {
		if other.Time.After(t) {
			return 1
		}
		return -1 // of two of the same time the one that was read first
	})
	o.held = slices.Insert(o.held, at, d)
}

// Before gives back those that were seen before a time, and of the others the
// first if there are too many.
func (o *Order) Before(t time.Time) []Datagram {
	n := max(len(o.held)-o.Most, 0)
	for n < len(o.held) && o.held[n].Time.Before(t) {
		n++
	}
	return o.take(n)
}

// Rest gives back all.
func (o *Order) Rest() []Datagram { return o.take(len(o.held)) }

func (o *Order) take(n int) []Datagram {
	first := o.held[:n:n]
	o.held = o.held[n:]
	return first
}

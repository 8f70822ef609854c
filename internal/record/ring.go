package record

import (
	"encoding/binary"
	"sync"
	"time"
)

// Sizes of the parts of a ring. The longest exchange, of two datagrams of 64 KiB,
// fits into the smallest.
const (
	minSegment = 256 << 10
	maxSegment = 4 << 20
	segments   = 16 // of a ring that is large enough
	// MinSize is the least size of a ring.
	MinSize = 1 << 20

	head      = 8       // octets before an exchange: its length, and its interface
	keptSpare = 8 << 10 // octets of scratch memory that is kept
)

// A Ring keeps the last exchanges in so many octets of memory. Memory is taken as
// it is needed. It is safe for concurrent use; who reads keeps nobody waiting who
// adds.
type Ring struct {
	size    int // of a segment
	most    int // segments
	scratch sync.Pool

	mu     sync.Mutex
	all    []*segment // guarded by mu: the oldest first
	first  uint64     // guarded by mu: the number of the oldest
	pinned *segment   // guarded by mu: it is being read

	reading sync.Mutex // one reads at a time
}

// A segment is exchanges that are forgotten together. What was appended is never
// written to before that.
type segment struct {
	octets     []byte
	interfaces []Interface
	described  int // octets that the interfaces take
}

// New returns a ring of so many octets, MinSize at least.
func New(size int) *Ring {
	size = max(size, MinSize)
	segment := min(max(size/segments, minSegment), maxSegment)
	r := &Ring{size: segment, most: size / segment}
	r.scratch.New = func() any { return new([]byte) }
	return r
}

// Add keeps an exchange. What it points to may be used again afterwards, but for
// the networks of the interface.
func (r *Ring) Add(x *Exchange) {
	room := r.scratch.Get().(*[]byte)
	octets := x.append((*room)[:0])
	r.add(octets, x.Interface)
	if cap(octets) <= keptSpare {
		*room = octets
	}
	r.scratch.Put(room)
}

func (r *Ring) add(octets []byte, from Interface) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.last()
	at := -1
	if s != nil {
		at = s.describe(from, r.size/8)
	}
	if at < 0 || len(s.octets)+head+len(octets) > cap(s.octets) {
		s = r.next()
		at = s.describe(from, r.size/8)
	}
	if at < 0 || head+len(octets) > cap(s.octets) {
		return // longer than any datagram, with more networks than any interface
	}
	s.octets = binary.LittleEndian.AppendUint32(s.octets, uint32(len(octets)))
	s.octets = binary.LittleEndian.AppendUint32(s.octets, uint32(at))
	s.octets = append(s.octets, octets...)
}

func (r *Ring) last() *segment {
	if len(r.all) == 0 {
		return nil
	}
	return r.all[len(r.all)-1]
}

// next begins a segment. It takes the place of the oldest one if there are enough.
func (r *Ring) next() *segment {
	var s *segment
	if len(r.all) == r.most {
		if s = r.all[0]; s == r.pinned {
			s = nil
		}
		r.all = append(r.all[:0], r.all[1:]...)
		r.first++
	}
	if s == nil {
		s = &segment{octets: make([]byte, 0, r.size-r.size/8)}
	}
	*s = segment{octets: s.octets[:0]}
	r.all = append(r.all, s)
	return s
}

// describe returns the number of an interface in the segment; -1: there is no room
// for one more.
func (s *segment) describe(i Interface, most int) int {
	for at, have := range s.interfaces {
		if have.equal(i) {
			return at
		}
	}
	if s.described += i.size(); s.described > most {
		return -1
	}
	s.interfaces = append(s.interfaces, i)
	return len(s.interfaces) - 1
}

// Each visits the exchanges that there are now, the oldest first, until visit
// returns false. What it is given is valid until it returns. An exchange that is
// forgotten meanwhile may be left out.
func (r *Ring) Each(visit func(*Exchange) bool) {
	r.reading.Lock()
	defer r.reading.Unlock()
	defer r.pin(0, 0)
	r.mu.Lock()
	at, end := r.first, r.first+uint64(len(r.all))
	r.mu.Unlock()
	var x Exchange
	for at < end {
		s, number, ok := r.pin(at, end)
		if !ok {
			return
		}
		for b := parser(s.octets); len(b) > 0; {
			n := binary.LittleEndian.Uint32(b.take(4))
			x.Interface = s.interfaces[binary.LittleEndian.Uint32(b.take(4))]
			x.parse(b.take(int(n)))
			if !visit(&x) {
				return
			}
		}
		at = number + 1
	}
}

// pin returns the segment of a number as it is now, or the oldest after it, and
// keeps it from being used again. None is kept if there is none before end.
func (r *Ring) pin(at, end uint64) (s segment, number uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	number = max(at, r.first)
	if r.pinned = nil; number >= end || number-r.first >= uint64(len(r.all)) {
		return segment{}, 0, false
	}
	r.pinned = r.all[number-r.first]
	return *r.pinned, number, true
}

// Oldest returns when the oldest exchange came that is kept, and how many there
// are.
func (r *Ring) Oldest() (oldest time.Time, exchanges int) {
	r.Each(func(x *Exchange) bool {
		if exchanges++; exchanges == 1 {
			oldest = x.Time
		}
		return true
	})
	return oldest, exchanges
}

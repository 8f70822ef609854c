package lease

import (
	"container/heap"
	"container/list"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sort"
	"time"
)

// Range is a run of addresses of one family, both ends included.
type Range struct{ First, Last netip.Addr }

// String writes the range as START-END, the form of the configuration.
func (r Range) String() string { return r.First.String() + "-" + r.Last.String() }

func (r Range) contains(a netip.Addr) bool {
	return a.BitLen() == r.First.BitLen() && r.First.Compare(a) <= 0 && a.Compare(r.Last) <= 0
}

// size counts the addresses; what does not fit is math.MaxUint64.
func (r Range) size() uint64 {
	first, last := r.First.As16(), r.Last.As16()
	low := binary.BigEndian.Uint64(last[8:]) - binary.BigEndian.Uint64(first[8:])
	wide := binary.BigEndian.Uint64(last[:8]) != binary.BigEndian.Uint64(first[:8])
	if wide || low == math.MaxUint64 {
		return math.MaxUint64
	}
	return low + 1
}

func (r Range) check() error {
	switch {
	case !r.First.IsValid() || !r.Last.IsValid():
		return fmt.Errorf("pool %s: want two addresses", r)
	case r.First.Zone() != "" || r.Last.Zone() != "":
		return fmt.Errorf("pool %s: an address of a pool has no zone", r)
	case r.First.BitLen() != r.Last.BitLen():
		return fmt.Errorf("pool %s: start and end are of different families", r)
	case r.Last.Less(r.First):
		return fmt.Errorf("pool %s runs backwards: its end lies before its start", r)
	}
	return nil
}

// checkPools returns every mistake at once: ranges that are none, run
// backwards or share an address with another one.
func checkPools(pools []Range) error {
	if len(pools) == 0 {
		return errors.New("no pool: want at least one range of addresses")
	}
	var errs []error
	var good []Range
	for _, r := range pools {
		if err := r.check(); err != nil {
			errs = append(errs, err)
			continue
		}
		good = append(good, r)
	}
	slices.SortStableFunc(good, func(a, b Range) int { return a.First.Compare(b.First) })
	for i, r := range good {
		for _, later := range good[i+1:] {
			if r.contains(later.First) {
				errs = append(errs, fmt.Errorf("pool %s overlaps pool %s", r, later))
			}
		}
	}
	return errors.Join(errs...)
}

// tick is a point of time, counted from the moment the table was opened, so
// that it follows the monotonic clock. Zero and below stand for "never".
type tick = time.Duration

// kind says what a slot counts as.
type kind int

const (
	free kind = iota
	offered
	leased
	declined
	taken
	kinds
)

// slot is an address that has been used at least once; the others have none.
// It lies in its pool's heap while it is held and in the free list otherwise.
type slot struct {
	addr     netip.Addr
	pool     *pool
	client   Client // the last one of the address
	owned    bool   // Table.owned leads from client to this slot
	hostname string

	offer   tick   // end of the offer
	lease   tick   // end of the lease that is on disk
	reserve tick   // end of the lease that is being written
	blocked tick   // end of a quarantine, or when to ask Taken again
	cause   kind   // why it is blocked: declined or taken
	writes  int    // leases being written
	gen     uint64 // goes up whenever writes under way lose their meaning

	past  State // of a lease that is over; None: there was none
	since tick  // that it is in its state, if dated
	dated bool

	kind  kind
	until tick          // end of all of the above: the heap's key
	at    int           // index in the heap, -1 outside
	elem  *list.Element // place in the free list, nil outside
}

// clear ends offer, lease and quarantine, and disowns writes under way. The
// client stays, so that the client can get its address back while it is free.
func (s *slot) clear() {
	s.offer, s.lease, s.reserve, s.blocked, s.writes = 0, 0, 0, 0, 0
	s.gen++
}

// turn dates the state that a slot comes to.
func (s *slot) turn(now tick) { s.past, s.since, s.dated = None, now, true }

// over notes what became of the lease.
func (s *slot) over(how State, at tick) { s.past, s.since, s.dated = how, at, true }

func (s *slot) judge() kind {
	switch {
	case s.blocked > 0:
		return s.cause
	case s.lease <= 0 || s.offer > s.lease:
		return offered
	}
	return leased
}

// remembered bounds what a pool keeps of addresses that are not held, for the
// clients that had them. A pool of DHCPv6 may have more addresses than fit in
// memory, and whoever sends new DUIDs gets through them.
const remembered = 1 << 16

// pool hands out the addresses of a range. Never-used ones come from a cursor,
// so a /64 costs no more than a /24; used ones wait in a list, the least
// recently used first.
type pool struct {
	Range
	index int
	next  netip.Addr // the cursor; the zero Addr behind the last address
	slots map[netip.Addr]*slot
	order []*slot // all of slots, none is ever taken out
	held  heldHeap
	free  *list.List
	count [kinds]uint64
}

func newPool(index int, r Range) *pool {
	return &pool{Range: r, index: index, next: r.First, slots: map[netip.Addr]*slot{}, free: list.New()}
}

// add makes the slot of a never-used address. The caller settles it.
func (p *pool) add(a netip.Addr) *slot {
	s := &slot{addr: a, pool: p, at: -1}
	p.slots[a] = s
	p.order = append(p.order, s)
	p.count[free]++
	return s
}

// candidate returns the slot to give out next, nil when none is free. It is
// the caller's once settled with an end in the future.
func (p *pool) candidate() *slot {
	for p.next.IsValid() && p.free.Len() < remembered {
		a := p.next
		p.advance()
		if p.slots[a] == nil {
			return p.add(a)
		}
	}
	if e := p.free.Front(); e != nil {
		return e.Value.(*slot)
	}
	return nil
}

func (p *pool) advance() {
	if p.next == p.Last {
		p.next = netip.Addr{}
		return
	}
	p.next = p.next.Next()
}

// settle puts a slot where its times say: into the heap, or at the end of the
// free list. One that lies there already keeps its place.
func (p *pool) settle(s *slot, now tick) {
	p.count[s.kind]--
	s.until = max(s.offer, s.lease, s.reserve, s.blocked)
	s.kind = s.judge()
	if s.until <= now {
		s.kind = free
	}
	p.count[s.kind]++
	if s.kind == free {
		p.enlist(s)
		return
	}
	if s.at >= 0 {
		heap.Fix(&p.held, s.at)
		return
	}
	if s.elem != nil {
		p.free.Remove(s.elem)
		s.elem = nil
	}
	heap.Push(&p.held, s)
}

func (p *pool) enlist(s *slot) {
	if s.at >= 0 {
		heap.Remove(&p.held, s.at)
	}
	if s.elem == nil {
		s.elem = p.free.PushBack(s)
	}
}

// expireStep bounds what one call of expire does, so that no packet pays for
// the end of a million leases.
const expireStep = 256

// expire moves slots whose time is over to the free list, in the order in
// which they ended, and reports whether it did all of them.
func (p *pool) expire(now tick) bool {
	for range expireStep {
		if len(p.held) == 0 || p.held[0].until > now {
			return true
		}
		s := p.held[0]
		if s.lease > 0 {
			s.over(Expired, s.lease)
		}
		s.offer, s.lease, s.blocked = 0, 0, 0
		p.settle(s, now)
	}
	return false
}

// quarantineLimit is a tenth of the pool, at least one address, and no more
// than is remembered.
func (p *pool) quarantineLimit() uint64 { return min(max(1, p.size()/10), remembered) }

// find returns the pool that holds a, nil if none does. The pools are sorted
// by their first address.
func find(sorted []*pool, a netip.Addr) *pool {
	i := sort.Search(len(sorted), func(i int) bool { return a.Less(sorted[i].First) })
	if i == 0 || !sorted[i-1].contains(a) {
		return nil
	}
	return sorted[i-1]
}

// heldHeap is a container/heap of held slots, the one that ends first on top.
type heldHeap []*slot

func (h heldHeap) Len() int           { return len(h) }
func (h heldHeap) Less(i, j int) bool { return h[i].until < h[j].until }
func (h heldHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push is part of heap.Interface.
func (h *heldHeap) Push(x any) {
	s := x.(*slot)
	s.at = len(*h)
	*h = append(*h, s)
}

// Pop is part of heap.Interface.
func (h *heldHeap) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	s.at = -1
	return s
}

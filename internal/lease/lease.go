// Package lease keeps the temporary addresses of machines nobody knows: who
// holds which address of which pool until when, and the lease file that
// outlives the process. It knows nothing of DHCP messages and does not log.
//
// An address has at most one client and a client at most one address. A lease
// counts once it is on disk: Confirm and Extend return after the commit. All
// commits are made by one goroutine, many leases at a time, and no lock is
// held meanwhile.
package lease

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Errors a caller branches on.
var (
	// ErrExhausted: no address of the pool is free.
	ErrExhausted = errors.New("no free address in the pool")
	// ErrNotOffered: the address is not the client's offer or lease, or no
	// longer, or somebody else uses it by now.
	ErrNotOffered = errors.New("address is not on offer to this client")
	// ErrNotLeased: the client has no lease of this address, or no longer.
	ErrNotLeased = errors.New("address is not leased to this client")
	// ErrStore: the lease could not be written, so it must not be acknowledged.
	ErrStore = errors.New("writing the lease file")
	// ErrInUse: another process works with the lease file.
	ErrInUse = errors.New("in use by another process")
	// ErrNoCgo: the binary was built without SQLite.
	ErrNoCgo = errors.New("lease_file needs SQLite: this binary was built with CGO_ENABLED=0; build it with CGO_ENABLED=1 and a C compiler")
)

// Defaults of Options.
const (
	DefaultOfferTime   = 10 * time.Second
	DefaultDeclineTime = 10 * time.Minute
)

// takenRecheck is when an address that Taken refused is asked about again.
const takenRecheck = time.Minute

// Lease is an address in the hands of a client.
type Lease struct {
	Client
	Addr     netip.Addr
	Pool     int       // index in Options.Pools
	Expires  time.Time // when the address may go to another client
	Hostname string    // as the client last gave it, may be empty
}

// Options are fixed for the life of a table.
type Options struct {
	Pools       []Range          // at least one; none overlaps another
	LeaseTime   time.Duration    // above zero
	OfferTime   time.Duration    // 0 means DefaultOfferTime; never longer than LeaseTime
	DeclineTime time.Duration    // 0 means DefaultDeclineTime
	Now         func() time.Time // nil means time.Now

	// Taken reports addresses that somebody else uses (a machine of SMD, the
	// server, the router); they are not given out. It is called without any
	// lock of the table, by several goroutines at once, possibly for many
	// addresses per Acquire. An address it refused is looked at again after a
	// minute. May be nil.
	Taken func(netip.Addr) bool

	// OnCommit is told of each commit, by the one goroutine that makes them,
	// without any lock of the table. May be nil.
	OnCommit func(Commit)

	// SecondProcessor sees to it that Go has two processors until release is
	// called. A table holds it for each commit. May be nil.
	SecondProcessor func() (release func())
}

// Stats counts the addresses of one pool.
type Stats struct {
	Size        uint64 // all addresses; math.MaxUint64 stands for that many or more
	Leased      uint64
	Offered     uint64 // held for an offer, lease on disk or not
	Quarantined uint64 // declined
	Taken       uint64 // refused by Options.Taken within the last minute
}

// Table holds the leases of all pools. Its methods may be called by any
// number of goroutines.
type Table struct {
	opts   Options
	start  time.Time
	pools  []*pool // as configured
	sorted []*pool // by first address
	commit func([]*write) error
	close  func() error
	reopen func() error
	stop   chan struct{} // closed when run has ended

	mu     sync.Mutex
	owned  owners
	queue  []*write      // in the order in which the table changed
	wake   chan struct{} // capacity 1: the queue is no longer empty
	closed bool
}

// newTable makes a table that has no file yet.
func newTable(opts Options) (*Table, error) {
	opts.Pools = slices.Clone(opts.Pools)
	for i, r := range opts.Pools {
		opts.Pools[i] = Range{r.First.Unmap(), r.Last.Unmap()}
	}
	if err := checkPools(opts.Pools); err != nil {
		return nil, err
	}
	if opts.LeaseTime <= 0 || opts.OfferTime < 0 || opts.DeclineTime < 0 {
		return nil, fmt.Errorf("lease time %v, offer time %v, decline time %v: want a lease time above zero, none below", opts.LeaseTime, opts.OfferTime, opts.DeclineTime)
	}
	if opts.OfferTime == 0 {
		opts.OfferTime = DefaultOfferTime
	}
	opts.OfferTime = min(opts.OfferTime, opts.LeaseTime)
	if opts.DeclineTime == 0 {
		opts.DeclineTime = DefaultDeclineTime
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.SecondProcessor == nil {
		opts.SecondProcessor = func() (release func()) { return func() {} }
	}
	t := &Table{opts: opts, start: opts.Now(), owned: newOwners()}
	for i, r := range opts.Pools {
		t.pools = append(t.pools, newPool(i, r))
	}
	t.sorted = slices.Clone(t.pools)
	slices.SortFunc(t.sorted, func(a, b *pool) int { return a.First.Compare(b.First) })
	return t, nil
}

func (t *Table) now() tick { return t.opts.Now().Sub(t.start) }

func (t *Table) taken(a netip.Addr) bool { return t.opts.Taken != nil && t.opts.Taken(a) }

// show makes the Lease of a slot. Its end carries the monotonic reading of
// Options.Now, so time.Until is right although the wall clock was set.
func (t *Table) show(s *slot, end tick) Lease {
	return Lease{Client: s.client, Addr: s.addr, Pool: s.pool.index, Expires: t.start.Add(end), Hostname: s.hostname}
}

// Acquire answers a DISCOVER (RFC 2131 section 4.3.1): the client's address in
// one of these pools, which are those of one network, if it has one, also one
// whose lease has ended as long as nobody else got it, else a free one of the
// first pool that has any. The address is held for OfferTime. A client with an
// address in another pool has moved: that address is freed. The error is
// ErrExhausted, or names a pool that does not exist.
func (t *Table) Acquire(c Client, pools ...int) (Lease, error) {
	chosen := make([]*pool, len(pools))
	for i, n := range pools {
		if n < 0 || n >= len(t.pools) {
			return Lease{}, fmt.Errorf("pool %d: there are %d", n, len(t.pools))
		}
		chosen[i] = t.pools[n]
	}
	for {
		l, ok := t.offer(c, chosen)
		if !ok {
			return Lease{}, ErrExhausted
		}
		if !t.taken(l.Addr) {
			return l, nil
		}
		t.park(c, l.Addr)
	}
}

func (t *Table) offer(c Client, pools []*pool) (Lease, bool) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range pools {
		p.expire(now)
	}
	s := t.owned.of(c)
	if s == nil || !slices.Contains(pools, s.pool) {
		s = t.assign(c, pools, now)
	}
	if s == nil {
		return Lease{}, false
	}
	s.client = c
	if s.lease <= now {
		s.lease = 0
		if s.offer <= now {
			s.turn(now)
		}
	}
	s.offer = now + t.opts.OfferTime
	s.pool.settle(s, now)
	return t.show(s, s.until), true
}

// assign makes a free address of the first pool that has one the client's; nil
// if there is none.
func (t *Table) assign(c Client, pools []*pool, now tick) *slot {
	var s *slot
	for i := 0; s == nil && i < len(pools); i++ {
		s = pools[i].candidate()
	}
	if s == nil {
		return nil
	}
	t.disown(s)
	if old := t.owned.of(c); old != nil {
		old.pool.expire(now)
		t.disown(old)
		old.clear()
		old.pool.settle(old, now)
	}
	s.clear()
	s.client, s.owned, s.hostname, s.past = c, true, "", None
	t.owned.set(s)
	return s
}

func (t *Table) disown(s *slot) {
	if s.owned {
		t.owned.remove(s)
		s.owned = false
	}
}

// park takes an address away from the client because somebody else uses it.
// A lease on it stays reserved until it would have ended.
func (t *Table) park(c Client, a netip.Addr) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.owned.of(c)
	if s == nil || s.addr != a {
		return
	}
	t.block(s, taken, max(now+takenRecheck, s.lease, s.reserve), now)
}

func (t *Table) block(s *slot, cause kind, end, now tick) {
	t.disown(s)
	s.clear()
	s.blocked, s.cause = end, cause
	s.pool.settle(s, now)
}

// Held returns the client's lease that has not ended yet. The address stays
// reserved for the client until Expires. An offer is no lease.
func (t *Table) Held(c Client) (Lease, bool) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.owned.of(c)
	if s == nil || s.lease <= now {
		return Lease{}, false
	}
	return t.show(s, s.lease), true
}

// Confirm answers a REQUEST in state SELECTING: it turns the client's offer,
// or the lease it has, into a lease of LeaseTime, and returns when that is on
// disk. The error is ErrNotOffered, ErrStore with its cause, or that of ctx;
// then the offer stays as it was. Beside ErrStore the Lease is the one that
// the client already had, good until its Expires, or the zero Lease.
func (t *Table) Confirm(ctx context.Context, c Client, addr netip.Addr, hostname string) (Lease, error) {
	return t.write(ctx, row{client: c, addr: addr.Unmap(), hostname: hostname}, ErrNotOffered)
}

// Extend renews a lease that has not ended yet for LeaseTime, and returns when
// that is on disk. An offer is not enough: ErrNotLeased. Otherwise as Confirm.
func (t *Table) Extend(ctx context.Context, c Client, addr netip.Addr, hostname string) (Lease, error) {
	return t.write(ctx, row{client: c, addr: addr.Unmap(), hostname: hostname}, ErrNotLeased)
}

// Forget drops the offer to a client that chose another server. A lease is
// left as it is.
func (t *Table) Forget(c Client) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.owned.of(c)
	if s == nil || s.offer <= now {
		return
	}
	s.pool.expire(now)
	s.offer = 0
	s.pool.settle(s, now)
}

// Release frees the address if the client holds it, and reports that. The file
// follows soon after; should that fail, the row stays there until its expiry
// or until the address goes to another client.
func (t *Table) Release(c Client, addr netip.Addr) bool {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.holder(c, addr.Unmap(), now)
	if s == nil {
		return false
	}
	t.remove(s)
	s.clear()
	s.over(Released, now)
	s.pool.settle(s, now)
	return true
}

// Decline takes an address that the client found in use out of circulation for
// DeclineTime, and reports whether the client held it. When a tenth of the
// pool (at least one address) is in quarantine already, the address goes to
// the end of the queue instead. A restart ends quarantines.
func (t *Table) Decline(c Client, addr netip.Addr) bool {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.holder(c, addr.Unmap(), now)
	if s == nil {
		return false
	}
	t.remove(s)
	end := now + t.opts.DeclineTime
	if s.pool.count[declined] >= s.pool.quarantineLimit() {
		end = 0
	}
	t.block(s, declined, end, now)
	s.over(Declined, now)
	return true
}

// holder returns the slot if the client has an offer or a lease of addr.
func (t *Table) holder(c Client, addr netip.Addr, now tick) *slot {
	s := t.owned.of(c)
	if s == nil || s.addr != addr || s.until <= now {
		return nil
	}
	s.pool.expire(now)
	return s
}

// PoolOf returns the index of the pool that addr lies in.
func (t *Table) PoolOf(addr netip.Addr) (int, bool) {
	p := find(t.sorted, addr.Unmap())
	if p == nil {
		return 0, false
	}
	return p.index, true
}

// Stats counts the addresses of each pool, in the order of Options.Pools.
func (t *Table) Stats() []Stats {
	stats := make([]Stats, 0, len(t.pools))
	for _, p := range t.pools {
		now := t.now()
		for !t.expire(p, now) {
		}
		stats = append(stats, t.count(p))
	}
	return stats
}

func (t *Table) expire(p *pool, now tick) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return p.expire(now)
}

func (t *Table) count(p *pool) Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := p.count
	return Stats{Size: p.size(), Leased: n[leased], Offered: n[offered], Quarantined: n[declined], Taken: n[taken]}
}

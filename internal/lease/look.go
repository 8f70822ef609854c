package lease

import (
	"slices"
	"time"
)

// atOnce bounds what is looked at under the lock, so that a client waits no
// longer for somebody who reads than for another client.
const atOnce = 64

// A State is what a client's address is.
type State uint8

// The states of addresses that a client has or had.
const (
	None     State = iota
	Offered        // until Expires, or being written to the file
	Bound          // until Expires
	Expired        // the client gets it back unless somebody else does
	Released       // by the client
	Declined       // by the client: somebody else has it; in quarantine until Expires
)

// String is the name of a state in the API.
func (s State) String() string {
	return [...]string{"none", "offered", "bound", "expired", "released", "declined"}[s]
}

// An Entry is an address with the client that has it, or had it last.
type Entry struct {
	Lease
	State State
	Since time.Time // that it is in this state; zero: since before the table was opened
}

// Entries calls visit for the addresses that clients have or had, pool by pool,
// until it returns false. The table goes on meanwhile.
func (t *Table) Entries(visit func(Entry) bool) {
	for _, p := range t.pools {
		for from := 0; ; from += atOnce {
			entries, more := t.part(p, from)
			for _, e := range entries {
				if !visit(e) {
					return
				}
			}
			if !more {
				break
			}
		}
	}
}

// part returns the entries of some slots of a pool, and whether there are slots
// behind them.
func (t *Table) part(p *pool, from int) (entries []Entry, more bool) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	end := min(from+atOnce, len(p.order))
	for _, s := range p.order[min(from, end):end] {
		if e := t.entry(s, now); e.State != None {
			entries = append(entries, e)
		}
	}
	return entries, end < len(p.order)
}

func (t *Table) entry(s *slot, now tick) Entry {
	state, until, since, dated := s.past, tick(0), s.since, s.dated
	switch {
	case s.lease > now:
		state, until = Bound, s.lease
	case max(s.offer, s.reserve) > now:
		state, until = Offered, max(s.offer, s.reserve)
		since = max(since, s.lease) // that ended under it
	case s.lease > 0: // nobody has noticed yet
		state, since, dated = Expired, s.lease, true
	case s.past == Declined && s.blocked > now:
		until = s.blocked
	}
	e := Entry{Lease: t.show(s, until), State: state}
	if until == 0 {
		e.Expires = time.Time{}
	}
	if dated {
		e.Since = t.start.Add(since)
	}
	return e
}

// Peek returns what Acquire would, and changes nothing. Addresses that
// somebody else uses are not looked for.
func (t *Table) Peek(c Client, pools ...int) (Lease, error) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.owned.of(c); s != nil && slices.Contains(pools, s.pool.index) {
		return t.show(s, max(s.until, now+t.opts.OfferTime)), nil
	}
	for _, n := range pools {
		p := t.pools[n]
		if a := p.next; a.IsValid() && p.free.Len() < remembered {
			return Lease{Client: c, Addr: a, Pool: n, Expires: t.start.Add(now + t.opts.OfferTime)}, nil
		}
		if e := p.free.Front(); e != nil {
			return Lease{Client: c, Addr: e.Value.(*slot).addr, Pool: n, Expires: t.start.Add(now + t.opts.OfferTime)}, nil
		}
		if len(p.held) > 0 && p.held[0].until <= now {
			return Lease{Client: c, Addr: p.held[0].addr, Pool: n, Expires: t.start.Add(now + t.opts.OfferTime)}, nil
		}
	}
	return Lease{}, ErrExhausted
}

// A Commit is what came of writing leases to the file.
type Commit struct {
	Leases int // given, renewed or removed
	Took   time.Duration
	Err    error // why none of them is written
}

// timed tells of each commit.
func (t *Table) timed(commit func([]*write) error) func([]*write) error {
	if t.opts.OnCommit == nil {
		return commit
	}
	return func(batch []*write) error {
		began := time.Now()
		err := commit(batch)
		t.opts.OnCommit(Commit{len(batch), time.Since(began), err})
		return err
	}
}

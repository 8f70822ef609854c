package lease

import (
	"slices"
	"time"
)

// atOnce bounds what is looked at under the lock, so that a client waits no
// longer for somebody who reads than for another client.
const atOnce = 64

// Leases calls visit for the leases that have not ended, pool by pool, until it
// returns false. The table goes on meanwhile.
func (t *Table) Leases(visit func(Lease) bool) {
	for _, p := range t.pools {
		for from := 0; ; from += atOnce {
			leases, more := t.part(p, from)
			for _, l := range leases {
				if !visit(l) {
					return
				}
			}
			if !more {
				break
			}
		}
	}
}

// part returns the leases among some slots of a pool, and whether there are
// slots behind them.
func (t *Table) part(p *pool, from int) (leases []Lease, more bool) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	end := min(from+atOnce, len(p.order))
	for _, s := range p.order[min(from, end):end] {
		if s.lease > now {
			leases = append(leases, t.show(s, s.lease))
		}
	}
	return leases, end < len(p.order)
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

package lease

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Problem is something about the lease file that its administrator should
// know. The table works without what it speaks of.
type Problem struct {
	Text    string // complete, with the name of the file
	Serious bool   // leases were lost or cannot be written: an error, not a warning
}

// contents is what the store found in the file.
type contents struct {
	rows []rawRow
	// longest is the lease time that was in use when the file was last
	// opened, 0 in a file that is new or somebody else's.
	longest time.Duration
}

// Open reads the lease file, which is created if need be, and starts the
// writer; Close ends it. Leases that cannot be taken over and a file that had
// to be set aside are returned as problems. An expiry further away than the
// lease time, this one or the one the file was written with, is cut to that,
// because clocks step.
//
// The error names what is wrong with the options or the path, wraps ErrInUse
// when another process has the file, or is ErrNoCgo.
func Open(path string, opts Options) (*Table, []Problem, error) {
	t, err := newTable(opts)
	if err == nil {
		err = oneFamily(t.opts.Pools)
	}
	if err != nil {
		return nil, nil, err
	}
	st, found, problems, err := openStore(path, t.opts.Pools[0].First.Is6(), t.start)
	if err != nil {
		return nil, nil, err
	}
	l := loader{table: t, path: path, limit: max(t.opts.LeaseTime, found.longest), problems: problems}
	l.load(found.rows)
	err = st.takeOver(l.keep, l.dirty, max(t.opts.LeaseTime, l.longest), t.rows)
	if errors.Is(err, ErrInUse) {
		_ = st.close()
		return nil, nil, err
	}
	if err != nil {
		l.problems = append(l.problems, Problem{fmt.Sprintf("%v; new leases are refused until it can be written", err), true})
	}
	t.reopen = st.reopen
	t.serve(st.commit, st.close)
	return t, l.problems, nil
}

// oneFamily says which pool has no place among the others: a file has the
// leases of one family.
func oneFamily(pools []Range) error {
	for _, r := range pools {
		if r.First.Is6() != pools[0].First.Is6() {
			return fmt.Errorf("pool %s is of another family than pool %s: want a file of its own for each family", r, pools[0])
		}
	}
	return nil
}

func (t *Table) serve(commit func([]*write) error, end func() error) {
	t.commit, t.close = t.timed(commit), end
	t.begin()
}

// rows returns the leases that have not ended, as the file should hold them.
func (t *Table) rows() []row {
	wall := t.opts.Now()
	now := wall.Sub(t.start)
	t.mu.Lock()
	defer t.mu.Unlock()
	rows := []row{}
	for _, p := range t.pools {
		for _, s := range p.order {
			if s.lease > now {
				rows = append(rows, row{s.client, s.addr, unixCeil(wall.Add(s.lease - now)), s.hostname})
			}
		}
	}
	return rows
}

// loader fills a new table from the rows of the file.
type loader struct {
	table    *Table
	path     string
	limit    time.Duration // no lease lasts longer
	keep     []row         // what the file shall hold
	dirty    bool          // it holds something else
	longest  time.Duration // what is left of the lease that ends last
	problems []Problem
}

func (l *loader) report(serious bool, format string, args ...any) {
	text := fmt.Sprintf("lease file %q ", l.path) + fmt.Sprintf(format, args...)
	l.problems = append(l.problems, Problem{text, serious})
}

func (l *loader) load(raws []rawRow) {
	rows := l.unique(l.parse(raws))
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(a.expiry, b.expiry) })
	cut := 0
	for _, r := range rows {
		left := l.left(r)
		if left > l.limit+time.Second { // the file holds whole seconds, rounded up
			cut++
			r.expiry = unixCeil(l.table.start.Add(l.limit))
		}
		l.enter(r, min(left, l.limit))
	}
	if cut > 0 {
		l.dirty = true
		l.report(false, "holds leases that end later than the lease time of %v allows, %d of them: they end in %v", l.table.opts.LeaseTime, cut, l.limit)
	}
}

// parse returns the rows that can be read, and reports the others.
func (l *loader) parse(raws []rawRow) []row {
	rows := make([]row, 0, len(raws))
	for _, raw := range raws {
		r, err := parseRow(raw)
		if err != nil {
			l.dirty = true
			l.report(false, "holds a %v, which is left out: %v", raw, err)
			continue
		}
		l.dirty = l.dirty || r.raw() != raw
		rows = append(rows, r)
	}
	return rows
}

// unique leaves one row per client and one per address: of several, one inside
// today's pools comes first, then the one that ends last.
func (l *loader) unique(rows []row) []row {
	slices.SortStableFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(l.outside(a), l.outside(b)), cmp.Compare(b.expiry, a.expiry))
	})
	clients, addrs := map[Client]row{}, map[netip.Addr]row{}
	kept := rows[:0]
	for _, r := range rows {
		other, double := clients[r.client.key()]
		if !double {
			other, double = addrs[r.addr]
		}
		if double {
			l.dirty = true
			l.report(false, "holds a %v, which is left out for the sake of the %v", r.raw(), other.raw())
			continue
		}
		clients[r.client.key()], addrs[r.addr] = r, r
		kept = append(kept, r)
	}
	return kept
}

func (l *loader) outside(r row) int {
	if find(l.table.sorted, r.addr) == nil {
		return 1
	}
	return 0
}

// left is how long a lease still lasts, below zero when it has ended.
func (l *loader) left(r row) time.Duration {
	const year9999 = 253402300799 // further than that, Sub overflows
	return time.Unix(min(r.expiry, year9999), 0).Sub(l.table.start)
}

// enter puts a row into the table, in the order of expiry. One outside today's
// pools stays in the file until it has ended, for the day the pools return.
func (l *loader) enter(r row, left time.Duration) {
	p := find(l.table.sorted, r.addr)
	if p == nil {
		l.report(false, "holds a %v outside today's pools, which is left out", r.raw())
	}
	if p == nil && left <= 0 {
		l.dirty = true
		return
	}
	l.keep = append(l.keep, r)
	l.longest = max(l.longest, left)
	if p == nil {
		return
	}
	s := p.add(r.addr)
	s.client, s.owned, s.hostname, s.lease = r.client, true, r.hostname, left
	if left <= 0 {
		s.over(Expired, left)
	}
	l.table.owned.set(s)
	p.settle(s, 0)
}

package lease

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// checkSlots finds a broken invariant of the table. The caller holds its lock.
func checkSlots(t testing.TB, tab *Table) {
	t.Helper()
	for m, s := range tab.macs {
		if s.mac != m || !s.owned {
			t.Fatalf("%x leads to the slot of %x", m, s.mac)
		}
	}
	for _, p := range tab.pools {
		if len(p.held)+p.free.Len() != len(p.slots) {
			t.Fatalf("pool %d: %d held, %d free, %d in all", p.index, len(p.held), p.free.Len(), len(p.slots))
		}
		for _, s := range p.slots {
			if s.owned && tab.macs[s.mac] != s {
				t.Fatalf("%v is owned by %x, who does not know it", s.addr, s.mac)
			}
			if (s.elem == nil) == (s.at < 0) {
				t.Fatalf("%v lies in %d and %v", s.addr, s.at, s.elem)
			}
		}
	}
}

// spot is what the model knows of an address.
type spot struct {
	mac   MAC
	owned bool
	until time.Time // end of offer, lease or quarantine
	lease time.Time
	quar  bool
}

// model is the table as PROTOCOL.md tells it, with scans everywhere.
type model struct {
	t     testing.TB
	rnd   *rand.Rand
	clock *clock
	tab   *Table
	full  atomic.Bool // commits fail
	spots []map[netip.Addr]*spot
	log   []string
}

func (m *model) fail(format string, args ...any) {
	m.t.Helper()
	from := max(0, len(m.log)-30)
	m.t.Fatalf("%s\nlast steps: %q", fmt.Sprintf(format, args...), m.log[from:])
}

func (m *model) spotOf(c MAC) (int, netip.Addr, *spot) {
	for p, spots := range m.spots {
		for a, s := range spots {
			if s.owned && s.mac == c {
				return p, a, s
			}
		}
	}
	return 0, netip.Addr{}, nil
}

func (m *model) acquire(c MAC, pool int) {
	now := m.clock.Now()
	l, err := m.tab.Acquire(c, pool)
	oldPool, oldAddr, old := m.spotOf(c)
	busy := 0
	var oldest time.Time // least recently used free one
	for _, s := range m.spots[pool] {
		if s.until.After(now) {
			busy++
		} else if oldest.IsZero() || s.until.Before(oldest) {
			oldest = s.until
		}
	}
	size := int(m.tab.pools[pool].size())
	stays := old != nil && oldPool == pool
	switch {
	case stays && (err != nil || l.Addr != oldAddr):
		m.fail("%x has %v, got %v, %v", c, oldAddr, l.Addr, err)
	case stays:
	case busy == size:
		if err != ErrExhausted {
			m.fail("pool %d is full, %x got %v, %v", pool, c, l.Addr, err)
		}
		return
	case err != nil:
		m.fail("pool %d has %d of %d busy: %v", pool, busy, size, err)
	default:
		got := m.spots[pool][l.Addr]
		if got != nil && (got.until.After(now) || got.until.After(oldest) || len(m.spots[pool]) < size) {
			m.fail("%x got %v of %x, until %v; used %d of %d, oldest %v", c, l.Addr, got.mac, got.until, len(m.spots[pool]), size, oldest)
		}
		if old != nil {
			old.owned, old.lease = false, time.Time{}
			old.until = earlier(old.until, now)
		}
		m.spots[pool][l.Addr] = &spot{mac: c, owned: true}
	}
	s := m.spots[pool][l.Addr]
	s.until = later(now.Add(DefaultOfferTime), s.lease)
}

func (m *model) confirm(c MAC, a netip.Addr, extend bool) {
	now := m.clock.Now()
	_, have, s := m.spotOf(c)
	var want error
	f := m.tab.Confirm
	if extend {
		f = m.tab.Extend
	}
	switch {
	case extend && (s == nil || have != a || !s.lease.After(now)):
		want = ErrNotLeased
	case s == nil || have != a || !s.until.After(now):
		want = ErrNotOffered
	case m.full.Load():
		want = ErrStore
	}
	l, err := f(ctx, c, a, "")
	if !errors.Is(err, want) {
		m.fail("%x confirms %v: %v, want %v", c, a, err, want)
	}
	if err == nil {
		s.lease = now.Add(m.tab.opts.LeaseTime)
		s.until = s.lease
		if !l.Expires.Equal(s.lease) {
			m.fail("%x: lease until %v, want %v", c, l.Expires, s.lease)
		}
	}
}

// leave is a release or a decline.
func (m *model) leave(c MAC, a netip.Addr, decline bool) {
	now := m.clock.Now()
	p, have, s := m.spotOf(c)
	holder := s != nil && have == a && s.until.After(now)
	quarantined := 0
	for _, s := range m.spots[p] {
		if s.quar && s.until.After(now) {
			quarantined++
		}
	}
	f := m.tab.Release
	if decline {
		f = m.tab.Decline
	}
	if got := f(c, a); got != holder {
		m.fail("%x leaves %v: %v, want %v", c, a, got, holder)
	}
	if !holder {
		return
	}
	s.until, s.lease, s.quar = now, time.Time{}, false
	if !decline {
		return
	}
	s.owned = false
	if quarantined < max(1, int(m.tab.pools[p].size())/10) {
		s.quar, s.until = true, now.Add(m.tab.opts.DeclineTime)
	}
}

func (m *model) forget(c MAC) {
	now := m.clock.Now()
	_, _, s := m.spotOf(c)
	m.tab.Forget(c)
	if s == nil || !s.until.After(now) {
		return
	}
	s.until = s.lease
	if !s.lease.After(now) {
		s.until = now
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (m *model) step() {
	c := mac(m.rnd.IntN(200))
	_, a, _ := m.spotOf(c)
	if m.rnd.IntN(8) == 0 || !a.IsValid() {
		a = netip.AddrFrom4([4]byte{192, 0, 2, byte(m.rnd.IntN(130))})
	}
	op := m.rnd.IntN(20)
	m.log = append(m.log, fmt.Sprintf("%d: client %d, %v", op, c[5], a))
	switch {
	case op < 7:
		m.acquire(c, m.rnd.IntN(len(m.spots)))
	case op < 12:
		m.confirm(c, a, false)
	case op < 14:
		m.confirm(c, a, true)
	case op < 16:
		m.leave(c, a, false)
	case op < 17:
		m.leave(c, a, true)
	case op < 18:
		m.forget(c)
	default:
		m.clock.move(time.Duration(m.rnd.IntN(3000)) * time.Millisecond)
	}
}

func (m *model) check() {
	now := m.clock.Now()
	m.tab.mu.Lock()
	checkSlots(m.t, m.tab)
	m.tab.mu.Unlock()
	for i := range 200 {
		_, a, s := m.spotOf(mac(i))
		l, held := m.tab.Held(mac(i))
		if want := s != nil && s.lease.After(now); held != want || held && l.Addr != a {
			m.fail("client %d holds %v %v, want %v %v", i, l.Addr, held, a, want)
		}
	}
}

// modelPools hold fewer addresses than there are clients.
var modelPools = []Range{span("192.0.2.1", "192.0.2.60"), span("192.0.2.61", "192.0.2.70"), span("192.0.2.71", "192.0.2.130")}

func modelOptions(c *clock) Options {
	return Options{Pools: modelPools, LeaseTime: time.Minute, DeclineTime: 40 * time.Second, Now: c.Now}
}

func TestModel(t *testing.T) {
	t.Parallel()
	for range 3 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			c := newClock()
			m := &model{t: t, rnd: rand.New(rand.NewPCG(seed, 0)), clock: c}
			m.tab = inMemory(t, modelOptions(c), func([]*write) error {
				if m.full.Load() {
					return errors.New("disk full")
				}
				return nil
			})
			for range modelPools {
				m.spots = append(m.spots, map[netip.Addr]*spot{})
			}
			for i := range 4000 {
				m.step()
				if i%50 == 0 {
					m.check()
					m.full.Store(m.rnd.IntN(5) == 0)
				}
			}
			c.move(time.Hour)
			for p := range modelPools {
				checkFree(t, m.tab, p)
			}
		})
	}
}

// crowd is 200 clients at once; each knows what it was promised.
type crowd struct {
	t     *testing.T
	tab   *Table
	clock *clock
}

func (w *crowd) client(n int, rnd *rand.Rand, promise *Lease) {
	for range 8 {
		switch op := rnd.IntN(10); {
		case op < 6:
			l, err := w.tab.Acquire(mac(n), rnd.IntN(len(modelPools)))
			if err != nil {
				continue
			}
			if promise.Addr != l.Addr {
				*promise = Lease{}
			}
			if got, err := w.tab.Confirm(ctx, mac(n), l.Addr, ""); err == nil {
				*promise = got
			}
		case op < 7 && promise.Addr.IsValid():
			w.tab.Release(mac(n), promise.Addr)
			*promise = Lease{}
		case op < 8 && promise.Addr.IsValid():
			w.tab.Decline(mac(n), promise.Addr)
			*promise = Lease{}
		default:
			w.tab.Forget(mac(n))
		}
	}
}

func (w *crowd) check(promises []Lease) {
	holders := map[netip.Addr]int{}
	for n, p := range promises {
		if !p.Addr.IsValid() || !p.Expires.After(w.clock.Now()) {
			continue
		}
		if other, double := holders[p.Addr]; double {
			w.t.Fatalf("clients %d and %d were both promised %v", n, other, p.Addr)
		}
		holders[p.Addr] = n
		if l, ok := w.tab.Held(mac(n)); !ok || l.Addr != p.Addr {
			w.t.Fatalf("client %d was promised %v, holds %v %v", n, p.Addr, l.Addr, ok)
		}
	}
	w.tab.mu.Lock()
	defer w.tab.mu.Unlock()
	checkSlots(w.t, w.tab)
}

// round lets all clients run at once and returns when they are done.
func (w *crowd) round(seed uint64, round int, promises []Lease) {
	var wg sync.WaitGroup
	for n := range promises {
		rnd := rand.New(rand.NewPCG(seed, uint64(round*1000+n)))
		wg.Go(func() { w.client(n, rnd, &promises[n]) })
	}
	wg.Wait()
	w.check(promises)
}

func TestCrowd(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c := newClock()
	w := &crowd{t: t, tab: inMemory(t, modelOptions(c), nil), clock: c}
	promises := make([]Lease, 200)
	for round := range 30 {
		w.round(seed, round, promises)
		c.move(time.Duration(round) * time.Second)
	}
	c.move(time.Hour)
	for p := range modelPools {
		checkFree(t, w.tab, p)
	}
}

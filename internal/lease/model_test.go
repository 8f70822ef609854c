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
	for m, s := range tab.owned.macs {
		if s.client != Of(m) || !s.owned {
			t.Fatalf("%v leads to the slot of %v", m, s.client)
		}
	}
	for c, s := range tab.owned.ias {
		if s.client.key() != c || !s.owned {
			t.Fatalf("%v leads to the slot of %v", c, s.client)
		}
	}
	for _, p := range tab.pools {
		if len(p.held)+p.free.Len() != len(p.slots) {
			t.Fatalf("pool %d: %d held, %d free, %d in all", p.index, len(p.held), p.free.Len(), len(p.slots))
		}
		for _, s := range p.slots {
			if s.owned && tab.owned.of(s.client) != s {
				t.Fatalf("%v is owned by %v, who does not know it", s.addr, s.client)
			}
			if (s.elem == nil) == (s.at < 0) {
				t.Fatalf("%v lies in %d and %v", s.addr, s.at, s.elem)
			}
		}
	}
}

// spot is what the model knows of an address.
type spot struct {
	mac   Client
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
	kind  modelKind
	spots []map[netip.Addr]*spot
	log   []string
}

func (m *model) fail(format string, args ...any) {
	m.t.Helper()
	from := max(0, len(m.log)-30)
	m.t.Fatalf("%s\nlast steps: %q", fmt.Sprintf(format, args...), m.log[from:])
}

func (m *model) spotOf(c Client) (int, netip.Addr, *spot) {
	for p, spots := range m.spots {
		for a, s := range spots {
			if s.owned && s.mac.key() == c.key() {
				return p, a, s
			}
		}
	}
	return 0, netip.Addr{}, nil
}

func (m *model) acquire(c Client, pool int) {
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
		m.fail("%v has %v, got %v, %v", c, oldAddr, l.Addr, err)
	case stays:
	case busy == size:
		if err != ErrExhausted {
			m.fail("pool %d is full, %v got %v, %v", pool, c, l.Addr, err)
		}
		return
	case err != nil:
		m.fail("pool %d has %d of %d busy: %v", pool, busy, size, err)
	default:
		got := m.spots[pool][l.Addr]
		if got != nil && (got.until.After(now) || got.until.After(oldest) || len(m.spots[pool]) < size) {
			m.fail("%v got %v of %v, until %v; used %d of %d, oldest %v", c, l.Addr, got.mac, got.until, len(m.spots[pool]), size, oldest)
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

func (m *model) confirm(c Client, a netip.Addr, extend bool) {
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
		m.fail("%v confirms %v: %v, want %v", c, a, err, want)
	}
	if err == nil {
		s.lease = now.Add(m.tab.opts.LeaseTime)
		s.until = s.lease
		if !l.Expires.Equal(s.lease) {
			m.fail("%v: lease until %v, want %v", c, l.Expires, s.lease)
		}
	}
}

// leave is a release or a decline.
func (m *model) leave(c Client, a netip.Addr, decline bool) {
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
		m.fail("%v leaves %v: %v, want %v", c, a, got, holder)
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

func (m *model) forget(c Client) {
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
	n := m.rnd.IntN(200)
	c := m.kind.client(n)
	_, a, _ := m.spotOf(c)
	if m.rnd.IntN(8) == 0 || !a.IsValid() {
		a = m.kind.addr(m.rnd.IntN(130))
	}
	op := m.rnd.IntN(20)
	m.log = append(m.log, fmt.Sprintf("%d: client %d, %v", op, n, a))
	if m.kind.v6 {
		c.MAC = mac(m.rnd.IntN(3)).MAC // a relay tells it, or not
	}
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
		_, a, s := m.spotOf(m.kind.client(i))
		l, held := m.tab.Held(m.kind.client(i))
		if want := s != nil && s.lease.After(now); held != want || held && l.Addr != a {
			m.fail("client %d holds %v %v, want %v %v", i, l.Addr, held, a, want)
		}
	}
}

// A modelKind has pools that hold fewer addresses than there are clients.
type modelKind struct {
	pools  []Range
	client func(int) Client
	v6     bool
}

// addr returns an address in the order of the pools, which are neighbours.
func (k modelKind) addr(n int) netip.Addr {
	octets := k.pools[0].First.AsSlice()
	octets[len(octets)-1] = byte(n)
	a, _ := netip.AddrFromSlice(octets)
	return a
}

var modelKinds = map[string]modelKind{
	"4": {[]Range{span("192.0.2.1", "192.0.2.60"), span("192.0.2.61", "192.0.2.70"), span("192.0.2.71", "192.0.2.130")}, mac, false},
	"6": {[]Range{span("2001:db8::1", "2001:db8::3c"), span("2001:db8::3d", "2001:db8::46"), span("2001:db8::47", "2001:db8::82")}, duid, true},
}

func modelOptions(c *clock, pools []Range) Options {
	return Options{Pools: pools, LeaseTime: time.Minute, DeclineTime: 40 * time.Second, Now: c.Now}
}

func TestModel(t *testing.T) {
	t.Parallel()
	for name, kind := range modelKinds {
		for range 3 {
			seed := rand.Uint64()
			t.Run(fmt.Sprintf("%s seed %d", name, seed), func(t *testing.T) {
				t.Parallel()
				kind.walk(t, seed)
			})
		}
	}
}

// walk takes table and model through the same random steps.
func (k modelKind) walk(t *testing.T, seed uint64) {
	c := newClock()
	m := &model{t: t, rnd: rand.New(rand.NewPCG(seed, 0)), clock: c, kind: k}
	m.tab = inMemory(t, modelOptions(c, k.pools), func([]*write) error {
		if m.full.Load() {
			return errors.New("disk full")
		}
		return nil
	})
	for range k.pools {
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
	for p := range k.pools {
		checkFree(t, m.tab, p)
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
			l, err := w.tab.Acquire(mac(n), rnd.IntN(len(modelKinds["4"].pools)))
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
	w := &crowd{t: t, tab: inMemory(t, modelOptions(c, modelKinds["4"].pools), nil), clock: c}
	promises := make([]Lease, 200)
	for round := range 30 {
		w.round(seed, round, promises)
		c.move(time.Duration(round) * time.Second)
	}
	c.move(time.Hour)
	for p := range modelKinds["4"].pools {
		checkFree(t, w.tab, p)
	}
}

package lease

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var cmpLease = []cmp.Option{cmpopts.EquateComparable(netip.Addr{})}

var ctx = context.Background()

func TestAcquire(t *testing.T) {
	t.Parallel()
	a, b := mac(1), mac(2)
	tests := map[string]struct {
		before func(t *testing.T, tab *Table, c *clock)
		pool   int
		want   string
	}{
		"the first one": {
			before: func(*testing.T, *Table, *clock) {},
			want:   "192.0.2.10",
		},
		"its standing offer": {
			before: func(t *testing.T, tab *Table, c *clock) { addr(t, tab, a, 0); c.move(9 * time.Second) },
			want:   "192.0.2.10",
		},
		"not another's offer": {
			before: func(t *testing.T, tab *Table, c *clock) { addr(t, tab, b, 0) },
			want:   "192.0.2.11",
		},
		"its lease": {
			before: func(t *testing.T, tab *Table, c *clock) {
				dora(t, tab, b, 0)
				dora(t, tab, a, 0)
				c.move(59 * time.Second)
			},
			want: "192.0.2.11",
		},
		"its expired lease while it is free": {
			before: func(t *testing.T, tab *Table, c *clock) { dora(t, tab, b, 0); dora(t, tab, a, 0); c.move(time.Hour) },
			want:   "192.0.2.11",
		},
		"never-used ones before released ones": {
			before: func(t *testing.T, tab *Table, c *clock) { tab.Release(b, dora(t, tab, b, 0)) },
			want:   "192.0.2.11",
		},
		"of the new network": {
			before: func(t *testing.T, tab *Table, c *clock) { dora(t, tab, a, 0) },
			pool:   1,
			want:   "198.51.100.1",
		},
		"its own after a release": {
			before: func(t *testing.T, tab *Table, c *clock) { dora(t, tab, b, 0); tab.Release(a, dora(t, tab, a, 0)) },
			want:   "192.0.2.11",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			tab := inMemory(t, options(c), nil)
			tt.before(t, tab, c)
			if got := addr(t, tab, a, tt.pool); got != ip(tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestAcquireHold(t *testing.T) {
	t.Parallel()
	c := newClock()
	tab := inMemory(t, options(c), nil)
	got, err := tab.Acquire(mac(1), 1)
	want := Lease{Client: mac(1), Addr: ip("198.51.100.1"), Pool: 1, Expires: c.Now().Add(10 * time.Second)}
	if d := cmp.Diff(want, got, cmpLease...); d != "" || err != nil {
		t.Error(d, err)
	}
	if l, ok := tab.Held(mac(1)); ok {
		t.Errorf("an offer counts as lease %v", l)
	}
	if _, err := tab.Acquire(mac(1), 2); err == nil || errors.Is(err, ErrExhausted) {
		t.Errorf("a pool that does not exist: %v", err)
	}
}

func TestOfferTimeWithinLeaseTime(t *testing.T) {
	t.Parallel()
	c := newClock()
	opts := options(c)
	opts.LeaseTime = 2 * time.Second
	tab := inMemory(t, opts, nil)
	l, _ := tab.Acquire(mac(1), 0)
	if got := l.Expires.Sub(c.Now()); got != 2*time.Second {
		t.Errorf("offer of %v", got)
	}
}

func TestMovedFreesOldAddress(t *testing.T) {
	t.Parallel()
	tab := inMemory(t, options(newClock()), nil)
	old := dora(t, tab, mac(1), 1)
	dora(t, tab, mac(2), 1)
	if _, err := tab.Acquire(mac(3), 1); err != ErrExhausted {
		t.Fatal(err)
	}
	addr(t, tab, mac(1), 0)
	if got := addr(t, tab, mac(3), 1); got != old {
		t.Errorf("got %v, want the one left behind, %v", got, old)
	}
	if _, err := tab.Confirm(ctx, mac(1), old, ""); err != ErrNotOffered {
		t.Errorf("confirming the one left behind: %v", err)
	}
}

func TestMovedToFullPoolKeepsLease(t *testing.T) {
	t.Parallel()
	tab := inMemory(t, options(newClock()), nil)
	dora(t, tab, mac(1), 1)
	dora(t, tab, mac(2), 1)
	old := dora(t, tab, mac(3), 0)
	if _, err := tab.Acquire(mac(3), 1); err != ErrExhausted {
		t.Error(err)
	}
	if l, ok := tab.Held(mac(3)); !ok || l.Addr != old {
		t.Errorf("held %v, want %v", l, old)
	}
}

func TestExhaustion(t *testing.T) {
	t.Parallel()
	c := newClock()
	tab := inMemory(t, options(c), nil)
	dora(t, tab, mac(1), 1)
	c.move(time.Second)
	second := dora(t, tab, mac(2), 1)
	if _, err := tab.Acquire(mac(3), 1); err != ErrExhausted {
		t.Fatalf("third client: %v", err)
	}
	c.move(59 * time.Second)
	if got := addr(t, tab, mac(3), 1); got != ip("198.51.100.1") {
		t.Errorf("got %v when the first lease ended", got)
	}
	if _, err := tab.Acquire(mac(1), 1); err != ErrExhausted {
		t.Errorf("the first client, too late: %v", err)
	}
	if l, ok := tab.Held(mac(2)); !ok || l.Addr != second {
		t.Errorf("second client holds %v", l)
	}
}

func TestLeastRecentlyUsedFirst(t *testing.T) {
	t.Parallel()
	c := newClock()
	opts := options(c)
	opts.Pools = []Range{span("192.0.2.1", "192.0.2.4")}
	tab := inMemory(t, opts, nil)
	var a [5]netip.Addr
	for i := 1; i <= 4; i++ {
		a[i] = dora(t, tab, mac(i), 0)
		c.move(time.Second)
	}
	tab.Release(mac(3), a[3])
	c.move(time.Second)
	if _, err := tab.Extend(ctx, mac(1), a[1], ""); err != nil {
		t.Fatal(err)
	}
	c.move(time.Hour) // 2 ends first, then 4, then 1; 3 was released long before
	var got []netip.Addr
	for i := range 4 {
		got = append(got, addr(t, tab, mac(10+i), 0))
	}
	want := []netip.Addr{a[3], a[2], a[4], a[1]}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestConfirm(t *testing.T) {
	t.Parallel()
	a, b := mac(1), mac(2)
	ten, eleven := ip("192.0.2.10"), ip("192.0.2.11")
	tests := map[string]struct {
		before func(t *testing.T, tab *Table, c *clock)
		addr   netip.Addr
		want   error
	}{
		"offer":                  {func(t *testing.T, tab *Table, c *clock) { addr(t, tab, a, 0) }, ten, nil},
		"offer, as 16 octets":    {func(t *testing.T, tab *Table, c *clock) { addr(t, tab, a, 0) }, netip.AddrFrom16(ten.As16()), nil},
		"again":                  {func(t *testing.T, tab *Table, c *clock) { dora(t, tab, a, 0) }, ten, nil},
		"nothing offered":        {func(t *testing.T, tab *Table, c *clock) {}, ten, ErrNotOffered},
		"another than offered":   {func(t *testing.T, tab *Table, c *clock) { addr(t, tab, a, 0) }, eleven, ErrNotOffered},
		"another client's":       {func(t *testing.T, tab *Table, c *clock) { addr(t, tab, b, 0); addr(t, tab, a, 0) }, ten, ErrNotOffered},
		"expired offer":          {func(t *testing.T, tab *Table, c *clock) { addr(t, tab, a, 0); c.move(10 * time.Second) }, ten, ErrNotOffered},
		"expired lease":          {func(t *testing.T, tab *Table, c *clock) { dora(t, tab, a, 0); c.move(time.Minute) }, ten, ErrNotOffered},
		"forgotten":              {func(t *testing.T, tab *Table, c *clock) { addr(t, tab, a, 0); tab.Forget(a) }, ten, ErrNotOffered},
		"forgotten, but a lease": {func(t *testing.T, tab *Table, c *clock) { dora(t, tab, a, 0); addr(t, tab, a, 0); tab.Forget(a) }, ten, nil},
		"released":               {func(t *testing.T, tab *Table, c *clock) { dora(t, tab, a, 0); tab.Release(a, ten) }, ten, ErrNotOffered},
		"declined":               {func(t *testing.T, tab *Table, c *clock) { addr(t, tab, a, 0); tab.Decline(a, ten) }, ten, ErrNotOffered},
		"re-offer outlives lease": {func(t *testing.T, tab *Table, c *clock) {
			dora(t, tab, a, 0)
			c.move(55 * time.Second)
			addr(t, tab, a, 0)
			c.move(9 * time.Second)
		}, ten, nil},
		"no address": {func(t *testing.T, tab *Table, c *clock) { addr(t, tab, a, 0) }, netip.Addr{}, ErrNotOffered},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			tab := inMemory(t, options(c), nil)
			tt.before(t, tab, c)
			got, err := tab.Confirm(ctx, a, tt.addr, "x3000c0s0b0")
			var want Lease
			if tt.want == nil {
				want = Lease{Client: a, Addr: tt.addr.Unmap(), Expires: c.Now().Add(time.Minute), Hostname: "x3000c0s0b0"}
			}
			if d := cmp.Diff(want, got, cmpLease...); d != "" || err != tt.want {
				t.Errorf("%v, want %v; %s", err, tt.want, d)
			}
			if l, ok := tab.Held(a); ok != (tt.want == nil) || ok && l.Addr != tt.addr.Unmap() {
				t.Errorf("held after it: %v %v", l, ok)
			}
		})
	}
}

func TestExtend(t *testing.T) {
	t.Parallel()
	c := newClock()
	tab := inMemory(t, options(c), nil)
	a := addr(t, tab, mac(1), 0)
	if _, err := tab.Extend(ctx, mac(1), a, ""); err != ErrNotLeased {
		t.Errorf("an offer: %v", err)
	}
	dora(t, tab, mac(1), 0)
	c.move(50 * time.Second)
	l, err := tab.Extend(ctx, mac(1), a, "host")
	if err != nil || !l.Expires.Equal(c.Now().Add(time.Minute)) {
		t.Errorf("a lease: %v, %v", l, err)
	}
	c.move(time.Minute)
	if _, err := tab.Extend(ctx, mac(1), a, ""); err != ErrNotLeased {
		t.Errorf("an ended lease: %v", err)
	}
}

func TestReleaseAndDeclineByOthers(t *testing.T) {
	t.Parallel()
	c := newClock()
	tab := inMemory(t, options(c), nil)
	a := dora(t, tab, mac(1), 0)
	if tab.Release(mac(2), a) || tab.Decline(mac(2), a) || tab.Release(mac(1), ip("192.0.2.11")) {
		t.Error("done for somebody who is not the holder")
	}
	if _, ok := tab.Held(mac(1)); !ok {
		t.Error("the lease is gone")
	}
	c.move(time.Minute)
	if tab.Release(mac(1), a) || tab.Decline(mac(1), a) {
		t.Error("done after the end of the lease")
	}
}

func TestQuarantine(t *testing.T) {
	t.Parallel()
	c := newClock()
	opts := options(c)
	opts.Pools = []Range{span("192.0.2.1", "192.0.2.20")}
	opts.DeclineTime = 5 * time.Minute
	tab := inMemory(t, opts, nil)
	seen := map[netip.Addr]bool{}
	for range 20 {
		a := dora(t, tab, mac(1), 0)
		if seen[a] || !tab.Decline(mac(1), a) {
			t.Fatalf("%v came twice, or was not declined", a)
		}
		seen[a] = true
	}
	if s := tab.Stats()[0]; s.Quarantined != 2 || s.Leased+s.Offered != 0 {
		t.Errorf("stats %+v, want a tenth of 20 in quarantine", s)
	}
	for i := range 18 {
		if a := addr(t, tab, mac(10+i), 0); a == ip("192.0.2.1") || a == ip("192.0.2.2") {
			t.Errorf("%v is in quarantine", a)
		}
	}
	if _, err := tab.Acquire(mac(99), 0); err != ErrExhausted {
		t.Errorf("with the rest in quarantine: %v", err)
	}
	c.move(5 * time.Minute)
	checkFree(t, tab, 0)
}

func TestTaken(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	used := map[netip.Addr]bool{ip("192.0.2.10"): true, ip("192.0.2.11"): true}
	set := func(a netip.Addr, yes bool) { mu.Lock(); defer mu.Unlock(); used[a] = yes }
	c := newClock()
	opts := options(c)
	var tab *Table
	opts.Taken = func(a netip.Addr) bool {
		tab.Held(mac(9)) // no lock of the table is held
		mu.Lock()
		defer mu.Unlock()
		return used[a]
	}
	tab = inMemory(t, opts, nil)
	a := addr(t, tab, mac(1), 0)
	if a != ip("192.0.2.12") {
		t.Fatalf("got %v", a)
	}
	set(a, true)
	if _, err := tab.Confirm(ctx, mac(1), a, ""); err != ErrNotOffered {
		t.Errorf("confirming an offer taken meanwhile: %v", err)
	}
	b := dora(t, tab, mac(1), 0)
	set(b, true)
	if _, err := tab.Extend(ctx, mac(1), b, ""); err != ErrNotLeased {
		t.Errorf("extending a lease taken meanwhile: %v", err)
	}
	if got := dora(t, tab, mac(1), 0); got != ip("192.0.2.14") {
		t.Errorf("next address %v", got)
	}
	if s := tab.Stats()[0]; s.Taken != 4 || s.Leased != 1 {
		t.Errorf("stats %+v", s)
	}
	for i := 10; i < 14; i++ {
		set(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), false)
	}
	c.move(time.Minute)
	checkFree(t, tab, 0)
}

func TestTakenLeaseStaysReserved(t *testing.T) {
	t.Parallel()
	c := newClock()
	opts := options(c)
	opts.LeaseTime = time.Hour
	var used netip.Addr
	opts.Taken = func(a netip.Addr) bool { return a == used }
	tab := inMemory(t, opts, nil)
	a := dora(t, tab, mac(1), 1)
	used = a
	addr(t, tab, mac(1), 1)
	used = netip.Addr{}
	c.move(59 * time.Minute)
	dora(t, tab, mac(2), 1)
	if l, err := tab.Acquire(mac(3), 1); err != ErrExhausted {
		t.Errorf("%v went to another client while the lease lives (%v)", l, err)
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	c := newClock()
	tab := inMemory(t, options(c), nil)
	dora(t, tab, mac(1), 0)
	dora(t, tab, mac(2), 0)
	addr(t, tab, mac(3), 0)
	tab.Decline(mac(4), addr(t, tab, mac(4), 0))
	addr(t, tab, mac(5), 1)
	want := []Stats{{Size: 10, Leased: 2, Offered: 1, Quarantined: 1}, {Size: 2, Offered: 1}}
	if d := cmp.Diff(want, tab.Stats()); d != "" {
		t.Error(d)
	}
	c.move(time.Hour)
	want = []Stats{{Size: 10}, {Size: 2}}
	if d := cmp.Diff(want, tab.Stats()); d != "" {
		t.Error(d)
	}
}

// A thousand leases that end at once come back although one packet moves only
// a part of them.
func TestManyEndAtOnce(t *testing.T) {
	t.Parallel()
	c := newClock()
	opts := options(c)
	opts.Pools = []Range{span("192.0.0.1", "192.0.3.232")}
	tab := inMemory(t, opts, nil)
	for i := range 1000 {
		addr(t, tab, mac(i), 0)
	}
	c.move(time.Minute)
	checkFree(t, tab, 0)
}

// TestPoolsOfOneNetwork has a network with two pools: the second one serves
// when the first is used up, and a client keeps what it was offered there.
func TestPoolsOfOneNetwork(t *testing.T) {
	t.Parallel()
	clock := newClock()
	opts := options(clock)
	opts.Pools = []Range{span("192.0.2.1", "192.0.2.1"), span("192.0.2.9", "192.0.2.9")}
	tab := inMemory(t, opts, nil)
	acquire := func(n int) string {
		l, err := tab.Acquire(mac(n), 0, 1)
		if err != nil {
			return err.Error()
		}
		return l.Addr.String()
	}
	got := []string{acquire(1), acquire(2), acquire(2), acquire(1), acquire(3)}
	want := []string{"192.0.2.1", "192.0.2.9", "192.0.2.9", "192.0.2.1", ErrExhausted.Error()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	tab.Release(mac(1), ip("192.0.2.1"))
	if got := acquire(2); got != "192.0.2.9" {
		t.Errorf("%s: a client moved within its network", got)
	}
}

// TestPeek has it agree with Acquire, which is asked behind it, in whatever
// order addresses come and go; and change nothing.
func TestPeek(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		clock := time.Unix(1000, 0)
		table, _, err := Open(filepath.Join(t.TempDir(), "leases.db"), Options{
			Pools:     []Range{{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.3")}, {netip.MustParseAddr("192.0.2.11"), netip.MustParseAddr("192.0.2.12")}},
			LeaseTime: time.Minute, Now: func() time.Time { return clock },
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 60 {
			mac := mac(rng.IntN(8))
			before := table.Stats()
			want, wantErr := table.Peek(mac, 0, 1)
			if seed%2 == 0 && fmt.Sprint(before) != fmt.Sprint(table.Stats()) {
				t.Fatal("Peek changed the table")
			}
			got, err := table.Acquire(mac, 0, 1)
			if (err == nil) != (wantErr == nil) || err == nil && got.Addr != want.Addr {
				t.Fatalf("seed %d: Peek %v %v, Acquire %v %v", seed, want.Addr, wantErr, got.Addr, err)
			}
			switch rng.IntN(4) {
			case 0:
				table.Release(mac, got.Addr)
			case 1:
				clock = clock.Add(time.Duration(rng.IntN(20)) * time.Second)
			case 2:
				table.Forget(mac)
			}
		}
		if err := table.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

package lease

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

// clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 500, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func mac(n int) Client { return Of(MAC{2, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) }

// duid returns a client of DHCPv6: three share a DUID. None has a MAC that
// would tell it from others.
func duid(n int) Client {
	var c Client
	c.DUID = string(binary.BigEndian.AppendUint32([]byte{0, 4}, uint32(n/3)))
	binary.BigEndian.PutUint32(c.IAID[:], uint32(n%3))
	return c
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func span(first, last string) Range { return Range{ip(first), ip(last)} }

// options has pools 0 and 1 of 10 and 2 addresses, a lease time of a minute.
func options(c *clock) Options {
	return Options{
		Pools:     []Range{span("192.0.2.10", "192.0.2.19"), span("198.51.100.1", "198.51.100.2")},
		LeaseTime: time.Minute,
		Now:       c.Now,
	}
}

// inMemory starts a table whose commits go to commit, nil for one that works.
func inMemory(t testing.TB, opts Options, commit func([]*write) error) *Table {
	t.Helper()
	tab, err := newTable(opts)
	if err != nil {
		t.Fatal(err)
	}
	if commit == nil {
		commit = func([]*write) error { return nil }
	}
	tab.serve(commit, func() error { return nil })
	t.Cleanup(func() { tab.Close() })
	return tab
}

// dora takes a client through the handshake and returns its address.
func dora(t testing.TB, tab *Table, m Client, pool int) netip.Addr {
	t.Helper()
	offer, err := tab.Acquire(m, pool)
	if err != nil {
		t.Fatalf("acquire %v: %v", m, err)
	}
	l, err := tab.Confirm(context.Background(), m, offer.Addr, "host")
	if err != nil {
		t.Fatalf("confirm %v %v: %v", m, offer.Addr, err)
	}
	if l.Addr != offer.Addr || l.Client != m || l.Pool != pool {
		t.Fatalf("confirmed %v, offered %v", l, offer)
	}
	return l.Addr
}

func addr(t testing.TB, tab *Table, m Client, pool int) netip.Addr {
	t.Helper()
	l, err := tab.Acquire(m, pool)
	if err != nil {
		t.Fatalf("acquire %v: %v", m, err)
	}
	return l.Addr
}

// checkFree takes every address of the pool and finds that none is missing.
func checkFree(t testing.TB, tab *Table, pool int) {
	t.Helper()
	size := int(tab.Stats()[pool].Size)
	var got []netip.Addr
	for i := range size {
		got = append(got, addr(t, tab, mac(1<<24+i), pool))
	}
	slices.SortFunc(got, netip.Addr.Compare)
	if n := len(slices.Compact(got)); n != size {
		t.Errorf("pool %d gave %d different addresses, want %d", pool, n, size)
	}
	if l, err := tab.Acquire(mac(1<<25), pool); err != ErrExhausted {
		t.Errorf("acquire from the empty pool %d: %v, %v", pool, l, err)
	}
}

//go:build cgo

package lease

import (
	"net/netip"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// ofSize has one pool of n addresses of 10.0.0.0/8, the largest of which no
// documentation prefix holds.
func ofSize(n int, c *clock) Options {
	last := netip.AddrFrom4([4]byte{10, byte((n - 1) >> 16), byte((n - 1) >> 8), byte(n - 1)})
	return Options{Pools: []Range{{ip("10.0.0.0"), last}}, LeaseTime: time.Hour, OfferTime: time.Hour, Now: c.Now}
}

var sizes = []int{100, 1_000_000}

// BenchmarkAcquire: a new client in a pool all of whose addresses but one are
// held, and its leaving.
func BenchmarkAcquire(b *testing.B) {
	for _, n := range sizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			tab := inMemory(b, ofSize(n, newClock()), nil)
			for i := range n - 1 {
				addr(b, tab, mac(i), 0)
			}
			b.ReportAllocs()
			i := n
			for b.Loop() {
				addr(b, tab, mac(i), 0)
				tab.Forget(mac(i))
				i++
			}
		})
	}
}

// BenchmarkExpire: a full pool in which one address expires and goes to a new
// client.
func BenchmarkExpire(b *testing.B) {
	for _, n := range sizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			c := newClock()
			tab := inMemory(b, ofSize(n, c), nil)
			step := time.Hour / time.Duration(n)
			for i := range n {
				addr(b, tab, mac(i), 0)
				c.move(step)
			}
			b.ReportAllocs()
			i := n
			for b.Loop() {
				c.move(step)
				addr(b, tab, mac(i), 0)
				i++
			}
		})
	}
}

// BenchmarkOpenTable: nothing is done per address beforehand.
func BenchmarkOpenTable(b *testing.B) {
	for _, n := range sizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				if _, err := newTable(ofSize(n, newClock())); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkConfirm: new leases on disk, from many clients at once. grouped is
// what the table does; one-commit-per-lease is the same store when every
// lease has a commit of its own, however many wait.
func BenchmarkConfirm(b *testing.B) {
	b.Run("grouped", func(b *testing.B) { benchmarkConfirm(b, nil) })
	b.Run("one-commit-per-lease", func(b *testing.B) {
		benchmarkConfirm(b, func(commit func([]*write) error) func([]*write) error {
			return func(batch []*write) error {
				for i := range batch {
					if err := commit(batch[i : i+1]); err != nil {
						return err
					}
				}
				return nil
			}
		})
	})
}

func benchmarkConfirm(b *testing.B, wrap func(func([]*write) error) func([]*write) error) {
	opts := ofSize(1<<20, newClock())
	tab, _ := on(b, filepath.Join(b.TempDir(), "leases.db"), opts)
	if wrap != nil {
		tab.commit = wrap(tab.commit)
	}
	var next atomic.Int64
	b.SetParallelism(100)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m := mac(int(next.Add(1)))
			l, err := tab.Acquire(m, 0)
			if err == nil {
				_, err = tab.Confirm(ctx, m, l.Addr, "host")
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "leases/s")
}

package lease

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// gate is a disk that answers when it is told to.
type gate struct {
	batches chan int   // number of writes of a commit that has begun
	answer  chan error // lets it end
}

func newGate() *gate { return &gate{make(chan int), make(chan error)} }

func (g *gate) commit(batch []*write) error {
	g.batches <- len(batch)
	return <-g.answer
}

// confirm starts a Confirm of the client's offer.
func confirm(t *testing.T, tab *Table, m Client) <-chan error {
	a := addr(t, tab, m, 0)
	result := make(chan error, 1)
	go func() {
		_, err := tab.Confirm(ctx, m, a, "")
		result <- err
	}()
	return result
}

func TestGroupCommit(t *testing.T) {
	t.Parallel()
	g := newGate()
	c := newClock()
	tab := inMemory(t, options(c), g.commit)
	first := confirm(t, tab, mac(1))
	if n := <-g.batches; n != 1 {
		t.Fatalf("first commit has %d leases", n)
	}
	// The disk is at work; no method of the table waits for it.
	a := addr(t, tab, mac(9), 0)
	tab.Held(mac(1))
	tab.Stats()
	tab.Forget(mac(9))
	tab.Release(mac(9), a)
	var rest []<-chan error
	for i := 2; i < 7; i++ {
		rest = append(rest, confirm(t, tab, mac(i)))
	}
	waitQueue(tab, 5)
	g.answer <- nil
	if err := <-first; err != nil {
		t.Error(err)
	}
	if n := <-g.batches; n != 5 {
		t.Errorf("second commit has %d leases, want 5", n)
	}
	g.answer <- errors.New("disk full")
	for _, r := range rest {
		if err := <-r; !errors.Is(err, ErrStore) {
			t.Errorf("waiter got %v", err)
		}
	}
	if s := tab.Stats()[0]; s.Leased != 1 || s.Offered != 5 {
		t.Errorf("stats %+v: want the offers back", s)
	}
}

func waitQueue(tab *Table, n int) {
	for {
		tab.mu.Lock()
		have := len(tab.queue)
		tab.mu.Unlock()
		if have == n {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestCommitFailsForHolder(t *testing.T) {
	t.Parallel()
	var fail error
	c := newClock()
	tab := inMemory(t, options(c), func([]*write) error { return fail })
	a := dora(t, tab, mac(1), 0)
	ends := c.Now().Add(time.Minute)
	fail = errors.New("disk full")
	c.move(30 * time.Second)
	for name, f := range map[string]func(context.Context, Client, netip.Addr, string) (Lease, error){"confirm": tab.Confirm, "extend": tab.Extend} {
		l, err := f(ctx, mac(1), a, "")
		if !errors.Is(err, ErrStore) || !errors.Is(err, fail) {
			t.Errorf("%s: %v", name, err)
		}
		if l.Addr != a || !l.Expires.Equal(ends) {
			t.Errorf("%s: left with %v, want the lease until %v", name, l, ends)
		}
	}
	b := addr(t, tab, mac(2), 0)
	if l, err := tab.Confirm(ctx, mac(2), b, ""); !errors.Is(err, ErrStore) || l != (Lease{}) {
		t.Errorf("new client: %v, %v", l, err)
	}
	fail = nil
	if _, err := tab.Confirm(ctx, mac(2), b, ""); err != nil {
		t.Errorf("once the disk works: %v", err)
	}
}

// What happens to a client while its lease is being written.
func TestDuringCommit(t *testing.T) {
	t.Parallel()
	m := mac(1)
	ten := ip("192.0.2.10")
	tests := map[string]struct {
		during func(t *testing.T, tab *Table, c *clock)
		commit error
		want   error
		held   bool
	}{
		"nothing":            {func(*testing.T, *Table, *clock) {}, nil, nil, true},
		"offer runs out":     {func(t *testing.T, tab *Table, c *clock) { c.move(20 * time.Second) }, nil, nil, true},
		"forgotten":          {func(t *testing.T, tab *Table, c *clock) { tab.Forget(m) }, nil, nil, true},
		"released":           {func(t *testing.T, tab *Table, c *clock) { tab.Release(m, ten) }, nil, ErrNotOffered, false},
		"declined":           {func(t *testing.T, tab *Table, c *clock) { tab.Decline(m, ten) }, nil, ErrNotOffered, false},
		"moved":              {func(t *testing.T, tab *Table, c *clock) { addr(t, tab, m, 1) }, nil, ErrNotOffered, false},
		"lease runs out":     {func(t *testing.T, tab *Table, c *clock) { c.move(time.Hour) }, nil, ErrNotOffered, false},
		"released, no space": {func(t *testing.T, tab *Table, c *clock) { tab.Release(m, ten) }, errors.New("full"), ErrNotOffered, false},
		"asked again":        {func(t *testing.T, tab *Table, c *clock) { addr(t, tab, m, 0) }, errors.New("full"), ErrStore, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate()
			c := newClock()
			tab := inMemory(t, options(c), g.commit)
			result := confirm(t, tab, m)
			<-g.batches
			tt.during(t, tab, c)
			g.answer <- tt.commit
			if err := <-result; !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			go func() { // the row of a released lease is removed after it
				for range g.batches {
					g.answer <- nil
				}
			}()
			if _, held := tab.Held(m); held != tt.held {
				t.Errorf("held %v", held)
			}
			c.move(time.Hour)
			tab.mu.Lock()
			checkSlots(t, tab)
			tab.mu.Unlock()
			checkFree(t, tab, 0)
		})
	}
}

// A client that gives up does not take back the commit.
func TestConfirmCancelled(t *testing.T) {
	t.Parallel()
	g := newGate()
	tab := inMemory(t, options(newClock()), g.commit)
	a := addr(t, tab, mac(1), 0)
	limited, cancel := context.WithCancel(ctx)
	result := make(chan error)
	go func() {
		_, err := tab.Confirm(limited, mac(1), a, "")
		result <- err
	}()
	<-g.batches
	cancel()
	if err := <-result; err != context.Canceled {
		t.Error(err)
	}
	g.answer <- nil
	tab.Close()
	if _, ok := tab.Held(mac(1)); !ok {
		t.Error("the lease on disk is not in the table")
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	tab := inMemory(t, options(newClock()), nil)
	a := dora(t, tab, mac(1), 0)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { tab.Close() })
	}
	wg.Wait()
	if _, err := tab.Confirm(ctx, mac(1), a, ""); !errors.Is(err, ErrStore) {
		t.Error(err)
	}
	if !tab.Release(mac(1), a) {
		t.Error("not released")
	}
}

// A second processor is held for each commit, however long it takes, and no
// longer. Who waits for a lease is told before it is given back.
func TestSecondProcessor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var events []string // guarded by mu
		began := time.Now()
		note := func(what string) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, time.Since(began).String()+" "+what)
		}
		g, opts := newGate(), options(newClock())
		opts.SecondProcessor = func() (release func()) {
			note("held")
			return func() {
				time.Sleep(time.Millisecond) // the waiters run first
				note("released")
			}
		}
		tab := inMemory(t, opts, g.commit)
		for n, c := range []struct{ wait, commit time.Duration }{
			{time.Second, 5 * time.Second}, {900 * time.Millisecond, time.Second},
		} {
			time.Sleep(c.wait)
			done := confirm(t, tab, mac(n))
			<-g.batches
			note("commit")
			time.Sleep(c.commit)
			g.answer <- nil
			if err := <-done; err != nil {
				t.Error(err)
			}
			note("told")
		}
		tab.Close()
		synctest.Wait()
		want := []string{
			"1s held", "1s commit", "6s told", "6.001s released",
			"6.9s held", "6.9s commit", "7.9s told", "7.901s released",
		}
		if !slices.Equal(events, want) {
			t.Errorf("%q, want %q", events, want)
		}
	})
}

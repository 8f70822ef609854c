package smd

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Options are the settings of a cache.
type Options struct {
	Source   Source
	Interval time.Duration // between two polls
	OnPoll   func(Poll)    // called after each poll, outside the cache's lock; may be nil
}

// A Poll is the outcome of asking a source once.
type Poll struct {
	Err       error   // why the poll failed; what was there is kept
	Changed   bool    // the index is another one than before
	Machines  int     // in the index, after this poll
	NewFaults []Fault // those that the poll before did not have
	Faults    int     // all of them
	Took      time.Duration
}

// A Cache holds the index of the last good poll.
type Cache struct {
	opts Options

	mu     sync.RWMutex
	index  Index     // guarded by mu; never written to, only replaced
	loaded time.Time // guarded by mu; when the last good poll began; zero: never

	refresh sync.Mutex        // held by the one poll that runs
	sum     [sha256.Size]byte // guarded by refresh: of the last answer
	faults  []Fault           // guarded by refresh: of the last answer
}

// NewCache returns a cache that holds nothing yet.
func NewCache(o Options) *Cache { return &Cache{opts: o} }

// Lookup returns the machine with a MAC address.
func (c *Cache) Lookup(mac MAC) (Machine, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	m, ok := c.index[mac]
	return m, ok
}

// Loaded returns when the last good poll began; the zero time if there was
// none.
func (c *Cache) Loaded() time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.loaded
}

// Refresh polls the source once. A failure keeps what was there.
func (c *Cache) Refresh(ctx context.Context) error {
	c.refresh.Lock()
	defer c.refresh.Unlock()
	began := time.Now()
	poll := c.poll(ctx, began)
	poll.Took = time.Since(began)
	if c.opts.OnPoll != nil {
		c.opts.OnPoll(poll)
	}
	return poll.Err
}

func (c *Cache) poll(ctx context.Context, began time.Time) Poll {
	answer, err := c.opts.Source.Fetch(ctx)
	if err != nil {
		return c.failed(err)
	}
	sum := digest(answer)
	if sum == c.sum {
		return c.keep(began)
	}
	index, faults, err := decode(answer)
	if err != nil {
		return c.failed(err)
	}
	poll := Poll{Machines: len(index), NewFaults: added(faults, c.faults), Faults: len(faults)}
	c.sum, c.faults = sum, faults
	poll.Changed = c.swap(index, began)
	return poll
}

func (c *Cache) failed(err error) Poll {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return Poll{Err: err, Machines: len(c.index), Faults: len(c.faults)}
}

// keep notes a poll that brought the octets of the one before.
func (c *Cache) keep(began time.Time) Poll {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loaded = began
	return Poll{Machines: len(c.index), Faults: len(c.faults)}
}

// swap puts a new index in the place of the old one unless both are the same.
func (c *Cache) swap(index Index, began time.Time) bool {
	c.mu.RLock()
	old, first := c.index, c.loaded.IsZero()
	c.mu.RUnlock()
	same := maps.EqualFunc(old, index, Machine.equal)

	c.mu.Lock()
	defer c.mu.Unlock()
	c.loaded = began
	if !same {
		c.index = index
	}
	return !same || first
}

// decode turns an answer into an index.
func decode(a Answer) (Index, []Fault, error) {
	interfaces, bad, err := decodeInterfaces(a.Interfaces)
	if err != nil {
		return nil, nil, fmt.Errorf("collection EthernetInterfaces: %w", err)
	}
	components, badComponents, err := decodeComponents(a.Components)
	if err != nil {
		return nil, nil, fmt.Errorf("collection Components: %w", err)
	}
	index, faults := newIndex(interfaces, components)
	return index, slices.Concat(bad, badComponents, faults), nil
}

func digest(a Answer) [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n", len(a.Interfaces))
	h.Write(a.Interfaces)
	h.Write(a.Components)
	return [sha256.Size]byte(h.Sum(nil))
}

// added returns the faults that old does not hold.
func added(faults, old []Fault) []Fault {
	known := make(map[Fault]bool, len(old))
	for _, f := range old {
		known[f] = true
	}
	return slices.DeleteFunc(slices.Clone(faults), func(f Fault) bool { return known[f] })
}

// Run polls the source until ctx ends: after each interval, shortened by up to
// a tenth at random, so that many servers do not ask at once. After a failure it asks again
// in a second, then with doubling waits up to the interval. The first poll is
// Refresh's, by the caller.
func (c *Cache) Run(ctx context.Context) error {
	failures := 0
	if c.Loaded().IsZero() {
		failures = 1
	}
	for {
		if !sleep(ctx, c.wait(failures)) {
			return nil
		}
		if err := c.Refresh(ctx); err != nil {
			failures++
		} else {
			failures = 0
		}
	}
}

// wait is the time until the next poll.
func (c *Cache) wait(failures int) time.Duration {
	if failures == 0 {
		tenth := float64(c.opts.Interval) / 10
		return c.opts.Interval - time.Duration(tenth*rand.Float64())
	}
	back := time.Second << min(failures-1, 20)
	return min(back, c.opts.Interval)
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

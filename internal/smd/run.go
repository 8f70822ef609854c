package smd

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Run polls the source until ctx ends: after each interval, shortened by up to
// a tenth at random, so that many servers do not ask at once. After a failure
// it asks again in a second, then with doubling waits up to the interval. The
// first poll is Refresh's, by the caller. Machines that Pull wants are asked
// for meanwhile.
func (c *Cache) Run(ctx context.Context) error {
	if c.puller != nil {
		var asking sync.WaitGroup
		asking.Go(func() { c.puller.run(ctx) })
		defer asking.Wait()
	}
	failures := 0
	if c.neverPolled() {
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

// neverPolled says that no poll has brought an answer yet.
func (c *Cache) neverPolled() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.basis != aPoll && !c.doubted
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

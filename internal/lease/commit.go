package lease

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var errClosed = errors.New("the lease table is closed")

// write is a change of the file that waits for its commit.
type write struct {
	row
	remove bool // delete the row instead

	// Of a lease, not of a removal:
	slot   *slot
	gen    uint64 // of the slot when the write was queued
	end    tick
	refuse error // what to answer if the slot went elsewhere meanwhile
	done   chan struct{}
	lease  Lease // valid with err once done is closed
	err    error
}

// write queues a lease that ends LeaseTime from now and waits for its commit.
// refuse is ErrNotOffered or ErrNotLeased; the latter wants a lease.
func (t *Table) write(ctx context.Context, r row, refuse error) (Lease, error) {
	if t.taken(r.addr) {
		return Lease{}, refuse
	}
	w, err := t.reserve(r, refuse)
	if err != nil {
		return Lease{}, err
	}
	select {
	case <-w.done:
		return w.lease, w.err
	case <-ctx.Done():
		return Lease{}, ctx.Err()
	}
}

// reserve keeps the address for the lease that is about to be written, so that
// neither its offer nor its old lease can run out under the commit.
func (t *Table) reserve(r row, refuse error) (*write, error) {
	wall := t.opts.Now()
	now := wall.Sub(t.start)
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.owned.of(r.client)
	if s == nil || s.addr != r.addr || s.until <= now {
		return nil, refuse
	}
	if errors.Is(refuse, ErrNotLeased) && s.lease <= now {
		return nil, refuse
	}
	if t.closed {
		return nil, fmt.Errorf("%w: %w", ErrStore, errClosed)
	}
	end := now + t.opts.LeaseTime
	r.expiry = unixCeil(wall.Add(t.opts.LeaseTime))
	s.client = r.client
	s.writes++
	s.reserve = max(s.reserve, end)
	s.pool.settle(s, now)
	w := &write{row: r, slot: s, gen: s.gen, end: end, refuse: refuse, done: make(chan struct{})}
	t.enqueue(w)
	return w, nil
}

// remove queues the removal of the slot's row, if there may be one.
func (t *Table) remove(s *slot) {
	if !t.closed && (s.lease > 0 || s.writes > 0) {
		t.enqueue(&write{row: row{client: s.client, addr: s.addr}, remove: true})
	}
}

func (t *Table) enqueue(w *write) {
	t.queue = append(t.queue, w)
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// gatherTime is the least time between the beginnings of two commits while
// several clients wait. On a disk that is done sooner they would be many and
// small, and cost more than the leases.
const gatherTime = 10 * time.Millisecond

// run commits what is queued until wake is closed. What comes in during a commit
// goes into the next one together.
func (t *Table) run(wake <-chan struct{}, stop chan<- struct{}) {
	defer close(stop)
	for range wake {
		batch := t.takeQueue()
		for len(batch) > 0 {
			began := time.Now()
			t.carryOut(batch)
			if len(batch) > 1 {
				time.Sleep(gatherTime - time.Since(began))
			}
			batch = t.takeQueue()
		}
	}
}

// carryOut commits a batch and tells the waiters. Who waits for the disk would
// hold the one processor that Go may have: no packet would be answered
// meanwhile, and no lease would join the next commit. The second one is given
// back at once: with two on one core each packet costs more.
func (t *Table) carryOut(batch []*write) {
	release := t.opts.SecondProcessor()
	defer release()
	t.finish(batch, t.commit(batch))
}

func (t *Table) takeQueue() []*write {
	t.mu.Lock()
	defer t.mu.Unlock()
	batch := t.queue
	t.queue = nil
	return batch
}

// finish enters the outcome of a commit into the table and tells the waiters.
func (t *Table) finish(batch []*write, err error) {
	now := t.now()
	t.mu.Lock()
	for _, w := range batch {
		if !w.remove {
			t.conclude(w, err, now)
		}
	}
	t.mu.Unlock()
	for _, w := range batch {
		if !w.remove {
			close(w.done)
		}
	}
}

// conclude turns the reservation into a lease, or takes it back. A slot that
// was released, declined or given up meanwhile is no longer concerned: then
// the queue holds what removes or replaces the row just written.
func (t *Table) conclude(w *write, err error, now tick) {
	s := w.slot
	if s.gen != w.gen {
		w.err = w.refuse
		return
	}
	s.writes--
	if s.writes == 0 {
		s.reserve = 0
	}
	switch {
	case err != nil:
		w.err = fmt.Errorf("%w: %w", ErrStore, err)
	case w.end <= now:
		w.err = w.refuse
	default:
		if s.lease <= now {
			s.turn(now)
		}
		s.lease, s.offer, s.hostname = max(s.lease, w.end), 0, w.hostname
	}
	s.pool.settle(s, now)
	if s.lease > now {
		w.lease = t.show(s, s.lease)
	}
}

// Close waits for the leases that are being written and closes the file. After
// that nothing is written any more: Confirm and Extend return ErrStore.
func (t *Table) Close() error {
	t.mu.Lock()
	first, stop := !t.closed, t.stop
	t.closed = true
	if first {
		close(t.wake)
	}
	t.mu.Unlock()
	<-stop
	if !first {
		return nil
	}
	return t.close()
}

// Reopen takes up what Close has ended. Another process may have read the file
// meanwhile and put it in order; leases it must not have given out. The error
// is one of the file; it wraps ErrInUse when another process has it still, and
// then the table stays closed.
func (t *Table) Reopen() error {
	t.mu.Lock()
	open := !t.closed
	t.mu.Unlock()
	if open {
		return nil
	}
	err := t.reopen()
	if errors.Is(err, ErrInUse) {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = false
	t.begin()
	return err
}

// begin starts the goroutine that commits.
func (t *Table) begin() {
	t.wake, t.stop = make(chan struct{}, 1), make(chan struct{})
	go t.run(t.wake, t.stop)
}

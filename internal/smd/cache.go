package smd

import (
	"context"
	"maps"
	"net/netip"
	"sync"
	"time"
)

// Options are the settings of a cache.
type Options struct {
	Source   Source
	Interval time.Duration // between two polls
	Doubt    time.Duration // of agreement before a shrunk inventory is believed; 0 means DefaultDoubt
	Snapshot *Snapshot     // keeps the inventory on disk; nil: none
	PullWait time.Duration // how long a packet waits for SMD's word on an unknown machine; 0: it is not asked

	// Reserved returns which addresses cannot be those of machines, and a
	// number that changes when they do. May be nil.
	Reserved func() (Reserved, int)

	// HostName returns the host name that a machine gets; empty: none. It
	// follows from the machine alone. May be nil.
	HostName func(Machine) string

	// SecondProcessor sees to it that Go has two processors until release is
	// called. A poll holds it. May be nil.
	SecondProcessor func() (release func())

	OnPoll     func(Poll)     // called after each poll, outside the cache's lock; may be nil
	OnQuestion func(Question) // called after each question about machines; may be nil
}

// An Outcome is what became of a poll.
type Outcome uint8

// The outcomes of a poll.
const (
	Failed    Outcome = iota // what was there is kept
	Unchanged                // SMD said what it had said before
	Changed                  // SMD said something else, which is served now
	Doubted                  // SMD said something that is not believed, what was there is kept
)

var outcomeNames = [...]string{Failed: "failed", Unchanged: "unchanged", Changed: "changed", Doubted: "doubted"}

func (o Outcome) String() string { return outcomeNames[o] }

// Outcomes are all outcomes, for tables with a row each.
func Outcomes() []Outcome { return []Outcome{Failed, Unchanged, Changed, Doubted} }

// A Poll is what came of asking a source once.
type Poll struct {
	Outcome   Outcome
	Err       error   // why the poll failed
	State     State   // of the inventory, after this poll
	Changed   bool    // the machines are other ones than before, or the first that SMD gave; their states do not count
	Machines  int     // in the index, after this poll
	Doubt     Doubt   // of a doubted poll
	Unsaved   error   // why the snapshot could not be written
	NewFaults []Fault // those that the poll before did not have
	Faults    int     // all of them
	Took      time.Duration
}

// A basis is where the index of a cache comes from.
type basis uint8

const (
	nothing basis = iota
	aSnapshot
	aPoll
)

// A Cache holds the index of the last good poll.
type Cache struct {
	opts   Options
	puller *puller // nil: SMD is not asked for single machines

	mu      sync.RWMutex
	index   Index              // guarded by mu; never written to, only replaced
	owner   map[netip.Addr]MAC // guarded by mu; never written to, only replaced
	faults  []Fault            // guarded by mu; never written to, only replaced, under refresh
	basis   basis              // guarded by mu: of index
	loaded  time.Time          // guarded by mu; when the last good poll began; zero: never
	failing bool               // guarded by mu; the last poll failed
	doubted bool               // guarded by mu; the last answer is in doubt

	pulled      map[MAC]pulled     // guarded by mu: beside index, asked for since the last poll
	pulledAddrs map[netip.Addr]MAC // guarded by mu: of pulled

	refresh sync.Mutex      // held by the one poll that runs
	sum     digest          // guarded by refresh: of the last answer that was believed
	doubter doubter         // guarded by refresh
	saver   saver           // guarded by refresh
	found   []Fault         // guarded by refresh: of the last answer that was believed
	linted  int             // guarded by refresh: what was reserved then
	orphans map[string]bool // guarded by refresh: components that were asked for twice and are not there

	twice    []Fault // guarded by refresh: node ids and host names of several machines
	compared bool    // guarded by refresh: twice is what is found in the index
}

// NewCache returns a cache that holds nothing yet.
func NewCache(o Options) *Cache {
	if o.SecondProcessor == nil {
		o.SecondProcessor = func() (release func()) { return func() {} }
	}
	c := &Cache{opts: o, doubter: newDoubter(o.Doubt), saver: saver{snapshot: o.Snapshot}}
	if _, ok := o.Source.(Asker); ok && o.PullWait > 0 {
		c.puller = newPuller(o.PullWait)
		c.puller.ask, c.puller.report = c.question, o.OnQuestion
	}
	return c
}

// A Finding is what the inventory says of a MAC address.
type Finding struct {
	Machine
	Known bool
	State State
}

// Lookup returns what the inventory says of a MAC address.
func (c *Cache) Lookup(mac MAC) Finding {
	c.mu.RLock()
	defer c.mu.RUnlock()
	m, ok := c.index[mac]
	if !ok && len(c.pulled) > 0 {
		m, ok = c.pulled[mac].Machine, c.pulled[mac].Machine != nil
	}
	if !ok {
		return Finding{State: c.state()}
	}
	return Finding{*m, true, c.state()}
}

// Knows says that the inventory has a MAC address.
func (c *Cache) Knows(mac MAC) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, ok := c.index[mac]
	return ok || c.pulled[mac].Machine != nil
}

// Claims says that SMD assigns an address to some interface.
func (c *Cache) Claims(a netip.Addr) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, polled := c.owner[a]
	_, pulled := c.pulledAddrs[a]
	return polled || pulled
}

// Status is an inventory as a whole.
type Status struct {
	State    State
	Loaded   time.Time // when SMD was read; zero: never
	Machines int
	Faults   []Fault // not to be written to
	Doubted  bool    // SMD's last answer is not believed
}

// Status returns what the inventory is like.
func (c *Cache) Status() Status {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return Status{c.state(), c.loaded, len(c.index), c.faults, c.doubted}
}

// state is that of the inventory. The caller holds mu.
func (c *Cache) state() State {
	switch {
	case c.basis == nothing:
		return NeverLoaded
	case c.basis == aSnapshot:
		return FromSnapshot
	case c.doubted:
		return InDoubt
	case c.failing:
		return Stale
	}
	return Fresh
}

// Refresh polls the source once. A failure keeps what was there.
func (c *Cache) Refresh(ctx context.Context) error { return c.ask(ctx, false) }

// Trust polls the source once and believes what it says, whatever is lost.
func (c *Cache) Trust(ctx context.Context) error { return c.ask(ctx, true) }

func (c *Cache) ask(ctx context.Context, trust bool) error {
	return c.enter(func(began time.Time) Poll { return c.poll(ctx, began, trust) })
}

// enter does one poll and tells of it. With one processor of Go packets would
// wait ten milliseconds, again and again, while it computes. A second one costs
// so little that it is held for few machines too: at the first load nobody knows
// how many there are. It is taken before SMD is asked: later a garbage
// collection is likely to run, which taking it waits for.
func (c *Cache) enter(do func(began time.Time) Poll) error {
	c.refresh.Lock()
	defer c.refresh.Unlock()
	defer c.opts.SecondProcessor()()
	defer frugal(len(c.serving()))()
	began := time.Now()
	poll := do(began)
	c.lint(&poll)
	poll.Unsaved = c.save(poll)
	poll.Took = time.Since(began)
	if c.opts.OnPoll != nil {
		c.opts.OnPoll(poll)
	}
	return poll.Err
}

func (c *Cache) poll(ctx context.Context, began time.Time, trust bool) Poll {
	answer, err := c.opts.Source.Fetch(ctx)
	if err != nil {
		return c.failed(err)
	}
	return c.take(ctx, answer, began, trust)
}

// take enters an answer into the cache, if it is believed.
func (c *Cache) take(ctx context.Context, answer Answer, began time.Time, trust bool) Poll {
	sum := answer.digest()
	if sum == c.sum {
		return c.keep(began)
	}
	inv, err := c.decode(ctx, answer)
	if err != nil {
		return c.failed(err)
	}
	if !c.doubter.believe(c.serving(), inv.index, began) && !trust {
		return c.hold()
	}
	c.sum = sum
	return c.accept(inv, began)
}

// save writes the snapshot after a poll that brought something to believe.
func (c *Cache) save(p Poll) error {
	if p.Outcome != Changed && p.Outcome != Unchanged {
		return nil
	}
	return c.saver.save(c.serving(), c.Status().Loaded, time.Now())
}

func (c *Cache) serving() Index {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.index
}

// decode turns an answer into an inventory. Both collections were read one
// after the other: components that interfaces name and that were not there are
// asked for once more.
func (c *Cache) decode(ctx context.Context, answer Answer) (*inventory, error) {
	ix, err := decodeAnswer(answer, c.serving())
	if err != nil {
		return nil, err
	}
	var later map[string]component
	if asker, ok := c.opts.Source.(Asker); ok && ix.lacks(c.orphans) {
		body, err := asker.Components(ctx, nil)
		if err != nil {
			return nil, err
		}
		if later, _, err = decodeComponents(body); err != nil {
			return nil, wrapComponents(err)
		}
	}
	c.orphans = ix.adopt(later)
	return &ix.inventory, nil
}

// failed notes a poll that brought nothing.
func (c *Cache) failed(err error) Poll {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failing = true
	return c.polled(Poll{Outcome: Failed, Err: err})
}

// hold notes an answer that is not believed.
func (c *Cache) hold() Poll {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failing, c.doubted = false, true
	return c.polled(Poll{Outcome: Doubted, Doubt: c.doubter.doubt})
}

// keep notes a poll that brought the octets of the one before.
func (c *Cache) keep(began time.Time) Poll {
	c.doubter.doubt = Doubt{}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loaded, c.failing, c.doubted = began, false, false
	c.forget(began)
	return c.polled(Poll{Outcome: Unchanged})
}

// accept puts a new inventory in the place of the old one.
func (c *Cache) accept(inv *inventory, began time.Time) Poll {
	c.doubter.doubt = Doubt{}
	same := maps.EqualFunc(c.serving(), inv.index, (*Machine).equal)
	alike := same || maps.EqualFunc(c.serving(), inv.index, (*Machine).alike)
	c.saver.unsaved = c.saver.unsaved || !alike
	c.compared = c.compared && alike && (same || maps.EqualFunc(c.serving(), inv.index, c.sameName))
	c.found = inv.faults

	c.mu.Lock()
	defer c.mu.Unlock()
	poll := Poll{Outcome: Changed, Changed: !alike || c.basis != aPoll}
	if !same {
		c.index = inv.index
	}
	c.owner = inv.owner
	c.basis, c.loaded, c.failing, c.doubted = aPoll, began, false, false
	c.forget(began)
	return c.polled(poll)
}

// polled fills in what every poll tells. The caller holds mu.
func (c *Cache) polled(p Poll) Poll {
	p.State, p.Machines, p.Faults = c.state(), len(c.index), len(c.faults)
	return p
}

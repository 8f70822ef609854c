package smd

import (
	"context"
	"sync"
	"time"
)

// Limits of what strangers may cost.
const (
	batchTime   = 3 * time.Millisecond  // in which misses are gathered into one question
	batchSize   = 100                   // MAC addresses in a question
	pullSpacing = 50 * time.Millisecond // between the beginnings of two questions, at least
	pullPause   = time.Second           // after a question that was not answered
	pullWaiting = 512                   // packets that wait at a time
)

// A Pulled is what came of asking SMD for one machine.
type Pulled uint8

// What came of asking.
const (
	NotAsked   Pulled = iota // pull-through is off, or SMD cannot be asked for one machine
	Found                    // SMD has it
	Absent                   // SMD does not have it
	Remembered               // SMD did not have it a moment ago
	Late                     // no answer in time
	Unanswered               // SMD did not answer, now or a moment ago
	Busy                     // too many packets wait already
)

var pulledNames = [...]string{
	NotAsked: "not asked", Found: "found", Absent: "absent", Remembered: "remembered",
	Late: "late", Unanswered: "unanswered", Busy: "busy",
}

func (p Pulled) String() string { return pulledNames[p] }

// AllPulled are all outcomes, for tables with a row each.
func AllPulled() []Pulled {
	all := make([]Pulled, len(pulledNames))
	for i := range all {
		all[i] = Pulled(i)
	}
	return all
}

// A Question is what came of one question to SMD about some machines.
type Question struct {
	Asked, Found int
	Unfiltered   bool  // SMD sent everything; it is not asked so again
	Err          error // why there is no answer
}

// A puller asks SMD for machines that the cache does not hold. Misses that
// come together share a question, and one question is asked at a time.
type puller struct {
	wait   time.Duration
	ask    func(context.Context, []MAC) (found map[MAC]bool, q Question)
	report func(Question)

	mu      sync.Mutex
	misses  map[MAC]*miss // guarded by mu: not answered yet
	waiting int           // guarded by mu: packets
	absent  memory        // guarded by mu
	resume  time.Time     // guarded by mu: nothing is asked before
	off     bool          // guarded by mu
	wake    chan struct{} // capacity 1: there are misses
}

// A miss is a machine that packets wait for.
type miss struct {
	done    chan struct{} // closed when outcome is set
	outcome Pulled
	waiters int
	asked   bool
}

func newPuller(wait time.Duration) *puller {
	return &puller{wait: wait, misses: make(map[MAC]*miss), wake: make(chan struct{}, 1)}
}

// pull waits for SMD's word on a machine, but not for long.
func (p *puller) pull(mac MAC) Pulled {
	m, outcome := p.join(mac, time.Now())
	if m == nil {
		return outcome
	}
	timer := time.NewTimer(p.wait)
	defer timer.Stop()
	select {
	case <-m.done:
	case <-timer.C:
	}
	return p.leave(mac, m)
}

// join makes a packet wait for a machine; nil: it need not, and why.
func (p *puller) join(mac MAC, now time.Time) (*miss, Pulled) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.off:
		return nil, NotAsked
	case p.absent.has(mac, now):
		return nil, Remembered
	case now.Before(p.resume):
		return nil, Unanswered
	case p.waiting >= pullWaiting:
		return nil, Busy
	}
	m := p.misses[mac]
	if m == nil {
		m = &miss{done: make(chan struct{}), outcome: Late}
		p.misses[mac] = m
		p.rouse()
	}
	m.waiters++
	p.waiting++
	return m, NotAsked
}

// leave ends the wait of a packet. A machine that nobody waits for any more is
// not asked for.
func (p *puller) leave(mac MAC, m *miss) Pulled {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting--
	m.waiters--
	if m.waiters == 0 && !m.asked && p.misses[mac] == m {
		delete(p.misses, mac)
	}
	return m.outcome
}

func (p *puller) rouse() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run asks until ctx ends.
func (p *puller) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		}
		if !sleep(ctx, batchTime) {
			return
		}
		for batch := p.batch(); len(batch) > 0; batch = p.batch() {
			began := time.Now()
			found, q := p.ask(ctx, batch)
			p.settle(batch, found, q, time.Now())
			if p.report != nil {
				p.report(q)
			}
			// SMD has at least half of its time for others.
			if took := time.Since(began); !sleep(ctx, max(pullSpacing-took, took)) {
				return
			}
		}
	}
}

// batch takes machines to ask for.
func (p *puller) batch() []MAC {
	p.mu.Lock()
	defer p.mu.Unlock()
	var macs []MAC
	for mac, m := range p.misses {
		if m.asked {
			continue
		}
		m.asked = true
		if macs = append(macs, mac); len(macs) == batchSize {
			break
		}
	}
	return macs
}

// settle tells those who wait. Without an answer nobody waits on.
func (p *puller) settle(batch []MAC, found map[MAC]bool, q Question, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = p.off || q.Unfiltered
	for _, mac := range batch {
		outcome := Absent
		switch {
		case q.Err != nil:
			outcome = Unanswered
		case found[mac]:
			outcome = Found
		default:
			p.absent.add(mac, now)
		}
		p.end(mac, outcome)
	}
	if q.Err == nil && !p.off {
		return
	}
	if q.Err != nil {
		p.resume = now.Add(pullPause)
	}
	for mac := range p.misses {
		p.end(mac, Unanswered)
	}
}

// end answers those who wait for a machine. The caller holds mu.
func (p *puller) end(mac MAC, outcome Pulled) {
	m := p.misses[mac]
	m.outcome = outcome
	close(m.done)
	delete(p.misses, mac)
}

// A memory holds MAC addresses for a moment, and not too many.
type memory struct {
	young, old map[MAC]struct{}
	turned     time.Time
}

// Limits of a memory.
const (
	memoryTime = time.Second // an address is held for that long at least, twice that at most
	memorySize = 20_000      // addresses that are as old; twice that are held at most
)

func (m *memory) turn(now time.Time) {
	switch age := now.Sub(m.turned); {
	case age >= 2*memoryTime:
		m.young, m.old = nil, nil
	case age >= memoryTime, len(m.young) >= memorySize:
		m.young, m.old = nil, m.young
	default:
		return
	}
	m.turned = now
}

func (m *memory) has(mac MAC, now time.Time) bool {
	m.turn(now)
	_, young := m.young[mac]
	_, old := m.old[mac]
	return young || old
}

func (m *memory) add(mac MAC, now time.Time) {
	m.turn(now)
	if m.young == nil {
		m.young = make(map[MAC]struct{})
	}
	m.young[mac] = struct{}{}
}

package process

import (
	"runtime"
	"sync"
)

// SecondProcessor sees to it that Go has two processors until release is
// called, where it has one only. On one, nobody else runs for ten milliseconds
// while somebody computes or waits for the disk; of two, the kernel lets both
// run. Several may hold it, the last of them gives it back. A number that
// somebody else has set meanwhile stays. release may be called again.
func (p *Process) SecondProcessor() (release func()) { return p.second.hold() }

// Processors returns how many processors Go has, without a second one that is
// held: what is made for good goes by these.
func (p *Process) Processors() int { return p.second.others() }

// A processor is one of Go that some hold for a time.
type processor struct {
	mu      sync.Mutex
	holders int  // guarded by mu
	added   bool // guarded by mu: there was one only
}

func (p *processor) hold() (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holders++
	if runtime.GOMAXPROCS(0) == 1 {
		runtime.GOMAXPROCS(2)
		p.added = true
	}
	return sync.OnceFunc(p.leave)
}

func (p *processor) others() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := runtime.GOMAXPROCS(0)
	if p.added && n == 2 {
		return 1
	}
	return n
}

// leave ends the hold of one.
func (p *processor) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holders--
	if p.holders > 0 || !p.added {
		return
	}
	p.added = false
	if runtime.GOMAXPROCS(0) == 2 {
		runtime.GOMAXPROCS(1)
	}
}

// Package journal remembers what machines did lately: a bounded history of
// each, and bounded in all. It knows neither DHCP nor SMD, and nothing of it is
// kept on disk.
//
// Whoever reports an event waits for nobody: events go through a channel to one
// goroutine. Those that find it full are counted and lost.
package journal

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// A MAC is the hardware address of a machine.
type MAC = [6]byte

// A Kind is what an event is.
type Kind uint8

// The kinds of events.
const (
	Exchange Kind = iota // a message and its answer
	TFTP                 // a transfer
	HTTP                 // a transfer
)

func (k Kind) String() string { return [...]string{"exchange", "tftp", "http"}[k] }

// An Event is something that a machine did. Its slices are kept until the
// event is noted, and never written to.
type Event struct {
	Kind Kind
	At   time.Time
	MAC  MAC        // of an exchange
	From netip.Addr // of a transfer: who asked

	Plugin, Message, State, Verdict string // words of closed lists; of a transfer only Verdict
	Reason, Detail                  string
	Addr                            netip.Addr // that the machine gets
	Leased                          bool       // the machine may use Addr now
	Bootfile, Rule                  string
	Octets                          int64

	// What becomes of leases by it: of one, and of more where there are.
	Lease LeaseState
	Held  netip.Addr // whose lease
	More  []netip.Addr
	Lasts time.Duration // of those that are given
	Gone  []netip.Addr  // that are refused beside

	// Of an exchange.
	Known       bool // to SMD
	Boots, IPXE bool // what kind of client asks
	Wants       bool // an address
	Shown       Shown
}

// Shown is what a message shows of a machine.
type Shown struct {
	Giaddr                           netip.Addr
	Circuit, Remote, Class, Hostname []byte
	Arch                             uint16
	HasArch                          bool
	DUID                             interface{ ToBytes() []byte } // of DHCPv6; nil: none
}

// A Step is how far a machine's boot has come.
type Step uint8

// The steps of a boot, in their order.
const (
	NoStep   Step = iota
	Discover      // firmware asks, or somebody who was never given an address
	Ack           // firmware has its address
	Loader        // a boot file was fetched
	Asking        // iPXE asks
	Script        // iPXE was given its script
	Up            // what does not boot has its address
)

func (s Step) String() string {
	return [...]string{"", "discover", "ack", "loader", "ipxe", "script", "up"}[s]
}

// Options are fixed for the life of a journal.
type Options struct {
	Machines int // that are remembered; 0 means DefaultMachines

	// Owner returns whose an address is, for transfers of machines that
	// were given none since the start. It may be nil.
	Owner func(netip.Addr) (MAC, bool)
}

// Limits of a journal. A machine with a full history takes less than a
// kilobyte.
const (
	DefaultMachines = 100_000
	Events          = 10 // of a machine

	queueSize   = 8192
	gatherTime  = 20 * time.Millisecond // in which no host answers as many as fit into the queue
	readAtOnce  = 256                   // machines that are copied while the one goroutine waits
	unknownPart = 4                     // strangers push out machines of SMD up to one in so many
)

// A Journal is the history of all machines.
type Journal struct {
	opts  Options
	queue chan Event
	added atomic.Uint64
	noted atomic.Uint64
	lost  atomic.Uint64

	mu    sync.Mutex // nobody who reports waits for it
	store store      // guarded by mu
}

// New returns an empty journal. Run notes what is added.
func New(o Options) *Journal {
	if o.Machines <= 0 {
		o.Machines = DefaultMachines
	}
	return &Journal{opts: o, queue: make(chan Event, queueSize), store: newStore(o.Machines)}
}

// Add notes an event soon. It never waits.
func (j *Journal) Add(e Event) {
	select {
	case j.queue <- e:
		j.added.Add(1)
	default:
		j.lost.Add(1)
	}
}

// Run notes events until ctx ends. It gathers them for a moment: waking this
// goroutine for each would cost who reports more than the rest of Add.
func (j *Journal) Run(ctx context.Context) {
	gather := time.NewTicker(gatherTime)
	defer gather.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-gather.C:
		}
		for range len(j.queue) {
			j.note(<-j.queue)
			j.noted.Add(1)
		}
	}
}

// Settle waits until what was added before is noted, or ctx ends. For readers
// that have just caused an event.
func (j *Journal) Settle(ctx context.Context) {
	for added := j.added.Load(); j.noted.Load() < added && ctx.Err() == nil; {
		time.Sleep(time.Millisecond)
	}
}

func (j *Journal) note(e Event) {
	if e.Kind != Exchange {
		mac, known, ok := j.owner(e.From)
		if !ok {
			return
		}
		e.MAC, e.Known = mac, known
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.store.note(&e)
}

// owner returns the machine that has an address.
func (j *Journal) owner(a netip.Addr) (mac MAC, known, ok bool) {
	if m, ok := j.Owner(a); ok {
		return m, false, true
	}
	if j.opts.Owner == nil {
		return mac, false, false
	}
	mac, ok = j.opts.Owner(a.Unmap())
	return mac, ok, ok
}

// Owner returns the machine that was last given an address.
func (j *Journal) Owner(a netip.Addr) (MAC, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.store.addrs[pack(a)]
	if r == nil {
		return MAC{}, false
	}
	return r.mac, true
}

// Machine returns the history of a machine; false: there is none.
func (j *Journal) Machine(mac MAC) (Machine, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := j.store.machines[mac]
	if r == nil {
		return Machine{}, false
	}
	return j.store.show(r), true
}

// Since returns the events after that of a number, the oldest first: at most
// so many, and those that are still remembered one by one. last is the number
// of the last event of all. 0 is before the first.
func (j *Journal) Since(number uint64, most int) (list []News, last uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.store.news.since(number, most), j.store.news.count
}

// Machines calls visit for the machines that are remembered, the one heard
// last first, until it returns false. What happens meanwhile is not waited
// for: a machine may be left out that was forgotten.
func (j *Journal) Machines(visit func(Machine) bool) { each(j, j.store.show, visit) }

// Heads is like Machines, and costs a tenth.
func (j *Journal) Heads(visit func(Head) bool) { each(j, (*record).head, visit) }

func each[T any](j *Journal, show func(*record) T, visit func(T) bool) {
	macs := j.macs()
	for len(macs) > 0 {
		n := min(readAtOnce, len(macs))
		for _, m := range batch(j, macs[:n], show) {
			if !visit(m) {
				return
			}
		}
		macs = macs[n:]
	}
}

func (j *Journal) macs() []MAC {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.store.latest()
}

func batch[T any](j *Journal, macs []MAC, show func(*record) T) []T {
	j.mu.Lock()
	defer j.mu.Unlock()
	machines := make([]T, 0, len(macs))
	for _, mac := range macs {
		if r := j.store.machines[mac]; r != nil {
			machines = append(machines, show(r))
		}
	}
	return machines
}

// Stats are numbers of a journal.
type Stats struct {
	Machines, Limit int
	Lost            uint64 // events that were not noted
}

// Stats returns how much is remembered.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Stats{len(j.store.machines), j.opts.Machines, j.lost.Load()}
}

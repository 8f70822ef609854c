package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
)

// lookTime is how often clients look whether it is time to ask again.
const lookTime = 20 * time.Millisecond

// Run does a job and returns what became of each crowd. It holds one core: it
// is meant to be alone on it.
func Run(job Job) ([]Result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := job.validate(); err != nil {
		return nil, err
	}
	s, err := openSocket(job.Interface)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil { // nanoseconds: handshakes begin when they are to
		return nil, os.NewSyscallError("prctl", err)
	}
	began := time.Now()
	if !job.Epoch.IsZero() {
		job.lead = job.Epoch.Sub(began)
	}
	return run(job, s, func() time.Duration { return time.Since(began) })
}

func (j *Job) validate() error {
	if len(j.Crowds) < 1 || len(j.Crowds) > 2 {
		return fmt.Errorf("%d crowds; wanted one or two", len(j.Crowds))
	}
	var errs []error
	for _, c := range j.Crowds {
		errs = append(errs, c.validate())
	}
	return errors.Join(errs...)
}

func (c Crowd) validate() error {
	if c.Clients < 1 || c.Clients > MaxClients {
		return fmt.Errorf("%d clients; wanted 1 to %d", c.Clients, MaxClients)
	}
	if c.Busy && c.Mode != Rate {
		return fmt.Errorf("mode %s in busy phases only; wanted rate", c.Mode)
	}
	switch c.Mode {
	case Burst:
		if !c.Once {
			return errors.New("a burst whose clients have more than one handshake never ends")
		}
	case Window:
		if c.Window < 1 {
			return errors.New("mode window without handshakes")
		}
	case Rate:
		if c.Rate < 1 {
			return errors.New("mode rate without a rate")
		}
	default:
		return fmt.Errorf("mode %q; wanted burst, window or rate", c.Mode)
	}
	return nil
}

// A runner is a job under way.
type runner struct {
	port   port
	awake  bool
	crowds []*crowd
	looked time.Duration
}

// run does a job at a port.
func run(job Job, p port, now func() time.Duration) ([]Result, error) {
	relayed := len(job.Relays) > 0
	discover, err := newTemplate(dhcpv4.MessageTypeDiscover, relayed)
	if err != nil {
		return nil, err
	}
	request, err := newTemplate(dhcpv4.MessageTypeRequest, relayed)
	if err != nil {
		return nil, err
	}
	r := &runner{port: p, awake: job.Awake}
	for i, c := range job.Crowds {
		r.crowds = append(r.crowds, newCrowd(c, uint32(i), &job, p, &discover, &request))
	}
	p.lost() // what came before
	for at := now(); at < job.Limit && !r.done(); at = now() {
		if err := r.step(at, now); err != nil {
			return nil, err
		}
	}
	return r.results(now()), nil
}

// done says that all crowds that are to end have ended.
func (r *runner) done() bool {
	for _, w := range r.crowds {
		if !w.done {
			return false
		}
	}
	return true
}

// step sends what is due and takes what came.
func (r *runner) step(at time.Duration, now func() time.Duration) error {
	sleeps := !r.awake
	for _, w := range r.crowds {
		if err := w.start(at); err != nil {
			return err
		}
		sleeps = sleeps && !w.eager()
	}
	if at-r.looked >= lookTime {
		r.looked = at
		for _, w := range r.crowds {
			if err := w.again(at); err != nil {
				return err
			}
		}
	}
	if err := r.port.flush(); err != nil {
		return err
	}
	var wait time.Duration
	if sleeps {
		wait = r.wait(now())
	}
	frames, err := r.port.receive(wait)
	if err != nil || len(frames) == 0 {
		return err
	}
	return r.hear(frames, now())
}

// wait returns how long there is nothing to begin, at most a millisecond.
func (r *runner) wait(at time.Duration) time.Duration {
	least := time.Millisecond
	for _, w := range r.crowds {
		if w.Mode == Rate && !w.done {
			least = min(least, max(w.due-at, 0))
		}
	}
	return least
}

// eager says that a crowd has more to begin right now.
func (w *crowd) eager() bool { return w.Mode == Burst && w.started < w.Clients }

// hear takes frames to the crowds that they are for.
func (r *runner) hear(frames [][]byte, at time.Duration) error {
	for _, frame := range frames {
		m, ok := readReply(frame, r.crowds[0].Echo)
		id := int(m.xid >> 31)
		if !ok || id >= len(r.crowds) {
			continue
		}
		if err := r.crowds[id].hear(&m, at); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) results(at time.Duration) []Result {
	lost := r.port.lost()
	results := make([]Result, len(r.crowds))
	for i, w := range r.crowds {
		if !w.done {
			w.now = at
			w.finish()
		}
		w.result.Lost = lost
		results[i] = w.result
	}
	return results
}

// clocks are processor times.
type clocks struct{ server, self time.Duration }

// readClocks reads the processor time of a process, also of its threads that
// are no more, and our own. A process that is gone has none.
func readClocks(pid int) clocks {
	var c clocks
	if pid > 0 {
		c.server = readClock(int32(^pid<<3 | 2)) // CPUCLOCK_SCHED of that process
	}
	c.self = readClock(unix.CLOCK_PROCESS_CPUTIME_ID)
	return c
}

func readClock(id int32) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// ip shows an address.
func ip(n uint32) netip.Addr {
	var four [4]byte
	binary.BigEndian.PutUint32(four[:], n)
	return netip.AddrFrom4(four)
}

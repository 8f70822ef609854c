package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Stake is what a part of the process does when a successor takes its place.
// Each of its functions may be nil.
type Stake struct {
	// Files returns copies of open sockets, by the names that a successor
	// asks for with Inherited.
	Files func() (map[string]*os.File, error)
	// Yield gives up what only one process may have, such as a file that it
	// writes. No DHCP request is in flight then.
	Yield func() error
	// Resume takes it back: the successor failed.
	Resume func() error
	// Leave stops taking requests, which are the successor's now, and returns
	// when those under way have ended, or ctx has.
	Leave func(ctx context.Context)
}

// succession is what a process inherits and leaves.
type succession struct {
	mu        sync.Mutex
	stakes    []Stake                 // guarded by mu
	waits     bool                    // guarded by mu: the predecessor is in office
	inherited map[string]*os.File     // guarded by mu
	takes     []func() error          // guarded by mu: what waits for the office
	serves    []func(context.Context) // guarded by mu: what runs after that
}

// Hold adds a stake.
func (p *Process) Hold(s Stake) {
	p.succession.mu.Lock()
	defer p.succession.mu.Unlock()
	p.succession.stakes = append(p.succession.stakes, s)
}

// all returns the stakes there are.
func (p *Process) all() []Stake {
	p.succession.mu.Lock()
	defer p.succession.mu.Unlock()
	return p.succession.stakes[:len(p.succession.stakes):len(p.succession.stakes)]
}

// Files returns copies of the open sockets of all stakes.
func (p *Process) Files() (map[string]*os.File, error) {
	files := make(map[string]*os.File)
	for _, s := range p.all() {
		if s.Files == nil {
			continue
		}
		more, err := s.Files()
		if err != nil {
			return files, err
		}
		for name, f := range more {
			files[name] = f
		}
	}
	return files, nil
}

// Yield calls Yield of all stakes, and is to be followed by Resume or Stop.
func (p *Process) Yield() error {
	return p.each(func(s Stake) func() error { return s.Yield })
}

// Resume calls Resume of all stakes.
func (p *Process) Resume() error {
	return p.each(func(s Stake) func() error { return s.Resume })
}

func (p *Process) each(of func(Stake) func() error) error {
	var errs []error
	for _, s := range p.all() {
		if f := of(s); f != nil {
			errs = append(errs, f())
		}
	}
	return errors.Join(errs...)
}

// Leave calls Leave of all stakes, side by side.
func (p *Process) Leave(ctx context.Context) {
	var leaving sync.WaitGroup
	for _, s := range p.all() {
		if s.Leave != nil {
			leaving.Go(func() { s.Leave(ctx) })
		}
	}
	leaving.Wait()
}

// Inherit makes p a successor, before the first Setup: what Take and Serve are
// given waits for TakeOver. The files are p's from then on.
func (p *Process) Inherit(files map[string]*os.File) {
	p.succession.mu.Lock()
	defer p.succession.mu.Unlock()
	p.succession.waits, p.succession.inherited = true, files
}

// Inherited returns the socket of that name that the predecessor has; nil: it
// has none. TakeOver closes the file: who wants to keep it makes a copy.
func (p *Process) Inherited(name string) *os.File {
	p.succession.mu.Lock()
	defer p.succession.mu.Unlock()
	return p.succession.inherited[name]
}

// Take calls take, which takes what only one process may have, such as a file
// that it writes. In a successor it is called once the predecessor has given
// that up, before the first request, and TakeOver returns its error.
func (p *Process) Take(take func() error) error {
	if p.waitsFor(func(s *succession) { s.takes = append(s.takes, take) }) {
		return nil
	}
	return take()
}

// Serve starts run as Go does; in a successor once all has been taken.
func (p *Process) Serve(run func(context.Context)) {
	if !p.waitsFor(func(s *succession) { s.serves = append(s.serves, run) }) {
		p.Go(run)
	}
}

// waitsFor calls add if the predecessor is in office, and says so.
func (p *Process) waitsFor(add func(*succession)) bool {
	p.succession.mu.Lock()
	defer p.succession.mu.Unlock()
	if p.succession.waits {
		add(&p.succession)
	}
	return p.succession.waits
}

// TakeOver takes and serves what waited for it. The predecessor has given up
// what it had. After an error the process is good for nothing but Stop.
func (p *Process) TakeOver() error {
	for take := p.nextTake(); take != nil; take = p.nextTake() {
		if err := take(); err != nil {
			return err
		}
	}
	p.succession.mu.Lock()
	serves, files := p.succession.serves, p.succession.inherited
	p.succession.waits, p.succession.serves, p.succession.inherited = false, nil, nil
	p.succession.mu.Unlock()
	for _, run := range serves {
		p.Go(run)
	}
	for _, f := range files {
		f.Close()
	}
	return nil
}

func (p *Process) nextTake() func() error {
	p.succession.mu.Lock()
	defer p.succession.mu.Unlock()
	if len(p.succession.takes) == 0 {
		return nil
	}
	take := p.succession.takes[0]
	p.succession.takes = p.succession.takes[1:]
	return take
}

// Duplicate returns a copy of an open socket, for a successor. Its mode is left
// as it is, which the copy shares.
func Duplicate(name string, socket syscall.Conn) (*os.File, error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("handing over %s: %w", name, err)
	}
	fd, failed := -1, error(nil)
	err = raw.Control(func(old uintptr) { fd, failed = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("handing over %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Memory returns a file without a name, for what a successor is told.
func Memory(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("handing over %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Told reads such a file, from its beginning.
func Told(f *os.File) io.Reader { return io.NewSectionReader(f, 0, math.MaxInt64) }

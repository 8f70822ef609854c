// Package process holds what the plugins of one process share: services that
// several directives name, and what one plugin tells another. It is the only
// place with state of the whole process.
package process

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// A Process is what the plugins of one process share. Tests make their own.
type Process struct {
	// StrangersUnknown says that SMD was not heard since the start, so that
	// strangers cannot be told from known machines.
	StrangersUnknown atomic.Bool

	// Registry holds the metrics of the plugins.
	Registry *prometheus.Registry

	// ReleaseTaken says that a plugin of ours takes DHCPRELEASE messages
	// and ends them.
	ReleaseTaken atomic.Bool

	claims    atomic.Pointer[func(netip.Addr) bool] // of SMD; nil: none
	rehearsal atomic.Pointer[Rehearsal]             // nil: the plugins serve

	ctx    context.Context // ends with the process; the parent of all that runs
	cancel context.CancelFunc
	runs   sync.WaitGroup

	mu     sync.Mutex
	shared map[string]share // guarded by mu
	aware  any              // guarded by mu: the handler of the last Setup that asks for the origin

	succession succession // between processes
	second     processor

	reserveMu sync.Mutex    // a service asks for reservations while it starts
	reserved  []reservation // guarded by reserveMu; never written to, only replaced
}

// A share is a service that is running and the settings it was started with.
type share struct {
	service  any
	settings string
}

// New returns a process that shares nothing yet.
func New() *Process {
	ctx, cancel := context.WithCancel(context.Background())
	return &Process{
		Registry: prometheus.NewRegistry(),
		ctx:      ctx, cancel: cancel,
		shared: make(map[string]share),
	}
}

// Counters registers a metric with labels and returns its vector.
func (p *Process) Counters(namespace, name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	p.Registry.MustRegister(v)
	return v
}

// Counter registers a metric without labels.
func (p *Process) Counter(namespace, name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	p.Registry.MustRegister(c)
	return c
}

// Seconds registers a histogram of times with labels; without buckets it has
// those of a handler: from ten microseconds to seconds.
func (p *Process) Seconds(namespace, name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	if buckets == nil {
		buckets = []float64{10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 1e-3, 5e-3, 25e-3, 100e-3, 500e-3, 2.5}
	}
	v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	p.Registry.MustRegister(v)
	return v
}

// Go starts run, which works until its context ends.
func (p *Process) Go(run func(context.Context)) {
	p.runs.Go(func() { run(p.ctx) })
}

// Context returns the context of all that runs.
func (p *Process) Context() context.Context { return p.ctx }

// Stop ends what Go started and waits for it.
func (p *Process) Stop() {
	p.cancel()
	p.runs.Wait()
}

// Forget lets go of everything, after Stop, in a process that lives on.
func (p *Process) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shared, p.aware = make(map[string]share), nil
	p.claims.Store(nil)
	p.Registry = prometheus.NewRegistry()
	p.reserveMu.Lock()
	defer p.reserveMu.Unlock()
	p.reserved = nil
	p.succession.mu.Lock()
	defer p.succession.mu.Unlock()
	p.succession.stakes = nil
}

// here is the process that the program is.
var here = New()

// Here returns the process that the program is.
func Here() *Process { return here }

// Share returns the service of that name. The first caller starts it; later
// ones get the same, if they name the same settings. Other settings are an
// error that shows both. start runs under the lock of p: a service that failed
// to start is not kept.
func Share[T any](p *Process, name, settings string, start func() (T, error)) (T, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if running, ok := p.shared[name]; ok {
		if running.settings != settings {
			var none T
			return none, fmt.Errorf("%s: two directives of one process differ: %s, and %s", name, running.settings, settings)
		}
		return running.service.(T), nil
	}
	service, err := start()
	if err != nil {
		return service, err
	}
	p.shared[name] = share{service, settings}
	return service, nil
}

// Publish shows something to the other plugins of the process, such as a way to
// ask. The first of a name stays.
func Publish[T any](p *Process, name string, v T) {
	_, _ = Share(p, name, "", func() (T, error) { return v, nil })
}

// Find returns the service of that name, if somebody has started it.
func Find[T any](p *Process, name string) (T, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	service, ok := p.shared[name].service.(T)
	return service, ok
}

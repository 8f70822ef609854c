// Package server is a packet loop for the plugins of CoreDHCP. It takes the place
// of CoreDHCP's own: the same configuration, the same chain of handlers, the same
// replies, and many more of them in a second.
package server

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/ifaces"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/record"
	"github.com/coredhcp/coredhcp/config"
	"github.com/sirupsen/logrus"
)

const (
	// maxWorkers is how many workers a socket has on a machine with more cores: its
	// queue is one.
	maxWorkers = 8
	// drainTime is how long the end waits for packets in flight.
	drainTime = 3 * time.Second
)

// A loop reads packets from its sockets, takes them through the chains and sends
// the replies.
type loop struct {
	sockets  []*socket
	table    *ifaces.Table
	breather *breather
	log      *logrus.Entry
	metrics  *metrics
	ring     *record.Ring // nil: packets are not recorded

	patience   time.Duration
	processors func() int // that stay

	chains  atomic.Pointer[chains] // of the present run
	flight  atomic.Int64           // packets in the chains
	running sync.WaitGroup         // workers, and packets that were dealt out

	mu     sync.Mutex // of whoever opens a socket for frames
	frames sync.Map   // int, the index of an interface -> *outbox

	complaintsMu sync.Mutex
	complaints   map[string]*process.Limit // guarded by complaintsMu
}

// listen opens the sockets of a configuration, or takes them from those that a
// predecessor left, and returns a loop that does not read yet.
func listen(p *process.Process, c *config.Config, inherited map[string]*os.File, log *logrus.Entry) (*loop, error) {
	l := &loop{log: log, metrics: newMetrics(p), patience: patience, processors: p.Processors, complaints: make(map[string]*process.Limit)}
	l.ring, _ = process.Find[*record.Ring](p, record.Shared)
	var err error
	if l.table, err = ifaces.Open(); err != nil {
		return nil, err
	}
	if l.breather, err = newBreather(); err != nil {
		return nil, errors.Join(err, l.table.Close())
	}
	for _, s := range l.entries(c) {
		if err := s.open(inherited[s.name]); err != nil {
			return nil, errors.Join(err, l.close())
		}
		l.sockets = append(l.sockets, s)
	}
	for _, s := range l.sockets {
		s.bound = s.others()
		s.follow()
		s.warn()
		log.Infof("listening on %s", s.name)
	}
	return l, nil
}

// run answers packets until ctx ends, then stops reading, waits for those in
// flight, and returns. A loop can be run again with other chains.
func (l *loop) run(ctx context.Context, c chains) error {
	l.chains.Store(&c)
	unused := ballast()
	defer runtime.KeepAlive(unused)
	var watching sync.WaitGroup
	watching.Go(func() { l.table.Watch(ctx, l.changed) })
	for _, s := range l.sockets {
		s.reading(true)
		for range min(l.processors(), maxWorkers) {
			l.running.Go(s.work)
		}
	}
	watching.Go(func() { l.measure(ctx) })
	<-ctx.Done()
	for _, s := range l.sockets {
		s.reading(false)
	}
	watching.Wait()
	return l.drain()
}

// drain waits for the packets in flight.
func (l *loop) drain() error {
	done := make(chan struct{})
	go func() { l.running.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-time.After(drainTime):
		return fmt.Errorf("%d packets were still in the plugins after %v", l.flight.Load(), drainTime)
	}
}

// measure keeps the gauge of packets in flight.
func (l *loop) measure(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		l.metrics.flight.Set(float64(l.flight.Load()))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// flushAll sends what is queued anywhere.
func (l *loop) flushAll() {
	for _, s := range l.sockets {
		s.out.flush()
	}
	l.frames.Range(func(_, o any) bool { o.(*outbox).flush(); return true })
}

// files returns the sockets by name, for a successor. They are copies.
func (l *loop) files() (map[string]*os.File, error) {
	files := make(map[string]*os.File)
	for _, s := range l.sockets {
		f, err := s.copy()
		if err != nil {
			return nil, err
		}
		files[s.name] = f
	}
	return files, nil
}

// close closes the sockets.
func (l *loop) close() error {
	errs := []error{l.table.Close(), l.breather.file.Close()}
	for _, s := range l.sockets {
		errs = append(errs, s.file.Close())
	}
	l.frames.Range(func(_, o any) bool { errs = append(errs, o.(*outbox).file.Close()); return true })
	return errors.Join(errs...)
}

// complain logs an error, the same action once a minute.
func (l *loop) complain(action string, err error) {
	l.complaintsMu.Lock()
	limit := l.complaints[action]
	if limit == nil {
		if len(l.complaints) > 1000 {
			clear(l.complaints) // actions name destinations: the world has many
		}
		limit = new(process.Limit)
		l.complaints[action] = limit
	}
	l.complaintsMu.Unlock()
	if limit.Allow(time.Now()) {
		l.log.WithError(err).Errorf("%s failed (%d times more before)", action, limit.Held())
	}
}

// dropped counts a packet that gets no reply.
func (s *socket) dropped(why reason, p *packet) {
	s.metrics.dropped[why].Inc()
	s.recorded(p, why)
	if s.loop.log.Logger.IsLevelEnabled(logrus.DebugLevel) {
		s.loop.log.WithFields(logrus.Fields{"reason": string(why), "peer": p.From.String()}).Debug("no reply")
	}
}

// panicked reports a panic with the packet that caused it.
func (s *socket) panicked(p *packet, value any, stack []byte) {
	s.loop.metrics.panics.Inc()
	s.loop.log.WithFields(logrus.Fields{"packet": p.dump(), "panic": value}).Errorf("packet dropped after a panic\n%s", stack)
}

// dump returns the octets of a packet in hex. The packet may be the reason that
// somebody panicked: it is no reason here.
func (p *packet) dump() (text string) {
	defer exchange.Recover(func(any, []byte) { text = "unprintable" })
	octets := p.Payload
	switch {
	case p.v4 != nil:
		octets = p.v4.ToBytes()
	case p.v6 != nil:
		octets = p.v6.ToBytes()
	}
	return hex.EncodeToString(octets)
}

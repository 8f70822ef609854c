package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/compare"
	"github.com/OpenCHAMI/coresmd/internal/ifaces"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/sniff"
	"github.com/coredhcp/coredhcp/config"
	"github.com/sirupsen/logrus"
)

const (
	// heardAhead is how many datagrams may wait to be compared. What comes on top
	// waits in the kernel.
	heardAhead = 16384
	// endEvery is how often exchanges are looked at whose time is over.
	endEvery = 200 * time.Millisecond
	// behind is how late a datagram may be read after the kernel saw it.
	behind = time.Second
	// tapAgain is how long an interface that cannot be heard is left alone.
	tapAgain = 5 * time.Second
)

// A shadow hears what other servers answer and compares it with what this one
// would. It sends nothing.
type shadow struct {
	options options
	log     *logrus.Entry
	process *process.Process
	table   *ifaces.Table
	asking  *asking
	out     io.Writer // of the report

	heard   chan compare.Datagram
	order   compare.Order // of what was heard
	pairing *compare.Pairing
	tally   *compare.Tally
	failed  error         // of writing the report
	deaf    process.Limit // of the complaint that an interface is not heard

	mu     sync.Mutex
	taps   map[int]*sniff.Tap // guarded by mu: by index of their interfaces
	counts sniff.Counts       // guarded by mu: of taps that are no more
	heed   sync.WaitGroup     // what runs for the taps
}

// startShadow is start for --shadow. It returns the exit status.
func startShadow(o options, log *logrus.Entry) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s := &shadow{
		options: o, log: log, process: process.Here(), out: os.Stdout, taps: make(map[int]*sniff.Tap),
		heard: make(chan compare.Datagram, heardAhead), order: compare.Order{Most: heardAhead},
	}
	err := s.prepare()
	if err == nil {
		err = s.run(ctx)
	}
	s.process.Stop()
	if s.asking != nil {
		err = errors.Join(err, s.asking.close())
	}
	if err != nil {
		log.Error(err)
		return 1
	}
	return 0
}

// prepare sets the plugins up, which serve nobody.
func (s *shadow) prepare() error {
	c, err := config.Load(s.options.conf)
	if err != nil {
		return fmt.Errorf("loading the configuration: %w", err)
	}
	s.process.Rehearse(process.Rehearsal{Follow: true})
	if s.asking, err = newAsking(c, s.process, s.log); err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	if s.table, err = ifaces.Open(); err != nil {
		return err
	}
	s.tally = compare.NewTally(time.Now())
	o := compare.Options{Tell: s.tell}
	if c.Server4 != nil {
		o.Ask4 = s.asking.Ask4
	}
	if c.Server6 != nil {
		o.Ask6 = s.asking.Ask6
	}
	s.pairing = compare.New(o)
	return nil
}

// run compares until ctx ends, and writes the summary.
func (s *shadow) run(ctx context.Context) error {
	defer func() { _ = s.table.Close() }() // nothing was written
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := s.follow(ctx); err != nil {
		return err
	}
	changed := make(chan struct{}, 1)
	s.heed.Go(func() {
		s.table.Watch(ctx, func(error) {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	})
	s.compare(ctx, changed)
	stop()
	s.rest()
	s.pairing.End(time.Now())
	s.pairing.Cut()
	s.summary()
	return s.failed
}

// compare compares what is heard until ctx ends.
func (s *shadow) compare(ctx context.Context, changed <-chan struct{}) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGHUP)
	defer signal.Stop(asked)
	end, again := time.NewTicker(endEvery), time.NewTicker(tapAgain)
	defer end.Stop()
	defer again.Stop()
	for s.failed == nil {
		select {
		case d := <-s.heard:
			s.take(d)
		case now := <-end.C:
			if len(s.heard) == 0 {
				s.pair(s.order.Before(now.Add(-behind)))
				s.pairing.End(now.Add(-behind))
			}
		case <-changed:
			s.followOn(ctx)
		case <-again.C:
			s.followOn(ctx)
		case <-asked:
			s.summary()
		case <-ctx.Done():
			return
		}
	}
}

// rest waits for the taps to end, and compares what they heard.
func (s *shadow) rest() {
	done := make(chan struct{})
	go func() { s.heed.Wait(); close(done) }()
	for {
		select {
		case d := <-s.heard:
			s.take(d)
			continue
		case <-done:
		}
		for len(s.heard) > 0 {
			s.order.Add(<-s.heard)
		}
		s.pair(s.order.Rest())
		return
	}
}

// take takes a datagram, and compares what no other interface can be behind.
func (s *shadow) take(d compare.Datagram) {
	s.order.Add(d)
	s.pair(s.order.Before(d.Time.Add(-behind)))
}

func (s *shadow) pair(heard []compare.Datagram) {
	for _, d := range heard {
		s.pairing.Add(d)
	}
}

// follow hears interfaces that are new. It is an error where none can be heard, or
// one that is named.
func (s *shadow) follow(ctx context.Context) error {
	var errs []error
	for _, name := range s.options.shadowInterfaces {
		errs = append(errs, s.named(ctx, name))
	}
	if len(s.options.shadowInterfaces) > 0 {
		return errors.Join(errs...)
	}
	for _, i := range s.table.All() {
		if sniff.Fits(i.Interface) && i.Flags&net.FlagUp != 0 && i.Flags&net.FlagLoopback == 0 {
			errs = append(errs, s.tap(ctx, i))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := errors.Join(errs...)
	if err == nil && len(s.taps) == 0 {
		err = errors.New("no interface to listen on: none is up; wanted --shadow-interface")
	}
	return err
}

// named hears an interface of --shadow-interface.
func (s *shadow) named(ctx context.Context, name string) error {
	i, ok := s.table.Name(name)
	switch {
	case !ok:
		return fmt.Errorf("--shadow-interface %s: there is no such interface", name)
	case !sniff.Fits(i.Interface):
		return fmt.Errorf("--shadow-interface %s: it does not carry Ethernet frames", name)
	case i.Flags&net.FlagUp == 0:
		return fmt.Errorf("--shadow-interface %s: it is down", name)
	}
	return s.tap(ctx, i)
}

// followOn is follow when it has begun: what cannot be heard now may be later.
func (s *shadow) followOn(ctx context.Context) {
	if err := s.follow(ctx); err != nil && ctx.Err() == nil && s.deaf.Allow(time.Now()) {
		s.log.Warn(err)
	}
}

// tap hears an interface, unless it does already.
func (s *shadow) tap(ctx context.Context, i ifaces.Interface) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taps[i.Index] != nil || ctx.Err() != nil {
		return nil
	}
	t, err := sniff.Open(i.Interface)
	if err != nil {
		return err
	}
	s.taps[i.Index] = t
	s.log.Infof("listening beside other servers on %s", i.Name)
	s.heed.Go(func() {
		err := t.Run(ctx, func(d *sniff.Datagram) { s.hear(ctx, i, d) })
		if err != nil {
			s.log.Warn(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.taps, i.Index)
		s.counts = add(s.counts, t.Counts())
	})
	return nil
}

func add(a, b sniff.Counts) sniff.Counts {
	return sniff.Counts{Fragments: a.Fragments + b.Fragments, Lost: a.Lost + b.Lost}
}

// hear passes on what an interface hears, of the networks that it has now.
func (s *shadow) hear(ctx context.Context, i ifaces.Interface, d *sniff.Datagram) {
	heard := compare.Datagram{Time: d.Time, Interface: i.Name, Index: i.Index, From: d.From, To: d.To, Payload: slices.Clone(d.Payload)}
	if now, ok := s.table.Index(i.Index); ok && !d.Tagged {
		heard.Networks = now.Networks
	}
	heard.Networks = s.addressed(heard.Networks, d.To.Addr().Is4())
	select {
	case s.heard <- heard:
	case <-ctx.Done():
	}
}

// addressed returns the networks of an interface, with those of --shadow-address
// where it has none of a family.
func (s *shadow) addressed(networks []netip.Prefix, v4 bool) []netip.Prefix {
	fits := func(p netip.Prefix) bool { return p.Addr().Is4() == v4 && !p.Addr().IsLinkLocalUnicast() }
	if len(s.options.shadowAddresses) == 0 || slices.ContainsFunc(networks, fits) {
		return networks
	}
	all := slices.Clone(networks)
	for _, p := range s.options.shadowAddresses {
		if fits(p) {
			all = append(all, p)
		}
	}
	return all
}

package bootloop

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/audit"
	"github.com/OpenCHAMI/coresmd/internal/journal"
	"github.com/OpenCHAMI/coresmd/internal/lease"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/version"
	"github.com/sirupsen/logrus"
)

// A service is what a directive keeps running, of whichever family it is.
type service struct {
	config
	process  *process.Process
	log      *logrus.Entry
	metrics  *metrics
	leases   *lease.Table
	journal  *journal.Journal
	audit    *audit.Log           // nil: none
	nets     []network            // as in config
	boot     func() *netboot.Boot // what coresmd tells machines, else what is usual
	infra    *infrastructure
	recorder func() process.Recorder         // of packets; it returns nil where there is none
	quiet    [len(reasonNames)]process.Limit // of reasons that a storm would repeat

	rehearses bool             // requests are questions: nothing is changed, counted or logged by them
	replays   bool             // but for leases, in memory
	clock     func() time.Time // of leases; nil: time.Now
}

// start opens the lease file. All that can be wrong with the surroundings is an
// error here.
func start(c config, p *process.Process, log *logrus.Entry) (*service, error) {
	m, err := process.Share(p, "bootloop metrics", "", func() (*metrics, error) {
		log.Infof("bootloop %v", version.Read())
		return newMetrics(p), nil
	})
	if err != nil {
		return nil, fmt.Errorf("bootloop: %w", err)
	}
	s := &service{config: c, process: p, log: log, metrics: m, nets: newNetworks(c), infra: newInfrastructure(log, c)}
	// Whose directive stands first does not matter: nobody asks before the
	// first packet.
	s.boot = sync.OnceValue(func() *netboot.Boot {
		if boot, ok := process.Find[*netboot.Boot](p, "boot files"); ok {
			return boot
		}
		return &netboot.Boot{Loaders: netboot.DefaultLoaders()}
	})
	s.recorder = sync.OnceValue(s.process.Recorder)
	steps := []func() error{s.startJournal, s.startAudit, s.takeLeases}
	var how process.Rehearsal
	if how, s.rehearses = p.Rehearsal(); s.rehearses {
		s.clock, s.replays = how.Clock, how.Clock != nil
		steps = []func() error{s.startJournal, s.rehearse}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, fmt.Errorf("bootloop: %w", err)
		}
	}
	s.publish()
	for _, pool := range c.pools {
		p.Reserve("pool "+pool.String(), func(a netip.Addr) bool { return !a.Less(pool.First) && !pool.Last.Less(a) })
	}
	return s, nil
}

// takeLeases opens the lease file as soon as it is this process's to open.
func (s *service) takeLeases() error { return s.process.Take(s.openLeases) }

// openLeases opens the lease file and tells what was wrong with it.
func (s *service) openLeases() error {
	table, problems, err := lease.Open(s.file(), s.leaseOptions())
	if err != nil {
		return err
	}
	s.leases = table
	for _, problem := range problems {
		level := logrus.WarnLevel
		if problem.Serious {
			level = logrus.ErrorLevel
		}
		s.log.Log(level, problem.Text)
	}
	s.inheritOffers()
	s.process.Hold(s.leaseStake())
	s.process.Go(func(ctx context.Context) {
		<-ctx.Done()
		if err := table.Close(); err != nil {
			s.log.Errorf("closing lease_file: %v", err)
		}
	})
	return nil
}

// offersName is the name of the file that tells a successor what is on offer.
func (s *service) offersName() string { return "offers of " + s.file() }

// inheritOffers has clients that were made an offer by the predecessor find it
// here.
func (s *service) inheritOffers() {
	f := s.process.Inherited(s.offersName())
	if f == nil {
		return
	}
	var offers []lease.Lease
	if err := gob.NewDecoder(process.Told(f)).Decode(&offers); err != nil {
		s.log.Errorf("reading what the process before had on offer: %v", err)
		return
	}
	s.leases.Restore(offers)
}

// leaseStake hands the lease file over, and what is on offer.
func (s *service) leaseStake() process.Stake {
	var told *os.File
	return process.Stake{
		Files: func() (_ map[string]*os.File, err error) {
			if told != nil {
				told.Close() // of a successor that failed
			}
			if told, err = process.Memory(s.offersName()); err != nil {
				return nil, err
			}
			f, err := process.Duplicate(s.offersName(), told)
			return map[string]*os.File{s.offersName(): f}, err
		},
		Yield: func() error {
			return errors.Join(gob.NewEncoder(told).Encode(s.leases.Offers()), s.leases.Close())
		},
		Resume: s.leases.Reopen,
	}
}

func (s *service) leaseOptions() lease.Options {
	return lease.Options{
		Pools: s.pools, LeaseTime: s.leaseTime, OfferTime: s.offerTime, DeclineTime: s.declineTime,
		OnCommit: s.metrics.commit, Now: s.clock, SecondProcessor: s.process.SecondProcessor,
		Taken: func(a netip.Addr) bool { return s.infra.taken(a) || s.process.Claimed(a) },
	}
}

// rehearse makes ready to answer questions. What is wrong is told all at once.
func (s *service) rehearse() error { return errors.Join(s.rehearseAudit(), s.rehearseLeases()) }

// rehearseLeases has a table in the place of the lease file: nobody holds a
// lease.
func (s *service) rehearseLeases() error {
	table, err := lease.Preview(s.file(), s.leaseOptions())
	if err != nil {
		return err
	}
	s.leases = table
	s.process.Go(func(ctx context.Context) {
		<-ctx.Done()
		_ = table.Close() // there is no file
	})
	return nil
}

func (s *service) rehearseAudit() error {
	if s.auditFile == "" {
		return nil
	}
	return process.WouldOpen(s.auditFile)
}

package bootloop

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/lease"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/version"
	"github.com/sirupsen/logrus"
)

// start opens the lease file and returns the handler. All that can be wrong
// with the surroundings is an error here.
func start(c config, p *process.Process, log *logrus.Entry) (*handler4, error) {
	m, err := process.Share(p, "bootloop metrics", "", func() (*metrics, error) {
		log.Infof("bootloop %v", version.Read())
		return newMetrics(p), nil
	})
	if err != nil {
		return nil, fmt.Errorf("bootloop: %w", err)
	}
	h := &handler4{
		config: c, process: p, log: log, metrics: m,
		networks: newNetworks4(c),
		times:    exchange.NewTimes(c.leaseTime).Modifiers(),
		replies:  netboot.NewReplies4(netboot.DefaultLoaders()),
		infra:    newInfrastructure(log, c),
	}
	// Whose directive stands first does not matter: nobody asks before the
	// first packet.
	h.boot = sync.OnceValue(func() *netboot.Boot {
		if boot, ok := process.Find[*netboot.Boot](p, "boot files"); ok {
			return boot
		}
		return &netboot.Boot{Loaders: netboot.DefaultLoaders()}
	})
	steps := []func() error{h.startJournal, h.startAudit, h.takeLeases}
	if _, rehearses := p.Rehearsal(); rehearses {
		steps = []func() error{h.startJournal, h.rehearse}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, fmt.Errorf("bootloop: %w", err)
		}
	}
	h.publish()
	p.ReleaseTaken.Store(true)
	for _, pool := range c.pools {
		p.Reserve("pool "+pool.String(), func(a netip.Addr) bool { return !a.Less(pool.First) && !pool.Last.Less(a) })
	}
	return h, nil
}

// takeLeases opens the lease file as soon as it is this process's to open.
func (h *handler4) takeLeases() error { return h.process.Take(h.openLeases) }

// openLeases opens the lease file and tells what was wrong with it.
func (h *handler4) openLeases() error {
	table, problems, err := lease.Open(h.leaseFile, h.leaseOptions())
	if err != nil {
		return err
	}
	h.leases = table
	for _, problem := range problems {
		level := logrus.WarnLevel
		if problem.Serious {
			level = logrus.ErrorLevel
		}
		h.log.Log(level, problem.Text)
	}
	h.process.Hold(process.Stake{Yield: table.Close, Resume: table.Reopen})
	h.process.Go(func(ctx context.Context) {
		<-ctx.Done()
		if err := table.Close(); err != nil {
			h.log.Errorf("closing lease_file: %v", err)
		}
	})
	return nil
}

func (h *handler4) leaseOptions() lease.Options {
	return lease.Options{
		Pools: h.pools, LeaseTime: h.leaseTime, OfferTime: h.offerTime, DeclineTime: h.declineTime,
		OnCommit: h.metrics.commit,
		Taken:    func(a netip.Addr) bool { return h.infra.taken(a) || h.process.Claimed(a) },
	}
}

// rehearse makes ready to answer questions. What is wrong is told all at once.
func (h *handler4) rehearse() error { return errors.Join(h.rehearseAudit(), h.rehearseLeases()) }

// rehearseLeases has a table in the place of the lease file: nobody holds a
// lease.
func (h *handler4) rehearseLeases() error {
	table, err := lease.Preview(h.leaseFile, h.leaseOptions())
	if err != nil {
		return err
	}
	h.leases = table
	h.process.Go(func(ctx context.Context) {
		<-ctx.Done()
		_ = table.Close() // there is no file
	})
	return nil
}

func (h *handler4) rehearseAudit() error {
	if h.auditFile == "" {
		return nil
	}
	return process.WouldOpen(h.auditFile)
}

package coresmd

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
)

// firstPollLimit bounds the first look at SMD, which setup waits for. SMD may
// come up later.
const (
	firstPollLimit         = 5 * time.Second
	firstPollLimitRestored = time.Second // there is a snapshot to serve from
)

func (s *service) startInventory() (err error) {
	s.cache, err = process.Share(s.process, "inventory", s.inventoryWords(), func() (*smd.Cache, error) {
		source, err := s.source()
		if err != nil {
			return nil, err
		}
		return s.runInventory(source), nil
	})
	if err == nil {
		process.Publish(s.process, publishedOwner, func(a netip.Addr) ([6]byte, bool) { return s.cache.Owner(a) })
	}
	return err
}

// inventoryWords are the words of a directive that say what is read, and how.
func (s *service) inventoryWords() string {
	return fmt.Sprintf("svc_base_uri=%v %v cache_valid=%v doubt=%v snapshot_file=%s lookup_wait=%v answer_max=%d",
		s.smd, s.trust, s.cacheValid, s.doubt, s.snapshot, s.lookupWait, s.answerMax)
}

func (s *service) source() (smd.Source, error) {
	if s.smd.Scheme == "file" {
		return smd.Folder{Path: s.smd.Path}, nil
	}
	trust := s.trust
	trust.OnCertificate = s.metrics.certificates.seen
	trust.OnProblem = func(problem string) { s.log.Warnf("inventory: %s", problem) }
	client, err := smd.NewClient(s.smd, trust)
	if err != nil {
		return nil, err
	}
	client.Limit(s.answerMax)
	return client, nil
}

// runInventory looks at SMD once and goes on doing so.
func (s *service) runInventory(source smd.Source) *smd.Cache {
	cache, report := s.newInventory(source, s.snapshotFile())
	watch(s.process.Registry, cache.Status)
	limit := firstPollLimit
	if s.inherited(cache) || report.restored(cache.Restore()) {
		limit = firstPollLimitRestored
	}
	ctx, cancel := context.WithTimeout(s.process.Context(), limit)
	defer cancel()
	_ = cache.Refresh(ctx) // reported; asked again soon
	s.process.Go(func(ctx context.Context) { _ = cache.Run(ctx) })
	s.process.Go(func(ctx context.Context) { s.trustOnSignal(ctx, cache) })
	s.process.Hold(process.Stake{Files: func() (map[string]*os.File, error) { return handInventory(cache, s.smd.Redacted()) }})
	return cache
}

// inventoryFile is the name of the file that tells a successor the inventory.
const inventoryFile = "inventory"

// inherited serves the inventory of the predecessor, if there is one of the same
// SMD, until SMD is heard. SMD may be away just now.
func (s *service) inherited(cache *smd.Cache) bool {
	f := s.process.Inherited(inventoryFile)
	return f != nil && cache.Inherit(process.Told(f), s.smd.Redacted()) == nil
}

func handInventory(cache *smd.Cache, source string) (map[string]*os.File, error) {
	f, err := process.Memory(inventoryFile)
	if err != nil {
		return nil, err
	}
	return map[string]*os.File{inventoryFile: f}, cache.Hand(f, source)
}

// newInventory returns an inventory that was not read yet.
func (s *service) newInventory(source smd.Source, snapshot *smd.Snapshot) (*smd.Cache, *inventoryReport) {
	report := &inventoryReport{log: s.log, metrics: s.metrics, process: s.process, source: s.inventorySource()}
	cache := smd.NewCache(smd.Options{
		Source: source, Interval: s.cacheValid, Doubt: s.doubt, Snapshot: snapshot, PullWait: s.lookupWait,
		Reserved: s.reserved, HostName: s.namer(), OnPoll: report.poll, OnQuestion: report.question,
		SecondProcessor: s.process.SecondProcessor,
	})
	report.status = cache.Status
	s.process.Claim(cache.Claims)
	return cache, report
}

// snapshotFile returns the file that the inventory is kept in; nil: none.
func (s *service) snapshotFile() *smd.Snapshot {
	path := s.snapshot
	switch {
	case s.rehearses, path == "off", path == "" && s.smd.Scheme == "file":
		return nil
	case path == "":
		folder, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":")
		if folder == "" {
			s.log.Warn("neither snapshot_file nor $STATE_DIRECTORY is set: a start while SMD is down has no inventory")
			return nil
		}
		path = filepath.Join(folder, "inventory.json")
	}
	return &smd.Snapshot{Path: path, Source: s.smd.Redacted()}
}

// trustOnSignal believes what SMD says now whenever a human asks for it by
// SIGUSR1.
func (s *service) trustOnSignal(ctx context.Context, cache *smd.Cache) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	defer signal.Stop(asked)
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
			s.log.Info("SIGUSR1: what SMD says now is believed")
			_ = cache.Trust(ctx) // reported
		}
	}
}

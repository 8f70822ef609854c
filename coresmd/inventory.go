package coresmd

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
)

// firstPollLimit bounds the first look at SMD, which setup waits for. SMD may
// come up later.
const firstPollLimit = 5 * time.Second

func (s *service) startInventory() (err error) {
	settings := fmt.Sprintf("svc_base_uri=%v ca_cert=%s cache_valid=%v doubt=%v", s.smd, s.caCert, s.cacheValid, s.doubt)
	s.cache, err = process.Share(s.process, "inventory", settings, func() (*smd.Cache, error) {
		source, err := s.source()
		if err != nil {
			return nil, err
		}
		return s.runInventory(source), nil
	})
	return err
}

func (s *service) source() (smd.Source, error) {
	if s.smd.Scheme == "file" {
		return smd.Folder{Path: s.smd.Path}, nil
	}
	return smd.NewClient(s.smd, s.caCert)
}

// runInventory looks at SMD once and goes on doing so.
func (s *service) runInventory(source smd.Source) *smd.Cache {
	report := &inventoryReport{log: s.log, process: s.process, source: s.smd.Redacted()}
	cache := smd.NewCache(smd.Options{Source: source, Interval: s.cacheValid, Doubt: s.doubt, OnPoll: report.poll})
	report.status = cache.Status
	ctx, cancel := context.WithTimeout(s.process.Context(), firstPollLimit)
	defer cancel()
	_ = cache.Refresh(ctx) // reported; asked again soon
	s.process.Go(func(ctx context.Context) { _ = cache.Run(ctx) })
	s.process.Go(func(ctx context.Context) { s.trustOnSignal(ctx, cache) })
	return cache
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

package coresmd

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/bootfile"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/OpenCHAMI/coresmd/internal/version"
	"github.com/OpenCHAMI/coresmd/resources"
	"github.com/sirupsen/logrus"
)

// firstPollLimit bounds the first look at SMD, which setup waits for. SMD may
// come up later.
const firstPollLimit = 5 * time.Second

// A service is what one directive needs to answer requests. Its inventory and
// its TFTP server are shared by all directives of the process that name them.
type service struct {
	config
	process *process.Process
	log     *logrus.Entry
	cache   *smd.Cache
	metrics *metrics
}

// start binds and runs what a directive asks for. All that can be wrong with
// its surroundings is an error here.
func start(c config, p *process.Process, log *logrus.Entry) (*service, error) {
	s := &service{config: c, process: p, log: log}
	steps := []func() error{s.startMetrics, s.startTFTP, s.startInventory}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, fmt.Errorf("coresmd: %w", err)
		}
	}
	if c.shadowed {
		log.Warn("ipxe_uri and ipxe_base_uri are both given: ipxe_uri is used")
	}
	return s, nil
}

func (s *service) startMetrics() (err error) {
	s.metrics, err = process.Share(s.process, "coresmd metrics", "", func() (*metrics, error) {
		s.log.Infof("coresmd %v", version.Read())
		return newMetrics(s.process), nil
	})
	return err
}

func (s *service) startInventory() (err error) {
	settings := fmt.Sprintf("svc_base_uri=%v ca_cert=%s cache_valid=%v", s.smd, s.caCert, s.cacheValid)
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
	report := &pollReport{log: s.log, process: s.process, source: s.smd.Redacted()}
	cache := smd.NewCache(smd.Options{Source: source, Interval: s.cacheValid, OnPoll: report.poll})
	report.loaded = cache.Loaded
	ctx, cancel := context.WithTimeout(s.process.Context(), firstPollLimit)
	defer cancel()
	_ = cache.Refresh(ctx) // reported; asked again soon
	s.process.Go(func(ctx context.Context) { _ = cache.Run(ctx) })
	return cache
}

func (s *service) startTFTP() error {
	if !s.tftp {
		return nil
	}
	addr := fmt.Sprintf(":%d", s.tftpPort)
	settings := fmt.Sprintf("tftp_dir=%s single_port=%v", s.tftpDir, s.singlePort)
	_, err := process.Share(s.process, "TFTP "+addr, settings, func() (*bootfile.Server, error) {
		server, err := s.listenTFTP(addr)
		if err != nil && s.neighbour {
			s.log.Warnf("%v: boot files are left to the TFTP server that is there", err)
			return nil, nil
		}
		return server, err
	})
	return err
}

func (s *service) listenTFTP(addr string) (*bootfile.Server, error) {
	server, err := bootfile.Listen(bootfile.Options{
		Addr: addr, Dir: s.tftpDir, SinglePort: s.singlePort,
		BuiltIn: resources.BootFiles(),
		Alternates: map[string]string{
			"ipxe.efi":        "ipxe-x86_64.efi",
			"ipxe-x86_64.efi": "ipxe.efi",
		},
		OnTransfer: s.transferred,
	})
	if err != nil {
		return nil, err
	}
	if server.Missing() {
		s.log.Warnf("tftp_dir %s does not exist: only the built-in files are served", s.tftpDir)
	}
	s.process.Go(func(ctx context.Context) {
		if err := server.Run(ctx); err != nil {
			s.log.Errorf("TFTP server ended: %v", err)
		}
	})
	return server, nil
}

// transferred writes the line of one TFTP request.
func (s *service) transferred(t bootfile.Transfer) {
	level := logrus.InfoLevel
	switch {
	case t.Outcome == bootfile.Malformed, t.Outcome == bootfile.Busy, t.Outcome == bootfile.Gone && t.Sent == 0, strings.HasSuffix(t.Name, "autoexec.ipxe"):
		level = logrus.DebugLevel
	case t.Outcome == bootfile.Refused, t.Outcome == bootfile.Failed:
		level = logrus.WarnLevel
	}
	if !s.log.Logger.IsLevelEnabled(level) {
		return
	}
	fields := logrus.Fields{"client": t.Client.String(), "file": printable(t.Name), "outcome": string(t.Outcome), "octets": t.Sent}
	if t.Err != nil {
		fields["reason"] = printable(t.Err.Error())
	}
	s.log.WithFields(fields).Log(level, "TFTP")
}

// printable escapes what a client wrote: CoreDHCP's log format does not, and a
// line break would let a client write lines of its own.
func printable(text string) string {
	quoted := strconv.QuoteToASCII(text)
	return quoted[1 : len(quoted)-1]
}

// A pollReport tells of looks at SMD: once for each change of state.
type pollReport struct {
	log     *logrus.Entry
	process *process.Process
	source  string
	loaded  func() time.Time
	failing bool // written by one poll at a time
}

// mostFaults bounds the lines about faults of one poll.
const mostFaults = 50

func (r *pollReport) poll(p smd.Poll) {
	loaded := r.loaded()
	r.process.StrangersUnknown.Store(loaded.IsZero())
	switch {
	case p.Err != nil && !r.failing && loaded.IsZero():
		r.log.Errorf("no inventory yet, machines of SMD are strangers until there is one: %v", p.Err)
	case p.Err != nil && !r.failing:
		r.log.Errorf("inventory not refreshed, that of %s with %d machines goes on: %v", loaded.Format(time.RFC3339), p.Machines, p.Err)
	case p.Err != nil:
		r.log.Debugf("inventory not refreshed: %v", p.Err)
	case r.failing:
		r.log.Infof("%s answers again", r.source)
	}
	r.failing = p.Err != nil
	if p.Changed {
		r.log.Infof("inventory of %s: %d machines, %d faults", r.source, p.Machines, p.Faults)
	}
	for i, f := range p.NewFaults {
		if i == mostFaults {
			r.log.Warnf("inventory: and %d more faults", len(p.NewFaults)-i)
			break
		}
		r.log.Warnf("inventory: %v", f)
	}
}

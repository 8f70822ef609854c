package coresmd

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/audit"
	"github.com/OpenCHAMI/coresmd/internal/bootfile"
	"github.com/OpenCHAMI/coresmd/internal/journal"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/OpenCHAMI/coresmd/internal/version"
	"github.com/OpenCHAMI/coresmd/resources"
	"github.com/sirupsen/logrus"
)

// A service is what one directive needs to answer requests. Its inventory and
// its TFTP server are shared by all directives of the process that name them.
type service struct {
	config
	process    *process.Process
	log        *logrus.Entry
	cache      *smd.Cache
	metrics    *metrics
	journal    *journal.Journal
	born       time.Time
	audit      *audit.Log       // nil: none
	tftpServer *bootfile.Server // nil: none
}

// start binds and runs what a directive asks for. All that can be wrong with
// its surroundings is an error here.
func start(c config, p *process.Process, log *logrus.Entry) (*service, error) {
	s := &service{config: c, process: p, log: log, born: time.Now()}
	steps := []func() error{s.startMetrics, s.startJournal, s.startAudit, s.startTFTP, s.startInventory, s.startListener}
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
		watchProcess(s.process.Registry)
		return newMetrics(s.process), nil
	})
	return err
}

func (s *service) startTFTP() error {
	if !s.tftp {
		return nil
	}
	addr := fmt.Sprintf(":%d", s.tftpPort)
	settings := fmt.Sprintf("tftp_dir=%s single_port=%v", s.tftpDir, s.singlePort)
	var err error
	s.tftpServer, err = process.Share(s.process, "TFTP "+addr, settings, func() (*bootfile.Server, error) {
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
	s.metrics.transferred(t)
	s.noteTransfer(t)
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

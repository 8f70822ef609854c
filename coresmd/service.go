package coresmd

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/audit"
	"github.com/OpenCHAMI/coresmd/internal/bootfile"
	"github.com/OpenCHAMI/coresmd/internal/journal"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/OpenCHAMI/coresmd/internal/version"
	"github.com/OpenCHAMI/coresmd/resources"
	"github.com/sirupsen/logrus"
)

// A fileServer says which boot files there are.
type fileServer interface{ Has(name string) bool }

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
	audit      *audit.Log              // nil: none
	tftpServer fileServer              // nil: none
	recorder   func() process.Recorder // of packets; it returns nil where there is none
	rehearses  bool                    // requests are questions: nothing is changed, counted or logged by them
}

// start binds and runs what a directive asks for. All that can be wrong with
// its surroundings is an error here.
func start(c config, p *process.Process, log *logrus.Entry) (*service, error) {
	s := &service{config: c, process: p, log: log, born: time.Now()}
	s.recorder = sync.OnceValue(s.process.Recorder)
	if c.shadowed {
		log.Warn("ipxe_uri and ipxe_base_uri are both given: ipxe_uri is used")
	}
	for _, n := range c.subnets {
		if isV6(n.Prefix.Addr()) && len(n.Routers) > 0 {
			log.Warnf("subnet=%v: router: is told by DHCPv4 only; in IPv6 routers tell of themselves", n.Prefix)
		}
	}
	if _, s.rehearses = p.Rehearsal(); s.rehearses {
		return s, s.rehearse()
	}
	steps := []func() error{s.startMetrics, s.startJournal, s.startAudit, s.startRecorder, s.startBoot, s.startInventory, s.startListener}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, fmt.Errorf("coresmd: %w", err)
		}
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

// startBoot publishes what machines that boot are told, for bootloop, and starts
// the servers of their files.
func (s *service) startBoot() error {
	err := s.shareBoot()
	if err == nil && s.tftp {
		err = s.startTFTP()
	}
	if err == nil && s.bootHTTP.Port() != 0 {
		err = s.startHTTP()
	}
	return err
}

func (s *service) shareBoot() error {
	_, err := process.Share(s.process, "boot files", s.bootWords(), func() (*netboot.Boot, error) { return &s.boot, nil })
	return err
}

// bootWords are the words of a directive that say what machines are told.
func (s *service) bootWords() string {
	var words []string
	for _, l := range s.archFiles {
		words = append(words, fmt.Sprintf("bootfile_arch=%d:%s", l.Arch, l.File))
	}
	if s.bootHTTP.Port() != 0 {
		words = append(words, "boot_http="+listenOn(s.bootHTTP.Addr(), s.bootHTTP.Port()))
	}
	if s.tftpAddr.IsValid() {
		words = append(words, "tftp_addr="+s.tftpAddr.String())
	}
	return cmp.Or(strings.Join(words, " "), "no words of their own")
}

func (s *service) startTFTP() error {
	addr := listenOn(s.tftpAddr, s.tftpPort)
	settings := fmt.Sprintf("tftp_dir=%s single_port=%v tftp_rate=%d", s.tftpDir, s.singlePort, s.tftpRate)
	name := "TFTP " + addr
	server, err := process.Share(s.process, name, settings, func() (*bootfile.Server, error) {
		o := s.bootFiles(addr)
		o.SinglePort, o.Rate = s.singlePort, s.tftpRate
		o.Socket, o.Strays = s.process.Inherited(name), inheritedStrays(s.process, name)
		server, err := bootfile.Listen(o)
		if err != nil && s.neighbour {
			s.log.Warnf("%v: boot files are left to the TFTP server that is there", err)
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		s.lookAt(server)
		s.process.Hold(process.Stake{Leave: server.Leave, Files: func() (map[string]*os.File, error) {
			return tftpFiles(name, server)
		}})
		s.serve("TFTP", server.Run)
		return server, nil
	})
	if server != nil {
		s.tftpServer = server
	}
	return err
}

// tftpFiles are the sockets of a TFTP server, for a successor.
func tftpFiles(name string, server *bootfile.Server) (map[string]*os.File, error) {
	socket, err := process.Duplicate(name, server.Conn())
	if err != nil {
		return nil, err
	}
	files := map[string]*os.File{name: socket}
	strays, err := server.Strays()
	for i, f := range strays {
		files[strayName(name, i)] = f
	}
	return files, err
}

// strayName is the name of a way to a server that still runs transfers.
func strayName(name string, i int) string { return fmt.Sprintf("%s strays %d", name, i) }

func inheritedStrays(p *process.Process, name string) (files []*os.File) {
	for f := p.Inherited(strayName(name, 0)); f != nil; f = p.Inherited(strayName(name, len(files))) {
		files = append(files, f)
	}
	return files
}

func (s *service) startHTTP() error {
	addr := listenOn(s.bootHTTP.Addr(), s.bootHTTP.Port())
	name := "boot_http " + addr
	_, err := process.Share(s.process, name, "tftp_dir="+s.tftpDir, func() (*bootfile.HTTPServer, error) {
		o := s.bootFiles(addr)
		o.Socket = s.process.Inherited(name)
		server, err := bootfile.ListenHTTP(o)
		if err != nil {
			return nil, fmt.Errorf("boot_http: %w", err)
		}
		if !s.tftp {
			s.lookAt(server)
		}
		s.process.Hold(process.Stake{Leave: server.Leave, Files: func() (map[string]*os.File, error) {
			socket, err := process.Duplicate(name, server.Conn())
			return map[string]*os.File{name: socket}, err
		}})
		s.serve("HTTP", server.Run)
		return server, nil
	})
	return err
}

// listenOn is the address to bind; without one it is all.
func listenOn(a netip.Addr, port uint16) string {
	if !a.IsValid() {
		return fmt.Sprintf(":%d", port)
	}
	return netip.AddrPortFrom(a, port).String()
}

// bootFiles says what both servers serve.
func (s *service) bootFiles(addr string) bootfile.Options {
	return bootfile.Options{
		Addr: addr, Dir: s.tftpDir,
		BuiltIn: resources.BootFiles(),
		Alternates: map[string]string{
			"ipxe.efi":        "ipxe-x86_64.efi",
			"ipxe-x86_64.efi": "ipxe.efi",
		},
		OnTransfer: s.transferred,
	}
}

// lookAt warns of a folder that does not exist.
func (s *service) lookAt(server interface{ Missing() bool }) {
	if server.Missing() {
		s.log.Warnf("tftp_dir %s does not exist: only the built-in files are served", s.tftpDir)
	}
}

// serve runs a server until the process ends.
func (s *service) serve(protocol string, run func(context.Context) error) {
	s.process.Serve(func(ctx context.Context) {
		if err := run(ctx); err != nil {
			s.log.Errorf("%s server ended: %v", protocol, err)
		}
	})
}

// transferred writes the line of one request for a file.
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
	protocol := "TFTP"
	if t.HTTP {
		protocol = "HTTP"
	}
	s.log.WithFields(fields).Log(level, protocol)
}

// printable escapes what a client wrote: CoreDHCP's log format does not, and a
// line break would let a client write lines of its own.
func printable(text string) string {
	quoted := strconv.QuoteToASCII(text)
	return quoted[1 : len(quoted)-1]
}

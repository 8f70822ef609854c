package test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// served is a server whose configuration can be written anew.
type served struct {
	*looped
	*dhcptest.Process
	config string
}

// serveFile starts a server of which the configuration file may be changed.
func (l *looped) serveFile(text string) *served {
	l.t.Helper()
	s := &served{looped: l, config: filepath.Join(l.t.TempDir(), "config.yaml")}
	s.write(text)
	cmd := l.server.Command(l.t.Context(), dhcptest.CoreDHCPBinary(l.t), "--conf", s.config)
	s.Process = dhcptest.StartProcess(l.t, "coredhcp", cmd)
	s.WaitLog("listening on udp4", 20*time.Second)
	return s
}

func (s *served) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.config, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *served) reload() {
	s.t.Helper()
	mark := s.Mark()
	s.Signal(syscall.SIGHUP)
	s.WaitLogSince(mark, `msg="process \d+ serves now"`, 20*time.Second)
}

func TestReloadTry(t *testing.T) {
	l := newLooped(t)
	l.addNode(1, "192.0.2.11")
	s := l.serveFile(l.chain(l.words(), "bootloop: lease_file="+l.file+" lease_time=1h renew=ack "+tenAddresses))
	known, stranger := l.host(1), l.host(2)
	compare(t, nodeLease(1, "192.0.2.11"), dhcptest.Udhcpc(known, "eth0", dhcptest.ClientOptions{}))
	c := dhcptest.StartUdhcpc(stranger, "eth0", dhcptest.ClientOptions{})
	b := c.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
	strange(t, b)
	for range 5 {
		s.reload()
		c.Renew()
		compare(t, b, c.WaitEvent(dhcptest.EventRenew, dhcptest.BindTimeout))
	}
	t.Log(s.Log())
}

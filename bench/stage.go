package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/bench/load"
	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// The cores: the server has one, all else the other.
const (
	crowdCore  = "0"
	serverCore = "1"
)

// The network of all machines is that which RFC 2544 has for benchmarks.
var (
	network  = netip.MustParsePrefix("198.18.0.0/15")
	serverIP = netip.MustParseAddr("198.19.255.254")
	routerIP = netip.MustParseAddr("198.19.255.253")
	dnsIP    = netip.MustParseAddr("198.19.255.252")
	firstIP  = netip.MustParseAddr("198.18.1.0")   // of machine 0; machine n has that plus n
	poolIP   = netip.MustParseAddr("198.18.64.0")  // of strangers, beside 10,000 machines
	poolMany = netip.MustParseAddr("198.19.144.0") // beside 100,000
	poolEnd  = netip.MustParseAddr("198.19.191.255")
	nobody   netip.Addr // the address of no one in particular
	serverHW = net.HardwareAddr{0x02, 0xfe, 0, 0, 1, 1}
)

// relays are what relayed clients ask through.
const relays = 32

func relay(n int) load.Host {
	return load.Host{MAC: net.HardwareAddr{0x02, 0xfe, 0, 0, 0, byte(n)}, Addr: netip.AddrFrom4([4]byte{198, 19, 255, byte(n)})}
}

// A stage is where servers and crowds meet: two namespaces and a cable. It
// stands in for a test in the kit of the tests: what goes wrong there ends the
// scene, and what was started is ended.
type stage struct {
	testing.TB // nil: only the methods below are there

	dir    string
	server *dhcptest.Namespace
	crowd  *dhcptest.Namespace
	ends   []func()
	errs   []error
}

// perform runs an act on a new stage and takes that down. folder is for its
// files: it must be on a disk.
func perform(folder string, act func(*stage) error) error {
	s := &stage{dir: folder}
	return s.run(func() error {
		s.build()
		return act(s)
	})
}

// again returns a stage on the same namespaces, for what is to end sooner.
func (s *stage) again() *stage { return &stage{dir: s.dir, server: s.server, crowd: s.crowd} }

// run runs an act and ends what it has started.
func (s *stage) run(act func() error) error {
	done := make(chan struct{})
	go func() { // Fatal ends this goroutine
		defer close(done)
		defer s.end()
		if err := act(); err != nil {
			s.errs = append(s.errs, err)
		}
	}()
	<-done
	return errors.Join(s.errs...)
}

func (s *stage) build() {
	net := dhcptest.NewNet(s)
	s.server, s.crowd = net.Namespace("server"), net.Namespace("crowd")
	for _, ns := range []*dhcptest.Namespace{s.server, s.crowd} {
		ns.Run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
	}
	s.server.IP("link", "add", "eth0", "address", serverHW.String(), "type", "veth", "peer", "name", "eth0", "netns", s.crowd.Name)
	s.server.IP("addr", "add", netip.PrefixFrom(serverIP, network.Bits()).String(), "broadcast", "+", "dev", "eth0")
	s.server.IP("link", "set", "eth0", "up")
	s.crowd.IP("link", "set", "eth0", "up")
	for n := range relays {
		r := relay(n)
		s.server.IP("neigh", "add", r.Addr.String(), "lladdr", r.MAC.String(), "dev", "eth0", "nud", "permanent")
	}
}

// play has a crowd do its job.
func (s *stage) play(job load.Job) ([]load.Result, error) {
	job.Interface, job.Server = "eth0", load.Host{MAC: serverHW, Addr: serverIP}
	words, err := json.Marshal(job)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), job.Limit+20*time.Second)
	defer cancel()
	cmd := s.crowd.Command(ctx, "taskset", "-c", crowdCore, self, "load")
	var out, complaint bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(words), &out, &complaint
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	hurry(cmd)
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("crowd: %w: %s", err, strings.TrimSpace(complaint.String()))
	}
	var results []load.Result
	return results, json.Unmarshal(out.Bytes(), &results)
}

// pinned is a program on the server's core, in the server's namespace.
func (s *stage) pinned(name string, args ...string) *exec.Cmd {
	cmd := s.server.Command(context.Background(), "taskset", append([]string{"-c", serverCore, name}, args...)...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// hurry lets a program that runs in a session of its own go before all others
// on this host. Where the kernel has no groups of sessions it does not.
func hurry(cmd *exec.Cmd) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", cmd.Process.Pid), []byte("-20"), 0o644)
}

// write makes a file of the stage.
func (s *stage) write(name, text string) {
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		s.Fatal(err)
	}
}

// end ends what was started, the last first.
func (s *stage) end() {
	for len(s.ends) > 0 {
		last := s.ends[len(s.ends)-1]
		s.ends = s.ends[:len(s.ends)-1]
		last()
	}
}

// Helper is part of testing.TB.
func (s *stage) Helper() {}

// Cleanup has something done at the end of the scene.
func (s *stage) Cleanup(f func()) { s.ends = append(s.ends, f) }

// Failed tells whether something went wrong.
func (s *stage) Failed() bool { return len(s.errs) > 0 }

// Error notes a mistake.
func (s *stage) Error(args ...any) { s.errs = append(s.errs, errors.New(fmt.Sprint(args...))) }

// Errorf notes a mistake.
func (s *stage) Errorf(format string, args ...any) {
	s.errs = append(s.errs, fmt.Errorf(format, args...))
}

// Fatal notes a mistake and ends the scene.
func (s *stage) Fatal(args ...any) {
	s.Error(args...)
	runtime.Goexit()
}

// Fatalf notes a mistake and ends the scene.
func (s *stage) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	runtime.Goexit()
}

// Log says something beside a mistake.
func (s *stage) Log(args ...any) { fmt.Fprintln(os.Stderr, args...) }

// Logf says something beside a mistake.
func (s *stage) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// TempDir makes a folder that is removed at the end of the scene.
func (s *stage) TempDir() string {
	dir, err := os.MkdirTemp(s.dir, "")
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

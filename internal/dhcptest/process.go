package dhcptest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stopTimeout is how long a process may take to end after SIGTERM.
const stopTimeout = 5 * time.Second

// Process is a running program whose output can be watched while it runs.
type Process struct {
	name string
	t    testing.TB
	cmd  *exec.Cmd
	out  *output
	done chan struct{} // closed when the process has ended and err is set
	err  error

	mayHang bool // at SIGTERM, by a fault of the program's own: then it is killed, and that is no mistake
}

// StartProcess starts cmd and collects what it prints. The process is stopped when the
// test ends, and its output is shown if the test failed. It never outlives the test
// process, not even one that is killed.
func StartProcess(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{name: name, t: t, cmd: cmd, out: &output{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	if cmd.SysProcAttr.Pdeathsig == 0 {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	cmd.WaitDelay = time.Second // a grandchild may hold the pipe
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	go p.run()
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("output of %s:\n%s", name, p.Log())
		}
	})
	return p
}

// run waits for the process to end.
func (p *Process) run() {
	p.err = p.cmd.Wait()
	close(p.done)
}

// Stop ends the process with SIGTERM, and with SIGKILL if it does not obey. It is no
// mistake to stop a process twice.
func (p *Process) Stop() {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTimeout):
		if !p.mayHang {
			p.t.Errorf("%s still ran %v after SIGTERM", p.name, stopTimeout)
		}
		p.Kill9()
	}
}

// Kill9 ends the process with SIGKILL and waits until it is gone.
func (p *Process) Kill9() {
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// Signal sends a signal to the process, if it still runs.
func (p *Process) Signal(sig syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = p.cmd.Process.Signal(sig)
	}
}

// Wait waits for the process to end by itself and returns how it did.
func (p *Process) Wait(timeout time.Duration) error {
	p.t.Helper()
	select {
	case <-p.done:
		return p.err
	case <-time.After(timeout):
		p.t.Fatalf("%s still runs after %v; it said:\n%s", p.name, timeout, p.Log())
		return nil
	}
}

// ID returns the id of the process.
func (p *Process) ID() int { return p.cmd.Process.Pid }

// PeakMemory returns the most memory that the process has had resident, in octets.
func (p *Process) PeakMemory() int64 {
	p.t.Helper()
	return p.memory("VmHWM")
}

// Memory returns the memory that the process has resident, in octets.
func (p *Process) Memory() int64 {
	p.t.Helper()
	return p.memory("VmRSS")
}

// memory returns an entry of the process's status.
func (p *Process) memory(entry string) int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + entry + `:\s+(\d+) kB$`).FindSubmatch(text)
	if m == nil {
		p.t.Fatalf("%s has no %s", p.name, entry)
	}
	kilobytes, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return kilobytes << 10
}

// Running tells whether the process has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Log returns everything the process has printed so far.
func (p *Process) Log() string { return p.out.since(0) }

// Mark returns the present end of the log, for LogSince and WaitLogSince.
func (p *Process) Mark() int { return p.out.len() }

// LogSince returns what the process has printed after a mark.
func (p *Process) LogSince(mark int) string { return p.out.since(mark) }

// WaitLog waits until the process has printed something that matches the expression, and
// returns the match with its groups.
func (p *Process) WaitLog(expr string, timeout time.Duration) []string {
	p.t.Helper()
	return p.WaitLogSince(0, expr, timeout)
}

// WaitLogSince is WaitLog for what was printed after a mark.
func (p *Process) WaitLogSince(mark int, expr string, timeout time.Duration) []string {
	p.t.Helper()
	re := regexp.MustCompile(expr)
	var match []string
	Eventually(p.t, timeout, func() error {
		if match = re.FindStringSubmatch(p.LogSince(mark)); match != nil {
			return nil
		}
		return fmt.Errorf("%s did not print %q but:\n%s", p.name, expr, p.LogSince(mark))
	})
	return match
}

// Eventually calls check until it returns nil, and fails the test with its last error when
// that does not happen in time.
func Eventually(t testing.TB, timeout time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(timeout)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %v", timeout, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// output collects what a process prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) since(mark int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.buf.Bytes()[min(mark, o.buf.Len()):])
}

func (o *output) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Len()
}

// RepoRoot returns the folder of this repository's go.mod, looked for from the working
// directory upwards.
func RepoRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module github.com/OpenCHAMI/coresmd\n") {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no go.mod of github.com/OpenCHAMI/coresmd above the working directory")
}

// CoreDHCPBinary returns the path of the binary that `make build` makes, or of the one that
// the environment variable COREDHCP names, and fails the test when there is none.
func CoreDHCPBinary(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("COREDHCP"); path != "" {
		return path
	}
	root, err := RepoRoot()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "bin", "coredhcp")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make build", err)
	}
	return path
}

// LaunchCoreDHCP starts a coredhcp binary in the namespace with a configuration and does
// not wait for anything: for configurations that are to be refused.
func LaunchCoreDHCP(ns *Namespace, binary, config string) *Process {
	ns.t.Helper()
	path := filepath.Join(ns.t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		ns.t.Fatal(err)
	}
	cmd := ns.Command(context.Background(), binary, "--conf", path, "--loglevel", "debug")
	cmd.Dir = filepath.Dir(path)
	return StartProcess(ns.t, "coredhcp", cmd)
}

// StartCoreDHCP starts a coredhcp binary in the namespace and returns when it listens on
// the DHCPv4 port.
func StartCoreDHCP(ns *Namespace, binary, config string) *Process {
	ns.t.Helper()
	return startCoreDHCP(ns, binary, config, 67)
}

// StartCoreDHCP6 is StartCoreDHCP for DHCPv6.
func StartCoreDHCP6(ns *Namespace, binary, config string) *Process {
	ns.t.Helper()
	return startCoreDHCP(ns, binary, config, 547)
}

func startCoreDHCP(ns *Namespace, binary, config string, port int) *Process {
	ns.t.Helper()
	p := LaunchCoreDHCP(ns, binary, config)
	Eventually(ns.t, 20*time.Second, func() error {
		switch {
		case !p.Running():
			ns.t.Fatalf("coredhcp ended: %v\n%s", p.err, p.Log())
		case ns.ListensUDP(port):
			return nil
		}
		return fmt.Errorf("coredhcp does not listen; it said:\n%s", p.Log())
	})
	return p
}

// ListensUDP tells whether some IPv4 or IPv6 socket in the namespace is bound to a UDP port.
func (ns *Namespace) ListensUDP(port int) bool {
	var text []byte
	err := ns.within(func() error {
		for _, name := range []string{"/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"} {
			table, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			text = append(text, table...)
		}
		return nil
	})
	return err == nil && bytes.Contains(text, fmt.Appendf(nil, ":%04X ", port))
}

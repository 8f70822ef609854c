package dhcptest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// netSeq makes the names of one test process's networks unique.
var netSeq atomic.Int64

// commandTimeout bounds every command that sets a network up or down.
const commandTimeout = 10 * time.Second

// Net is the wiring of one test: namespaces joined by virtual cables. Nothing of it
// touches the host's own network, and all of it is gone when the test ends.
type Net struct {
	t      testing.TB
	prefix string
}

// sweepOnce is for what test processes that were killed have left behind.
var sweepOnce sync.Once

// sweep removes namespaces of test processes that are no more.
func sweep() {
	for _, path := range orphans("/run/netns/crsmd-*-*") {
		_ = exec.Command("ip", "netns", "del", filepath.Base(path)).Run()
	}
}

// orphans returns the files that match and whose name says crsmd-<pid>- of a process that
// is no more.
func orphans(pattern string) []string {
	var found []string
	paths, _ := filepath.Glob(pattern)
	for _, path := range paths {
		pid := strings.Split(filepath.Base(path), "-")[1]
		if _, err := os.Stat("/proc/" + pid); os.IsNotExist(err) {
			found = append(found, path)
		}
	}
	return found
}

// NewNet returns an empty network for t. It fails the test when it does not run as root
// or when a tool is missing, and says which package has it.
func NewNet(t testing.TB) *Net {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root: run this test as root")
	}
	Need(t, "ip", "iproute2")
	sweepOnce.Do(sweep)
	return &Net{t: t, prefix: fmt.Sprintf("crsmd-%d-%d", os.Getpid(), netSeq.Add(1))}
}

// Need fails t unless tool is in PATH or an sbin folder, naming the Debian package that has it.
// It returns the tool's path.
func Need(t testing.TB, tool, pkg string) string {
	t.Helper()
	for _, dir := range append(strings.Split(os.Getenv("PATH"), ":"), "/usr/sbin", "/sbin") {
		if path, err := exec.LookPath(dir + "/" + tool); dir != "" && err == nil {
			return path
		}
	}
	t.Fatalf("%s is missing: apt-get install %s", tool, pkg)
	return ""
}

// MAC returns the n-th address 02:00:00:00:xx:xx of the tests' own range.
func MAC(n int) net.HardwareAddr {
	return net.HardwareAddr{0x02, 0, 0, 0, byte(n >> 8), byte(n)}
}

// Namespace is one host of a Net.
type Namespace struct {
	// Name is the namespace's name as `ip netns` knows it.
	Name string

	t testing.TB
}

// Namespace makes a host with its loopback interface up. It is removed, with every
// process still in it, when the test ends.
func (n *Net) Namespace(name string) *Namespace {
	n.t.Helper()
	ns := &Namespace{Name: n.prefix + "-" + name, t: n.t}
	run(n.t, "ip", "netns", "add", ns.Name)
	n.t.Cleanup(ns.remove)
	run(n.t, "ip", "-n", ns.Name, "link", "set", "lo", "up")
	return ns
}

// remove ends the processes inside this namespace and deletes it.
func (ns *Namespace) remove() {
	out, err := exec.Command("ip", "netns", "pids", ns.Name).Output()
	if err != nil {
		ns.t.Errorf("listing processes of %s: %v", ns.Name, err)
	}
	for _, word := range strings.Fields(string(out)) {
		if pid, err := strconv.Atoi(word); err == nil {
			ns.t.Logf("%s: ending leftover process %d", ns.Name, pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	if out, err := exec.Command("ip", "netns", "del", ns.Name).CombinedOutput(); err != nil {
		ns.t.Errorf("deleting %s: %v: %s", ns.Name, err, out)
	}
}

// Wire is an Ethernet segment that any number of namespaces can be plugged into.
type Wire struct {
	ns    *Namespace
	ports int
}

// Wire makes a segment: a bridge in a namespace of its own.
func (n *Net) Wire(name string) *Wire {
	n.t.Helper()
	ns := n.Namespace(name)
	ns.IP("link", "add", "br0", "type", "bridge", "forward_delay", "0")
	ns.IP("link", "set", "br0", "up")
	return &Wire{ns: ns}
}

// Attach plugs ns into wire with an interface that has mac and the addresses given.
func (ns *Namespace) Attach(wire *Wire, iface string, mac net.HardwareAddr, addrs ...netip.Prefix) {
	ns.t.Helper()
	wire.ports++
	port := fmt.Sprintf("p%d", wire.ports)
	run(ns.t, "ip", "link", "add", iface, "netns", ns.Name, "address", mac.String(),
		"type", "veth", "peer", "name", port, "netns", wire.ns.Name)
	wire.ns.IP("link", "set", port, "master", "br0", "up")
	for _, addr := range addrs {
		extra := []string{"broadcast", "+"}
		if addr.Addr().Is6() {
			extra = []string{"nodad"}
		}
		ns.IP(append([]string{"addr", "add", addr.String(), "dev", iface}, extra...)...)
	}
	ns.IP("link", "set", iface, "up")
}

// Mirror copies what passes the n-th port of the wire, both ways, to an interface of ns
// that has no address and is silent by itself.
func (w *Wire) Mirror(n int, ns *Namespace, iface string) {
	ns.t.Helper()
	ns.Run("sysctl", "-q", "-w", "net.ipv6.conf.default.disable_ipv6=1")
	port, copies := fmt.Sprintf("p%d", n), "m"+iface
	run(ns.t, "ip", "link", "add", iface, "netns", ns.Name, "type", "veth", "peer", "name", copies, "netns", w.ns.Name)
	w.ns.Run("sysctl", "-q", "-w", "net.ipv6.conf."+copies+".disable_ipv6=1")
	w.ns.IP("link", "set", copies, "up")
	ns.IP("link", "set", iface, "up")
	w.ns.Run("tc", "qdisc", "add", "dev", port, "clsact")
	for _, direction := range []string{"ingress", "egress"} {
		w.ns.Run("tc", "filter", "add", "dev", port, direction, "u32", "match", "u32", "0", "0", "action", "mirred", "egress", "mirror", "dev", copies)
	}
}

// Shape makes the wire carry no more than rate (as tc(8) writes it) to what was attached
// last. The switch keeps so many octets that wait; it drops what comes on top.
func (w *Wire) Shape(rate string, buffer int) {
	w.ns.t.Helper()
	w.ns.Run("tc", "qdisc", "add", "dev", fmt.Sprintf("p%d", w.ports), "root",
		"tbf", "rate", rate, "burst", "16kb", "limit", strconv.Itoa(buffer))
}

// Dropped returns how many packets a shaped wire has carried and dropped.
func (w *Wire) Dropped() (carried, dropped int) {
	w.ns.t.Helper()
	text := w.ns.Run("tc", "-s", "qdisc", "show", "dev", fmt.Sprintf("p%d", w.ports))
	m := tbfCounters.FindStringSubmatch(text)
	if m == nil {
		w.ns.t.Fatalf("no counters of tbf in %q", text)
	}
	carried, _ = strconv.Atoi(m[1])
	dropped, _ = strconv.Atoi(m[2])
	return carried, dropped
}

// tbfCounters finds the counters in what tc prints.
var tbfCounters = regexp.MustCompile(`bytes (\d+) pkt \(dropped (\d+),`)

// IP runs an `ip` command on the namespace's own interfaces and routes.
func (ns *Namespace) IP(args ...string) string {
	ns.t.Helper()
	return run(ns.t, "ip", append([]string{"-n", ns.Name}, args...)...)
}

// Forward makes the namespace a router.
func (ns *Namespace) Forward() {
	ns.t.Helper()
	ns.Run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
}

// Advertise makes the namespace advertise itself on an interface as the router of a prefix
// whose hosts are to ask DHCPv6 for their addresses.
func (ns *Namespace) Advertise(iface string, prefix netip.Prefix) {
	ns.t.Helper()
	path := filepath.Join(ns.t.TempDir(), "radvd.conf")
	text := fmt.Sprintf("interface %s {\n AdvSendAdvert on;\n AdvManagedFlag on;\n AdvOtherConfigFlag on;\n MinRtrAdvInterval 3;\n MaxRtrAdvInterval 5;\n"+
		" prefix %v {\n  AdvOnLink on;\n  AdvAutonomous off;\n };\n};\n", iface, prefix.Masked())
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		ns.t.Fatal(err)
	}
	StartProcess(ns.t, "radvd", ns.Command(context.Background(), Need(ns.t, "radvd", "radvd"), "-n", "-m", "stderr", "-C", path, "-p", path+".pid"))
}

// Command prepares a program that runs inside the namespace. The process is the program
// itself, without a shell or an `ip` in between, so signals reach it.
func (ns *Namespace) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", ns.Name, name}, args...)...)
}

// Run runs a program inside the namespace to its end, fails the test when the program
// fails, and returns what it printed.
func (ns *Namespace) Run(name string, args ...string) string {
	ns.t.Helper()
	return run(ns.t, "ip", append([]string{"netns", "exec", ns.Name, name}, args...)...)
}

// Dial connects from inside the namespace; the address must be a literal one.
func (ns *Namespace) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var conn net.Conn
	err := ns.within(func() (err error) {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// ListenPacket opens a UDP socket inside the namespace.
func (ns *Namespace) ListenPacket(network, addr string) (net.PacketConn, error) {
	var conn net.PacketConn
	err := ns.within(func() (err error) {
		conn, err = net.ListenPacket(network, addr)
		return err
	})
	return conn, err
}

// Listen opens a TCP socket that listens inside the namespace.
func (ns *Namespace) Listen(addr string) (net.Listener, error) {
	var l net.Listener
	err := ns.within(func() (err error) {
		l, err = net.Listen("tcp", addr)
		return err
	})
	return l, err
}

// within calls f on a thread that is in the namespace. A socket keeps the namespace it was
// made in, so only making it has to happen here. The thread goes back where it came from:
// if it ended instead, the kernel would end processes that were started from it.
func (ns *Namespace) within(f func() error) error {
	runtime.LockOSThread()
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("opening the thread's namespace: %w", err)
	}
	defer unix.Close(home)
	there, err := unix.Open("/run/netns/"+ns.Name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("opening namespace %s: %w", ns.Name, err)
	}
	defer unix.Close(there)
	if err := unix.Setns(there, unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("entering namespace %s: %w", ns.Name, err)
	}
	err = f()
	if back := unix.Setns(home, unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, fmt.Errorf("leaving namespace %s: %w", ns.Name, back)) // the thread stays locked and ends
	}
	runtime.UnlockOSThread()
	return err
}

// run runs a short command, fails the test when it fails, and returns its output.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

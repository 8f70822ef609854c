package test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
)

// served is a server whose configuration and program can be replaced.
type served struct {
	*looped
	*dhcptest.Process
	config, program string
}

// serveFile starts a server on a configuration file and a program of its own, with further
// variables in its environment.
func (l *looped) serveFile(text string, environ ...string) *served {
	l.t.Helper()
	dir := l.t.TempDir()
	s := &served{looped: l, config: filepath.Join(dir, "config.yaml"), program: filepath.Join(dir, "coredhcp")}
	s.write(text)
	s.install(dhcptest.CoreDHCPBinary(l.t))
	cmd := l.server.Command(context.Background(), s.program, "--conf", s.config)
	cmd.Env = append(os.Environ(), environ...)
	s.Process = dhcptest.StartProcess(l.t, "coredhcp", cmd)
	s.WaitLog("listening on udp4", 20*time.Second)
	return s
}

// write replaces the configuration.
func (s *served) write(text string) {
	s.t.Helper()
	if err := os.WriteFile(s.config, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// install replaces the program as package managers do.
func (s *served) install(from string) {
	s.t.Helper()
	runIn(s.t, ".", "cp", from, s.program+".new")
	if err := os.Rename(s.program+".new", s.program); err != nil {
		s.t.Fatal(err)
	}
}

// reload has the server reload, and returns the process that serves then.
func (s *served) reload() int {
	s.t.Helper()
	mark := s.Mark()
	s.Signal(syscall.SIGHUP)
	m := s.WaitLogSince(mark, `msg="process (\d+) serves now"`, 20*time.Second)
	id, _ := strconv.Atoi(m[1])
	return id
}

// refused has the server try to reload and returns what it says of that.
func (s *served) refused() string {
	s.t.Helper()
	mark := s.Mark()
	s.Signal(syscall.SIGHUP)
	return s.WaitLogSince(mark, `(?s)level=error msg="the reload has failed and nothing has changed: (.*?)" prefix=main`, 30*time.Second)[1]
}

// stop ends the server in order, within five seconds.
func (s *served) stop() {
	s.t.Helper()
	s.Signal(syscall.SIGTERM)
	if err := s.Wait(5 * time.Second); err != nil {
		s.t.Errorf("at SIGTERM: %v, want exit status 0", err)
	}
}

// chainOf is a configuration with both plugins.
func (l *looped) chainOf(coresmd string, bootloop ...string) string {
	return l.chain(l.words(coresmd), "bootloop: lease_file="+l.file+" renew=ack lease_time=1h "+strings.Join(bootloop, " "))
}

// steady is clients that send each packet once and want it answered.
type steady struct {
	*storm
	stop    context.CancelFunc
	clients sync.WaitGroup

	mu      sync.Mutex // guards all below
	answers int
	longest time.Duration
}

// patient is how long a packet may wait for its answer on a machine that is busy otherwise.
const patient = 20 * time.Second

// startSteady starts clients: strangers, and the machines from known to known+n, whose address is
// 198.18.2.n.
func startSteady(w *storm, known, n int) *steady {
	ctx, stop := context.WithCancel(context.Background())
	d := &steady{storm: w, stop: stop}
	for _, machine := range w.machines {
		d.clients.Go(func() { d.client(ctx, machine, netip.Addr{}) })
	}
	for i := range n {
		addr := netip.AddrFrom4([4]byte{198, 18, 2, byte(i + 1)})
		d.clients.Go(func() { d.client(ctx, known+i, addr) })
	}
	return d
}

// client takes one machine through the handshake over and over, and has its lease confirmed in
// between.
func (d *steady) client(ctx context.Context, machine int, want netip.Addr) {
	for ctx.Err() == nil {
		offer := d.once(machine, dhcpv4.MessageTypeDiscover)
		if !want.IsValid() {
			want = offer
		}
		d.wants(machine, "the offer", offer, want)
		d.wants(machine, "the lease", d.once(machine, dhcpv4.MessageTypeRequest, dhcptest.Server(serverIP.String()), dhcptest.Requested(want.String())), want)
		d.wants(machine, "the lease it knew", d.once(machine, dhcpv4.MessageTypeRequest, dhcptest.Requested(want.String())), want)
	}
}

func (d *steady) wants(machine int, what string, got, want netip.Addr) {
	if got != want {
		d.fail(fmt.Errorf("machine %x: %s is %v, want %v", machine, what, got, want))
	}
}

// once sends one packet and returns the address in the answer.
func (d *steady) once(machine int, kind dhcpv4.MessageType, with ...dhcpv4.Modifier) netip.Addr {
	began := time.Now()
	reply := d.try(message(machine, kind, with...), 1, patient)
	if reply == nil {
		d.fail(fmt.Errorf("machine %x: a %v was lost", machine, kind))
		return netip.Addr{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answers++
	d.longest = max(d.longest, time.Since(began))
	return address(reply)
}

// done ends the load, reports what has gone wrong, and returns the longest wait.
func (d *steady) done(t *testing.T) time.Duration {
	t.Helper()
	d.stop()
	d.clients.Wait()
	d.report(t)
	t.Logf("%d answers, the longest wait %v", d.answers, d.longest)
	return d.longest
}

// writers watches who has a lease file open, until it is told to stop, and returns what it has
// seen that must not be, and how often it has looked.
func writers(path string) (stop func() (wrong []string, looks int)) {
	done := make(chan struct{})
	var wrong []string
	var looks int
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				looks++
			}
			for i, ids := 1, openedBy(path); i < len(ids); i++ {
				if together(path, ids[0], ids[i]) {
					wrong = append(wrong, fmt.Sprintf("processes %d and %d have it open", ids[0], ids[i]))
				}
			}
		}
	})
	return func() ([]string, int) { close(done); watching.Wait(); return wrong, looks }
}

// together tells whether two processes, both of which were seen with a file open, have it open at
// the same time. One that is just being started shares memory and files with the one that starts
// it, and writes nothing.
func together(path string, first, second int) bool {
	const kcmpVM = 1
	order, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(first), uintptr(second), kcmpVM, 0, 0, 0)
	return errno == 0 && order != 0 && hasOpen(second, path) && hasOpen(first, path)
}

// openedBy returns the processes that have a file open.
func openedBy(path string) (ids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range all {
		if id, _ := strconv.Atoi(filepath.Base(dir)); hasOpen(id, path) {
			ids = append(ids, id)
		}
	}
	return ids
}

func hasOpen(id int, path string) bool {
	dir := fmt.Sprintf("/proc/%d/fd", id)
	files, _ := os.ReadDir(dir) // it may have ended
	return slices.ContainsFunc(files, func(f os.DirEntry) bool {
		target, err := os.Readlink(filepath.Join(dir, f.Name()))
		return err == nil && target == path
	})
}

// number is a setting of a test that a make target makes bigger.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// TestReload has a server reload its configuration, and take new binaries into service, while
// clients send without a pause, each packet once. No packet is lost, everybody keeps the
// address, and nobody but the process in office has the lease file open.
func TestReload(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	const known, machines = 0x800, 20
	for i := range machines {
		l.addNode(known+i, fmt.Sprintf("198.18.2.%d", i+1))
	}
	text := l.chainOf("", "subnet="+stormNet+",pool:198.18.1.10-198.18.1.250")
	s := l.serveFile(text)
	w := newStorm(l.site, 10)
	load := startSteady(w, known, machines)
	look := writers(l.file)
	reloads, handOvers := number("RELOADS", 6), number("HANDOVERS", 2)
	seen := map[int]bool{}
	for i := range reloads {
		if i < handOvers {
			s.install(dhcptest.CoreDHCPBinary(t))
		}
		s.write(fmt.Sprintf("# %d\n%s", i, text))
		seen[s.reload()] = true
	}
	longest := load.done(t)
	if wrong, looks := look(); len(wrong) > 0 || looks == 0 {
		t.Errorf("looked %d times who has the lease file open: %q", looks, wrong)
	}
	if len(seen) != reloads {
		t.Errorf("%d processes served, want %d", len(seen), reloads)
	}
	if reloads > 6 && longest > time.Second {
		t.Errorf("a client waited %v for an answer", longest)
	}
	if bad := grep(s.Log(), `level=error|in use by another process|inventory not loaded`); bad != "" {
		t.Errorf("the log:\n%s", bad)
	}
	s.stop()
	if n := len(rows(t, l.file)); n != len(w.machines) {
		t.Errorf("%d leases in the file, want %d", n, len(w.machines))
	}
}

// TestReloadChanges has real clients see what a new configuration says, with the same process
// id as before, and the same leases.
func TestReloadChanges(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	l.addNode(1, "192.0.2.11")
	s := l.serveFile(l.chainOf("", tenAddresses))
	known := dhcptest.StartUdhcpc(l.host(1), "eth0", dhcptest.ClientOptions{})
	compare(t, nodeLease(1, "192.0.2.11"), known.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))
	stranger := dhcptest.StartDhclient(l.host(2), "eth0", dhcptest.ClientOptions{})
	lease := stranger.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
	first := s.ID()
	for _, name := range []string{"a", "b"} {
		s.write(l.chainOf("domain="+name+".example.org", tenAddresses))
		s.reload()
		want := nodeLease(1, "192.0.2.11")
		want.Hostname = "nid0001." + name + ".example.org"
		known.Renew()
		compare(t, want, known.WaitEvent(dhcptest.EventRenew, dhcptest.BindTimeout))
	}
	another := dhcptest.Udhcpc(l.host(3), "eth0", dhcptest.ClientOptions{})
	if !isTemporary(another) || another.Addr == lease.Addr {
		t.Errorf("another stranger gets %v, one has %v", another.Addr, lease.Addr)
	}
	if !s.Running() || s.ID() != first {
		t.Error("the process id has changed")
	}
	s.stop()
}

// TestReloadWithoutSMD reloads while SMD is away and there is no snapshot: its machines keep their
// leases, and get them anew.
func TestReloadWithoutSMD(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	l.addNode(1, "192.0.2.11")
	s := l.serveFile(l.chainOf("", tenAddresses))
	client := dhcptest.StartUdhcpc(l.host(1), "eth0", dhcptest.ClientOptions{})
	compare(t, nodeLease(1, "192.0.2.11"), client.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout))
	l.smd.Stop()
	for range 2 {
		s.reload()
		client.Renew()
		compare(t, nodeLease(1, "192.0.2.11"), client.WaitEvent(dhcptest.EventRenew, dhcptest.BindTimeout))
	}
	strange(t, dhcptest.Udhcpc(l.host(2), "eth0", dhcptest.ClientOptions{}))
	s.stop()
}

// TestReloadRefused has configurations and programs that cannot serve. Nothing changes, and the
// log says what is wrong.
func TestReloadRefused(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	l.addNode(1, "192.0.2.11")
	good := l.chainOf("", tenAddresses)
	s := l.serveFile(good)
	client := dhcptest.StartUdhcpc(l.host(2), "eth0", dhcptest.ClientOptions{})
	lease := client.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
	wants := func(what, want string) {
		t.Helper()
		if diff := cmp.Diff(want, s.refused()); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
		client.Renew()
		compare(t, lease, client.WaitEvent(dhcptest.EventRenew, dhcptest.BindTimeout))
	}
	s.write("server4: {}\n")
	wants("no plugins", "loading the configuration: error parsing config: dhcpv4: invalid plugins section, not a list or no plugin specified")
	s.write(l.chainOf("tftp_port=high", tenAddresses))
	wants("a mistake", "starting: coresmd directive:\nargument 6 \"tftp_port=high\": tftp_port: not a port; wanted a port from 1 to 65535")
	s.write(l.chain(l.words(), "bootloop: lease_file=/nowhere/leases.db "+tenAddresses))
	wants("no folder", `starting: lease file "/nowhere/leases.db": there is no folder "/nowhere"`)
	s.write(strings.Replace(good, "%eth0", "%eth7", 1))
	wants("no interface", `starting: listening on udp4 [0.0.0.0%eth7]:67: binding to interface eth7: no such device`)
	s.write(strings.Replace(good, "- bootloop:", "- nowhere:", 1))
	wants("no plugin", "starting: error parsing config: DHCPv4: unknown plugin `nowhere`")
	s.write(good)

	program := filepath.Join(t.TempDir(), "program")
	script := func(text string) {
		t.Helper()
		if err := os.WriteFile(program, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		s.install(program)
	}
	script("#!/bin/sh\nexit 3\n")
	wants("a program that ends", "the new process ended: exit status 3")
	script("no program")
	wants("no program", "starting "+s.program+": fork/exec "+s.program+": exec format error")
	script("#!/bin/sh\nexec sleep 60\n")
	wants("a program that hangs", "the new process was not ready within 10s")
	s.install(dhcptest.CoreDHCPBinary(t))
	s.reload()
	client.Renew()
	compare(t, lease, client.WaitEvent(dhcptest.EventRenew, dhcptest.BindTimeout))
	s.stop()
}

// TestKillSuccessor kills a successor in the middle of the hand-over, when the old process has
// given up the lease file already: it takes it back.
func TestKillSuccessor(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	s := l.serveFile(l.chainOf("", tenAddresses))
	client := dhcptest.StartUdhcpc(l.host(1), "eth0", dhcptest.ClientOptions{})
	lease := client.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
	for range 2 {
		db, err := sql.Open("sqlite3", "file:"+l.file+"?_txlock=exclusive")
		if err != nil {
			t.Fatal(err)
		}
		tx, err := db.Begin() // the successor cannot work with the file
		if err != nil {
			t.Fatal(err)
		}
		s.Signal(syscall.SIGHUP)
		var successor int
		dhcptest.Eventually(t, 20*time.Second, func() error {
			if successor = lockedBy(t, l.file+".lock", s.ID()); successor == 0 {
				return errors.New("no successor has the lease file")
			}
			return nil
		})
		mark := s.Mark()
		if err := syscall.Kill(successor, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(tx.Rollback(), db.Close()); err != nil {
			t.Fatal(err)
		}
		s.WaitLogSince(mark, `level=error msg="the reload has failed and nothing has changed: the new process ended: signal: killed"`, 20*time.Second)
		client.Renew()
		compare(t, lease, client.WaitEvent(dhcptest.EventRenew, dhcptest.BindTimeout))
	}
	other := dhcptest.Udhcpc(l.host(2), "eth0", dhcptest.ClientOptions{})
	if n := len(rows(t, l.file)); n != 2 || other.Addr == lease.Addr {
		t.Errorf("%d leases in the file, want 2; %v and %v", n, other.Addr, lease.Addr)
	}
	s.reload()
	client.Renew()
	compare(t, lease, client.WaitEvent(dhcptest.EventRenew, dhcptest.BindTimeout))
	s.stop()
}

// lockedBy returns the process other than this one that has a file open; 0: none.
func lockedBy(t *testing.T, path string, but int) int {
	t.Helper()
	all, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, f := range all {
		id, _ := strconv.Atoi(strings.Split(f, "/")[2])
		if target, err := os.Readlink(f); err == nil && target == path && id != but {
			return id
		}
	}
	return 0
}

// TestKeeper has the process that was started first keep the place of those that follow: signals
// reach who serves, its end is the end of all, and theirs is its end.
func TestKeeper(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	s := l.serveFile(l.chainOf("", tenAddresses))
	s.reload()
	second := s.reload()
	dhcptest.Eventually(t, 20*time.Second, func() error {
		if n := len(children(t, s.ID())); n != 1 {
			return fmt.Errorf("%d processes beside the first, want 1", n)
		}
		return nil
	})
	mark := s.Mark()
	s.Signal(syscall.SIGUSR1)
	s.WaitLogSince(mark, "SIGUSR1: what SMD says now is believed", 20*time.Second)
	if err := syscall.Kill(second, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := s.Wait(20 * time.Second); !errors.As(err, &exit) || exit.ExitCode() != 128+9 {
		t.Errorf("the server was killed: %v, want exit status 137", err)
	}

	s = l.serveFile(l.chainOf("", tenAddresses))
	server := s.reload()
	s.Kill9()
	dhcptest.Eventually(t, 20*time.Second, func() error {
		if err := syscall.Kill(server, 0); !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("the server goes on without its keeper: %v", err)
		}
		return nil
	})
}

// TestReloadBesideTransfers reloads again while processes that have left still send files, and the
// older one is done first: who serves then is no child of the keeper yet.
func TestReloadBesideTransfers(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	l.addNode(1, "192.0.2.11")
	text := strings.Repeat("0123456789abcdef", 100)
	if err := os.WriteFile(filepath.Join(l.tftp, "file"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s := l.serveFile(l.chainOf("", tenAddresses))
	host := l.net.Namespace("tftp")
	host.Attach(l.lan, "eth0", dhcptest.MAC(9), netip.MustParsePrefix("192.0.2.9/24"))
	begin := func() (finish func()) {
		conn, err := host.ListenPacket("udp4", "192.0.2.9:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		from := ask69(t, conn, []byte("\x00\x01file\x00octet\x00"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(serverIP, 69)), "\x00\x03\x00\x01"+text[:512])
		return func() {
			from = ask69(t, conn, []byte{0, 4, 0, 1}, from, "\x00\x03\x00\x02"+text[512:1024])
			from = ask69(t, conn, []byte{0, 4, 0, 2}, from, "\x00\x03\x00\x03"+text[1024:1536])
			from = ask69(t, conn, []byte{0, 4, 0, 3}, from, "\x00\x03\x00\x04"+text[1536:])
			_, _ = conn.WriteTo([]byte{0, 4, 0, 4}, from)
		}
	}
	ends := func(id int) {
		t.Helper()
		dhcptest.Eventually(t, 20*time.Second, func() error {
			if err := syscall.Kill(id, 0); !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("process %d has not ended: %v", id, err)
			}
			return nil
		})
	}
	second := s.reload()
	first := begin()
	third := s.reload()
	later := begin()
	s.reload()
	first()
	ends(second)
	compare(t, nodeLease(1, "192.0.2.11"), dhcptest.Udhcpc(l.host(1), "eth0", dhcptest.ClientOptions{}))
	later()
	ends(third)
	begin() // the parent of the server that is killed has not ended
	if err := syscall.Kill(s.reload(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := s.Wait(20 * time.Second); !errors.As(err, &exit) || exit.ExitCode() != 128+9 {
		t.Errorf("the server was killed: %v, want exit status 137", err)
	}
}

// children returns the processes whose parent is this one.
func children(t *testing.T, id int) (ids []int) {
	t.Helper()
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	stat := regexp.MustCompile(`^(\d+) \(.*\) \S (\d+) `)
	for _, name := range all {
		text, _ := os.ReadFile(name)
		if m := stat.FindStringSubmatch(string(text)); m != nil && m[2] == strconv.Itoa(id) {
			child, _ := strconv.Atoi(m[1])
			ids = append(ids, child)
		}
	}
	return ids
}

// TestNotify has systemd hear of each step, always from the process that it has started.
func TestNotify(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	s := l.serveFile(l.chainOf("", tenAddresses), "NOTIFY_SOCKET="+path)
	hears := func(want string) {
		t.Helper()
		_ = socket.SetReadDeadline(time.Now().Add(20 * time.Second))
		b := make([]byte, 200)
		n, err := socket.Read(b)
		got := regexp.MustCompile(`USEC=\d+`).ReplaceAllString(string(b[:n]), "USEC=N")
		if err != nil || got != want {
			t.Fatalf("%q %v, want %q", got, err, want)
		}
	}
	hears("READY=1")
	for range 2 {
		s.reload()
		hears("RELOADING=1\nMONOTONIC_USEC=N")
		hears("READY=1")
	}
	s.write("nonsense")
	s.refused()
	hears("RELOADING=1\nMONOTONIC_USEC=N")
	hears("READY=1")
	s.stop()
	hears("STOPPING=1")
}

// TestSocketsAreHandedOver has what is not DHCP go on: a transfer by TFTP that is under way, with
// a port of its own and without, the next one, and the status listener.
func TestSocketsAreHandedOver(t *testing.T) {
	t.Parallel()
	for _, single := range []bool{false, true} {
		t.Run(fmt.Sprintf("single_port %v", single), func(t *testing.T) {
			t.Parallel()
			l := newLooped(t)
			text := strings.Repeat("0123456789abcdef", 100)
			if err := os.WriteFile(filepath.Join(l.tftp, "file"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "status")
			s := l.serveFile(l.chainOf(fmt.Sprintf("single_port=%v http_addr=127.0.0.1:6767 http_socket=%s boot_http=8082", single, path), tenAddresses))
			host := l.net.Namespace("tftp")
			host.Attach(l.lan, "eth0", dhcptest.MAC(9), netip.MustParsePrefix("192.0.2.9/24"))
			conn, err := host.ListenPacket("udp4", "192.0.2.9:0")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			from := ask69(t, conn, []byte("\x00\x01file\x00octet\x00"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(serverIP, 69)), "\x00\x03\x00\x01"+text[:512])
			for range 2 {
				s.reload()
				checkStatus(t, l.server, path)
			}
			from = ask69(t, conn, []byte{0, 4, 0, 1}, from, "\x00\x03\x00\x02"+text[512:1024])
			from = ask69(t, conn, []byte{0, 4, 0, 2}, from, "\x00\x03\x00\x03"+text[1024:1536])
			from = ask69(t, conn, []byte{0, 4, 0, 3}, from, "\x00\x03\x00\x04"+text[1536:])
			_, _ = conn.WriteTo([]byte{0, 4, 0, 4}, from)
			s.WaitLog(`msg=TFTP.*outcome=sent`, 20*time.Second)
			got := host.Run(dhcptest.Need(t, "curl", "curl"), "-s", "tftp://192.0.2.1/file", "http://192.0.2.1:8082/file")
			if got != text+text {
				t.Errorf("%d octets by TFTP and HTTP, want %d", len(got), 2*len(text))
			}
			s.stop()
			if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the socket was left behind: %v", err)
			}
		})
	}
}

// ask69 sends a TFTP packet and returns who sends the packet wanted.
func ask69(t *testing.T, conn net.PacketConn, packet []byte, to net.Addr, want string) net.Addr {
	t.Helper()
	if _, err := conn.WriteTo(packet, to); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	b := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(b)
		if err != nil {
			t.Fatal(err)
		}
		if string(b[:n]) == want { // others are sent again
			return from
		}
	}
}

// checkStatus asks both status listeners.
func checkStatus(t *testing.T, ns *dhcptest.Namespace, path string) {
	t.Helper()
	for _, addr := range [][2]string{{"tcp", "127.0.0.1:6767"}, {"unix", path}} {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return ns.Dial(ctx, addr[0], addr[1])
		}}}
		resp, err := client.Get("http://localhost/readyz")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != "ok\n" {
			t.Errorf("%s: %q %v", addr[1], body, err)
		}
	}
}

// TestRangeIsHandedOver has the store of a plugin that is not ours handed over as well.
func TestRangeIsHandedOver(t *testing.T) {
	t.Parallel()
	l := newLooped(t)
	s := l.serveFile(l.config(l.words("")))
	client := dhcptest.StartUdhcpc(l.host(1), "eth0", dhcptest.ClientOptions{})
	lease := client.WaitEvent(dhcptest.EventBound, dhcptest.BindTimeout)
	s.reload()
	client.Renew()
	compare(t, lease, client.WaitEvent(dhcptest.EventRenew, dhcptest.BindTimeout))
	if other := dhcptest.Udhcpc(l.host(2), "eth0", dhcptest.ClientOptions{}); other.Addr == lease.Addr {
		t.Errorf("two machines have %v", other.Addr)
	}
	s.stop()
}

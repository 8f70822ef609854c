//go:build cgo

package lease

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// children are what the test binary does when it is started as a child.
var children = map[string]func(path string) error{"storm": families["storm"].storm, "storm6": families["storm6"].storm, "full": fullDisk, "readonly": readOnly, "unreadable": unreadable}

func TestMain(m *testing.M) {
	f, ok := children[os.Getenv("LEASE_TEST_CHILD")]
	if !ok {
		os.Exit(m.Run())
	}
	if err := f(os.Getenv("LEASE_TEST_PATH")); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func child(t *testing.T, name, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LEASE_TEST_CHILD="+name, "LEASE_TEST_PATH="+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// A family has clients that outnumber addresses, so these change hands all the
// time.
type family struct {
	pools  []Range
	client func(int) Client
}

var families = map[string]family{
	"storm":  {[]Range{span("192.0.2.1", "192.0.2.100"), span("198.51.100.1", "198.51.100.100")}, mac},
	"storm6": {[]Range{span("2001:db8::1", "2001:db8::64"), span("2001:db8:0:1::1", "2001:db8:0:1::64")}, duid},
}

func (f family) options() Options {
	return Options{Pools: f.pools, LeaseTime: time.Hour, OfferTime: time.Second}
}

// storm says on its standard output what its clients are promised. A client
// that is about to let its address go says so before.
func (f family) storm(path string) error {
	tab, _, err := Open(path, f.options())
	if err != nil {
		return err
	}
	var mu sync.Mutex
	say := func(n int, what string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf("%d %s\n", n, what)
	}
	var wg sync.WaitGroup
	for n := range 300 {
		wg.Go(func() { f.stormClient(tab, n, say) })
	}
	wg.Wait()
	return errors.New("the storm is over")
}

// stormClient stays in one network and runs the handshake again and again if
// its number is even; else it moves and releases.
func (f family) stormClient(tab *Table, n int, say func(int, string)) {
	stays := n%2 == 0
	promised := false
	for pool := n / 2 % 2; ; {
		if promised && !stays {
			say(n, "free") // it may be about to move
			promised = false
			pool = rand.IntN(2)
		}
		l, err := tab.Acquire(f.client(n), pool)
		if err == nil {
			l, err = tab.Confirm(ctx, f.client(n), l.Addr, "host")
		}
		if err == nil {
			say(n, l.Addr.String())
			promised = true
		}
		time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
		if promised && !stays && rand.IntN(2) == 0 {
			say(n, "free")
			promised = false
			tab.Release(f.client(n), l.Addr)
		}
	}
}

// weather runs the storm until it has promised enough, kills it and returns the
// promises that stand. It knows everything said before the kill.
func weather(t *testing.T, storm, path string, enough int) map[int]netip.Addr {
	t.Helper()
	cmd := child(t, storm, path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	promises := map[int]netip.Addr{}
	sc := bufio.NewReader(out)
	for said := 0; ; {
		line, err := sc.ReadString('\n')
		if err != nil {
			break // what follows the last newline was cut off
		}
		var n int
		var what string
		if _, err := fmt.Sscan(line, &n, &what); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		delete(promises, n)
		if what != "free" {
			promises[n] = ip(what)
			said++
		}
		if said == enough {
			cmd.Process.Kill()
		}
	}
	cmd.Wait()
	return promises
}

func TestKill(t *testing.T) {
	t.Parallel()
	for name, f := range families {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.kill(t, name)
		})
	}
}

func (f family) kill(t *testing.T, name string) {
	path := filepath.Join(t.TempDir(), "leases.db")
	for round := range 3 {
		promises := weather(t, name, path, 2000)
		if len(promises) == 0 {
			t.Fatal("nobody was promised anything")
		}
		tab, problems, err := Open(path, f.options())
		if err != nil || len(problems) > 0 {
			t.Fatal(err, problems)
		}
		promised := map[netip.Addr]bool{}
		for n, a := range promises {
			promised[a] = true
			if l, ok := tab.Held(f.client(n)); !ok || l.Addr != a {
				t.Errorf("round %d: client %d was promised %v, holds %v %v", round, n, a, l.Addr, ok)
			}
		}
		for pool := range 2 {
			checkStrangers(t, tab, pool, promised)
		}
		t.Logf("round %d: %d promises kept", round, len(promises))
		tab.Close()
	}
}

// checkStrangers lets new clients have all that is free.
func checkStrangers(t *testing.T, tab *Table, pool int, promised map[netip.Addr]bool) {
	for i := 0; ; i++ {
		l, err := tab.Acquire(mac(100000+i), pool)
		if err == ErrExhausted {
			return
		}
		if err != nil || promised[l.Addr] {
			t.Fatalf("a stranger gets the promised %v (%v)", l.Addr, err)
		}
	}
}

func runChild(t *testing.T, name, path string) {
	t.Helper()
	out, err := child(t, name, path).Output()
	if err != nil || strings.TrimSpace(string(out)) != "" {
		t.Errorf("%v: %s", err, out)
	}
}

// TestFullDisk has the kernel refuse to let any file grow.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leases.db")
	runChild(t, "full", path)
	tab, problems := on(t, path, longOptions())
	if len(problems) > 0 {
		t.Error(problems)
	}
	for i := 1; i <= 2; i++ {
		if _, ok := tab.Held(mac(i)); !ok {
			t.Errorf("lease of client %d lost", i)
		}
	}
}

func longOptions() Options {
	return Options{Pools: []Range{span("192.0.2.1", "192.0.2.9")}, LeaseTime: time.Hour}
}

func limitFiles(size uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		return err
	}
	l.Cur = min(size, l.Max)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l)
}

func fullDisk(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	tab, _, err := Open(path, longOptions())
	if err != nil {
		return err
	}
	first, err := tab.Acquire(mac(1), 0)
	if err != nil {
		return err
	}
	if first, err = tab.Confirm(ctx, mac(1), first.Addr, ""); err != nil {
		return err
	}
	info, err := os.Stat(path + "-wal")
	if err != nil {
		return err
	}
	if err := limitFiles(uint64(info.Size())); err != nil {
		return err
	}
	offer, _ := tab.Acquire(mac(2), 0)
	for range 3 {
		if l, err := tab.Confirm(ctx, mac(2), offer.Addr, ""); !errors.Is(err, ErrStore) {
			return fmt.Errorf("full disk: new lease %v, %v", l, err)
		}
		if l, err := tab.Confirm(ctx, mac(1), first.Addr, ""); !errors.Is(err, ErrStore) || l != first {
			return fmt.Errorf("full disk: old lease %v, %v; want %v", l, err, first)
		}
	}
	if err := limitFiles(1 << 40); err != nil {
		return err
	}
	if _, err := tab.Confirm(ctx, mac(2), offer.Addr, ""); err != nil {
		return fmt.Errorf("space again: %v", err)
	}
	return nil // not closed: as if killed
}

// TestReadOnly opens a file that its process may not write.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	for name, statements := range map[string][]string{
		"range plugin": {rangeSchema},
		"ours":         {strings.ToLower(shape4().schema)},
		"log":          {"pragma journal_mode=wal", rangeSchema},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "leases.db")
			lease := insert("'02:00:00:00:00:01'", "'192.0.2.1'", fmt.Sprint(time.Now().Add(time.Hour).Unix()), "''")
			run(t, path, append(statements, lease)...)
			forbid(t, path, 0o444)
			runChild(t, "readonly", path)
		})
	}
}

// forbid leaves mode of the file's permissions; its folder is anybody's.
func forbid(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	dir := filepath.Dir(path)
	if err := errors.Join(os.Chmod(path, mode), os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o777)); err != nil {
		t.Fatal(err)
	}
}

// unprivileged makes permissions count where the test runs as root.
func unprivileged() error {
	if os.Getuid() != 0 {
		return nil
	}
	return errors.Join(syscall.Setgroups(nil), syscall.Setgid(65534), syscall.Setuid(65534))
}

// TestUnreadable has a file that its process may not even read.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "leases.db")
	run(t, path, rangeSchema)
	forbid(t, path, 0)
	runChild(t, "unreadable", path)
}

func unreadable(path string) error {
	if err := unprivileged(); err != nil {
		return err
	}
	tab, problems, err := Open(path, longOptions())
	if err != nil {
		return err
	}
	defer tab.Close()
	if len(problems) != 1 || !problems[0].Serious || !strings.Contains(problems[0].Text, "permission denied") {
		return fmt.Errorf("problems %v", problems)
	}
	offer, err := tab.Acquire(mac(1), 0)
	if err == nil {
		_, err = tab.Confirm(ctx, mac(1), offer.Addr, "")
	}
	return err
}

func readOnly(path string) error {
	if err := unprivileged(); err != nil {
		return err
	}
	tab, problems, err := Open(path, longOptions())
	if err != nil {
		return err
	}
	defer tab.Close()
	if len(problems) != 1 || !problems[0].Serious {
		return fmt.Errorf("problems %v", problems)
	}
	l, ok := tab.Held(mac(1))
	if !ok {
		return errors.New("the lease in the file is not held")
	}
	if got, err := tab.Confirm(ctx, mac(1), l.Addr, ""); !errors.Is(err, ErrStore) || got != l {
		return fmt.Errorf("old lease: %v, %v", got, err)
	}
	offer, err := tab.Acquire(mac(2), 0)
	if err != nil {
		return err
	}
	if got, err := tab.Confirm(ctx, mac(2), offer.Addr, ""); !errors.Is(err, ErrStore) || got != (Lease{}) {
		return fmt.Errorf("new lease: %v, %v", got, err)
	}
	return nil
}

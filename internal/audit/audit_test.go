package audit

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var given = Record{
	Time: time.Date(2026, 1, 1, 12, 0, 0, 5000, time.UTC), Event: "given", Plugin: "coresmd", MAC: [6]byte{2, 0, 0, 0, 0, 1},
	Addr: netip.MustParseAddr("192.0.2.11"), Lease: time.Hour, ID: "x3000c0s0b0n0", Type: "Node", Hostname: "nid0001",
	Giaddr: netip.MustParseAddr("192.0.2.254"), Circuit: []byte("swp1"), Remote: []byte{1, 255}, Message: "REQUEST", State: "selecting", XID: "0xcafe0001",
}

const givenLine = `{"time":"2026-01-01T12:00:00.000005Z","event":"given","plugin":"coresmd","mac":"02:00:00:00:00:01","ip":"192.0.2.11","lease_seconds":3600,"id":"x3000c0s0b0n0","type":"Node","hostname":"nid0001","giaddr":"192.0.2.254","circuit_id":"swp1","remote_id":"0x01ff","message":"REQUEST","state":"selecting","xid":"0xcafe0001"}
`

// octets are a client identifier.
type octets []byte

func (o octets) ToBytes() []byte { return o }

// TestDUID has clients of DHCPv6: one whose hardware address is known, and one of whom nothing
// tells it.
func TestDUID(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, stop := start(t, path)
	r := Record{Time: given.Time, Event: "released", MAC: given.MAC, DUID: octets{0, 3, 0, 1, 2, 0, 0, 0, 0, 1}, Addr: netip.MustParseAddr("2001:db8::11")}
	l.Add(r)
	r.MAC, r.DUID = [6]byte{}, octets{0, 4, 171}
	l.Add(r)
	stop()
	want := `{"time":"2026-01-01T12:00:00.000005Z","event":"released","mac":"02:00:00:00:00:01","duid":"00:03:00:01:02:00:00:00:00:01","ip":"2001:db8::11"}
{"time":"2026-01-01T12:00:00.000005Z","event":"released","duid":"00:04:ab","ip":"2001:db8::11"}
`
	if diff := cmp.Diff(want, read(t, path)); diff != "" {
		t.Error(diff)
	}
}

// start opens a log and runs it; stop ends it.
func start(t *testing.T, path string) (l *Log, stop func()) {
	t.Helper()
	l, err := Open(path, func(err error) { t.Errorf("problem: %v", err) })
	if err != nil {
		t.Fatal(err)
	}
	return l, run(t, l)
}

func run(t *testing.T, l *Log) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { l.Run(ctx) })
	return func() { cancel(); all.Wait() }
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestLines has what the end of the process must not lose.
func TestLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, stop := start(t, path)
	l.Add(given)
	l.Add(Record{Time: given.Time, Event: "refused", Plugin: "bootloop", MAC: given.MAC, Reason: `not "its"`})
	stop()
	want := "before\n" + givenLine + `{"time":"2026-01-01T12:00:00.000005Z","event":"refused","plugin":"bootloop","mac":"02:00:00:00:00:01","reason":"not \"its\""}` + "\n"
	if diff := cmp.Diff(want, read(t, path)); diff != "" {
		t.Error(diff)
	}
}

// TestReopen has a file that is moved away, as logrotate does.
func TestReopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, stop := start(t, path)
	defer stop()
	l.Add(given)
	await(t, func() bool { return read(t, path) == givenLine })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	await(t, func() bool { _, err := os.Stat(path); return err == nil })
	l.Add(given)
	await(t, func() bool { return read(t, path) == givenLine })
	if got := read(t, path+".1"); got != givenLine {
		t.Errorf("the old file holds %q", got)
	}
}

func await(t *testing.T, is func() bool) {
	t.Helper()
	for range 1000 {
		if is() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("it did not happen within five seconds")
}

// TestLost has a writer that does not come along: nobody waits, and the file
// says how many lines it lacks.
func TestLost(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, err := Open(path, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	for range queueSize + 3 {
		l.Add(given)
	}
	if l.Lost() != 3 {
		t.Errorf("%d lost, want 3", l.Lost())
	}
	run(t, l)()
	text := read(t, path)
	if first, _, _ := strings.Cut(text, "\n"); first != `{"time":"2026-01-01T12:00:00.000005Z","event":"lost","lost":3}` {
		t.Errorf("first line: %s", first)
	}
	if n := strings.Count(text, "\n"); n != queueSize+1 {
		t.Errorf("%d lines, want %d", n, queueSize+1)
	}
}

// TestFull has a disk that is full: it is told once, and once that it is over.
func TestFull(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.Symlink("/dev/full", path); err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 10)
	l, err := Open(path, func(err error) { told <- err })
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, l)
	defer stop()
	l.Add(given)
	if err := <-told; err == nil || !strings.HasSuffix(err.Error(), "no space left on device") {
		t.Errorf("%v", err)
	}
	l.Add(given)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	if err := <-told; err != nil {
		t.Errorf("%v, want that it is over", err)
	}
	l.Add(given)
	await(t, func() bool { return strings.HasSuffix(read(t, path), givenLine) })
}

func TestNobody(t *testing.T) {
	t.Parallel()
	var l *Log
	l.Add(given)
	if l.Lost() != 0 {
		t.Error("something was lost")
	}
	if _, err := Open("/none/audit.log", nil); err == nil || err.Error() != "audit: open /none/audit.log: no such file or directory" {
		t.Error(err)
	}
}

// TestSync has what another process is to find in the file before it writes.
func TestSync(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, stop := start(t, path)
	defer stop()
	for range 100 {
		l.Add(given)
	}
	l.Sync()
	if got := strings.Count(read(t, path), givenLine); got != 100 {
		t.Errorf("%d lines", got)
	}
}

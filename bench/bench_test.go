package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/OpenCHAMI/coresmd/bench/load"
	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/google/go-cmp/cmp"
)

// TestMain lets this program be the crowd and the echo, as it does itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{"load", "echo", "gate"}, os.Args[1]) {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestCrowd has crowds meet the server that is there and an echo: each client
// gets the address that SMD has for it, each stranger one of its own, and every
// lease is counted.
func TestCrowd(t *testing.T) {
	t.Chdir("..")
	const known, strangers = 300, 200
	several := load.Crowd{Mode: load.Burst, Clients: known, Base: firstIP, Once: true, Retry: time.Second}
	others := load.Crowd{Mode: load.Burst, First: 1 << 24, Clients: strangers, Once: true, Retry: time.Second}
	err := perform(t.TempDir(), func(s *stage) error {
		open := duty{machines: known, strangers: true, refresh: time.Hour, inventory: newInventory(s, dhcptest.StartPostgres(s), 27779, known)}
		relayed := open
		relayed.relayed = true
		for _, c := range []struct {
			peer  peer
			scene scene
		}{
			{ours, scene{name: "direct", duty: open, crowds: crowds(several, others), limit: 30 * time.Second}},
			{ours, scene{name: "relayed", duty: relayed, crowds: crowds(several, others), limit: 30 * time.Second}},
			{echo, scene{name: "relayed", duty: relayed, crowds: crowds(several, others), limit: 30 * time.Second}},
		} {
			r, err := s.once(c.scene, c.peer)
			if err != nil {
				return fmt.Errorf("%s/%s: %w", c.scene.name, c.peer.name, err)
			}
			got := []int{r.Results[0].Leases, r.Results[0].Open, r.Results[1].Leases, r.Results[1].Open}
			if diff := cmp.Diff([]int{known, 0, strangers, 0}, got); diff != "" {
				t.Errorf("%s/%s: leases and open (-want +got):\n%s", c.scene.name, c.peer.name, diff)
			}
			if r.Results[0].Server <= 0 || r.Memory < 1e6 || r.Peak < r.Memory {
				t.Errorf("%s/%s: %+v", c.scene.name, c.peer.name, r)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestScenes: every scene is sound, and every number of a table and target is
// measured.
func TestScenes(t *testing.T) {
	l, err := openLedger(filepath.Join(t.TempDir(), "records"), "key")
	if err != nil {
		t.Fatal(err)
	}
	times := load.Times{P50: time.Millisecond, P99: 2 * time.Millisecond}
	for _, c := range scenes(1) {
		if c.duty.strangers && c.crowds[0].Base == nobody && c.crowds[0].Clients > addresses() {
			t.Errorf("%s: %d strangers, %d addresses", c.name, c.crowds[0].Clients, addresses())
		}
		for _, p := range c.plays(1) {
			results := make([]load.Result, len(c.crowds))
			for i := range results {
				results[i] = load.Result{Leases: 1000, Took: time.Second, Server: time.Second, Times: times, Calm: times, Busy: times}
			}
			if err := l.add(record{Scene: c.name, Peer: p.name, Round: 1, Results: results, Peak: 1e8}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, met, missed := judge(l); met+missed != len(targets) {
		t.Errorf("%d of %d targets have a number", met+missed, len(targets))
	}
	dir := t.TempDir()
	if err := writePage(options{docs: dir, rounds: 1}, l); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| relayed leases a second, against Kea | at least 5 x | 1.00 x | missed |",
		"| 10,000 at once, relayed: all have leases after | at most 1.0 s | 1.00 s | met |",
		"| Kea | 1000 | 1000 | 1.00 | 1000 | 1000 | 1000 | 1000 | 1.00 |",
	} {
		if !strings.Contains(string(text), want+"\n") {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// addresses is the size of the pool.
func addresses() int {
	n := 0
	for a := poolIP; a != poolEnd; a = a.Next() {
		n++
	}
	return n + 1
}

// TestLedger goes on where it was, unless the programs are others or the last
// line is cut off.
func TestLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records")
	l, err := openLedger(path, "a")
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		if err := l.add(record{Scene: "relayed", Peer: "kea", Round: round + 1, Memory: int64(10 * (round + 1))}); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[:len(text)-5], 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key  string
		want []bool
	}{{"a", []bool{true, true, false}}, {"b", []bool{false, false, false}}} {
		l, err := openLedger(path, c.key)
		if err != nil {
			t.Fatal(err)
		}
		got := []bool{l.has("relayed", "kea", 1), l.has("relayed", "kea", 2), l.has("relayed", "kea", 3)}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("key %s (-want +got):\n%s", c.key, diff)
		}
	}
	if got, _ := median(l.records, func(r record) float64 { return float64(r.Memory) }); got != 20 {
		t.Errorf("median %v, want 20", got)
	}
	if _, ok := median(nil, nil); ok {
		t.Error("a median of nothing")
	}
}

// TestRatio compares what was measured one after the other.
func TestRatio(t *testing.T) {
	l, err := openLedger(filepath.Join(t.TempDir(), "records"), "a")
	if err != nil {
		t.Fatal(err)
	}
	for round, leases := range [][2]int{{700, 100}, {400, 50}, {900, 150}, {100, 0}} {
		for i, p := range []peer{ours, kea} {
			if leases[i] == 0 {
				continue // it was interrupted then
			}
			if err := l.add(record{Scene: "direct", Peer: p.name, Round: round + 1, Results: []load.Result{{Leases: leases[i], Took: time.Second}}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, ok := ratio(rate, "direct", ours, kea)(l); got != 7 || !ok {
		t.Errorf("%v, %v, want 7", got, ok)
	}
	if _, ok := ratio(rate, "direct", ours, stock)(l); ok {
		t.Error("a ratio to nothing")
	}
}

func TestPlot(t *testing.T) {
	got := plot([]chart{{"Seconds", "s", []bar{{"coresmd", 0.5}, {"Kea", 16}}}})
	for _, want := range []string{`>0.50 s</text>`, `width="12.5" height="17" fill="#1f77b4"`, `width="400.0" height="17" fill="#b0b0b0"`, "</svg>\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// TestPerfdhcp reads what perfdhcp prints at its end.
func TestPerfdhcp(t *testing.T) {
	t.Parallel()
	const half = `***Statistics for: %s***
sent packets: %d
received packets: %d
drops: 9
drops ratio: 0.015 %%
orphans: 0
rejected leases: 0
non unique addresses: 0

min delay: 0.023 ms
avg delay: %s ms
max delay: 5.699 ms
std deviation: 0.310 ms
collected packets: 0

`
	first, second := fmt.Sprintf(half, "DISCOVER-OFFER", 6000, 5991, "0.129"), fmt.Sprintf(half, "REQUEST-ACK", 5991, 5990, "0.021")
	got, err := readExchanges([]byte("Running: perfdhcp\n***Rate statistics***\nRate: 1874.68\n" + first + second))
	if want := (exchanges{Asked: 11991, Answered: 11981, Delay: 150 * time.Microsecond}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if _, err := readExchanges([]byte("perfdhcp: no such option\n")); err == nil || err.Error() != "perfdhcp does not tell of two exchanges:\nperfdhcp: no such option\n" {
		t.Errorf("%v", err)
	}
}

// TestGate has a gate let a question through when it is open: at once until it
// is told a timetable, then in busy phases.
func TestGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var opens atomic.Pointer[timetable]
		asked, question := net.Pipe()
		heard, behind := net.Pipe()
		var said strings.Builder
		go lead(asked, behind, &opens, &said)
		room := make([]byte, 100)
		for _, c := range []struct {
			table *timetable
			want  time.Duration
		}{
			{nil, 0},
			{&timetable{began.Add(time.Second), load.Cycle{Calm: 2 * time.Second, Busy: time.Second, End: time.Second}}, 3 * time.Second},
			{&timetable{began, load.Cycle{Calm: 2 * time.Second, Busy: time.Second, End: time.Second}}, 6 * time.Second},
		} {
			opens.Store(c.table)
			if _, err := question.Write([]byte("GET /")); err != nil {
				t.Fatal(err)
			}
			n, err := heard.Read(room)
			if got := time.Since(began); err != nil || string(room[:n]) != "GET /" || got != c.want {
				t.Errorf("%q, %v after %v, want %v", room[:n], err, got, c.want)
			}
		}
		question.Close()
		synctest.Wait()
		if got, want := said.String(), strings.Repeat(passed, 2); got != want {
			t.Errorf("it said %q, want %q", got, want)
		}
	})
}

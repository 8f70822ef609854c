package coresmd

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/bootfile"
	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"
)

// try starts directives in one process and returns the last error.
func try(t *testing.T, directives ...string) (*logtest.Hook, error) {
	t.Helper()
	logger, hook := logtest.NewNullLogger()
	p := process.New()
	t.Cleanup(p.Stop)
	var last error
	for _, d := range directives {
		c, err := parse(strings.Fields(d))
		if err != nil {
			t.Fatal(err)
		}
		_, last = start(c, p, logrus.NewEntry(logger))
	}
	return hook, last
}

func messages(hook *logtest.Hook, level logrus.Level) []string {
	var list []string
	for _, e := range hook.AllEntries() {
		if e.Level == level {
			list = append(list, e.Message)
		}
	}
	return list
}

// takenPort returns a UDP port that somebody holds.
func takenPort(t *testing.T) int {
	t.Helper()
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.LocalAddr().(*net.UDPAddr).Port
}

// freePort returns a UDP port that nobody held a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

func TestTFTPPortTaken(t *testing.T) {
	t.Parallel()
	port := takenPort(t)
	folder := dhcptest.Inventory(t, testInterfaces, testComponents)
	_, err := try(t, fmt.Sprintf("svc_base_uri=file://%s ipxe_base_uri=http://bss tftp_port=%d", folder, port))
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf(":%d", port)) || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("%v, want an error with port %d", err, port)
	}
}

func TestCACertMissing(t *testing.T) {
	t.Parallel()
	_, err := try(t, "svc_base_uri=https://smd.example.org ipxe_base_uri=http://bss ca_cert=/none.pem tftp=off")
	if want := "coresmd: reading ca_cert: open /none.pem: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestDirectivesShare has two directives of one process.
func TestDirectivesShare(t *testing.T) {
	t.Parallel()
	asked := 0
	smd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "Components") {
			fmt.Fprint(w, testComponents)
			return
		}
		fmt.Fprint(w, testInterfaces)
	}))
	t.Cleanup(smd.Close)
	folder := t.TempDir()
	directive := func() string {
		return fmt.Sprintf("svc_base_uri=%s ipxe_base_uri=http://bss tftp_port=%d tftp_dir=%s", smd.URL, freePort(t), folder)
	}
	words := directive()
	hook, err := try(t, words, words+" lease_time=5m")
	if err != nil {
		t.Fatal(err)
	}
	if asked != 2 {
		t.Errorf("%d requests for one inventory, want 2", asked)
	}
	info := messages(hook, logrus.InfoLevel)
	if len(info) != 2 || !strings.HasPrefix(info[0], "coresmd version ") || info[1] != "inventory of "+smd.URL+": 8 machines, 4 faults" {
		t.Errorf("log: %q", info)
	}
	words = directive()
	_, err = try(t, words, strings.Replace(words, "tftp_dir=", "tftp_dir=/other", 1))
	if err == nil || !strings.HasPrefix(err.Error(), "coresmd: TFTP :") || !strings.Contains(err.Error(), "two directives of one process differ: tftp_dir=") {
		t.Errorf("other folder: %v", err)
	}
	words = directive()
	_, err = try(t, words, words+" cache_valid=5s")
	want := fmt.Sprintf("coresmd: inventory: two directives of one process differ: svc_base_uri=%s ca_cert= cache_valid=30s doubt=10m0s snapshot_file= lookup_wait=200ms answer_max=536870912, and svc_base_uri=%s ca_cert= cache_valid=5s doubt=10m0s snapshot_file= lookup_wait=200ms answer_max=536870912", smd.URL, smd.URL)
	if err == nil || err.Error() != want {
		t.Errorf("other cache_valid:\n%v, want\n%s", err, want)
	}
}

// TestInventoryReports has an inventory that goes away and comes back: each
// change of state is one line, and faults are told once.
func TestInventoryReports(t *testing.T) {
	t.Parallel()
	folder := dhcptest.Inventory(t, testInterfaces, testComponents)
	b := newBench(t, "svc_base_uri=file://"+folder, "ipxe_base_uri=http://bss", "cache_valid=1h")
	poll := func() { _ = b.plugin.cache.Refresh(t.Context()) }
	if err := os.Rename(filepath.Join(folder, "Components.json"), filepath.Join(folder, "away")); err != nil {
		t.Fatal(err)
	}
	poll()
	poll()
	if err := os.Rename(filepath.Join(folder, "away"), filepath.Join(folder, "Components.json")); err != nil {
		t.Fatal(err)
	}
	poll()
	dhcptest.WriteInventory(t, folder, `[]`, testComponents)
	poll()
	poll()
	dhcptest.WriteInventory(t, folder, testInterfaces, testComponents)
	poll()
	dhcptest.WriteInventory(t, folder, `[]`, testComponents)
	poll()
	_ = b.plugin.cache.Trust(t.Context())

	got := map[string][]string{}
	for _, level := range []logrus.Level{logrus.ErrorLevel, logrus.WarnLevel, logrus.InfoLevel} {
		got[level.String()] = messages(b.log, level)
	}
	got["info"] = got["info"][1:] // the version
	got["error"][0] = strings.ReplaceAll(got["error"][0], b.plugin.cache.Status().Loaded.Format("2006-01-02"), "DAY")
	before, after, _ := strings.Cut(got["error"][0], "DAY")
	got["error"][0] = before + after[strings.Index(after, " with"):]
	source := "file://" + folder
	doubt := fmt.Sprintf("%s has 0 machines where 8 were: not believed without a human; the inventory of before serves. If it is right: kill -USR1 %d", source, os.Getpid())
	want := map[string][]string{
		"error": {
			"inventory not refreshed, that of  with 8 machines goes on: reading inventory: stat " + folder + "/Components.json: no such file or directory",
			doubt, doubt,
		},
		"warning": {
			"inventory: 02:00:00:00:00:05 (x3000c0s1b0n0): no usable address",
			"inventory: 02-00-00-00-00-06 (x3000c0s1b0n0): no usable address",
			`inventory: 020000000007 (x3000c0s1b0n0): address set aside: "999.1.2.3" is not an IP address`,
			"inventory: 02:00:00:00:00:08: interface set aside: no component",
		},
		"info": {
			"inventory of " + source + ": 8 machines, 4 faults", source + " answers again",
			"inventory of " + source + " is believed again: 8 machines", "inventory of " + source + " is believed again: 0 machines",
			"inventory of " + source + ": 0 machines, 0 faults",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

// TestAllocations holds what a known DISCOVER may cost without its log line.
func TestAllocations(t *testing.T) { holdAllocations(t, known(t)) }

func holdAllocations(t *testing.T, b bench) {
	t.Helper()
	b.plugin.log.Logger.SetLevel(logrus.WarnLevel)
	req := dhcptest.Request4(t, node, discover, pxe(7), relay("192.0.2.254"), raw(82, 1, 4, 'e', 't', 'h', '0'))
	prepared, _ := dhcptest.Prepare4(req)
	dhcptest.ServerID("192.0.2.1")(req, prepared)
	if n := leastAllocs(func() { b.handle(req, prepared) }); n > 20 {
		t.Errorf("%v allocations, want at most 20", n)
	}
}

// TestTransferLines has the line of a TFTP request, and a name that would make
// lines of its own.
func TestTransferLines(t *testing.T) {
	t.Parallel()
	b := known(t)
	client := netip.MustParseAddrPort("192.0.2.11:2070")
	for _, c := range []struct {
		transfer bootfile.Transfer
		want     string
	}{
		{bootfile.Transfer{Client: client, Name: "undionly.kpxe", Sent: 9, Outcome: bootfile.Sent}, "info undionly.kpxe sent 9 <nil>"},
		{bootfile.Transfer{Client: client, Name: "x\" \nlevel=error\x1b", Outcome: bootfile.Missing, Err: errors.New("no \"x\"")}, `info x\" \nlevel=error\x1b missing 0 no \"x\"`},
		{bootfile.Transfer{Client: client, Name: "/autoexec.ipxe", Outcome: bootfile.Missing, Err: errors.New("none")}, "debug /autoexec.ipxe missing 0 none"},
		{bootfile.Transfer{Client: client, Name: "../etc/shadow", Outcome: bootfile.Refused, Err: errors.New("outside")}, "warning ../etc/shadow refused 0 outside"},
		{bootfile.Transfer{Client: client, Name: "size", Outcome: bootfile.Gone, Err: errors.New("aborted")}, "debug size gone 0 aborted"},
		{bootfile.Transfer{Client: client, Outcome: bootfile.Malformed, Err: errors.New("garbage")}, "debug  malformed 0 garbage"},
	} {
		b.plugin.transferred(c.transfer)
		e := b.log.LastEntry()
		got := fmt.Sprint(e.Level, " ", e.Data["file"], " ", e.Data["outcome"], " ", e.Data["octets"], " ", e.Data["reason"])
		if got != c.want || e.Data["client"] != "192.0.2.11:2070" {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// leastAllocs counts what f allocates: the least of a few runs, since the count
// has what goes on beside f too.
func leastAllocs(f func()) float64 {
	least := testing.AllocsPerRun(100, f)
	for range 4 {
		least = min(least, testing.AllocsPerRun(100, f))
	}
	return least
}

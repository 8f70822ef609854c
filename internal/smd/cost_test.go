package smd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	base "github.com/Cray-HPE/hms-base/v2"
	"github.com/OpenCHAMI/smd/v2/pkg/sm"
)

// costMachines is the size of the inventory that the cost is measured with.
const costMachines = 100_000

// large is an SMD with a large inventory that changes with every poll, unless
// it is told to stand still.
type large struct {
	polls atomic.Int64
	still bool
}

func (l *large) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	out := bytes.NewBuffer(make([]byte, 0, 64<<10))
	if strings.HasSuffix(r.URL.Path, "Components") {
		fmt.Fprint(w, `{"Components":[`)
		for i := range costMachines {
			fmt.Fprintf(out, `{"ID":%q,"Type":"Node","State":"Ready","Flag":"OK","Enabled":true,"Role":"Compute","NID":%d,"NetType":"Sling","Arch":"X86","Class":"River"},`, costID(i), i)
			flush(w, out)
		}
		fmt.Fprintf(w, `%s{"ID":"x0c0","Type":"Chassis"}]}`, out)
		return
	}
	if !l.still {
		l.polls.Add(1)
	}
	fmt.Fprint(w, "[")
	for i := range costMachines {
		fmt.Fprintf(out, `{"ID":"020000%06x","Description":"","MACAddress":"02:00:00:%02x:%02x:%02x","LastUpdate":"2026-01-02T03:04:05.%06dZ","ComponentID":%q,"Type":"Node","IPAddresses":[{"IPAddress":"10.%d.%d.%d","Network":""}]},`,
			i, i>>16, i>>8&255, i&255, i, costID(i), 1+i>>16, i>>8&255, i&255)
		flush(w, out)
	}
	fmt.Fprintf(w, `%s{"MACAddress":"02:00:01:00:00:01","ComponentID":"x0c0","IPAddresses":[{"IPAddress":"10.200.0.%d"}]}]`, out, 1+l.polls.Load()%250)
}

func flush(w io.Writer, out *bytes.Buffer) {
	if out.Len() > 60<<10 {
		_, _ = out.WriteTo(w)
	}
}

func costID(i int) string { return fmt.Sprintf("x%dc%ds%db%dn%d", i>>12, i>>9&7, i>>4&31, i>>1&7, i&1) }

// BenchmarkPoll has what a poll of a large inventory costs, in a process of its
// own beside its SMD: time, and the most memory the process ever held. naive
// reads both bodies whole and decodes them whole.
func BenchmarkPoll(b *testing.B) {
	for _, way := range []string{"unchanged", "changed", "restored", "naive"} {
		b.Run(way, func(b *testing.B) {
			for b.Loop() {
				took, peak := costOf(b, way)
				b.ReportMetric(float64(took.Milliseconds()), "ms/poll")
				b.ReportMetric(float64(peak>>20), "peak-MB")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// costOf polls in a child process and returns what a poll took and the peak of
// its memory.
func costOf(tb testing.TB, way string) (took time.Duration, peak int64) {
	tb.Helper()
	source := &large{still: way == "unchanged"}
	smd := httptest.NewServer(source)
	defer smd.Close()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(tb.TempDir(), "inventory.json")
	child := func() ([]byte, error) {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "COST_WAY="+way, "COST_SMD="+smd.URL, "COST_FILE="+file)
		return cmd.CombinedOutput()
	}
	out, err := child()
	if way == "restored" && err == nil {
		out, err = child()
	}
	match := regexp.MustCompile(`COST (\d+) (\d+)`).FindStringSubmatch(string(out))
	if err != nil || match == nil {
		tb.Fatalf("%v\n%s", err, out)
	}
	millis, _ := strconv.ParseInt(match[1], 10, 64)
	peak, _ = strconv.ParseInt(match[2], 10, 64)
	return time.Duration(millis) * time.Millisecond, peak
}

// TestMain is also the process whose cost is measured.
func TestMain(m *testing.M) {
	way := os.Getenv("COST_WAY")
	if way == "" {
		os.Exit(m.Run())
	}
	if err := cost(context.Background(), way); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// cost polls one way, and prints what a poll took and the peak of the memory.
func cost(ctx context.Context, way string) error {
	base, err := url.Parse(os.Getenv("COST_SMD"))
	if err != nil {
		return err
	}
	source, err := NewClient(base, Trust{})
	if err != nil {
		return err
	}
	switch way {
	case "naive":
		return repeat(naive(base.String()))
	case "restored":
		return restored(ctx, source)
	}
	cache := NewCache(Options{Source: source})
	return repeat(func() error { return cache.Refresh(ctx) })
}

// repeat polls some times and prints the mean of all polls but the first.
func repeat(poll func() error) error {
	const polls = 3
	var took time.Duration
	for i := range polls {
		began := time.Now()
		if err := poll(); err != nil {
			return err
		}
		if i > 0 {
			took += time.Since(began)
		}
	}
	return printCost(took / (polls - 1))
}

// restored has a process of its own start from a snapshot of the inventory and
// look at SMD then.
func restored(ctx context.Context, source Source) error {
	file := os.Getenv("COST_FILE")
	began := time.Now()
	cache := NewCache(Options{Source: source, Snapshot: &Snapshot{Path: file, Source: smdURL}})
	if err := cache.Restore(); err != nil {
		return err
	}
	took := time.Since(began)
	known := cache.Status().Machines
	if err := cache.Refresh(ctx); err != nil || known == 0 { // the first of two processes: it writes
		return err
	}
	return printCost(took)
}

func printCost(took time.Duration) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	match := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if match == nil {
		return errors.New("no VmHWM in /proc/self/status")
	}
	kilo, err := strconv.ParseInt(string(match[1]), 10, 64)
	fmt.Printf("COST %d %d\n", took.Milliseconds(), kilo<<10)
	return err
}

// naive polls as one would write it down.
func naive(smd string) func() error {
	index := map[string]sm.CompEthInterfaceV2{}
	get := func(path string, to any) error {
		resp, err := http.Get(smd + path)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		return json.Unmarshal(body, to)
	}
	return func() error {
		var interfaces []sm.CompEthInterfaceV2
		var components base.ComponentArray
		if err := get(interfacesPath, &interfaces); err != nil {
			return err
		}
		if err := get(componentsPath, &components); err != nil {
			return err
		}
		byID := map[string]*base.Component{}
		for _, c := range components.Components {
			byID[c.ID] = c
		}
		fresh := map[string]sm.CompEthInterfaceV2{}
		for _, i := range interfaces {
			if byID[i.CompID] != nil {
				fresh[i.MACAddr] = i
			}
		}
		index = fresh // the old one lived until now
		if len(index) == 0 {
			return io.ErrUnexpectedEOF
		}
		return nil
	}
}

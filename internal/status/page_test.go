package status

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// anOverview is one with a bit of everything.
func anOverview() Overview {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	loaded := now.Add(-3 * time.Second)
	event := func(n uint64, kind, message, verdict string) Happening {
		return Happening{Number: n, MAC: "02:00:00:00:00:01", ID: "x3000c0s0b0n0", Known: true, Event: Event{First: now, Last: now, Times: 1, Kind: kind, Message: message, Verdict: verdict}}
	}
	return Overview{
		Status: Status{
			Version: "1.0", Started: now.Add(-50 * time.Hour), Now: now, NotReady: []string{"no socket"},
			Inventory: Inventory{State: "stale", Loaded: &loaded, AgeSeconds: 3, Machines: 10}, Pools: []Pool{{Range: "192.0.2.200-192.0.2.209", Network: "192.0.2.0/24", Size: 10, Leased: 9}},
		},
		Boots: Boots{
			Steps: []StepCount{{Step: StepDiscover, Machines: 3, Stuck: 2}, {Step: StepScript, Machines: 4}}, Stuck: 2, Silent: 3, Total: 7,
			Machines: []Boot{{
				MAC: "02:00:00:00:00:01", ID: "x3000c0s0b0n0", Hostname: "nid0001", Address: "192.0.2.11", Step: StepDiscover, Last: now.Add(-time.Minute),
				Tries: 3, Stuck: true, StuckSeconds: 3725, Hint: "it hears nothing", Mend: "listen",
			}},
		},
		Unknown: Unknown{Total: 2, Machines: []History{{MAC: "02:00:00:00:00:99", First: now.Add(-90 * time.Second), Last: now, Giaddr: "192.0.2.254", CircuitID: "swp1", Class: "PXEClient", Hostname: "<b>me</b>"}}},
		Faults:  Faults{Total: 1, Faults: []Fault{{Severity: "error", Kind: "no-address", MAC: "02:00:00:00:00:05", ID: "x3000c0s5b0n0", Reason: "no usable address", Mend: "curl"}}},
		Events:  []Happening{event(2, "tftp", "", "missing"), event(1, "exchange", "DISCOVER", "OFFER")},
	}
}

func visit(t *testing.T, s *Server, target string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), "GET", target, nil)
	req.Host = "127.0.0.1"
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, req)
	return rec
}

// TestPage has the whole page, with and without a machine that was looked for.
func TestPage(t *testing.T) {
	t.Parallel()
	nid := uint64(0)
	s := New(Options{
		Overview: func(context.Context) Overview { return anOverview() },
		Search: func(_ context.Context, word string) Search {
			found := Search{Word: word, At: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)}
			switch word {
			case "broken":
				found.Err = errors.New("nobody to ask")
			case "one":
				found.One = &Explanation{
					Query: Query{Machine: word}, MAC: "02:00:00:00:00:01", Findings: []Finding{{Severity: "error", Text: "it is off", Mend: "switch it on"}},
					Machine: &Machine{ID: "x3000c0s0b0n0", Type: "Node", NID: &nid, Addresses: []string{"192.0.2.11"}},
					Rules:   []Rule{{Text: "type:Node", Result: "missed", Key: "type", Have: "NodeBMC", Want: "Node"}}, Reply: []Option{{Code: 1, Name: "Subnet Mask", Value: "255.255.255.0"}},
				}
			default:
				found.Found = make([]Machine, PageFound+1)
			}
			return found
		},
	})
	var text strings.Builder
	for _, target := range []string{"/", "/?machine=one", "/?machine=broken"} {
		rec := visit(t, s, target)
		fmt.Fprintf(&text, "== %s %d\n%s", target, rec.Code, rec.Body)
		for name, want := range map[string]string{
			"Content-Type": "text/html; charset=utf-8", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		} {
			if got := rec.Header().Get(name); got != want {
				t.Errorf("%s: %s: %q, want %q", target, name, got, want)
			}
		}
	}
	dhcptest.Golden(t, "page", text.String())
	many := visit(t, s, "/?machine=many").Body.String()
	if rows := strings.Count(many, `<td data-of="Name">`); rows != PageFound || !strings.Contains(many, "<h2>50 of more machines that fit") {
		t.Errorf("%d rows:\n%s", rows, many)
	}
	for target, want := range map[string]string{"/page.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8"} {
		if rec := visit(t, s, target); rec.Code != 200 || rec.Header().Get("Content-Type") != want || rec.Body.Len() < 1000 {
			t.Errorf("%s: %d %v", target, rec.Code, rec.Header())
		}
	}
}

// TestLook has many readers at once: the server is looked at once for all.
func TestLook(t *testing.T) {
	t.Parallel()
	var looks atomic.Int32
	s := New(Options{Overview: func(context.Context) Overview { looks.Add(1); return anOverview() }})
	s.page.at = time.Now().Add(time.Hour) // so that what is seen stays young
	var readers sync.WaitGroup
	for range 20 {
		readers.Go(func() {
			if rec := visit(t, s, "/"); rec.Code != 200 {
				t.Error(rec.Code)
			}
		})
	}
	readers.Wait()
	if n := looks.Load(); n != 1 {
		t.Errorf("%d looks, want 1", n)
	}
	s.page.at = time.Now().Add(-time.Second)
	visit(t, s, "/")
	if n := looks.Load(); n != 2 {
		t.Errorf("%d looks, want another one", n)
	}
}

func TestLasts(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[float64]string{
		-1: "never", 0: "0s", 59.9: "59s", 61: "1m1s", 3600: "1h0m", 86400: "24h0m", 200000: "2d7h",
	} {
		if got := lasts(seconds); got != want {
			t.Errorf("%v: %s, want %s", seconds, got, want)
		}
	}
}

// A board is a list of events that readers follow.
type board struct {
	mu   sync.Mutex
	last uint64
}

func (b *board) add(n uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last += n
}

func (b *board) events(after uint64, most int) Events {
	b.mu.Lock()
	defer b.mu.Unlock()
	answer := Events{Events: []Happening{}, Last: b.last}
	for n := max(after, b.last-min(b.last, uint64(most))) + 1; n <= b.last; n++ {
		answer.Events = append(answer.Events, Happening{Number: n})
	}
	if b.last > after {
		answer.LeftOut = b.last - after - uint64(len(answer.Events))
	}
	return answer
}

// A reader follows events.
type reader struct {
	t    *testing.T
	resp *http.Response
	text *bufio.Scanner
}

func follow(t *testing.T, addr, query, lastID string) *reader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+PathEvents+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return &reader{t, resp, bufio.NewScanner(resp.Body)}
}

// next returns the next message but ticks: its number, and the events in it.
func (r *reader) next() string {
	r.t.Helper()
	for r.text.Scan() {
		if r.text.Text() != "event: events" || !r.text.Scan() {
			continue
		}
		id := strings.TrimPrefix(r.text.Text(), "id: ")
		r.text.Scan()
		data := strings.TrimPrefix(r.text.Text(), "data: ")
		if !r.text.Scan() {
			return "over" // a message ends with an empty line
		}
		var events Events
		if err := json.Unmarshal([]byte(data), &events); err != nil {
			r.t.Fatal(err)
		}
		list := make([]uint64, 0, len(events.Events))
		for _, e := range events.Events {
			list = append(list, e.Number)
		}
		if len(list) > 3 {
			list = []uint64{list[0], list[len(list)-1]}
		}
		return fmt.Sprintf("%s: %v, %d left out", id, list, events.LeftOut)
	}
	return "over"
}

// serveBoard runs a server that tells of a board.
func serveBoard(t *testing.T, b *board) (addr string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() {
		if err := New(Options{Events: b.events}).Run(ctx, l); err != nil {
			t.Error(err)
		}
	})
	stop = func() { cancel(); run.Wait() }
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

// TestStream has readers that begin now, that begin with the past, and that
// come back; and the end of the server.
func TestStream(t *testing.T) {
	t.Parallel()
	b := &board{last: 7}
	addr, stop := serveBoard(t, b)
	now, past, back := follow(t, addr, "", ""), follow(t, addr, "?after=5", ""), follow(t, addr, "?after=0", "6")
	if got := past.next(); got != "7: [6 7], 0 left out" {
		t.Error(got)
	}
	if got := back.next(); got != "7: [7], 0 left out" {
		t.Error(got)
	}
	b.add(1)
	for name, r := range map[string]*reader{"now": now, "past": past, "back": back} {
		if got := r.next(); got != "8: [8], 0 left out" {
			t.Errorf("%s: %s", name, got)
		}
	}
	if now.resp.Header.Get("Content-Type") != "text/event-stream" || now.resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", now.resp.Header)
	}
	b.add(1000)
	if got := now.next(); got != "1008: [909 1008], 900 left out" {
		t.Error(got)
	}
	stop()
	if got := past.next(); got != "1008: [909 1008], 900 left out" && got != "over" {
		t.Error(got)
	}
	if got := past.next(); got != "over" {
		t.Error(got)
	}
}

// TestStreamLimits has too many readers, wrong words, and one who leaves.
func TestStreamLimits(t *testing.T) {
	t.Parallel()
	addr, _ := serveBoard(t, &board{})
	if r := follow(t, addr, "?after=x", ""); r.resp.StatusCode != 400 {
		t.Error(r.resp.Status)
	}
	if r := follow(t, addr, "?since=1", ""); r.resp.StatusCode != 400 {
		t.Error(r.resp.Status)
	}
	readers := make([]*reader, 0, maxStreams)
	for range maxStreams {
		readers = append(readers, follow(t, addr, "", ""))
	}
	if r := follow(t, addr, "", ""); r.resp.StatusCode != 503 {
		t.Error(r.resp.Status)
	}
	readers[3].resp.Body.Close()
	dhcptest.Eventually(t, 20*time.Second, func() error {
		if r := follow(t, addr, "", ""); r.resp.StatusCode != 200 {
			return errors.New(r.resp.Status)
		}
		return nil
	})
}

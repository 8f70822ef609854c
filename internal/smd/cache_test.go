package smd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// script is a source that plays a list of answers, the last one for ever.
type script struct {
	mu    sync.Mutex
	steps []step
	asked []time.Time
}

type step struct {
	interfaces string
	err        error
}

func (s *script) Fetch(context.Context) (Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, time.Now())
	now := s.steps[0]
	if len(s.steps) > 1 {
		s.steps = s.steps[1:]
	}
	return Answer{NewBody([]byte(now.interfaces)), NewBody([]byte(components))}, now.err
}

func nics(last ...int) string {
	var records []string
	for _, n := range last {
		records = append(records, fmt.Sprintf(`{"MACAddress":"02:00:00:00:00:%02x","ComponentID":"x3000c0s0b0n0","IPAddresses":[{"IPAddress":"192.0.2.%d"}]}`, n, n))
	}
	return "[" + strings.Join(records, ",") + "]"
}

var errDown = errors.New("down")

// TestRefresh has the polls of a cache one after the other: what each says,
// and whether a machine is known behind it.
func TestRefresh(t *testing.T) {
	t.Parallel()
	spaced := strings.ReplaceAll(nics(1, 2), ",{", " , {")
	broken := strings.Replace(nics(1, 2, 3), "192.0.2.3", "999", 1)
	source := &script{steps: []step{
		{err: errDown},
		{interfaces: nics(1, 2)},
		{interfaces: nics(1, 2)},
		{interfaces: spaced},
		{err: errDown},
		{interfaces: "null"},
		{interfaces: broken},
		{interfaces: broken + " "},
		{interfaces: nics(2, 3)},
	}}
	type seen struct {
		Err              string
		Changed          bool
		Machines, Faults int
		NewFaults        int
		Known            bool
	}
	var got []seen
	var cache *Cache
	cache = NewCache(Options{Source: source, OnPoll: func(p Poll) {
		known := cache.Lookup(MAC{2, 0, 0, 0, 0, 1}).Known
		s := seen{"", p.Changed, p.Machines, p.Faults, len(p.NewFaults), known}
		if p.Err != nil {
			s.Err = p.Err.Error()
		}
		got = append(got, s)
	}})
	for range 9 {
		_ = cache.Refresh(t.Context())
	}
	const nid = 1 // x3000c0s3b0n0 has a NID that is no number
	want := []seen{
		{"down", false, 0, 0, 0, false},
		{"", true, 2, nid, nid, true},
		{"", false, 2, nid, 0, true},     // the same octets
		{"", false, 2, nid, 0, true},     // other octets, the same machines
		{"down", false, 2, nid, 0, true}, // what was there stays
		{`collection EthernetInterfaces: null where a list belongs: "null"`, false, 2, nid, 0, true},
		{"", true, 3, nid + 2, 2, true},
		{"", false, 3, nid + 2, 0, true}, // a fault is new only once
		{"", true, 2, nid, 0, false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("polls (-want +got):\n%s", diff)
	}
}

// A telling source tells when it is asked.
type telling struct {
	script
	tell func()
}

func (s *telling) Fetch(ctx context.Context) (Answer, error) {
	s.tell()
	return s.script.Fetch(ctx)
}

// TestSecondProcessor has polls hold the second processor from before they ask
// until they are told of, whatever came of them.
func TestSecondProcessor(t *testing.T) {
	t.Parallel()
	var got []string
	note := func(what string) { got = append(got, what) }
	cache := NewCache(Options{
		Source:          &telling{script{steps: []step{{interfaces: nics(1)}, {err: errDown}}}, func() { note("asked") }},
		SecondProcessor: func() (release func()) { note("held"); return func() { note("released") } },
		OnPoll:          func(p Poll) { note(p.Outcome.String()) },
	})
	for range 2 {
		_ = cache.Refresh(t.Context())
	}
	want := []string{"held", "asked", "changed", "released", "held", "asked", "failed", "released"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestRun has the times of the polls: doubling waits after a failure, the
// interval, a little shortened, after success.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := step{err: errDown}
		source := &script{steps: []step{down, down, down, down, down, down, {interfaces: nics(1)}}}
		cache := NewCache(Options{Source: source, Interval: 10 * time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		_ = cache.Refresh(ctx)
		done := make(chan error, 1)
		go func() { done <- cache.Run(ctx) }()
		time.Sleep(3 * time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		var waits []time.Duration
		for i := range 6 {
			waits = append(waits, source.asked[i+1].Sub(source.asked[i]))
		}
		want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 10 * time.Second, 10 * time.Second}
		if diff := cmp.Diff(want, waits); diff != "" {
			t.Errorf("waits after failures (-want +got):\n%s", diff)
		}
		for i := 7; i < len(source.asked); i++ {
			if wait := source.asked[i].Sub(source.asked[i-1]); wait < 9*time.Second || wait > 10*time.Second {
				t.Errorf("wait %v, want between 9 and 10 s", wait)
			}
		}
		if n := len(source.asked); n < 20 {
			t.Errorf("%d polls in 3 minutes", n)
		}
	})
}

// TestConcurrent has handlers read while polls swap.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	cache := NewCache(Options{Source: &script{steps: []step{{interfaces: nics(1)}}}})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				_ = cache.Refresh(t.Context())
				if m := cache.Lookup(MAC{2, 0, 0, 0, 0, 1}); !m.Known || len(m.Addrs) != 1 {
					t.Errorf("machine %+v", m)
				}
				cache.Status()
			}
		})
	}
	wg.Wait()
}

func BenchmarkLookup(b *testing.B) {
	index := make(Index)
	for i := range 100_000 {
		mac := MAC{2, 0, 0, byte(i >> 16), byte(i >> 8), byte(i)}
		index[mac] = &Machine{MAC: mac, Addrs: addrs("192.0.2.1")}
	}
	cache := &Cache{index: index}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if m := cache.Lookup(MAC{2, 0, 0, byte(i >> 16 & 1), byte(i >> 8), byte(i)}); !m.Known {
				b.Fail()
			}
		}
	})
}

// TestNewState has a component whose state alone changes: it is served, and is
// no news.
func TestNewState(t *testing.T) {
	t.Parallel()
	const component = `{"Components":[{"ID":"x3000c0s0b0n0","Type":"Node","State":"%s"}]}`
	source := &asked{script: script{steps: []step{{interfaces: nics(1)}}}}
	var news []bool
	cache := NewCache(Options{Source: source, OnPoll: func(p Poll) { news = append(news, p.Changed) }})
	for _, state := range []string{"Off", "Ready"} {
		source.first = fmt.Sprintf(component, state)
		if err := cache.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := cache.Lookup(number(1)).Traits.State; got != state {
			t.Errorf("state %q, want %q", got, state)
		}
	}
	if diff := cmp.Diff([]bool{true, false}, news); diff != "" {
		t.Errorf("news (-want +got):\n%s", diff)
	}
}

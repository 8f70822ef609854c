package smd

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/OpenCHAMI/smd/v2/pkg/sm"
	"github.com/google/go-cmp/cmp"
)

// register is an SMD of the tests that can be asked for single machines.
type register struct {
	mu         sync.Mutex
	have       []int         // last octets of the machines
	took       time.Duration // of a question
	err        error
	unfiltered bool // the filter is ignored
	refused    bool // ids that are no xnames are refused
	questions  [][]MAC
	components int // questions for components
}

func (r *register) Fetch(context.Context) (Answer, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Answer{NewBody([]byte(nics(r.have...))), NewBody([]byte(components))}, r.err
}

func (r *register) Interfaces(ctx context.Context, macs []MAC) (Body, error) {
	r.mu.Lock()
	r.questions = append(r.questions, macs)
	have, took, err, all := r.have, r.took, r.err, r.unfiltered
	r.mu.Unlock()
	if !sleep(ctx, took) {
		return Body{}, ctx.Err()
	}
	have = slices.DeleteFunc(slices.Clone(have), func(n int) bool {
		return !all && !slices.Contains(macs, MAC{2, 0, 0, 0, 0, byte(n)})
	})
	records := nics(have...)
	if r.refused {
		records = strings.Replace(records, "x3000c0s0b0n0", "no xname", 1)
	}
	return NewBody([]byte(records)), err
}

func (r *register) Components(_ context.Context, ids []string) (Body, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.components++
	if r.refused && slices.Contains(ids, "no xname") {
		return Body{}, &statusError{http.StatusBadRequest, "400 Bad Request"}
	}
	return NewBody([]byte(components)), nil
}

// pulling runs a test on a cache that loaded an inventory with one machine,
// number 1.
func pulling(t *testing.T, test func(t *testing.T, r *register, c *Cache)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &register{have: []int{1}}
		cache := NewCache(Options{Source: r, Interval: time.Hour, PullWait: 200 * time.Millisecond})
		_ = cache.Refresh(t.Context())
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { _ = cache.Run(ctx) })
		test(t, r, cache)
		cancel()
		run.Wait()
	})
}

func number(n int) MAC { return MAC{2, 0, 0, 0, byte(n >> 8), byte(n)} }

// pull says what came of asking for a machine and how long it took.
func pull(c *Cache, n int) string {
	began := time.Now()
	found, outcome := c.Pull(number(n))
	return fmt.Sprintf("%v %v %v", outcome, found.Known, time.Since(began))
}

// TestPull has a machine that SMD learns of after the poll.
func TestPull(t *testing.T) {
	t.Parallel()
	pulling(t, func(t *testing.T, r *register, c *Cache) {
		got := []string{pull(c, 2), pull(c, 2)}
		r.have = []int{1, 2, 3}
		got = append(got, pull(c, 2))
		time.Sleep(2 * time.Second)
		got = append(got, pull(c, 2), pull(c, 2))
		want := []string{"absent false 3ms", "remembered false 0s", "remembered false 0s", "found true 3ms", "found true 0s"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("pulls (-want +got):\n%s", diff)
		}
		if c.Lookup(number(3)).Known {
			t.Error("a machine that nobody asked for")
		}
		if m := c.Lookup(number(2)); m.NIC != 1 {
			t.Errorf("place %d among the interfaces of its node, want 1", m.NIC)
		}
		if !c.Claims(addrs("192.0.2.2")[0]) {
			t.Error("its address is not claimed")
		}
		r.have = []int{1}
		_ = c.Refresh(t.Context())
		if c.Lookup(number(2)).Known || c.Claims(addrs("192.0.2.2")[0]) {
			t.Error("a pulled machine that is gone from SMD goes on after a poll")
		}
	})
}

// TestPullBMC has a BMC that SMD is asked for: its first node is asked for with
// it, whose number it has. One without a node that SMD knows has none.
func TestPullBMC(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{"x3000c0s0b0": "1 true", "x3000c0s9b0": "0 false"} {
		asked := &listing{text: `{"Components":[{"ID":"x3000c0s0b0n0","Type":"Node","NID":1},{"ID":"x3000c0s0b0","Type":"NodeBMC"},{"ID":"x3000c0s9b0","Type":"NodeBMC"}]}`}
		ix, err := join(t.Context(), asked, []sm.CompEthInterfaceV2{{MACAddr: number(9).String(), CompID: id, Type: "NodeBMC"}})
		if err != nil {
			t.Fatal(err)
		}
		m := ix.index[number(9)]
		if got := fmt.Sprint(m.NID, m.HasNID); got != want {
			t.Errorf("%s: number %s, want %s", id, got, want)
		}
		if diff := cmp.Diff([]string{id, id + "n0"}, asked.ids); diff != "" {
			t.Errorf("asked for (-want +got):\n%s", diff)
		}
	}
}

// listing is an SMD with these components, which notes what it is asked for.
type listing struct {
	register
	text string
	ids  []string
}

func (l *listing) Components(_ context.Context, ids []string) (Body, error) {
	l.ids = append(l.ids, ids...)
	return NewBody([]byte(l.text)), nil
}

// TestPullTogether has many packets at once: each machine is asked for once.
func TestPullTogether(t *testing.T) {
	t.Parallel()
	pulling(t, func(t *testing.T, r *register, c *Cache) {
		r.have = []int{1, 7}
		var packets sync.WaitGroup
		for i := range 450 {
			packets.Go(func() {
				if _, outcome := c.Pull(number(2 + i%150)); (outcome == Found) != (i%150 == 5) {
					t.Errorf("machine %d: %v", 2+i%150, outcome)
				}
			})
		}
		packets.Wait()
		asked := map[MAC]int{}
		for _, q := range r.questions {
			if len(q) > batchSize {
				t.Errorf("%d machines in a question", len(q))
			}
			for _, mac := range q {
				asked[mac]++
			}
		}
		if len(r.questions) != 2 || len(asked) != 150 || r.components != 1 {
			t.Errorf("%d questions for %d machines, %d for components; want 2, 150, 1", len(r.questions), len(asked), r.components)
		}
	})
}

// TestPullFlood has a storm of strangers: questions, waiting packets and memory
// are bounded, whether SMD answers, hangs or is gone.
func TestPullFlood(t *testing.T) {
	t.Parallel()
	const seconds, rate = 5, 5000
	for name, c := range map[string]struct {
		took      time.Duration
		err       error
		questions int
	}{
		"answers": {time.Millisecond, nil, (seconds + 1) * 20},
		"hangs":   {time.Hour, nil, 1},
		"is gone": {0, errDown, seconds},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pulling(t, func(t *testing.T, r *register, cache *Cache) {
				r.took, r.err = c.took, c.err
				var packets sync.WaitGroup
				var mu sync.Mutex
				got := map[Pulled]int{}
				most := 0
				for i := range seconds * rate {
					time.Sleep(time.Second / rate)
					packets.Go(func() {
						_, outcome := cache.Pull(MAC{2, 1, 0, byte(i >> 16), byte(i >> 8), byte(i)})
						mu.Lock()
						defer mu.Unlock()
						got[outcome]++
					})
					cache.puller.mu.Lock()
					most = max(most, cache.puller.waiting, len(cache.puller.misses)-batchSize)
					cache.puller.mu.Unlock()
				}
				packets.Wait()
				t.Logf("%d strangers in %d s: %v, %d questions, %d waiting at most", seconds*rate, seconds, got, len(r.questions), most)
				if n := len(r.questions); n > c.questions+1 {
					t.Errorf("%d questions, want at most %d", n, c.questions+1)
				}
				if most > pullWaiting {
					t.Errorf("%d packets waited, want at most %d", most, pullWaiting)
				}
				m := &cache.puller.absent
				if n := len(m.young) + len(m.old); n > 2*memorySize {
					t.Errorf("%d machines remembered", n)
				}
			})
		})
	}
}

// TestPullPatience has SMD be slow, gone, and back.
func TestPullPatience(t *testing.T) {
	t.Parallel()
	pulling(t, func(t *testing.T, r *register, c *Cache) {
		r.have, r.took = []int{1, 2, 3}, 300*time.Millisecond
		got := []string{pull(c, 2)}
		time.Sleep(200 * time.Millisecond)
		got = append(got, fmt.Sprint("later ", c.Lookup(number(2)).Known))
		time.Sleep(time.Second)
		r.took, r.err = 0, errDown
		got = append(got, pull(c, 3), pull(c, 3))
		r.err = nil
		time.Sleep(time.Second)
		got = append(got, pull(c, 3))
		want := []string{"late false 200ms", "later true", "unanswered false 3ms", "unanswered false 0s", "found true 3ms"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("pulls (-want +got):\n%s", diff)
		}
	})
}

// TestPullUnfiltered has a service that ignores what was asked for: it is asked
// so once, and its answer is a poll.
func TestPullUnfiltered(t *testing.T) {
	t.Parallel()
	pulling(t, func(t *testing.T, r *register, c *Cache) {
		r.unfiltered = true
		r.have = []int{1, 2, 3}
		got := []string{pull(c, 2), pull(c, 4)}
		if diff := cmp.Diff([]string{"found true 3ms", "not asked false 0s"}, got); diff != "" {
			t.Errorf("pulls (-want +got):\n%s", diff)
		}
		if s := c.Status(); s.Machines != 3 || len(r.questions) != 1 {
			t.Errorf("%d machines after %d questions, want 3 after 1", s.Machines, len(r.questions))
		}
	})
	pulling(t, func(t *testing.T, r *register, c *Cache) {
		r.have = []int{1, 2, 3, 4, 5}
		_ = c.Refresh(t.Context())
		r.unfiltered, r.have = true, []int{9}
		pull(c, 6)
		if s := c.Status(); s.State != InDoubt || s.Machines != 5 {
			t.Errorf("what everything shrank to was believed: %+v", s)
		}
	})
}

// TestPullBadID has a component id that SMD refuses among others.
func TestPullBadID(t *testing.T) {
	t.Parallel()
	pulling(t, func(t *testing.T, r *register, c *Cache) {
		r.refused, r.have = true, []int{1, 2, 3}
		var packets sync.WaitGroup
		got := make([]Pulled, 2)
		for i := range got {
			packets.Go(func() { _, got[i] = c.Pull(number(2 + i)) })
		}
		packets.Wait()
		if diff := cmp.Diff([]Pulled{Absent, Found}, got); diff != "" {
			t.Errorf("one of two with a good component (-want +got):\n%s", diff)
		}
	})
}

// TestPullOff has sources and settings without pull-through.
func TestPullOff(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]*Cache{
		"a file": NewCache(Options{Source: Folder{t.TempDir()}, PullWait: time.Second}),
		"0":      NewCache(Options{Source: &register{}}),
	} {
		if _, outcome := c.Pull(number(1)); outcome != NotAsked {
			t.Errorf("%s: %v", name, outcome)
		}
	}
}

// TestQuery has what is asked of SMD's API.
func TestQuery(t *testing.T) {
	t.Parallel()
	var query string
	c := answers(t, func(w http.ResponseWriter, r *http.Request) {
		query = r.URL.RawQuery
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, "[]")
	})
	if _, err := c.Interfaces(t.Context(), []MAC{number(1), number(2)}); err != nil {
		t.Fatal(err)
	}
	if want := "MACAddress=02%3A00%3A00%3A00%3A00%3A01&MACAddress=02%3A00%3A00%3A00%3A00%3A02"; query != want {
		t.Errorf("%s, want %s", query, want)
	}
}

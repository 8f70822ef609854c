package lease

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// holds notes when something is held and released.
type holds struct {
	mu    sync.Mutex
	began time.Time
	times []string // guarded by mu
}

func (h *holds) note(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.times = append(h.times, time.Since(h.began).String()+" "+what)
}

func (h *holds) hold() (release func()) {
	h.note("hold")
	return func() { h.note("release") }
}

// A second processor is held from the beginning of a commit, however long it
// takes, until a second after the last one; then again at the next.
func TestSpare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		held := &holds{began: time.Now()}
		g, opts := newGate(), options(newClock())
		opts.SecondProcessor = held.hold
		tab := inMemory(t, opts, g.commit)
		for n, c := range []struct{ wait, commit time.Duration }{
			{time.Second, 5 * time.Second},         // until 6 s
			{900 * time.Millisecond, time.Second},  // 6.9 s to 7.9 s
			{900 * time.Millisecond, 0},            // 8.8 s
			{1500 * time.Millisecond, time.Second}, // 10.3 s to 11.3 s
		} {
			time.Sleep(c.wait)
			done := confirm(t, tab, mac(n))
			<-g.batches
			time.Sleep(c.commit)
			g.answer <- nil
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		tab.Close()
		time.Sleep(time.Minute)
		held.mu.Lock()
		defer held.mu.Unlock()
		want := []string{"1s hold", "9.8s release", "10.3s hold", "12.3s release"}
		if !slices.Equal(held.times, want) {
			t.Errorf("%q, want %q", held.times, want)
		}
	})
}

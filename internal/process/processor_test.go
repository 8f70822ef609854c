package process

import (
	"runtime"
	"sync"
	"testing"
)

// TestSecondProcessor has some hold the second processor: each step is a hold,
// a release, or a number that somebody else sets. The tests in this file are
// alone: the number is that of the whole program.
func TestSecondProcessor(t *testing.T) {
	type step struct {
		hold, release string // whose
		set           int
		want          int
	}
	for name, c := range map[string]struct {
		processors int
		steps      []step
	}{
		"one holder": {1, []step{{hold: "a", want: 2}, {release: "a", want: 1}, {hold: "b", want: 2}, {release: "b", want: 1}}},
		"several": {1, []step{
			{hold: "a", want: 2},
			{hold: "b", want: 2},
			{release: "a", want: 2},
			{hold: "c", want: 2},
			{release: "b", want: 2},
			{release: "c", want: 1},
		}},
		"released twice": {1, []step{
			{hold: "a", want: 2},
			{hold: "b", want: 2},
			{release: "a", want: 2},
			{release: "a", want: 2},
			{release: "b", want: 1},
			{release: "b", want: 1},
			{hold: "c", want: 2},
			{release: "a", want: 2},
			{release: "c", want: 1},
		}},
		"two are there":  {2, []step{{hold: "a", want: 2}, {release: "a", want: 2}}},
		"many are there": {4, []step{{hold: "a", want: 4}, {hold: "b", want: 4}, {release: "a", want: 4}, {release: "b", want: 4}}},
		"set to more meanwhile": {1, []step{
			{hold: "a", want: 2},
			{set: 3, want: 3},
			{hold: "b", want: 3},
			{release: "a", want: 3},
			{release: "b", want: 3},
			{hold: "c", want: 3},
			{release: "c", want: 3},
			{set: 2, want: 2},
			{hold: "d", want: 2},
			{release: "d", want: 2},
		}},
		"set to one meanwhile": {1, []step{
			{hold: "a", want: 2}, {set: 1, want: 1}, {hold: "b", want: 2}, {release: "a", want: 2}, {release: "b", want: 1},
		}},
		"one after many": {4, []step{
			{hold: "a", want: 4}, {set: 1, want: 1}, {hold: "b", want: 2}, {release: "b", want: 2}, {release: "a", want: 1},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(c.processors))
			p, held := New(), make(map[string]func())
			for i, s := range c.steps {
				switch {
				case s.hold != "":
					held[s.hold] = p.SecondProcessor()
				case s.release != "":
					held[s.release]()
				default:
					runtime.GOMAXPROCS(s.set)
				}
				if got := runtime.GOMAXPROCS(0); got != s.want {
					t.Fatalf("step %d %+v: %d processors", i, s, got)
				}
			}
		})
	}
}

// TestSecondProcessors has many come and go at once: whoever holds it has two.
func TestSecondProcessors(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	p := New()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				release := p.SecondProcessor()
				if got := runtime.GOMAXPROCS(0); got != 2 {
					t.Errorf("%d processors for a holder", got)
				}
				release()
			}
		})
	}
	all.Wait()
	if got := runtime.GOMAXPROCS(0); got != 1 {
		t.Errorf("%d processors in the end", got)
	}
}

// TestProcessors counts them without the one that is held, unless somebody else
// has set another number.
func TestProcessors(t *testing.T) {
	for _, c := range []struct{ there, set, want int }{{1, 0, 1}, {2, 0, 2}, {4, 0, 4}, {1, 3, 3}} {
		usual := runtime.GOMAXPROCS(c.there)
		p := New()
		release := p.SecondProcessor()
		if c.set > 0 {
			runtime.GOMAXPROCS(c.set)
		}
		if got := p.Processors(); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
		release()
		if got := p.Processors(); got != c.want {
			t.Errorf("%+v: %d after it", c, got)
		}
		runtime.GOMAXPROCS(usual)
	}
}

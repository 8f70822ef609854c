package lease

import (
	"runtime"
	"testing"
	"time"
)

// With one processor there are two while a lease is written, and one again soon
// after. This test is alone: the number is that of the whole process.
func TestSpare(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	g := newGate()
	tab := inMemory(t, options(newClock()), g.commit)
	for n := range 2 {
		done := confirm(t, tab, mac(n))
		<-g.batches
		if got := runtime.GOMAXPROCS(0); got != 2 {
			t.Errorf("%d processors while a lease is written", got)
		}
		g.answer <- nil
		if err := <-done; err != nil {
			t.Error(err)
		}
		deadline := time.Now().Add(20 * time.Second)
		for runtime.GOMAXPROCS(0) != 1 {
			if time.Now().After(deadline) {
				t.Fatal("the second processor stays")
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

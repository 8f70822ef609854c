package bootloop

import (
	"runtime"
	"testing"
	"time"
)

// TestSecondProcessor has leases written where Go has one processor: there are
// two while one is, and one again soon after. This test is alone: the number is that of
// the whole program.
func TestSecondProcessor(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	b := newBench(t, netWords)
	deadline := time.Now().Add(20 * time.Second)
	for _, want := range []int{2, 1} {
		for runtime.GOMAXPROCS(0) != want {
			if time.Now().After(deadline) {
				t.Fatalf("%d processors, want %d", runtime.GOMAXPROCS(0), want)
			}
			if want == 2 {
				b.dora(one)
			} else {
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
}

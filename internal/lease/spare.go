package lease

import (
	"runtime"
	"time"
)

// spareTime is how long a second processor stays after a commit.
const spareTime = time.Second

// A spare is a second processor of Go while leases are written, where there is
// one only. Who waits for the disk would hold that one: no packet would be
// answered meanwhile, and no lease would join the next commit. It is not kept
// for ever, because two on one core cost packets that need no disk a fifth of
// their speed.
type spare struct{ end *time.Timer }

// take sees to it that there are two processors for a while.
func (s *spare) take() {
	switch {
	case runtime.GOMAXPROCS(0) == 1:
		runtime.GOMAXPROCS(2)
		s.end = time.AfterFunc(spareTime, giveBack)
	case s.end != nil:
		s.end.Reset(spareTime)
	}
}

func giveBack() {
	if runtime.GOMAXPROCS(0) == 2 {
		runtime.GOMAXPROCS(1)
	}
}

package lease

import "time"

// spareTime is how long a second processor stays after a commit.
const spareTime = time.Second

// A spare is a second processor of Go while leases are written, where there is
// one only. Who waits for the disk would hold that one: no packet would be
// answered meanwhile, and no lease would join the next commit. It is not kept
// for ever, because two on one core cost packets that need no disk a fifth of
// their speed.
type spare struct {
	hold    func() (release func())
	release func()
	end     *time.Timer // calls release; nil: not held yet
}

// take sees to it that there are two processors, until leave.
func (s *spare) take() {
	if s.end == nil || !s.end.Stop() { // not held, or about to be no longer
		s.release = s.hold()
	}
}

// leave gives the second one back in a while, unless it is taken again.
func (s *spare) leave() { s.end = time.AfterFunc(spareTime, s.release) }

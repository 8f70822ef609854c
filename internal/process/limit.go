package process

import (
	"sync/atomic"
	"time"
)

// A Limit lets a complaint through once a minute and counts the others. Its
// zero value is ready.
type Limit struct{ last, held atomic.Int64 }

// Allow says whether the complaint may be made now.
func (l *Limit) Allow(now time.Time) bool {
	last := l.last.Load()
	if last != 0 && now.UnixNano()-last < int64(time.Minute) || !l.last.CompareAndSwap(last, now.UnixNano()) {
		l.held.Add(1)
		return false
	}
	return true
}

// Held returns how many complaints were held back since it was last called.
func (l *Limit) Held() int64 { return l.held.Swap(0) }

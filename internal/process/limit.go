package process

import (
	"sync/atomic"
	"time"
)

// A Limit lets a complaint through once a minute. Its zero value is ready.
type Limit struct{ last atomic.Int64 }

// Allow says whether the complaint may be made now.
func (l *Limit) Allow(now time.Time) bool {
	last := l.last.Load()
	if last != 0 && now.UnixNano()-last < int64(time.Minute) {
		return false
	}
	return l.last.CompareAndSwap(last, now.UnixNano())
}

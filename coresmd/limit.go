package coresmd

import (
	"sync/atomic"
	"time"
)

// A limit lets a complaint through once a minute. Its zero value is ready.
type limit struct{ last atomic.Int64 }

func (l *limit) allow(now time.Time) bool {
	last := l.last.Load()
	if last != 0 && now.UnixNano()-last < int64(time.Minute) {
		return false
	}
	return l.last.CompareAndSwap(last, now.UnixNano())
}

package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// A progress is a bar on a terminal.
type progress struct {
	mu    sync.Mutex
	out   *env
	all   int
	done  int       // guarded by mu
	shown time.Time // guarded by mu
}

const (
	barWidth = 40
	barEvery = 100 * time.Millisecond
)

func (e *env) progress(all int) *progress { return &progress{out: e, all: all} }

func (p *progress) step() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
	if !p.out.terminal || time.Since(p.shown) < barEvery && p.done < p.all {
		return
	}
	p.shown = time.Now()
	full := barWidth * p.done / max(1, p.all)
	fmt.Fprintf(p.out.stderr, "\r[%s%s] %d of %d", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), p.done, p.all)
}

// end takes the bar away.
func (p *progress) end() {
	if p.out.terminal {
		fmt.Fprintf(p.out.stderr, "\r\x1b[K")
	}
}

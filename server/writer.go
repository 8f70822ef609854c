package server

import (
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what waits to be written. An ordinary line has 200 octets.
const (
	queueLines  = 16 << 10
	queueOctets = 8 << 20
	writeOctets = 64 << 10 // that are written at once
)

// A lineWriter writes lines. Whoever has a line never waits, not for a pipe
// that nobody reads either: a line that finds no room is lost, counted, and
// owned up to in a line of its own as soon as there is room.
type lineWriter struct {
	to       io.Writer
	lostLine func(n uint64) []byte
	queue    chan line
	waiting  atomic.Int64 // octets in the queue
	lost     atomic.Uint64
	told     uint64 // of lost; of the goroutine that writes
}

// A line is one, or somebody who waits for those before it.
type line struct {
	text    []byte
	written chan<- struct{}
}

func newLineWriter(to io.Writer, lostLine func(uint64) []byte) *lineWriter {
	w := &lineWriter{to: to, lostLine: lostLine, queue: make(chan line, queueLines)}
	go w.run()
	return w
}

// Write queues a line.
func (w *lineWriter) Write(b []byte) (int, error) {
	if w.waiting.Add(int64(len(b))) > queueOctets {
		w.drop(len(b))
		return len(b), nil
	}
	select {
	case w.queue <- line{text: append([]byte(nil), b...)}:
	default:
		w.drop(len(b))
	}
	return len(b), nil
}

func (w *lineWriter) drop(octets int) {
	w.waiting.Add(-int64(octets))
	w.lost.Add(1)
}

// run writes as long as the process lives.
func (w *lineWriter) run() {
	for first := range w.queue {
		w.write(first)
	}
}

// write writes a line and those behind it that are there already.
func (w *lineWriter) write(next line) {
	var text []byte
	var lines uint64
	var written []chan<- struct{}
	for more := true; more; {
		if next.written != nil {
			written = append(written, next.written)
		} else {
			text = append(text, next.text...)
			lines++
		}
		if len(text) >= writeOctets {
			break
		}
		select {
		case next, more = <-w.queue:
		default:
			more = false
		}
	}
	w.put(text, lines)
	w.waiting.Add(-int64(len(text)))
	w.own()
	for _, c := range written {
		close(c)
	}
}

// put writes lines; if that fails they are lost.
func (w *lineWriter) put(text []byte, lines uint64) {
	if len(text) == 0 {
		return
	}
	if _, err := w.to.Write(text); err != nil {
		w.lost.Add(lines)
	}
}

// own writes how many lines were lost since it was last written.
func (w *lineWriter) own() {
	lost := w.lost.Load()
	if lost == w.told {
		return
	}
	if _, err := w.to.Write(w.lostLine(lost - w.told)); err == nil {
		w.told = lost
	}
}

// flush waits until what was queued is written.
func (w *lineWriter) flush(limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	written := make(chan struct{})
	select {
	case w.queue <- line{written: written}:
	case <-timer.C:
		return
	}
	select {
	case <-written:
	case <-timer.C:
	}
}

// swapped is a file that another may take the place of.
type swapped struct {
	mu sync.Mutex
	f  *os.File // guarded by mu
}

func (s *swapped) swap(f *os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f != nil {
		s.f.Close()
	}
	s.f = f
}

func (s *swapped) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.f.Write(b)
}

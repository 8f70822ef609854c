package status

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// Limits of a stream of events. What machines do faster than it tells is left
// out, and counted. Nobody who reports an event waits for a reader: each has
// its place in the journal, and looks there now and then.
const (
	maxStreams  = 16
	streamEvery = 250 * time.Millisecond
	streamBatch = 100 // events, at most, each time
	tickEvery   = 5 * time.Second
	streamWait  = 10 * time.Second // for a client to take what it is sent
)

// A stream tells events as they come, by server-sent events: an "events" with
// Events, and a "tick" with the time when nothing else was sent for a while.
type stream struct {
	events  func(after uint64, most int) Events
	running atomic.Int32
}

func newStream(o Options) *stream { return &stream{events: o.Events} }

// ServeHTTP tells events until the client is gone.
func (s *stream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	after, err := s.begin(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if s.running.Add(1) > maxStreams {
		s.running.Add(-1)
		refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("%d readers follow the events; there can be no more", maxStreams))
		return
	}
	defer s.running.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	t := teller{w: w, control: http.NewResponseController(w)}
	t.tick()
	s.follow(r, &t, after)
}

// begin returns the number of the event after which the client wants to know:
// the last one that it has, or that it asks for, or else that there is.
func (s *stream) begin(r *http.Request) (uint64, error) {
	params, err := parse(r.URL.RawQuery, []string{"after"})
	if err != nil {
		return 0, err
	}
	word, given := params["after"]
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		word, given = last, true
	}
	if !given {
		return s.events(0, 0).Last, nil
	}
	after, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		return 0, Wrong("after %q; wanted the number of an event", clip(word))
	}
	return after, nil
}

func (s *stream) follow(r *http.Request, t *teller, after uint64) {
	every := time.NewTicker(streamEvery)
	defer every.Stop()
	for t.err == nil && r.Context().Err() == nil {
		switch news := s.events(after, streamBatch); {
		case news.Last != after:
			t.tell("events", news.Last, news)
			after = news.Last
		case time.Since(t.last) >= tickEvery:
			t.tick()
		}
		select {
		case <-every.C:
		case <-r.Context().Done():
		}
	}
}

// A teller writes server-sent events.
type teller struct {
	w       http.ResponseWriter
	control *http.ResponseController
	last    time.Time // when something was written
	err     error     // of writing; the client is gone
}

// A tick says that the server is there.
type tick struct {
	Now time.Time `json:"now"`
}

func (t *teller) tick() { t.write("event: tick\ndata: %s\n\n", asJSON(tick{time.Now()})) }

func (t *teller) tell(kind string, id uint64, value any) {
	t.write("event: %s\nid: %d\ndata: %s\n\n", kind, id, asJSON(value))
}

func (t *teller) write(format string, args ...any) {
	t.last = time.Now()
	if t.err = t.control.SetWriteDeadline(t.last.Add(streamWait)); t.err != nil {
		return
	}
	if _, t.err = fmt.Fprintf(t.w, format, args...); t.err == nil {
		t.err = t.control.Flush()
	}
}

// asJSON writes a value on one line.
func asJSON(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // it is a struct of numbers and texts
	}
	return text
}

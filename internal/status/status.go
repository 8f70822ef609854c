package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// Limits of the listener.
const (
	maxConns     = 64
	maxHeader    = 8 << 10
	readLimit    = 10 * time.Second
	writeLimit   = 30 * time.Second
	idleLimit    = time.Minute
	maxParameter = 256 // octets of a parameter's value
	defaultLimit = 1000
	maxLimit     = 1_000_000
)

// A View answers a question with a value that is written as JSON. An error of
// Wrong or Absent has its own status, others are 500.
type View func(ctx context.Context, q Params) (any, error)

// Options are what a Server tells.
type Options struct {
	Metrics http.Handler             // of PathMetrics
	Ready   func() []string          // why the server is not ready; nothing: it is
	Views   func(string) View        // by the path; nil: there is none
	Takes   map[string][]string      // the parameters of each path below /api/
	Hosts   []string                 // names that the Host header may have beside addresses and localhost
	OnPanic func(any, *http.Request) // of a view; may be nil

	// Events returns the events after a number, at most so many.
	Events func(after uint64, most int) Events
	// Overview and Search are what the page shows.
	Overview func(context.Context) Overview
	Search   func(ctx context.Context, word string) Search
	// Capture tells recorded packets, of PathPcap.
	Capture Capture
}

// A Server answers requests. It only reads.
type Server struct {
	opts   Options
	page   *page
	stream *stream
	http   *http.Server

	left   chan struct{}  // closed by Leave
	served chan struct{}  // closed when nothing is accepted any more
	conns  sync.WaitGroup // that are open
}

// New returns a server that listens nowhere yet.
func New(o Options) *Server {
	s := &Server{opts: o, page: newPage(o), stream: newStream(o), left: make(chan struct{}), served: make(chan struct{})}
	s.http = &http.Server{
		Handler: s, ReadTimeout: readLimit, ReadHeaderTimeout: readLimit, WriteTimeout: writeLimit,
		IdleTimeout: idleLimit, MaxHeaderBytes: maxHeader, ConnState: s.count,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, localKey{}, c.LocalAddr().Network() == "unix")
		},
	}
	return s
}

// localKey is the key of a request's context that says that it came by a
// socket of this host.
type localKey struct{}

// leaveLimit bounds the wait for answers that are under way.
const leaveLimit = time.Second

// count counts the connections that are open.
func (s *Server) count(_ net.Conn, now http.ConnState) {
	switch now {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.conns.Done()
	case http.StateActive, http.StateIdle:
	}
}

// Leave leaves questions to a successor that has copies of the listeners. Who
// has a connection by then is answered here: Shutdown alone would drop what is
// read later. Run must have been called, and returns soon after. Leave is
// called once.
func (s *Server) Leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveLimit)
	defer cancel()
	s.http.SetKeepAlivesEnabled(false)
	close(s.left)
	answered := make(chan struct{})
	go func() { <-s.served; s.conns.Wait(); close(answered) }()
	select {
	case <-answered:
	case <-ctx.Done():
	}
	_ = s.http.Close()
}

// Run serves on the listeners until ctx ends or Leave is called, and closes
// them.
func (s *Server) Run(ctx context.Context, listeners ...net.Listener) error {
	s.http.BaseContext = func(net.Listener) context.Context { return ctx } // streams end with it
	stop := context.AfterFunc(ctx, func() { _ = s.http.Close() })
	defer stop()
	var all sync.WaitGroup
	limited, errs := make([]net.Listener, len(listeners)), make([]error, len(listeners))
	for i, l := range listeners {
		limited[i] = netutil.LimitListener(l, maxConns)
		all.Go(func() { errs[i] = s.http.Serve(limited[i]) })
	}
	go func() { all.Wait(); close(s.served) }()
	select {
	case <-s.left:
		for _, l := range limited {
			_ = l.Close()
		}
		<-s.served
		return nil
	case <-s.served:
	}
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(errs...)
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if v := recover(); v != nil {
			if err, is := v.(error); is && errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			if s.opts.OnPanic != nil {
				s.opts.OnPanic(v, r)
			}
			refuse(w, http.StatusInternalServerError, "this is a fault of the server; its log says more")
		}
	}()
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case r.Context().Value(localKey{}) != true && !s.trusted(r.Host):
		refuse(w, http.StatusMisdirectedRequest, fmt.Sprintf("Host %q; wanted an IP address, localhost, or a name of http_host", clip(r.Host)))
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "nothing can be changed here; wanted GET or HEAD")
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		refuse(w, http.StatusBadRequest, "the request has a body; wanted none")
	default:
		s.answer(w, r)
	}
}

// trusted says that a request was meant for this server. A name that anybody
// can point here is not believed: a web page could read what is told then.
func (s *Server) trusted(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.ToLower(strings.Trim(name, "[]")), ".")
	if _, err := netip.ParseAddr(name); err == nil || name == "localhost" {
		return true
	}
	return slices.ContainsFunc(s.opts.Hosts, func(known string) bool { return strings.EqualFold(known, name) })
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case PathMetrics:
		s.opts.Metrics.ServeHTTP(w, r)
	case PathHealth:
		text(w, http.StatusOK, "ok\n")
	case PathReady:
		if why := s.opts.Ready(); len(why) > 0 {
			text(w, http.StatusServiceUnavailable, strings.Join(why, "\n")+"\n")
			return
		}
		text(w, http.StatusOK, "ok\n")
	case PathPage:
		s.page.ServeHTTP(w, r)
	case pathStyle, pathScript:
		s.page.file(w, r)
	case PathEvents:
		s.stream.ServeHTTP(w, r)
	case PathPcap:
		s.pcap(w, r)
	default:
		s.view(w, r)
	}
}

func (s *Server) view(w http.ResponseWriter, r *http.Request) {
	view := s.opts.Views(r.URL.Path)
	if view == nil {
		refuse(w, http.StatusNotFound, fmt.Sprintf("%q is not served here; docs/api.md has what is", clip(r.URL.Path)))
		return
	}
	params, err := parse(r.URL.RawQuery, s.opts.Takes[r.URL.Path])
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	answer, err := view(r.Context(), params)
	if err != nil {
		failed(w, err)
		return
	}
	write(w, http.StatusOK, answer)
}

// failed answers a question that has no answer.
func failed(w http.ResponseWriter, err error) {
	var problem *problemError
	if errors.As(err, &problem) {
		refuse(w, problem.Status, problem.Detail)
		return
	}
	refuse(w, http.StatusInternalServerError, err.Error())
}

// A problemError is the answer to a question that has none.
type problemError Problem

func (p *problemError) Error() string { return p.Detail }

// Wrong is the answer to a question that is wrong.
func Wrong(format string, args ...any) error {
	return &problemError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// Absent is the answer to a question for what is not there.
func Absent(format string, args ...any) error {
	return &problemError{http.StatusNotFound, fmt.Sprintf(format, args...)}
}

// Params are the parameters of a question, each once.
type Params map[string]string

// parse reads parameters. An unknown one is an error, as is one given twice.
func parse(query string, takes []string) (Params, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("parameters %q: %w", clip(query), err)
	}
	p := make(Params)
	var errs []error
	for name, list := range values {
		switch {
		case !slices.Contains(takes, name) && len(takes) == 0:
			errs = append(errs, fmt.Errorf("unknown parameter %q; wanted none", clip(name)))
		case !slices.Contains(takes, name):
			errs = append(errs, fmt.Errorf("unknown parameter %q; wanted one of %s", clip(name), strings.Join(takes, ", ")))
		case len(list) > 1:
			errs = append(errs, fmt.Errorf("%s is given %d times; wanted once", name, len(list)))
		case len(list[0]) > maxParameter:
			errs = append(errs, fmt.Errorf("%s has %d octets; wanted at most %d", name, len(list[0]), maxParameter))
		default:
			p[name] = list[0]
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return p, errors.Join(errs...)
}

// Limit returns how many rows an answer may have.
func (p Params) Limit() (int, error) {
	word, ok := p["limit"]
	if !ok {
		return defaultLimit, nil
	}
	n, err := strconv.Atoi(word)
	if err != nil || n < 1 || n > maxLimit {
		return 0, Wrong("limit %q; wanted a number from 1 to %d", word, maxLimit)
	}
	return n, nil
}

// LimitTo is a question for so many rows.
func LimitTo(rows int) Params { return Params{"limit": strconv.Itoa(rows)} }

func clip(s string) string { return s[:min(len(s), maxParameter)] }

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // the client is gone
}

func refuse(w http.ResponseWriter, status int, detail string) {
	write(w, status, &Problem{status, detail})
}

func write(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	_ = encoder.Encode(answer) // the client is gone
}

package status

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"time"
)

// How much of each list the page shows.
const (
	PageStuck   = 50
	PageUnknown = 50
	PageFaults  = 50
	PageEvents  = 100
	PageFound   = 50
)

// pageAge is how old what the page shows may be. However many look at it,
// the server counts its machines no more often.
const pageAge = 500 * time.Millisecond

// The files that the page needs.
const (
	pathStyle  = "/page.css"
	pathScript = "/page.js"
)

// policy lets nothing into the page but what comes from here.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// An Overview is what the page shows of the server.
type Overview struct {
	Status  Status
	Boots   Boots   // the machines are those that are stuck
	Unknown Unknown // the last ones
	Faults  Faults
	Events  []Happening // the latest first
}

// A Search is what the page shows for a word that was looked for.
type Search struct {
	Word  string
	Found []Machine    // that fit; one more than PageFound if there are more
	One   *Explanation // of the one machine that the word stands for; nil: of none
	Err   error        // why there is neither
	At    time.Time
}

// A shown is what the page's template is made of.
type shown struct {
	*Overview
	*Search // nil: nothing was looked for
}

//go:embed page
var pageFiles embed.FS

// A page writes the page.
type page struct {
	look   func(context.Context) Overview
	search func(ctx context.Context, word string) Search
	text   *template.Template

	mu   sync.Mutex
	seen *Overview // guarded by mu; nil: never
	at   time.Time // guarded by mu; when it was seen
}

func newPage(o Options) *page {
	text := template.Must(template.New("page.html").Funcs(template.FuncMap{
		"clock": func(t time.Time) string { return t.Format("15:04:05") },
		"stamp": func(t time.Time) string { return t.Format(time.RFC3339) },
		"lasts": lasts,
		"since": func(t, now time.Time) string { return lasts(max(0, now.Sub(t).Seconds())) },
		"step":  func(step string) string { return stepTexts[step] },
		"limit": func(list []Machine) []Machine { return list[:min(len(list), PageFound)] },
		"join":  strings.Join,
		"tone":  func(verdict string) string { return tones[verdict] },
		"high":  func(size uint64) uint64 { return size * 9 / 10 },
	}).ParseFS(pageFiles, "page/*.html"))
	return &page{look: o.Overview, search: o.Search, text: text}
}

// stepTexts say what a step is.
var stepTexts = map[string]string{
	StepDiscover: "asks for an address", StepAck: "has its address", StepLoader: "fetched its loader", StepIPXE: "iPXE asks",
	StepScript: "was given its script", StepUp: "has its address and does not boot",
}

// tones are the classes of what became of a request.
var tones = map[string]string{
	"NAK": "warn", "no reply": "bad", "passed on": "dim", "missing": "bad", "refused": "bad", "gone": "warn", "busy": "warn", "failed": "bad",
}

// lasts writes a time span in one or two units.
func lasts(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second)).Truncate(time.Second)
	switch {
	case d < 0:
		return "never"
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
	}
	return d.String()
}

// overview returns what the server looks like. Those who ask at once wait for
// one look.
func (p *page) overview(ctx context.Context) *Overview {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil || time.Since(p.at) > pageAge {
		o := p.look(ctx)
		p.seen, p.at = &o, time.Now()
	}
	return p.seen
}

// ServeHTTP writes the page, whole: a script is not needed to read it.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	params, err := parse(r.URL.RawQuery, []string{"machine"})
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	data := shown{Overview: p.overview(r.Context())}
	if word := strings.TrimSpace(params["machine"]); word != "" {
		s := p.search(r.Context(), word)
		data.Search = &s
	}
	var body bytes.Buffer
	if err := p.text.Execute(&body, data); err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(body.Bytes()) // the client is gone
}

// file writes a file that the page needs.
func (p *page) file(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, pageFiles, "page"+r.URL.Path)
}

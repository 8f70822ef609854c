package test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
)

// A proxy stands between the plugin and SMD, on the server's loopback, and
// spoils what SMD says. It speaks TLS.
type proxy struct {
	t      *testing.T
	caFile string
	pass   *httputil.ReverseProxy
	fault  atomic.Pointer[fault]
	certs  map[string]*tls.Certificate
	polls  atomic.Int64 // requests for all interfaces
}

// A fault is how answers are spoiled.
type fault struct {
	name   string
	answer http.HandlerFunc                   // in the place of SMD's answer
	change func(path string, b []byte) []byte // of SMD's answer
	cert   string                             // the certificate that is shown
	lasts  time.Duration                      // how long, where the log says nothing before it is over
	done   chan struct{}                      // closed when the fault is over
}

const proxyAddr = "127.0.0.1:27780"

// startProxy starts a proxy in front of the site's SMD.
func startProxy(s *site) *proxy {
	s.t.Helper()
	p := &proxy{t: s.t, caFile: filepath.Join(s.t.TempDir(), "ca.pem"), certs: map[string]*tls.Certificate{}}
	p.makeCertificates()
	p.set(fault{})
	smd, err := url.Parse(s.smd.URL())
	if err != nil {
		s.t.Fatal(err)
	}
	p.pass = httputil.NewSingleHostReverseProxy(smd)
	p.pass.Transport = &http.Transport{DialContext: s.server.Dial, DisableKeepAlives: true, DisableCompression: true}
	p.pass.ModifyResponse = p.modify
	p.pass.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) }
	listener, err := s.server.Listen(proxyAddr)
	if err != nil {
		s.t.Fatal(err)
	}
	server := &http.Server{Handler: p, ErrorLog: discard(), TLSConfig: &tls.Config{GetCertificate: p.certificate}}
	server.SetKeepAlivesEnabled(false) // each request sees the certificate of its moment
	go func() { _ = server.ServeTLS(listener, "", "") }()
	s.t.Cleanup(func() {
		p.set(fault{})
		server.Close()
	})
	return p
}

func (p *proxy) makeCertificates() {
	p.t.Helper()
	ours, theirs := dhcptest.NewAuthority(p.t, "ours"), dhcptest.NewAuthority(p.t, "theirs")
	ours.WriteFile(p.caFile)
	dir := filepath.Dir(p.caFile)
	for name, issue := range map[string]func(cert, key string){
		"":             func(cert, key string) { ours.Issue("127.0.0.1", cert, key) },
		"expired":      func(cert, key string) { ours.IssueUntil(time.Now().Add(-time.Second), "127.0.0.1", cert, key) },
		"wrong":        func(cert, key string) { theirs.Issue("127.0.0.1", cert, key) },
		"another name": func(cert, key string) { ours.Issue("192.0.2.99", cert, key) },
	} {
		cert, key := filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
		issue(cert, key)
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			p.t.Fatal(err)
		}
		p.certs[name] = &pair
	}
}

func (p *proxy) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f := p.fault.Load()
	if f.cert != "" {
		p.polls.Add(1) // it gets no further
	}
	return p.certs[f.cert], nil
}

// set begins a fault and ends the one before.
func (p *proxy) set(f fault) {
	f.done = make(chan struct{})
	if old := p.fault.Swap(&f); old != nil {
		close(old.done)
	}
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := p.fault.Load()
	if strings.HasSuffix(r.URL.Path, "EthernetInterfaces") && r.URL.RawQuery == "" {
		p.polls.Add(1)
	}
	if f.answer != nil {
		f.answer(w, r)
		return
	}
	p.pass.ServeHTTP(w, r)
}

func (p *proxy) modify(resp *http.Response) error {
	f := p.fault.Load()
	if f.change == nil {
		return nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	body = f.change(resp.Request.URL.Path, body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.Header.Del("Content-Length")
	return nil
}

// statusFault answers with a status, as SMD does.
func statusFault(status int) http.HandlerFunc {
	return bodyFault(status, "application/json", `{"title":"a fault of the tests"}`)
}

func bodyFault(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// keepFirst cuts lists of records down to their first ones.
func keepFirst(n int, collection string) func(string, []byte) []byte {
	return func(path string, body []byte) []byte {
		if !strings.HasSuffix(path, collection) {
			return body
		}
		var list []json.RawMessage
		var object struct{ Components []json.RawMessage }
		if json.Unmarshal(body, &list) == nil {
			cut, _ := json.Marshal(list[:min(n, len(list))])
			return cut
		}
		_ = json.Unmarshal(body, &object)
		object.Components = object.Components[:min(n, len(object.Components))]
		cut, _ := json.Marshal(object)
		return cut
	}
}

package smd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// Trust says whom the client believes and how it proves who it is. Its files
// are read again when they change.
type Trust struct {
	CAFile     string // PEM; empty: the system's roots
	ClientCert string // PEM, with ClientKey
	ClientKey  string

	TokenFile string // holds a bearer token

	TokenURL         *url.URL // gives tokens for client credentials, RFC 6749 section 4.4
	ClientID         string
	ClientSecretFile string

	PlainToken bool // send tokens over plain http to a host that is not loopback

	// OnProblem is told, outside of locks, of a changed certificate file that
	// cannot be used: once per change. What was read before goes on. Nil is
	// allowed.
	OnProblem func(string)

	// OnCertificate is told the end of a certificate whenever it is seen:
	// those of smd and token_url, client_cert, and of ca_cert the one that ends
	// first. It may be called by
	// several goroutines at once, and must not wait. Nil is allowed.
	OnCertificate func(whose string, ends time.Time)

	clock func() time.Time // nil: time.Now
}

// Limits of what is kept from files and token endpoints.
const (
	fileRecheck = time.Second      // between two looks at a file
	fileLimit   = 16 << 20         // octets of a file
	grantPause  = time.Second      // between a failed question for a token and the next
	grantMargin = 10 * time.Second // before its end a token is not used any more
)

// String returns the settings as words of a directive.
func (t Trust) String() string {
	words := []string{"ca_cert=" + t.CAFile}
	add := func(option, value string) {
		if value != "" {
			words = append(words, option+"="+value)
		}
	}
	add("client_cert", t.ClientCert)
	add("client_key", t.ClientKey)
	add("token_file", t.TokenFile)
	if t.TokenURL != nil {
		add("token_url", t.TokenURL.Redacted())
	}
	add("client_id", t.ClientID)
	add("client_secret_file", t.ClientSecretFile)
	if t.PlainToken {
		add("token_plain_http", "true")
	}
	return strings.Join(words, " ")
}

// Validate finds what contradicts itself for an SMD at base. It touches
// nothing outside.
func (t Trust) Validate(base *url.URL) error {
	var errs []error
	wrong := func(is bool, text string) {
		if is {
			errs = append(errs, errors.New(text))
		}
	}
	grants := t.TokenURL != nil
	wrong((t.ClientCert == "") != (t.ClientKey == ""), "of client_cert and client_key only one is given; wanted both or neither")
	wrong(t.ClientCert != "" && base.Scheme == "http", "client_cert is never shown over plain http; wanted https in svc_base_uri")
	wrong(t.TokenFile != "" && grants, "token_file and token_url are both given; wanted one of them")
	wrong(grants && (t.ClientID == "" || t.ClientSecretFile == ""), "token_url wants client_id and client_secret_file")
	wrong(!grants && (t.ClientID != "" || t.ClientSecretFile != ""), "client_id and client_secret_file want token_url")
	if t.TokenFile != "" || grants {
		errs = append(errs, t.confidential("svc_base_uri", base))
	}
	if grants {
		errs = append(errs, t.confidential("token_url", t.TokenURL))
	}
	return errors.Join(errs...)
}

// confidential tells whether a token may go to a place.
func (t Trust) confidential(option string, to *url.URL) error {
	if to.Scheme == "https" || t.PlainToken || isLoopback(to.Hostname()) {
		return nil
	}
	return fmt.Errorf("a token would go over plain http to %s of %s; wanted https, a loopback address, or token_plain_http=true", to.Host, option)
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Transport returns what requests to SMD at base go through; to other places
// it takes none. Contradictions, files that cannot be read and files that do
// not hold what they should are errors. The token endpoint is not asked yet,
// it may come up later.
func (t Trust) Transport(base *url.URL) (http.RoundTripper, error) {
	if t.clock == nil {
		t.clock = time.Now
	}
	secure, errTLS := t.secure()
	tokens, errTokens := t.tokens(secure)
	if err := errors.Join(t.Validate(base), errTLS, errTokens); err != nil {
		return nil, err
	}
	return &sender{base: base, tokens: tokens, next: secure}, nil
}

// A sender adds the token to requests to SMD and lets no others through.
type sender struct {
	base   *url.URL
	tokens tokens // nil: none wanted
	next   *rotating
}

// tokens are where a token comes from.
type tokens interface {
	token(ctx context.Context) (string, error)
	refused(ctx context.Context, token string) // SMD does not take it
}

// RoundTrip implements http.RoundTripper. Without the token that it should
// have, a request is not sent.
func (s *sender) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != s.base.Scheme || !strings.EqualFold(req.URL.Host, s.base.Host) {
		closeBody(req)
		return nil, fmt.Errorf("request to %s://%s refused: wanted %s://%s", req.URL.Scheme, req.URL.Host, s.base.Scheme, s.base.Host)
	}
	if s.tokens == nil {
		return s.next.RoundTrip(req)
	}
	token, err := s.tokens.token(req.Context())
	if err != nil {
		closeBody(req)
		return nil, err
	}
	req = req.Clone(req.Context())
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := s.next.RoundTrip(req)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		s.tokens.refused(req.Context(), token)
	}
	return resp, err
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// CloseIdleConnections is what http.Client.CloseIdleConnections calls.
func (s *sender) CloseIdleConnections() { s.next.CloseIdleConnections() }

// statusOf returns the status of an answer of SMD, with what it means where
// tokens are concerned.
func statusOf(resp *http.Response) string {
	sent := resp.Request != nil && resp.Request.Header.Get("Authorization") != ""
	switch {
	case resp.StatusCode == http.StatusUnauthorized && sent:
		return resp.Status + ": SMD does not accept the token"
	case resp.StatusCode == http.StatusUnauthorized:
		return resp.Status + ": SMD wants a token (token_file or token_url)"
	case resp.StatusCode == http.StatusForbidden && sent:
		return resp.Status + ": the token is not allowed to read the inventory"
	}
	return resp.Status
}

// A rotating transport follows the certificate files: after a change,
// connections are made anew. What cannot be used is told once and leaves the
// last good one in place.
type rotating struct {
	clock     func() time.Time
	onProblem func(string)
	seen      func(whose string, ends time.Time)
	tokenHost string // of token_url; empty: none

	mu      sync.Mutex
	roots   live[*authorities]
	pair    live[*tls.Certificate]
	current *http.Transport
}

// secure returns the transport of the certificate files as they are.
func (t Trust) secure() (*rotating, error) {
	r := &rotating{
		clock: t.clock, onProblem: t.OnProblem, seen: t.OnCertificate,
		roots: live[*authorities]{parse: parseRoots},
		pair:  live[*tls.Certificate]{parse: parsePair},
	}
	if r.seen == nil {
		r.seen = func(string, time.Time) {}
	}
	if t.TokenURL != nil {
		r.tokenHost = t.TokenURL.Hostname()
	}
	if t.CAFile != "" {
		r.roots.files = []source{{"ca_cert", t.CAFile}}
	}
	if t.ClientCert != "" && t.ClientKey != "" {
		r.pair.files = []source{{"client_cert", t.ClientCert}, {"client_key", t.ClientKey}}
	}
	r.pick()
	return r, errors.Join(r.roots.err, r.pair.err)
}

// RoundTrip implements http.RoundTripper.
func (r *rotating) RoundTrip(req *http.Request) (*http.Response, error) {
	current, old, problems := r.pick()
	if old != nil {
		old.CloseIdleConnections()
	}
	if r.onProblem != nil {
		for _, err := range problems {
			r.onProblem(fmt.Sprintf("%v; what was read before goes on", err))
		}
	}
	return current.RoundTrip(req)
}

// CloseIdleConnections closes those of the transport in use.
func (r *rotating) CloseIdleConnections() {
	r.mu.Lock()
	current := r.current
	r.mu.Unlock()
	current.CloseIdleConnections()
}

// pick looks at the files and returns the transport to use, the one that it
// takes the place of, and what is newly wrong.
func (r *rotating) pick() (current, old *http.Transport, problems []error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, stale := r.clock(), r.current == nil
	for _, l := range []interface{ look(time.Time) (bool, error) }{&r.roots, &r.pair} {
		changed, err := l.look(now)
		switch {
		case changed && err != nil:
			problems = append(problems, err)
		case changed:
			stale = true
		}
	}
	if stale {
		old, r.current = r.current, r.transport()
	}
	return r.current, old, problems
}

func (r *rotating) transport() *http.Transport {
	config := &tls.Config{MinVersion: tls.VersionTLS12, VerifyConnection: r.verified}
	if roots := r.roots.value; roots != nil {
		r.seen("ca_cert", roots.ends)
		config.RootCAs = roots.pool
	}
	if pair := r.pair.value; pair != nil {
		r.seen("client_cert", pair.Leaf.NotAfter)
		// Certificates would be held back from a server that names other issuers.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config
	return transport
}

// verified tells of the certificate of a connection that was verified.
func (r *rotating) verified(s tls.ConnectionState) error {
	whose := "smd"
	if r.tokenHost != "" && s.ServerName == r.tokenHost {
		whose = "token_url"
	}
	r.seen(whose, s.PeerCertificates[0].NotAfter)
	return nil
}

// authorities are whose signature is believed.
type authorities struct {
	pool *x509.CertPool
	ends time.Time // of the certificate that ends first
}

func parseRoots(files []source, texts []string) (*authorities, error) {
	roots := &authorities{pool: x509.NewCertPool()}
	for block, rest := pem.Decode([]byte(texts[0])); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil {
			continue // as AppendCertsFromPEM has it
		}
		roots.pool.AddCert(certificate)
		if roots.ends.IsZero() || certificate.NotAfter.Before(roots.ends) {
			roots.ends = certificate.NotAfter
		}
	}
	if roots.ends.IsZero() {
		return nil, fmt.Errorf("reading ca_cert: %s holds no certificate; wanted PEM", files[0].path)
	}
	return roots, nil
}

func parsePair(files []source, texts []string) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair([]byte(texts[0]), []byte(texts[1]))
	if err != nil {
		return nil, fmt.Errorf("reading client_cert %s and client_key %s: %w", files[0].path, files[1].path, err)
	}
	return &pair, nil
}

// tokens returns where tokens come from, nil where none are wanted.
func (t Trust) tokens(secure *rotating) (tokens, error) {
	word := live[string]{parse: parseWord}
	switch {
	case t.TokenFile != "":
		word.files = []source{{"token_file", t.TokenFile}}
		_, err := word.look(t.clock())
		return &tokenFile{clock: t.clock, file: word}, err
	case t.TokenURL != nil && t.ClientSecretFile != "":
		word.files = []source{{"client_secret_file", t.ClientSecretFile}}
		_, err := word.look(t.clock())
		return &grant{
			clock: t.clock, turn: make(chan struct{}, 1), secret: word,
			name:   t.TokenURL.Redacted(),
			client: &http.Client{Transport: secure, CheckRedirect: sameHost},
			config: clientcredentials.Config{ClientID: t.ClientID, TokenURL: t.TokenURL.String()},
		}, err
	}
	return nil, nil
}

// parseWord takes the one word of a file. What the file holds is not told.
func parseWord(files []source, texts []string) (string, error) {
	word := strings.TrimSpace(texts[0])
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	if word == "" || strings.ContainsFunc(word, odd) {
		return "", fmt.Errorf("reading %s: %s does not hold one word; wanted that and nothing else", files[0].option, files[0].path)
	}
	return word, nil
}

// A tokenFile takes the token from a file.
type tokenFile struct {
	clock func() time.Time

	mu   sync.Mutex
	file live[string]
}

func (t *tokenFile) token(context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, err := t.file.look(t.clock()); err != nil {
		return "", err
	}
	return t.file.value, nil
}

func (t *tokenFile) refused(context.Context, string) {}

// A grant takes tokens from a token endpoint, and keeps each to its end.
type grant struct {
	clock  func() time.Time
	name   string // of the endpoint, for errors
	client *http.Client
	turn   chan struct{} // holds one value while somebody is at what follows; a mutex cannot be given up waiting for

	secret live[string]
	config clientcredentials.Config
	held   string    // the token; empty: none
	until  time.Time // its end; zero: not told
	err    error     // of the last question
	asked  time.Time
}

func (g *grant) token(ctx context.Context) (string, error) {
	if err := g.enter(ctx); err != nil {
		return "", err
	}
	defer g.leave()
	now := g.clock()
	switch {
	case g.held != "" && (g.until.IsZero() || now.Before(g.until.Add(-grantMargin))):
		return g.held, nil
	case g.err != nil && now.Sub(g.asked) < grantPause:
		return "", g.err
	}
	err := g.renew(ctx, now)
	g.asked, g.err = now, err
	if ctx.Err() != nil {
		g.err = nil // it says nothing of the endpoint
	}
	return g.held, err
}

// renew takes the place of the token that is held.
func (g *grant) renew(ctx context.Context, now time.Time) error {
	g.held, g.until = "", time.Time{}
	token, err := g.ask(ctx, now)
	if err != nil {
		return err
	}
	g.held = token.AccessToken
	if !token.Expiry.IsZero() {
		g.until = now.Add(time.Until(token.Expiry))
	}
	return nil
}

// enter waits for the caller's turn, as long as ctx lasts.
func (g *grant) enter(ctx context.Context) error {
	select {
	case g.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (g *grant) leave() { <-g.turn }

// ask asks the endpoint for a token.
func (g *grant) ask(ctx context.Context, now time.Time) (*oauth2.Token, error) {
	if _, err := g.secret.look(now); err != nil {
		return nil, err
	}
	g.config.ClientSecret = g.secret.value
	token, err := g.config.Token(context.WithValue(ctx, oauth2.HTTPClient, g.client))
	var refusal *oauth2.RetrieveError
	var wrapped *url.Error
	switch {
	case errors.As(err, &refusal):
		return nil, fmt.Errorf("token_url %s: %s: %s", g.name, refusal.Response.Status, reasonOf(refusal))
	case errors.As(err, &wrapped):
		return nil, fmt.Errorf("token_url %s: %w", g.name, wrapped.Err)
	case err != nil:
		return nil, fmt.Errorf("token_url %s: %w", g.name, err)
	}
	return token, nil
}

func reasonOf(refusal *oauth2.RetrieveError) string {
	switch {
	case refusal.ErrorCode == "":
		return excerpt(refusal.Body)
	case refusal.ErrorDescription == "":
		return excerpt([]byte(refusal.ErrorCode))
	}
	return excerpt([]byte(refusal.ErrorCode + ": " + refusal.ErrorDescription))
}

// refused forgets a token that was withdrawn before its end.
func (g *grant) refused(ctx context.Context, token string) {
	if g.enter(ctx) != nil {
		return
	}
	defer g.leave()
	if g.held == token {
		g.held = ""
	}
}

// A source is a file that an option names.
type source struct{ option, path string }

// read returns what a regular file of bounded size holds.
func (s source) read() (string, error) {
	text, err := readRegular(s.path)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", s.option, err)
	}
	return string(text), nil
}

func readRegular(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe would wait
	if err != nil {
		return nil, err
	}
	defer f.Close()
	stat, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !stat.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	case stat.Size() > fileLimit:
		return nil, fmt.Errorf("%s is larger than %d octets", path, fileLimit)
	}
	return io.ReadAll(io.LimitReader(f, fileLimit))
}

// A live value is made from files and made anew when they change. It is the
// content that tells: times and sizes may stay as they were. It is not safe
// for concurrent use.
type live[T any] struct {
	files []source // none: the zero value for ever
	parse func(files []source, texts []string) (T, error)
	value T     // the last good one
	err   error // what is wrong with the files as they are

	looked time.Time
	texts  []string // of the files, or what kept them from being read
}

// look reads the files if it is time to. It tells whether they changed, and
// what is wrong with them.
func (l *live[T]) look(now time.Time) (changed bool, err error) {
	if len(l.files) == 0 || !l.looked.IsZero() && now.Sub(l.looked) < fileRecheck {
		return false, l.err
	}
	l.looked = now
	texts, err := readAll(l.files)
	if err != nil {
		texts = []string{"", err.Error()}
	}
	if slices.Equal(texts, l.texts) {
		return false, l.err
	}
	l.texts, l.err = texts, err
	if err != nil {
		return true, err
	}
	value, err := l.parse(l.files, texts)
	if err != nil {
		l.err = err
		return true, err
	}
	l.value = value
	return true, nil
}

func readAll(files []source) ([]string, error) {
	texts := make([]string, 0, len(files))
	var errs []error
	for _, f := range files {
		text, err := f.read()
		texts, errs = append(texts, text), append(errs, err)
	}
	return texts, errors.Join(errs...)
}

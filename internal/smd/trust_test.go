package smd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// An authority signs certificates for 127.0.0.1 and smd.example.org that serve
// both ends of a connection.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, key: key}
	a.cert = a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, key)
	return a
}

// sign makes a certificate; without a parent it is signed by itself.
func (a *authority) sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.NotBefore = time.Now().Add(-time.Minute)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

// pem is the authority's certificate.
func (a *authority) pem() string { return inPEM("CERTIFICATE", a.cert.Raw) }

// issue makes a certificate with its key, both in PEM.
func (a *authority) issue(name string) (cert, key string) {
	a.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf := a.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		DNSNames:    []string{"smd.example.org"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, private)
	return inPEM("CERTIFICATE", leaf.Raw), inPEM("PRIVATE KEY", der)
}

func inPEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// A secureServer is an HTTPS server whose certificate can be issued again.
type secureServer struct {
	*httptest.Server
	t    *testing.T
	cert atomic.Pointer[tls.Certificate]
	open atomic.Int64 // connections
}

// newSecureServer answers each request with the name in the client's
// certificate, the protocol and the token. It speaks HTTP/2 where the
// configuration names protocols.
func newSecureServer(t *testing.T, config *tls.Config) *secureServer {
	t.Helper()
	s := &secureServer{t: t}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(tell))
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.cert.Load(), nil }
	s.TLS = config
	s.EnableHTTP2 = config.NextProtos != nil
	s.Config.ErrorLog = quiet()
	s.Config.ConnState = s.count
	s.StartTLS()
	// httptest adds a certificate of its own, which would be taken first.
	s.TLS.Certificates = nil
	t.Cleanup(s.Close)
	return s
}

func (s *secureServer) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.open.Add(-1)
	}
}

func tell(w http.ResponseWriter, r *http.Request) {
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		fmt.Fprint(w, r.TLS.PeerCertificates[0].Subject.CommonName, " ")
	}
	fmt.Fprint(w, r.Proto, " ", r.Header.Get("Authorization"))
}

// reissue has the server show another certificate from the next connection on.
func (s *secureServer) reissue(a *authority) {
	s.t.Helper()
	cert, err := tls.X509KeyPair(pair(a.issue("smd")))
	if err != nil {
		s.t.Fatal(err)
	}
	s.cert.Store(&cert)
}

func pair(cert, key string) ([]byte, []byte) { return []byte(cert), []byte(key) }

// A hand is a clock that a test moves.
type hand struct{ ahead atomic.Int64 }

func (h *hand) now() time.Time          { return time.Now().Add(time.Duration(h.ahead.Load())) }
func (h *hand) advance(d time.Duration) { h.ahead.Add(int64(d)) }

// A notebook collects problems.
type notebook struct {
	mu   sync.Mutex
	told []string
}

func (n *notebook) write(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told = append(n.told, text)
}

// take returns what was told since the last time.
func (n *notebook) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	told := n.told
	n.told = nil
	return told
}

// trusting returns a client over the transport of a Trust.
func trusting(t *testing.T, trust Trust, base string) *http.Client {
	t.Helper()
	transport, err := trust.Transport(parsed(t, base))
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Transport: transport, CheckRedirect: sameHost}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func parsed(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// ask returns the body of an answer, or what the error ends with.
func ask(t *testing.T, c *http.Client, target string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return because(t.Context(), err).Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// asks asks and compares.
func asks(t *testing.T, c *http.Client, target, want string) {
	t.Helper()
	if got := ask(t, c, target); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// written writes a file of a test and returns its path.
func written(t *testing.T, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const unknownAuthority = "tls: failed to verify certificate: x509: certificate signed by unknown authority"

// TestRoots has SMD's certificate issued by another authority while the client
// runs.
func TestRoots(t *testing.T) {
	t.Parallel()
	first, second := newAuthority(t, "first"), newAuthority(t, "second")
	smd := newSecureServer(t, &tls.Config{})
	smd.reissue(first)
	folder, clock, notes := t.TempDir(), new(hand), new(notebook)
	file := written(t, folder, "ca.pem", first.pem())
	c := trusting(t, Trust{CAFile: file, OnProblem: notes.write, clock: clock.now}, smd.URL)
	const good = "HTTP/1.1 "
	asks(t, c, smd.URL, good)

	smd.reissue(second)
	c.CloseIdleConnections()
	if got := ask(t, c, smd.URL); !strings.HasPrefix(got, unknownAuthority) {
		t.Errorf("old roots: %s", got)
	}
	written(t, folder, "ca.pem", second.pem())
	if got := ask(t, c, smd.URL); !strings.HasPrefix(got, unknownAuthority) {
		t.Errorf("the file was read again at once: %s", got)
	}
	clock.advance(fileRecheck)
	asks(t, c, smd.URL, good)
	if got := notes.take(); got != nil {
		t.Errorf("problems %q", got)
	}

	// An authority that is not in the file any more is not believed at the
	// next request, although there is a connection.
	written(t, folder, "ca.pem", first.pem())
	clock.advance(fileRecheck)
	if got := ask(t, c, smd.URL); !strings.HasPrefix(got, unknownAuthority) {
		t.Errorf("withdrawn authority: %s", got)
	}
	for range 100 {
		if smd.open.Load() == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if n := smd.open.Load(); n != 0 {
		t.Errorf("%d connections of old are still open", n)
	}
	smd.reissue(first)
	asks(t, c, smd.URL, good)
}

// TestBrokenRoots has changes that cannot be used: the old roots go on, and
// each change is told once.
func TestBrokenRoots(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "first")
	smd := newSecureServer(t, &tls.Config{})
	smd.reissue(ca)
	folder, clock, notes := t.TempDir(), new(hand), new(notebook)
	file := written(t, folder, "ca.pem", ca.pem())
	c := trusting(t, Trust{CAFile: file, OnProblem: notes.write, clock: clock.now}, smd.URL)
	remove := func() { _ = os.Remove(file) }
	none := "reading ca_cert: " + file + " holds no certificate; wanted PEM; what was read before goes on"
	for _, step := range []struct {
		name string
		do   func()
		want []string
	}{
		{"broken", func() { written(t, folder, "ca.pem", "junk") }, []string{none}},
		{"broken in another way", func() { written(t, folder, "ca.pem", ca.pem()[:200]) }, []string{none}},
		{"removed", remove, []string{"reading ca_cert: open " + file + ": no such file or directory; what was read before goes on"}},
		{"still removed", remove, nil},
		{"a folder", func() { _ = os.Mkdir(file, 0o700) }, []string{"reading ca_cert: " + file + " is not a regular file; what was read before goes on"}},
		{"whole", func() { remove(); written(t, folder, "ca.pem", ca.pem()) }, nil},
		{"written anew", func() { written(t, folder, "ca.pem", ca.pem()) }, nil},
	} {
		step.do()
		for range 2 {
			clock.advance(fileRecheck)
			c.CloseIdleConnections()
			asks(t, c, smd.URL, "HTTP/1.1 ")
		}
		if diff := cmp.Diff(step.want, notes.take()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	// Nothing of this needs somebody who listens.
	deaf := trusting(t, Trust{CAFile: file, clock: clock.now}, smd.URL)
	written(t, folder, "ca.pem", "junk")
	clock.advance(fileRecheck)
	asks(t, deaf, smd.URL, "HTTP/1.1 ")
}

// TestCertificateEnds has the end of each certificate told: of several
// authorities that of the first.
func TestCertificateEnds(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "site")
	soon := ca.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "soon"}, IsCA: true, NotAfter: time.Now().Add(time.Minute)}, nil, ca.key)
	smd := newSecureServer(t, &tls.Config{})
	smd.reissue(ca)
	folder := t.TempDir()
	cert, key := ca.issue("dhcp-1")
	roots := ca.pem() + inPEM("PRIVATE KEY", []byte("junk")) + inPEM("CERTIFICATE", soon.Raw) + "junk"
	var mu sync.Mutex
	ends := make(map[string]time.Time)
	trust := Trust{
		CAFile: written(t, folder, "ca.pem", roots), ClientCert: written(t, folder, "cert.pem", cert), ClientKey: written(t, folder, "key.pem", key),
		OnCertificate: func(whose string, end time.Time) {
			mu.Lock()
			defer mu.Unlock()
			ends[whose] = end
		},
	}
	asks(t, trusting(t, trust, smd.URL), smd.URL, "HTTP/1.1 ")
	leaf, _ := pem.Decode([]byte(cert))
	ours, err := x509.ParseCertificate(leaf.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if at := ends["smd"]; time.Until(at) < 50*time.Minute || time.Until(at) > time.Hour {
		t.Errorf("smd ends at %v", at)
	}
	delete(ends, "smd")
	want := map[string]time.Time{"ca_cert": soon.NotAfter, "client_cert": ours.NotAfter}
	if diff := cmp.Diff(want, ends); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestClientCertificate has a server that wants to know who asks.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t, "site"), newAuthority(t, "other")
	clients := x509.NewCertPool()
	clients.AddCert(ca.cert)
	smd := newSecureServer(t, &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients})
	smd.reissue(ca)
	folder, clock, notes := t.TempDir(), new(hand), new(notebook)
	roots := written(t, folder, "ca.pem", ca.pem())
	set := func(cert, key string) (certFile, keyFile string) {
		return written(t, folder, "cert.pem", cert), written(t, folder, "key.pem", key)
	}
	certFile, keyFile := set(ca.issue("dhcp-1"))
	trust := Trust{CAFile: roots, ClientCert: certFile, ClientKey: keyFile, OnProblem: notes.write, clock: clock.now}
	c := trusting(t, trust, smd.URL)
	asks(t, c, smd.URL, "dhcp-1 HTTP/1.1 ")
	turnedDown(t, trusting(t, Trust{CAFile: roots}, smd.URL), smd.URL, "remote error: tls: certificate required")

	cert, key := ca.issue("dhcp-2")
	written(t, folder, "cert.pem", cert)
	clock.advance(fileRecheck)
	asks(t, c, smd.URL, "dhcp-1 HTTP/1.1 ")
	want := []string{"reading client_cert " + certFile + " and client_key " + keyFile + ": tls: private key does not match public key; what was read before goes on"}
	if diff := cmp.Diff(want, notes.take()); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	written(t, folder, "key.pem", key)
	clock.advance(fileRecheck)
	asks(t, c, smd.URL, "dhcp-2 HTTP/1.1 ")

	// A certificate of another issuer is shown all the same, so that the
	// server can say what is wrong with it.
	set(other.issue("dhcp-3"))
	clock.advance(fileRecheck)
	turnedDown(t, c, smd.URL, "remote error: tls: unknown certificate authority")
}

// turnedDown asks until the server's alert is read. It says what it thinks of a
// certificate after the handshake (RFC 8446 section 4.4.2.4), when the request
// may be under way and the connection reset.
func turnedDown(t *testing.T, c *http.Client, target, want string) {
	t.Helper()
	var got string
	for range 50 {
		if got = ask(t, c, target); strings.HasSuffix(got, want) {
			return
		}
	}
	t.Errorf("got  %s\nwant %s", got, want)
}

// TestTrustMistakes has what refuses the start. Mistakes come together.
func TestTrustMistakes(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	ca := newAuthority(t, "site")
	cert, key := ca.issue("dhcp")
	_, foreign := ca.issue("other")
	file := func(name, text string) string { return written(t, folder, name, text) }
	certFile, keyFile, foreignFile := file("cert.pem", cert), file("key.pem", key), file("foreign.pem", foreign)
	word, junk := file("word", "word\n"), file("junk", "no PEM here")
	missing, pipe := filepath.Join(folder, "missing"), filepath.Join(folder, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	at := &url.URL{Scheme: "https", Host: "auth.example.org", Path: "/token"}
	const secure, plain = "https://smd.example.org", "http://smd.example.org:27779"
	for name, c := range map[string]struct {
		base  string
		trust Trust
		want  string // empty: none
	}{
		"nothing":       {secure, Trust{}, ""},
		"nothing plain": {plain, Trust{}, ""},
		"everything":    {secure, Trust{CAFile: certFile, ClientCert: certFile, ClientKey: keyFile, TokenFile: word}, ""},
		"grant":         {secure, Trust{TokenURL: at, ClientID: "id", ClientSecretFile: word}, ""},
		"no CA":         {secure, Trust{CAFile: missing}, "reading ca_cert: open " + missing + ": no such file or directory"},
		"CA of none":    {secure, Trust{CAFile: junk}, "reading ca_cert: " + junk + " holds no certificate; wanted PEM"},
		"CA a pipe":     {secure, Trust{CAFile: pipe}, "reading ca_cert: " + pipe + " is not a regular file"},
		"cert alone":    {secure, Trust{ClientCert: certFile}, "of client_cert and client_key only one is given; wanted both or neither"},
		"key alone":     {secure, Trust{ClientKey: keyFile}, "of client_cert and client_key only one is given; wanted both or neither"},
		"no cert": {
			secure,
			Trust{ClientCert: missing, ClientKey: missing + "2"},
			"reading client_cert: open " + missing + ": no such file or directory\nreading client_key: open " + missing + "2: no such file or directory",
		},
		"foreign key": {
			secure,
			Trust{ClientCert: certFile, ClientKey: foreignFile},
			"reading client_cert " + certFile + " and client_key " + foreignFile + ": tls: private key does not match public key",
		},
		"cert to plain": {plain, Trust{ClientCert: certFile, ClientKey: keyFile}, "client_cert is never shown over plain http; wanted https in svc_base_uri"},
		"no token":      {secure, Trust{TokenFile: missing}, "reading token_file: open " + missing + ": no such file or directory"},
		"two words":     {secure, Trust{TokenFile: junk}, "reading token_file: " + junk + " does not hold one word; wanted that and nothing else"},
		"two sources": {
			secure,
			Trust{TokenFile: word, TokenURL: at, ClientID: "id", ClientSecretFile: word},
			"token_file and token_url are both given; wanted one of them",
		},
		"no secret":   {secure, Trust{TokenURL: at, ClientID: "id", ClientSecretFile: missing}, "reading client_secret_file: open " + missing + ": no such file or directory"},
		"no client":   {secure, Trust{TokenURL: at, ClientSecretFile: word}, "token_url wants client_id and client_secret_file"},
		"no endpoint": {secure, Trust{ClientID: "id"}, "client_id and client_secret_file want token_url"},
		"all together": {secure, Trust{CAFile: junk, ClientKey: keyFile, TokenFile: missing}, strings.Join([]string{
			"of client_cert and client_key only one is given; wanted both or neither",
			"reading ca_cert: " + junk + " holds no certificate; wanted PEM",
			"reading token_file: open " + missing + ": no such file or directory",
		}, "\n")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := c.trust.Transport(parsed(t, c.base))
			if diff := cmp.Diff(c.want, text(err)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestTrustString(t *testing.T) {
	t.Parallel()
	everything := Trust{
		CAFile: "ca.pem", ClientCert: "cert.pem", ClientKey: "key.pem", TokenFile: "token",
		TokenURL: parsed(t, "https://user:word@auth.example.org/token"), ClientID: "dhcp", ClientSecretFile: "secret",
		PlainToken: true,
	}
	want := "ca_cert=ca.pem client_cert=cert.pem client_key=key.pem token_file=token " +
		"token_url=https://user:xxxxx@auth.example.org/token client_id=dhcp client_secret_file=secret token_plain_http=true"
	if got := everything.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := new(Trust).String(); got != "ca_cert=" {
		t.Errorf("nothing set: %s", got)
	}
}

// TestPlainToken says where a token goes: scheme, host and the key.
func TestPlainToken(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "site")
	secure := newSecureServer(t, &tls.Config{NextProtos: []string{"h2"}})
	secure.reissue(ca)
	plain := httptest.NewServer(http.HandlerFunc(tell))
	t.Cleanup(plain.Close)
	folder := t.TempDir()
	roots, token := written(t, folder, "ca.pem", ca.pem()), written(t, folder, "token", "abc.def-123\n")
	const sent1, sent2 = "HTTP/1.1 Bearer abc.def-123", "HTTP/2.0 Bearer abc.def-123"
	const refused = "a token would go over plain http to %s of %s; wanted https, a loopback address, or token_plain_http=true"
	smd := func(host string) string { return fmt.Sprintf(refused, host, "svc_base_uri") }
	for _, c := range []struct {
		base, via  string
		with, bare string // with token_plain_http and without
	}{
		{secure.URL, secure.URL, sent2, sent2},
		{"https://smd.example.org", secure.URL, sent2, sent2},
		{plain.URL, plain.URL, sent1, sent1},
		{"http://localhost:27779", plain.URL, sent1, sent1},
		{"http://[::1]:27779", plain.URL, sent1, sent1},
		{"http://[::ffff:127.0.0.1]", plain.URL, sent1, sent1},
		{"http://127.8.8.8", plain.URL, sent1, sent1},
		{"http://smd.example.org:27779", plain.URL, sent1, smd("smd.example.org:27779")},
		{"http://192.0.2.1", plain.URL, sent1, smd("192.0.2.1")},
		{"http://[2001:db8::1]", plain.URL, sent1, smd("[2001:db8::1]")},
		{"http://localhost.example.org", plain.URL, sent1, smd("localhost.example.org")},
		{"http://127.0.0.1.example.org", plain.URL, sent1, smd("127.0.0.1.example.org")},
	} {
		for allowed, want := range map[bool]string{true: c.with, false: c.bare} {
			t.Run(fmt.Sprint(c.base, allowed), func(t *testing.T) {
				t.Parallel()
				trust := Trust{CAFile: roots, TokenFile: token, PlainToken: allowed}
				if got := through(t, trust, c.base, parsed(t, c.via).Host); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			})
		}
	}
	for base, want := range map[string]string{
		"http://auth.example.org/token":  fmt.Sprintf(refused, "auth.example.org", "token_url"),
		"https://auth.example.org/token": "",
		"http://127.0.0.1:4444/token":    "",
	} {
		grant := Trust{TokenURL: parsed(t, base), ClientID: "id", ClientSecretFile: token}
		if got := text(grant.Validate(parsed(t, "https://smd.example.org"))); got != want {
			t.Errorf("%s: got %q, want %q", base, got, want)
		}
	}
}

// through asks SMD at base with all connections led to one address. It returns
// the answer or what refused the start.
func through(t *testing.T, trust Trust, base, addr string) string {
	t.Helper()
	transport, err := trust.Transport(parsed(t, base))
	if err != nil {
		return err.Error()
	}
	inner := transport.(*sender).next.current
	inner.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	inner.Proxy = nil
	c := &http.Client{Transport: transport}
	defer c.CloseIdleConnections()
	return ask(t, c, base)
}

// TestTokenFile has the file change. Without a token there is no request.
func TestTokenFile(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	smd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		tell(w, r)
	}))
	t.Cleanup(smd.Close)
	folder, clock := t.TempDir(), new(hand)
	file, before := written(t, folder, "token", "one\n"), time.Unix(1e9, 0)
	_ = os.Chtimes(file, before, before)
	c := trusting(t, Trust{TokenFile: file, clock: clock.now}, smd.URL)
	asks(t, c, smd.URL, "HTTP/1.1 Bearer one")
	written(t, folder, "token", "two\n")
	_ = os.Chtimes(file, before, before) // size and time are no help
	asks(t, c, smd.URL, "HTTP/1.1 Bearer one")
	clock.advance(fileRecheck)
	asks(t, c, smd.URL, "HTTP/1.1 Bearer two")

	sent := requests.Load()
	word := "reading token_file: " + file + " does not hold one word; wanted that and nothing else"
	for _, content := range []string{"", " \n", "Bearer three", "thr\x00ee", "three\nfour", "\u00fc"} {
		written(t, folder, "token", content)
		clock.advance(fileRecheck)
		asks(t, c, smd.URL, word)
		asks(t, c, smd.URL, word)
	}
	_ = os.Remove(file)
	clock.advance(fileRecheck)
	asks(t, c, smd.URL, "reading token_file: open "+file+": no such file or directory")
	if n := requests.Load() - sent; n != 0 {
		t.Errorf("%d requests without a token", n)
	}
	written(t, folder, "token", "two")
	clock.advance(fileRecheck)
	asks(t, c, smd.URL, "HTTP/1.1 Bearer two")
}

// An endpoint gives tokens t1, t2, ... for the secret.
type endpoint struct {
	*httptest.Server
	asked    atomic.Int64
	given    atomic.Int64
	lifetime int          // seconds; 0: not told
	instead  atomic.Value // http.HandlerFunc: answers in its place
}

func newEndpoint(t *testing.T, lifetime int) *endpoint {
	t.Helper()
	e := &endpoint{lifetime: lifetime}
	e.instead.Store(http.HandlerFunc(nil))
	e.Server = httptest.NewServer(http.HandlerFunc(e.answer))
	t.Cleanup(e.Close)
	return e
}

func (e *endpoint) answer(w http.ResponseWriter, r *http.Request) {
	e.asked.Add(1)
	if instead := e.instead.Load().(http.HandlerFunc); instead != nil {
		instead(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	id, secret, _ := r.BasicAuth()
	if id != "dhcp" || secret != "s3cret" || r.FormValue("grant_type") != "client_credentials" {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":"invalid_client","error_description":"wrong\nsecret"}`)
		return
	}
	fmt.Fprintf(w, `{"access_token":"t%d","token_type":"bearer"`, e.given.Add(1))
	if e.lifetime > 0 {
		fmt.Fprintf(w, `,"expires_in":%d`, e.lifetime)
	}
	fmt.Fprint(w, "}")
}

// granted is the trust in an endpoint, with a secret in a folder.
func (e *endpoint) granted(t *testing.T, folder, secret string, clock *hand) Trust {
	t.Helper()
	return Trust{
		TokenURL: parsed(t, e.URL+"/token"), ClientID: "dhcp",
		ClientSecretFile: written(t, folder, "secret", secret), clock: clock.now,
	}
}

// teller is an SMD that tells what token it was sent and refuses some.
func teller(t *testing.T) (smd *httptest.Server, withdraw func(string)) {
	t.Helper()
	var withdrawn atomic.Value
	withdrawn.Store("")
	smd = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token := r.Header.Get("Authorization"); token == withdrawn.Load() || token == "" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		tell(w, r)
	}))
	t.Cleanup(smd.Close)
	return smd, func(token string) { withdrawn.Store("Bearer " + token) }
}

// TestGrant has a token live its life: kept, renewed before its end, replaced
// when SMD does not take it any more.
func TestGrant(t *testing.T) {
	t.Parallel()
	smd, withdraw := teller(t)
	e, clock := newEndpoint(t, 300), new(hand)
	c := trusting(t, e.granted(t, t.TempDir(), "s3cret\n", clock), smd.URL)
	if e.asked.Load() != 0 {
		t.Error("the endpoint was asked at the start")
	}
	asks(t, c, smd.URL, "HTTP/1.1 Bearer t1")
	clock.advance(280 * time.Second)
	asks(t, c, smd.URL, "HTTP/1.1 Bearer t1")
	clock.advance(15 * time.Second)
	asks(t, c, smd.URL, "HTTP/1.1 Bearer t2")
	withdraw("t2")
	asks(t, c, smd.URL, "no\n")
	asks(t, c, smd.URL, "HTTP/1.1 Bearer t3")
	// A refusal that was long under way does not concern the token of today.
	c.Transport.(*sender).tokens.refused(t.Context(), "t2")
	asks(t, c, smd.URL, "HTTP/1.1 Bearer t3")
	if n := e.asked.Load(); n != 3 {
		t.Errorf("the endpoint was asked %d times, want 3", n)
	}
}

// A token without an end is kept until SMD refuses it.
func TestGrantWithoutEnd(t *testing.T) {
	t.Parallel()
	smd, withdraw := teller(t)
	e, clock := newEndpoint(t, 0), new(hand)
	c := trusting(t, e.granted(t, t.TempDir(), "s3cret", clock), smd.URL)
	asks(t, c, smd.URL, "HTTP/1.1 Bearer t1")
	clock.advance(1000 * time.Hour)
	asks(t, c, smd.URL, "HTTP/1.1 Bearer t1")
	withdraw("t1")
	asks(t, c, smd.URL, "no\n")
	asks(t, c, smd.URL, "HTTP/1.1 Bearer t2")
}

// TestGrantRefused has an endpoint that gives no token: SMD is not asked, the
// error says why, and the endpoint is asked once a second.
func TestGrantRefused(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	smd := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	t.Cleanup(smd.Close)
	for name, c := range map[string]struct {
		instead http.HandlerFunc
		want    string
	}{
		"wrong secret": {nil, `401 Unauthorized: "invalid_client: wrong\nsecret"`},
		"code alone":   {reply(400, "application/json", `{"error":"invalid_scope"}`), `400 Bad Request: "invalid_scope"`},
		"page":         {reply(503, "text/html", strings.Repeat("x", 999)), `503 Service Unavailable: "` + strings.Repeat("x", 160) + `"...`},
		"not JSON":     {reply(200, "text/html", `<html>`), `oauth2: cannot parse json: invalid character '<' looking for beginning of value`},
		"no token":     {reply(200, "application/json", `{}`), `oauth2: server response missing access_token`},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, smd.URL, http.StatusTemporaryRedirect)
		}, `redirect to ` + smd.URL + ` refused`},
		"reset": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, `EOF`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, clock, folder := newEndpoint(t, 300), new(hand), t.TempDir()
			e.instead.Store(c.instead)
			client := trusting(t, e.granted(t, folder, "wrong", clock), smd.URL)
			want := "token_url " + e.URL + "/token: " + c.want
			asks(t, client, smd.URL, want)
			first := e.asked.Load()
			asks(t, client, smd.URL, want)
			if n := e.asked.Load(); n != first {
				t.Errorf("asked again at once: %d, then %d", first, n)
			}
			e.instead.Store(http.HandlerFunc(nil))
			written(t, folder, "secret", "s3cret")
			clock.advance(grantPause)
			if got := ask(t, client, smd.URL); got != "" {
				t.Errorf("all well again: %s", got)
			}
		})
	}
	t.Cleanup(func() {
		if n := requests.Load(); n != 7 {
			t.Errorf("SMD had %d requests, want the 7 with a token", n)
		}
	})
}

// An endpoint that is down is no reason not to start. A caller who gives up
// while it hangs says nothing of it, and does not wait for another's turn.
func TestGrantPatience(t *testing.T) {
	t.Parallel()
	smd, _ := teller(t)
	e, clock, folder := newEndpoint(t, 300), new(hand), t.TempDir()
	down := Trust{TokenURL: parsed(t, "http://127.0.0.1:1/token"), ClientID: "dhcp", ClientSecretFile: written(t, folder, "secret", "s3cret")}
	asks(t, trusting(t, down, smd.URL), smd.URL, "token_url http://127.0.0.1:1/token: dial tcp 127.0.0.1:1: connect: connection refused")

	c := trusting(t, e.granted(t, folder, "s3cret", clock), smd.URL)
	hang := make(chan struct{})
	e.instead.Store(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body); <-hang }))
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errors.New("gave up"))
			defer cancel()
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, smd.URL, http.NoBody)
			began := time.Now()
			if resp, err := c.Do(req); err == nil {
				resp.Body.Close()
				t.Error("no error")
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("gave up after %v", took)
			}
		})
	}
	all.Wait()
	close(hang)
	e.instead.Store(http.HandlerFunc(nil))
	asks(t, c, smd.URL, "HTTP/1.1 Bearer t1")
}

// TestTokenStaysHome has other places asked, and redirects to them.
func TestTokenStaysHome(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	smd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.URL, http.StatusFound)
		case "/near":
			http.Redirect(w, r, "/here", http.StatusFound)
		default:
			tell(w, r)
		}
	}))
	t.Cleanup(smd.Close)
	token := written(t, t.TempDir(), "token", "abc")
	for name, trust := range map[string]Trust{"token": {TokenFile: token}, "no token": {}} {
		c := trusting(t, trust, smd.URL)
		for _, target := range []string{other.URL, "https://" + parsed(t, smd.URL).Host} {
			asks(t, c, target, "request to "+target+" refused: wanted "+smd.URL)
		}
		asks(t, c, smd.URL+"/away", "redirect to "+other.URL+" refused")
		c.CheckRedirect = nil
		asks(t, c, smd.URL+"/away", "request to "+other.URL+" refused: wanted "+smd.URL)
		want := "HTTP/1.1 "
		if trust.TokenFile != "" {
			want += "Bearer abc"
		}
		asks(t, c, smd.URL+"/near", want)
		if name == "token" {
			// Words in the URL do not stand in for the token.
			asks(t, c, strings.Replace(smd.URL, "://", "://user:word@", 1), want)
		}
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

// The caller's request is not written to.
func TestRequestIsLeftAlone(t *testing.T) {
	t.Parallel()
	smd := httptest.NewServer(http.HandlerFunc(tell))
	t.Cleanup(smd.Close)
	c := trusting(t, Trust{TokenFile: written(t, t.TempDir(), "token", "abc")}, smd.URL)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, smd.URL, http.NoBody)
	resp, err := c.Transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(req.Header) != 0 {
		t.Errorf("header %v", req.Header)
	}
}

func TestStatusOf(t *testing.T) {
	t.Parallel()
	token := written(t, t.TempDir(), "token", "abc")
	for name, c := range map[string]struct {
		status int
		trust  Trust
		want   string
	}{
		"401":            {401, Trust{}, "401 Unauthorized: SMD wants a token (token_file or token_url)"},
		"401 with token": {401, Trust{TokenFile: token}, "401 Unauthorized: SMD does not accept the token"},
		"403":            {403, Trust{}, "403 Forbidden"},
		"403 with token": {403, Trust{TokenFile: token}, "403 Forbidden: the token is not allowed to read the inventory"},
		"500":            {500, Trust{TokenFile: token}, "500 Internal Server Error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			smd := httptest.NewServer(reply(c.status, "text/plain", ""))
			t.Cleanup(smd.Close)
			resp, err := trusting(t, c.trust, smd.URL).Get(smd.URL)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got := statusOf(resp); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestManyAtOnce has the race detector look at requests while files change.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "site")
	smd := newSecureServer(t, &tls.Config{NextProtos: []string{"h2"}})
	smd.reissue(ca)
	folder, clock, notes := t.TempDir(), new(hand), new(notebook)
	e := newEndpoint(t, 60)
	trust := e.granted(t, folder, "s3cret", clock)
	trust.CAFile, trust.OnProblem = written(t, folder, "ca.pem", ca.pem()), notes.write
	c := trusting(t, trust, smd.URL)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 25 {
				if got := ask(t, c, smd.URL); !strings.HasPrefix(got, "HTTP/2.0 Bearer t") {
					t.Error(got)
				}
			}
		})
	}
	all.Go(func() {
		for i := range 20 {
			next := filepath.Join(folder, "next")
			_ = os.WriteFile(next, []byte(ca.pem()+strings.Repeat("\n", i)), 0o600)
			_ = os.Rename(next, trust.CAFile)
			clock.advance(20 * time.Second)
			time.Sleep(5 * time.Millisecond)
		}
	})
	all.Wait()
	if got := notes.take(); got != nil {
		t.Errorf("problems %q", got)
	}
}

// quiet swallows what a server says of handshakes that a test makes fail.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

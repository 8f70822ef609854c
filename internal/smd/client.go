package smd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// An Answer is both collections of an inventory as they came.
type Answer struct{ Interfaces, Components []byte }

// A Source is where an inventory comes from.
type Source interface {
	// Fetch asks for both collections. What it returns is complete.
	Fetch(ctx context.Context) (Answer, error)
}

// The collections of SMD's API below its base URL.
const (
	interfacesPath = "/hsm/v2/Inventory/EthernetInterfaces"
	componentsPath = "/hsm/v2/State/Components"
)

// Limits of one request to SMD.
const (
	stallLimit = 5 * time.Second  // without an octet
	totalLimit = 60 * time.Second // in all
	sizeLimit  = 512 << 20        // octets of one answer
)

// A Client asks SMD over HTTP.
type Client struct {
	base  *url.URL
	http  *http.Client
	stall time.Duration
	total time.Duration
	size  int64
}

// NewClient returns a client of SMD at base. Certificates are verified against
// caFile or, where that is empty, the roots of the system. A caFile that cannot
// be read or holds no certificate is an error.
func NewClient(base *url.URL, caFile string) (*Client, error) {
	roots, err := readRoots(caFile)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return &Client{
		base:  base,
		http:  &http.Client{Transport: transport, CheckRedirect: sameHost},
		stall: stallLimit, total: totalLimit, size: sizeLimit,
	}, nil
}

func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading ca_cert: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading ca_cert: %s holds no certificate; wanted PEM", file)
	}
	return roots, nil
}

// sameHost refuses redirects to another host or away from https.
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case len(via) > 5:
		return errors.New("more than 5 redirects")
	case req.URL.Host != first.Host || req.URL.Scheme != first.Scheme:
		return fmt.Errorf("redirect to %s refused", req.URL.Redacted())
	}
	return nil
}

// Fetch implements Source with two GET requests.
func (c *Client) Fetch(ctx context.Context) (Answer, error) {
	interfaces, err := c.get(ctx, interfacesPath)
	if err != nil {
		return Answer{}, err
	}
	components, err := c.get(ctx, componentsPath)
	return Answer{interfaces, components}, err
}

// get returns the body of a collection. Status and content type are believed
// before the body is.
func (c *Client) get(ctx context.Context, path string) ([]byte, error) {
	target := c.base.JoinPath(path).String()
	body, err := c.read(ctx, target)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", target, err)
	}
	return body, nil
}

func (c *Client) read(ctx context.Context, target string) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx, stop := context.WithTimeoutCause(ctx, c.total, fmt.Errorf("not answered within %v", c.total))
	defer stop()
	watch := time.AfterFunc(c.stall, func() { cancel(fmt.Errorf("no octet for %v", c.stall)) })
	defer watch.Stop()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, because(ctx, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(&watched{resp.Body, watch, c.stall}, c.size+1))
	if err != nil {
		return nil, because(ctx, err)
	}
	return body, c.check(resp, body)
}

// check says what is wrong with an answer before it is decoded.
func (c *Client) check(resp *http.Response, body []byte) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s: %s", resp.Status, excerpt(body))
	case int64(len(body)) > c.size:
		return fmt.Errorf("answer is larger than %d octets", c.size)
	case len(body) == 0:
		return errors.New("200 with an empty body: no such collection")
	case kind != "application/json":
		return fmt.Errorf("content type %q where application/json belongs: %s", resp.Header.Get("Content-Type"), excerpt(body))
	}
	return nil
}

// because replaces the bare word of a cancelled context by its cause, and
// drops the method and URL that net/http puts before an error.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// watched is a body that tells a timer of each octet.
type watched struct {
	io.Reader
	timer *time.Timer
	stall time.Duration
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if n > 0 {
		w.timer.Reset(w.stall)
	}
	return n, err
}

// A Folder is an inventory in files: EthernetInterfaces.json and
// Components.json in SMD's own format.
type Folder struct{ Path string }

// Fetch implements Source.
func (f Folder) Fetch(context.Context) (Answer, error) {
	interfaces, err := readFile(filepath.Join(f.Path, "EthernetInterfaces.json"))
	if err != nil {
		return Answer{}, err
	}
	components, err := readFile(filepath.Join(f.Path, "Components.json"))
	return Answer{interfaces, components}, err
}

// readFile reads a regular file of bounded size.
func readFile(path string) ([]byte, error) {
	stat, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading inventory: %w", err)
	case !stat.Mode().IsRegular():
		return nil, fmt.Errorf("reading inventory: %s is not a regular file", path)
	case stat.Size() > sizeLimit:
		return nil, fmt.Errorf("reading inventory: %s is larger than %d octets", path, int64(sizeLimit))
	}
	return os.ReadFile(path)
}

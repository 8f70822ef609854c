package smd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"
)

// A Source is where an inventory comes from.
type Source interface {
	// Fetch asks for both collections. What it returns is complete.
	Fetch(ctx context.Context) (Answer, error)
}

// An Asker is a source that can be asked about single machines. Where it
// ignores what was asked for, it answers with everything.
type Asker interface {
	Source
	// Interfaces asks for the Ethernet interfaces with these MAC addresses.
	Interfaces(ctx context.Context, macs []MAC) (Body, error)
	// Components asks for the components with these ids; none: for all.
	Components(ctx context.Context, ids []string) (Body, error)
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
)

// DefaultSizeLimit bounds the octets of one answer.
const DefaultSizeLimit = 512 << 20

// A Client asks SMD over HTTP.
type Client struct {
	base  *url.URL
	http  *http.Client
	stall time.Duration
	total time.Duration
	size  int64
}

// NewClient returns a client of SMD at base. Its errors are those of
// Trust.Transport.
func NewClient(base *url.URL, trust Trust) (*Client, error) {
	transport, err := trust.Transport(base)
	if err != nil {
		return nil, err
	}
	return &Client{
		base:  base,
		http:  &http.Client{Transport: transport, CheckRedirect: sameHost},
		stall: stallLimit, total: totalLimit, size: DefaultSizeLimit,
	}, nil
}

// Limit bounds the octets of one answer. It is called before anything is
// asked.
func (c *Client) Limit(octets int64) { c.size = octets }

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
	interfaces, err := c.get(ctx, interfacesPath, nil)
	if err != nil {
		return Answer{}, err
	}
	components, err := c.get(ctx, componentsPath, nil)
	return Answer{interfaces, components}, err
}

// Interfaces implements Asker.
func (c *Client) Interfaces(ctx context.Context, macs []MAC) (Body, error) {
	query := make(url.Values)
	for _, mac := range macs {
		query.Add("MACAddress", mac.String())
	}
	return c.get(ctx, interfacesPath, query)
}

// Components implements Asker.
func (c *Client) Components(ctx context.Context, ids []string) (Body, error) {
	return c.get(ctx, componentsPath, url.Values{"id": ids})
}

// get returns the body of a collection. Status and content type are believed
// before the body is.
func (c *Client) get(ctx context.Context, path string, query url.Values) (Body, error) {
	target := c.base.JoinPath(path)
	target.RawQuery = query.Encode()
	body, err := c.read(ctx, target.String())
	if err != nil {
		target.RawQuery = ""
		return Body{}, fmt.Errorf("GET %s: %w", target, err)
	}
	return body, nil
}

func (c *Client) read(ctx context.Context, target string) (Body, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx, stop := context.WithTimeoutCause(ctx, c.total, fmt.Errorf("not answered within %v", c.total))
	defer stop()
	watch := time.AfterFunc(c.stall, func() { cancel(fmt.Errorf("no octet for %v", c.stall)) })
	defer watch.Stop()

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return Body{}, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return Body{}, because(ctx, err)
	}
	defer resp.Body.Close()
	body, err := readBody(io.LimitReader(&watched{resp.Body, watch, c.stall}, c.size+1))
	if err != nil {
		return Body{}, because(ctx, err)
	}
	return body, c.check(resp, body)
}

// A statusError is an answer with a status other than 200.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return e.text }

// check says what is wrong with an answer before it is decoded.
func (c *Client) check(resp *http.Response, body Body) error {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode != http.StatusOK:
		return &statusError{resp.StatusCode, fmt.Sprintf("%s: %s", statusOf(resp), excerpt(body.head()))}
	case body.Len() > c.size:
		return fmt.Errorf("answer is larger than %d octets", c.size)
	case body.Len() == 0:
		return errors.New("200 with an empty body: no such collection")
	case kind != "application/json":
		return fmt.Errorf("content type %q where application/json belongs: %s", resp.Header.Get("Content-Type"), excerpt(body.head()))
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

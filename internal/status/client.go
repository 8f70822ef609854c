package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Limits of what a client waits for and reads.
const (
	clientWait  = time.Minute
	answerLimit = 1 << 30 // octets
)

// A Client asks the status listener of a server.
type Client struct {
	base string
	http *http.Client
}

// NewClient returns a client of a server at a URL such as http://127.0.0.1:6767,
// or at a socket, unix:PATH. It does not connect yet.
func NewClient(server string) (*Client, error) {
	dial := new(net.Dialer).DialContext
	base := strings.TrimSuffix(server, "/")
	if path, is := strings.CutPrefix(server, "unix:"); is && path != "" {
		base = "http://localhost"
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	} else if u, err := url.Parse(base); err != nil || u.Scheme != "http" || u.Hostname() == "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("%q is no server; wanted a URL such as http://127.0.0.1:6767, or unix:PATH", server)
	}
	// A server has few connections: none is kept.
	transport := &http.Transport{DialContext: dial, DisableKeepAlives: true}
	return &Client{base, &http.Client{Timeout: clientWait, Transport: transport}}, nil
}

// Get asks one of the paths of the API and reads the answer into to. What the
// server refuses is an error with its words.
func (c *Client) Get(ctx context.Context, path string, params Params, to any) error {
	resp, err := c.ask(ctx, path, params)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return answered(resp, to)
}

func (c *Client) ask(ctx context.Context, path string, params Params) (*http.Response, error) {
	query := make(url.Values, len(params))
	for name, value := range params {
		query.Set(name, value)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	var inner *url.Error // it repeats the whole question
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return resp, err
}

func answered(resp *http.Response, to any) error {
	if kind := resp.Header.Get("Content-Type"); kind != "application/json" {
		return fmt.Errorf("the answer is %s of type %q, not JSON: this is no status listener of coresmd", resp.Status, kind)
	}
	body := json.NewDecoder(io.LimitReader(resp.Body, answerLimit))
	if resp.StatusCode == http.StatusOK {
		if err := body.Decode(to); err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		return nil
	}
	var p problemError
	if err := body.Decode(&p); err != nil || p.Detail == "" {
		return fmt.Errorf("the answer is %s", resp.Status)
	}
	return &p
}

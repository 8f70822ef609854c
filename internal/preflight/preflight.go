// Package preflight tries whether what a machine is told to load can be had:
// loaders by TFTP or HTTP, boot scripts, and the kernels and images that
// scripts name. It knows nothing of DHCP, and writes nothing.
package preflight

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Limits of what is waited for and read.
const (
	httpWait    = 10 * time.Second
	scriptLimit = 1 << 20
	mostScripts = 3 // that lead to one another
)

// A Checker tries files. Each is tried once, however many machines load it.
type Checker struct {
	http *http.Client

	mu    sync.Mutex
	tried map[string]func() error // guarded by mu: by what was tried
}

// New returns a Checker. It asks no proxy, as machines do not.
func New() *Checker {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, TLSHandshakeTimeout: httpWait}
	return &Checker{http: &http.Client{Timeout: httpWait, Transport: transport}, tried: make(map[string]func() error)}
}

func (c *Checker) once(what string, try func() error) error {
	c.mu.Lock()
	do, ok := c.tried[what]
	if !ok {
		do = sync.OnceValue(try)
		c.tried[what] = do
	}
	c.mu.Unlock()
	return do()
}

// Loader tries a boot file as firmware loads it: a URL, or a name on a TFTP
// server.
func (c *Checker) Loader(ctx context.Context, server, file string) error {
	switch {
	case file == "":
		return errors.New("it is told of no boot file")
	case strings.Contains(file, "://"):
		return c.Image(ctx, file)
	case server == "":
		return fmt.Errorf("it is told to load %s, and of no server", file)
	}
	return c.once("tftp "+server+" "+file, func() error {
		if err := openTFTP(ctx, server, file); err != nil {
			return fmt.Errorf("loader %s of %s: %w", file, server, err)
		}
		return nil
	})
}

// Image asks for a file by HTTP without loading it.
func (c *Checker) Image(ctx context.Context, target string) error {
	return c.once(target, func() error {
		resp, err := c.do(ctx, http.MethodHead, target)
		var refused *refusal
		if errors.As(err, &refused) && (refused.status == http.StatusMethodNotAllowed || refused.status == http.StatusNotImplemented) {
			resp, err = c.do(ctx, http.MethodGet, target)
		}
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
}

// Script loads the boot script of one machine, and tries the kernel and images
// that it names. Of a script that only leads to another one, that is tried.
func (c *Checker) Script(ctx context.Context, target string) error {
	for range mostScripts {
		from, s, err := c.script(ctx, target)
		switch {
		case err != nil:
			return err
		case len(s.images) == 0 && !s.opaque:
			return fmt.Errorf("boot script %s names no kernel", target)
		case len(s.images) == 0 || s.images[0].what != chained:
			return c.images(ctx, from, s.images)
		}
		next, err := from.Parse(s.images[0].uri)
		if err != nil {
			return fmt.Errorf("boot script %s leads to %q, which is no URI", target, s.images[0].uri)
		}
		target = next.String()
	}
	return fmt.Errorf("boot script %s comes after %d that only lead to another", target, mostScripts)
}

// script loads and reads a script.
func (c *Checker) script(ctx context.Context, target string) (*url.URL, script, error) {
	resp, err := c.do(ctx, http.MethodGet, target)
	if err != nil {
		return nil, script{}, fmt.Errorf("boot script %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, scriptLimit))
	switch {
	case err != nil:
		return nil, script{}, fmt.Errorf("boot script %s: %w", target, err)
	case !strings.HasPrefix(string(text), "#!ipxe"):
		return nil, script{}, fmt.Errorf("boot script %s does not begin with #!ipxe", target)
	}
	return resp.Request.URL, read(string(text)), nil
}

func (c *Checker) images(ctx context.Context, from *url.URL, files []image) error {
	var errs []error
	for _, f := range files {
		u, err := from.Parse(f.uri)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s %q is no URI", f.what, f.uri))
		case u.Scheme == "http" || u.Scheme == "https":
			if err := c.Image(ctx, u.String()); err != nil {
				errs = append(errs, fmt.Errorf("%s %w", f.what, err))
			}
		}
	}
	return errors.Join(errs...)
}

// A refusal is an answer other than the file.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

// do asks; an error names the URL and the reason.
func (c *Checker) do(ctx context.Context, method, target string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", target, err)
	}
	resp, err := c.http.Do(req)
	var inner *url.Error
	switch {
	case errors.As(err, &inner):
		return nil, fmt.Errorf("%s: %w", target, inner.Err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", target, err)
	case resp.StatusCode != http.StatusOK:
		resp.Body.Close()
		return nil, fmt.Errorf("%s: %w", target, &refusal{resp.StatusCode, resp.Status})
	}
	return resp, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/OpenCHAMI/coresmd/internal/status"
)

// A source answers the questions of docs/api.md.
type source interface {
	Get(ctx context.Context, path string, params status.Params, to any) error
}

// answers returns what a verb asks: a configuration with --config, else the
// server.
func (e *env) answers() (source, error) {
	if e.config != "" {
		return e.rehearse()
	}
	if e.inventory != "" {
		return nil, errors.New("--inventory is given without --config; a running server has an inventory of its own")
	}
	client, err := status.NewClient(e.server)
	if err != nil {
		return nil, fmt.Errorf("--server: %w", err)
	}
	return running{client, e.server}, nil
}

// A running source is a server's status listener.
type running struct {
	client *status.Client
	server string
}

// Get asks the server.
func (r running) Get(ctx context.Context, path string, params status.Params, to any) error {
	return r.refused(r.client.Get(ctx, path, params, to))
}

// refused says what to do when no server is there.
func (r running) refused(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) {
		return fmt.Errorf("no server answers at %s; wanted a server here whose directive coresmd says %s, or another --server", r.server, r.wanted())
	}
	if errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("%s may not be opened; wanted the user or the group of the server", r.server)
	}
	if err != nil {
		return fmt.Errorf("asking %s: %w", r.server, err)
	}
	return nil
}

// wanted is the word of a directive that lets a server answer there.
func (r running) wanted() string {
	if path, is := strings.CutPrefix(r.server, "unix:"); is {
		return "http_socket=" + path
	}
	return "http_addr=" + strings.TrimSuffix(strings.TrimPrefix(r.server, "http://"), "/")
}

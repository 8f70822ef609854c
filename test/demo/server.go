package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// program is what make build makes.
const program = "bin/coredhcp"

// A server is a running coredhcp.
type server struct {
	cmd *exec.Cmd
	log *record
}

// start runs the server and waits until it listens.
func (s site) start(ctx context.Context) (*server, error) {
	if _, err := os.Stat(program); err != nil {
		return nil, errors.New("there is no " + program + ": make build")
	}
	log := &record{}
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", s.server, program, "-c", s.path("config.yaml"))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	up := &server{cmd, log}
	for !strings.Contains(log.String(), "istening on ") {
		select {
		case <-ctx.Done():
			_ = up.stop()
			return nil, fmt.Errorf("the server did not start:\n%s", log.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
	fmt.Println("server     coredhcp listens on 192.0.2.1")
	return up, nil
}

func (s *server) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	return s.cmd.Wait()
}

// lines returns what the plugins logged.
func (s *server) lines() string {
	var b strings.Builder
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, "plugins/coresmd") || strings.Contains(line, "plugins/bootloop") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// A record keeps what is written to it.
type record struct {
	mu     sync.Mutex
	buffer bytes.Buffer // guarded by mu
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buffer.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buffer.String()
}

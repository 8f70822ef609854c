package coresmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/args"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/sirupsen/logrus"
)

// listening is where the server tells of itself.
type listening struct {
	addr     string // empty: nowhere
	socket   string // empty: none
	hosts    []string
	readyAge time.Duration
	audit    string // a file; empty: none
}

// statusOptions are those of what the server tells of itself.
func (c *config) statusOptions() args.Options {
	return args.Options{
		{
			Name: "http_addr", Value: args.Of(&c.listening.addr, "an address such as 127.0.0.1:6767", parseListenAddr),
			Help: "Address of the status listener: metrics, readiness, and what the command `coresmd` asks, see docs/api.md. Without a host it is 127.0.0.1. Off unless it is set.",
		},
		{
			Name: "http_socket", Value: args.String(&c.listening.socket, "a file"),
			Help: "Unix socket of the status listener, beside `http_addr` or in its place.",
		},
		{
			Name: "http_host", Value: args.List(&c.listening.hosts, "a name such as dhcp1.example.org", parseHost), Repeat: true,
			Help: "Name that requests to the status listener may have in their Host header, beside IP addresses and `localhost`.",
		},
		{
			Name: "ready_age", Value: args.Duration(&c.listening.readyAge), Default: "10m",
			Help: "Age of the inventory above which `/readyz` says no.",
		},
		{
			Name: "audit", Value: args.String(&c.listening.audit, "a file"),
			Help: "File that a line of JSON is appended to for each lease given, renewed, refused or released, see docs/audit.md. Opened anew on SIGHUP.",
		},
		{
			Name: "record", Value: args.Of(&c.recordSize, "a size from 1MiB to 1024MiB", parseSize),
			Help: "Memory for the last packets with what became of them, which `coresmd pcap` shows; 64MiB hold some 60,000 exchanges. Both families share it, and a reload empties it. Off unless it is set.",
		},
	}
}

func parseListenAddr(text string) (string, error) {
	addr, err := status.Loopback(text)
	if err != nil {
		return "", errors.New("no address and port")
	}
	if _, err := net.ResolveTCPAddr("tcp", addr); err != nil {
		return "", errors.New("no address and port")
	}
	return addr, nil
}

func parseHost(text string) (string, error) {
	if strings.ContainsAny(text, ":/[]") {
		return "", errors.New("not a name without a port")
	}
	return text, nil
}

// startListener starts the status listener, if it is asked for.
func (s *service) startListener() error {
	l := s.listening
	if l.addr == "" && l.socket == "" {
		return nil
	}
	settings := fmt.Sprintf("http_addr=%s http_socket=%s http_host=%s ready_age=%v", l.addr, l.socket, strings.Join(l.hosts, ","), l.readyAge)
	_, err := process.Share(s.process, "status listener", settings, func() (*status.Server, error) {
		listeners, err := l.listen(s.process)
		if err != nil {
			return nil, err
		}
		server := status.New(s.told())
		s.process.Hold(process.Stake{Files: listenerFiles(listeners), Leave: leaveListeners(server, listeners)})
		s.process.Serve(func(ctx context.Context) {
			if err := server.Run(ctx, slices.Collect(maps.Values(listeners))...); err != nil {
				s.log.Errorf("status listener ended: %v", err)
			}
		})
		return server, nil
	})
	return err
}

func (l listening) listen(p *process.Process) (all map[string]net.Listener, err error) {
	all = make(map[string]net.Listener)
	defer func() {
		for _, one := range all {
			if err != nil {
				_ = one.Close()
			}
		}
	}()
	sockets := []struct {
		word, addr string
		open       func(string) (net.Listener, error)
	}{
		{"http_addr", l.addr, func(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }},
		{"http_socket", l.socket, status.Socket},
	}
	for _, s := range sockets {
		if s.addr == "" {
			continue
		}
		name := s.word + " " + s.addr
		one, err := inheritListener(p.Inherited(name))
		if one == nil && err == nil {
			one, err = s.open(s.addr)
		}
		if err != nil {
			return all, fmt.Errorf("%s: %w", s.word, err)
		}
		all[name] = one
	}
	return all, nil
}

// inheritListener is a copy of a predecessor's listener; nil: there is none.
func inheritListener(f *os.File) (net.Listener, error) {
	if f == nil {
		return nil, nil
	}
	l, err := net.FileListener(f)
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(true)
	}
	return l, err
}

// listenerFiles copies listeners for a successor.
func listenerFiles(listeners map[string]net.Listener) func() (map[string]*os.File, error) {
	return func() (map[string]*os.File, error) {
		files := make(map[string]*os.File)
		for name, l := range listeners {
			f, err := process.Duplicate(name, l.(syscall.Conn))
			if err != nil {
				return files, err
			}
			files[name] = f
		}
		return files, nil
	}
}

// leaveListeners leaves them to a successor. The name of a socket in the file
// system stays.
func leaveListeners(server *status.Server, listeners map[string]net.Listener) func(context.Context) {
	return func(ctx context.Context) {
		for _, l := range listeners {
			if u, ok := l.(*net.UnixListener); ok {
				u.SetUnlinkOnClose(false)
			}
		}
		server.Leave(ctx)
	}
}

// told is what the status listener tells.
func (s *service) told() status.Options {
	v := &views{service: s, started: time.Now()}
	table := v.table()
	takes := make(map[string][]string)
	for path, v := range table {
		takes[path] = v.takes
	}
	return status.Options{
		Metrics: promhttp.InstrumentMetricHandler(s.process.Registry, promhttp.HandlerFor(s.process.Registry, promhttp.HandlerOpts{
			ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 4, Timeout: 20 * time.Second,
		})),
		Ready:    s.notReady,
		Takes:    takes,
		Views:    func(path string) status.View { return table[path].view },
		Hosts:    s.listening.hosts,
		Events:   v.events,
		Overview: v.overview,
		Search:   v.search,
		Capture:  v.capture,
		OnPanic: func(value any, r *http.Request) {
			s.metrics.panics.Inc()
			s.log.WithFields(logrus.Fields{"path": printable(r.URL.Path), "panic": value}).Error("a question to the status listener ended in a panic")
		},
	}
}

// notReady says why the server is not ready; nothing: it is.
func (s *service) notReady() []string {
	var why []string
	now := s.cache.Status()
	switch {
	case now.State < smd.Stale:
		why = append(why, "inventory "+now.State.String())
	case time.Since(now.Loaded) > s.listening.readyAge:
		why = append(why, fmt.Sprintf("inventory is %v old; ready_age is %v", time.Since(now.Loaded).Truncate(time.Second), s.listening.readyAge))
	}
	if !s.hears() {
		why = append(why, "no UDP socket for DHCP is open")
	}
	return why
}

// ephemeral is the first port that Linux gives to sockets that ask for none.
const ephemeral = 32768

// hears says that this process has a socket that DHCP may come in by: one that
// is neither TFTP's nor for a moment only.
func (s *service) hears() bool {
	ports, err := status.UDPPorts()
	if err != nil {
		return true // there is no telling
	}
	return slices.ContainsFunc(ports, func(p uint16) bool { return p < ephemeral && p != s.tftpPort })
}

package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/OpenCHAMI/coresmd/coresmd"
	"github.com/OpenCHAMI/coresmd/internal/probe"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/spf13/cobra"
)

const healthHelp = `Ask the server of this host whether it lives, as a health check does. What is
asked follows from its configuration:

  status listener   with http_addr= or http_socket= in the directive coresmd
  DHCP              a request to the server identifier, which is refused and
                    changes nothing; where listen names no interface, since
                    what a host sends to itself comes by loopback
  socket            whether the port of DHCP is open, where nothing else is asked

The first thing that does not answer ends it with status 1. An SMD that is down is
no reason: a restart would not bring it back.`

// healthWait is how long each answer is waited for. Health checks are cut off after ten seconds.
const healthWait = 3 * time.Second

// A vital is one thing that was asked.
type vital struct {
	Asked string `json:"asked"` // status listener, DHCP, socket
	Where string `json:"where"`
	Fault string `json:"fault,omitempty"` // empty: it answers
}

// A health is what health prints.
type health struct {
	Healthy bool    `json:"healthy"`
	Asked   []vital `json:"asked"`
}

func healthVerb(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "health", Short: "Say whether the server of this host answers", Long: healthHelp, Args: cobra.NoArgs,
		Example: "  coresmd health\n  coresmd health -c /etc/coredhcp/config.yaml",
		RunE:    func(c *cobra.Command, _ []string) error { return e.runHealth(c.Context()) },
	}
	c.Flags().StringVarP(&e.config, "config", "c", "", "the configuration file of the server")
	_ = c.MarkFlagFilename("config", "yaml", "yml")
	return c
}

func (e *env) runHealth(ctx context.Context) error {
	path := e.config
	if path == "" {
		found, err := e.findConfig()
		if err != nil {
			return err
		}
		path = found
	}
	c, problems, err := readConfig(path)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return fmt.Errorf("%v; coresmd check tells more", problems[0])
	}
	answer := askAll(ctx, c)
	if err := e.print(answer, answer.table); err != nil {
		return err
	}
	if !answer.Healthy {
		return errWrong
	}
	return nil
}

// askAll asks all that a configuration says can be asked.
func askAll(ctx context.Context, c *configuration) health {
	h := health{Healthy: true}
	add := func(asked, where string, err error) {
		v := vital{Asked: asked, Where: where}
		if err != nil {
			v.Fault, h.Healthy = err.Error(), false
		}
		h.Asked = append(h.Asked, v)
	}
	if where := c.listener(); where != "" {
		add("status listener", where, askListener(ctx, where))
	}
	if server := c.identifier(); server.IsValid() {
		add("DHCP", server.String(), askDHCP(ctx, server))
	}
	if len(h.Asked) == 0 {
		for _, s := range c.servers {
			port := map[string]int{"server4": 67, "server6": 547}[s.name]
			add("socket", fmt.Sprintf("UDP port %d", port), portOpen(port))
		}
	}
	return h
}

func (h health) table(p *page) {
	for _, v := range h.Asked {
		if v.Fault != "" {
			p.line("%s %s: %s", v.Asked, v.Where, v.Fault)
			continue
		}
		p.line("%s %s: answers", v.Asked, v.Where)
	}
}

// listener is where the status listener is asked; empty: there is none.
func (c *configuration) listener() string {
	for _, s := range c.servers {
		for _, d := range s.plugins {
			if d.plugin != coresmd.Plugin.Name {
				continue
			}
			for _, word := range d.texts() {
				if path, is := strings.CutPrefix(word, "http_socket="); is {
					return "unix:" + path
				}
				if addr, is := strings.CutPrefix(word, "http_addr="); is {
					return "http://" + nearest(addr)
				}
			}
		}
	}
	return ""
}

// nearest is where a listener is reached from its own host.
func nearest(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip, _ := netip.ParseAddr(host); err == nil && (host == "" || ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}

// identifier is the server identifier, if the server hears what is sent to it from its own host.
func (c *configuration) identifier() netip.Addr {
	for _, s := range c.servers {
		if s.name != "server4" {
			continue
		}
		for _, w := range s.listen {
			if strings.Contains(w.text, "%") {
				return netip.Addr{}
			}
		}
		for _, d := range s.plugins {
			if d.plugin == "server_id" && len(d.words) == 1 {
				addr, _ := netip.ParseAddr(d.words[0].text)
				return addr
			}
		}
	}
	return netip.Addr{}
}

func askListener(ctx context.Context, where string) error {
	ctx, cancel := context.WithTimeout(ctx, healthWait)
	defer cancel()
	client, err := status.NewClient(where)
	if err != nil {
		return err
	}
	var answer map[string]any
	return client.Get(ctx, "/api/v1/status", nil, &answer)
}

func askDHCP(ctx context.Context, server netip.Addr) error {
	_, err := probe.Probe{Client: server, Server: server, MAC: make(net.HardwareAddr, 6), Wait: healthWait}.Ask(ctx)
	return err
}

// portOpen looks in the kernel's tables for a socket that waits on a port.
func portOpen(port int) error {
	waits := regexp.MustCompile(fmt.Sprintf(`(?m)^ *\d+: [0-9A-F]+:%04X [0-9A-F]+:0000 `, port))
	for _, name := range []string{"/proc/self/net/udp", "/proc/self/net/udp6"} {
		if text, err := os.ReadFile(name); err == nil && waits.Match(text) {
			return nil
		}
	}
	return fmt.Errorf("no process has opened it")
}

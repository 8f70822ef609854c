package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/OpenCHAMI/coresmd/coresmd"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/coredhcp/coredhcp/plugins/sleep"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/spf13/cobra"
)

// offlineFlags gives a verb the flags with which it does without a server.
func (e *env) offlineFlags(c *cobra.Command) {
	c.Flags().StringVarP(&e.config, "config", "c", "", "ask this configuration file, not the running server")
	c.Flags().StringVar(&e.inventory, "inventory", "", "with --config: read this in the place of SMD, a folder with EthernetInterfaces.json and Components.json, or a file with both lists such as a snapshot")
}

// A rehearsal is a configuration whose plugins answer questions and serve nobody.
// A process has one: plugins of CoreDHCP keep package variables.
type rehearsal struct {
	before map[string][]step // coresmd, by section
	view   func(path string) status.View
}

// rehearse sets the plugins of a configuration up.
func (e *env) rehearse() (*rehearsal, error) {
	c, err := e.ready(process.Rehearsal{Inventory: e.inventory})
	if err != nil {
		return nil, err
	}
	r := &rehearsal{before: make(map[string][]step)}
	for _, s := range c.servers {
		chain, err := e.setUp(s.plugins, beforeCoresmd)
		if err != nil {
			return nil, err
		}
		at := slices.IndexFunc(chain, func(s step) bool { return s.plugin == coresmd.Plugin.Name })
		if at < 0 {
			at = len(chain)
		}
		r.before[s.name] = chain[:at]
	}
	view, ok := process.Find[func(string) status.View](process.Here(), status.PublishedViews)
	if !ok {
		return nil, fmt.Errorf("%s has no plugin coresmd", e.config)
	}
	r.view = view
	process.Publish(process.Here(), coresmd.PublishedBefore4, r.reply4)
	process.Publish(process.Here(), coresmd.PublishedBefore6, r.reply6)
	return r, nil
}

// ready reads a configuration whose plugins rehearse, and has them be quiet.
func (e *env) ready(how process.Rehearsal) (*configuration, error) {
	c, problems, err := readConfig(e.config)
	if err == nil {
		err = e.checkInventory()
	}
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, e.mistaken(problems[0])
	}
	quiet(nil)
	process.Here().Rehearse(how)
	e.atEnd(process.Here().Stop)
	return c, nil
}

// checkInventory says that there is nothing where --inventory points.
func (e *env) checkInventory() error {
	if e.inventory == "" {
		return nil
	}
	if _, err := os.Stat(e.inventory); err != nil {
		return fmt.Errorf("--inventory: %w", err)
	}
	return nil
}

func (e *env) mistaken(first problem) error {
	return fmt.Errorf("%s\ncoresmd check -c %s lists all mistakes", first, e.config)
}

// beforeCoresmd says that a plugin of CoreDHCP is wanted: explain asks those before
// coresmd only.
func beforeCoresmd(behind bool) bool { return !behind }

// whole says that all plugins are wanted.
func whole(bool) bool { return true }

// setUp sets up our plugins of a chain, and those of CoreDHCP that are wanted. The
// plugin sleep is left out.
func (e *env) setUp(chain []directive, wanted func(behind bool) bool) (steps []step, err error) {
	folder, err := os.MkdirTemp("", "coresmd") // for what plugins of CoreDHCP write
	if err != nil {
		return nil, err
	}
	e.atEnd(func() { remove(folder) })
	behind := false
	for _, d := range chain {
		known := d.plugin == coresmd.Plugin.Name
		behind = behind || known
		if plugin(d.plugin) == nil {
			return nil, e.mistaken(d.unknown(e.config))
		}
		if !wanted(behind) && !d.ours() || !d.fits() || d.plugin == sleep.Plugin.Name {
			continue
		}
		s, err := d.inFolder(folder).setUp()
		if err != nil {
			return nil, e.mistaken(d.problems(e.config, err)[0])
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// reply6 is a coresmd.Before6: it takes a request through the plugins before
// coresmd.
func (r *rehearsal) reply6(req, resp dhcpv6.DHCPv6) (dhcpv6.DHCPv6, string) {
	for _, s := range r.before["server6"] {
		var stop bool
		if resp, stop = s.handle6(req, resp); stop {
			return resp, s.plugin
		}
	}
	return resp, ""
}

// reply4 is a coresmd.Before4, the same of DHCPv4.
func (r *rehearsal) reply4(req *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, string) {
	resp, err := dhcpv4.NewReplyFromRequest(req)
	if err != nil {
		return nil, "coredhcp"
	}
	kind := dhcpv4.MessageTypeAck
	if req.MessageType() == dhcpv4.MessageTypeDiscover {
		kind = dhcpv4.MessageTypeOffer
	}
	resp.UpdateOption(dhcpv4.OptMessageType(kind))
	for _, s := range r.before["server4"] {
		var stop bool
		if resp, stop = s.handle4(req, resp); stop {
			return resp, s.plugin
		}
	}
	return resp, ""
}

// Get answers as a running server does.
func (r *rehearsal) Get(ctx context.Context, path string, params status.Params, to any) error {
	view := r.view(path)
	if view == nil {
		return errors.New("a configuration does not answer that, only a running server does")
	}
	answer, err := view(ctx, params)
	if err != nil {
		return err
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, to)
}

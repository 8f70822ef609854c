package server

import (
	"errors"

	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/coredhcp/coredhcp/config"
	"github.com/coredhcp/coredhcp/logger"
	"github.com/coredhcp/coredhcp/plugins"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// A handlerOf is the handler of a plugin as CoreDHCP calls it.
type handlerOf[M any] = func(req, resp M) (M, bool)

// A setupOf makes the handler of a directive.
type setupOf[M any] = func(words ...string) (handlerOf[M], error)

// setUp runs the setup function of each directive in the order in which
// CoreDHCP does: all of DHCPv6, then all of DHCPv4.
func setUp(c *config.Config, p *process.Process) (chains, error) {
	logger.GetLogger("plugins").Print("Loading plugins...")
	if c.Server6 == nil && c.Server4 == nil {
		return chains{}, errors.New("no configuration found for either DHCPv6 or DHCPv4")
	}
	v6, err := setUpFamily("DHCPv6", c.Server6, p, setup6)
	if err != nil {
		return chains{}, err
	}
	v4, err := setUpFamily("DHCPv4", c.Server4, p, setup4)
	return chains{v4: v4, v6: v6}, err
}

func setup6(p *plugins.Plugin) setupOf[dhcpv6.DHCPv6] {
	if p.Setup6 == nil {
		return nil
	}
	return func(words ...string) (handlerOf[dhcpv6.DHCPv6], error) { return p.Setup6(words...) }
}

func setup4(p *plugins.Plugin) setupOf[*dhcpv4.DHCPv4] {
	if p.Setup4 == nil {
		return nil
	}
	return func(words ...string) (handlerOf[*dhcpv4.DHCPv4], error) { return p.Setup4(words...) }
}

// setUpFamily runs the setup functions of one family.
func setUpFamily[M any](family string, c *config.ServerConfig, p *process.Process, of func(*plugins.Plugin) setupOf[M]) ([]process.Handler[M], error) {
	if c == nil {
		return nil, nil
	}
	log := logger.GetLogger("plugins")
	chain := make([]process.Handler[M], 0, len(c.Plugins)) // does not move: it may be filled later
	for _, d := range c.Plugins {
		plugin, ok := plugins.RegisteredPlugins[d.Name]
		if !ok {
			return nil, config.ConfigErrorFromString("%s: unknown plugin `%s`", family, d.Name)
		}
		log.Printf("%s: loading plugin `%s`", family, d.Name)
		setup := of(plugin)
		if setup == nil {
			log.Warningf("%s: plugin `%s` has no setup function for %s", family, d.Name, family)
			continue
		}
		at := len(chain)
		chain = append(chain, nil)
		err := atItsTime(d.Name, p, func() (err error) {
			chain[at], err = setUpLink(family, d, p, setup)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return chain, nil
}

// atItsTime calls setup: that of a plugin that reads a store of leases when it is
// set up, and writes it from then on, not before the predecessor has ended.
// Plugins of this module see to that themselves.
func atItsTime(name string, p *process.Process, setup func() error) error {
	if name == "range" {
		return p.Take(setup)
	}
	return setup()
}

// setUpLink runs the setup function of one directive.
func setUpLink[M any](family string, d config.PluginConfig, p *process.Process, setup setupOf[M]) (process.Handler[M], error) {
	process.TakeAware[M](p)
	h, err := setup(d.Args...)
	if err != nil {
		return nil, err
	}
	if h == nil {
		return nil, config.ConfigErrorFromString("no %s handler for plugin %s", family, d.Name)
	}
	if aware := process.TakeAware[M](p); aware != nil {
		return aware, nil
	}
	return func(req, resp M, _ process.Origin) (M, bool) { return h(req, resp) }, nil
}

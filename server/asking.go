package server

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/OpenCHAMI/coresmd/internal/compare"
	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/coredhcp/coredhcp/config"
	"github.com/coredhcp/coredhcp/plugins"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/sirupsen/logrus"
)

// An asking asks the plugins what they would answer.
type asking struct {
	log      *logrus.Entry
	chains   chains
	names4   []string // of the plugins in the chains
	names6   []string
	machines process.Machines
	known    bool   // machines are there
	folder   string // for what plugins of CoreDHCP write
}

// newAsking sets the plugins of a configuration up. The plugin sleep is left out,
// and range has a copy of its file.
func newAsking(c *config.Config, p *process.Process, log *logrus.Entry) (a *asking, err error) {
	a = &asking{log: log}
	if a.folder, err = os.MkdirTemp("", "coredhcp-shadow"); err != nil {
		return nil, err
	}
	for _, section := range []*config.ServerConfig{c.Server4, c.Server6} {
		if section == nil {
			continue
		}
		section.Plugins = slices.DeleteFunc(section.Plugins, func(d config.PluginConfig) bool { return d.Name == "sleep" })
		for i, d := range section.Plugins {
			if d.Name == "range" && len(d.Args) > 0 {
				if section.Plugins[i].Args, err = a.copied(d.Args); err != nil {
					return nil, errors.Join(err, a.close())
				}
			}
		}
	}
	if a.chains, err = setUp(c, p); err != nil {
		return nil, errors.Join(err, a.close())
	}
	a.names4 = names(c.Server4, func(p *plugins.Plugin) bool { return p.Setup4 != nil })
	a.names6 = names(c.Server6, func(p *plugins.Plugin) bool { return p.Setup6 != nil })
	a.machines, a.known = process.Find[process.Machines](p, process.PublishedMachines)
	return a, nil
}

// names are the plugins of a section that take part in its chain.
func names(c *config.ServerConfig, takesPart func(*plugins.Plugin) bool) []string {
	if c == nil {
		return nil
	}
	var all []string
	for _, d := range c.Plugins {
		if takesPart(plugins.RegisteredPlugins[d.Name]) {
			all = append(all, d.Name)
		}
	}
	return all
}

// copied returns the words of a range directive that names a copy of its file.
func (a *asking) copied(words []string) ([]string, error) {
	words = slices.Clone(words)
	from, to := words[0], filepath.Join(a.folder, filepath.Base(words[0]))
	words[0] = to
	for _, suffix := range []string{"", "-wal", "-journal"} {
		if err := copyFile(from+suffix, to+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("copying the leases of range: %w", err)
		}
	}
	return words, nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// close removes what plugins wrote.
func (a *asking) close() error { return os.RemoveAll(a.folder) }

// A decision is who decided on a request, and why.
type decision struct{ plugin, reason string }

// through takes a request through a chain.
func through[M any](a *asking, chain []process.Handler[M], names []string, req, resp M, d *compare.Datagram) (reply M, stopped bool, by decision) {
	defer exchange.Recover(func(value any, stack []byte) {
		a.log.WithField("panic", value).Errorf("a plugin broke\n%s", stack)
		var none M
		reply, stopped, by = none, true, decision{"coredhcp", "a plugin broke"}
	})
	from := process.Origin{Interface: d.Interface, Index: d.Index, Networks: d.Networks, Peer: d.From, Dst: d.To.Addr()}
	for i, link := range chain {
		decided := false
		from.Decided = func(plugin, _, reason string) { by, decided = decision{plugin, reason}, true }
		if resp, stopped = link(req, resp, from); stopped {
			if !decided {
				by = decision{names[i], ""}
			}
			return resp, true, by
		}
	}
	return resp, false, by
}

// ask4 asks what a request of DHCPv4 would be answered. A RELEASE or DECLINE
// is for the incumbent: it changes nothing here.
func (a *asking) ask4(req *dhcpv4.DHCPv4, d *compare.Datagram) compare.Answer {
	answer := compare.Answer{MAC: req.ClientHWAddr.String()}
	if mac, reason := exchange.Mac(req); reason == "" {
		answer.ID = a.id(mac)
	}
	asked := kind4(req)
	kind := kinds4[asked]
	if kind == dhcpv4.MessageTypeNone {
		return answer
	}
	resp := new(dhcpv4.DHCPv4)
	prepare4(resp, req, kind)
	resp, _, by := through(a, a.chains.v4, a.names4, req, resp, d)
	answer.Plugin, answer.Reason = by.plugin, by.reason
	if withheld4(asked, resp) != "" {
		return answer
	}
	if kind4(resp) == dhcpv4.MessageTypeNak && addr4(req.GatewayIPAddr).IsValid() {
		resp.SetBroadcast() // as send4 does
	}
	sent, err := dhcpv4.FromBytes(resp.ToBytes())
	if err != nil {
		answer.Reason = fmt.Sprintf("a reply that cannot be read: %v", err)
		return answer
	}
	answer.V4 = sent
	return answer
}

// ask6 asks what a request of DHCPv6 would be answered.
func (a *asking) ask6(req dhcpv6.DHCPv6, d *compare.Datagram) compare.Answer {
	var answer compare.Answer
	read, _ := exchange.Read6(req)
	if read.Inner == nil {
		return answer
	}
	if mac, reason := read.Mac(d.From.Addr()); reason == "" {
		answer.MAC, answer.ID = net.HardwareAddr(mac[:]).String(), a.id(mac)
	}
	prepared, why := prepare6(read.Inner)
	if why != "" {
		answer.Plugin, answer.Reason = "coredhcp", string(why)
		return answer
	}
	resp, _, by := through(a, a.chains.v6, a.names6, req, dhcpv6.DHCPv6(prepared), d)
	answer.Plugin, answer.Reason = by.plugin, by.reason
	if resp == nil {
		return answer
	}
	said, err := resp.GetInnerMessage()
	if err != nil || !exchange.Says6(read.Inner, said) {
		return answer
	}
	if answer.V6, err = dhcpv6.FromBytes(said.ToBytes()); err != nil {
		answer.V6, answer.Reason = nil, fmt.Sprintf("a reply that cannot be read: %v", err)
	}
	return answer
}

// id is the component of a machine; empty: SMD does not know it.
func (a *asking) id(mac [6]byte) string {
	if !a.known {
		return ""
	}
	return a.machines.ID(mac)
}

package server

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/coredhcp/coredhcp/config"
	"github.com/coredhcp/coredhcp/plugins"
	"github.com/sirupsen/logrus"
)

// An asking is the plugins of a configuration, to be asked.
type asking struct {
	Chains
	folder string // for what plugins of CoreDHCP write
}

// newAsking sets the plugins of a configuration up. The plugin sleep is left out,
// and range has a copy of its file.
func newAsking(c *config.Config, p *process.Process, log *logrus.Entry) (a *asking, err error) {
	a = &asking{Chains: Chains{OnPanic: func(value any, stack []byte) {
		log.WithField("panic", value).Errorf("a plugin broke\n%s", stack)
	}}}
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
	all, err := setUp(c, p)
	if err != nil {
		return nil, errors.Join(err, a.close())
	}
	a.V4, a.V6 = all.v4, all.v6
	a.Names4 = names(c.Server4, func(p *plugins.Plugin) bool { return p.Setup4 != nil })
	a.Names6 = names(c.Server6, func(p *plugins.Plugin) bool { return p.Setup6 != nil })
	a.Machines, _ = process.Find[process.Machines](p, process.PublishedMachines)
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

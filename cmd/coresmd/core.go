package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/OpenCHAMI/coresmd/bootloop"
	"github.com/OpenCHAMI/coresmd/coresmd"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/coredhcp/coredhcp/handler"
	"github.com/coredhcp/coredhcp/logger"
	"github.com/coredhcp/coredhcp/plugins"
	"github.com/coredhcp/coredhcp/plugins/autoconfigure"
	"github.com/coredhcp/coredhcp/plugins/dns"
	"github.com/coredhcp/coredhcp/plugins/file"
	"github.com/coredhcp/coredhcp/plugins/ipv6only"
	"github.com/coredhcp/coredhcp/plugins/leasetime"
	"github.com/coredhcp/coredhcp/plugins/mtu"
	"github.com/coredhcp/coredhcp/plugins/nbp"
	"github.com/coredhcp/coredhcp/plugins/netmask"
	"github.com/coredhcp/coredhcp/plugins/prefix"
	rangeplugin "github.com/coredhcp/coredhcp/plugins/range"
	"github.com/coredhcp/coredhcp/plugins/router"
	"github.com/coredhcp/coredhcp/plugins/searchdomains"
	"github.com/coredhcp/coredhcp/plugins/serverid"
	"github.com/coredhcp/coredhcp/plugins/sleep"
	"github.com/coredhcp/coredhcp/plugins/staticroute"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
)

// all are the plugins of our coredhcp, as resources/plugins.txt has them.
func all() []*plugins.Plugin {
	return []*plugins.Plugin{
		&coresmd.Plugin, &bootloop.Plugin,
		&autoconfigure.Plugin, &dns.Plugin, &file.Plugin, &ipv6only.Plugin, &leasetime.Plugin, &mtu.Plugin, &nbp.Plugin, &netmask.Plugin,
		&prefix.Plugin, &rangeplugin.Plugin, &router.Plugin, &searchdomains.Plugin, &serverid.Plugin, &sleep.Plugin, &staticroute.Plugin,
	}
}

// plugin returns the plugin of a name, which may be one that somebody registered
// with CoreDHCP; nil: there is none.
func plugin(name string) *plugins.Plugin {
	at := slices.IndexFunc(all(), func(p *plugins.Plugin) bool { return p.Name == name })
	if at < 0 {
		return plugins.RegisteredPlugins[name]
	}
	return all()[at]
}

func pluginNames() []string {
	var names []string
	for _, p := range all() {
		names = append(names, p.Name)
	}
	return names
}

// ours says that a plugin can rehearse.
func (d directive) ours() bool {
	return d.plugin == coresmd.Plugin.Name || d.plugin == bootloop.Plugin.Name
}

// fits says that the plugin has a part for the protocol of its section.
func (d directive) fits() bool {
	p := plugin(d.plugin)
	return p != nil && (d.server == "server4" && p.Setup4 != nil || d.server == "server6" && p.Setup6 != nil)
}

// quiet sends what plugins log to a hook, and nowhere else.
func quiet(hook logrus.Hook) {
	log := logger.GetLogger("coresmd").Logger
	logger.WithNoStdOutErr(logrus.NewEntry(log))
	log.ReplaceHooks(make(logrus.LevelHooks))
	if hook != nil {
		log.AddHook(hook)
	}
}

// A step is a plugin of a chain with its handler, of one family.
type step struct {
	plugin  string
	handle4 handler.Handler4
	handle6 handler.Handler6
	aware4  process.Handler[*dhcpv4.DHCPv4] // as a packet loop calls it that tells where a packet came from
	aware6  process.Handler[dhcpv6.DHCPv6]
}

// setUp sets a plugin up.
func (d directive) setUp() (s step, err error) {
	s.plugin = d.plugin
	if p := plugin(d.plugin); d.server == "server4" {
		s.handle4, s.aware4, err = aware(p.Setup4, d.texts())
	} else {
		s.handle6, s.aware6, err = aware(p.Setup6, d.texts())
	}
	return s, err
}

// aware sets a plugin up, and returns both forms of its handler.
func aware[M any, H ~func(req, resp M) (M, bool)](setup func(...string) (H, error), words []string) (H, process.Handler[M], error) {
	process.TakeAware[M](process.Here())
	h, err := setup(words...)
	if a := process.TakeAware[M](process.Here()); a != nil || err != nil {
		return h, a, err
	}
	return h, func(req, resp M, _ process.Origin) (M, bool) { return h(req, resp) }, nil
}

// tryWait bounds what a plugin may take to read its arguments.
const tryWait = 10 * time.Second

// try sets a plugin of CoreDHCP up in a process of its own: its package
// variables stay there, and so does what it breaks. The file that range would
// make is made in a folder that is removed.
func (d directive) try(ctx context.Context) error {
	folder, err := os.MkdirTemp("", "coresmd")
	if err != nil {
		return err
	}
	defer remove(folder)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, tryWait)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, self, append([]string{"try", d.server, d.plugin, "--"}, d.inFolder(folder).texts()...)...)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &errs, time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("it does not read its arguments within %v", tryWait)
	case errors.As(err, &exit) && exit.ExitCode() == exitWrong:
		return errors.New(strings.ReplaceAll(strings.TrimSpace(out.String()), folder+"/", ""))
	}
	first, _, _ := strings.Cut(errs.String(), "\n")
	return fmt.Errorf("it breaks: %w: %s", err, first)
}

// remove removes a folder that is ours. What cannot be removed is below the
// folder of temporary files.
func remove(folder string) { _ = os.RemoveAll(folder) }

// inFolder returns the directive with the file that it would write in a folder.
func (d directive) inFolder(folder string) directive {
	if d.plugin == rangeplugin.Plugin.Name && len(d.words) > 0 {
		d.words = slices.Clone(d.words)
		d.words[0].text = filepath.Join(folder, filepath.Base(d.words[0].text))
	}
	return d
}

// tryVerb is what try starts.
func tryVerb(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "try SERVER PLUGIN -- WORD...", Short: "Set one plugin up", Hidden: true, Args: cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, words []string) error {
			quiet(nil)
			d := directive{server: words[0], plugin: words[1]}
			for _, text := range words[2:] {
				d.words = append(d.words, word{text: text})
			}
			if !d.fits() {
				return fmt.Errorf("%s has no plugin %s", d.server, d.plugin)
			}
			if _, err := d.setUp(); err != nil {
				fmt.Fprintf(e.stdout, "%v\n", err)
				return errWrong
			}
			return nil
		},
	}
}

package server

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/OpenCHAMI/coresmd/internal/version"
	"github.com/coredhcp/coredhcp/logger"
	"github.com/coredhcp/coredhcp/plugins"
	"github.com/spf13/pflag"
)

// Main is a whole program: CoreDHCP with these plugins, on the packet loop of
// this package. It ends the process.
//
// It reads CoreDHCP's configuration file and takes the flags of CoreDHCP's own
// program. SIGHUP has it reload the configuration, and take a new binary into
// service; SIGTERM ends it.
func Main(all ...*plugins.Plugin) {
	o := parseFlags(os.Args)
	switch {
	case o.list:
		for _, p := range all {
			fmt.Println(p.Name)
		}
		return
	case o.version:
		fmt.Print("coredhcp with coresmd, ", version.Read().Details())
		return
	}
	os.Exit(start(o, all))
}

// start lives until the end, and returns the exit status.
func start(o options, all []*plugins.Plugin) int {
	log := logger.GetLogger("main")
	output, err := openLog(o, log.Logger)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer output.flush()
	for _, p := range all {
		if err := plugins.RegisterPlugin(p); err != nil {
			log.Errorf("registering plugin %q: %v", p.Name, err)
			return 1
		}
	}
	if o.shadow {
		return startShadow(o, log)
	}
	return newLife(o, log, output).live()
}

// options are the flags.
type options struct {
	conf    string
	level   string
	format  string
	file    string
	quiet   bool
	list    bool
	version bool

	shadow           bool
	shadowInterfaces []string       // none: all that are up
	shadowAddresses  []netip.Prefix // of this server where an interface has none
}

// prefixes are the values of a flag that is given several times.
type prefixes struct{ all *[]netip.Prefix }

// Set adds a value.
func (p *prefixes) Set(text string) error {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return errors.New("wanted an address with the length of its network, such as 192.0.2.1/24")
	}
	*p.all = append(*p.all, prefix)
	return nil
}

func (p *prefixes) String() string { return "" }

// Type names the kind of value.
func (p *prefixes) Type() string { return "prefix" }

// flags declares them.
func (o *options) flags(program string) *pflag.FlagSet {
	f := pflag.NewFlagSet(program, pflag.ExitOnError)
	f.SortFlags = false
	f.StringVarP(&o.conf, "conf", "c", "", "use this configuration file instead of the default location")
	f.StringVarP(&o.level, "loglevel", "L", "info", "log level: "+levelNames)
	f.StringVar(&o.format, "log-format", "text", "format of log lines: text or json")
	f.StringVarP(&o.file, "logfile", "l", "", "append the log to this file as well")
	f.BoolVarP(&o.quiet, "nostdout", "N", false, "log nothing to stdout and stderr")
	f.BoolVarP(&o.list, "plugins", "P", false, "list the plugins")
	f.BoolVar(&o.version, "version", false, "print the version")
	f.BoolVar(&o.shadow, "shadow", false, "send nothing: listen beside another server, and print what it answers and what this one would")
	f.StringArrayVar(&o.shadowInterfaces, "shadow-interface", nil, "with --shadow: listen on this `INTERFACE`, may be repeated; without it on all that are up, but loopback")
	f.Var(&prefixes{&o.shadowAddresses}, "shadow-address", "with --shadow: the `ADDRESS/LENGTH` of this server on interfaces that have none, such as a mirror port; may be repeated")
	return f
}

// parseFlags ends the process when it cannot read them.
func parseFlags(args []string) options {
	var o options
	f := o.flags(args[0])
	_ = f.Parse(args[1:]) // it ends the process
	if f.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "%s: unknown argument %q; wanted flags only\n", args[0], f.Arg(0))
		os.Exit(2)
	}
	if !o.shadow && (len(o.shadowInterfaces) > 0 || len(o.shadowAddresses) > 0) {
		fmt.Fprintf(os.Stderr, "%s: --shadow-interface and --shadow-address are for --shadow, which is missing\n", args[0])
		os.Exit(2)
	}
	return o
}

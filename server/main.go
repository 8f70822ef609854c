package server

import (
	"fmt"
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
}

// parseFlags ends the process when it cannot read them.
func parseFlags(args []string) options {
	var o options
	f := pflag.NewFlagSet(args[0], pflag.ExitOnError)
	f.StringVarP(&o.conf, "conf", "c", "", "use this configuration file instead of the default location")
	f.StringVarP(&o.level, "loglevel", "L", "info", "log level: "+levelNames)
	f.StringVar(&o.format, "log-format", "text", "format of log lines: text or json")
	f.StringVarP(&o.file, "logfile", "l", "", "append the log to this file as well")
	f.BoolVarP(&o.quiet, "nostdout", "N", false, "log nothing to stdout and stderr")
	f.BoolVarP(&o.list, "plugins", "P", false, "list the plugins")
	f.BoolVar(&o.version, "version", false, "print the version")
	_ = f.Parse(args[1:]) // it ends the process
	if f.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "%s: unknown argument %q; wanted flags only\n", args[0], f.Arg(0))
		os.Exit(2)
	}
	return o
}

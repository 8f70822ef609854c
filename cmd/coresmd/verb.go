package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/OpenCHAMI/coresmd/internal/version"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// verbs are what the command can do, in the order of its help. A verb is made
// for each run, so that its flags hold what this run was given.
var verbs = []func(*env) *cobra.Command{
	explainVerb, lintVerb, unknownVerb, bootsVerb, leasesVerb, watchVerb, pcapVerb, replayVerb, preflightVerb, diffVerb, checkVerb, healthVerb, versionVerb, manVerb, tryVerb, toldVerb,
}

const (
	defaultServer  = "http://127.0.0.1:6767"
	serverVariable = "CORESMD_SERVER"
)

// formats are those of --format.
var formats = []string{"table", "json", "yaml"}

const rootHelp = `coresmd asks a running DHCP server with the plugins coresmd and bootloop why a
machine gets what it gets, and tries configurations beside it. It changes nothing.

The server tells of itself where http_addr= or http_socket= in its directive
coresmd says. --server, or the variable CORESMD_SERVER, says where that is.

Exit status: 0, done; 1, done, and something is wrong with what was asked for;
2, it could not be done: a wrong word, no server, no file.

Colours are for terminals only; the variable NO_COLOR turns them off.`

func newRoot(e *env) *cobra.Command {
	root := &cobra.Command{
		Use: "coresmd", Short: "Ask a DHCP server of OpenCHAMI why machines get what they get", Long: rootHelp,
		SilenceUsage: true, SilenceErrors: true,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error { return e.check() },
	}
	root.CompletionOptions.HiddenDefaultCmd = false
	flags := root.PersistentFlags()
	flags.StringVar(&e.server, "server", cmp.Or(e.getenv(serverVariable), defaultServer), "status listener of the server: a URL, or unix:PATH")
	flags.StringVar(&e.format, "format", "table", "table for people; json or yaml for programs")
	root.Flag("server").DefValue = defaultServer
	_ = root.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	for _, verb := range verbs {
		c := verb(e)
		c.DisableFlagsInUseLine = true
		root.AddCommand(c)
	}
	return root
}

// check finds what is wrong with the flags that all verbs have.
func (e *env) check() error {
	if !slices.Contains(formats, e.format) {
		return fmt.Errorf("--format %q; wanted %s", e.format, strings.Join(formats, ", "))
	}
	return nil
}

// oneWord wants exactly one argument, and says which.
func oneWord(wanted string) cobra.PositionalArgs {
	return func(_ *cobra.Command, words []string) error {
		if len(words) != 1 || strings.TrimSpace(words[0]) == "" {
			return errors.New("wanted " + wanted)
		}
		return nil
	}
}

// A build is what version prints.
type build struct {
	Version   string `json:"version"`
	Commit    string `json:"commit"`
	Built     string `json:"built"`
	GoVersion string `json:"go_version"`
	State     string `json:"state"` // of the tree: clean or dirty
	Host      string `json:"host"`
	User      string `json:"user"`
}

func versionVerb(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this command", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := version.Read()
			return e.print(build{v.Version, v.Commit, v.Time, v.GoVersion, v.State, v.Host, v.User}, func(p *page) {
				for line := range strings.Lines(v.Details()) {
					p.line("%s", strings.TrimSpace(line))
				}
			})
		},
	}
}

// manVerb is for the build.
func manVerb(*env) *cobra.Command {
	return &cobra.Command{
		Use: "man FOLDER", Short: "Write the manual pages into a folder", Args: oneWord("a folder"), Hidden: true,
		RunE: func(c *cobra.Command, words []string) error {
			c.Root().DisableAutoGenTag = true
			header := &doc.GenManHeader{Section: "1", Source: "coresmd", Manual: "OpenCHAMI"}
			return doc.GenManTree(c.Root(), header, words[0])
		},
	}
}

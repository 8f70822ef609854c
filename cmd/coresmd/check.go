package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/OpenCHAMI/coresmd/internal/args"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/coredhcp/coredhcp/config"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
)

const checkHelp = `Check a configuration file without running it. Every mistake is listed at once,
with its place in the file, the number of the argument, and what was wanted; then
warnings of what will not work. Nothing is bound or changed.

The plugins of CoreDHCP read their arguments in processes of their own. SMD is read,
if it answers within five seconds; --inventory names a file in its place.

Without --config it is the file that coredhcp itself would take.

Exit status 1 if there is an error: coredhcp would not start. With --strict also if
there is a warning.`

func checkVerb(e *env) *cobra.Command {
	strict := false
	c := &cobra.Command{
		Use: "check", Short: "Check a configuration file", Long: checkHelp, Args: cobra.NoArgs,
		Example: "  coresmd check -c /etc/coredhcp/config.yaml\n  coresmd check -c config.yaml --inventory inventory.json --strict",
		RunE:    func(c *cobra.Command, _ []string) error { return e.runCheck(c.Context(), strict) },
	}
	c.Flags().BoolVar(&strict, "strict", false, "exit status 1 also for warnings")
	c.Flags().StringVarP(&e.config, "config", "c", "", "the configuration file")
	c.Flags().StringVar(&e.inventory, "inventory", "", "read this in the place of SMD, a folder with EthernetInterfaces.json and Components.json, or a file with both lists such as a snapshot")
	_ = c.MarkFlagFilename("config", "yaml", "yml")
	return c
}

// A problem is something that is wrong with a configuration.
type problem struct {
	Severity string `json:"severity"` // error: coredhcp does not start; warning: something will not work
	File     string `json:"file"`
	place
	Server   string `json:"server,omitempty"` // server4, server6
	Plugin   string `json:"plugin,omitempty"`
	Argument int    `json:"argument,omitempty"` // from 1, comments not counted
	Text     string `json:"text,omitempty"`     // the argument
	Reason   string `json:"reason"`             // what is wrong, and what was wanted
}

// String writes a problem as compilers do.
func (p problem) String() string {
	at := p.File
	for _, n := range []int{p.Line, p.Column} {
		if n > 0 {
			at += fmt.Sprintf(":%d", n)
		}
	}
	return at + ": " + p.Severity + ": " + p.sentence()
}

func (p problem) sentence() string {
	argument := ""
	if p.Argument > 0 {
		argument = fmt.Sprintf("argument %d %q", p.Argument, p.Text)
	}
	return join(": ", join(" ", p.Server, p.Plugin), argument, p.Reason)
}

// Problems are what check prints as JSON and YAML.
type problems struct {
	File     string    `json:"file"`
	Errors   int       `json:"errors"`
	Warnings int       `json:"warnings"`
	Problems []problem `json:"problems"`
}

func (e *env) runCheck(ctx context.Context, strict bool) error {
	if e.config == "" {
		found, err := e.findConfig()
		if err != nil {
			return err
		}
		e.config = found
	}
	c, found, err := readConfig(e.config)
	if err == nil {
		err = e.checkInventory()
	}
	if err != nil {
		return err
	}
	k := &checker{env: e, ctx: ctx, configuration: c, found: found}
	k.check()
	answer := k.answer()
	if err := e.print(answer, func(p *page) { p.problems(answer) }); err != nil {
		return err
	}
	if answer.Errors > 0 || strict && answer.Warnings > 0 {
		return errWrong
	}
	return nil
}

func (p *page) problems(a problems) {
	for _, one := range a.Problems {
		before, after, _ := strings.Cut(one.String(), one.Severity+":")
		p.put("", "%s", before)
		p.put(colours[one.Severity], "%s:", one.Severity)
		p.line("%s", after)
	}
	p.line("%s, %s in %s", plural(a.Errors, "error"), plural(a.Warnings, "warning"), a.File)
}

// A checker looks at one configuration.
type checker struct {
	*configuration
	env   *env
	ctx   context.Context
	found []problem

	current directive // that is being set up
}

func (k *checker) check() {
	quiet(k)
	formed := len(k.found) == 0
	if _, err := config.Load(k.path); err != nil && formed {
		k.refused(err)
	}
	for _, s := range k.servers {
		k.listening(s)
		k.order(s)
	}
	k.setUpAll()
	if formed && !slices.ContainsFunc(k.found, func(p problem) bool { return p.Severity == "error" }) {
		k.surroundings()
	}
}

// refused notes an error of CoreDHCP's own reading, which is of the form of an
// address to listen on.
func (k *checker) refused(err error) {
	p := problem{Severity: "error", Reason: strings.TrimPrefix(err.Error(), "error parsing config: ")}
	for _, s := range k.servers {
		for _, w := range s.listen {
			if p.Line == 0 && strings.Contains(p.Reason, w.text) {
				p.Server, p.place = s.name, w.place
			}
		}
	}
	k.add(p)
}

// add notes a problem.
func (k *checker) add(p problem) {
	p.File = k.path
	k.found = append(k.found, p)
}

func (k *checker) warn(d directive, at place, format string, a ...any) {
	k.add(problem{Severity: "warning", place: at, Server: d.server, Plugin: d.plugin, Reason: fmt.Sprintf(format, a...)})
}

func (k *checker) answer() problems {
	a := problems{File: k.path, Problems: slices.Clone(k.found)}
	slices.SortStableFunc(a.Problems, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Argument, b.Argument))
	})
	for _, p := range a.Problems {
		if p.Severity == "error" {
			a.Errors++
		} else {
			a.Warnings++
		}
	}
	if a.Problems == nil {
		a.Problems = []problem{}
	}
	return a
}

// setUpAll sets all plugins up: CoreDHCP's in processes of their own, ours as a
// rehearsal in this one.
func (k *checker) setUpAll() {
	process.Here().Rehearse(process.Rehearsal{Inventory: k.env.inventory})
	k.env.atEnd(process.Here().Stop)
	for _, s := range k.servers {
		errs := k.tryAll(s.plugins)
		for i, d := range s.plugins {
			k.current = d
			switch {
			case plugin(d.plugin) == nil:
				k.add(d.unknown(k.path))
			case !d.fits():
				k.warn(d, d.place, "it has no part for %s: it is left out", d.server)
			case d.ours():
				k.found = append(k.found, k.rehearse(d)...)
			default:
				k.found = append(k.found, d.problems(k.path, errs[i])...)
			}
		}
	}
}

// rehearse returns what is wrong with a directive of ours. Where it has words that
// are wrong, it is tried without them too, for what only files can show.
func (k *checker) rehearse(d directive) []problem {
	_, err := d.setUp()
	found := d.problems(k.path, err)
	rest := d
	rest.words = slices.DeleteFunc(slices.Clone(d.words), func(w word) bool {
		return slices.ContainsFunc(found, func(p problem) bool { return p.Argument > 0 && p.place == w.place })
	})
	if len(rest.words) == len(d.words) {
		return found
	}
	if _, err := rest.setUp(); err != nil && !d.misread(err) {
		found = append(found, d.problems(k.path, err)...)
	}
	return found
}

// misread says that an error is one of the words of a directive of ours.
func (d directive) misread(err error) bool {
	return strings.HasPrefix(err.Error(), d.plugin+" directive:\n")
}

// atOnce is how many processes try plugins at a time.
const atOnce = 4

// tryAll tries the plugins of CoreDHCP, and returns the error of each.
func (k *checker) tryAll(all []directive) []error {
	errs := make([]error, len(all))
	turns := make(chan struct{}, atOnce)
	var tries sync.WaitGroup
	for i, d := range all {
		if d.ours() || !d.fits() {
			continue
		}
		tries.Go(func() {
			turns <- struct{}{}
			errs[i] = d.try(k.ctx)
			<-turns
		})
	}
	tries.Wait()
	return errs
}

func (d directive) unknown(path string) problem {
	return problem{
		Severity: "error", File: path, place: d.place, Server: d.server, Plugin: d.plugin,
		Reason: "there is no such plugin; " + args.Suggest(d.plugin, pluginNames()),
	}
}

// problems are those of an error of a plugin's Setup: one for each mistake.
func (d directive) problems(path string, err error) []problem {
	if err == nil {
		return nil
	}
	at := func(reason string) problem {
		reason = strings.TrimPrefix(reason, d.plugin+": ")
		return problem{Severity: "error", File: path, place: d.place, Server: d.server, Plugin: d.plugin, Reason: strings.ReplaceAll(reason, "\n", "; ")}
	}
	if d.misread(err) {
		err = errors.Unwrap(err)
	}
	var all []problem
	_, places, _ := args.Uncomment(d.texts())
	for _, one := range flat(err) {
		p := at(one.Error())
		var mistake args.Error
		if errors.As(one, &mistake) {
			p.Reason, p.Argument, p.Text = mistake.Reason, mistake.Arg, mistake.Text
			if n := mistake.Arg - 1; n >= 0 && n < len(places) {
				p.place = d.words[places[n]].place
			}
		} else if n := d.culprit(p.Reason); n >= 0 {
			p.Argument, p.Text, p.place = n+1, d.words[n].text, d.words[n].place
		}
		all = append(all, p)
	}
	return all
}

// culprit returns the word that an error of a plugin of CoreDHCP speaks of; -1:
// that cannot be told.
func (d directive) culprit(reason string) int {
	if d.ours() {
		return -1
	}
	found := -1
	for i, w := range d.words {
		switch {
		case len(d.words) > 1 && !strings.Contains(reason, w.text):
		case found >= 0:
			return -1
		default:
			found = i
		}
	}
	return found
}

// flat lists the errors that are joined in one.
func flat(err error) []error {
	var all []error
	switch several := err.(type) { //nolint:errorlint // what is wrapped keeps its words
	case args.Errors:
		for _, one := range several {
			all = append(all, one)
		}
	case interface{ Unwrap() []error }:
		for _, one := range several.Unwrap() {
			all = append(all, flat(one)...)
		}
	default:
		all = append(all, err)
	}
	return all
}

// Levels implements logrus.Hook: what plugins warn of while they are set up is
// a warning of check.
func (*checker) Levels() []logrus.Level { return []logrus.Level{logrus.WarnLevel, logrus.ErrorLevel} }

// Fire implements logrus.Hook. Faults of the inventory are for lint.
func (k *checker) Fire(line *logrus.Entry) error {
	if k.current.ours() && !strings.HasPrefix(line.Message, "inventory: ") {
		k.warn(k.current, k.current.place, "%s", line.Message)
	}
	return nil
}

package main

import (
	"fmt"

	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/spf13/cobra"
)

// everything is the limit of a question for a list.
const everything = "100000"

const lintHelp = `List the faults of the inventory, the most severe first, each with what to type to
mend it in SMD: machines that get no lease (error), and ones that may get a wrong
one (warning).

Exit status 1 if there is an error; with --strict also if there is a warning.`

func lintVerb(e *env) *cobra.Command {
	strict := false
	c := &cobra.Command{
		Use: "lint", Short: "List the faults of the inventory, and what mends them", Long: lintHelp, Args: cobra.NoArgs,
		Example: "  coresmd lint\n  coresmd lint -c config.yaml --inventory inventory.json",
		RunE:    func(c *cobra.Command, _ []string) error { return e.lint(c, strict) },
	}
	c.Flags().BoolVar(&strict, "strict", false, "exit status 1 also for warnings")
	e.offlineFlags(c)
	return c
}

func (e *env) lint(c *cobra.Command, strict bool) error {
	from, err := e.answers()
	if err != nil {
		return err
	}
	var answer status.Faults
	if err := from.Get(c.Context(), status.PathFaults, status.Params{"limit": everything}, &answer); err != nil {
		return err
	}
	if answer.Inventory.AgeSeconds < 0 {
		return fmt.Errorf("the server never read %s: there is no inventory; its log says why", answer.Inventory.Source)
	}
	if err := e.print(answer, func(p *page) { p.faults(&answer) }); err != nil {
		return err
	}
	for _, f := range answer.Faults {
		if f.Severity == "error" || strict {
			return errWrong
		}
	}
	return nil
}

func (p *page) faults(a *status.Faults) {
	counts := map[string]int{}
	for _, f := range a.Faults {
		counts[f.Severity]++
		p.put(colours[f.Severity], "%s:", f.Severity)
		p.line(" %s", join(" ", f.ID, f.MAC, f.Kind+":", f.Reason))
		if f.Mend != "" {
			p.field("", "mend: %s", f.Mend)
		}
	}
	if left := a.Total - len(a.Faults); left > 0 {
		p.line("and %d more", left)
	}
	p.line("%s, %s in %s", plural(counts["error"], "error"), plural(counts["warning"], "warning"), inventoryLine(a.Inventory))
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

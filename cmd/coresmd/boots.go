package main

import (
	"fmt"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/spf13/cobra"
)

const bootsHelp = `Show how far the machines of SMD have come with their boot, as far as a DHCP and
TFTP server sees it: those that are stuck first, the one that tries for the longest
time before the others, with what that usually means and what to do about it.

The steps are discover (asks for an address), ack (has it), loader (fetched its boot
file), ipxe (iPXE asks), script (was given its script), up (has its address and does
not boot). With WORD it is that machine alone: a MAC, an xname, an IP address or a
host name.

Exit status 1 if a machine is stuck.`

func bootsVerb(e *env) *cobra.Command {
	all := false
	c := &cobra.Command{
		Use: "boots [WORD]", Short: "Show how far machines have come, and who is stuck where", Long: bootsHelp, Args: cobra.MaximumNArgs(1),
		Example: "  coresmd boots\n  coresmd boots --all\n  coresmd boots x3000c0s0b0n0",
		RunE:    func(c *cobra.Command, words []string) error { return e.boots(c, words, all) },
	}
	c.Flags().BoolVar(&all, "all", false, "list also machines that are not stuck")
	return c
}

func (e *env) boots(c *cobra.Command, words []string, all bool) error {
	from, err := e.answers()
	if err != nil {
		return err
	}
	params := status.Params{"limit": everything}
	if len(words) > 0 {
		params["machine"], all = words[0], true
	}
	var answer status.Boots
	if err := from.Get(c.Context(), status.PathBoots, params, &answer); err != nil {
		return err
	}
	if !all {
		answer.Machines = answer.Machines[:min(answer.Stuck, len(answer.Machines))]
	}
	if err := e.print(answer, func(p *page) { p.boots(&answer, time.Now()) }); err != nil {
		return err
	}
	if answer.Stuck > 0 {
		return errWrong
	}
	return nil
}

func (p *page) boots(a *status.Boots, now time.Time) {
	for _, b := range a.Machines {
		p.boot(&b, now)
	}
	if a.Total+a.Silent == 1 {
		return // it is about one machine
	}
	rows := [][]string{{"STEP", "MACHINES", "STUCK"}}
	for _, s := range a.Steps {
		rows = append(rows, []string{s.Step, fmt.Sprint(s.Machines), fmt.Sprint(s.Stuck)})
	}
	p.rows(func(string) string { return "" }, rows...)
	p.line("%s heard, %d not heard", plural(a.Total, "machine"), a.Silent)
}

// boot writes a machine: its steps, and how long each took.
func (p *page) boot(b *status.Boot, now time.Time) {
	colour := ""
	if b.Stuck {
		colour = red
	}
	p.put(colour, "%s", b.ID)
	p.line(" %s", join(", ", join(" ", b.Hostname, b.MAC, b.Address), "step "+b.Step, "heard "+ago(now.Sub(b.Last))))
	steps := ""
	for _, s := range b.Steps {
		steps = join(" ", steps, s.Step, fmt.Sprintf("+%s", time.Duration(s.Seconds*float64(time.Second)).Round(10*time.Millisecond)))
	}
	p.field("", "%s", steps)
	if b.Stuck {
		p.field("", "stuck for %s, %s: %s", time.Duration(b.StuckSeconds*float64(time.Second)).Round(time.Second), tries(b.Tries), b.Hint)
		p.field("", "mend: %s", b.Mend)
	}
}

func tries(n int) string {
	if n == 1 {
		return "1 try"
	}
	return fmt.Sprintf("%d tries", n)
}

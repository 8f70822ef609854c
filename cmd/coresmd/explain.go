package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/spf13/cobra"
)

// Limits of what is shown of one machine, so that it fits a screen. JSON and
// YAML have everything.
const (
	mostRules  = 8
	mostEvents = 6
	mostOthers = 4
)

const explainHelp = `Explain what a machine would be told, and why: what is wrong with it first, with
what to do about it; then what SMD holds of it, the network it asks from, each
rule with a match or the first thing that did not, the reply option by option,
and what the machine did lately.

WORD is a MAC in any writing, an xname, an IP address, or a host name. What no
flag says is taken as the machine was last heard.

With --config the question is put to a configuration file, not to the running
server: to its plugins up to coresmd, and bootloop. Nothing is bound or written.`

func explainVerb(e *env) *cobra.Command {
	ask := map[string]*string{}
	c := &cobra.Command{
		Use: "explain WORD", Short: "Explain what a machine would be told, and why", Long: explainHelp,
		Example: "  coresmd explain x3000c0s0b0n0\n  coresmd explain 02:00:00:00:00:01 --arch 7 --giaddr 192.0.2.254\n" +
			"  coresmd explain nid0001 -c config.yaml --inventory inventory.json",
		Args: oneWord("one machine: a MAC, an xname, an IP address or a host name"),
		RunE: func(c *cobra.Command, words []string) error {
			params := status.Params{"machine": words[0]}
			for name, value := range ask {
				if *value != "" {
					params[strings.ReplaceAll(name, "-", "_")] = *value
				}
			}
			return e.explain(c, params)
		},
	}
	for _, f := range []struct{ name, help string }{
		{"giaddr", "the relay that it asks through, an address of either family; none: it asks directly"},
		{"arch", "its architecture, a number such as 7 (option 93, of DHCPv6 61); it is a PXE client then"},
		{"class", "its vendor class (option 60, of DHCPv6 16)"},
		{"user-class", "its user class (option 77, of DHCPv6 15); iPXE for iPXE"},
		{"message", "DISCOVER, REQUEST or INFORM; of DHCPv6 SOLICIT, REQUEST, RENEW, REBIND, CONFIRM or INFORMATION-REQUEST"},
	} {
		ask[f.name] = c.Flags().String(f.name, "", f.help)
	}
	e.offlineFlags(c)
	return c
}

func (e *env) explain(c *cobra.Command, params status.Params) error {
	from, err := e.answers()
	if err != nil {
		return err
	}
	var answer status.Explanation
	if err := from.Get(c.Context(), status.PathExplain, params, &answer); err != nil {
		return err
	}
	if err := e.print(answer, func(p *page) { p.explanation(&answer, time.Now()) }); err != nil {
		return err
	}
	if slices.ContainsFunc(answer.Findings, func(f status.Finding) bool { return f.Severity == "error" }) {
		return errWrong
	}
	return nil
}

// explanation writes one machine on one screen.
func (p *page) explanation(a *status.Explanation, now time.Time) {
	for _, f := range a.Findings {
		p.put(colours[f.Severity], "%s:", f.Severity)
		p.line(" %s", f.Text)
		if f.Mend != "" {
			p.field("", "mend: %s", f.Mend)
		}
	}
	p.asked(a)
	p.machine(a)
	p.field("inventory", "%s", inventoryLine(a.State))
	if n := a.Network; n != nil {
		p.field("network", "%s", join(", ", n.Prefix, n.By, prefixed("router ", strings.Join(n.Routers, " ")), prefixed("address ", n.Address)))
	}
	p.ruleLines(a.Rules)
	p.reply(a)
	p.history(a.Journal, now)
}

// field writes a line of a screen, with its name in front.
func (p *page) field(name, format string, args ...any) {
	p.put(bold, "%s", name)
	p.put("", "%s", strings.Repeat(" ", max(1, 11-len(name))))
	p.line(format, args...)
}

func (p *page) asked(a *status.Explanation) {
	q := a.Query
	p.field("asked", "%s", join(", ", q.Machine, q.Message, prefixed("giaddr ", q.Giaddr), prefixed("arch ", q.Arch),
		prefixed("class ", q.Class), prefixed("user class ", q.UserClass)))
}

func (p *page) machine(a *status.Explanation) {
	if a.MAC == "" {
		return
	}
	m := a.Machine
	if m == nil {
		p.field("machine", "%s, not in SMD", a.MAC)
		return
	}
	nid, disabled := "", ""
	if m.NID != nil {
		nid = fmt.Sprintf("NID %d", *m.NID)
	}
	if m.Disabled {
		disabled = "disabled"
	}
	p.field("machine", "%s", join(", ", m.MAC, m.ID, m.Type, nid, m.Role, m.SubRole, m.Class, m.Arch, prefixed("state ", m.State), disabled))
	p.field("addresses", "%s", join(", ", strings.Join(m.Addresses, " "), prefixed("host name ", m.Hostname)))
	for i, o := range a.Others {
		if i == mostOthers {
			p.field("", "and %d more interfaces", len(a.Others)-i)
			break
		}
		p.field("also", "%s", join(", ", o.MAC, o.ID, strings.Join(o.Addresses, " ")))
	}
}

func inventoryLine(i status.Inventory) string {
	age := "never read"
	if i.AgeSeconds >= 0 {
		age = "read " + ago(time.Duration(i.AgeSeconds*float64(time.Second)))
	}
	return fmt.Sprintf("%s, %s, %s, %d machines, %d faults", i.Source, i.State, age, i.Machines, i.Faults)
}

func (p *page) ruleLines(rules []status.Rule) {
	for i, r := range rules {
		number := fmt.Sprintf("rule %d", r.Number)
		if i == mostRules && len(rules) > mostRules+1 {
			p.field("", "and %d more: --format json has them", len(rules)-i)
			return
		}
		why := ""
		if r.Key != "" {
			why = fmt.Sprintf(": %s is %s, wanted %s", r.Key, orNothing(r.Have), r.Want)
		}
		name := r.Name
		if name == number {
			name = ""
		}
		p.field(number, "%s", join(" ", name, r.Result)+why)
	}
}

func (p *page) reply(a *status.Explanation) {
	v := a.Verdict
	p.field("answer", "%s", join(", ", join(" by ", v.Answer, v.Plugin), v.Reason))
	for _, o := range a.Reply {
		name := o.Name
		if o.Code != 0 {
			name = fmt.Sprintf("%d %s", o.Code, o.Name)
		}
		p.field("", "%-34s %s", name, o.Value)
	}
	if a.Prepared != "" {
		p.field("", "(%s)", a.Prepared)
	}
}

// history writes what a machine did, the latest last.
func (p *page) history(h *status.History, now time.Time) {
	if h == nil {
		p.field("lately", "not heard")
		return
	}
	p.field("lately", "%s", join(", ", "first heard "+ago(now.Sub(h.First)), "last "+ago(now.Sub(h.Last)), prefixed("step ", h.Step),
		prefixed("giaddr ", h.Giaddr), prefixed("port ", join(" ", h.CircuitID, h.RemoteID))))
	for _, ev := range h.Events[max(0, len(h.Events)-mostEvents):] {
		times := ""
		if ev.Times > 1 {
			times = fmt.Sprintf("%d times", ev.Times)
		}
		p.field("", "%s  %s", ev.Last.Local().Format(time.TimeOnly), join(", ",
			join(" ", ev.Kind, ev.Message, prefixed("-> ", ev.Verdict)), ev.Address, ev.Bootfile, ev.Reason, times))
	}
}

// join joins what is not empty.
func join(between string, words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), between)
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}

// ago says how long something is past.
func ago(d time.Duration) string {
	switch d = max(d, 0); {
	case d < 2*time.Second:
		return "just now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d seconds ago", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes ago", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours ago", d/time.Hour)
	}
	return fmt.Sprintf("%d days ago", d/(24*time.Hour))
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/OpenCHAMI/coresmd/internal/compare"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/spf13/cobra"
)

const diffHelp = `Compare two configurations: for each machine of the inventory, what would be answered
differently to it as a BIOS, a UEFI and an iPXE client, and as an operating system.
Nothing is bound or written.

Each machine asks directly, or through the router of its network where it gets no
address without. A machine that is in the inventory of one of them only is listed
too: configurations that name different SMDs have different ones.

Exit status 1 if something differs.`

// diffClients are the clients that machines are compared as, in this order.
var diffClients = []string{"bios", "uefi", "ipxe", "system"}

// differences are what diff prints.
type differences struct {
	Machines []changed `json:"machines"` // that are answered differently
	Compared int       `json:"compared"`
}

// A changed is a machine that is answered differently.
type changed struct {
	MAC     string   `json:"mac"`
	ID      string   `json:"id"`
	Changes []change `json:"changes"`
}

// A change is a part of an answer that differs, for some clients alike.
type change struct {
	Clients []string `json:"clients"`
	What    string   `json:"what"`
	Old     string   `json:"old,omitempty"` // empty: not there
	New     string   `json:"new,omitempty"`
}

func diffVerb(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "diff OLD NEW", Short: "Compare what two configurations would answer", Long: diffHelp, Args: cobra.ExactArgs(2),
		Example: "  coresmd diff config.yaml new.yaml\n  coresmd diff config.yaml new.yaml --inventory inventory.json",
		RunE:    func(c *cobra.Command, words []string) error { return e.diff(c.Context(), words[0], words[1]) },
	}
	c.Flags().StringVar(&e.inventory, "inventory", "", "read this in the place of SMD, a folder with EthernetInterfaces.json and Components.json, or a file with both lists such as a snapshot")
	return c
}

// toldVerb is what diff starts: a process rehearses one configuration.
func toldVerb(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "told", Short: "Print what machines would be told", Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			from, err := e.answers()
			if err != nil {
				return err
			}
			all := make([]status.Answers, len(diffClients))
			for i, client := range diffClients {
				if err := from.Get(c.Context(), status.PathAnswers, status.Params{"client": client, "limit": everything}, &all[i]); err != nil {
					return err
				}
			}
			return json.NewEncoder(e.stdout).Encode(all)
		},
	}
	e.offlineFlags(c)
	return c
}

// told runs toldVerb for a configuration.
func (e *env) told(ctx context.Context, config string) ([]status.Answers, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, self, "told", "--config", config, "--inventory", e.inventory)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if text := strings.TrimPrefix(strings.TrimSpace(errs.String()), "coresmd: "); text != "" {
			return nil, errors.New(text)
		}
		return nil, fmt.Errorf("trying %s: %w", config, err)
	}
	var all []status.Answers
	if err := json.Unmarshal(out.Bytes(), &all); err != nil || len(all) != len(diffClients) {
		return nil, fmt.Errorf("trying %s: %d answers: %w", config, len(all), err)
	}
	return all, nil
}

func (e *env) diff(ctx context.Context, before, after string) error {
	a, err := e.told(ctx, before)
	if err != nil {
		return err
	}
	b, err := e.told(ctx, after)
	if err != nil {
		return err
	}
	answer := compared(a, b)
	if err := e.print(answer, func(p *page) { p.differences(&answer) }); err != nil {
		return err
	}
	if len(answer.Machines) > 0 {
		return errWrong
	}
	return nil
}

// compared compares the answers of two configurations, client by client.
func compared(before, after []status.Answers) differences {
	all := make(map[string]*changed)
	machines := make(map[string]bool)
	for i, client := range diffClients {
		a, b := byMAC(before[i]), byMAC(after[i])
		for _, side := range []map[string]*status.Answer{a, b} {
			for mac, one := range side {
				machines[mac] = true
				if all[mac] == nil {
					all[mac] = &changed{MAC: mac, ID: one.ID}
				}
			}
		}
		for mac := range machines {
			all[mac].compare(client, parts(a[mac]), parts(b[mac]))
		}
	}
	answer := differences{Machines: []changed{}, Compared: len(machines)}
	for _, c := range slices.SortedFunc(maps.Values(all), func(x, y *changed) int {
		return strings.Compare(x.ID+" "+x.MAC, y.ID+" "+y.MAC)
	}) {
		if len(c.Changes) > 0 {
			answer.Machines = append(answer.Machines, *c)
		}
	}
	return answer
}

func byMAC(a status.Answers) map[string]*status.Answer {
	all := make(map[string]*status.Answer, len(a.Answers))
	for i := range a.Answers {
		all[a.Answers[i].MAC] = &a.Answers[i]
	}
	return all
}

// parts takes an answer apart: its verdict first, then its reply.
func parts(a *status.Answer) []compare.Part {
	if a == nil {
		return nil
	}
	v := a.Verdict
	all := []compare.Part{{Name: "answer", Value: join(", ", join(" by ", v.Answer, v.Plugin), v.Reason)}}
	for _, o := range a.Reply {
		all = append(all, compare.Part(o))
	}
	return all
}

// compare notes what differs for a client. Where one of the answers is silence,
// that is all.
func (c *changed) compare(client string, before, after []compare.Part) {
	if len(before) <= 1 || len(after) <= 1 {
		before, after = before[:min(len(before), 1)], after[:min(len(after), 1)]
	}
	for _, d := range compare.Differences(before, after) {
		c.note(client, d.Part, d.Old, d.New)
	}
}

// note notes a change; what changes alike for several clients is noted once.
func (c *changed) note(client, what, before, after string) {
	for i, x := range c.Changes {
		if x.What == what && x.Old == before && x.New == after {
			c.Changes[i].Clients = append(x.Clients, client)
			return
		}
	}
	c.Changes = append(c.Changes, change{[]string{client}, what, before, after})
}

func (p *page) differences(d *differences) {
	for _, m := range d.Machines {
		p.put(bold, "%s", m.ID)
		p.line(" %s", m.MAC)
		for _, c := range m.Changes {
			p.field("", "%s: %s: %s -> %s", strings.Join(c.Clients, ", "), c.What, orNothing(c.Old), orNothing(c.New))
		}
	}
	p.line("%s compared, %d answered differently", plural(d.Compared, "machine"), len(d.Machines))
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/OpenCHAMI/coresmd/internal/preflight"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/spf13/cobra"
)

const preflightHelp = `Try for each machine of SMD whether it would boot: as a BIOS, as a UEFI and as an
iPXE client it is put through the plugins without effects, the loader that it would
be given is opened by TFTP or HTTP, its boot script is fetched from the real URL, and
the kernel and images that the script names are asked for (HEAD). Run it where the
machines' network is, beside the server.

With words it is these machines: MACs, xnames, addresses or host names. A machine
that is no node, such as a BMC, has to get its lease only. A machine that was never
heard asks through the router of its network where it gets no address without.

The list has those that will not boot, and why. Nothing is written but the file of
--state: it holds what was found so far, so that a run that was interrupted goes on
where it was. It is removed at the end.

Exit status 1 if a machine will not boot.`

// preflightClients are the clients that a machine is tried as, in this order.
var preflightClients = []string{"bios", "uefi", "ipxe"}

// A flight is a run of preflight.
type flight struct {
	*env
	from     source
	check    *preflight.Checker
	clients  []string
	parallel int
	state    string

	mu   sync.Mutex
	done map[string]result // guarded by mu: by MAC
	file *os.File          // guarded by mu; nil: none
}

// A result is what became of one machine.
type result struct {
	MAC      string   `json:"mac"`
	ID       string   `json:"id"`
	Hostname string   `json:"hostname,omitempty"`
	Problems []string `json:"problems,omitempty"` // none: it will boot
}

// results are what preflight prints.
type results struct {
	Machines []result `json:"machines"` // that will not boot
	Tried    int      `json:"tried"`
}

func preflightVerb(e *env) *cobra.Command {
	f := &flight{env: e, done: make(map[string]result)}
	c := &cobra.Command{
		Use: "preflight [WORD]...", Short: "Try whether machines would boot, and list those that would not", Long: preflightHelp,
		Example: "  coresmd preflight\n  coresmd preflight --client uefi,ipxe --state /tmp/preflight\n  coresmd preflight x3000c0s0b0n0",
		RunE:    func(c *cobra.Command, words []string) error { return f.run(c.Context(), words) },
	}
	c.Flags().StringSliceVar(&f.clients, "client", preflightClients, "what to try machines as")
	c.Flags().IntVar(&f.parallel, "parallel", 16, "machines that are tried at a time")
	c.Flags().StringVar(&f.state, "state", "", "file with what was found so far")
	e.offlineFlags(c)
	return c
}

func (f *flight) run(ctx context.Context, words []string) (err error) {
	if err := f.wrong(); err != nil {
		return err
	}
	if f.from, err = f.answers(); err != nil {
		return err
	}
	if err := f.resume(); err != nil {
		return err
	}
	f.check = preflight.New()
	p, err := f.plan(ctx, words)
	if err != nil {
		return err
	}
	f.all(ctx, p)
	if err := errors.Join(ctx.Err(), f.end(ctx)); err != nil {
		return err
	}
	return f.report(p.order)
}

func (f *flight) wrong() error {
	if f.parallel < 1 || f.parallel > 256 {
		return fmt.Errorf("--parallel %d; wanted 1 to 256", f.parallel)
	}
	for _, c := range f.clients {
		if !slices.Contains(preflightClients, c) {
			return fmt.Errorf("--client %q; wanted %s", c, strings.Join(preflightClients, ", "))
		}
	}
	return nil
}

// A plan is what machines are told, by MAC and client.
type plan struct {
	told  map[string]map[string]status.Answer
	order []string
}

// plan asks what machines are told: those of some words, or all.
func (f *flight) plan(ctx context.Context, words []string) (*plan, error) {
	p := &plan{told: make(map[string]map[string]status.Answer)}
	if len(words) == 0 {
		return p, f.ask(ctx, p, status.Params{})
	}
	for _, word := range words {
		if err := f.ask(ctx, p, status.Params{"machine": word}); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (f *flight) ask(ctx context.Context, p *plan, params status.Params) error {
	params["limit"] = everything
	for _, client := range f.clients {
		params["client"] = client
		var answer status.Answers
		if err := f.from.Get(ctx, status.PathAnswers, params, &answer); err != nil {
			return err
		}
		if word := params["machine"]; word != "" && answer.Total == 0 {
			return fmt.Errorf("%s is no machine of SMD", word)
		}
		for _, a := range answer.Answers {
			if a.Prepared != "" {
				return fmt.Errorf("the server cannot tell what machines get: %s; wanted a server that somebody has asked, or --config", a.Prepared)
			}
			p.add(client, &a)
		}
	}
	return nil
}

func (p *plan) add(client string, a *status.Answer) {
	if p.told[a.MAC] == nil {
		p.told[a.MAC] = make(map[string]status.Answer)
		p.order = append(p.order, a.MAC)
	}
	p.told[a.MAC][client] = *a
}

// all tries the machines that were not tried yet, so many at a time.
func (f *flight) all(ctx context.Context, p *plan) {
	bar := f.progress(len(p.order))
	defer bar.end()
	places := make(chan struct{}, f.parallel)
	var running sync.WaitGroup
	for _, mac := range p.order {
		if f.known(mac) {
			bar.step()
			continue
		}
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		running.Go(func() {
			f.one(ctx, p.told[mac])
			bar.step()
			<-places
		})
	}
	running.Wait()
}

func (f *flight) known(mac string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.done[mac]
	return ok
}

// one tries a machine.
func (f *flight) one(ctx context.Context, as map[string]status.Answer) {
	var r result
	for _, client := range f.clients {
		a, ok := as[client]
		if !ok {
			continue
		}
		r.MAC, r.ID, r.Hostname = a.MAC, a.ID, a.Hostname
		if why := f.client(ctx, client, &a); why != "" {
			r.Problems = f.merge(r.Problems, client, why)
		}
	}
	if ctx.Err() == nil {
		f.keep(r)
	}
}

// merge adds a problem; what is wrong for every client is told once.
func (f *flight) merge(problems []string, client, why string) []string {
	for i, p := range problems {
		clients, what, _ := strings.Cut(p, ": ")
		if what == why {
			problems[i] = clients + ", " + client + ": " + why
			return problems
		}
	}
	return append(problems, client+": "+why)
}

// client tries a machine as a client of one kind, and says why it does not
// boot.
func (f *flight) client(ctx context.Context, client string, a *status.Answer) string {
	if a.Verdict.Answer != "ACK" {
		return join(": ", "its request is answered with "+a.Verdict.Answer, a.Verdict.Reason)
	}
	if a.Verdict.Plugin != "coresmd" {
		return join(": ", "it gets a temporary address from "+a.Verdict.Plugin, a.Verdict.Reason)
	}
	if a.Type != "Node" && a.Type != "VirtualNode" {
		return ""
	}
	var err error
	if client == "ipxe" {
		err = f.check.Script(ctx, a.Bootfile)
	} else {
		err = f.check.Loader(ctx, a.NextServer, a.Bootfile)
	}
	if err != nil {
		return strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return ""
}

// report prints who will not boot.
func (f *flight) report(order []string) error {
	answer := results{Machines: []result{}, Tried: len(order)}
	for _, mac := range order {
		if r := f.done[mac]; len(r.Problems) > 0 {
			answer.Machines = append(answer.Machines, r)
		}
	}
	err := f.print(answer, func(p *page) {
		for _, r := range answer.Machines {
			p.put(red, "%s", r.ID)
			p.line(" %s", join(" ", r.MAC, r.Hostname))
			for _, why := range r.Problems {
				p.field("", "%s", why)
			}
		}
		p.line("%s tried, %d will not boot", plural(answer.Tried, "machine"), len(answer.Machines))
	})
	if err == nil && len(answer.Machines) > 0 {
		return errWrong
	}
	return err
}

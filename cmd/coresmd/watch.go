package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/spf13/cobra"
)

const watchHelp = `Follow what machines do, live, one line an event: exchanges, and transfers of boot
files. With WORD it is that machine alone: a MAC as it is shown, an xname, an address
that it is given, or a host name.

--format json writes a line of JSON for each event. It goes on until it is
interrupted or the server ends.`

func watchVerb(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "watch [WORD]", Short: "Follow what machines do, live", Long: watchHelp, Args: cobra.MaximumNArgs(1),
		Example: "  coresmd watch\n  coresmd watch x3000c0s0b0n0",
		RunE: func(c *cobra.Command, words []string) error {
			return e.watch(c.Context(), strings.Join(words, ""))
		},
	}
}

func (e *env) watch(ctx context.Context, word string) error {
	if e.format == "yaml" {
		return errors.New("--format yaml is not for watch; wanted table or json")
	}
	client, err := status.NewClient(e.server)
	if err != nil {
		return fmt.Errorf("--server: %w", err)
	}
	err = client.Follow(ctx, func(events status.Events) error { return e.happened(events, word) })
	if ctx.Err() == nil {
		return running{client, e.server}.refused(err)
	}
	return nil // interrupted: that is how it ends
}

// happened writes events.
func (e *env) happened(events status.Events, word string) error {
	if events.LeftOut > 0 && e.format == "table" {
		fmt.Fprintf(e.stdout, "(%s came faster than can be told)\n", plural(int(events.LeftOut), "event"))
	}
	for i := range events.Events {
		h := &events.Events[i]
		if word != "" && !concerns(h, word) {
			continue
		}
		if err := e.tell(h); err != nil {
			return err
		}
	}
	return nil
}

func (e *env) tell(h *status.Happening) error {
	if e.format == "json" {
		line, err := json.Marshal(h)
		if err == nil {
			_, err = fmt.Fprintf(e.stdout, "%s\n", line)
		}
		return err
	}
	what := h.Message
	if what == "" {
		what = h.Kind
	}
	return e.print(h, func(p *page) {
		p.put(faint, "%s", h.Last.Local().Format(time.TimeOnly))
		p.line("  %s", join(", ", join(" ", h.MAC, h.ID, h.Hostname), join(" ", what, "-> "+h.Verdict), h.Address, h.Bootfile, h.Reason))
	})
}

// concerns says that an event is of a machine.
func concerns(h *status.Happening, word string) bool {
	for _, name := range []string{h.MAC, h.ID, h.Hostname, h.Address} {
		if strings.EqualFold(name, word) {
			return true
		}
	}
	short, _, _ := strings.Cut(h.Hostname, ".")
	return strings.EqualFold(short, word)
}

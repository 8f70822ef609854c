package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/spf13/cobra"
)

const leasesHelp = `List leases, in the order of their addresses: those of machines that SMD knows
(known) and those of strangers (temporary), of both families, with what they are
now, since when, and how long they last. The pools of temporary addresses are at the
end.

With WORD it is one machine, one address or one network: a MAC, an xname, a host
name, a client identifier of DHCPv6, an IP address, or a prefix such as 192.0.2.0/24.

The states are bound; offered, and not taken; expired; released by the machine;
declined by it, since somebody else has the address; refused, since SMD has another
one by now; and none: the address is SMD's, and nobody asked for it. Leases of known
machines are remembered since the server was started or reloaded. Those before are
none: they may well last still.

Without WORD, leases that are none are counted and not listed.`

// A leaseWish is what the flags of leases say.
type leaseWish struct {
	known, temporary, all bool
	state                 []string
	expiring              time.Duration
	sort                  string
}

func leasesVerb(e *env) *cobra.Command {
	w := new(leaseWish)
	c := &cobra.Command{
		Use: "leases [WORD]", Short: "List who has which address, since when, and for how long", Long: leasesHelp, Args: cobra.MaximumNArgs(1),
		Example: "  coresmd leases\n  coresmd leases 192.0.2.0/24 --state expired,offered\n  coresmd leases --known --expiring 10m --sort left\n  coresmd leases x3000c0s0b0n0",
		RunE:    func(c *cobra.Command, words []string) error { return e.leases(c, strings.Join(words, ""), w) },
	}
	c.Flags().BoolVar(&w.known, "known", false, "only of machines that SMD knows")
	c.Flags().BoolVar(&w.temporary, "temporary", false, "only temporary ones, of strangers")
	c.Flags().StringSliceVar(&w.state, "state", nil, "only those in these states")
	c.Flags().DurationVar(&w.expiring, "expiring", 0, "only those that are bound and end within this time")
	c.Flags().BoolVar(&w.all, "all", false, "list also addresses of SMD that are none")
	c.Flags().StringVar(&w.sort, "sort", "address", "address; left: what ends first; age: what changed last; machine: by xname")
	c.MarkFlagsMutuallyExclusive("known", "temporary")
	_ = c.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(leaseStates, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions([]string{"address", "left", "age", "machine"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// allLeases is the limit of a question for leases: a machine may have several.
const allLeases = "1000000"

// leaseStates are all, and leaseOrders what leases can be sorted by beside their
// addresses.
var (
	leaseStates = []string{
		status.LeaseBound, status.LeaseOffered, status.LeaseExpired, status.LeaseReleased, status.LeaseDeclined, status.LeaseRefused, status.LeaseNone,
	}
	leaseOrders = map[string]func(a, b status.Lease) int{
		"address": nil,
		"left": func(a, b status.Lease) int {
			return cmp.Or(absent(a.Expires)-absent(b.Expires), a.Expires.Compare(b.Expires))
		},
		"age":     func(a, b status.Lease) int { return b.Since.Compare(a.Since) },
		"machine": func(a, b status.Lease) int { return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.MAC, b.MAC)) },
	}
)

func absent(t time.Time) int {
	if t.IsZero() {
		return 1
	}
	return 0
}

func (e *env) leases(c *cobra.Command, word string, w *leaseWish) error {
	if err := w.wrong(); err != nil {
		return err
	}
	from, err := e.answers()
	if err != nil {
		return err
	}
	var answer status.Leases
	if err := from.Get(c.Context(), status.PathLeases, w.params(word), &answer); err != nil {
		return err
	}
	if less := leaseOrders[w.sort]; less != nil {
		slices.SortStableFunc(answer.Leases, less)
	}
	return e.print(answer, func(p *page) {
		p.leases(&answer, time.Now())
		if word == "" && !w.known {
			p.pools(answer.Pools)
		}
		p.leaseCounts(&answer, time.Now())
	})
}

// wrong says what is wrong with the flags.
func (w *leaseWish) wrong() error {
	switch _, sorted := leaseOrders[w.sort]; {
	case !sorted:
		return fmt.Errorf("--sort %q; wanted address, left, age or machine", w.sort)
	case w.expiring < 0:
		return fmt.Errorf("--expiring %v; wanted a time above zero", w.expiring)
	case w.all && len(w.state) > 0:
		return errors.New("--all is given beside --state; wanted one of them")
	}
	return nil
}

// params are the question.
func (w *leaseWish) params(word string) status.Params {
	params := status.Params{"limit": allLeases, "kind": "all"}
	switch {
	case w.known:
		params["kind"] = status.LeaseKnown
	case w.temporary:
		params["kind"] = status.LeaseTemporary
	}
	switch {
	case len(w.state) > 0:
		params["state"] = strings.Join(w.state, ",")
	case word == "" && !w.all:
		params["state"] = strings.Join(leaseStates[:len(leaseStates)-1], ",")
	}
	if w.expiring > 0 {
		params["expiring"] = w.expiring.String()
	}
	switch {
	case word == "":
	case isAddress(word):
		params["address"] = word
	default:
		params["machine"] = word
	}
	return params
}

// isAddress says that a word is an address or a prefix.
func isAddress(word string) bool {
	_, err := netip.ParseAddr(word)
	if err != nil {
		_, err = netip.ParsePrefix(word)
	}
	return err == nil
}

// leaseColours are those of what wants a look.
var leaseColours = map[string]string{status.LeaseExpired: yellow, status.LeaseDeclined: red, status.LeaseRefused: yellow}

func (p *page) leases(a *status.Leases, now time.Time) {
	if len(a.Leases) == 0 {
		return
	}
	rows := make([][]string, 1, len(a.Leases)+1)
	rows[0] = []string{"STATE", "ADDRESS", "AGE", "LEFT", "KIND", "MACHINE", "HOSTNAME", "MAC", "DUID"}
	for _, l := range a.Leases {
		age, left := "", ""
		if !l.Since.IsZero() {
			age = span(now.Sub(l.Since))
		}
		if !l.Expires.IsZero() {
			left = span(l.Expires.Sub(now))
		}
		rows = append(rows, []string{l.State, l.Address, age, left, l.Kind, l.ID, l.Hostname, l.MAC, l.DUID})
	}
	p.rows(func(state string) string { return leaseColours[state] }, rows...)
}

// span writes a time in one or two units.
func span(d time.Duration) string {
	d = max(0, d)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

func (p *page) pools(pools []status.Pool) {
	if len(pools) == 0 {
		return
	}
	rows := [][]string{{"POOL", "NETWORK", "SIZE", "USED", "LEASED", "OFFERED", "DECLINED", "TAKEN"}}
	for _, o := range pools {
		used := fmt.Sprintf("%d%%", int(100*float64(o.Used())/float64(max(o.Size, 1))))
		rows = append(rows, []string{
			o.Range, o.Network, fmt.Sprint(o.Size), used,
			fmt.Sprint(o.Leased), fmt.Sprint(o.Offered), fmt.Sprint(o.Quarantined), fmt.Sprint(o.Taken),
		})
	}
	p.rows(func(string) string { return "" }, rows...)
}

// leaseCounts writes a line for each kind.
func (p *page) leaseCounts(a *status.Leases, now time.Time) {
	if left := a.Total - len(a.Leases); left > 0 {
		p.line("and %d more", left)
	}
	counted := map[string]string{}
	for _, c := range a.Counts {
		counted[c.Kind] = join(", ", counted[c.Kind], fmt.Sprintf("%d %s", c.Leases, c.State))
	}
	if text := counted[status.LeaseKnown]; text != "" {
		p.line("known since the start %s: %s", ago(now.Sub(a.Since)), text)
	}
	if text := counted[status.LeaseTemporary]; text != "" {
		p.line("temporary: %s", text)
	}
	if len(counted) == 0 {
		p.line("no leases")
	}
}

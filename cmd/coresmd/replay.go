package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/compare"
	"github.com/OpenCHAMI/coresmd/internal/record"
	packets "github.com/OpenCHAMI/coresmd/server"
	"github.com/spf13/cobra"
)

const replayHelp = `Ask a configuration what the machines in a file of packets asked, and compare: what
was answered then, as the file has it, and what is answered now, option by option.
Nothing is bound, sent or written.

The file is what coresmd pcap wrote, or any pcap or pcapng of tcpdump and Wireshark:
Ethernet, VLANs, Linux cooked, raw IP, loopback; packed by gzip or not.

All plugins of the chain are asked, but sleep. SMD is read once; --inventory names a
file in its place. Temporary leases are given in memory, by the times in the file, and
as the answers in the file show that they were. In a file of another program a client's
network is that of its relay, or of the server identifier.

With --incumbent the file is of another server: a client that selects its offer is
asked as if it selected ours, and which server it is makes no difference.

Exit status 1 if something is answered differently.`

// Bounds of what is held at once.
const (
	mostReplayed = 10_000  // exchanges of an answer that is printed as one: JSON, YAML
	mostDecided  = 100_000 // comments of requests whose exchange is not over
)

// Results of an exchange that is asked again.
const (
	replaySame      = "same"
	replayDifferent = "different"
	replayCut       = "not compared" // the file ends before an answer could be in it
)

// A replay is what replay prints.
type replay struct {
	Exchanges []replayed `json:"exchanges"`
	Different int        `json:"different"` // exchanges
	Malformed int        `json:"malformed"` // datagrams that are no message of a client or a server
	Fragments int        `json:"fragments"` // packets that are parts of larger ones
	Cut       int        `json:"cut"`       // packets that the file does not have whole
	Strays    int        `json:"strays"`    // replies to no request of the file
}

// A replayed exchange is a request with what was answered to it then, and now.
type replayed struct {
	Time      time.Time       `json:"time"`
	Interface string          `json:"interface,omitempty"`
	Client    string          `json:"client"`
	ID        string          `json:"id,omitempty"`
	Hostname  string          `json:"hostname,omitempty"` // that it calls itself
	Message   string          `json:"message"`
	State     string          `json:"state,omitempty"`
	XID       string          `json:"xid"`
	Relay     string          `json:"relay,omitempty"`
	Times     int             `json:"times"`
	Decided   string          `json:"decided,omitempty"` // then, in the words of the file
	Then      []compare.Reply `json:"then"`              // one for each server; none: no reply
	Now       compare.Reply   `json:"now"`
	Result    string          `json:"result"` // same, different, not compared
}

func replayVerb(e *env) *cobra.Command {
	r := &replaying{env: e}
	c := &cobra.Command{
		Use: "replay FILE", Short: "Compare what a configuration answers with a file of packets", Long: replayHelp,
		Example: "  coresmd pcap x3000c0s0b0n0 -w bug.pcapng\n  coresmd replay bug.pcapng -c config.yaml --inventory inventory.json\n" +
			"  coresmd replay eth0.pcap -c new.yaml --incumbent --differences",
		Args: oneWord("a file of packets"),
		RunE: func(c *cobra.Command, words []string) error { return r.run(c.Context(), words[0]) },
	}
	c.Flags().StringVarP(&e.config, "config", "c", "", "the configuration file to ask")
	c.Flags().StringVar(&e.inventory, "inventory", "", "read this in the place of SMD, a folder with EthernetInterfaces.json and Components.json, or a file with both lists such as a snapshot")
	c.Flags().BoolVar(&r.incumbent, "incumbent", false, "the file is of another server")
	c.Flags().BoolVar(&r.differences, "differences", false, "list only what is answered differently")
	_ = c.MarkFlagFilename("config", "yaml", "yml")
	return c
}

// A replaying is a run of replay.
type replaying struct {
	*env
	incumbent   bool
	differences bool

	file    *record.Reader
	ahead   []record.Datagram // read, and not asked yet
	chains  *packets.Chains
	pairing *compare.Pairing
	decided map[decidedKey]string
	now     atomic.Pointer[time.Time] // of the file; it does not go back. The lease table reads it, too
	total   int
	broken  bool  // the file ends in the middle of a packet
	failed  error // of printing
	answer  replay
}

// A decidedKey finds what the file says of a request.
type decidedKey struct {
	at  int64
	xid string
}

// replayAhead is how many datagrams behind a request its reply is looked for, to
// know who held what when it was made.
const replayAhead = 256

func (r *replaying) run(ctx context.Context, path string) error {
	if r.config == "" {
		return errors.New("wanted -c FILE, the configuration to ask")
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if r.file, err = record.NewReader(file); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := r.read(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	if err := r.all(ctx); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if r.total == 0 {
		return fmt.Errorf("%s: no request of a DHCP client is in it%s", path, r.left())
	}
	if err := r.end(); !r.broken || r.failed != nil {
		return err
	}
	return fmt.Errorf("%s: it ends in the middle of a packet; what is before was asked", path)
}

// begin sets the plugins up at the time of the first datagram. To another server's
// clients nothing is given: what it gives is not to be had from us.
func (r *replaying) begin(ctx context.Context) error {
	r.now.Store(new(time.Time))
	if len(r.ahead) > 0 {
		r.now.Store(&r.ahead[0].Time)
	}
	var clock func() time.Time
	if !r.incumbent {
		clock = func() time.Time { return *r.now.Load() }
	}
	var err error
	if r.chains, err = r.setUpReplay(ctx, clock); err != nil {
		return err
	}
	r.decided = make(map[decidedKey]string)
	r.pairing = compare.New(compare.Options{Ask4: r.ask4, Ask6: r.ask6, AsIs: !r.incumbent, Tell: r.tell})
	return nil
}

// read reads ahead.
func (r *replaying) read() error {
	for len(r.ahead) < replayAhead && !r.broken {
		d, err := r.file.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) { // who captured it was killed
			r.broken = true
			return nil
		}
		if err != nil {
			return err
		}
		r.ahead = append(r.ahead, d)
	}
	return nil
}

// all takes the datagrams of the file one after the other.
func (r *replaying) all(ctx context.Context) error {
	for len(r.ahead) > 0 && ctx.Err() == nil && r.failed == nil && !r.tooMany() {
		d := r.ahead[0]
		r.ahead = r.ahead[1:]
		if d.Time.After(*r.now.Load()) {
			r.now.Store(&d.Time)
		}
		r.pairing.Add(compare.Datagram{Time: d.Time, Interface: d.Interface.Name, Networks: d.Interface.Networks, From: d.From, To: d.To, Payload: d.Payload})
		r.note(&d)
		if err := r.read(); err != nil {
			return err
		}
	}
	if r.file.Own() && !r.broken {
		r.pairing.End(r.now.Load().Add(compare.DefaultWait)) // a reply would be there
	}
	r.pairing.Cut()
	if r.tooMany() {
		return fmt.Errorf("more than %d exchanges for --format %s; wanted --differences, --format table, or a file of fewer machines", mostReplayed, r.format)
	}
	return errors.Join(ctx.Err(), r.failed)
}

// note keeps what the file says of a request.
func (r *replaying) note(d *record.Datagram) {
	if d.Comment == "" || d.Sent {
		return
	}
	if len(r.decided) > mostDecided {
		clear(r.decided) // of what was no exchange of its own
	}
	r.decided[keyOf(d.Time, d.Payload, d.V6())] = d.Comment
}

// tooMany says that an answer in one piece would be too large.
func (r *replaying) tooMany() bool {
	return r.format != "table" && len(r.answer.Exchanges) > mostReplayed
}

// tell takes an exchange that is over.
func (r *replaying) tell(x *compare.Exchange) {
	r.total++
	one := r.replayed(x)
	if one.Result == replayDifferent {
		r.answer.Different++
	} else if r.differences {
		return
	}
	if r.format != "table" {
		r.answer.Exchanges = append(r.answer.Exchanges, one)
		return
	}
	r.failed = errors.Join(r.failed, r.print(one, func(p *page) { p.replayed(&one) }))
}

func (r *replaying) replayed(x *compare.Exchange) replayed {
	key := decidedKey{x.Time.UnixNano(), x.XID}
	one := replayed{
		Time: x.Time, Interface: x.Interface, Client: x.Client, ID: x.ID, Hostname: x.Hostname, Message: x.Message, State: x.State, XID: x.XID,
		Relay: x.Relay, Times: x.Times, Decided: r.decided[key], Then: x.Replies, Now: x.Ours, Result: replayDifferent,
	}
	delete(r.decided, key)
	if one.Then == nil {
		one.Then = []compare.Reply{}
	}
	switch x.Result {
	case compare.Same, compare.Nobody:
		one.Result = replaySame
	case compare.Identity:
		if r.incumbent {
			one.Result = replaySame
		}
	case compare.Unfinished:
		one.Result = replayCut
	}
	return one
}

// end prints what is left to be said.
func (r *replaying) end() error {
	counts := r.pairing.Counts()
	r.answer.Malformed, r.answer.Strays, r.answer.Fragments, r.answer.Cut = counts.Malformed, counts.Strays, r.file.Fragments, r.file.Cut
	if r.answer.Exchanges == nil {
		r.answer.Exchanges = []replayed{}
	}
	err := r.print(&r.answer, func(p *page) {
		p.line("%s, %d answered differently%s", plural(r.total, "exchange"), r.answer.Different, r.left())
	})
	if err == nil && r.answer.Different > 0 {
		err = errWrong
	}
	return err
}

// left says what of the file could not be asked.
func (r *replaying) left() string {
	counts := r.pairing.Counts()
	var words []string
	for _, c := range []struct {
		n    int
		what string
	}{
		{counts.Malformed, "malformed"}, {counts.Strays, "replies to nothing"}, {r.file.Fragments, "fragments"}, {r.file.Cut, "cut short by who captured them"},
	} {
		if c.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	if r.broken {
		words = append(words, "1 in the middle of which the file ends")
	}
	if words == nil {
		return ""
	}
	return "; packets left out: " + strings.Join(words, ", ")
}

// replayed writes an exchange.
func (p *page) replayed(x *replayed) {
	p.put(faint, "%s", x.Time.Local().Format("2006-01-02T15:04:05.000Z07:00"))
	state := ""
	if x.State != "" && !strings.EqualFold(x.State, x.Message) {
		state = "(" + x.State + ")"
	}
	times := ""
	if x.Times > 1 {
		times = fmt.Sprintf("%d times", x.Times)
	}
	p.put("", "  %s: ", join(", ", join(" ", x.ID, x.Client, x.Hostname, x.Message, state), prefixed("relay ", x.Relay), times))
	colour := ""
	if x.Result == replayDifferent {
		colour = red
	}
	p.put(colour, "%s", x.Result)
	p.end()
	if len(x.Then) == 0 {
		p.field("then", "%s", join(", ", "no reply", decidedLine(x.Decided)))
	}
	for _, r := range x.Then {
		p.field("then", "%s", join(", ", answerOf(&r), decidedLine(x.Decided)))
		for _, d := range r.Differences {
			p.field("", "%s: %s -> %s", d.Part, orNothing(d.Old), orNothing(d.New))
		}
	}
	p.field("now", "%s", join(", ", answerOf(&x.Now), join(": ", x.Now.Plugin, x.Now.Reason)))
	if x.Result == replayDifferent && len(x.Then) > 0 {
		return
	}
	for _, part := range x.Now.Parts {
		p.field("", "%-34s %s", part.Label(), part.Value)
	}
}

// decidedLine is a comment of several lines as one.
func decidedLine(comment string) string { return strings.ReplaceAll(comment, "\n", "; ") }

func answerOf(r *compare.Reply) string {
	return join(" ", r.Answer, prefixed("of ", r.Address), prefixed("from ", r.Server))
}

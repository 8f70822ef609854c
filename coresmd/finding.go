package coresmd

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/journal"
	"github.com/OpenCHAMI/coresmd/internal/netboot"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/OpenCHAMI/coresmd/internal/status"
)

// Limits of what findings wait for.
const (
	scriptWait = 500 * time.Millisecond // for the boot script service
	tftpWait   = 10 * time.Second       // in which a machine that was told of a loader asks for it
)

// A found is a list of findings.
type found []status.Finding

func (f *found) add(severity, mend, format string, args ...any) {
	*f = append(*f, status.Finding{Severity: severity, Mend: mend, Text: fmt.Sprintf(format, args...)})
}

// findings are what matters of an explanation: errors first, in the order in
// which a machine meets them.
func (e *explained) findings() []status.Finding {
	var all found
	for _, check := range []func(*found){
		e.verdict, e.ofFaults, e.temporary, e.stranger, e.bootfile, e.script, e.silence, e.anotherServer, e.transfers, e.inventory, e.told,
	} {
		check(&all)
	}
	rank := map[string]int{severe: 0, doubtful: 1, fair: 2}
	slices.SortStableFunc(all, func(a, b status.Finding) int { return rank[a.Severity] - rank[b.Severity] })
	return all
}

// answered says that the machine gets a reply.
func (e *explained) answered() bool { return e.reply != nil }

// who names the machine.
func (e *explained) who() string {
	if m := e.answer.Machine; m != nil {
		return m.ID + " (" + m.MAC + ")"
	}
	return e.mac.String()
}

// verdict tells why coresmd does not answer.
func (e *explained) verdict(f *found) {
	x := e.x
	switch x.why {
	case noAddress:
		f.add(severe, e.mend(smd.Fault{Kind: smd.NoAddress, MAC: e.mac.String()}), "SMD has no usable address for %s", e.who())
	case otherNetwork:
		e.elsewhere(f)
	case ignored:
		f.add(severe, "change the rule, or what it asks of the machine", "rule %s says ignore: %s gets no answer", e.matched(x.told), e.who())
	case disabled:
		f.add(severe, e.enable(x.machine.ID),
			"SMD says Enabled=false of %s, and respect_enabled=true", e.who())
	case noServerID:
		f.add(severe, "put server_id before coresmd", "there is no server identifier")
	case badHardware:
		f.add(severe, "", "%s is not the hardware address of a machine: %s", e.mac, x.detail)
	}
}

// temporary tells why bootloop has no address for the machine.
func (e *explained) temporary(f *found) {
	if e.plugin == "bootloop" && e.became == exchange.Drop {
		f.add(severe, "coresmd unknown shows who has the addresses", "%s gets no temporary address: %s", e.who(), e.reason)
	}
}

// elsewhere tells of a machine that asks from a network that it has no address
// of.
func (e *explained) elsewhere(f *found) {
	x := e.x
	if e.q.six && !slices.ContainsFunc(x.machine.Addrs, isV6) {
		f.add(severe, e.mend(smd.Fault{Kind: smd.NoAddress, MAC: e.mac.String()}), "SMD has no IPv6 address for %s", e.who())
		return
	}
	switch {
	case x.linked:
	case x.relayed.IsValid():
		f.add(severe, "declare the network of the relay with subnet=", "%s lies in no declared network: %s gets no answer there", e.place, e.who())
		return
	case e.place == untold && e.rehearses:
		f.add(doubtful, "ask with --giaddr, an address of its network; or name the server's own address there with server_addr6=",
			"%s asks directly, and a configuration does not say on which network; SMD's addresses for it: %s", e.who(), strings.Join(texts(x.machine.Addrs), ", "))
		return
	case e.place == untold:
		f.add(severe, "name this server's own address on its network with server_addr6=",
			"%s asks directly, and nobody tells on which network; SMD's addresses for it: %s", e.who(), strings.Join(texts(x.machine.Addrs), ", "))
		return
	default:
		f.add(severe, "declare the network of that address with subnet=", "%s lies in no declared network: %s gets no address there", e.place, e.who())
		return
	}
	f.add(severe, e.mend(smd.Fault{Kind: smd.NoAddress, MAC: e.mac.String()}),
		"%s asks from %v (%s), and SMD's addresses for it lie elsewhere: %s", e.who(), x.network.Prefix, e.place, strings.Join(texts(x.machine.Addrs), ", "))
}

// ofFaults tells what is wrong with the machine in SMD.
func (e *explained) ofFaults(f *found) {
	for _, fault := range e.faults {
		if fault.Kind == smd.NoAddress && e.x.why == noAddress {
			continue // said already
		}
		f.add(severityOf(fault.Kind), e.mend(fault), "SMD: %s: %s", e.who(), fault.Reason)
	}
}

// stranger tells of a machine that SMD does not know.
func (e *explained) stranger(f *found) {
	if e.answer.Known || len(e.faults) > 0 {
		return
	}
	if len(e.similar) > 0 {
		s := e.similar[0]
		mend, unheard := e.correct(s.mac, e.mac), ", which was not heard since "+stamp(e.born)
		if _, rehearses := e.process.Rehearsal(); rehearses {
			mend, unheard = "", "" // nobody was heard
		}
		f.add(severe, mend, "%s is not in SMD; it differs in one digit from %s of %s%s", e.mac, s.mac, s.id, unheard)
		return
	}
	f.add(severe, "coresmd unknown --format yaml", "%s is not in SMD", e.mac)
}

// bootfile tells of a loader that the machine cannot get.
func (e *explained) bootfile(f *found) {
	x := e.x
	if x.boot.Kind == netboot.NotBooting || e.plugin != "coresmd" || !e.answered() {
		return
	}
	switch {
	case x.bootfile == "":
		f.add(severe, "bootfile_arch=, boot_http=, or a rule with bootfile:NAME", "%s is told of no boot file: %s", e.who(), x.detail)
	case e.loader != "" && e.tftpServer != nil && !e.tftpServer.Has(e.loader):
		f.add(severe, "put the file there", "loader %s is missing in %s", e.loader, e.tftpDir)
	}
}

// script tells of a boot script service that does not answer.
func (e *explained) script(f *found) {
	m := e.x.machine
	if !e.answer.Known || !e.answered() || e.x.boot.Kind == netboot.NotBooting && m.Type != "Node" {
		return
	}
	target := e.scriptOf(m, e.x.told)
	if err := reach(e.ctx, target); err != nil {
		f.add(severe, "see to the boot script service, or to ipxe_base_uri", "the boot script %s cannot be had: %v", target, err)
	}
}

// reach connects to where a URL leads. Nothing is asked there.
func reach(ctx context.Context, target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	ctx, cancel := context.WithTimeout(ctx, scriptWait)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return err
	}
	return conn.Close()
}

// silence tells of a machine that was not heard, and of a server that hears
// nobody.
func (e *explained) silence(f *found) {
	if _, rehearses := e.process.Rehearsal(); e.heard || rehearses {
		return
	}
	switch heard, probes := e.metrics.heard.Load(), e.metrics.probes.Load(); {
	case heard == 0 && probes == 0:
		f.add(severe, "compare listen in the configuration with the interface that machines ask on, and with relays' helper address", "nothing at all was heard since %s", stamp(e.born))
	case heard == 0:
		f.add(severe, "compare listen in the configuration with the interface that machines ask on, and with relays' helper address", "only health probes were heard since %s: %d of them, and no machine", stamp(e.born), probes)
	case e.answer.Known && len(e.similar) > 0:
		f.add(severe, e.correct(e.mac, e.similar[0].mac),
			"%s was not heard since %s; %s, which SMD does not know, differs in one digit and was", e.who(), stamp(e.born), e.similar[0].mac)
	default:
		f.add(doubtful, "", "%s was not heard since %s", e.who(), stamp(e.born))
	}
}

// anotherServer tells of an offer of somebody else that the machine took.
func (e *explained) anotherServer(f *found) {
	if last, ok := e.last(func(p journal.Past) bool {
		return p.Kind == journal.Exchange && (p.State == exchange.Selecting.String() || p.State == exchange.Requesting.String())
	}); ok {
		if _, server, is := strings.Cut(last.Reason, otherServer.String()+": "); is {
			f.add(severe, "find that server, and end it", "%s took the offer of another server, %s, at %s", e.who(), server, stamp(last.Last))
		}
	}
}

// last returns the last thing of a kind that the machine did.
func (e *explained) last(is func(journal.Past) bool) (journal.Past, bool) { return lastOf(&e.past, is) }

// transfers tells of a boot file that did not arrive.
func (e *explained) transfers(f *found) {
	transfer, fetched := e.last(func(p journal.Past) bool { return p.Kind != journal.Exchange })
	told, ok := e.last(func(p journal.Past) bool {
		return p.Kind == journal.Exchange && (p.Verdict == exchange.Ack.String() || p.Verdict == exchange.Reply.String())
	})
	loader := ok && told.Bootfile != "" && (!strings.Contains(told.Bootfile, "://") || strings.HasPrefix(told.Bootfile, "tftp://"))
	if loader && time.Since(told.Last) > tftpWait && (!fetched || transfer.Last.Before(told.Last)) {
		f.add(severe, "let UDP port 69 and the ports of transfers through, or set single_port=true",
			"%s was told to load %s at %s, and no TFTP request came since: does a firewall eat it?", e.who(), told.Bootfile, stamp(told.Last))
	} else if fetched {
		e.transfer(f, transfer)
	}
}

// transfer tells how the last transfer failed. That firmware looks for an
// autoexec.ipxe is no failure.
func (e *explained) transfer(f *found, p journal.Past) {
	failed := slices.Contains([]string{"missing", "refused", "failed"}, p.Verdict)
	switch {
	case failed && !strings.HasSuffix(p.Bootfile, "autoexec.ipxe"):
		f.add(doubtful, "", "%s of %s at %s: %s", p.Kind, p.Bootfile, stamp(p.Last), p.Reason)
	case p.Verdict == "gone" && p.Octets > 0:
		f.add(doubtful, "a firewall that lets port 69 through only? Try single_port=true", "%s broke its transfer of %s off at %s", e.who(), p.Bootfile, stamp(p.Last))
	}
}

// inventory tells how far the inventory can be relied upon.
func (e *explained) inventory(f *found) { *f = append(*f, e.surroundings()...) }

func (e *explained) surroundings() []status.Finding {
	var f found
	now := e.cache.Status()
	source := e.inventorySource()
	switch now.State {
	case smd.NeverLoaded:
		f.add(severe, "see to SMD; the log has what is wrong", "%s was never read since %s, and there is no snapshot: no machine is known", source, stamp(e.born))
	case smd.FromSnapshot:
		f.add(doubtful, "see to SMD; the log has what is wrong", "%s was not heard since %s: what serves is the snapshot of %s", source, stamp(e.born), stamp(now.Loaded))
	case smd.InDoubt:
		f.add(doubtful, "if SMD is right: kill -USR1 the server", "the last answer of %s is in doubt, it lost too many machines: that of %s serves", source, stamp(now.Loaded))
	case smd.Stale:
		f.add(doubtful, "see to SMD; the log has what is wrong", "%s could not be read: its answer of %s serves", source, stamp(now.Loaded))
	}
	return f
}

// told tells the answer.
func (e *explained) told(f *found) {
	a := e.answer.Verdict.Answer
	if e.addr.IsValid() {
		a += " of " + e.addr.String()
	}
	if e.reason != "" {
		a += ": " + e.reason
	}
	f.add(fair, "", "%s is answered with %s (%s)", e.q.Message, a, e.plugin)
}

// lookup tells why a word stands for no machine.
func (e *explained) lookup() []status.Finding {
	var f found
	for _, fault := range e.faults {
		f.add(severityOf(fault.Kind), e.mend(fault), "SMD: %v", fault)
	}
	if len(f) == 0 {
		f.add(severe, "", "%q is no machine of SMD: no MAC, xname, address or host name of one", e.q.Machine)
	}
	return f
}

// An alike is a MAC that differs in one digit, or in the order of two.
type alike struct {
	mac smd.MAC
	id  string // of the one in SMD
}

// alikes returns for a machine of SMD the strangers, and for a stranger the
// machines of SMD that were not heard, whose MAC looks like it.
func (s *service) alikes(mac smd.MAC, known bool) []alike {
	var list []alike
	for _, other := range misspelt(mac) {
		in := s.cache.Lookup(other)
		_, heard := s.journal.Machine(other)
		if in.Known != known && heard == known {
			list = append(list, alike{other, in.ID})
		}
	}
	return list
}

// misspelt returns the MAC addresses that one mistake of a typist makes of one.
func misspelt(mac smd.MAC) []smd.MAC {
	const digits = "0123456789abcdef"
	text := hex.EncodeToString(mac[:])
	var all []smd.MAC
	add := func(b []byte) {
		if other, err := smd.ParseMAC(string(b)); err == nil && other != mac {
			all = append(all, other)
		}
	}
	for i := range text {
		for _, digit := range []byte(digits) {
			b := []byte(text)
			b[i] = digit
			add(b)
		}
		if i > 0 {
			b := []byte(text)
			b[i-1], b[i] = b[i], b[i-1]
			add(b)
		}
	}
	return all
}

func stamp(t time.Time) string { return t.Format(time.RFC3339) }

package coresmd

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/bootfile"
	"github.com/OpenCHAMI/coresmd/internal/journal"
	"github.com/OpenCHAMI/coresmd/internal/smd"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
)

// past tells the journal of what a machine did a while ago.
func (b bench) past(t *testing.T, mac string, ago time.Duration, events ...journal.Event) {
	t.Helper()
	m, err := smd.ParseMAC(mac)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-ago)
	for i, e := range events {
		e.At = at.Add(time.Duration(i) * time.Second)
		if e.Kind == journal.Exchange {
			e.MAC, e.Plugin, e.Known, e.Wants = m, "coresmd", true, true
			e.Leased = e.Verdict == "ACK"
		}
		b.plugin.journal.Add(e)
	}
}

// What machines did, in short.
var (
	nodeAddr  = netip.MustParseAddr("192.0.2.11")
	offered   = journal.Event{Message: "DISCOVER", Verdict: "OFFER", Addr: nodeAddr, Boots: true, Bootfile: "ipxe-x86_64.efi"}
	leased    = journal.Event{Message: "REQUEST", Verdict: "ACK", Addr: nodeAddr, Boots: true, Bootfile: "ipxe-x86_64.efi"}
	nameless  = journal.Event{Message: "REQUEST", Verdict: "ACK", Addr: nodeAddr, Boots: true, Detail: "no loader for architecture 27"}
	silenced  = journal.Event{Message: "DISCOVER", Verdict: "no reply", Reason: "ignored by a rule"}
	elsewhere = journal.Event{Message: "REQUEST", State: "selecting", Verdict: "no reply", Reason: "another server's", Detail: "192.0.2.66"}
	ipxeAsks  = journal.Event{Message: "DISCOVER", Verdict: "OFFER", Addr: nodeAddr, Boots: true, IPXE: true, Bootfile: "http://192.0.2.1/"}
	scripted  = journal.Event{Message: "REQUEST", Verdict: "ACK", Addr: nodeAddr, Boots: true, IPXE: true, Bootfile: "http://192.0.2.1/"}
)

func transfer(outcome bootfile.Outcome, octets int64, why string) journal.Event {
	return journal.Event{Kind: journal.TFTP, From: nodeAddr, Verdict: string(outcome), Octets: octets, Bootfile: "ipxe-x86_64.efi", Detail: why}
}

// TestHints has machines that are stuck, and what that usually means.
func TestHints(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		did  []journal.Event
		want string
	}{
		"no answer":      {[]journal.Event{silenced}, "discover: its DISCOVER is answered with no reply: ignored by a rule"},
		"offer lost":     {[]journal.Event{offered, offered}, "discover: it is offered 192.0.2.11 and does not take it: the offer does not arrive, or another server's pleases it more"},
		"another server": {[]journal.Event{offered, elsewhere}, "discover: it took the offer of another server, 192.0.2.66"},
		"no file named":  {[]journal.Event{nameless}, "ack: it is told of no boot file: no loader for architecture 27"},
		"no request":     {[]journal.Event{offered, leased}, "ack: it was told to load ipxe-x86_64.efi, and no request for it came: a firewall eats UDP port 69, or its firmware gave up"},
		"single port": {
			[]journal.Event{offered, leased, transfer(bootfile.Gone, 0, "no acknowledgement of the options after 5 tries")},
			"ack: its request for ipxe-x86_64.efi was answered and never acknowledged: a firewall or a NAT does not let the port through that the answer comes from",
		},
		"broken off": {
			[]journal.Event{offered, leased, transfer(bootfile.Gone, 1024, "no acknowledgement of block 3 after 5 tries")},
			"ack: its transfer of ipxe-x86_64.efi broke off after 1024 octets: no acknowledgement of block 3 after 5 tries",
		},
		"missing": {[]journal.Event{offered, leased, transfer(bootfile.Missing, 0, "there is none")}, "ack: its request for ipxe-x86_64.efi ended with missing: there is none"},
		"the transfer of the last boot": {
			[]journal.Event{offered, leased, transfer(bootfile.Sent, 900, ""), scripted, offered, leased},
			"ack: it was told to load ipxe-x86_64.efi, and no request for it came: a firewall eats UDP port 69, or its firmware gave up",
		},
		"no iPXE": {
			[]journal.Event{offered, leased, transfer(bootfile.Sent, 900, "")},
			"loader: it has its loader, and no iPXE asked since: Secure Boot, a loader of another architecture, or iPXE without a driver for its network card",
		},
		"iPXE hears nothing": {[]journal.Event{ipxeAsks, ipxeAsks}, "ipxe: it is offered 192.0.2.11 and does not take it: the offer does not arrive, or another server's pleases it more"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := known(t)
			b.past(t, node, time.Hour, c.did...)
			boots := ask[status.Boots](t, b, "/api/v1/boots")
			if boots.Stuck != 1 || len(boots.Machines) != 1 {
				t.Fatalf("%+v", boots)
			}
			m := boots.Machines[0]
			if got := m.Step + ": " + m.Hint; got != c.want || m.Mend == "" || m.StuckSeconds < 3590 || m.StuckSeconds > 3700 {
				t.Errorf("%s (%s, %vs)\n, want %s", got, m.Mend, m.StuckSeconds, c.want)
			}
		})
	}
}

// TestBoots has machines at different steps: the stuck ones come first.
func TestBoots(t *testing.T) {
	t.Parallel()
	b := known(t, "rule=type:Node,hostname:n{04d}")
	b.past(t, node, time.Hour, offered, leased, transfer(bootfile.Sent, 9, ""), ipxeAsks, scripted)
	b.past(t, bmc, 10*time.Minute, silenced)
	b.past(t, noAddrs, time.Second, silenced)
	for i := range 3 { // it begins anew each time, and is stuck soon
		b.past(t, twoNets, time.Duration(50-15*i)*time.Second, offered, leased)
	}
	b.said(t, strange, discover)
	boots := ask[status.Boots](t, b, "/api/v1/boots")
	var got []string
	for _, m := range boots.Machines {
		line := fmt.Sprintf("%s %s %s stuck=%v tries=%d", m.ID, m.Hostname, m.Step, m.Stuck, m.Tries)
		for _, s := range m.Steps {
			line += fmt.Sprintf(" %s+%.0fs", s.Step, s.Seconds)
		}
		got = append(got, line)
	}
	if diff := cmp.Diff([]string{
		"x3000c0s0b0 unknown-0001 discover stuck=true tries=1 discover+0s",
		"x3000c0s0b0n0 n0001 ack stuck=true tries=3 discover+0s ack+1s",
		"x3000c0s1b0n0 n12345 discover stuck=false tries=1 discover+0s",
		"x3000c0s0b0n0 n0001 script stuck=false tries=1 discover+0s ack+1s loader+1s ipxe+1s script+1s",
	}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want := []status.StepCount{{Step: "discover", Machines: 2, Stuck: 1}, {Step: "ack", Machines: 1, Stuck: 1}, {Step: "loader"}, {Step: "ipxe"}, {Step: "script", Machines: 1}, {Step: "up"}}
	if diff := cmp.Diff(want, boots.Steps); diff != "" || boots.Total != 4 || boots.Silent != 4 || boots.Stuck != 2 {
		t.Errorf("%+v (-want +got):\n%s", boots, diff)
	}
	if first := ask[status.Boots](t, b, "/api/v1/boots?limit=3"); len(first.Machines) != 3 || first.Machines[2].Stuck || first.Total != 4 {
		t.Errorf("%+v", first)
	}
	if one := ask[status.Boots](t, b, "/api/v1/boots?machine="+bmc); len(one.Machines) != 1 || one.Machines[0].MAC != bmc || one.Silent != 0 {
		t.Errorf("%+v", one)
	}
}

// markup is what somebody might call himself.
const markup = `"><script>alert(1)</script><img src=x onerror=alert(1)>`

// suspicious returns what the page would not have of its own: scripts in it,
// and whatever leads elsewhere.
func suspicious(page string) (list []string) {
	for z := html.NewTokenizer(strings.NewReader(page)); ; {
		switch z.Next() {
		case html.ErrorToken:
			return list
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			bad := token.Data == "img" || token.Data == "iframe" || token.Data == "script" && len(token.Attr) == 0
			for _, a := range token.Attr {
				leads := slices.Contains([]string{"href", "src", "action"}, a.Key)
				bad = bad || strings.HasPrefix(a.Key, "on") || a.Key == "style" || leads && a.Val != "data:," && !strings.HasPrefix(a.Val, "#") && (!strings.HasPrefix(a.Val, "/") || strings.HasPrefix(a.Val, "//"))
			}
			if bad {
				list = append(list, token.String())
			}
		}
	}
}

// TestPage has the page of a server that knows and heard somebody, and what
// is written of machines that call themselves all sorts of things.
func TestPage(t *testing.T) {
	t.Parallel()
	b := known(t, "ipxe_uri="+scripts(t), "subnet=192.0.2.0/24", "rule=type:Node,hostname:n{04d}")
	b.past(t, node, time.Hour, offered, leased)
	b.said(t, strange, discover, raw(12, []byte(markup)...), raw(60, []byte(markup)...), raw(82, append([]byte{1, byte(len(markup))}, markup...)...))
	b.plugin.transferred(bootfile.Transfer{Client: netip.MustParseAddrPort("192.0.2.11:2070"), Name: markup, Outcome: bootfile.Missing})
	for target, want := range map[string][]string{
		"/": {
			`<title>coresmd`, `<dt>Machines in SMD</dt><dd>8</dd>`, `<dd>fresh <small>`, `<h2>Stuck: 1</h2>`,
			`<h2>Unknown machines: 1</h2>`, `<h2>Faults of the inventory: 5</h2>`, `<td data-of="Asked">tftp</td>`,
			`<a href="/?machine=02%3a00%3a00%3a00%3a00%3a01">x3000c0s0b0n0</a>`, `&lt;script&gt;alert(1)&lt;/script&gt;`,
		},
		"/?machine=n0001":              {`Its other interfaces: <a href="/?machine=02%3a00%3a00%3a00%3a00%3a02">`, `x3000c0s0b0n0 <small>n0001 02:00:00:00:00:01</small>`, `DISCOVER is answered with OFFER of 192.0.2.11 (coresmd)`, `<summary>The whole reply</summary>`},
		"/?machine=" + strange:         {`<b>error</b> ` + strange + ` is not in SMD`},
		"/?machine=3000c0S0b0n0":       {`machines that fit &#34;3000c0S0b0n0&#34;</h2>`, `<td data-of="MAC">02:00:00:00:00:01</td>`, `<td data-of="Addresses">192.0.2.11</td>`},
		"/?machine=192.0.2.11":         {`x3000c0s0b0n0 <small>n0001`},
		"/?machine=02:00:00:00:00":     {`8 machines that fit`},
		"/?machine=2.1":                {`192.0.2.11</td>`, `192.0.2.110</td>`},
		"/?machine=+":                  {`<section id="machine">` + "\n\n</section>"},
		"/?machine=%22%3E%3Cscript%3E": {`value="&#34;&gt;&lt;script&gt;"`, `<b>error</b> &#34;\&#34;&gt;&lt;script&gt;&#34; is no machine of SMD`},
	} {
		code, body := get(t, b, target)
		for _, text := range want {
			if code != http.StatusOK || !strings.Contains(body, text) {
				t.Errorf("%s: %d, lacks %s", target, code, text)
			}
		}
		for _, bad := range suspicious(body) {
			t.Errorf("%s has %s", target, bad)
		}
		if t.Failed() {
			t.Logf("%s", body)
			return
		}
	}
	if code, body := get(t, b, "/?mac=1"); code != 400 || !strings.Contains(body, `unknown parameter \"mac\"; wanted one of machine`) {
		t.Errorf("%d %s", code, body)
	}
}

// TestEvents has what a reader is told, with what was left out.
func TestEvents(t *testing.T) {
	t.Parallel()
	b := known(t)
	for range 3 {
		b.said(t, node, discover)
	}
	b.said(t, strange, discover)
	b.plugin.journal.Settle(t.Context())
	v := &views{service: b.plugin.service}
	news := v.events(1, 2)
	var got []string
	for _, e := range news.Events {
		got = append(got, strings.TrimSpace(fmt.Sprintln(e.Number, e.MAC, e.ID, e.Hostname, e.Known, e.Step, e.Kind, e.Message, e.Verdict, e.Address, e.Reason)))
	}
	if diff := cmp.Diff([]string{
		"3 02:00:00:00:00:01 x3000c0s0b0n0 nid0001 true discover exchange DISCOVER OFFER 192.0.2.11",
		"4 " + strange + "   false discover exchange DISCOVER passed on  unknown machine",
	}, got); diff != "" || news.Last != 4 || news.LeftOut != 1 {
		t.Errorf("%+v (-want +got):\n%s", news, diff)
	}
}

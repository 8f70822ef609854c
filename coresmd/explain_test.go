package coresmd

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/bootfile"
	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// ask asks a view and decodes its answer.
func ask[T any](t testing.TB, b bench, target string) T {
	t.Helper()
	var answer T
	code, body := get(t, b, target)
	if err := json.Unmarshal([]byte(body), &answer); err != nil || code != http.StatusOK {
		t.Fatalf("%s: %d %v\n%s", target, code, err, body)
	}
	return answer
}

func get(t testing.TB, b bench, target string) (int, string) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), "GET", target, nil)
	req.Host = "127.0.0.1"
	rec := httptest.NewRecorder()
	b.plugin.journal.Settle(t.Context())
	status.New(b.plugin.told()).ServeHTTP(rec, req)
	return rec.Code, rec.Body.String()
}

var moment = regexp.MustCompile(`\d{4}-\d\d-\d\dT[^ ;:,?]*:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`)

// findings returns the findings of an explanation, their times taken out.
func findings(e status.Explanation) []string {
	var lines []string
	for _, f := range e.Findings {
		lines = append(lines, f.Severity+": "+moment.ReplaceAllString(f.Text, "TIME"))
	}
	return lines
}

// said has a machine ask before it is explained.
func (b bench) said(t *testing.T, mac string, kind dhcpv4.MessageType, with ...dhcpv4.Modifier) {
	t.Helper()
	dhcptest.Exchange4(t, dhcptest.Request4(t, mac, kind, with...), dhcptest.ServerID("192.0.2.1"), b.handle)
}

// scripts is a boot script service.
func scripts(t *testing.T) string {
	t.Helper()
	service := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(service.Close)
	return service.URL
}

// TestFindings has what an administrator is told first, fault by fault.
func TestFindings(t *testing.T) {
	t.Parallel()
	bss := scripts(t)
	start := func(t *testing.T, more ...string) bench {
		t.Helper()
		if len(more) == 0 || !strings.HasPrefix(more[0], "ipxe_uri=") {
			more = append([]string{"ipxe_uri=" + bss}, more...)
		}
		return known(t, more...)
	}
	heard := func(t *testing.T, more ...string) bench {
		t.Helper()
		b := start(t, more...)
		b.said(t, node, discover, pxe(7))
		return b
	}
	fetch := func(b bench, outcome bootfile.Outcome, octets int64) {
		b.plugin.transferred(bootfile.Transfer{Client: netip.MustParseAddrPort("192.0.2.11:2070"), Name: "ipxe-x86_64.efi", Outcome: outcome, Sent: octets, Err: fmt.Errorf("the reason")})
	}
	for name, c := range map[string]struct {
		bench func(t *testing.T) bench
		query string
		want  []string
	}{
		"all is well": {
			func(t *testing.T) bench { return heard(t) }, "machine=x3000c0s0b0n0",
			[]string{"info: DISCOVER is answered with OFFER of 192.0.2.11 (coresmd)"},
		},
		"nothing heard": {
			func(t *testing.T) bench { return start(t) }, "machine=" + node,
			[]string{"error: nothing at all was heard since TIME", "info: DISCOVER is answered with OFFER of 192.0.2.11 (coresmd)"},
		},
		"health probe only": {
			func(t *testing.T) bench {
				b := start(t)
				b.said(t, "00:00:00:00:00:00", request, ciaddr("192.0.2.1"))
				return b
			}, "machine=nid0001",
			[]string{"error: only health probes were heard since TIME: 1 of them, and no machine", "info: DISCOVER is answered with OFFER of 192.0.2.11 (coresmd)"},
		},
		"wrong MAC in SMD": {
			func(t *testing.T) bench { b := start(t); b.said(t, "02:00:00:00:0f:01", discover); return b }, "machine=192.0.2.11",
			[]string{
				"error: x3000c0s0b0n0 (02:00:00:00:00:01) was not heard since TIME; 02:00:00:00:0f:01, which SMD does not know, differs in one digit and was",
				"info: DISCOVER is answered with OFFER of 192.0.2.11 (coresmd)",
			},
		},
		"the machine that is wrong in SMD": {
			func(t *testing.T) bench { b := start(t); b.said(t, "02:00:00:00:0f:01", discover); return b }, "machine=020000000F01",
			[]string{
				"error: 02:00:00:00:0f:01 is not in SMD; it differs in one digit from 02:00:00:00:00:01 of x3000c0s0b0n0, which was not heard since TIME",
				"info: DISCOVER is answered with passed on: unknown machine (coresmd)",
			},
		},
		"no address": {
			func(t *testing.T) bench { b := start(t); b.said(t, noAddrs, discover); return b }, "machine=" + noAddrs,
			[]string{"error: SMD has no usable address for x3000c0s1b0n0 (02:00:00:00:00:05)", "info: DISCOVER is answered with passed on: no usable address in SMD (coresmd)"},
		},
		"no component": {
			func(t *testing.T) bench { b := start(t); b.said(t, orphan, discover); return b }, "machine=" + orphan,
			[]string{"error: SMD: 02:00:00:00:00:08: interface set aside: no component", "info: DISCOVER is answered with passed on: unknown machine (coresmd)"},
		},
		"another network": {
			func(t *testing.T) bench {
				return heard(t, "subnet=192.0.2.0/24", "subnet=198.51.100.0/24")
			}, "machine=" + node + "&giaddr=198.51.100.1",
			[]string{
				"error: x3000c0s0b0n0 (02:00:00:00:00:01) asks from 198.51.100.0/24 (relay address 198.51.100.1), and SMD's addresses for it lie elsewhere: 192.0.2.11",
				"info: DISCOVER is answered with no reply: no address of the client's network in SMD: relay address 198.51.100.1 (coresmd)",
			},
		},
		"relay in no network": {
			func(t *testing.T) bench { return heard(t, "subnet=192.0.2.0/24") }, "machine=" + node + "&giaddr=203.0.113.1",
			[]string{
				"error: relay address 203.0.113.1 lies in no declared network: x3000c0s0b0n0 (02:00:00:00:00:01) gets no answer there",
				"info: DISCOVER is answered with no reply: no address of the client's network in SMD: relay address 203.0.113.1 (coresmd)",
			},
		},
		"a rule": {
			func(t *testing.T) bench { return heard(t, "rule=name:hands-off,type:Node,ignore:true") }, "machine=" + node,
			[]string{"error: rule hands-off says ignore: x3000c0s0b0n0 (02:00:00:00:00:01) gets no answer", "info: DISCOVER is answered with no reply: ignored by a rule (coresmd)"},
		},
		"no loader": {
			func(t *testing.T) bench { return heard(t) }, "machine=" + node + "&arch=27",
			[]string{"error: x3000c0s0b0n0 (02:00:00:00:00:01) is told of no boot file: no loader for architecture 27 efi-riscv64", "info: DISCOVER is answered with OFFER of 192.0.2.11: no loader for architecture 27 efi-riscv64 (coresmd)"},
		},
		"script service dead": {
			func(t *testing.T) bench { return heard(t, "ipxe_uri=http://127.0.0.1:1/") }, "machine=" + node,
			[]string{
				"error: the boot script http://127.0.0.1:1/?mac=02:00:00:00:00:01 cannot be had: dial tcp 127.0.0.1:1: connect: connection refused",
				"info: DISCOVER is answered with OFFER of 192.0.2.11 (coresmd)",
			},
		},
		"another server": {
			func(t *testing.T) bench {
				b := heard(t)
				b.said(t, node, request, serverID("192.0.2.66"), requested("192.0.2.166"))
				return b
			}, "machine=" + node,
			[]string{
				"error: x3000c0s0b0n0 (02:00:00:00:00:01) took the offer of another server, 192.0.2.66, at TIME",
				"info: DISCOVER is answered with OFFER of 192.0.2.11 (coresmd)",
			},
		},
		"file missing": {
			func(t *testing.T) bench {
				b := heard(t)
				b.said(t, node, request, pxe(7), serverID("192.0.2.1"), requested("192.0.2.11"))
				fetch(b, bootfile.Missing, 0)
				return b
			}, "machine=" + node,
			[]string{"warning: tftp of ipxe-x86_64.efi at TIME: the reason", "info: DISCOVER is answered with OFFER of 192.0.2.11 (coresmd)"},
		},
		"transfer breaks off": {
			func(t *testing.T) bench {
				b := heard(t)
				b.said(t, node, request, pxe(7), serverID("192.0.2.1"), requested("192.0.2.11"))
				fetch(b, bootfile.Gone, 1024)
				return b
			}, "machine=" + node,
			[]string{"warning: x3000c0s0b0n0 (02:00:00:00:00:01) broke its transfer of ipxe-x86_64.efi off at TIME", "info: DISCOVER is answered with OFFER of 192.0.2.11 (coresmd)"},
		},
		"a word for nothing": {
			func(t *testing.T) bench { return heard(t) }, "machine=x9",
			[]string{`error: "x9" is no machine of SMD: no MAC, xname, address or host name of one`},
		},
		"a stranger": {
			func(t *testing.T) bench { return heard(t) }, "machine=0e-11-22-33-44-55",
			[]string{
				"error: 0e:11:22:33:44:55 is not in SMD", "warning: 0e:11:22:33:44:55 was not heard since TIME",
				"info: DISCOVER is answered with passed on: unknown machine (coresmd)",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := findings(ask[status.Explanation](t, c.bench(t), "/api/v1/explain?"+c.query))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestExplanation has a whole answer.
func TestExplanation(t *testing.T) {
	t.Parallel()
	b := known(t, "ipxe_uri="+scripts(t), "subnet=192.0.2.0/24,router:192.0.2.254", "rule=name:bmcs,type:NodeBMC,hostname:bmc-{id}", "rule=name:nodes,type:Node,hostname:n{04d}", "rule=hostname:rest")
	b.said(t, node, discover, pxe(7), relay("192.0.2.254"), raw(82, 1, 4, 's', 'w', 'p', '1'), raw(12, 'm', 'e'))
	e := ask[status.Explanation](t, b, "/api/v1/explain?machine=n0001")
	e.Findings = nil
	if len(e.Journal.Events) != 1 || e.Journal.Events[0].Verdict != "OFFER" || e.Journal.Step != "discover" || e.Journal.CircuitID != "swp1" || e.Journal.Hostname != "me" {
		t.Errorf("journal %+v", e.Journal)
	}
	if e.State.State != "fresh" || e.State.Machines != 8 || e.State.Loaded == nil || e.State.AgeSeconds < 0 {
		t.Errorf("inventory %+v", e.State)
	}
	e.Journal, e.State = nil, status.Inventory{}
	nid := uint64(1)
	others := e.Others
	e.Others = nil
	want := status.Explanation{
		Query: status.Query{Machine: "n0001", Giaddr: "192.0.2.254", Arch: "7", Class: "PXEClient:Arch:00000:UNDI:002001", Message: "DISCOVER"},
		MAC:   node, Known: true,
		Machine: &status.Machine{
			MAC: node, ID: "x3000c0s0b0n0", Type: "Node", NID: &nid, Addresses: []string{"192.0.2.11"}, Role: "Compute", State: "Ready", Hostname: "n0001",
		},
		Network: &status.Placement{Prefix: "192.0.2.0/24", By: "relay address 192.0.2.254", Routers: []string{"192.0.2.254"}, Address: "192.0.2.11"},
		Rules: []status.Rule{
			{Number: 1, Name: "bmcs", Text: "name:bmcs,type:NodeBMC,hostname:bmc-{id}", Result: "missed", Key: "type", Want: "NodeBMC", Have: "Node"},
			{Number: 2, Name: "nodes", Text: "name:nodes,type:Node,hostname:n{04d}", Result: "matched"},
			{Number: 3, Name: "rule 3", Text: "hostname:rest", Result: "not reached"},
		},
		Verdict: status.Verdict{Answer: "OFFER", Plugin: "coresmd"},
		Reply: []status.Option{
			{Name: "yiaddr", Value: "192.0.2.11"},
			{Name: "siaddr", Value: "192.0.2.1"},
			{Name: "giaddr", Value: "192.0.2.254"},
			{Name: "file", Value: "ipxe-x86_64.efi"},
			{Code: 1, Name: "Subnet Mask", Value: "255.255.255.0"},
			{Code: 3, Name: "Router", Value: "192.0.2.254"},
			{Code: 12, Name: "Host Name", Value: "n0001"},
			{Code: 17, Name: "Root Path", Value: "192.0.2.1"},
			{Code: 51, Name: "IP Addresses Lease Time", Value: "1h0m0s"},
			{Code: 53, Name: "DHCP Message Type", Value: "OFFER"},
			{Code: 54, Name: "Server Identifier", Value: "192.0.2.1"},
			{Code: 58, Name: "Renew Time Value", Value: "30m0s"},
			{Code: 59, Name: "Rebinding Time Value", Value: "52m30s"},
			{Code: 66, Name: "TFTP Server Name", Value: "192.0.2.1"},
			{Code: 67, Name: "Bootfile Name", Value: "ipxe-x86_64.efi"},
		},
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(others) != 1 || others[0].MAC != twoNets {
		t.Errorf("others: %+v", others)
	}
}

// TestExplainMistakes has questions that are wrong.
func TestExplainMistakes(t *testing.T) {
	t.Parallel()
	b := known(t)
	for query, want := range map[string]string{
		"":                        "machine is missing; wanted a MAC, an xname, an IP address or a host name",
		"machine=x&message=OFFER": `message \"OFFER\"; wanted DISCOVER, REQUEST or INFORM, or of DHCPv6 SOLICIT, REQUEST, RENEW, REBIND, CONFIRM or INFORMATION-REQUEST`,
		"machine=x&giaddr=eth0":   `giaddr \"eth0\"; wanted the address of a relay or none`,
		"machine=x&giaddr=2001:db8::1&message=INFORM": `giaddr \"2001:db8::1\"; wanted an IPv4 address or none for INFORM`,
		"machine=x&giaddr=192.0.2.254&message=renew":  `giaddr \"192.0.2.254\"; wanted an IPv6 address or none for RENEW`,
		"machine=x&arch=x86":                          `arch \"x86\"; wanted a number of option 93 such as 7`,
		"machine=x&mac=02:00:00:00:00:1":              `unknown parameter \"mac\"; wanted one of machine, giaddr, arch, class, user_class, message`,
	} {
		code, body := get(t, b, "/api/v1/explain?"+query)
		if code != 400 || !strings.Contains(body, `"detail": "`+want+`"`) {
			t.Errorf("%s: %d %s", query, code, body)
		}
	}
}

// TestExplainMessages has the messages that can be explained.
func TestExplainMessages(t *testing.T) {
	t.Parallel()
	b := known(t)
	b.said(t, bmc, discover)
	for message, want := range map[string]string{"DISCOVER": "OFFER", "request": "ACK", "INFORM": "ACK"} {
		e := ask[status.Explanation](t, b, "/api/v1/explain?machine="+node+"&user_class=iPXE&message="+message)
		file := ""
		for _, o := range e.Reply {
			if o.Code == 67 {
				file = o.Value
			}
		}
		if e.Verdict.Answer != want || file != "http://192.0.2.1:8081/boot/v1/bootscript?mac=02:00:00:00:00:01" || e.Query.Message != strings.ToUpper(message) {
			t.Errorf("%s: %s with %q", message, e.Verdict.Answer, file)
		}
	}
}

// TestExplainChangesNothing compares all metrics, the log and the journal.
func TestExplainChangesNothing(t *testing.T) {
	t.Parallel()
	b := known(t, "audit="+filepath.Join(t.TempDir(), "audit.log"))
	b.said(t, bmc, discover)
	b.plugin.journal.Settle(t.Context())
	counted := func() string { return dhcptest.MetricText(t, b.p.Registry, "coresmd_") }
	before, lines := counted(), len(b.log.AllEntries())
	for _, mac := range []string{node, strange, noAddrs, bmc} {
		for _, message := range []string{"DISCOVER", "REQUEST", "INFORM"} {
			ask[status.Explanation](t, b, "/api/v1/explain?machine="+mac+"&message="+message)
		}
	}
	if diff := cmp.Diff(before, counted()); diff != "" {
		t.Errorf("metrics (-before +after):\n%s", diff)
	}
	if got := len(b.log.AllEntries()); got != lines {
		t.Errorf("%d log lines more", got-lines)
	}
}

// TestViews has the other answers.
func TestViews(t *testing.T) {
	t.Parallel()
	b := known(t, "rule=type:Node,hostname:n{04d}")
	b.said(t, node, discover)
	b.said(t, strange, discover, relay("192.0.2.254"))
	faults := ask[status.Faults](t, b, "/api/v1/faults?limit=3")
	if faults.Total < 4 || len(faults.Faults) != 3 || faults.Faults[0].Severity != "error" || faults.Faults[0].Mend == "" {
		t.Errorf("faults %+v", faults)
	}
	unknown := ask[status.Unknown](t, b, "/api/v1/unknown")
	if unknown.Total != 1 || unknown.Machines[0].MAC != strange || unknown.Machines[0].Giaddr != "192.0.2.254" || len(unknown.Machines[0].Events) != 1 {
		t.Errorf("unknown %+v", unknown)
	}
	machines := ask[status.Machines](t, b, "/api/v1/machines")
	if machines.Total != 2 || machines.Machines[0].MAC != strange || machines.Machines[0].Events != nil {
		t.Errorf("machines %+v", machines)
	}
	one := ask[status.Machines](t, b, "/api/v1/machines?machine=x3000c0s0b0n0")
	if one.Total != 1 || len(one.Machines[0].Events) != 1 {
		t.Errorf("machine %+v", one)
	}
	if code, body := get(t, b, "/api/v1/machines?machine=x9"); code != 404 || !strings.Contains(body, `nothing is known of \"x9\"`) {
		t.Errorf("%d %s", code, body)
	}
	if code, body := get(t, b, "/api/v1/leases"); code != 404 || !strings.Contains(body, "bootloop is not among the plugins") {
		t.Errorf("%d %s", code, body)
	}
	all := ask[status.Status](t, b, "/api/v1/status")
	if all.Inventory.Machines != 8 || all.Journal.Machines != 2 || len(all.Rules) != 1 || all.PID != os.Getpid() {
		t.Errorf("status %+v", all)
	}
	if code, body := get(t, b, "/metrics"); code != 200 || !strings.Contains(body, `coresmd_requests_total{message="DISCOVER",state="discover"} 2`) {
		t.Errorf("%d %s", code, body)
	}
}

// TestReady has every state of the inventory and its age.
func TestReady(t *testing.T) {
	t.Parallel()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 20067})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for state, want := range map[string]string{
		"fresh": "200 ok\n", "stale": "200 ok\n", "in doubt": "503 inventory in doubt\n",
		"from snapshot": "503 inventory from snapshot\n", "never loaded": "503 inventory never loaded\n",
	} {
		code, body := get(t, inState(t, state), "/readyz")
		if got := fmt.Sprint(code, " ", body); got != want {
			t.Errorf("%s: %q, want %q", state, got, want)
		}
	}
	old := known(t)
	old.plugin.listening.readyAge = time.Nanosecond
	if code, body := get(t, old, "/readyz"); code != 503 || !strings.HasPrefix(body, "inventory is 0s old; ready_age is 1ns") {
		t.Errorf("%d %s", code, body)
	}
}

// FuzzViews has targets as they come.
func FuzzViews(f *testing.F) {
	b := known(f, "subnet=192.0.2.0/24", "rule=type:Node,hostname:n{04d}")
	f.Add("explain?machine=x3000c0s0b0n0&giaddr=none&arch=7&message=INFORM")
	f.Add("explain?machine=02:00:00:00:00:05&class=HTTPClient&user_class=%04iPXE")
	f.Add("unknown?machine=192.0.2.11&limit=3")
	f.Add("machines?machine=%00")
	f.Add("faults?limit=-1")
	f.Fuzz(func(t *testing.T, target string) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://127.0.0.1/api/v1/"+target, nil)
		if err != nil {
			return
		}
		rec := httptest.NewRecorder()
		status.New(b.plugin.told()).ServeHTTP(rec, req)
		if rec.Code >= 500 {
			t.Errorf("%d %s", rec.Code, rec.Body)
		}
		if rec.Header().Get("Content-Type") == "application/json" && !json.Valid(rec.Body.Bytes()) {
			t.Errorf("%d, and no JSON: %s", rec.Code, rec.Body)
		}
	})
}

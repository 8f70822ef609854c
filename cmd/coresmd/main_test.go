package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/bootloop"
	"github.com/OpenCHAMI/coresmd/coresmd"
	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/coredhcp/coredhcp/handler"
	"github.com/coredhcp/coredhcp/logger"
	"github.com/coredhcp/coredhcp/plugins"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

const components = `{"Components":[
 {"ID":"x3000c0s0b0n0","Type":"Node","State":"Ready","Role":"Compute","NID":1},
 {"ID":"x3000c0s1b0n0","Type":"Node","NID":2},
 {"ID":"x3000c0s2b0n0","Type":"Node","NID":2},
 {"ID":"x3000c0s0b0","Type":"NodeBMC"}]}`

const interfaces = `[
 {"MACAddress":"02:00:00:00:00:01","ComponentID":"x3000c0s0b0n0","IPAddresses":[{"IPAddress":"192.0.2.11"},{"IPAddress":"2001:db8::11"}]},
 {"MACAddress":"02:00:00:00:00:02","ComponentID":"x3000c0s1b0n0","IPAddresses":[]},
 {"MACAddress":"02:00:00:00:00:03","ComponentID":"x3000c0s2b0n0","IPAddresses":[{"IPAddress":"192.0.2.13"}]},
 {"MACAddress":"02:00:00:00:00:10","ComponentID":"x3000c0s0b0","IPAddresses":[{"IPAddress":"192.0.2.110"}]}]`

// here is the server of these tests: both plugins as they are, behind a socket.
var here struct {
	folder string // of all files
	socket string // unix:PATH
	chain  []handler.Handler4
}

// asCommand is the variable that makes the test program the command itself.
const asCommand = "CORESMD_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		plugins.RegisteredPlugins[earlierPlugin.Name] = &earlierPlugin
		main()
	}
	os.Exit(func() int {
		folder, err := os.MkdirTemp("", "coresmd")
		if err == nil {
			defer os.RemoveAll(folder)
			defer process.Here().Stop()
			err = serve(folder)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// alone runs the command as a process of its own in the folder of the test: a
// process rehearses one configuration.
func alone(t *testing.T, folder string, words ...string) said {
	t.Helper()
	got := aloneAsItIs(t, folder, words...)
	return said{scrub(got.Out), scrub(got.Err), got.Status}
}

// aloneAsItIs is alone with what differs from run to run.
func aloneAsItIs(t *testing.T, folder string, words ...string) said {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, self, words...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = folder, &out, &errs, append(os.Environ(), asCommand+"=1", "HOME="+folder,
		"GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE")) // the race detector sleeps a second at the end of a process
	_ = cmd.Run() // its status says how
	return said{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

func serve(folder string) error {
	logger.GetLogger("").Logger.SetOutput(io.Discard)
	here.folder, here.socket = folder, "unix:"+folder+"/socket"
	for name, text := range map[string]string{"Components.json": components, "EthernetInterfaces.json": interfaces, "ipxe-x86_64.efi": "loader"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	scripts := httptest.NewServer(http.NotFoundHandler()) // ends with the process
	known, err := coresmd.Plugin.Setup4("svc_base_uri=file://"+folder, "ipxe_uri="+scripts.URL, "tftp=off", "http_socket="+folder+"/socket", "record=1MiB",
		"subnet=192.0.2.0/24", "rule=name:quiet,id:x3000c0s2b0n0,ignore:true", "rule=type:Node,hostname:nid{04d}")
	if err != nil {
		return err
	}
	strange, err := bootloop.Plugin.Setup4("lease_file="+folder+"/leases.db", "subnet=192.0.2.0/24,pool:192.0.2.200-192.0.2.210")
	here.chain = []handler.Handler4{dhcptest.ServerID("192.0.2.1"), known, strange}
	return err
}

// heard has a machine ask.
func heard(t *testing.T, mac string, kind dhcpv4.MessageType, with ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	reply, _ := dhcptest.Exchange4(t, dhcptest.Request4(t, mac, kind, with...), here.chain...)
	return reply
}

// A said is what a run of the command printed, and how it ended.
type said struct {
	Out, Err string
	Status   int
}

// run runs the command on the server of these tests.
func run(t *testing.T, words ...string) said {
	t.Helper()
	return with(t, map[string]string{serverVariable: here.socket}, false, words...)
}

func with(t *testing.T, variables map[string]string, terminal bool, words ...string) said {
	t.Helper()
	var out, errs bytes.Buffer
	e := &env{stdout: &out, stderr: &errs, getenv: func(name string) string { return variables[name] }, terminal: terminal}
	status := e.run(t.Context(), words)
	return said{scrub(out.String()), scrub(errs.String()), status}
}

var scrubbed = []struct {
	expr *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`), "TIME"},
	{regexp.MustCompile(`(?m)^ {11}\d\d:\d\d:\d\d  `), "           TIME  "},
	{regexp.MustCompile(`just now|\d+ (seconds|minutes) ago`), "AGO"},
	{regexp.MustCompile(`(?m)^(bound|offered)( +[0-9a-f.:]+ +)\d+[smh]\S*`), "$1${2}AGE"},
	{regexp.MustCompile(`(AGE +)\d+m`), "${1}LEFT"},
	{regexp.MustCompile(`127\.0\.0\.1:\d{5}`), "SCRIPTS"},
	{regexp.MustCompile(`("?age_seconds"?): [0-9.e-]+`), "$1: AGE"},
}

// scrub takes out what differs from run to run.
func scrub(text string) string {
	text = strings.ReplaceAll(text, here.folder, "FOLDER")
	for _, s := range scrubbed {
		text = s.expr.ReplaceAllString(text, s.with)
	}
	return text
}

// shown writes down what a run said, for a golden file.
func (s said) shown() string {
	return fmt.Sprintf("%s%sexit status %d\n", s.Out, s.Err, s.Status)
}

// TestWrongWords has what is said to whom types something wrong.
func TestWrongWords(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"lnt":                           "unknown command \"lnt\" for \"coresmd\"\n\nDid you mean this?\n\tlint\n",
		"lint --formt=json":             "unknown flag: --formt",
		"lint --format=xml":             `--format "xml"; wanted table, json, yaml`,
		"lint now":                      `unknown command "now" for "coresmd lint"`,
		"explain":                       "wanted one machine: a MAC, an xname, an IP address or a host name",
		"explain a b":                   "wanted one machine: a MAC, an xname, an IP address or a host name",
		"leases a b":                    `accepts at most 1 arg(s), received 2`,
		"leases --sort=name":            `--sort "name"; wanted address, left, age or machine`,
		"leases --expiring=-1h":         `--expiring -1h0m0s; wanted a time above zero`,
		"leases --expiring=soon":        `invalid argument "soon" for "--expiring" flag: time: invalid duration "soon"`,
		"leases --all --state=bound":    `--all is given beside --state; wanted one of them`,
		"leases --state=idle":           `asking unix:FOLDER/socket: state "idle"; wanted some of bound,offered,expired,released,declined,refused,none`,
		"leases --known --temporary":    `if any flags in the group [known temporary] are set none of the others can be; [known temporary] were all set`,
		"explain x --arch=seven":        "asking unix:FOLDER/socket: arch \"seven\"; wanted a number of option 93 such as 7",
		"explain x --message=OFFER":     "asking unix:FOLDER/socket: message \"OFFER\"; wanted DISCOVER, REQUEST or INFORM, or of DHCPv6 SOLICIT, REQUEST, RENEW, REBIND, CONFIRM or INFORMATION-REQUEST",
		"explain x --giaddr=eth0":       "asking unix:FOLDER/socket: giaddr \"eth0\"; wanted the address of a relay or none",
		"explain x --giaddr=2001:db8::": "asking unix:FOLDER/socket: coresmd is not among the plugins of server6",
		"lint --server=127.0.0.1":       `--server: "127.0.0.1" is no server; wanted a URL such as http://127.0.0.1:6767, or unix:PATH`,
		"lint --server=unix:/nowhere":   "no server answers at unix:/nowhere; wanted a server here whose directive coresmd says http_socket=/nowhere, or another --server",
		"lint --server=http://[::1]:1":  "no server answers at http://[::1]:1; wanted a server here whose directive coresmd says http_addr=[::1]:1, or another --server",
	} {
		if diff := cmp.Diff(said{Err: "coresmd: " + want + "\n", Status: exitFailed}, run(t, strings.Fields(words)...)); diff != "" {
			t.Errorf("coresmd %s (-want +got):\n%s", words, diff)
		}
	}
}

// TestNoStatusListener asks servers that are none of ours.
func TestNoStatusListener(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"another server": {
			func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") },
			`the answer is 200 OK of type "text/plain; charset=utf-8", not JSON: this is no status listener of coresmd`,
		},
		"broken": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"faults":7`)
		}, "reading the answer: unexpected EOF"},
		"refused": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprint(w, `{}`)
		}, "the answer is 418 I'm a teapot"},
	} {
		s := httptest.NewServer(c.answer)
		want := said{Err: "coresmd: asking http://SCRIPTS: " + c.want + "\n", Status: exitFailed}
		if diff := cmp.Diff(want, run(t, "lint", "--server", s.URL)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		s.Close()
	}
}

// TestServer has both ways to name the server: the flag goes before the variable.
func TestServer(t *testing.T) {
	t.Parallel()
	got := with(t, map[string]string{serverVariable: "http://127.0.0.1:1"}, false, "lint", "--server", here.socket)
	if got.Status != exitWrong || got.Err != "" {
		t.Errorf("%+v", got)
	}
}

// asked has some machines ask the server of these tests, once.
var asked sync.Once

func ask(t *testing.T) {
	t.Helper()
	asked.Do(func() {
		heard(t, "02:00:00:00:00:01", dhcpv4.MessageTypeDiscover, dhcptest.PXE(7))
		offer := heard(t, "3c:ec:ef:00:00:01", dhcpv4.MessageTypeDiscover, dhcptest.PXE(7), relayed())
		heard(t, "3c:ec:ef:00:00:01", dhcpv4.MessageTypeRequest, dhcptest.PXE(7), relayed(), dhcptest.Server("192.0.2.1"), dhcptest.Requested(offer.YourIPAddr.String()))
		heard(t, "02:00:00:00:00:99", dhcpv4.MessageTypeDiscover, dhcpv4.WithOption(dhcpv4.OptHostName("evil\x1b[31m\"'\n")))
		heard(t, "02:00:00:00:00:10", dhcpv4.MessageTypeRequest, dhcptest.Requested("192.0.2.110"))
		run(t, "explain", "x3000c0s0b0n0") // waits until the journal has all
	})
}

var wide = regexp.MustCompile(`^(unknown|leases-(known|all|machine|address|network|temporary|expiring))$`)

// TestVerbs has the whole of what the verbs print.
func TestVerbs(t *testing.T) {
	t.Parallel()
	ask(t)
	for name, words := range map[string]string{
		"explain":          "explain x3000c0s0b0n0",
		"boots":            "boots x3000c0s0b0",
		"leases-known":     "leases --known",
		"leases-all":       "leases --known --all --sort machine",
		"leases-machine":   "leases x3000c0s0b0n0",
		"leases-address":   "leases 192.0.2.110",
		"leases-network":   "leases 192.0.2.0/28 --known",
		"leases-temporary": "leases 3cec.ef00.0001",
		"leases-expiring":  "leases --known --expiring 1m",
		"leases-json":      "leases 192.0.2.110 --format json",
		"leases-yaml":      "leases x3000c0s1b0n0 --format yaml",
		"leases-nobody":    "leases nid0815",
		"boots-json":       "boots x3000c0s0b0 --format json",
		"explain-json":     "explain 0200.0000.0001 --format json",
		"explain-yaml":     "explain NID0001 --format yaml",
		"explain-flags":    "explain 192.0.2.11 --giaddr 192.0.2.254 --arch 11 --message REQUEST",
		"explain-rule":     "explain 02-00-00-00-00-03",
		"explain-nobody":   "explain nid0815",
		"stranger":         "explain 02:00:00:00:00:99",
		"lint":             "lint",
		"lint-json":        "lint --format json",
		"lint-yaml":        "lint --format yaml",
		"unknown":          "unknown",
		"unknown-json":     "unknown --format json",
		"unknown-yaml":     "unknown --format yaml",
		"components":       "unknown --format yaml --components",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shown := run(t, strings.Fields(words)...).shown()
			if wide.MatchString(name) { // how wide its columns are depends on the time
				shown = regexp.MustCompile(`  +`).ReplaceAllString(shown, "  ")
			}
			if strings.HasPrefix(name, "leases-") { // offers of strangers end in between
				shown = regexp.MustCompile(`("?offered"?:) \d+`).ReplaceAllString(shown, "$1 OFFERS")
			}
			dhcptest.Golden(t, name, shown)
		})
	}
}

// relayed is a message that came through a relay with option 82.
func relayed() dhcpv4.Modifier {
	return func(d *dhcpv4.DHCPv4) {
		dhcptest.Relay("192.0.2.254")(d)
		d.UpdateOption(dhcpv4.OptRelayAgentInfo(dhcpv4.OptGeneric(dhcpv4.AgentCircuitIDSubOption, []byte("eth1/0/7"))))
	}
}

// TestColour has the colours on a terminal, and nowhere else.
func TestColour(t *testing.T) {
	t.Parallel()
	variables := func(more ...string) map[string]string {
		m := map[string]string{serverVariable: here.socket}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	coloured := func(s said) bool { return strings.Contains(s.Out, "\x1b[31merror:\x1b[0m ") }
	if got := with(t, variables(), true, "lint"); !coloured(got) {
		t.Errorf("a terminal: %q", got.Out)
	}
	for name, got := range map[string]said{
		"no terminal": with(t, variables(), false, "lint"),
		"NO_COLOR":    with(t, variables("NO_COLOR", "1"), true, "lint"),
		"dumb":        with(t, variables("TERM", "dumb"), true, "lint"),
		"json":        with(t, variables(), true, "lint", "--format", "json"),
	} {
		if strings.Contains(got.Out, "\x1b") {
			t.Errorf("%s: %q", name, got.Out)
		}
	}
}

// TestManual writes the manual pages: one for each verb, and one for the whole.
func TestManual(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if got := run(t, "man", folder); got != (said{}) {
		t.Fatalf("%+v", got)
	}
	for _, verb := range newRoot(&env{getenv: os.Getenv}).Commands() {
		text, err := os.ReadFile(filepath.Join(folder, "coresmd-"+verb.Name()+".1"))
		if !verb.Hidden && (err != nil || !strings.Contains(string(text), verb.Short)) {
			t.Errorf("%s: %v\n%s", verb.Name(), err, text)
		}
	}
}

// TestManualPage compares docs/command.md with what the command says of itself.
func TestManualPage(t *testing.T) {
	t.Parallel()
	root, err := dhcptest.RepoRoot()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "docs", "command.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const mark = "\n## Help\n"
	head, _, _ := strings.Cut(string(text), mark)
	want := head + mark
	for _, verb := range newRoot(&env{getenv: func(string) string { return "" }}).Commands() {
		if verb.Hidden || verb.Name() == "help" {
			continue
		}
		want += "\n### coresmd " + verb.Name() + "\n\n```\n" + run(t, verb.Name(), "--help").Out + "```\n"
	}
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("docs/command.md; UPDATE_GOLDEN=1 writes it (-want +got):\n%s", diff)
	}
}

// TestRows has the layout of a table, and what is done with what a terminal
// would obey.
func TestRows(t *testing.T) {
	t.Parallel()
	p := &page{colour: true}
	p.rows(func(first string) string { return colours[first] },
		[]string{"A", "B", "C"}, []string{"error", "", "\x1b]0;x\a"}, []string{"fine", "é\u202e", ""})
	want := "\x1b[1mA\x1b[0m      \x1b[1mB\x1b[0m        \x1b[1mC\x1b[0m\n" +
		"\x1b[31merror\x1b[0m           \\x1b]0;x\\a\n" +
		"fine   é\\u202e\n"
	if diff := cmp.Diff(want, p.text.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

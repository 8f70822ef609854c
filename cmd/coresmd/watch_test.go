package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/dhcptest"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// A tape is what a command prints while it runs.
type tape struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (t *tape) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(b)
}

func (t *tape) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// TestWatch follows one machine while others ask, as people and as programs
// read it.
func TestWatch(t *testing.T) {
	t.Parallel()
	ask(t)
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	tapes := map[string]*tape{"table": {}, "json": {}}
	for format, out := range tapes {
		e := &env{stdout: out, stderr: out, getenv: func(string) string { return here.socket }}
		all.Go(func() {
			if status := e.run(ctx, []string{"watch", "x3000c0s0b0", "--server", here.socket, "--format", format}); status != exitFine {
				t.Errorf("%s: exit status %d", format, status)
			}
		})
	}
	dhcptest.Eventually(t, 20*time.Second, func() error {
		heard(t, "02:00:00:00:00:10", dhcpv4.MessageTypeDiscover)
		for format, out := range tapes {
			if !strings.Contains(out.String(), "\n") {
				return fmt.Errorf("%s: nothing is told", format)
			}
		}
		return nil
	})
	stop()
	all.Wait()
	line, _, _ := strings.Cut(tapes["table"].String(), "\n")
	if want := `^\d\d:\d\d:\d\d  02:00:00:00:00:10 x3000c0s0b0 unknown-0001, DISCOVER -> OFFER, 192\.0\.2\.110$`; !regexp.MustCompile(want).MatchString(line) {
		t.Errorf("%q, want %s", line, want)
	}
	line, _, _ = strings.Cut(tapes["json"].String(), "\n")
	var h status.Happening
	if err := json.Unmarshal([]byte(line), &h); err != nil || h.ID != "x3000c0s0b0" || h.Verdict != "OFFER" {
		t.Errorf("%v %s", err, line)
	}
}

// TestBootTable has a machine that is stuck, and how many are at which step.
func TestBootTable(t *testing.T) {
	t.Parallel()
	now := time.Now()
	p := &page{colour: true}
	p.boots(&status.Boots{
		Steps: []status.StepCount{{Step: "discover", Machines: 12, Stuck: 1}, {Step: "up", Machines: 3}}, Stuck: 1, Silent: 2, Total: 15,
		Machines: []status.Boot{{
			MAC: "02:00:00:00:00:01", ID: "x1", Hostname: "n1", Address: "192.0.2.11", Step: "ack", Last: now, Tries: 3, Stuck: true, StuckSeconds: 75, Hint: "why", Mend: "what",
			Steps: []status.BootStep{{Step: "discover"}, {Step: "ack", Seconds: 1.234}},
		}},
	}, now)
	want := "\x1b[31mx1\x1b[0m n1 02:00:00:00:00:01 192.0.2.11, step ack, heard just now\n" +
		"           discover +0s ack +1.23s\n" +
		"           stuck for 1m15s, 3 tries: why\n" +
		"           mend: what\n" +
		"\x1b[1mSTEP\x1b[0m      \x1b[1mMACHINES\x1b[0m  \x1b[1mSTUCK\x1b[0m\n" +
		"discover  12        1\n" +
		"up        3         0\n" +
		"15 machines heard, 2 not heard\n"
	if diff := cmp.Diff(want, p.text.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestWatchNobody has servers that end, that refuse, and that are not there.
func TestWatchNobody(t *testing.T) {
	t.Parallel()
	ends := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "event: tick\ndata: {}\n\n")
	}))
	t.Cleanup(ends.Close)
	for words, want := range map[string]string{
		"watch --server " + ends.URL:    "asking http://SCRIPTS: the server ended",
		"watch --server unix:/nowhere":  "no server answers at unix:/nowhere; wanted a server here whose directive coresmd says http_socket=/nowhere, or another --server",
		"watch --format yaml":           "--format yaml is not for watch; wanted table or json",
		"watch a b":                     "accepts at most 1 arg(s), received 2",
		"preflight --client pxe":        `--client "pxe"; wanted bios, uefi, ipxe`,
		"preflight --parallel 0":        "--parallel 0; wanted 1 to 256",
		"preflight nothing":             `asking unix:FOLDER/socket: nothing is known of "nothing"`,
		"preflight 02:00:00:00:00:77":   "02:00:00:00:00:77 is no machine of SMD",
		"preflight --state /none/state": "--state: open /none/state: no such file or directory",
		"preflight --state /etc/passwd": `--state: /etc/passwd is no file of an earlier run: "root:x:0:0:root:/root:/bin/bash"`,
		"boots nothing":                 `asking unix:FOLDER/socket: nothing is known of "nothing"`,
	} {
		if diff := cmp.Diff(said{Err: "coresmd: " + want + "\n", Status: exitFailed}, run(t, strings.Fields(words)...)); diff != "" {
			t.Errorf("coresmd %s (-want +got):\n%s", words, diff)
		}
	}
}

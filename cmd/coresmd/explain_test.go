package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/google/go-cmp/cmp"
)

// TestOneScreen has a machine of which there is more to say than a screen holds.
func TestOneScreen(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	a := status.Explanation{
		MAC: "02:00:00:00:00:01", Known: true, Machine: &status.Machine{MAC: "02:00:00:00:00:01", ID: "x3000c0s0b0n0", Disabled: true},
		Findings: []status.Finding{{Severity: "error", Text: "first", Mend: "do"}, {Severity: "info", Text: "second"}},
		Journal:  &status.History{First: now.Add(-50 * time.Hour), Last: now.Add(-3 * time.Minute), CircuitID: "eth1", RemoteID: "switch"},
	}
	for i := range 20 {
		a.Rules = append(a.Rules, status.Rule{Number: i + 1, Name: fmt.Sprintf("rule %d", i+1), Result: "missed", Key: "type", Want: "Node"})
		a.Others = append(a.Others, status.Machine{MAC: fmt.Sprintf("02:00:00:00:01:%02x", i), ID: "x3000c0s0b0n0"})
		a.Journal.Events = append(a.Journal.Events, status.Event{Last: now, Times: i + 1, Kind: "tftp", Verdict: "sent", Bootfile: fmt.Sprintf("file%d", i)})
	}
	var p page
	p.explanation(&a, now)
	want := `error: first
           mend: do
info: second
asked
machine    02:00:00:00:00:01, x3000c0s0b0n0, disabled
addresses
also       02:00:00:00:01:00, x3000c0s0b0n0
also       02:00:00:00:01:01, x3000c0s0b0n0
also       02:00:00:00:01:02, x3000c0s0b0n0
also       02:00:00:00:01:03, x3000c0s0b0n0
           and 16 more interfaces
inventory  , , read just now, 0 machines, 0 faults
rule 1     missed: type is nothing, wanted Node
rule 2     missed: type is nothing, wanted Node
rule 3     missed: type is nothing, wanted Node
rule 4     missed: type is nothing, wanted Node
rule 5     missed: type is nothing, wanted Node
rule 6     missed: type is nothing, wanted Node
rule 7     missed: type is nothing, wanted Node
rule 8     missed: type is nothing, wanted Node
           and 12 more: --format json has them
answer
lately     first heard 2 days ago, last 3 minutes ago, port eth1 switch
           03:04:05  tftp -> sent, file14, 15 times
           03:04:05  tftp -> sent, file15, 16 times
           03:04:05  tftp -> sent, file16, 17 times
           03:04:05  tftp -> sent, file17, 18 times
           03:04:05  tftp -> sent, file18, 19 times
           03:04:05  tftp -> sent, file19, 20 times
`
	var lines []string
	for line := range strings.Lines(p.text.String()) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	if diff := cmp.Diff(want, strings.Join(lines, "\n")+"\n"); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAgo(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Hour: "just now", 0: "just now", 2 * time.Second: "2 seconds ago", 119 * time.Second: "119 seconds ago",
		2 * time.Minute: "2 minutes ago", 119 * time.Minute: "119 minutes ago", 2 * time.Hour: "2 hours ago", 47 * time.Hour: "47 hours ago", 48 * time.Hour: "2 days ago",
	} {
		if got := ago(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

// TestCompletion has what a shell is offered.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for words, want := range map[string]string{
		"__complete lint --format ":  "table\njson\nyaml\n:4\n",
		"__complete lint --format j": "table\njson\nyaml\n:4\n",
		"__complete expl":            "explain\tExplain what a machine would be told, and why\n:4\n",
	} {
		all := strings.Split(words, " ")
		if got := run(t, all...); got.Out != want || got.Status != exitFine {
			t.Errorf("%s: %+v, want %q", words, got, want)
		}
	}
	for _, shell := range []string{"bash", "fish", "zsh", "powershell"} {
		if got := run(t, "completion", shell); got.Status != exitFine || !strings.Contains(got.Out, "coresmd") {
			t.Errorf("%s: %+v", shell, got)
		}
	}
}

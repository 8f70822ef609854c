package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPreflightHere tries the machines of the server of these tests, whose boot script service has
// no script.
func TestPreflightHere(t *testing.T) {
	t.Parallel()
	ask(t)
	got := run(t, "preflight", "--client", "ipxe")
	want := `x3000c0s0b0n0 02:00:00:00:00:01 nid0001
           ipxe: boot script http://SCRIPTS?mac=02:00:00:00:00:01: 404 Not Found
x3000c0s1b0n0 02:00:00:00:00:02 nid0002
           ipxe: it gets a temporary address from bootloop
x3000c0s2b0n0 02:00:00:00:00:03
           ipxe: its request is answered with no reply: ignored by a rule
4 machines tried, 3 will not boot
`
	if diff := cmp.Diff(said{Out: want, Status: exitWrong}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	json := `{
  "machines": [],
  "tried": 1
}
`
	if diff := cmp.Diff(said{Out: json}, run(t, "preflight", "--client", "ipxe", "--format", "json", "x3000c0s0b0")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPreflightState has a run that is interrupted, and the next one.
func TestPreflightState(t *testing.T) {
	t.Parallel()
	ask(t)
	state := filepath.Join(t.TempDir(), "state")
	found := `{"mac":"02:00:00:00:00:01","id":"x3000c0s0b0n0"}` + "\n"
	if err := os.WriteFile(state, []byte(found+`{"mac":"02`), 0o644); err != nil {
		t.Fatal(err)
	}
	f := &flight{env: &env{server: here.socket, stdout: &bytes.Buffer{}}, done: map[string]result{}, state: state}
	if err := f.resume(); err != nil {
		t.Fatal(err)
	}
	interrupted, cancel := context.WithCancel(t.Context())
	f.keep(result{MAC: "02:00:00:00:00:02", Problems: []string{"why"}})
	cancel()
	if err := f.end(interrupted); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(state)
	if want := found + `{"mac":"02:00:00:00:00:02","id":"","problems":["why"]}` + "\n"; err != nil || string(text) != want {
		t.Errorf("%v %s", err, text)
	}
	got := run(t, "preflight", "--client", "ipxe", "--state", state, "x3000c0s0b0n0", "x3000c0s1b0n0")
	if !strings.HasSuffix(got.Out, "why\n2 machines tried, 1 will not boot\n") || got.Status != exitWrong {
		t.Errorf("%+v", got)
	}
	if _, err := os.Stat(state); !os.IsNotExist(err) {
		t.Errorf("the file is left: %v", err)
	}
}

// TestProgress has the bar of a terminal, and none elsewhere.
func TestProgress(t *testing.T) {
	t.Parallel()
	for terminal, want := range map[bool]string{
		false: "",
		true:  "\r[" + strings.Repeat("#", 20) + strings.Repeat(".", 20) + "] 1 of 2\r[" + strings.Repeat("#", 40) + "] 2 of 2\r\x1b[K",
	} {
		var out bytes.Buffer
		bar := (&env{stderr: &out, terminal: terminal}).progress(2)
		bar.step()
		bar.step()
		bar.end()
		if out.String() != want {
			t.Errorf("%v: %q", terminal, out.String())
		}
	}
}

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/OpenCHAMI/coresmd/internal/record"
	"github.com/google/go-cmp/cmp"
)

// TestPcap writes packets to a pipe and to a file.
func TestPcap(t *testing.T) {
	t.Parallel()
	const mac = "02:00:00:00:00:99"
	ask(t)
	var out bytes.Buffer
	e := &env{stdout: &out, stderr: &out, getenv: func(string) string { return "" }}
	if status := e.run(t.Context(), []string{"pcap", mac, "--server", here.socket}); status != exitFine {
		t.Fatalf("status %d: %s", status, out.String())
	}
	r, err := record.NewReader(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	d, err := r.Next()
	if want := "bootloop: OFFER"; err != nil || d.Comment != want {
		t.Errorf("comment %q, %v; want %q", d.Comment, err, want)
	}
	folder := t.TempDir()
	file := filepath.Join(folder, "bug.pcapng")
	for range 2 { // the second takes the place of the first
		if got := run(t, "pcap", mac, "-w", file); got != (said{}) {
			t.Errorf("%+v", got)
		}
	}
	written, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(written, out.Bytes()) {
		t.Errorf("the file differs from what is written to a pipe: %v", err)
	}
	run(t, "pcap", "nid0815", "-w", file)
	if again, _ := os.ReadFile(file); !bytes.Equal(written, again) {
		t.Error("what failed has changed the file")
	}
	if all, _ := os.ReadDir(folder); len(all) != 1 {
		t.Errorf("the folder has %v", all)
	}
}

// TestPcapMistakes has what is said to whom asks for packets that cannot be had.
func TestPcapMistakes(t *testing.T) {
	t.Parallel()
	ask(t)
	file := filepath.Join(t.TempDir(), "bug.pcapng")
	numbers := regexp.MustCompile(`(file\.|; )\d+`)
	for words, want := range map[string]string{
		"":                     "wanted one machine: a MAC, an xname, an IP address or a host name; or all",
		"all":                  "packets are not for a terminal; wanted -w FILE, or a pipe such as | tshark -r -",
		"all -w /dev/null":     "-w /dev/null: it is no regular file; wanted one, or -",
		"all -w /nowhere/file": "-w /nowhere/file: open /nowhere/.file.NUMBER: no such file or directory",
		"all --format json":    "--format json is not for pcap, which writes pcapng",
		"nid0815 -w FILE":      `asking unix:FOLDER/socket: nothing is known of "nid0815"`,
		"02-00-00-00-00-43":    "packets are not for a terminal; wanted -w FILE, or a pipe such as | tshark -r -",
		"020000000043 -w FILE": "asking unix:FOLDER/socket: nothing is recorded of 020000000043; NUMBER exchanges of others are",
	} {
		got := with(t, map[string]string{serverVariable: here.socket}, true, append([]string{"pcap"}, strings.Fields(strings.ReplaceAll(words, "FILE", file))...)...)
		got.Err = numbers.ReplaceAllString(got.Err, "${1}NUMBER")
		if diff := cmp.Diff(said{Err: "coresmd: " + want + "\n", Status: exitFailed}, got); diff != "" {
			t.Errorf("pcap %s (-want +got):\n%s", words, diff)
		}
	}
}

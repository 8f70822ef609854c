package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/coredhcp/coredhcp/config"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// FuzzReadConfig reads files of all kinds. One that has no mistakes holds for
// CoreDHCP what it holds for us, and each word stands where we say.
func FuzzReadConfig(f *testing.F) {
	paths, _ := filepath.Glob("testdata/check/*.yaml")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("server4:\n  plugins:\n    - mtu: 0x5dc\n    - \"dns\": '1.1.1.1\n\n      8.8.8.8'\n    - x: |2\n        a\n\n       b"))
	f.Add([]byte("Server4: &s\n  Plugins: [{mtu: 1_500}, {sleep: 010}, {x: yes}, {y: 2001-01-01}, {z: ~}]\nserver6: *s"))
	f.Add([]byte("\xef\xbb\xbfserver4:\r\n  plugins:\r\n  - dns: \"\\x31.1.1.1 \\\r\n      2\"\r\n"))
	quiet(nil)
	path := filepath.Join(f.TempDir(), "config.yaml")
	f.Fuzz(func(t *testing.T, text []byte) {
		write(t, path, string(text))
		c, problems, err := readConfig(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Count(string(text), "\n") + 1
		for _, p := range problems {
			if p.Line < 0 || p.Line > lines || p.Reason == "" || p.Severity != "error" {
				t.Errorf("%+v of %d lines", p, lines)
			}
		}
		theirs, err := config.Load(path)
		if len(problems) > 0 || err != nil {
			return
		}
		for name, section := range map[string]*config.ServerConfig{"server4": theirs.Server4, "server6": theirs.Server6} {
			if section == nil {
				section = &config.ServerConfig{}
			}
			agree(t, text, section.Plugins, c.of(name))
		}
	})
}

// agree compares a chain of CoreDHCP with ours.
func agree(t *testing.T, text []byte, theirs []config.PluginConfig, ours []directive) {
	t.Helper()
	var want, got [][]string
	for _, p := range theirs {
		want = append(want, append([]string{strings.ToLower(p.Name)}, p.Args...))
	}
	for _, d := range ours {
		got = append(got, append([]string{strings.ToLower(d.plugin)}, d.texts()...))
		for _, w := range d.words {
			r := reader{source: text}
			if at := r.offset(w.place); at >= len(text) {
				t.Errorf("%q at %+v: behind the end", w.text, w.place)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-CoreDHCP +we):\n%s", diff)
	}
}

// FuzzExplain has words of all kinds in each place of a question. They never make
// a terminal do anything, and the exit status is one of the three.
func FuzzExplain(f *testing.F) {
	f.Add("02:00:00:00:00:01", "192.0.2.254", "7", "PXEClient", "iPXE", "request", "table")
	f.Add("x3000c0s0b0n0", "none", "65536", "\x1b[31m", "", "INFORM", "yaml")
	f.Add("\x1b]0;x\a", "", "", "", "\x00", "", "json")
	f.Add("-", "::1", "-1", "HTTPClient:Arch:00016", "a\nb", "\u202e", "xml")
	f.Add("--help", "\xff", "0x7", "", "", "DISCOVER", "")
	f.Fuzz(func(t *testing.T, word, giaddr, arch, class, user, message, format string) {
		got := run(t, "explain", "--giaddr="+giaddr, "--arch="+arch, "--class="+class, "--user-class="+user, "--message="+message, "--format="+format, "--", word)
		if got.Status < exitFine || got.Status > exitFailed || (got.Status == exitFailed) != (got.Err != "") {
			t.Errorf("%q: %+v", word, got)
		}
		if strings.ContainsFunc(got.Out+got.Err, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
			t.Errorf("%q: %q %q", word, got.Out, got.Err)
		}
	})
}

// FuzzForSMD has machines that call themselves what they like. SMD gets a record
// for each, with its MAC, and nothing else.
func FuzzForSMD(f *testing.F) {
	f.Add("02:00:00:00:00:01", "Vendor: Inc.", "PXEClient", "eth1/0/7", "node")
	f.Add("10:20:30:40:50:10", "#", "\n- MACAddress: x", "'", "yes")
	f.Add("0x10", "---", "\x00\u2028\x85", "!!binary", "{{")
	f.Fuzz(func(t *testing.T, mac, vendor, class, port, hostname string) {
		m := stranger{MAC: mac, Vendor: vendor, Class: class, CircuitID: port, Hostname: hostname, First: time.Unix(0, 0), Last: time.Unix(1, 0)}
		for _, isComponents := range []bool{false, true} {
			var out bytes.Buffer
			e := &env{stdout: &out}
			if err := e.forSMD([]stranger{m, m}, isComponents); err != nil {
				t.Fatal(err)
			}
			var interfaces []ethernetInterface
			var whole struct {
				Components []component `yaml:"Components"`
			}
			var err error
			if isComponents {
				err = yaml.Unmarshal(out.Bytes(), &whole)
			} else {
				err = yaml.Unmarshal(out.Bytes(), &interfaces)
			}
			if err != nil || len(interfaces)+len(whole.Components) != 2 {
				t.Fatalf("%v\n%s", err, out.String())
			}
			for _, i := range interfaces {
				if i.MACAddress != strings.ToValidUTF8(mac, "�") && i.MACAddress != mac {
					t.Errorf("%q became %q", mac, i.MACAddress)
				}
			}
		}
	})
}

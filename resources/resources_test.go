package resources

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

func TestBootFiles(t *testing.T) {
	t.Parallel()
	files := BootFiles()
	if !bytes.Equal(files["default"], files["reboot.ipxe"]) || len(files) != 4 {
		t.Errorf("got %d files", len(files))
	}
	label := regexp.MustCompile(`(?m)^:(\S+)$`)
	jump := regexp.MustCompile(`(?:goto|set next:string) ([^$\s]+)`)
	for name, b := range files {
		if !bytes.HasPrefix(b, []byte("#!ipxe\n")) || !bytes.HasSuffix(b, []byte("\n")) {
			t.Errorf("%s is no script", name)
		}
		if i := bytes.IndexFunc(b, func(r rune) bool { return r > '~' || r < ' ' && r != '\n' }); i >= 0 {
			t.Errorf("%s: octet %d is not plain ASCII", name, i)
		}
		var labels []string
		for _, m := range label.FindAllSubmatch(b, -1) {
			labels = append(labels, string(m[1]))
		}
		if slices.Sort(labels); len(slices.Compact(slices.Clone(labels))) != len(labels) {
			t.Errorf("%s: labels %q", name, labels)
		}
		for _, m := range jump.FindAllSubmatch(b, -1) {
			if !slices.Contains(labels, string(m[1])) {
				t.Errorf("%s: no label %q", name, m[1])
			}
		}
	}
}

// machine runs as much of iPXE's script language as the scripts use, on a
// clock of its own.
type machine struct {
	lease     []string // boot files that DHCP brings, "-" for no answer; the last goes on
	reachable bool     // whether boot files can be fetched
	slow      bool     // whether everything takes as long as it may
	old       bool     // whether it is an iPXE of 2019
	settings  map[string]string
	clock     int
	trace     []string
}

var setting = regexp.MustCompile(`\$\{([^}]*)\}`)

// run runs a script to its end, and returns what it did and when.
func (m *machine) run(script []byte) []string {
	lines := strings.Split(string(script), "\n")
	for i := 0; i < len(lines); {
		line := setting.ReplaceAllStringFunc(lines[i], func(s string) string { return m.settings[s[2:len(s)-1]] })
		jump, end := m.line(line)
		switch {
		case end:
			return m.trace
		case jump != "":
			i = slices.Index(lines, ":"+jump) + 1
		default:
			i++
		}
	}
	return append(m.trace, "ran out")
}

// line runs one line: commands joined by && and ||. A line that fails ends
// the script.
func (m *machine) line(line string) (jump string, end bool) {
	if line == "" || line[0] == '#' || line[0] == ':' {
		return "", false
	}
	ok, when := true, ""
	for words := strings.Fields(line); ; {
		n := slices.IndexFunc(words, func(w string) bool { return w == "&&" || w == "||" })
		command := words
		if n >= 0 {
			command = words[:n]
		}
		if when == "" || (when == "&&") == ok {
			ok = true
			if len(command) > 0 {
				ok, jump, end = m.command(command)
			}
		}
		if jump != "" || end {
			return jump, end
		}
		if n < 0 {
			break
		}
		when, words = words[n], words[n+1:]
	}
	if !ok {
		m.note("failed: " + line)
	}
	return "", !ok
}

func (m *machine) note(what string) { m.trace = append(m.trace, fmt.Sprintf("%d %s", m.clock, what)) }

func (m *machine) command(w []string) (ok bool, jump string, end bool) {
	last := w[len(w)-1]
	switch w[0] {
	case "echo", "clear":
		return true, "", false
	case "set":
		name, _, _ := strings.Cut(w[1], ":")
		m.settings[name] = strings.Join(w[2:], " ")
		return true, "", false
	case "isset":
		return len(w) > 1, "", false
	case "iseq":
		return len(w) == 3 && w[1] == w[2], "", false
	case "goto":
		return true, last, false
	case "sleep":
		n, _ := strconv.Atoi(last)
		m.clock += n
		return true, "", false
	case "iflinkwait", "ifconf", "dhcp", "chain":
		return m.network(w)
	case "reboot":
		m.note("reboot")
		return true, "", true
	}
	m.note("unknown command " + w[0])
	return false, "", true
}

// limits are the seconds after which commands give up by themselves.
var limits = map[string]int{"iflinkwait": 2, "ifconf": 15, "dhcp": 30, "chain": 30}

func (m *machine) network(w []string) (ok bool, jump string, end bool) {
	limit := limits[w[0]]
	if i := slices.IndexFunc(w, func(word string) bool { return strings.HasPrefix(word, "--timeout") }); i > 0 {
		_, inline, _ := strings.Cut(w[i], "=")
		ms, _ := strconv.Atoi(cmp.Or(inline, w[i+1]))
		limit = ms / 1000
	}
	took, last := 0, w[len(w)-1]
	switch w[0] {
	case "iflinkwait":
		return !m.old, "", false
	case "ifconf", "dhcp":
		took = 3
		if ok = m.lease[0] != "-"; ok {
			m.settings["filename"] = m.lease[0]
		}
		if len(m.lease) > 1 {
			m.lease = m.lease[1:]
		}
	case "chain":
		ok, end = m.reachable, m.reachable
	}
	if m.slow || !ok {
		took = limit
	}
	m.clock += took
	m.note(w[0] + " " + last)
	return ok, "", end
}

func TestScripts(t *testing.T) {
	t.Parallel()
	const url = "http://192.0.2.1:8081/boot/v1/bootscript?mac=02:00:00:00:00:01"
	tests := map[string]struct {
		script string
		first  string // boot file that brought the machine here
		m      machine
		want   []string
	}{
		"never known": {
			script: "default", first: "default",
			m:    machine{lease: []string{"default"}, reachable: true},
			want: []string{"8 ifconf net1", "21 ifconf net1", "44 ifconf net1", "87 ifconf net1", "87 reboot"},
		},
		"known at once": {
			script: "reboot.ipxe", first: "/reboot.ipxe",
			m:    machine{lease: []string{url}, reachable: true},
			want: []string{"8 ifconf net1", "8 chain " + url},
		},
		"known at once, old": {
			script: "reboot.ipxe", first: "/reboot.ipxe",
			m:    machine{lease: []string{url}, reachable: true, old: true},
			want: []string{"8 ifconf net1", "8 chain " + url},
		},
		"known in the end": {
			script: "reboot.ipxe", first: "reboot.ipxe",
			m:    machine{lease: []string{"reboot.ipxe", "/default", "/reboot.ipxe", url}, reachable: true},
			want: []string{"8 ifconf net1", "21 ifconf net1", "44 ifconf net1", "87 ifconf net1", "87 chain " + url},
		},
		"another name for the script": {
			script: "reboot.ipxe", first: "tftp://[2001:db8::1]/reboot.ipxe",
			m:    machine{lease: []string{"tftp://[2001:db8::1]/reboot.ipxe", "-", url}, reachable: true},
			want: []string{"8 ifconf net1", "30 ifconf net1", "53 ifconf net1", "53 chain " + url},
		},
		"no boot file for a while": {
			script: "reboot.ipxe", first: "default",
			m:    machine{lease: []string{"", "", "", url}, reachable: true},
			want: []string{"8 ifconf net1", "21 ifconf net1", "44 ifconf net1", "87 ifconf net1", "87 chain " + url},
		},
		"DHCP is dead": {
			script: "reboot.ipxe", first: "default",
			m:    machine{lease: []string{"-"}},
			want: []string{"17 ifconf net1", "39 ifconf net1", "71 ifconf net1", "81 reboot"},
		},
		"DHCP is dead, old": {
			script: "reboot.ipxe", first: "default",
			m:    machine{lease: []string{"-"}, old: true},
			want: []string{"20 ifconf net1", "45 ifconf net1", "80 ifconf net1", "90 reboot"},
		},
		"DHCP comes back for the boot file": {
			script: "reboot.ipxe", first: "default",
			m:    machine{lease: []string{"-", "-", url}, reachable: true},
			want: []string{"17 ifconf net1", "39 ifconf net1", "62 ifconf net1", "62 chain " + url},
		},
		"all is slow, boot file cannot be fetched": {
			script: "reboot.ipxe", first: "default",
			m: machine{lease: []string{url}, slow: true, old: true},
			want: []string{
				"20 ifconf net1", "28 chain " + url, "53 ifconf net1", "61 chain " + url,
				"96 ifconf net1", "104 chain " + url, "114 reboot",
			},
		},
		"known in the end, boot file cannot be fetched": {
			script: "reboot.ipxe", first: "default",
			m: machine{lease: []string{"default", "default", "default", url}, old: true},
			want: []string{
				"8 ifconf net1", "21 ifconf net1", "44 ifconf net1", "87 ifconf net1", "95 chain " + url, "95 reboot",
			},
		},
		"config": {
			script: "config.ipxe", first: "default",
			m:    machine{reachable: true},
			want: []string{"0 chain default"},
		},
		"config, no boot file at first": {
			script: "config.ipxe",
			m:      machine{lease: []string{url}, reachable: true},
			want:   []string{"13 dhcp dhcp", "13 chain " + url},
		},
		"config, no boot file": {
			script: "config.ipxe",
			m:      machine{lease: []string{""}},
			want:   []string{"13 dhcp dhcp", "43 reboot"},
		},
		"autoexec": {
			script: "autoexec.ipxe", first: "ipxe-x86_64.efi",
			m:    machine{lease: []string{url}, reachable: true},
			want: []string{"3 dhcp dhcp", "3 chain " + url},
		},
		"autoexec, boot file comes late": {
			script: "autoexec.ipxe", first: "ipxe-x86_64.efi",
			m:    machine{lease: []string{"-", url}, reachable: true},
			want: []string{"30 dhcp dhcp", "43 dhcp dhcp", "43 chain " + url},
		},
		"autoexec, boot file cannot be fetched": {
			script: "autoexec.ipxe", first: "ipxe-x86_64.efi",
			m:    machine{lease: []string{url}},
			want: []string{"3 dhcp dhcp", "33 chain " + url, "46 dhcp dhcp", "76 chain " + url, "106 reboot"},
		},
		"config, boot file cannot be fetched": {
			script: "config.ipxe", first: url,
			m:    machine{lease: []string{url}},
			want: []string{"30 chain " + url, "43 dhcp dhcp", "73 chain " + url, "103 reboot"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := test.m
			m.settings = map[string]string{
				"filename": test.first, "netX/mac": "02:00:00:00:00:01", "netX/ip": "192.0.2.9", "netX/ifname": "net1",
			}
			if diff := gocmp.Diff(test.want, m.run(BootFiles()[test.script])); diff != "" {
				t.Error(diff)
			}
			if m.clock >= 120 {
				t.Errorf("it took %d s, two minutes are allowed", m.clock)
			}
		})
	}
}

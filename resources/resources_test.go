package resources

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBootFiles(t *testing.T) {
	t.Parallel()
	files := BootFiles()
	if !bytes.Equal(files["default"], files["reboot.ipxe"]) || len(files) != 3 {
		t.Errorf("got %d files", len(files))
	}
	label := regexp.MustCompile(`(?m)^:(\S+)$`)
	jump := regexp.MustCompile(`goto (\S+)`)
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
	case "iflinkwait", "dhcp", "chain":
		return m.network(w)
	case "reboot":
		m.note("reboot")
		return true, "", true
	}
	m.note("unknown command " + w[0])
	return false, "", true
}

func (m *machine) network(w []string) (ok bool, jump string, end bool) {
	limit := 30000
	if i := slices.Index(w, "--timeout"); i > 0 {
		limit, _ = strconv.Atoi(w[i+1])
	}
	took, last := 0, w[len(w)-1]
	switch w[0] {
	case "iflinkwait":
		ok = true
	case "dhcp":
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
		took = limit / 1000
	}
	m.clock += took
	if w[0] != "iflinkwait" {
		m.note(w[0] + " " + last)
	}
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
			want: []string{"8 dhcp net1", "21 dhcp net1", "44 dhcp net1", "87 dhcp net1", "87 reboot"},
		},
		"known at once": {
			script: "reboot.ipxe", first: "/reboot.ipxe",
			m:    machine{lease: []string{url}, reachable: true},
			want: []string{"8 dhcp net1", "8 chain " + url},
		},
		"known in the end": {
			script: "reboot.ipxe", first: "reboot.ipxe",
			m:    machine{lease: []string{"reboot.ipxe", "/default", "/reboot.ipxe", url}, reachable: true},
			want: []string{"8 dhcp net1", "21 dhcp net1", "44 dhcp net1", "87 dhcp net1", "87 chain " + url},
		},
		"another name for the script": {
			script: "reboot.ipxe", first: "tftp://[2001:db8::1]/reboot.ipxe",
			m:    machine{lease: []string{"tftp://[2001:db8::1]/reboot.ipxe", "-", "", url}, reachable: true},
			want: []string{"8 dhcp net1", "25 dhcp net1", "48 dhcp net1", "91 dhcp net1", "91 chain " + url},
		},
		"DHCP is dead": {
			script: "reboot.ipxe", first: "default",
			m:    machine{lease: []string{"-"}},
			want: []string{"12 dhcp net1", "29 dhcp net1", "56 dhcp net1", "103 dhcp net1", "103 reboot"},
		},
		"all is slow, boot file cannot be fetched": {
			script: "reboot.ipxe", first: "default",
			m: machine{lease: []string{url}, slow: true},
			want: []string{
				"14 dhcp net1", "22 chain " + url, "41 dhcp net1", "49 chain " + url,
				"78 dhcp net1", "86 chain " + url, "105 dhcp net1", "113 chain " + url, "113 reboot",
			},
		},
		"all is slow, known in the end, boot file cannot be fetched": {
			script: "reboot.ipxe", first: "default",
			m: machine{lease: []string{"default", "default", "default", url}, slow: true},
			want: []string{
				"14 dhcp net1", "33 dhcp net1", "62 dhcp net1", "111 dhcp net1", "119 chain " + url, "119 reboot",
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
			if diff := cmp.Diff(test.want, m.run(BootFiles()[test.script])); diff != "" {
				t.Error(diff)
			}
			if test.script != "config.ipxe" && m.clock >= 120 {
				t.Errorf("it took %d s, two minutes are allowed", m.clock)
			}
		})
	}
}

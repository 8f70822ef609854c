package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/OpenCHAMI/coresmd/internal/args"
	"github.com/spf13/cast"
	"go.yaml.in/yaml/v3"
)

// A place is where something stands in a file. Lines and columns count from 1;
// 0 is not known.
type place struct {
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
}

func placeOf(n *yaml.Node) place { return place{n.Line, n.Column} }

// A configuration is CoreDHCP's file with the place of each word.
type configuration struct {
	path    string
	servers []server
}

// A server is the section server4 or server6.
type server struct {
	name    string
	place   place
	listen  []word
	plugins []directive
}

// A directive is a plugin with its arguments.
type directive struct {
	server string
	plugin string
	place  place // of the name
	words  []word
}

// A word is a piece of a file.
type word struct {
	text  string
	place place
}

func (d directive) texts() []string {
	texts := make([]string, len(d.words))
	for i, w := range d.words {
		texts[i] = w.text
	}
	return texts
}

// of returns the plugins of a section.
func (c *configuration) of(server string) []directive {
	for _, s := range c.servers {
		if s.name == server {
			return s.plugins
		}
	}
	return nil
}

// findConfig returns the file that coredhcp would read without --conf.
func (e *env) findConfig() (string, error) {
	folders := []string{".", e.getenv("XDG_CONFIG_HOME") + "/coredhcp", e.getenv("HOME") + "/.coredhcp", "/etc/coredhcp"}
	for _, folder := range folders {
		for _, name := range []string{"config.yaml", "config.yml"} {
			path := filepath.Join(folder, name)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				return path, nil
			}
		}
	}
	return "", errors.New("no config.yaml where coredhcp looks for one; wanted -c FILE")
}

// A reader reads a configuration and notes what is wrong with its form.
type reader struct {
	configuration
	source   []byte
	problems []problem
}

// readConfig reads a file. The problems are those of its form; the error is one
// of reading it at all.
func readConfig(path string) (*configuration, []problem, error) {
	source, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("there is no file %s", path)
	}
	if err != nil {
		return nil, nil, err
	}
	r := reader{configuration{path: path}, source, nil}
	r.read()
	return &r.configuration, r.problems, nil
}

func (r *reader) fail(at place, format string, a ...any) *problem {
	r.problems = append(r.problems, problem{Severity: "error", File: r.path, place: at, Reason: fmt.Sprintf(format, a...)})
	return &r.problems[len(r.problems)-1]
}

func (r *reader) read() {
	var document yaml.Node
	if err := yaml.Unmarshal(r.source, &document); err != nil {
		r.broken(err)
		return
	}
	var whole any // names what stands twice
	if err := document.Decode(&whole); err != nil {
		r.broken(err)
		return
	}
	if len(document.Content) == 0 {
		r.fail(place{}, "it is empty; wanted server4 or server6")
		return
	}
	r.mapping(document.Content[0], "the file", []string{"server4", "server6"}, func(key string, value *yaml.Node, at place) {
		r.server(key, value, at)
	})
	if len(r.servers) == 0 && len(r.problems) == 0 {
		r.fail(place{}, "neither server4 nor server6; wanted one of them")
	}
	slices.SortStableFunc(r.servers, func(a, b server) int { return cmp.Compare(b.name, a.name) }) // the order in which they are set up
}

var yamlLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)$`)

// broken notes errors of the YAML.
func (r *reader) broken(err error) {
	lines := []string{err.Error()}
	if several := new(yaml.TypeError); errors.As(err, &several) {
		lines = several.Errors
	}
	for _, line := range lines {
		m := yamlLine.FindStringSubmatch(line)
		number, _ := strconv.Atoi(m[1])
		r.fail(place{Line: number}, "not YAML: %s", m[2])
	}
}

// mapping visits the members of a mapping, whose keys have no case, as
// CoreDHCP has it.
func (r *reader) mapping(n *yaml.Node, what string, known []string, visit func(key string, value *yaml.Node, at place)) {
	n = resolved(n)
	if n.Kind != yaml.MappingNode {
		r.fail(placeOf(n), "%s is %s; wanted %s, each with a colon", what, kindOf(n), strings.Join(known, ", "))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		name := strings.ToLower(key.Value)
		if !slices.Contains(known, name) {
			r.fail(placeOf(key), "unknown key %q of %s; %s", key.Value, what, args.Suggest(name, known))
			continue
		}
		visit(name, resolved(n.Content[i+1]), placeOf(key))
	}
}

func resolved(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	if n.Tag == "!!null" {
		return "nothing"
	}
	return fmt.Sprintf("the word %q", n.Value)
}

func (r *reader) server(name string, n *yaml.Node, at place) {
	s := server{name: name, place: at}
	listens := 0
	r.mapping(n, name, []string{"listen", "interface", "plugins"}, func(key string, value *yaml.Node, at place) {
		switch key {
		case "plugins":
			s.plugins = r.plugins(name, value)
		default:
			listens++
			s.listen = r.listens(key, value)
			if listens > 1 {
				r.fail(at, "both listen and interface; wanted listen")
			}
		}
	})
	if n.Kind == yaml.MappingNode && len(s.plugins) == 0 && len(r.problems) == 0 {
		r.fail(at, "%s has no plugins", name)
	}
	r.servers = append(r.servers, s)
}

func (r *reader) listens(key string, n *yaml.Node) []word {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode && key == "listen" {
		items = n.Content
	}
	var words []word
	for _, item := range items {
		item = resolved(item)
		if item.Kind != yaml.ScalarNode || item.Value == "" {
			r.fail(placeOf(item), "%s is %s; wanted %%INTERFACE or an address", key, kindOf(item))
			continue
		}
		text := item.Value
		if key == "interface" {
			text = "%" + text
		}
		words = append(words, word{text, placeOf(item)})
	}
	return words
}

func (r *reader) plugins(server string, n *yaml.Node) []directive {
	if n.Kind != yaml.SequenceNode {
		r.fail(placeOf(n), "plugins is %s; wanted a list, an item for each plugin", kindOf(n))
		return nil
	}
	var all []directive
	for _, item := range n.Content {
		item = resolved(item)
		if item.Kind != yaml.MappingNode || len(item.Content) != 2 {
			r.fail(placeOf(item), "an item of plugins is %s; wanted one plugin, NAME: ARGUMENTS", itemOf(item))
			continue
		}
		key, value := item.Content[0], resolved(item.Content[1])
		d := directive{server: server, plugin: key.Value, place: placeOf(key)}
		if value.Kind != yaml.ScalarNode {
			r.fail(placeOf(value), "the arguments of %s are %s; wanted words on one line, or below >-", key.Value, kindOf(value))
			continue
		}
		d.words = r.words(value)
		all = append(all, d)
	}
	return all
}

func itemOf(n *yaml.Node) string {
	if n.Kind == yaml.MappingNode {
		return fmt.Sprintf("a mapping of %d keys", len(n.Content)/2)
	}
	return kindOf(n)
}

// words splits a value as CoreDHCP does, and finds where each word stands.
// Between words of a value a file has blanks only.
func (r *reader) words(n *yaml.Node) []word {
	var words []word
	at := r.offset(placeOf(n))
	for _, text := range strings.Fields(valueOf(n)) {
		found := bytes.Index(r.source[at:], []byte(text))
		if found < 0 { // it is escaped there
			words = append(words, word{text, placeOf(n)})
			continue
		}
		at += found
		words = append(words, word{text, r.placeAt(at)})
		at += len(text)
	}
	return words
}

// valueOf is a scalar as CoreDHCP has it: 1_500 and 0x5dc are 1500 to it.
func valueOf(n *yaml.Node) string {
	var value any
	if n.Tag == "!!str" || n.Decode(&value) != nil {
		return n.Value
	}
	return cast.ToString(value)
}

// offset returns where a place is in the file.
func (r *reader) offset(p place) int {
	at := 0
	for range p.Line - 1 {
		next := bytes.IndexByte(r.source[at:], '\n')
		if next < 0 {
			return len(r.source)
		}
		at += next + 1
	}
	return min(at+max(p.Column-1, 0), len(r.source))
}

func (r *reader) placeAt(offset int) place {
	before := r.source[:offset]
	return place{1 + bytes.Count(before, []byte("\n")), offset - bytes.LastIndexByte(before, '\n')}
}

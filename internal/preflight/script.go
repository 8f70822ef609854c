package preflight

import (
	"regexp"
	"slices"
	"strings"
)

// An image is a file that a script loads.
type image struct {
	what string // kernel, initrd, file, script
	uri  string
}

// loads are the commands of iPXE that load a file, and what it is.
var loads = map[string]string{
	"kernel": "kernel", "boot": "kernel", "imgexec": "kernel", "chain": chained,
	"initrd": "initrd", "module": "initrd", "imgfetch": "file", "imgload": "file",
}

// chained is what another script is.
const chained = "script"

// valued are the options of those commands that take a value.
var valued = []string{"-n", "--name", "-t", "--timeout"}

// A script is what is known of one of iPXE.
type script struct {
	images []image // each once; other scripts only where there is no kernel
	opaque bool    // some names hold what only the machine knows
}

// read reads a script. A command after || runs when another one failed, and is
// left out.
func read(text string) script {
	var s script
	values := make(map[string]string)
	for line := range strings.Lines(text) {
		command, _, _ := strings.Cut(line, "||")
		for part := range strings.SplitSeq(command, "&&") {
			s.enter(strings.Fields(part), values)
		}
	}
	if slices.ContainsFunc(s.images, func(f image) bool { return f.what != chained }) {
		s.images = slices.DeleteFunc(s.images, func(f image) bool { return f.what == chained })
	}
	return s
}

// enter reads a command.
func (s *script) enter(words []string, values map[string]string) {
	if len(words) > 2 && words[0] == "set" {
		values[words[1]] = filled(strings.Join(words[2:], " "), values)
		return
	}
	if len(words) == 0 || loads[words[0]] == "" {
		return
	}
	f := image{loads[words[0]], filled(firstFile(words[1:]), values)}
	switch {
	case strings.Contains(f.uri, "${"):
		s.opaque = true
	case f.uri == "", slices.Contains(s.images, f):
	case f.what == chained, strings.ContainsAny(f.uri, "/."): // else the name of a file that is loaded already
		s.images = append(s.images, f)
	}
}

// firstFile returns the first word that is no option.
func firstFile(words []string) string {
	for i := 0; i < len(words); i++ {
		switch {
		case slices.Contains(valued, words[i]):
			i++
		case !strings.HasPrefix(words[i], "-"):
			return words[i]
		}
	}
	return ""
}

var variable = regexp.MustCompile(`\$\{[^{}]*\}`)

// filled puts the values of variables into a text, as far as they are known.
func filled(text string, values map[string]string) string {
	return variable.ReplaceAllStringFunc(text, func(name string) string {
		if value, ok := values[name[2:len(name)-1]]; ok {
			return value
		}
		return name
	})
}

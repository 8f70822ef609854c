// Command supply says what is linked into binaries of Go, under which licences.
//
//	supply list BINARY...            the tables of docs/dependencies.md
//	supply licences FOLDER BINARY... the licence texts, a folder per module
//
// It reads the list of modules out of the binaries: the module graph names more than is linked.
// A module without a licence, or with one that is not in the table below, is an error.
package main

import (
	"cmp"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed are the licences under which a module may be linked into what is given away.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0"}

// module is one module that is linked, or that go.mod requires.
type module struct {
	Path, Version string
	Dir           string
	Licences      []string
	Files         []string // that hold the licence
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "supply:", err)
		os.Exit(1)
	}
}

func run(words []string, out io.Writer) error {
	switch {
	case len(words) > 1 && words[0] == "list":
		return list(words[1:], out)
	case len(words) > 2 && words[0] == "licences":
		return licences(words[1], words[2:])
	}
	return errors.New("usage: supply list BINARY... | supply licences FOLDER BINARY...")
}

// list prints the direct dependencies with their reasons, then everything that is linked.
func list(binaries []string, out io.Writer) error {
	direct, err := required()
	if err != nil {
		return err
	}
	linked, err := modules(binaries)
	if err != nil {
		return err
	}
	reasons, err := reasons(direct)
	if err != nil {
		return err
	}
	fmt.Fprint(out, "## Direct\n\n| module | licence | why |\n|---|---|---|\n")
	for _, m := range direct {
		fmt.Fprintf(out, "| `%s` | %s | %s |\n", m.Path, strings.Join(m.Licences, ", "), reasons[m.Path])
	}
	fmt.Fprint(out, "\n## Linked\n\n| module | version | licence |\n|---|---|---|\n")
	for _, m := range linked {
		fmt.Fprintf(out, "| `%s` | %s | %s |\n", m.Path, m.Version, strings.Join(m.Licences, ", "))
	}
	return nil
}

// licences copies the licence texts of everything that is linked.
func licences(folder string, binaries []string) error {
	linked, err := modules(binaries)
	if err != nil {
		return err
	}
	for _, m := range linked {
		to := filepath.Join(folder, filepath.FromSlash(m.Path))
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		for _, name := range m.Files {
			text, err := os.ReadFile(filepath.Join(m.Dir, name))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(to, name), text, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// required returns what go.mod requires directly.
func required() ([]module, error) {
	text, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		return nil, fmt.Errorf("go mod edit -json: %w", err)
	}
	var file struct {
		Require []struct {
			Path, Version string
			Indirect      bool
		}
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	var found []module
	for _, r := range file.Require {
		if !r.Indirect {
			found = append(found, module{Path: r.Path, Version: r.Version})
		}
	}
	return examine(found)
}

// modules returns what is linked into any of the binaries, each module once.
func modules(binaries []string) ([]module, error) {
	found := make(map[string]module)
	for _, name := range binaries {
		info, err := buildinfo.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for _, dep := range info.Deps {
			m := dep
			if dep.Replace != nil {
				m = dep.Replace
			}
			found[m.Path] = module{Path: m.Path, Version: m.Version}
		}
	}
	sorted := slices.SortedFunc(maps.Values(found), func(a, b module) int { return cmp.Compare(a.Path, b.Path) })
	return examine(sorted)
}

// examine finds the licences of modules in the module cache.
func examine(found []module) ([]module, error) {
	var faults []error
	for i := range found {
		if err := found[i].examine(); err != nil {
			faults = append(faults, err)
		}
	}
	return found, errors.Join(faults...)
}

// licenceFile are the names under which modules keep their licence.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice)([-.].*)?$`)

func (m *module) examine() error {
	text, err := exec.Command("go", "mod", "download", "-json", m.Path+"@"+m.Version).Output()
	if err != nil {
		return fmt.Errorf("go mod download %s@%s: %w", m.Path, m.Version, err)
	}
	if err := json.Unmarshal(text, m); err != nil {
		return err
	}
	files, err := os.ReadDir(m.Dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.Type().IsRegular() && licenceFile.MatchString(f.Name()) {
			m.Files = append(m.Files, f.Name())
		}
	}
	return m.name()
}

// name reads the licence files.
func (m *module) name() error {
	for _, name := range m.Files {
		text, err := os.ReadFile(filepath.Join(m.Dir, name))
		if err != nil {
			return err
		}
		for _, match := range licensecheck.Scan(text).Match {
			if !match.IsURL && !slices.Contains(m.Licences, match.ID) {
				m.Licences = append(m.Licences, match.ID)
			}
		}
	}
	slices.Sort(m.Licences)
	if len(m.Licences) == 0 {
		return fmt.Errorf("%s %s: no licence that is known; wanted one of %s", m.Path, m.Version, strings.Join(allowed, ", "))
	}
	for _, l := range m.Licences {
		if !slices.Contains(allowed, l) {
			return fmt.Errorf("%s %s: licence %s; wanted one of %s", m.Path, m.Version, l, strings.Join(allowed, ", "))
		}
	}
	return nil
}

// reasonsFile has a line "MODULE REASON" for each direct dependency.
const reasonsFile = "tools/supply/reasons.txt"

// reasons says of each direct dependency why it is one.
func reasons(direct []module) (map[string]string, error) {
	text, err := os.ReadFile(reasonsFile)
	if err != nil {
		return nil, err
	}
	found := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		path, reason, _ := strings.Cut(strings.TrimSpace(line), " ")
		found[path] = reason
	}
	var faults []error
	for _, m := range direct {
		if found[m.Path] == "" {
			faults = append(faults, fmt.Errorf("%s: no line for %s, which go.mod requires", reasonsFile, m.Path))
		}
	}
	for path := range found {
		if !slices.ContainsFunc(direct, func(m module) bool { return m.Path == path }) {
			faults = append(faults, fmt.Errorf("%s: a line for %s, which go.mod does not require", reasonsFile, path))
		}
	}
	return found, errors.Join(faults...)
}

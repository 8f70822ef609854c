// Command vuln lays out the Go project's database of vulnerabilities as govulncheck reads it
// from a file URL. The database is a module, so that it can be had where modules can.
//
//	vuln SOURCE FOLDER
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// entry is what the index needs of a report.
type entry struct {
	ID        string     `json:"id"`
	Modified  time.Time  `json:"modified"`
	Withdrawn *time.Time `json:"withdrawn"`
	Affected  []struct {
		Package struct{ Name string } `json:"package"`
		Ranges  []struct {
			Events []struct{ Fixed string } `json:"events"`
		} `json:"ranges"`
	} `json:"affected"`
}

// vuln is a report in the index.
type vuln struct {
	ID       string    `json:"id"`
	Modified time.Time `json:"modified"`
	Fixed    string    `json:"fixed,omitempty"`
}

// module is a module in the index.
type module struct {
	Path  string `json:"path"`
	Vulns []vuln `json:"vulns"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: vuln SOURCE FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "vuln:", err)
		os.Exit(1)
	}
}

func run(source, folder string) error {
	reports, err := filepath.Glob(filepath.Join(source, "data/osv/GO-*.json"))
	if err != nil || len(reports) == 0 {
		return fmt.Errorf("no reports in %s: %w", source, err)
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(folder, "ID"), 0o755), os.MkdirAll(filepath.Join(folder, "index"), 0o755)); err != nil {
		return err
	}
	modules := make(map[string][]vuln)
	var newest time.Time
	for _, name := range reports {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var e entry
		if err := json.Unmarshal(text, &e); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if e.Withdrawn != nil {
			continue
		}
		if e.Modified.After(newest) {
			newest = e.Modified
		}
		for path, v := range e.byModule() {
			modules[path] = append(modules[path], v)
		}
		if err := os.WriteFile(filepath.Join(folder, "ID", filepath.Base(name)), text, 0o644); err != nil {
			return err
		}
	}
	return errors.Join(
		write(filepath.Join(folder, "index/db.json"), map[string]time.Time{"modified": newest}),
		write(filepath.Join(folder, "index/modules.json"), sorted(modules)))
}

// byModule is what a report says of each module.
func (e entry) byModule() map[string]vuln {
	found := make(map[string]vuln)
	for _, a := range e.Affected {
		v := vuln{ID: e.ID, Modified: e.Modified}
		for _, r := range a.Ranges {
			if n := len(r.Events); n > 0 {
				v.Fixed = r.Events[n-1].Fixed
			}
		}
		found[a.Package.Name] = v
	}
	return found
}

func sorted(modules map[string][]vuln) []module {
	list := make([]module, 0, len(modules))
	for path, vulns := range modules {
		list = append(list, module{path, vulns})
	}
	slices.SortFunc(list, func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return list
}

func write(name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o644)
}

package dhcptest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Table returns a table of a page in docs/ by its heading: a map from column to
// cell for each row. A table that is not there, or has a row of another length,
// fails the test.
func Table(tb testing.TB, page, heading string) []map[string]string {
	tb.Helper()
	root, err := RepoRoot()
	if err != nil {
		tb.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", page))
	if err != nil {
		tb.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		tb.Fatalf("docs/%s has no section %q", page, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var columns []string
	var rows []map[string]string
	for line := range strings.Lines(section) {
		cells := cellsOf(line)
		switch {
		case cells == nil || strings.HasPrefix(cells[0], "---"):
		case columns == nil:
			columns = cells
		case len(cells) != len(columns):
			tb.Fatalf("docs/%s: %d cells under %d columns: %s", page, len(cells), len(columns), line)
		default:
			row := make(map[string]string)
			for i, c := range cells {
				row[columns[i]] = c
			}
			rows = append(rows, row)
		}
	}
	if rows == nil {
		tb.Fatalf("docs/%s: no table under %q", page, heading)
	}
	return rows
}

// cellsOf splits a line of a table; nil: it is none.
func cellsOf(line string) []string {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "|") {
		return nil
	}
	cells := strings.Split(strings.Trim(line, "|"), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

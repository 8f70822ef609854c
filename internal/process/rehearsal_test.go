package process

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRehearsal(t *testing.T) {
	t.Parallel()
	p := New()
	if r, rehearses := p.Rehearsal(); rehearses || r.Inventory != "" || r.Follow || r.Clock != nil {
		t.Errorf("before: %+v %v", r, rehearses)
	}
	p.Rehearse(Rehearsal{Inventory: "file"})
	if r, rehearses := p.Rehearsal(); !rehearses || r.Inventory != "file" {
		t.Errorf("%+v %v", r, rehearses)
	}
}

// TestWouldOpen has what can be seen of a file without opening it.
func TestWouldOpen(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"new": "", "file": "",
		"none/new": "open DIR/none/new: there is no folder DIR/none",
		"file/new": "open DIR/file/new: DIR/file is no folder",
		".":        "open DIR: it is a folder",
	} {
		got := ""
		if err := WouldOpen(filepath.Join(folder, path)); err != nil {
			got = strings.ReplaceAll(err.Error(), folder, "DIR")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

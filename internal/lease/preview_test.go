package lease

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPreview has a table that tells what would be given, and makes no file.
func TestPreview(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	pool := Range{netip.MustParseAddr("192.0.2.200"), netip.MustParseAddr("192.0.2.210")}
	opts := Options{Pools: []Range{pool}, LeaseTime: time.Minute}
	table, err := Preview(filepath.Join(folder, "leases.db"), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	var c Client
	if got, err := table.Peek(c, 0); err != nil || got.Addr != pool.First {
		t.Errorf("%v %v", got, err)
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) != 0 {
		t.Errorf("%v %v", files, err)
	}
	for name, c := range map[string]struct {
		path string
		opts Options
		want string
	}{
		"folder":  {folder + "/none/leases.db", opts, `lease file "DIR/none/leases.db": there is no folder "DIR/none"`},
		"no file": {folder, opts, `lease file "DIR": want a regular file, it is drwx`},
		"no pool": {folder + "/leases.db", Options{LeaseTime: time.Minute}, "no pool"},
	} {
		_, err := Preview(c.path, c.opts)
		if err == nil || !strings.HasPrefix(strings.ReplaceAll(err.Error(), folder, "DIR"), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

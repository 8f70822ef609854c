//go:build !cgo

package bootloop

import (
	"path/filepath"
	"testing"
)

// TestNoCgo has a binary without SQLite: setup says what it needs.
func TestNoCgo(t *testing.T) {
	t.Parallel()
	_, err := setup4("lease_file="+filepath.Join(t.TempDir(), "leases.db"), "ipv4_start=192.0.2.1", "ipv4_end=192.0.2.9")
	want := "bootloop: lease_file needs SQLite: this binary was built with CGO_ENABLED=0; build it with CGO_ENABLED=1 and a C compiler"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

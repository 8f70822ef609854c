//go:build !cgo

package lease

import (
	"errors"
	"path/filepath"
	"testing"
)

func TestNoCgo(t *testing.T) {
	t.Parallel()
	_, _, err := Open(filepath.Join(t.TempDir(), "leases.db"), options(newClock()))
	if !errors.Is(err, ErrNoCgo) {
		t.Errorf("got %v", err)
	}
}

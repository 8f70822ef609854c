package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A Rehearsal is plugins that answer questions and serve nobody: they bind and
// write nothing, and what they answer changes, counts and logs nothing.
type Rehearsal struct {
	Inventory string // a file or a folder in the place of SMD; empty: SMD
	Follow    bool   // SMD is looked at as in service; else once, and nothing runs

	// Clock is that of a record that is replayed: temporary leases are given and
	// end by it, in memory. nil: none is given.
	Clock func() time.Time
}

// PublishedMachines is the name under which Machines are published.
const PublishedMachines = "machines of SMD"

// Machines tell which machines SMD knows.
type Machines struct {
	ID   func(mac [6]byte) string   // component that has the address; empty: none
	Each func(tell func(id string)) // calls tell for each interface, with its component
}

// Rehearse makes the plugins that start from now on rehearse.
func (p *Process) Rehearse(r Rehearsal) { p.rehearsal.Store(&r) }

// Rehearsal says that plugins rehearse, and how.
func (p *Process) Rehearsal() (Rehearsal, bool) {
	r := p.rehearsal.Load()
	if r == nil {
		return Rehearsal{}, false
	}
	return *r, true
}

// WouldOpen says what stands against opening a file for writing, as far as can
// be seen without doing so.
func WouldOpen(path string) error {
	folder := filepath.Dir(path)
	switch info, err := os.Stat(folder); {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("open %s: there is no folder %s", path, folder)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("open %s: %s is no folder", path, folder)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("open %s: it is a folder", path)
	}
	return nil
}

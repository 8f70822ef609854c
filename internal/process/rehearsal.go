package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A Rehearsal is plugins that answer questions and serve nobody: they bind,
// write and run nothing, and SMD is read once.
type Rehearsal struct {
	Inventory string // a file or a folder in the place of SMD; empty: SMD
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

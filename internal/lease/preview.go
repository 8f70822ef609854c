package lease

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Preview returns a table that no lease is in and that writes none: it tells
// what Peek would give on an empty file. The error is one that Open has for the
// options or the path. Close ends it.
func Preview(path string, opts Options) (*Table, error) {
	t, err := newTable(opts)
	if err == nil {
		err = errors.Join(oneFamily(t.opts.Pools), checkPath(path))
	}
	if err != nil {
		return nil, err
	}
	t.serve(func([]*write) error { return nil }, func() error { return nil })
	return t, nil
}

// checkPath finds the mistakes for which SQLite has only "unable to open".
func checkPath(path string) error {
	folder := filepath.Dir(path)
	switch info, err := os.Stat(folder); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("lease file %q: there is no folder %q", path, folder)
	case err != nil:
		return fmt.Errorf("lease file %q: %w", path, err)
	case !info.IsDir():
		return fmt.Errorf("lease file %q: %q is no folder", path, folder)
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("lease file %q: want a regular file, it is %v", path, info.Mode())
	}
	return nil
}

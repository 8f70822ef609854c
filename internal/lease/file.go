//go:build cgo

package lease

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

var errDamaged = errors.New("damaged")

// checkReadable finds what SQLite does not report: it takes a file shorter
// than any page for an empty database. That a file is missing is no error.
func checkReadable(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && info.Size() > 0 && info.Size() < 512 {
		return fmt.Errorf("%w: %d octets are no database", errDamaged, info.Size())
	}
	return err
}

// lockFile keeps a second server off the lease file: two would hand out the
// same addresses. The lock is on a file of its own, because closing a file
// drops SQLite's locks on it. Where locks or the file cannot be had (a
// read-only file system) there is none.
func lockFile(path string) (*os.File, error) {
	f, _ := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o644)
	if f == nil {
		return nil, nil
	}
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case err == nil:
		return f, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		f.Close()
		return nil, fmt.Errorf("lease file %q: %w: it holds the lock on %q", path, ErrInUse, f.Name())
	}
	f.Close()
	return nil, nil
}

// unlockFile unlocks expressly: a child process that is just being started
// still has the file open.
func unlockFile(f *os.File) {
	if f == nil {
		return
	}
	_ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
	f.Close()
}

// setAside renames the file, after its journals, which would otherwise be
// played into the new one.
func (s *store) setAside(cause error, now time.Time) ([]Problem, error) {
	_ = s.shut()
	aside := unusedName(s.path + ".corrupt-" + now.UTC().Format("20060102T150405Z"))
	for _, suffix := range []string{"-wal", "-journal", ""} {
		err := os.Rename(s.path+suffix, aside+suffix)
		if err != nil && (suffix == "" || !errors.Is(err, fs.ErrNotExist)) {
			return nil, fmt.Errorf("setting aside: %w (it cannot be read: %w)", err, cause)
		}
	}
	if err := os.Remove(s.path + "-shm"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("setting aside: %w", err)
	}
	text := fmt.Sprintf("lease file %q cannot be read (%v): it was set aside as %q and a new one begun; leases given out before are not known any more", s.path, cause, aside)
	return []Problem{{Text: text, Serious: true}}, nil
}

func unusedName(base string) string {
	name := base
	for try := 2; ; try++ {
		if _, err := os.Lstat(name); err != nil {
			return name
		}
		name = fmt.Sprintf("%s-%d", base, try)
	}
}

// moved reports that the path leads to another file than the open one, or to
// none: SQLite would go on writing into a file that no restart finds.
func (s *store) moved() bool {
	info, err := os.Stat(s.path)
	return err != nil || !os.SameFile(info, s.file)
}

package bootfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// root finds files: those of a folder, then the built-in ones, then those
// that stand in for a missing name.
type root struct {
	dir        string
	builtIn    map[string][]byte
	alternates map[string]string
}

// file is a file to send. Its size is that at the time it was opened.
type file struct {
	io.ReaderAt
	io.Closer
	size     int64
	modified time.Time // zero for one that is made up
}

// failure is why a file is not served, and what the client is told of it.
type failure struct {
	outcome Outcome
	code    uint16
	text    string
	err     error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// check reports what stands against serving the folder: something that is
// not a folder, or that cannot be looked at. A folder that does not exist is
// no error.
func (r root) check() error {
	info, err := os.Stat(r.dir)
	switch {
	case r.dir == "" || errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("opening the folder of boot files: %w", err)
	case !info.IsDir():
		return fmt.Errorf("opening the folder of boot files: %q is not a folder", r.dir)
	}
	return nil
}

// missing reports whether there is no folder now.
func (r root) missing() bool {
	_, err := os.Stat(r.dir)
	return r.dir != "" && errors.Is(err, fs.ErrNotExist)
}

// open finds the file that a client asks for. One that goes by the name of a
// built-in file may be a template. Its errors are of type *failure.
func (r root) open(asked Asked) (file, error) {
	name := local(asked.File)
	if !filepath.IsLocal(name) {
		return file{}, outside(name)
	}
	f, err := r.choose(name)
	if _, ok := r.builtIn[name]; ok && err == nil {
		return fill(name, f, asked)
	}
	return f, err
}

// choose finds the file of a name, or the one that is served in its place.
func (r root) choose(name string) (file, error) {
	if strings.Contains(name, "\x00") {
		return file{}, missingFile(name)
	}
	f, err := r.find(name)
	if other, ok := r.alternates[name]; ok && outcomeOf(err) == Missing {
		if f, err := r.find(other); outcomeOf(err) != Missing {
			return f, err
		}
	}
	return f, err
}

// local is the name within the folder: a backslash separates like a slash,
// slashes before the name mean the folder itself. It may still lead outside,
// and then begins with "..".
func local(name string) string {
	name = strings.TrimLeft(strings.ReplaceAll(name, `\`, "/"), "/")
	if name == "" {
		return "."
	}
	if strings.HasSuffix(name, "/") {
		return path.Clean(name) + "/"
	}
	return path.Clean(name)
}

// outside is the failure for a name that leads outside the folder.
func outside(name string) error {
	err := fmt.Errorf("%q leads outside the folder", name)
	return &failure{Refused, codeAccess, "access violation", err}
}

// missingFile is the failure for a name that no file has.
func missingFile(name string) *failure {
	return &failure{Missing, codeNotFound, "file not found", fmt.Errorf("no file %q", name)}
}

// find opens a file of the folder, or else a built-in one.
func (r root) find(name string) (file, error) {
	f, err := r.inFolder(name)
	if outcomeOf(err) != Missing {
		return f, err
	}
	if b, ok := r.builtIn[name]; ok {
		return inMemory(b), nil
	}
	return file{}, err
}

// inFolder opens a file of the folder through an os.Root, which cannot be
// left.
func (r root) inFolder(name string) (file, error) {
	missing := missingFile(name)
	if r.dir == "" {
		return file{}, missing
	}
	dir, err := os.OpenRoot(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return file{}, missing
	}
	if err != nil {
		return file{}, &failure{Failed, codeOther, "the server cannot read its folder", err}
	}
	defer dir.Close()
	f, err := openRegular(dir, name)
	if escapes(err) {
		if inside, ok := r.resolve(name); ok {
			f, err = openRegular(dir, inside)
		}
	}
	return f, explain(name, err, missing)
}

// resolve follows links whose targets are absolute names, which os.Root
// refuses altogether, and returns the name within the folder if that is where
// they lead.
func (r root) resolve(name string) (string, bool) {
	dir, err := filepath.EvalSymlinks(r.dir)
	if err != nil {
		return "", false
	}
	target, err := filepath.EvalSymlinks(filepath.Join(dir, name))
	if err != nil {
		return "", false
	}
	inside, err := filepath.Rel(dir, target)
	return inside, err == nil && filepath.IsLocal(inside)
}

// errIrregular says that a name is no regular file's.
var errIrregular = errors.New("not a regular file")

// openRegular opens a regular file. The type is known before the file is
// opened, since opening a FIFO or a device does things, and it is looked at
// again afterwards, since the name may have changed hands; O_NONBLOCK keeps
// that open from waiting.
func openRegular(dir *os.Root, name string) (file, error) {
	info, err := dir.Stat(name)
	if err != nil {
		return file{}, err
	}
	if !info.Mode().IsRegular() {
		return file{}, errIrregular
	}
	f, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return file{}, err
	}
	info, err = f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errIrregular
	}
	if err != nil {
		return file{}, errors.Join(err, f.Close())
	}
	return file{f, f, info.Size(), info.ModTime()}, nil
}

// escapes reports whether os.Root refused a name for leading outside: the one
// error of its own, all others are the system's.
func escapes(err error) bool {
	var errno syscall.Errno
	return err != nil && !errors.Is(err, errIrregular) && !errors.As(err, &errno)
}

// explain turns an error of openRegular into a *failure.
func explain(name string, err error, missing *failure) error {
	switch {
	case err == nil:
		return nil
	case isAny(err, syscall.ENOENT, syscall.ENOTDIR, syscall.ENAMETOOLONG):
		return missing
	case escapes(err) || errors.Is(err, syscall.ELOOP):
		return outside(name)
	case errors.Is(err, errIrregular):
		err = fmt.Errorf("%q is %w", name, err)
		return &failure{Refused, codeAccess, "access violation", err}
	}
	return &failure{Failed, codeAccess, "access violation", err}
}

func isAny(err error, targets ...error) bool {
	for _, target := range targets {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// outcomeOf is the outcome that an error stands for: its own when it has one,
// Sent without an error.
func outcomeOf(err error) Outcome {
	var f *failure
	switch {
	case err == nil:
		return Sent
	case errors.As(err, &f):
		return f.outcome
	}
	return Failed
}

package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// heritageEnv names the files that a process inherits from its predecessor:
// a JSON list, the first of which is descriptor 3.
const heritageEnv = "COREDHCP_HERITAGE"

// Names in that list that are no sockets of servers.
const (
	controlFile = "control" // the conversation with the predecessor
	officeFile  = "office"  // who is in office, told to the keeper
)

// What predecessor and successor say to each other, in this order. Instead of
// the first, the successor may say what is wrong, behind wordWrong.
const (
	wordPrepared = "prepared" // successor: nothing is wrong, as far as can be told
	wordYours    = "yours"    // predecessor: it answers nobody and has closed what it wrote
	wordReady    = "ready"    // successor: it serves
	wordWrong    = "wrong "
)

// maxWord is the length of a mistake that is told.
const maxWord = 16 << 10

// A heritage is what a predecessor left.
type heritage struct {
	control *net.UnixConn
	office  *net.UnixConn
	files   map[string]*os.File
}

// inherit returns what a predecessor left; nil: there is none.
func inherit() (*heritage, error) {
	text, ok := os.LookupEnv(heritageEnv)
	if !ok {
		return nil, nil
	}
	if err := os.Unsetenv(heritageEnv); err != nil {
		return nil, err
	}
	var names []string
	if err := json.Unmarshal([]byte(text), &names); err != nil {
		return nil, fmt.Errorf("%s=%q: %w", heritageEnv, text, err)
	}
	h := &heritage{files: make(map[string]*os.File)}
	for i, name := range names {
		unix.CloseOnExec(3 + i)
		h.files[name] = os.NewFile(uintptr(3+i), name)
	}
	var err1, err2 error
	h.control, err1 = h.conn(controlFile)
	h.office, err2 = h.conn(officeFile)
	return h, errors.Join(err1, err2)
}

// conn takes a file for a connection.
func (h *heritage) conn(name string) (*net.UnixConn, error) {
	f := h.files[name]
	delete(h.files, name)
	if f == nil {
		return nil, fmt.Errorf("%s has no %q", heritageEnv, name)
	}
	return unixConn(f)
}

// unixConn makes a connection of a file, which is closed.
func unixConn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%s: not a Unix socket", f.Name()), c.Close())
	}
	return u, nil
}

// socketPair makes two connected sockets that keep messages apart.
func socketPair(name string) (ours *net.UnixConn, theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	theirs = os.NewFile(uintptr(pair[1]), name)
	ours, err = unixConn(os.NewFile(uintptr(pair[0]), name))
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return ours, theirs, nil
}

// say tells the predecessor a word.
func (h *heritage) say(word string) error {
	if _, err := h.control.Write([]byte(word)); err != nil {
		return fmt.Errorf("the process that hands over is gone: %w", err)
	}
	return nil
}

// refuse tells the predecessor what is wrong.
func (h *heritage) refuse(mistake error) error {
	text := wordWrong + mistake.Error()
	return h.say(text[:min(len(text), maxWord)])
}

// hear waits for a word of the predecessor.
func (h *heritage) hear(word string) error {
	got, err := readWord(h.control)
	switch {
	case err != nil:
		return fmt.Errorf("the process that hands over is gone: %w", err)
	case got != word:
		return fmt.Errorf("the process that hands over said %q; wanted %q", got, word)
	}
	return nil
}

// readWord returns the next message; the other side's end is an error.
func readWord(c *net.UnixConn) (string, error) {
	b := make([]byte, maxWord)
	n, err := c.Read(b)
	if err == nil && n == 0 {
		err = errors.New("the connection was closed")
	}
	return strings.TrimSpace(string(b[:n])), err
}

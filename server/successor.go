package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A successor is the process that is to take this one's place.
type successor struct {
	cmd     *exec.Cmd
	control *net.UnixConn
	words   <-chan string // what it says; closed when it says no more
	died    chan struct{} // closed when it has ended
	err     error         // how; of the goroutine that waits, until died is closed
}

// program is the path of this program's file, in whose place another one may
// be by the time it is started again.
func program(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return "", err
	}
	return filepath.Abs(path)
}

// startSuccessor starts the program again. It inherits the files by their
// names; they are closed here.
func startSuccessor(path string, args []string, files map[string]*os.File) (*successor, error) {
	control, theirs, err := socketPair(controlFile)
	if err != nil {
		return nil, err
	}
	files[controlFile] = theirs
	defer closeAll(files)
	cmd := &exec.Cmd{Path: path, Args: args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	var names []string
	for name, f := range files {
		names = append(names, name)
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	text, err := json.Marshal(names)
	if err != nil {
		return nil, errors.Join(err, control.Close())
	}
	cmd.Env = append(os.Environ(), heritageEnv+"="+string(text))
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", path, err), control.Close())
	}
	s := &successor{cmd: cmd, control: control, words: wordsOf(control), died: make(chan struct{})}
	go s.wait()
	return s, nil
}

func closeAll(files map[string]*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func (s *successor) wait() {
	s.err = s.cmd.Wait()
	close(s.died)
}

// say tells the successor a word. That it does not hear is seen by its silence.
func (s *successor) say(word string) { _, _ = s.control.Write([]byte(word)) }

// kill ends the successor, and returns when it is gone.
func (s *successor) kill() {
	_ = s.cmd.Process.Kill()
	<-s.died
	s.control.Close()
}

// judge compares what a successor said with what was wanted.
func (s *successor) judge(got string, ok bool, want string) error {
	switch {
	case ok && got == want:
		return nil
	case strings.HasPrefix(got, wordWrong):
		return errors.New(strings.TrimPrefix(got, wordWrong))
	case ok:
		return fmt.Errorf("the new process said %q; wanted %q", got, want)
	}
	select {
	case <-s.died:
		return fmt.Errorf("the new process ended: %s", s.status())
	case <-time.After(time.Second):
		return fmt.Errorf("the new process said no more; wanted %q", want)
	}
}

// signal passes a signal on.
func (s *successor) signal(sig os.Signal) { _ = s.cmd.Process.Signal(sig) }

// exit is how the successor ended.
func (s *successor) exit() exit {
	status := s.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return exit{s.cmd.Process.Pid, 128 + int(status.Signal())}
	}
	return exit{s.cmd.Process.Pid, status.ExitStatus()}
}

// status is how the successor ended.
func (s *successor) status() string {
	if s.err == nil {
		return "exit status 0"
	}
	return s.err.Error()
}

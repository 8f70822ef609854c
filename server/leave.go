package server

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/OpenCHAMI/coresmd/internal/process"
	"golang.org/x/sys/unix"
)

// officeFile is the successor's way to the keeper. The process that was
// started first becomes the keeper, and makes the way when it is first needed.
func (l *life) officeFile() (*os.File, error) {
	if l.office != nil {
		return process.Duplicate(officeFile, l.office.conn)
	}
	if l.keeperConn != nil {
		l.keeperConn.Close() // of a successor that failed
	}
	// Orphans of a successor become the keeper's children.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, os.NewSyscallError("prctl", err)
	}
	ours, theirs, err := socketPair(officeFile)
	l.keeperConn = ours
	return theirs, err
}

// leave leaves the office: transfers under way go on for a while, everything
// else ends. The process that was started first is the keeper from then on.
func (l *life) leave(next *successor) int {
	l.log.Infof("process %d serves now", next.cmd.Process.Pid)
	_ = l.closeLoop()
	ctx, cancel := context.WithTimeout(context.Background(), leaveLimit)
	defer cancel()
	left := make(chan struct{})
	go func() {
		l.process.Leave(ctx)
		close(left)
	}()
	if l.again {
		next.signal(syscall.SIGHUP)
	}
	if l.office != nil {
		l.leaveOffice(next, left)
		return l.closeAfterLeaving()
	}
	return l.leaveFirst(next, left)
}

// leaveOffice waits for the transfers. The keeper may learn a moment later who
// serves: what it sends here is passed on.
func (l *life) leaveOffice(next *successor, left <-chan struct{}) {
	for {
		select {
		case <-left:
			return
		case <-l.office.gone():
			return
		case s := <-l.signals:
			next.signal(s)
		}
	}
}

func (l *life) closeAfterLeaving() int {
	if err := l.close(); err != nil {
		l.log.Errorf("leaving: %v", err)
	}
	return 0
}

// leaveFirst keeps the place of the successor while transfers go on, and
// becomes the keeper and nothing else after that.
func (l *life) leaveFirst(next *successor, left <-chan struct{}) int {
	k := newKeeper(l.keeperConn, next.cmd.Process.Pid)
	signal.Stop(l.signals)
	for len(l.signals) > 0 {
		next.signal(<-l.signals)
	}
	died := next.died
	for {
		select {
		case word, ok := <-k.words:
			k.heard(word, ok)
		case s := <-k.signals:
			k.forward(s)
		case <-died:
			if !k.serves(next.cmd.Process.Pid) {
				l.closeAfterLeaving()
				return next.cmd.ProcessState.ExitCode()
			}
			died = nil // it has a successor of its own
		case <-left:
			l.closeAfterLeaving()
			l.output.flush()
			l.log.Errorf("becoming the keeper: %v", k.become(l.program))
			return k.keep()
		}
	}
}

package server

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/sirupsen/logrus"
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
// else ends. The process that was started first is the keeper from then on, and
// returns the exit status of the last server.
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
		return l.leaveOffice(next, left)
	}
	return l.leaveFirst(next, left)
}

// leftStatus is the exit status of a process that has left the office in order.
// Its keeper takes it for no server's.
const leftStatus = 100

// leaveOffice waits for the transfers. The keeper may learn a moment later who
// serves: what it sends here is passed on. When the successor ends, so does this
// process: the keeper is no parent of the successor yet.
func (l *life) leaveOffice(next *successor, left <-chan struct{}) int {
	died := next.died
	for {
		select {
		case <-left:
			l.closeAfterLeaving()
			l.passSignals(next)
			return leftStatus
		case <-l.office.gone():
			l.closeAfterLeaving()
			return leftStatus
		case s := <-l.signals:
			next.signal(s)
		case <-died:
			if next.exit().status != leftStatus {
				l.closeAfterLeaving()
				return next.exit().status
			}
			died = nil
		}
	}
}

// passSignals passes on what has come until now.
func (l *life) passSignals(next *successor) {
	for len(l.signals) > 0 {
		next.signal(<-l.signals)
	}
}

func (l *life) closeAfterLeaving() {
	if err := l.close(endLimit); err != nil {
		l.log.Errorf("leaving: %v", err)
	}
	l.output.flush()
}

// leaveFirst keeps the place of the successor, at first beside transfers.
func (l *life) leaveFirst(next *successor, left <-chan struct{}) int {
	k := newKeeper(l.keeperConn, next.cmd.Process.Pid)
	signal.Stop(l.signals)
	l.passSignals(next)
	died, children := next.died, make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	for {
		over, status := false, 0
		select {
		case word, ok := <-k.words:
			k.heard(word, ok)
		case s := <-k.signals:
			k.forward(s)
		case <-left:
			left = nil
			l.forget()
		case <-died:
			died = nil
			if over, status = k.ended(next.exit()), k.last; !over {
				status, over = k.bury(anyChild)
			}
		case <-children:
			switch {
			case died == nil:
				status, over = k.bury(anyChild)
			case k.server != next.cmd.Process.Pid: // which is waited for already
				status, over = k.bury(k.server)
			}
		}
		if over {
			return status
		}
	}
}

// forget closes what is open and gives the memory back.
func (l *life) forget() {
	l.closeAfterLeaving()
	l.log.Logger.SetLevel(logrus.PanicLevel) // plugins may go on talking
	l.chains = chains{}
	l.process.Forget()
	debug.FreeOSMemory()
}

package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/coredhcp/coredhcp/config"
	"github.com/coredhcp/coredhcp/logger"
	"github.com/sirupsen/logrus"
)

// Bounds of what a change of processes and the end may take.
const (
	readyLimit = 10 * time.Second        // from the signal until the successor serves
	leaveLimit = time.Minute             // transfers that the successor does not know of
	drainLimit = 3 * time.Second         // requests in flight, at the end
	endLimit   = 4500 * time.Millisecond // these, and closing what is open
)

// A life is what a process does from its start to its end.
type life struct {
	options options
	log     *logrus.Entry
	output  *output
	process *process.Process
	program string   // its file
	args    []string // and its arguments
	signals chan os.Signal

	heritage   *heritage     // nil: no predecessor
	office     *office       // nil: this process is the one that was started first
	keeperConn *net.UnixConn // of that one: its successors' way to it
	loop       *loop
	chains     chains
	stop       context.CancelFunc
	stopped    chan error // of the run of the loop

	readyLimit time.Duration

	ending bool // SIGTERM has come
	again  bool // SIGHUP has come while one was at work
}

func newLife(o options, log *logrus.Entry, out *output) *life {
	return &life{options: o, log: log, output: out, process: process.Here(), args: os.Args, readyLimit: readyLimit, signals: make(chan os.Signal, 8)}
}

// live serves until a signal ends the process, and returns the exit status.
func (l *life) live() int {
	signal.Notify(l.signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	err := l.start()
	if err != nil && l.heritage != nil {
		err = l.heritage.refuse(err) // the predecessor logs it
	}
	if err != nil {
		l.log.Error(err)
	}
	if l.stopped == nil {
		return 1
	}
	return l.serve()
}

// start gets ready to serve, and serves.
func (l *life) start() (err error) {
	if l.program, err = program(l.args[0]); err != nil {
		return err
	}
	if l.heritage, err = inherit(); err != nil {
		return err
	}
	if l.heritage != nil {
		l.office = newOffice(l.heritage.office)
	}
	if err := l.prepare(); err != nil {
		return err
	}
	if l.heritage != nil {
		return l.takeOver()
	}
	l.begin()
	l.tell(notifyReady)
	return nil
}

// prepare does all that can be done beside a predecessor.
func (l *life) prepare() error {
	c, err := config.Load(l.options.conf)
	if err != nil {
		return fmt.Errorf("loading the configuration: %w", err)
	}
	var inherited map[string]*os.File
	if l.heritage != nil {
		inherited = l.heritage.files
		l.process.Inherit(inherited)
	}
	if l.chains, err = setUp(c, l.process); err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	l.output.flush() // whoever finds a socket open finds what was said before
	if l.loop, err = listen(l.process, c, inherited, logger.GetLogger("server")); err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	return nil
}

// begin runs the loop, once an earlier run has ended.
func (l *life) begin() {
	ctx, stop := context.WithCancel(context.Background())
	before, stopped := l.stopped, make(chan error, 1)
	l.stop, l.stopped = stop, stopped
	go func() {
		if before != nil {
			for range before { // until it is closed
			}
		}
		stopped <- l.loop.run(ctx, l.chains)
		close(stopped)
	}()
}

// pause stops the loop and waits for the requests in flight.
func (l *life) pause(limit time.Duration) error {
	l.stop()
	select {
	case err := <-l.stopped:
		return err
	case <-time.After(limit):
		return fmt.Errorf("requests are still in flight after %v", limit)
	}
}

// serve waits for what ends the process.
func (l *life) serve() int {
	for {
		if l.ending {
			return l.end(0)
		}
		if l.again {
			l.again = false
			if next := l.reload(); next != nil {
				return l.leave(next)
			}
			continue
		}
		select {
		case s := <-l.signals:
			l.note(s)
		case <-l.office.gone():
			l.ending = true
		case err := <-l.stopped:
			l.log.Errorf("the packet loop has ended: %v", err)
			return l.end(1)
		}
	}
}

// note notes what a signal asks for.
func (l *life) note(s os.Signal) {
	if s == syscall.SIGHUP {
		l.again = true
		return
	}
	l.log.Infof("%v: ending", s)
	l.ending = true
}

// end answers what is in flight, closes what is open, and returns the exit
// status.
func (l *life) end(status int) int {
	over := time.Now().Add(endLimit)
	l.tell(notifyStopping)
	if err := l.pause(drainLimit); err != nil {
		l.log.Errorf("ending: %v", err)
	}
	if err := l.close(time.Until(over)); err != nil {
		l.log.Errorf("ending: %v", err)
		status = 1
	}
	return status
}

// close ends what runs and closes what is open. It is an error when that takes
// longer than limit.
func (l *life) close(limit time.Duration) error {
	closed := make(chan error, 1)
	go func() {
		l.process.Stop()
		closed <- l.closeLoop()
	}()
	select {
	case err := <-closed:
		return err
	case <-time.After(limit):
		return fmt.Errorf("not all is closed after %v", limit.Round(100*time.Millisecond))
	}
}

// closeLoop closes the sockets of the loop, once.
func (l *life) closeLoop() error {
	loop := l.loop
	if l.loop = nil; loop == nil {
		return nil
	}
	return loop.close()
}

// tell tells systemd something, by way of the keeper if there is one. That
// nobody listens is no reason to stop.
func (l *life) tell(state string) {
	say := notify
	if l.office != nil {
		say = l.office.say
	}
	if err := say(state); err != nil {
		l.log.Warn(err)
	}
}

// reload puts a new process in this one's place: with the configuration as it
// is now, and with the program as it is now. It returns the successor, which
// serves; nil: it failed, and this process goes on as before.
func (l *life) reload() *successor {
	l.log.Info("SIGHUP: a new process reads the configuration")
	if err := l.output.reopen(); err != nil {
		l.log.Errorf("opening the log file anew: %v", err)
	}
	l.tell(notifyReloading())
	next, err := l.handOver()
	if err == nil {
		return next
	}
	if !errors.Is(err, errEnding) {
		l.log.Errorf("the reload has failed and nothing has changed: %v", err)
		l.tell(notifyReady)
	}
	return nil
}

// errEnding is that SIGTERM came while a successor was waited for.
var errEnding = errors.New("the process ends")

// handOver starts a successor and hands over to it.
func (l *life) handOver() (*successor, error) {
	limit := time.NewTimer(l.readyLimit)
	defer limit.Stop()
	next, err := l.startNext()
	if err != nil {
		return nil, err
	}
	if err := l.await(next, wordPrepared, limit.C); err != nil {
		next.kill()
		return nil, err
	}
	err = l.pause(l.readyLimit / 2)
	if err == nil {
		err = l.process.Yield()
	}
	if err == nil {
		next.say(wordYours)
		err = l.await(next, wordReady, limit.C)
	}
	if err != nil {
		next.kill()
		l.takeBack()
		return nil, err
	}
	return next, nil
}

// startNext starts a successor with copies of all open sockets.
func (l *life) startNext() (*successor, error) {
	files, err := l.process.Files()
	if err == nil {
		var more map[string]*os.File
		more, err = l.loop.files()
		for name, f := range more {
			files[name] = f
		}
	}
	if err == nil {
		files[officeFile], err = l.officeFile()
	}
	if err != nil {
		closeAll(files)
		return nil, err
	}
	return startSuccessor(l.program, l.args, files)
}

// await waits until the successor says a word.
func (l *life) await(next *successor, word string, limit <-chan time.Time) error {
	for {
		select {
		case got, ok := <-next.words:
			return next.judge(got, ok, word)
		case <-limit:
			return fmt.Errorf("the new process was not ready within %v", l.readyLimit)
		case s := <-l.signals:
			if l.note(s); l.ending {
				return errEnding
			}
		case <-l.office.gone():
			l.ending = true
			return errEnding
		}
	}
}

// takeBack takes back what was handed over and serves again.
func (l *life) takeBack() {
	if err := l.process.Resume(); err != nil {
		l.log.Errorf("taking back what was handed over: %v", err)
	}
	l.begin()
}

// takeOver takes over from the predecessor.
func (l *life) takeOver() error {
	h := l.heritage
	if err := h.say(wordPrepared); err != nil {
		return err
	}
	if err := h.hear(wordYours); err != nil {
		return err
	}
	if err := l.process.TakeOver(); err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	if err := l.office.take(); err != nil {
		return err
	}
	if err := h.say(wordReady); err != nil {
		return err
	}
	l.begin()
	l.tell(notifyReady)
	return nil
}

package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// keeperEnv says that the process only keeps the place of the server: its
// process id is the one that systemd, a container or a pid file knows. It has
// the descriptor by which it hears who serves, and the id of that process.
const keeperEnv = "COREDHCP_KEEPER"

// inOffice stands before the id of the process that serves, in what the keeper
// is told. Everything else is meant for systemd.
const inOffice = "IN_OFFICE="

// An office is a server's way to its keeper.
type office struct {
	conn *net.UnixConn
	lost chan struct{} // closed when the keeper is gone
}

func newOffice(conn *net.UnixConn) *office {
	o := &office{conn: conn, lost: make(chan struct{})}
	go o.watch()
	return o
}

// watch waits for the keeper's end. It never says anything.
func (o *office) watch() {
	_, _ = o.conn.Read(make([]byte, 1))
	close(o.lost)
}

// gone is closed when the keeper is gone; without one it never is.
func (o *office) gone() <-chan struct{} {
	if o == nil {
		return nil
	}
	return o.lost
}

func (o *office) say(text string) error {
	if _, err := o.conn.Write([]byte(text)); err != nil {
		return fmt.Errorf("telling the keeper %q: %w", text, err)
	}
	return nil
}

// take says that this process serves from now on.
func (o *office) take() error { return o.say(inOffice + strconv.Itoa(os.Getpid())) }

// A keeper passes signals on to the server, and ends as it does.
type keeper struct {
	conn    *net.UnixConn
	server  int           // its process id
	words   <-chan string // of servers; closed when none is left
	signals chan os.Signal
}

// forwarded are the signals that a server understands.
func forwarded() []os.Signal {
	return []os.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2}
}

func newKeeper(conn *net.UnixConn, server int) *keeper {
	k := &keeper{conn: conn, server: server, signals: make(chan os.Signal, 16)}
	signal.Notify(k.signals, forwarded()...)
	k.words = wordsOf(conn)
	return k
}

// wordsOf returns what is said on a connection, until its end.
func wordsOf(conn *net.UnixConn) <-chan string {
	words := make(chan string, 16)
	go func() {
		defer close(words)
		for {
			word, err := readWord(conn)
			if err != nil {
				return
			}
			words <- word
		}
	}()
	return words
}

// heard takes what came from the servers. When there are none it stops
// listening: the end of the last one is about to be told.
func (k *keeper) heard(word string, ok bool) {
	if !ok {
		k.words = nil
		return
	}
	k.hear(word)
}

// hear takes what a server said.
func (k *keeper) hear(word string) {
	if id, ok := strings.CutPrefix(word, inOffice); ok {
		if n, err := strconv.Atoi(id); err == nil {
			k.server = n
		}
		return
	}
	if err := notify(word); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// hearAll takes what servers have said until now, and stops listening. One that
// ends has said before who serves in its place.
func (k *keeper) hearAll() {
	_ = k.conn.SetReadDeadline(time.Now().Add(graceLimit))
	for k.words != nil {
		word, ok := <-k.words
		k.heard(word, ok)
	}
}

// listen listens again.
func (k *keeper) listen() {
	_ = k.conn.SetReadDeadline(time.Time{})
	k.words = wordsOf(k.conn)
}

func (k *keeper) forward(s os.Signal) {
	_ = syscall.Kill(k.server, s.(syscall.Signal)) // it may have ended
}

// forwardAll passes on what has come until now.
func (k *keeper) forwardAll() {
	for len(k.signals) > 0 {
		k.forward(<-k.signals)
	}
}

// become makes this process, which has left its office, the keeper and nothing
// else: it runs its program anew, under the same process id.
func (k *keeper) become(program string) error {
	raw, err := k.conn.SyscallConn()
	if err != nil {
		return err
	}
	fd, failed := -1, error(nil)
	err = raw.Control(func(conn uintptr) { fd, failed = unix.FcntlInt(conn, unix.F_DUPFD, 3) })
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	k.hearAll()
	runtime.LockOSThread()
	var set, before unix.Sigset_t
	for _, s := range forwarded() {
		n := uint(s.(syscall.Signal)) - 1
		set.Val[n/64] |= 1 << (n % 64)
	}
	// What comes from here on waits for the keeper.
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, &before); err != nil {
		return err
	}
	k.forwardAll()
	env := append(without(os.Environ(), heritageEnv), fmt.Sprintf("%s=%d %d", keeperEnv, fd, k.server))
	err = syscall.Exec(program, os.Args, env)
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
	runtime.UnlockOSThread()
	k.listen()
	return fmt.Errorf("running %s: %w", program, errors.Join(err, unix.Close(fd)))
}

// inheritOffice returns the keeper that this process is to be; nil: it is none.
func inheritOffice() *keeper {
	text, ok := os.LookupEnv(keeperEnv)
	if !ok {
		return nil
	}
	_ = os.Unsetenv(keeperEnv)
	var fd, server int
	if _, err := fmt.Sscan(text, &fd, &server); err != nil {
		return nil
	}
	unix.CloseOnExec(fd)
	conn, err := unixConn(os.NewFile(uintptr(fd), officeFile))
	if err != nil {
		return nil
	}
	return newKeeper(conn, server)
}

// An exit is the end of a child.
type exit struct {
	id     int
	status int
}

// keep returns the exit status of the server that is in office when it ends.
func (k *keeper) keep() int {
	exits := make(chan exit)
	go reap(exits)
	for {
		select {
		case word, ok := <-k.words:
			k.heard(word, ok)
		case s := <-k.signals:
			k.forward(s)
		case e, ok := <-exits:
			if ok && k.serves(e.id) {
				continue
			}
			k.leave(exits)
			return e.status
		}
	}
}

// serves says that there is a server after the end of a process.
func (k *keeper) serves(ended int) bool {
	if ended != k.server {
		return true
	}
	k.hearAll()
	k.listen()
	return ended != k.server
}

// graceLimit is how long a server that has ended may still be heard of.
const graceLimit = 100 * time.Millisecond

// endLimit bounds the wait for servers that finish transfers.
const endLimit = 2 * time.Second

// leave has what is left of earlier servers end, and waits for it.
func (k *keeper) leave(exits <-chan exit) {
	k.conn.Close()
	limit := time.After(endLimit)
	for {
		select {
		case _, ok := <-exits:
			if !ok {
				return
			}
		case <-limit:
			return
		}
	}
}

// reap waits for children until there are none.
func reap(exits chan<- exit) {
	defer close(exits)
	for {
		var status unix.WaitStatus
		id, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return
		case status.Signaled():
			exits <- exit{id, 128 + int(status.Signal())}
		case status.Exited():
			exits <- exit{id, status.ExitStatus()}
		}
	}
}

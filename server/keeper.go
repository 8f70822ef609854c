package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

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

// A keeper keeps the place of the server: its process id is the one that
// systemd, a container or a script knows. It is the process that was started
// first, and holds nothing but that any more. It passes signals on to the
// server, and ends as it does.
type keeper struct {
	conn    *net.UnixConn
	server  int           // its process id
	last    int           // exit status of the child that ended last
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

// forward passes a signal on to who serves now: that may have been said a moment
// ago.
func (k *keeper) forward(s os.Signal) {
	k.hearAll()
	k.listen()
	_ = syscall.Kill(k.server, s.(syscall.Signal)) // it may have ended
}

// An exit is the end of a child.
type exit struct {
	id     int
	status int
}

// anyChild stands for all children in what is buried.
const anyChild = -1

// bury takes notice of children that have ended: of one, or of any. It returns
// the exit status of the server when that has ended: over. Who serves may be no
// child of this process yet, but one of a server before it that still sends
// files: each becomes one when its parent ends, which may not be in their order.
// A server whose parent has buried it is over as well: the parent ended as it
// did.
func (k *keeper) bury(which int) (status int, over bool) {
	for {
		var how unix.WaitStatus
		id, err := unix.Wait4(which, &how, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return k.last, which == anyChild
		case id == 0:
			return k.last, k.buried()
		}
		if k.ended(exit{id, exitStatus(how)}) {
			return k.last, true
		}
	}
}

// ended takes notice of the end of a child, and says whether it was the server.
// One that has left the office has said before who serves in its place.
func (k *keeper) ended(child exit) bool {
	k.last = child.status
	k.hearAll()
	k.listen()
	return child.id == k.server
}

// buried says that there is no server any more, and that another process has
// taken notice of its end.
func (k *keeper) buried() bool {
	gone := func() bool { return errors.Is(syscall.Kill(k.server, 0), syscall.ESRCH) }
	if !gone() {
		return false
	}
	k.hearAll() // it may have said who serves in its place
	k.listen()
	return gone()
}

func exitStatus(how unix.WaitStatus) int {
	if how.Signaled() {
		return 128 + int(how.Signal())
	}
	return how.ExitStatus()
}

// graceLimit is how long a server that has ended may still be heard of.
const graceLimit = 100 * time.Millisecond

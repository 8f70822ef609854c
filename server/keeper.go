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

// follow returns the exit status of the server after the end of a process: ok
// is false as long as there is a server, whose end is told next.
func (k *keeper) follow(ended exit, exits chan<- exit) (status int, ok bool) {
	k.hearAll()
	k.listen()
	if ended.id == k.server {
		return ended.status, true
	}
	// It is a child of this process now, unless it has ended before its
	// predecessor, which then ended as it did.
	go func() { exits <- await(k.server, ended) }()
	return 0, false
}

// await waits for the end of a child. One that is none ended as the one before.
func await(id int, before exit) exit {
	var status unix.WaitStatus
	_, err := unix.Wait4(id, &status, 0, nil)
	for errors.Is(err, unix.EINTR) {
		_, err = unix.Wait4(id, &status, 0, nil)
	}
	switch {
	case err != nil:
		return exit{id, before.status}
	case status.Signaled():
		return exit{id, 128 + int(status.Signal())}
	}
	return exit{id, status.ExitStatus()}
}

// graceLimit is how long a server that has ended may still be heard of.
const graceLimit = 100 * time.Millisecond

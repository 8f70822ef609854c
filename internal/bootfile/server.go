package bootfile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// maxRequest is the largest datagram looked at. RFC 2347 allows requests of
// 512 octets; some clients know of no limit.
const maxRequest = 1500

// errStopped ends the transfers that run when the server stops.
var errStopped = errors.New("the server stopped")

// Server is a TFTP server.
type Server struct {
	socket     *socket
	root       root
	table      *table
	budget     *budget
	singlePort bool
	onTransfer func(Transfer)
	second     time.Duration // a unit that tests make shorter
	transfers  sync.WaitGroup
	strays     strays
	leaving    atomic.Bool
	ended      chan struct{} // closed when Run has returned
}

// Listen binds the address; from then on requests wait in the socket for Run.
// A folder that does not exist is no error, see Missing. Something else in
// its place is, and so is an address that is in use (syscall.EADDRINUSE);
// that error names address and port.
func Listen(o Options) (*Server, error) {
	files := root{dir: o.Dir, builtIn: o.BuiltIn, alternates: o.Alternates}
	if err := files.check(); err != nil {
		return nil, err
	}
	socket, err := listen(o.Addr, o.Socket)
	if err != nil {
		return nil, err
	}
	strays, err := newStrays(o.Strays)
	if err != nil {
		return nil, errors.Join(err, socket.conn.Close())
	}
	if o.OnTransfer == nil {
		o.OnTransfer = func(Transfer) {}
	}
	return &Server{
		socket:     socket,
		root:       files,
		table:      newTable(orDefault(o.MaxTransfers, defaultMaxTransfers), orDefault(o.MaxPerClient, defaultMaxPerClient)),
		budget:     newBudget(o.Rate),
		singlePort: o.SinglePort,
		onTransfer: o.OnTransfer,
		second:     time.Second,
		strays:     strays,
		ended:      make(chan struct{}),
	}, nil
}

func orDefault(n, fallback int) int {
	if n <= 0 {
		return fallback
	}
	return n
}

// Addr is the address bound, with the port that was given where 0 was asked.
func (s *Server) Addr() netip.AddrPort { return s.socket.addr() }

// Missing reports whether the folder does not exist now, so that only the
// built-in files are served.
func (s *Server) Missing() bool { return s.root.missing() }

// Close frees the address of a server that is not going to Run.
func (s *Server) Close() error { return s.socket.conn.Close() }

// Run serves until ctx ends or Leave is called, once. When it returns the
// address is free and every goroutine is gone; it returns nil then.
func (s *Server) Run(ctx context.Context) error {
	defer close(s.ended)
	transfers, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		cancel(errStopped)
		_ = s.Close()
	})
	defer stop()
	err := s.receive(transfers)
	if !s.leaving.Load() {
		cancel(errStopped)
	}
	s.transfers.Wait()
	_ = s.Close()
	s.strays.close()
	if ctx.Err() != nil || s.leaving.Load() {
		return nil
	}
	return err
}

// Pauses after an error of the socket, doubled from the first to the last.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// receive takes datagrams until the socket is closed. Other errors of a
// socket pass.
func (s *Server) receive(ctx context.Context) error {
	b, oob := make([]byte, maxRequest+1), make([]byte, 256)
	for pause := firstPause; ; {
		n, from, err := s.socket.receive(b, oob)
		switch {
		case errors.Is(err, net.ErrClosed), err != nil && s.leaving.Load():
			return err
		case err != nil:
			sleep(ctx, pause)
			pause = min(2*pause, lastPause)
		default:
			pause = firstPause
			s.dispatch(ctx, from, b[:n])
		}
	}
}

// sleep waits, but not for longer than ctx lasts.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// dispatch starts what a datagram asks for. Only a request is ever answered,
// so that two servers cannot be made to talk to each other. What belongs to
// no transfer is dropped; b is not kept.
func (s *Server) dispatch(ctx context.Context, from endpoint, b []byte) {
	if !from.answerable() {
		return
	}
	if len(b) >= 2 {
		switch binary.BigEndian.Uint16(b) {
		case opAck, opError:
			if r, ok := parseReply(b); ok && s.singlePort && !s.table.deliver(from.client, r) {
				s.strays.pass(from.client, b)
			}
			return
		case opData, opOack:
			return
		}
	}
	s.request(ctx, from, b)
}

// request starts the transfer that a request asks for.
func (s *Server) request(ctx context.Context, from endpoint, b []byte) {
	r, err := parseRequest(b)
	if err == nil && len(b) > maxRequest {
		err = fmt.Errorf("a request of more than %d octets", maxRequest)
	}
	if err != nil {
		s.report(Transfer{Client: from.client, Outcome: Malformed, Err: err})
		return
	}
	e := newSession(ctx, from, r)
	switch s.table.admit(e) {
	case admitted:
		s.transfers.Go(func() { s.run(e) })
		return
	case full:
		err := errors.New("too many transfers")
		s.report(Transfer{Client: from.client, Name: r.name, Outcome: Busy, Err: err})
	case repeated:
	}
	e.cancel(nil)
}

func (s *Server) report(t Transfer) { report(s.onTransfer, t) }

// report calls the callback.
func report(callback func(Transfer), t Transfer) {
	defer func() { _ = recover() }()
	callback(t)
}

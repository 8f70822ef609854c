package bootfile

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is the socket of the server, for a successor to use.
func (s *Server) Conn() syscall.Conn { return s.socket.conn }

// Leave leaves requests to a successor that has the same socket, and returns
// when the transfers that run have ended. They go on when ctx ends first: that
// of Run ends them. Run must have been called.
func (s *Server) Leave(ctx context.Context) {
	s.leaving.Store(true)
	_ = s.socket.conn.SetReadDeadline(time.Unix(1, 0)) // wakes Run
	go s.takeStrays()
	select {
	case <-s.ended:
	case <-ctx.Done():
	}
}

// strays are replies of clients whose transfers another server runs. With a
// single port the successor hears them, and passes them to those that leave.
type strays struct {
	to   []*net.UnixConn // predecessors
	from *net.UnixConn   // the successor; nil: none was asked for
}

// newStrays copies the files that lead to predecessors.
func newStrays(files []*os.File) (strays, error) {
	var s strays
	for _, f := range files {
		conn, err := net.FileConn(f)
		if err != nil {
			s.close()
			return s, fmt.Errorf("listen udp: replies for the server before: %w", err)
		}
		s.to = append(s.to, conn.(*net.UnixConn))
	}
	return s, nil
}

// Strays returns the ways that a successor passes on what it hears of the
// transfers of this server, and of those before that still run some. They are
// the caller's to close. With a port for each transfer none are needed.
func (s *Server) Strays() ([]*os.File, error) {
	if !s.singlePort {
		return nil, nil
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	ours, files := os.NewFile(uintptr(pair[0]), "strays"), []*os.File{os.NewFile(uintptr(pair[1]), "strays")}
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return files, err
	}
	if s.strays.from != nil {
		s.strays.from.Close() // of a successor that failed
	}
	s.strays.from = conn.(*net.UnixConn)
	for _, before := range s.strays.to {
		if !sendNow(before, nil) {
			continue // it has ended
		}
		f, err := before.File()
		if err != nil {
			return files, err
		}
		files = append(files, f)
	}
	return files, nil
}

// pass passes a reply on to the predecessors that are still there.
func (s *strays) pass(client netip.AddrPort, b []byte) {
	text, err := client.MarshalBinary()
	if err != nil || len(b) > maxRequest {
		return
	}
	message := append(append([]byte{byte(len(text))}, text...), b...)
	for _, conn := range s.to {
		sendNow(conn, message)
	}
}

// sendNow never waits: what does not fit is lost as datagrams are. It reports
// whether the other side is there.
func sendNow(conn *net.UnixConn, message []byte) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Control(func(fd uintptr) {
		err = unix.Sendto(int(fd), message, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil)
	})
	return err == nil || errors.Is(err, unix.EAGAIN)
}

// takeStrays delivers what the successor passes on, until Run has closed the
// way.
func (s *Server) takeStrays() {
	if s.strays.from == nil {
		return
	}
	b := make([]byte, 2*maxRequest)
	for {
		n, err := s.strays.from.Read(b)
		if err != nil {
			return
		}
		if n == 0 || n < 1+int(b[0]) {
			continue
		}
		var client netip.AddrPort
		if client.UnmarshalBinary(b[1:1+int(b[0])]) != nil {
			continue
		}
		if r, ok := parseReply(b[1+int(b[0]) : n]); ok {
			s.table.deliver(client, r)
		}
	}
}

func (s *strays) close() {
	for _, conn := range s.to {
		conn.Close()
	}
	if s.from != nil {
		s.from.Close()
	}
}

// Conn is the listening socket, for a successor to use.
func (s *HTTPServer) Conn() syscall.Conn { return s.tcp }

// count counts the connections that are open.
func (s *HTTPServer) count(_ net.Conn, now http.ConnState) {
	switch now {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.conns.Done()
	case http.StateActive, http.StateIdle:
	}
}

// Leave leaves requests to a successor that has the same socket, and returns
// when all connections had their answer, or ctx has ended. Shutdown alone would
// drop a request that is read later than that, though its client had the
// connection before. Run must have been called.
func (s *HTTPServer) Leave(ctx context.Context) {
	s.http.SetKeepAlivesEnabled(false)
	s.leaving.Store(true)
	_ = s.Close()
	answered := make(chan struct{})
	go func() { <-s.served; s.conns.Wait(); close(answered) }()
	select {
	case <-answered:
	case <-ctx.Done():
	}
}

// listenTCP binds a TCP address, or copies a socket that is bound to it.
func listenTCP(o Options) (*net.TCPListener, error) {
	var l net.Listener
	var err error
	if o.Socket != nil {
		l, err = net.FileListener(o.Socket)
	} else {
		l, err = net.Listen("tcp", o.Addr)
	}
	if err != nil {
		return nil, err
	}
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listen tcp %s: the socket is of another kind", o.Addr), l.Close())
	}
	return tcp, nil
}

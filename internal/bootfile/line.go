package bootfile

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"
)

// maxReply is more than an ACK takes and enough of an ERROR text.
const maxReply = 516

// sharedLine talks to a client through the listening port; the server's
// receiving loop hands on what it says.
type sharedLine struct {
	ctx    context.Context
	socket *socket
	client netip.AddrPort
	source []byte
	inbox  <-chan reply
}

func (l *sharedLine) send(b []byte) error {
	_, _, err := l.socket.conn.WriteMsgUDPAddrPort(b, l.source, l.client)
	return err
}

func (l *sharedLine) receive(deadline time.Time) (reply, error) {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case r := <-l.inbox:
		return r, nil
	case <-timer.C:
		return reply{}, os.ErrDeadlineExceeded
	case <-l.ctx.Done():
		return reply{}, context.Cause(l.ctx)
	}
}

func (l *sharedLine) close() {}

// ownLine talks to a client through a port of its own, the server's transfer
// identifier of RFC 1350 section 4.
type ownLine struct {
	ctx    context.Context
	conn   *net.UDPConn
	client netip.AddrPort
	stop   func() bool
	buffer []byte
}

// newOwnLine opens a port for a client. The end of ctx ends what waits there.
func newOwnLine(ctx context.Context, e endpoint) (*ownLine, error) {
	conn, err := e.dial()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	return &ownLine{ctx: ctx, conn: conn, client: e.client, stop: stop, buffer: make([]byte, maxReply)}, nil
}

func (l *ownLine) send(b []byte) error {
	_, err := l.conn.WriteToUDPAddrPort(b, l.client)
	return err
}

func (l *ownLine) receive(deadline time.Time) (reply, error) {
	if err := l.conn.SetReadDeadline(deadline); err != nil {
		return reply{}, l.ended(err)
	}
	for {
		n, from, err := l.conn.ReadFromUDPAddrPort(l.buffer)
		if err != nil {
			return reply{}, l.ended(err)
		}
		r, ok := parseReply(l.buffer[:n])
		switch {
		case ok && unmapped(from) == l.client:
			return r, nil
		case ok && r.op == opAck:
			l.disown(from)
		}
	}
}

// disown tells a stranger who acknowledges something that there is nothing
// (RFC 1350 section 4); the transfer goes on.
func (l *ownLine) disown(stranger netip.AddrPort) {
	_, _ = l.conn.WriteToUDPAddrPort(errorPacket(codeUnknownTID, "unknown transfer id"), stranger)
}

// ended gives the reason for a closed port.
func (l *ownLine) ended(err error) error {
	if errors.Is(err, net.ErrClosed) && l.ctx.Err() != nil {
		return context.Cause(l.ctx)
	}
	return err
}

func (l *ownLine) close() {
	l.stop()
	_ = l.conn.Close()
}

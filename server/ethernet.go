package server

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ethernet returns the outbox for frames of an interface, which has one socket as
// long as the interface exists.
func (l *loop) ethernet(index int) (*outbox, error) {
	if o, ok := l.frames.Load(index); ok {
		return o.(*outbox), nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if o, ok := l.frames.Load(index); ok {
		return o.(*outbox), nil
	}
	o, err := l.openEthernet(index)
	if err != nil {
		return nil, err
	}
	l.frames.Store(index, o)
	return o, nil
}

// openEthernet opens a packet socket that only sends, packet(7).
func (l *loop) openEthernet(index int) (*outbox, error) {
	i, ok := l.table.Index(index)
	if !ok {
		return nil, fmt.Errorf("there is no interface %d", index)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a packet socket for %s: %w", i.Name, os.NewSyscallError("socket", err))
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer)
	return newOutbox(l, l.metrics.v4, i.Name, os.NewFile(uintptr(fd), i.Name))
}

// forget closes the packet sockets of interfaces that are no more.
func (l *loop) forget() {
	l.frames.Range(func(index, o any) bool {
		if _, ok := l.table.Index(index.(int)); !ok {
			l.frames.Delete(index)
			o.(*outbox).file.Close()
		}
		return true
	})
}

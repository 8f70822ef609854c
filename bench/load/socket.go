package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sizes of a socket.
const (
	batchSize = 64
	frameRoom = 2048
	kernelBuf = 128 << 20 // of octets that wait for us
)

// A port is an Ethernet port: what a crowd sends and receives by.
type port interface {
	// frame returns room for the next frame to be sent.
	frame(size int) ([]byte, error)
	// flush sends what was put into frames.
	flush() error
	// receive returns frames that came, waiting that long for the first.
	receive(wait time.Duration) ([][]byte, error)
	// lost returns how many frames came and found no room.
	lost() int
}

// A mmsg is struct mmsghdr: a message and its length.
type mmsg struct {
	header unix.Msghdr
	size   uint32
	_      [4]byte
}

// A batch is the frames of one system call.
type batch struct {
	messages [batchSize]mmsg
	vectors  [batchSize]unix.Iovec
	rooms    [batchSize][frameRoom]byte
}

func newBatch() *batch {
	b := new(batch)
	for i := range b.messages {
		b.vectors[i].Base = &b.rooms[i][0]
		b.vectors[i].SetLen(frameRoom)
		b.messages[i].header.Iov = &b.vectors[i]
		b.messages[i].header.SetIovlen(1)
	}
	return b
}

// A socket is a packet socket on one interface. It hears all that comes there,
// whomever it is for.
type socket struct {
	fd      int
	in, out *batch
	filled  int // frames in out
	frames  [][]byte
}

// openSocket opens a packet socket on an interface.
func openSocket(name string) (*socket, error) {
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	protocol := binary.NativeEndian.Uint16([]byte{0x08, 0x00})
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(protocol))
	if err != nil {
		return nil, fmt.Errorf("opening a packet socket: %w", err)
	}
	s := &socket{fd: fd, in: newBatch(), out: newBatch(), frames: make([][]byte, 0, batchSize)}
	for _, step := range []error{
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, kernelBuf),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: iface.Index}),
	} {
		if step != nil {
			s.close()
			return nil, fmt.Errorf("setting up a packet socket on %s: %w", name, step)
		}
	}
	return s, nil
}

func (s *socket) close() { _ = unix.Close(s.fd) }

func (s *socket) frame(size int) ([]byte, error) {
	if s.filled == batchSize {
		if err := s.flush(); err != nil {
			return nil, err
		}
	}
	s.out.vectors[s.filled].SetLen(size)
	room := s.out.rooms[s.filled][:size]
	s.filled++
	return room, nil
}

func (s *socket) flush() error {
	for done := 0; done < s.filled; {
		n, err := s.call(unix.SYS_SENDMMSG, s.out.messages[done:s.filled], 0)
		if errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("sendmmsg", err)
		}
		done += n
	}
	s.filled = 0
	return nil
}

func (s *socket) receive(wait time.Duration) ([][]byte, error) {
	n, err := s.look()
	if n == 0 && err == nil && wait > 0 {
		timeout := unix.NsecToTimespec(int64(wait))
		if _, err := unix.Ppoll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}, &timeout, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return nil, os.NewSyscallError("ppoll", err)
		}
		n, err = s.look()
	}
	if err != nil {
		return nil, os.NewSyscallError("recvmmsg", err)
	}
	s.frames = s.frames[:0]
	for i := range n {
		s.frames = append(s.frames, s.in.rooms[i][:s.in.messages[i].size])
	}
	return s.frames, nil
}

// look takes what is there and returns how many frames.
func (s *socket) look() (int, error) {
	n, err := s.call(unix.SYS_RECVMMSG, s.in.messages[:], unix.MSG_DONTWAIT)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return 0, nil
	}
	return n, err
}

// call makes a system call for messages and returns how many it did.
func (s *socket) call(number uintptr, messages []mmsg, flags uintptr) (int, error) {
	n, _, err := unix.Syscall6(number, uintptr(s.fd), uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), flags, 0, 0)
	if err != 0 {
		return 0, err
	}
	return int(n), nil
}

func (s *socket) lost() int {
	stats, err := unix.GetsockoptTpacketStats(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	if err != nil {
		return 0
	}
	return int(stats.Drops)
}

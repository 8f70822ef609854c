package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/mmsg"
	"github.com/coredhcp/coredhcp/config"
	"golang.org/x/sys/unix"
)

const (
	// receiveBuffer is the size of a receive buffer. The kernel counts a datagram as
	// two KiB or so: a burst of more than 10,000 clients fits.
	receiveBuffer = 32 << 20
	sendBuffer    = 4 << 20
	// maxDatagram is the size of the longest UDP datagram.
	maxDatagram = 1 << 16
)

// A socket is one long-lived UDP socket of a listen entry.
type socket struct {
	loop    *loop
	metrics *familyMetrics
	name    string         // such as udp4 [0.0.0.0%eth0]:67: what a successor knows it by
	addr    netip.AddrPort // without zone
	iface   string         // that it is bound to; empty: none
	file    *os.File
	out     *outbox
	spare   sync.Pool // of *batch

	index  int             // of the interface that it is bound to; 0: that is gone. For one goroutine
	joined sync.Map        // of membership
	bound  map[string]bool // interfaces of other sockets that are otherwise like this

	mu     sync.Mutex
	reader *mmsg.Reader // guarded by mu
	slab   slab4        // guarded by mu
}

// entries returns a socket for each listen entry of a configuration, none open.
func (l *loop) entries(c *config.Config) []*socket {
	var all []*socket
	if c.Server6 != nil {
		for _, a := range c.Server6.Addresses {
			all = append(all, l.newSocket("udp6", l.metrics.v6, a, netip.IPv6Unspecified()))
		}
	}
	if c.Server4 != nil {
		for _, a := range c.Server4.Addresses {
			all = append(all, l.newSocket("udp4", l.metrics.v4, a, netip.IPv4Unspecified()))
		}
	}
	return all
}

// newSocket names the socket of a listen entry; wildcard stands for no address.
func (l *loop) newSocket(family string, m *familyMetrics, a net.UDPAddr, wildcard netip.Addr) *socket {
	addr, ok := netip.AddrFromSlice(a.IP)
	if addr = addr.Unmap(); !ok || addr.Is4() != wildcard.Is4() {
		addr = wildcard
	}
	s := &socket{loop: l, metrics: m, addr: netip.AddrPortFrom(addr, uint16(a.Port)), iface: a.Zone}
	zone := ""
	if a.Zone != "" {
		zone = "%" + a.Zone
	}
	s.name = fmt.Sprintf("%s [%s%s]:%d", family, addr, zone, a.Port)
	return s
}

// v4 says that the socket is of DHCPv4.
func (s *socket) v4() bool { return s.addr.Addr().Is4() }

// open opens the socket, or takes a copy of one that is open.
func (s *socket) open(inherited *os.File) error {
	fd, err := s.take(inherited)
	if err == nil {
		s.file = os.NewFile(uintptr(fd), s.name)
		if err = s.prepare(fd); err != nil {
			s.file.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("listening on %s: %w", s.name, err)
	}
	return nil
}

// prepare sets what can be set at any time.
func (s *socket) prepare(fd int) error {
	if i, ok := s.loop.table.Name(s.iface); ok {
		s.index = i.Index
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer)
	s.widen(fd)
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	s.reader = mmsg.NewReader(raw, batchSize, maxDatagram)
	s.out, err = newOutbox(s.loop, s.metrics, "on "+s.name, s.file)
	return err
}

// widen makes the receive buffer as wide as a burst needs.
func (s *socket) widen(fd int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) == nil {
		return
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if got /= 2; err != nil || got < receiveBuffer { // the kernel tells twice what was set
		s.loop.log.Warnf("the receive buffer of %s is %d octets, not %d: a burst of many clients overflows it; "+
			"grant CAP_NET_ADMIN or run sysctl -w net.core.rmem_max=%d", s.name, got, receiveBuffer, receiveBuffer)
	}
}

// warn says what the socket cannot hear.
func (s *socket) warn() {
	a := s.addr.Addr()
	if a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
		return
	}
	hears, instead := "broadcasts", "0.0.0.0, or %INTERFACE"
	if !s.v4() {
		hears, instead = "multicasts", "[::], or [::%INTERFACE]:547"
	}
	s.loop.log.Warnf("%s hears no %s, only what relays and renewing clients send to that address: "+
		"for clients on the same network listen on %s", s.name, hears, instead)
}

// reading lets workers wait for packets, or ends their waiting.
func (s *socket) reading(on bool) {
	deadline := time.Time{}
	if !on {
		deadline = time.Unix(1, 0)
	}
	_ = s.file.SetReadDeadline(deadline)
}

// control calls f with the descriptor.
func (s *socket) control(f func(fd int) error) error {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = f(int(fd)) })
	return errors.Join(err, failed)
}

func (s *socket) take(inherited *os.File) (fd int, err error) {
	if inherited != nil {
		if fd, err = duplicate(inherited); err == nil {
			err = os.NewSyscallError("setting O_NONBLOCK", unix.SetNonblock(fd, true))
		}
		return fd, err
	}
	family := unix.AF_INET6
	if s.v4() {
		family = unix.AF_INET
	}
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := s.bind(fd); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// inform asks for the interface and the destination of each packet. Packets that
// come before have neither.
func (s *socket) inform(fd int) error {
	level, option, own := unix.IPPROTO_IP, unix.IP_PKTINFO, unix.IP_MULTICAST_ALL
	if !s.v4() {
		level, option, own = unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, unix.IPV6_MULTICAST_ALL
	}
	// Groups that other sockets joined are theirs. Kernels before 4.20 lack this for IPv6.
	_ = unix.SetsockoptInt(fd, level, own, 0)
	return os.NewSyscallError("asking for packet information", unix.SetsockoptInt(fd, level, option, 1))
}

// bind sets what must be set before bind(2), and binds.
func (s *socket) bind(fd int) error {
	if err := s.inform(fd); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setting SO_REUSEADDR", err)
	}
	if s.iface != "" {
		if err := unix.BindToDevice(fd, s.iface); err != nil {
			return fmt.Errorf("binding to interface %s: %w", s.iface, err)
		}
	}
	if s.v4() {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err != nil {
			return os.NewSyscallError("setting SO_BROADCAST", err)
		}
		return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrInet4{Port: int(s.addr.Port()), Addr: s.addr.Addr().As4()}))
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
		return os.NewSyscallError("setting IPV6_V6ONLY", err)
	}
	return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrInet6{Port: int(s.addr.Port()), Addr: s.addr.Addr().As16()}))
}

// duplicate returns a second descriptor of an open file.
func duplicate(f *os.File) (fd int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	var failed error
	err = raw.Control(func(old uintptr) { fd, failed = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	if err == nil {
		err = os.NewSyscallError("copying a descriptor", failed)
	}
	return fd, err
}

// copy returns a second file of the open socket.
func (s *socket) copy() (*os.File, error) {
	fd, err := duplicate(s.file)
	if err != nil {
		return nil, fmt.Errorf("handing over %s: %w", s.name, err)
	}
	return os.NewFile(uintptr(fd), s.name), nil
}

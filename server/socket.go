package server

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/coredhcp/coredhcp/config"
	"golang.org/x/sys/unix"
)

// A socket is one long-lived UDP socket of a listen entry.
type socket struct {
	name  string         // such as udp4 0.0.0.0%eth0:67: what a successor knows it by
	addr  netip.AddrPort // without zone
	iface string         // that it is bound to; empty: none
	file  *os.File
	raw   syscall.RawConn
}

// sockets returns those of a configuration, none of them open.
func sockets(c *config.Config) []*socket {
	var all []*socket
	if c.Server6 != nil {
		for _, a := range c.Server6.Addresses {
			all = append(all, newSocket("udp6", a, netip.IPv6Unspecified()))
		}
	}
	if c.Server4 != nil {
		for _, a := range c.Server4.Addresses {
			all = append(all, newSocket("udp4", a, netip.IPv4Unspecified()))
		}
	}
	return all
}

// newSocket names the socket of a listen entry; wildcard stands for no address.
func newSocket(family string, a net.UDPAddr, wildcard netip.Addr) *socket {
	addr, ok := netip.AddrFromSlice(a.IP)
	if addr = addr.Unmap(); !ok || addr.Is4() != wildcard.Is4() {
		addr = wildcard
	}
	s := &socket{addr: netip.AddrPortFrom(addr, uint16(a.Port)), iface: a.Zone}
	zone := ""
	if a.Zone != "" {
		zone = "%" + a.Zone
	}
	s.name = fmt.Sprintf("%s [%s%s]:%d", family, addr, zone, a.Port)
	return s
}

// open opens the socket, or takes a copy of one that is open.
func (s *socket) open(inherited *os.File) error {
	fd, err := s.take(inherited)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", s.name, err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("listening on %s: %w", s.name, os.NewSyscallError("setting O_NONBLOCK", err))
	}
	s.file = os.NewFile(uintptr(fd), s.name)
	if s.raw, err = s.file.SyscallConn(); err != nil {
		return fmt.Errorf("listening on %s: %w", s.name, err)
	}
	return nil
}

func (s *socket) take(inherited *os.File) (fd int, err error) {
	if inherited != nil {
		return duplicate(inherited)
	}
	family := unix.AF_INET6
	if s.addr.Addr().Is4() {
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

// bind sets what must be set before bind(2), and binds.
func (s *socket) bind(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setting SO_REUSEADDR", err)
	}
	if s.iface != "" {
		if err := unix.BindToDevice(fd, s.iface); err != nil {
			return fmt.Errorf("binding to interface %s: %w", s.iface, err)
		}
	}
	if s.addr.Addr().Is4() {
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

func (s *socket) close() error { return s.file.Close() }

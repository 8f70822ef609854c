package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/OpenCHAMI/coresmd/internal/ifaces"
	"golang.org/x/sys/unix"
)

// groups6 are the groups that a socket on [::] joins.
var groups6 = [...]netip.Addr{
	netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 13: 1, 15: 2}), // All_DHCP_Relay_Agents_and_Servers, RFC 8415 section 7.1
	netip.AddrFrom16([16]byte{0: 0xff, 1: 0x05, 13: 1, 15: 3}), // All_DHCP_Servers
}

// changed follows the interfaces of this host.
func (l *loop) changed(err error) {
	if err != nil {
		l.complain("following the interfaces", err)
		return
	}
	l.forget()
	for _, s := range l.sockets {
		s.follow()
	}
}

// follow binds a socket again to an interface that came back under another index,
// and joins its groups on interfaces that are new.
func (s *socket) follow() {
	if s.iface != "" {
		s.rebind()
	}
	for _, i := range s.loop.table.All() {
		for _, group := range s.groups(i) {
			s.join(group, i)
		}
	}
	s.joined.Range(func(key, _ any) bool {
		if _, ok := s.loop.table.Index(key.(membership).index); !ok {
			s.joined.Delete(key)
		}
		return true
	})
}

// foreign says that a packet came to this socket, which is for any interface, and
// to the one of another listen entry too, which answers it. The kernel gives a
// socket the packets to a group on all interfaces when it joined the group on one,
// and broadcasts to all sockets.
func (s *socket) foreign(p *packet) bool {
	switch {
	case s.iface != "" || !s.addr.Addr().IsUnspecified():
		return false
	case !s.v4():
		_, joined := s.joined.Load(membership{p.Dst, p.Index})
		return p.Dst.IsMulticast() && !joined
	case len(s.bound) == 0 || s.loop.table.Local(p.Dst):
		return false
	}
	i, _ := s.loop.table.Index(p.Index)
	return s.bound[i.Name]
}

// others returns the interfaces of other sockets on this one's port and address.
func (s *socket) others() map[string]bool {
	names := make(map[string]bool)
	for _, other := range s.loop.sockets {
		if other.iface != "" && other.addr == s.addr {
			names[other.iface] = true
		}
	}
	return names
}

// rebind follows the interface that a socket is bound to.
func (s *socket) rebind() {
	i, ok := s.loop.table.Name(s.iface)
	switch {
	case !ok && s.index != 0:
		s.loop.log.Warnf("interface %s is gone: %s hears nothing until it is back", s.iface, s.name)
		s.index = 0
	case ok && i.Index != s.index:
		err := s.control(func(fd int) error { return unix.BindToDevice(fd, s.iface) })
		if err != nil {
			s.loop.complain("listening on "+s.name, fmt.Errorf("binding to interface %s again: %w", s.iface, err))
			return
		}
		s.index = i.Index
		s.loop.log.Infof("interface %s is back: listening on %s", s.iface, s.name)
	}
}

// A membership is a group joined on an interface.
type membership struct {
	group netip.Addr
	index int
}

// groups returns the groups that a socket is to hear on an interface. A group on
// an interface that another listen entry names is left to that one, so that no
// packet is answered twice.
func (s *socket) groups(i ifaces.Interface) []netip.Addr {
	a := s.addr.Addr()
	switch {
	case s.iface != "" && s.iface != i.Name, i.Flags&net.FlagMulticast == 0:
		return nil
	case a.IsMulticast():
		return []netip.Addr{a}
	case a != netip.IPv6Unspecified():
		return nil
	}
	var mine []netip.Addr
	for _, group := range groups6 {
		if !s.loop.named(group, i.Name, s) {
			mine = append(mine, group)
		}
	}
	return mine
}

// named says that another socket is for a group on an interface, or for all
// groups on it where s is for all interfaces.
func (l *loop) named(group netip.Addr, iface string, s *socket) bool {
	for _, other := range l.sockets {
		if other == s || other.addr.Port() != s.addr.Port() || other.addr.Addr().Is4() {
			continue
		}
		if other.addr.Addr() == group && (other.iface == iface || other.iface == "") {
			return true
		}
		if s.iface == "" && other.iface == iface && other.addr.Addr() == netip.IPv6Unspecified() {
			return true
		}
	}
	return false
}

// join joins a group on an interface, once.
func (s *socket) join(group netip.Addr, i ifaces.Interface) {
	key := membership{group, i.Index}
	if _, ok := s.joined.Load(key); ok {
		return
	}
	err := s.control(func(fd int) error {
		if group.Is4() {
			return unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &unix.IPMreqn{Multiaddr: group.As4(), Ifindex: int32(i.Index)})
		}
		return unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, &unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(i.Index)})
	})
	switch {
	case err == nil, errors.Is(err, unix.EADDRINUSE): // the second: a predecessor joined
		s.joined.Store(key, true)
		s.loop.log.Debugf("%s joined %v on %s", s.name, group, i.Name)
	case i.Flags&net.FlagUp != 0:
		s.loop.complain("joining "+group.String()+" on "+i.Name, err)
	}
}

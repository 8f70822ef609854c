package bootfile

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// Octets that belong to the IP and UDP headers and the header of a DATA
// packet, and the MTU of an ordinary link.
const (
	overhead4   = 20 + 8 + headerLen
	overhead6   = 40 + 8 + headerLen
	ethernetMTU = 1500
)

// socketBuffer is asked for, and granted up to net.core.rmem_max: a room full
// of machines that are switched on together asks within a second.
const socketBuffer = 4 << 20

// endpoint is where a datagram came from, and the address of ours that it was
// sent to: clients discard an answer from another one.
type endpoint struct {
	client netip.AddrPort
	ours   netip.Addr
	link   int // index of the receiving interface, 0 unknown
}

// socket is the listening port.
type socket struct {
	conn *net.UDPConn
	v6   bool // takes IPv6, and IPv4 as mapped addresses
}

// listen binds a UDP address, or copies a socket that is bound to it. Its errors
// name it.
func listen(addr string, bound *os.File) (*socket, error) {
	pc, err := bind(addr, bound)
	if err != nil {
		return nil, err
	}
	s := &socket{conn: pc.(*net.UDPConn)}
	s.v6 = s.addr().Addr().Is6()
	_ = s.conn.SetReadBuffer(socketBuffer) // less is slower, not wrong
	if s.v6 {
		err = ipv6.NewPacketConn(pc).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
	} else {
		err = ipv4.NewPacketConn(pc).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen udp %s: %w", s.addr(), err), s.conn.Close())
	}
	return s, nil
}

func bind(addr string, bound *os.File) (net.PacketConn, error) {
	if bound != nil {
		return net.FilePacketConn(bound)
	}
	return net.ListenPacket("udp", addr)
}

// addr is the address bound, with the port that was given where 0 was asked.
func (s *socket) addr() netip.AddrPort { return s.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// receive reads a datagram into b and its control messages into oob.
func (s *socket) receive(b, oob []byte) (int, endpoint, error) {
	n, oobn, _, client, err := s.conn.ReadMsgUDPAddrPort(b, oob)
	if err != nil {
		return 0, endpoint{}, err
	}
	e := endpoint{client: unmapped(client)}
	e.ours, e.link = s.destination(oob[:oobn])
	return n, e, nil
}

// destination is what the kernel says of the address and interface of a
// datagram (ip(7), ipv6(7): IP_PKTINFO).
func (s *socket) destination(oob []byte) (netip.Addr, int) {
	var ip net.IP
	var link int
	if s.v6 {
		var cm ipv6.ControlMessage
		if cm.Parse(oob) == nil {
			ip, link = cm.Dst, cm.IfIndex
		}
	} else {
		var cm ipv4.ControlMessage
		if cm.Parse(oob) == nil {
			ip, link = cm.Dst, cm.IfIndex
		}
	}
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap(), link
}

// source is the control message that sends from the address a client asked.
func (s *socket) source(e endpoint) []byte {
	switch {
	case !e.ours.IsValid():
		return nil
	case !s.v6:
		return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: e.ours.As4()})
	case e.ours.IsLinkLocalUnicast() && e.ours.Is6():
		return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: e.ours.As16(), Ifindex: uint32(e.link)})
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: e.ours.As16()})
}

// dial opens a port of its own for one client, at the address it asked.
func (e endpoint) dial() (*net.UDPConn, error) {
	ours, network := e.ours, "udp4"
	if e.client.Addr().Is6() {
		network = "udp6"
		if ours.IsLinkLocalUnicast() {
			ours = ours.WithZone(strconv.Itoa(e.link))
		}
	}
	if !ours.IsValid() {
		return net.ListenUDP(network, nil)
	}
	return net.ListenUDP(network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(ours, 0)))
}

// answerable reports whether a datagram may be answered at all: requests to a
// broadcast address are ignored (RFC 1123 section 4.2.3.5), and port 0 is
// nobody's.
func (e endpoint) answerable() bool {
	broadcast := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return e.client.Port() != 0 && !e.ours.IsMulticast() && e.ours != broadcast
}

// block is the block size to use where asked is wanted: no more than the
// receiving link takes undivided. An ordinary link is taken for granted, and
// only for more is the link looked at; behind a smaller MTU the system divides
// packets.
func (e endpoint) block(asked int) int {
	overhead := overhead4
	if e.client.Addr().Is6() {
		overhead = overhead6
	}
	if asked <= ethernetMTU-overhead {
		return asked
	}
	mtu := ethernetMTU
	if link, err := net.InterfaceByIndex(e.link); err == nil {
		mtu = max(mtu, link.MTU)
	}
	return min(asked, mtu-overhead)
}

// unmapped writes an IPv4 client as IPv4 also where it came in by a socket of
// both families.
func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

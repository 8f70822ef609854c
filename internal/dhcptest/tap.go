package dhcptest

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A Tap is a packet socket: whole frames of one interface, sent and received.
type Tap struct {
	t    testing.TB
	file *os.File
}

// Tap opens a packet socket on an interface of the namespace. It is closed when the
// test ends.
func (ns *Namespace) Tap(iface string) *Tap {
	ns.t.Helper()
	var file *os.File
	err := ns.within(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		file = os.NewFile(uintptr(fd), iface)
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
		i, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		const everything = 0x0300 // ETH_P_ALL in network order
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: everything, Ifindex: i.Index})
	})
	if err != nil {
		ns.t.Fatalf("packet socket on %s of %s: %v", iface, ns.Name, err)
	}
	ns.t.Cleanup(func() { file.Close() })
	return &Tap{ns.t, file}
}

// Send sends a frame.
func (p *Tap) Send(frame []byte) {
	p.t.Helper()
	if _, err := p.file.Write(frame); err != nil {
		p.t.Fatal(err)
	}
}

// A UDP is a UDP datagram with the frame that it came in.
type UDP struct {
	Src, Dst net.HardwareAddr
	From, To netip.AddrPort
	Payload  []byte
	IP       []byte // the packet from the IP header on
}

// String says where the datagram came from and where it went.
func (u UDP) String() string {
	return fmt.Sprintf("%v %v to %v %v", u.Src, u.From, u.Dst, u.To)
}

// Frame returns an Ethernet frame with an IPv4 packet with a UDP datagram. Its
// checksum is left out, as UDP allows.
func (u UDP) Frame() []byte {
	frame := append(append([]byte{}, u.Dst...), u.Src...)
	frame = append(frame, 8, 0)
	src, dst := u.From.Addr().As4(), u.To.Addr().As4()
	ip := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0}
	ip = append(append(ip, src[:]...), dst[:]...)
	binary.BigEndian.PutUint16(ip[2:], uint16(28+len(u.Payload)))
	binary.BigEndian.PutUint16(ip[10:], ^Sum(ip))
	frame = append(frame, ip...)
	frame = binary.BigEndian.AppendUint16(frame, u.From.Port())
	frame = binary.BigEndian.AppendUint16(frame, u.To.Port())
	frame = binary.BigEndian.AppendUint16(frame, uint16(8+len(u.Payload)))
	return append(append(frame, 0, 0), u.Payload...)
}

// Sum is the checksum of RFC 1071 over octets before its complement; over a header
// with a right checksum it is 0xffff.
func Sum(octets []byte) uint16 {
	var sum uint32
	for i, octet := range octets {
		sum += uint32(octet) << (8 * (1 - i%2))
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// UDPSum is the checksum over a UDP datagram and its pseudo header.
func (u UDP) UDPSum() uint16 {
	datagram := u.IP[20:]
	pseudo := append(append([]byte{}, u.IP[12:20]...), 0, 17)
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(datagram)))
	return Sum(append(pseudo, datagram...))
}

// ReceiveUDP returns the next datagram of IPv4 from a port, and false when none comes in
// time.
func (p *Tap) ReceiveUDP(port uint16, timeout time.Duration) (UDP, bool) {
	p.t.Helper()
	room := make([]byte, 65536)
	_ = p.file.SetReadDeadline(time.Now().Add(timeout))
	for {
		n, err := p.file.Read(room)
		if os.IsTimeout(err) {
			return UDP{}, false
		}
		if err != nil {
			p.t.Fatalf("receiving on a packet socket: %v", err)
		}
		if u, ok := parseUDP(room[:n]); ok && u.From.Port() == port {
			return u, true
		}
	}
}

// parseUDP reads a frame, and says whether it is UDP of IPv4.
func parseUDP(frame []byte) (UDP, bool) {
	if len(frame) < 42 || frame[12] != 8 || frame[13] != 0 || frame[14] != 0x45 || frame[23] != 17 {
		return UDP{}, false
	}
	ip := append([]byte{}, frame[14:14+min(len(frame)-14, int(binary.BigEndian.Uint16(frame[16:])))]...)
	addr := func(at int) netip.Addr { return netip.AddrFrom4([4]byte(ip[at : at+4])) }
	port := func(at int) uint16 { return binary.BigEndian.Uint16(ip[at:]) }
	return UDP{
		Dst: net.HardwareAddr(append([]byte{}, frame[:6]...)), Src: net.HardwareAddr(append([]byte{}, frame[6:12]...)),
		From: netip.AddrPortFrom(addr(12), port(20)), To: netip.AddrPortFrom(addr(16), port(22)),
		Payload: ip[28:], IP: ip,
	}, true
}

// Zone returns the index of an interface of the namespace, as a zone by which another
// namespace can name it.
func (ns *Namespace) Zone(iface string) string {
	ns.t.Helper()
	var zone string
	if err := ns.within(func() error {
		i, err := net.InterfaceByName(iface)
		if err == nil {
			zone = strconv.Itoa(i.Index)
		}
		return err
	}); err != nil {
		ns.t.Fatal(fmt.Errorf("interface %s of %s: %w", iface, ns.Name, err))
	}
	return zone
}

// Package sniff hears the DHCP datagrams that pass an interface, those that come
// and those that leave, whoever they are for. It sends nothing, and binds no port.
package sniff

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// A Datagram is a UDP datagram of a DHCP port.
type Datagram struct {
	Time     time.Time // at which the kernel saw it
	Tagged   bool      // it was in a VLAN: what it was heard on is a trunk
	From, To netip.AddrPort
	Payload  []byte // not to be kept: the next one overwrites it
}

// Counts are of packets of which there is no datagram.
type Counts struct {
	Fragments int // parts of datagrams, which are not put together
	Lost      int // by the kernel: they came faster than they were read
}

// A Tap hears one interface.
type Tap struct {
	name string
	file *os.File

	mu     sync.Mutex
	counts Counts // guarded by mu
}

// Fits says that an interface carries Ethernet frames, as loopback does too.
func Fits(i net.Interface) bool {
	return len(i.HardwareAddr) == 6 || i.Flags&net.FlagLoopback != 0
}

// receiveBuffer is the size of a receive buffer. The kernel counts a frame as two
// KiB or so: a burst of more than 10,000 clients fits.
const receiveBuffer = 32 << 20

// Open returns a tap on an interface that Fits. Everything that passes is heard,
// also what is for other hosts: a switch may mirror a port to it.
func Open(i net.Interface) (*Tap, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0) // of no protocol: nothing comes yet
	if err == nil {
		if err = prepare(fd, i.Index); err != nil {
			_ = unix.Close(fd)
		}
	}
	switch {
	case errors.Is(err, unix.EPERM):
		return nil, fmt.Errorf("listening on interface %s: %w; wanted CAP_NET_RAW", i.Name, err)
	case err != nil:
		return nil, fmt.Errorf("listening on interface %s: %w", i.Name, err)
	}
	return &Tap{name: i.Name, file: os.NewFile(uintptr(fd), i.Name)}, nil
}

// prepare has a packet socket hear an interface.
func prepare(fd, index int) error {
	program, err := bpf.Assemble(filter())
	if err != nil {
		return err
	}
	raw := make([]unix.SockFilter, len(program))
	for i, in := range program {
		raw[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer) // as much as the system gives; what is lost is counted
	}
	everything := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	for _, step := range []struct {
		name string
		err  error
	}{
		{"setting a filter", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(raw)), Filter: &raw[0]})},
		{"asking for tags", unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1)},
		{"asking for times", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)},
		{"hearing others", unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC})},
		{"bind", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: everything, Ifindex: index})},
	} {
		if step.err != nil {
			return os.NewSyscallError(step.name, step.err)
		}
	}
	return nil
}

// maxFrame is more than a frame has; the kernel may hand over several in one.
const maxFrame = 1 << 17

// Run calls hear with each datagram until ctx ends, or with an error when the
// interface goes away. The tap is closed then.
func (t *Tap) Run(ctx context.Context, hear func(*Datagram)) error {
	defer t.file.Close()
	defer t.Counts() // which the socket forgets
	end := context.AfterFunc(ctx, func() { _ = t.file.SetReadDeadline(time.Unix(1, 0)) })
	defer end()
	frame, control := make([]byte, maxFrame), make([]byte, 512)
	for {
		length, oob, err := t.read(frame, control)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("listening on interface %s: %w", t.name, err)
		}
		d, fragment := decode(frame[:length])
		if fragment {
			t.mu.Lock()
			t.counts.Fragments++
			t.mu.Unlock()
		}
		if d == nil {
			continue
		}
		var tagged bool
		d.Time, tagged = about(control[:oob])
		d.Tagged = d.Tagged || tagged
		hear(d)
	}
}

// read waits for a frame.
func (t *Tap) read(frame, control []byte) (length, oob int, err error) {
	raw, err := t.file.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		length, oob, _, _, failed = unix.Recvmsg(int(fd), frame, control, 0)
		return !errors.Is(failed, unix.EAGAIN) && !errors.Is(failed, unix.EINTR)
	})
	return length, oob, cmp.Or(err, failed)
}

// about reads what the kernel says of a frame: when it saw it, and whether it
// took a tag off.
func about(control []byte) (at time.Time, tagged bool) {
	at = time.Now()
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return at, false
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16:
			at = time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
		case m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= 4:
			tagged = binary.NativeEndian.Uint32(m.Data)&unix.TP_STATUS_VLAN_VALID != 0
		}
	}
	return at, tagged
}

// Counts returns what was counted so far.
func (t *Tap) Counts() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	raw, err := t.file.SyscallConn()
	if err != nil {
		return t.counts
	}
	_ = raw.Control(func(fd uintptr) {
		if stats, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			t.counts.Lost += int(stats.Drops) // since the last look
		}
	})
	return t.counts
}

// decode returns the datagram in a frame; nil: there is none of DHCP. fragment
// says that there is a part of one.
func decode(frame []byte) (d *Datagram, fragment bool) {
	packet := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	defer func() {
		if recover() != nil {
			d, fragment = nil, false // the decoder's trouble with a frame is not ours
		}
	}()
	udp, ok := packet.Layer(layers.LayerTypeUDP).(*layers.UDP)
	switch ip := packet.NetworkLayer().(type) {
	case *layers.IPv4:
		d = ends(ip.SrcIP, ip.DstIP)
		fragment = ip.Flags&layers.IPv4MoreFragments != 0 || ip.FragOffset != 0
	case *layers.IPv6:
		d = ends(ip.SrcIP, ip.DstIP)
		fragment = packet.Layer(layers.LayerTypeIPv6Fragment) != nil
	}
	if d == nil || !ok || fragment {
		return nil, fragment
	}
	if !ports[uint16(udp.SrcPort)] && !ports[uint16(udp.DstPort)] {
		return nil, false
	}
	d.From = netip.AddrPortFrom(d.From.Addr(), uint16(udp.SrcPort))
	d.To = netip.AddrPortFrom(d.To.Addr(), uint16(udp.DstPort))
	d.Payload, d.Tagged = udp.Payload, packet.Layer(layers.LayerTypeDot1Q) != nil
	return d, false
}

// ends returns a datagram between two addresses.
func ends(from, to net.IP) *Datagram {
	a, _ := netip.AddrFromSlice(from)
	b, _ := netip.AddrFromSlice(to)
	return &Datagram{From: netip.AddrPortFrom(a, 0), To: netip.AddrPortFrom(b, 0)}
}

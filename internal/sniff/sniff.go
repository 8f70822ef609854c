// Package sniff hears the DHCP datagrams that pass an interface, those that come
// and those that leave, whoever they are for. It sends nothing, and binds no port.
package sniff

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
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
	name   string
	handle *pcapgo.EthernetHandle

	mu     sync.Mutex
	counts Counts // guarded by mu
}

// Fits says that an interface carries Ethernet frames, as loopback does too.
func Fits(i net.Interface) bool {
	return len(i.HardwareAddr) == 6 || i.Flags&net.FlagLoopback != 0
}

// Open returns a tap on an interface that Fits. Everything that passes is heard,
// also what is for other hosts: a switch may mirror a port to it.
func Open(name string) (*Tap, error) {
	handle, err := pcapgo.NewEthernetHandle(name)
	if err != nil {
		if errors.Is(err, unix.EPERM) || unix.Geteuid() != 0 {
			err = fmt.Errorf("%w; wanted CAP_NET_RAW", err)
		}
		return nil, fmt.Errorf("listening on interface %s: %w", name, err)
	}
	program, err := bpf.Assemble(filter())
	if err == nil {
		err = handle.SetBPF(program)
	}
	if err == nil {
		err = handle.SetPromiscuous(true)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listening on interface %s: %w", name, err), handle.Close())
	}
	return &Tap{name: name, handle: handle}, nil
}

// Run calls hear with each datagram until ctx ends, or with an error when the
// interface goes away. The tap is closed then.
func (t *Tap) Run(ctx context.Context, hear func(*Datagram)) error {
	end := context.AfterFunc(ctx, func() { _ = t.handle.Close() })
	defer func() { end(); _ = t.handle.Close() }()
	for {
		frame, info, err := t.handle.ZeroCopyReadPacketData()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("listening on interface %s: %w", t.name, err)
		}
		d, fragment := decode(frame)
		if fragment {
			t.mu.Lock()
			t.counts.Fragments++
			t.mu.Unlock()
		}
		if d == nil {
			continue
		}
		d.Time, d.Tagged = info.Timestamp, d.Tagged || len(info.AncillaryData) > 0
		hear(d)
	}
}

// Counts returns what was counted so far.
func (t *Tap) Counts() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	if stats, err := t.handle.Stats(); err == nil {
		t.counts.Lost += int(stats.Drops) // since the last look
	}
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

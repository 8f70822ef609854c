package record

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// maxFile bounds what is read of a file, unpacked.
const maxFile = 4 << 30

// ErrFormat is that a file is no capture of packets.
var ErrFormat = errors.New("no packet capture; wanted pcapng or pcap, as coresmd pcap, tcpdump and Wireshark write them")

// A Datagram is a message of DHCP in a file, or what should have been one.
type Datagram struct {
	Time      time.Time
	Interface Interface      // as far as the file tells
	From, To  netip.AddrPort // an invalid address is not told
	Payload   []byte
	Comment   string
	Sent      bool // the recorder wrote it as a reply of the server
}

// V6 says that it is of DHCPv6.
func (d *Datagram) V6() bool {
	p, q := d.From.Port(), d.To.Port()
	return p == clientPort6 || p == serverPort6 || q == clientPort6 || q == serverPort6 || d.From.Addr().Is6() || d.To.Addr().Is6()
}

// A Reader reads the datagrams of DHCP out of a file.
type Reader struct {
	// Fragments is how many packets were parts of larger ones, and Cut how many
	// the file does not have whole. Neither are read.
	Fragments, Cut int

	next func() (packet, error)
	own  bool // the recorder wrote the file
}

// A packet is one of a file.
type packet struct {
	octets    []byte
	info      gopacket.CaptureInfo
	link      layers.LinkType
	from      Interface
	comment   string
	direction pcapgo.NgEpbFlag
}

// decoders are those of the link types that are read.
var decoders = map[layers.LinkType]gopacket.Decoder{
	layers.LinkTypeEthernet: layers.LinkTypeEthernet, layers.LinkTypeNull: layers.LinkTypeNull, layers.LinkTypeLoop: layers.LinkTypeLoop,
	layers.LinkTypeLinuxSLL: layers.LinkTypeLinuxSLL, layers.LinkTypeLinuxSLL2: layers.LinkTypeLinuxSLL2,
	layers.LinkTypeRaw: layers.LinkTypeRaw, 12: layers.LinkTypeRaw, 14: layers.LinkTypeRaw, // as BSD numbers it
	layers.LinkTypeIPv4: layers.LayerTypeIPv4, layers.LinkTypeIPv6: layers.LayerTypeIPv6,
}

// NewReader begins to read a file: pcapng or pcap, which may be packed by gzip.
func NewReader(from io.Reader) (*Reader, error) {
	b := bufio.NewReader(from)
	if magic, _ := b.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unpacked, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("unpacking: %w", err)
		}
		b = bufio.NewReader(unpacked)
	}
	b = bufio.NewReader(&limited{b, maxFile})
	magic, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if bytes.Equal(magic, []byte{0x0a, 0x0d, 0x0d, 0x0a}) {
		return newReaderNg(b)
	}
	return newReaderOld(b)
}

// newReaderOld reads pcap.
func newReaderOld(b *bufio.Reader) (*Reader, error) {
	p, err := pcapgo.NewReader(b)
	if err != nil {
		return nil, ErrFormat
	}
	if p.Snaplen() > maxBlock {
		p.SetSnaplen(maxBlock)
	}
	return &Reader{next: func() (packet, error) {
		octets, info, err := p.ReadPacketData()
		return packet{octets: octets, info: info, link: p.LinkType()}, err
	}}, nil
}

// newReaderNg reads pcapng.
func newReaderNg(b *bufio.Reader) (*Reader, error) {
	p, err := pcapgo.NewNgReader(&guard{from: b}, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
	if err != nil {
		return nil, fmt.Errorf("pcapng: %w", err)
	}
	return &Reader{own: strings.HasPrefix(p.SectionInfo().Application, Application), next: func() (packet, error) {
		octets, info, options, err := p.ReadPacketDataWithOptions()
		if err != nil {
			return packet{}, err
		}
		i, err := p.Interface(info.InterfaceIndex)
		if err != nil {
			return packet{}, err
		}
		one := packet{octets: octets, info: info, link: i.LinkType, comment: strings.Join(options.Comments, "\n")}
		one.from = Interface{Name: i.Name, Networks: described(i.Description)}
		if options.Flags != nil {
			one.direction = options.Flags.Direction
		}
		return one, nil
	}}, nil
}

// described reads what describe wrote.
func described(text string) []netip.Prefix {
	text, ok := strings.CutPrefix(text, networksPrefix)
	if !ok {
		return nil
	}
	var networks []netip.Prefix
	for word := range strings.FieldsSeq(text) {
		n, err := netip.ParsePrefix(word)
		if err != nil {
			return nil // somebody else's description
		}
		networks = append(networks, n)
	}
	return networks
}

// Next returns the next datagram. The error is io.EOF at the end of the file.
func (r *Reader) Next() (Datagram, error) {
	for {
		p, err := r.next()
		switch {
		case errors.Is(err, io.EOF):
			return Datagram{}, io.EOF
		case err != nil:
			return Datagram{}, err
		}
		decoder, ok := decoders[p.link]
		if !ok {
			return Datagram{}, fmt.Errorf("link type %d; wanted Ethernet, Linux cooked, raw IP or loopback", p.link)
		}
		if d, ok := r.datagram(&p, decoder); ok {
			return d, nil
		}
	}
}

// Own says that the recorder wrote the file: each request is followed by its
// reply, if there was one.
func (r *Reader) Own() bool { return r.own }

// datagram finds the datagram in a packet; false: there is none of DHCP.
func (r *Reader) datagram(p *packet, decoder gopacket.Decoder) (Datagram, bool) {
	whole := gopacket.NewPacket(p.octets, decoder, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	udp, ok := whole.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if !ok {
		if fragment(whole) {
			r.Fragments++
		}
		return Datagram{}, false
	}
	d := Datagram{Time: p.info.Timestamp, Interface: p.from, Comment: p.comment, Payload: udp.Payload}
	d.From, d.To = ends(whole, udp)
	ports := []uint16{d.From.Port(), d.To.Port()}
	if !r.own && !slices.Contains(ports, serverPort4) && !slices.Contains(ports, serverPort6) {
		return Datagram{}, false
	}
	if p.info.CaptureLength < p.info.Length || int(udp.Length) > len(udp.Contents)+len(udp.Payload) {
		r.Cut++
		return Datagram{}, false
	}
	d.From, d.To = told(d.From), told(d.To)
	d.Sent = r.own && p.direction == pcapgo.NgEpbFlagDirectionOutbound
	return d, true
}

// told is an address of a file. The recorder writes the unspecified one for what is
// not told. A client of DHCPv4 without an address does so, too; nobody else.
func told(a netip.AddrPort) netip.AddrPort {
	if a.Addr().IsUnspecified() && a.Port() != clientPort4 {
		return netip.AddrPortFrom(netip.Addr{}, a.Port())
	}
	return a
}

// fragment says that a packet is a part of a larger one.
func fragment(p gopacket.Packet) bool {
	if ip, ok := p.NetworkLayer().(*layers.IPv4); ok {
		return ip.Flags&layers.IPv4MoreFragments != 0 || ip.FragOffset != 0
	}
	return p.Layer(layers.LayerTypeIPv6Fragment) != nil
}

func ends(p gopacket.Packet, udp *layers.UDP) (from, to netip.AddrPort) {
	network := p.NetworkLayer()
	if network == nil {
		return from, to
	}
	flow := network.NetworkFlow()
	src, _ := netip.AddrFromSlice(flow.Src().Raw())
	dst, _ := netip.AddrFromSlice(flow.Dst().Raw())
	return netip.AddrPortFrom(src, uint16(udp.SrcPort)), netip.AddrPortFrom(dst, uint16(udp.DstPort))
}

// A limited reader fails where a file is too long.
type limited struct {
	from io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("more than %d octets; wanted a shorter file", int64(maxFile))
	}
	n, err := l.from.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

// Bounds of a file of pcapng: the library reads a block as long as it says that it
// is, and keeps what is not a packet.
const (
	maxBlock = 1 << 20
	maxOther = 16 << 20 // octets of all blocks that are no packets
)

// Types of blocks (draft-ietf-opsawg-pcapng).
const (
	blockSection  = 0x0a0d0d0a
	blockPacket   = 2
	blockSimple   = 3
	blockEnhanced = 6
)

// A guard passes the blocks of pcapng on as long as they are of a size that can be.
type guard struct {
	from  *bufio.Reader
	order binary.ByteOrder // of the section
	left  int              // octets of the block
	other int              // octets of blocks that are no packets
}

func (g *guard) Read(p []byte) (int, error) {
	if g.left == 0 {
		if err := g.begin(); err != nil {
			return 0, err
		}
	}
	n, err := g.from.Read(p[:min(len(p), g.left)])
	g.left -= n
	return n, err
}

// begin looks at the head of a block.
func (g *guard) begin() error {
	head, err := g.from.Peek(12)
	if len(head) == 0 && errors.Is(err, io.EOF) {
		return io.EOF
	}
	if err != nil {
		return errors.Join(io.ErrUnexpectedEOF, err)
	}
	if binary.LittleEndian.Uint32(head) == blockSection {
		if g.order = binary.LittleEndian; head[8] == 0x1a {
			g.order = binary.BigEndian
		}
	}
	if g.order == nil {
		return ErrFormat
	}
	return g.pass(g.order.Uint32(head), g.order.Uint32(head[4:]))
}

// pass lets a block pass if it may.
func (g *guard) pass(kind, size uint32) error {
	if size < 12 || size%4 != 0 || size > maxBlock {
		return fmt.Errorf("a block of %d octets; wanted 12 to %d", size, maxBlock)
	}
	switch kind {
	case blockPacket, blockSimple, blockEnhanced:
	default:
		if g.other += int(size); g.other > maxOther {
			return fmt.Errorf("more than %d octets of blocks that are no packets", maxOther)
		}
	}
	g.left = int(size)
	return nil
}

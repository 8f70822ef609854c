package record

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// Ports of DHCP, RFC 2131 section 4.1 and RFC 8415 section 7.2.
const (
	serverPort4 = 67
	clientPort4 = 68
	serverPort6 = 547
	clientPort6 = 546
)

// Application is what the files of the recorder begin their name of the program with.
const Application = "coresmd"

// networksPrefix stands before the networks in the description of an interface.
const networksPrefix = "networks "

// A Writer writes exchanges as pcapng, packets of the link type "raw IP": what
// stood before the IP header is not known. An interface has its networks in its
// description, and a request what was decided in its comment.
type Writer struct {
	to          io.Writer
	application string
	ng          *pcapgo.NgWriter // nil: nothing was written
	interfaces  []Interface
}

// NewWriter returns a writer. It writes nothing before the first exchange.
func NewWriter(to io.Writer, application string) *Writer {
	return &Writer{to: to, application: application}
}

// Write writes an exchange: the request, and the reply if there is one.
func (w *Writer) Write(x *Exchange) error {
	at, err := w.number(x.Interface)
	if err != nil {
		return err
	}
	from, to := x.request()
	if err := w.packet(at, x.Time, from, to, x.Request, pcapgo.NgEpbFlagDirectionInbound, x.comment()); err != nil || x.Reply == nil {
		return err
	}
	from, to = x.reply()
	last := ""
	if n := len(x.Decisions); n > 0 {
		last = strings.ToValidUTF8(x.Decisions[n-1].String(), "?")
	}
	return w.packet(at, x.Replied, from, to, x.Reply, pcapgo.NgEpbFlagDirectionOutbound, last)
}

// Flush writes what is held back.
func (w *Writer) Flush() error {
	if w.ng == nil {
		return nil
	}
	return w.ng.Flush()
}

// number returns the number of an interface in the file, which may be new there.
func (w *Writer) number(i Interface) (int, error) {
	for at, have := range w.interfaces {
		if have.equal(i) {
			return at, nil
		}
	}
	ng := pcapgo.NgInterface{Name: i.Name, Description: describe(i.Networks), LinkType: layers.LinkTypeRaw}
	var at int
	var err error
	if w.ng == nil {
		options := pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: w.application}}
		w.ng, err = pcapgo.NewNgWriterInterface(w.to, ng, options)
	} else {
		at, err = w.ng.AddInterface(ng)
	}
	if err != nil {
		return 0, err
	}
	w.interfaces = append(w.interfaces, i)
	return at, nil
}

// describe is the description of an interface.
func describe(networks []netip.Prefix) string {
	if len(networks) == 0 {
		return ""
	}
	words := make([]string, len(networks))
	for i, n := range networks {
		words[i] = n.String()
	}
	return networksPrefix + strings.Join(words, " ")
}

// request is where a request came from and where it was sent to. What is not told
// is the unspecified address.
func (x *Exchange) request() (from, to netip.AddrPort) {
	if x.V6 {
		return known(x.From, netip.IPv6Unspecified(), clientPort6), known(x.To, netip.IPv6Unspecified(), serverPort6)
	}
	return known(x.From, netip.IPv4Unspecified(), clientPort4), known(x.To, netip.IPv4Unspecified(), serverPort4)
}

func (x *Exchange) reply() (from, to netip.AddrPort) {
	if x.V6 {
		return known(x.ReplyFrom, netip.IPv6Unspecified(), serverPort6), known(x.ReplyTo, netip.IPv6Unspecified(), clientPort6)
	}
	return known(x.ReplyFrom, netip.IPv4Unspecified(), serverPort4), known(x.ReplyTo, netip.IPv4Unspecified(), clientPort4)
}

// known returns an address with its port, or what stands for one that is not told.
func known(a netip.AddrPort, unspecified netip.Addr, port uint16) netip.AddrPort {
	addr := a.Addr().WithZone("")
	if !addr.IsValid() || addr.Is4() != unspecified.Is4() {
		addr = unspecified
	}
	if a.Port() != 0 {
		port = a.Port()
	}
	return netip.AddrPortFrom(addr, port)
}

func (w *Writer) packet(at int, when time.Time, from, to netip.AddrPort, payload []byte, direction pcapgo.NgEpbFlag, comment string) error {
	packet, err := datagram(from, to, payload)
	if err != nil {
		return err
	}
	options := pcapgo.NgPacketOptions{Flags: &pcapgo.NgEpbFlags{Direction: direction}}
	if comment != "" {
		options.Comments = []string{comment}
	}
	info := gopacket.CaptureInfo{Timestamp: when, CaptureLength: len(packet), Length: len(packet), InterfaceIndex: at}
	return w.ng.WritePacketWithOptions(info, packet, options)
}

// datagram puts IP and UDP headers before a payload.
func datagram(from, to netip.AddrPort, payload []byte) ([]byte, error) {
	udp := &layers.UDP{SrcPort: layers.UDPPort(from.Port()), DstPort: layers.UDPPort(to.Port())}
	var ip interface {
		gopacket.NetworkLayer
		gopacket.SerializableLayer
	}
	if from.Addr().Is4() {
		ip = &layers.IPv4{
			Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, Flags: layers.IPv4DontFragment,
			SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice(),
		}
	} else {
		ip = &layers.IPv6{
			Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP,
			SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice(),
		}
	}
	if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, err
	}
	buffer := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buffer, options, ip, udp, gopacket.Payload(payload)); err != nil {
		return nil, fmt.Errorf("%d octets from %v to %v: %w", len(payload), from, to, err)
	}
	return buffer.Bytes(), nil
}

package load

import (
	"encoding/binary"
	"net"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// Where things are in a frame: Ethernet, IPv4 without options, UDP, DHCP.
const (
	atIP      = 14
	atUDP     = atIP + 20
	atDHCP    = atUDP + 8
	atXID     = atDHCP + 4
	atYiaddr  = atDHCP + 16
	atGiaddr  = atDHCP + 24
	atChaddr  = atDHCP + 28
	atOptions = atDHCP + 240
)

// A template is a message of which only addresses and the transaction differ
// from client to client.
type template struct {
	frame  []byte
	addr   int // where the value of option 50 is; 0: nowhere
	server int // where that of option 54 is; 0: nowhere
}

// newTemplate makes a message of firmware that boots by network: an x86-64 UEFI.
func newTemplate(kind dhcpv4.MessageType, relayed bool) (template, error) {
	with := []dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithRequestedOptions(
			dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionHostName,
			dhcpv4.OptionTFTPServerName, dhcpv4.OptionBootfileName, dhcpv4.OptionClassIdentifier, dhcpv4.OptionClientMachineIdentifier),
		dhcpv4.WithGeneric(dhcpv4.OptionMaximumDHCPMessageSize, []byte{0x05, 0xc0}),
		dhcpv4.WithOption(dhcpv4.OptClientArch(iana.EFI_X86_64)),
		dhcpv4.WithGeneric(dhcpv4.OptionClientNetworkInterfaceIdentifier, []byte{1, 3, 16}),
		dhcpv4.WithGeneric(dhcpv4.OptionClientMachineIdentifier, make([]byte, 17)),
		dhcpv4.WithOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00007:UNDI:003016")),
	}
	if kind == dhcpv4.MessageTypeRequest {
		none := net.IPv4zero
		with = append(with, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(none)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(none)))
	}
	m, err := dhcpv4.New(with...)
	if err != nil {
		return template{}, err
	}
	if relayed {
		m.HopCount = 1
	}
	t := template{frame: append(make([]byte, atDHCP), m.ToBytes()...)}
	options := t.frame[atOptions:]
	t.addr, t.server = valueOf(options, 50), valueOf(options, 54)
	t.wrap(relayed)
	return t, nil
}

// wrap fills in the headers, as far as all clients have them.
func (t *template) wrap(relayed bool) {
	binary.BigEndian.PutUint16(t.frame[12:], 0x0800)
	ip := t.frame[atIP:]
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(len(t.frame)-atIP))
	from := uint16(dhcpv4.ClientPort)
	if relayed {
		from = dhcpv4.ServerPort
	}
	udp := t.frame[atUDP:]
	binary.BigEndian.PutUint16(udp, from)
	binary.BigEndian.PutUint16(udp[2:], dhcpv4.ServerPort)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(t.frame)-atUDP))
}

// A message is what one client says.
type message struct {
	xid    uint32
	mac    [6]byte
	addr   uint32 // asked for
	server uint32 // whose offer is taken
	relay  *Host  // nil: none
	to     Host
}

// put writes a message into a frame of the template's length.
func (t *template) put(frame []byte, m *message) {
	copy(frame, t.frame)
	ip, udp := frame[atIP:], frame[atUDP:]
	if m.relay != nil {
		giaddr := m.relay.Addr.As4()
		copy(frame, m.to.MAC)
		copy(frame[6:], m.relay.MAC)
		copy(ip[12:], giaddr[:])
		server := m.to.Addr.As4()
		copy(ip[16:], server[:])
		copy(frame[atGiaddr:], giaddr[:])
	} else {
		copy(frame, "\xff\xff\xff\xff\xff\xff")
		copy(frame[6:], m.mac[:])
		copy(ip[16:], "\xff\xff\xff\xff")
	}
	binary.BigEndian.PutUint32(frame[atXID:], m.xid)
	copy(frame[atChaddr:], m.mac[:])
	if t.addr > 0 {
		binary.BigEndian.PutUint32(frame[atOptions+t.addr:], m.addr)
		binary.BigEndian.PutUint32(frame[atOptions+t.server:], m.server)
	}
	binary.BigEndian.PutUint16(ip[10:], fold(sum(ip[:20])))
	pseudo := sum(ip[12:20]) + 17 + uint64(len(udp))
	binary.BigEndian.PutUint16(udp[6:], fold(pseudo+sum(udp)))
}

// sum adds up the octets of a header or a payload for the Internet checksum.
func sum(b []byte) uint64 {
	var s uint64
	for ; len(b) >= 4; b = b[4:] {
		s += uint64(binary.BigEndian.Uint32(b))
	}
	switch len(b) {
	case 1:
		s += uint64(b[0]) << 8
	case 2:
		s += uint64(binary.BigEndian.Uint16(b))
	case 3:
		s += uint64(binary.BigEndian.Uint16(b)) + uint64(b[2])<<8
	}
	return s
}

// fold returns the checksum of a sum.
func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// A reply is what a server says, as far as a client looks at it.
type reply struct {
	xid    uint32
	kind   dhcpv4.MessageType
	addr   uint32
	server uint32
	octets []byte // the message
}

// readReply reads a frame; false: it holds no DHCP message of a server, or of
// a client if echo says so.
func readReply(frame []byte, echo bool) (r reply, ok bool) {
	if len(frame) < atOptions || frame[atIP]>>4 != 4 || frame[atIP+9] != 17 {
		return r, false
	}
	if header := int(frame[atIP]&15) * 4; header != 20 {
		return r, false
	}
	to := binary.BigEndian.Uint16(frame[atUDP+2:])
	if to != dhcpv4.ClientPort && to != dhcpv4.ServerPort || frame[atDHCP] != 2 && !echo {
		return r, false
	}
	r.xid = binary.BigEndian.Uint32(frame[atXID:])
	r.addr = binary.BigEndian.Uint32(frame[atYiaddr:])
	r.octets = frame[atDHCP:]
	options := frame[atOptions:]
	if at := valueOf(options, 53); at > 0 {
		r.kind = dhcpv4.MessageType(options[at])
	}
	if at := valueOf(options, 54); at > 0 && at+4 <= len(options) {
		r.server = binary.BigEndian.Uint32(options[at:])
	}
	return r, true
}

// valueOf returns where the value of an option begins, 0 if there is none. It
// has at least one octet.
func valueOf(options []byte, code byte) int {
	for i := 0; i+2 < len(options); {
		switch options[i] {
		case 0:
			i++
			continue
		case 255:
			return 0
		case code:
			return i + 2
		}
		i += 2 + int(options[i+1])
	}
	return 0
}

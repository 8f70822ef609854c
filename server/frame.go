package server

import (
	"encoding/binary"
	"net"
	"net/netip"
)

const (
	ethernetHeader = 14
	ipHeader       = 20
	udpHeader      = 8
	frameHeader    = ethernetHeader + ipHeader + udpHeader
)

// appendFrame appends an Ethernet frame with an IPv4 packet (RFC 791) with a UDP
// datagram (RFC 768). The payload is appended by put, behind the room for the
// headers.
func appendFrame(room []byte, src, dst net.HardwareAddr, from, to netip.AddrPort, put func([]byte) []byte) []byte {
	start := len(room)
	room = append(room, make([]byte, frameHeader)...)
	room = put(room)
	frame := room[start:]
	copy(frame, dst)
	copy(frame[6:], src)
	binary.BigEndian.PutUint16(frame[12:], 0x0800)
	putIP(frame[ethernetHeader:], from.Addr(), to.Addr())
	putUDP(frame[ethernetHeader+ipHeader:], from, to)
	return room
}

// putIP fills the header of an IPv4 packet that is as long as p.
func putIP(p []byte, from, to netip.Addr) {
	p[0] = 0x45 // version 4, five words
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	p[6] = 0x40 // do not fragment
	p[8] = 64   // time to live
	p[9] = 17   // UDP
	src, dst := from.As4(), to.As4()
	copy(p[12:], src[:])
	copy(p[16:], dst[:])
	binary.BigEndian.PutUint16(p[10:], ^fold(sum(0, p[:ipHeader])))
}

// putUDP fills the header of a UDP datagram that is as long as p.
func putUDP(p []byte, from, to netip.AddrPort) {
	binary.BigEndian.PutUint16(p[0:], from.Port())
	binary.BigEndian.PutUint16(p[2:], to.Port())
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)))
	src, dst := from.Addr().As4(), to.Addr().As4()
	s := sum(sum(17+uint64(len(p)), src[:]), dst[:]) // the pseudo header
	check := ^fold(sum(s, p))
	if check == 0 {
		check = 0xffff // zero would mean that there is none
	}
	binary.BigEndian.PutUint16(p[6:], check)
}

// sum adds octets to a checksum of RFC 1071, as words of 16 bits.
func sum(s uint64, p []byte) uint64 {
	for ; len(p) >= 4; p = p[4:] {
		s += uint64(binary.BigEndian.Uint32(p))
	}
	if len(p) >= 2 {
		s += uint64(binary.BigEndian.Uint16(p))
		p = p[2:]
	}
	if len(p) == 1 {
		s += uint64(p[0]) << 8
	}
	return s
}

// fold folds a sum to 16 bits.
func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

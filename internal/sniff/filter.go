package sniff

import (
	"slices"

	"golang.org/x/net/bpf"
)

// ports are those of DHCPv4 and DHCPv6, of clients and of servers.
var ports = map[uint16]bool{67: true, 68: true, 546: true, 547: true}

// Where things are in a frame, bpf(4): the kernel has taken an outer tag off.
const (
	typeAt    = 12 // of the frame: EtherType
	netAt     = 14 // the IP header, without a tag
	tag       = 4  // octets of a tag
	isIPv4    = 0x0800
	isIPv6    = 0x86dd
	isTagged  = 0x8100 // IEEE 802.1Q
	isTagged2 = 0x88a8 // IEEE 802.1ad
	isUDP     = 17
	protoAt4  = 9 // of the IPv4 header: protocol
	fragAt4   = 6 // fragment offset
	protoAt6  = 6 // of the IPv6 header: next header
	lengthV6  = 40
	whole     = 1 << 18 // accepted octets: all
)

// filter is a program that lets datagrams of DHCP ports through, behind one tag
// at most; and what has IPv6 extension headers, which is looked at later.
func filter() []bpf.Instruction {
	tagged := slices.Concat(
		of(typeAt+tag, isIPv4, udp4(netAt+tag)),
		of(typeAt+tag, isIPv6, udp6(netAt+tag)),
		[]bpf.Instruction{bpf.RetConstant{}},
	)
	return slices.Concat(
		of(typeAt, isIPv4, udp4(netAt)),
		of(typeAt, isIPv6, udp6(netAt)),
		of(typeAt, isTagged, tagged),
		of(typeAt, isTagged2, tagged),
		[]bpf.Instruction{bpf.RetConstant{}},
	)
}

// of runs a block on frames of a type, others skip it.
func of(at, kind uint32, block []bpf.Instruction) []bpf.Instruction {
	return append([]bpf.Instruction{
		bpf.LoadAbsolute{Off: at, Size: 2}, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: kind, SkipTrue: uint8(len(block))},
	}, block...)
}

// udp4 lets UDP of these ports in IPv4 through, whose header is at an offset.
// Of fragments it lets the first through.
func udp4(at uint32) []bpf.Instruction {
	block := []bpf.Instruction{
		bpf.LoadAbsolute{Off: at + protoAt4, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: isUDP, SkipTrue: 1},
		bpf.RetConstant{},
		bpf.LoadAbsolute{Off: at + fragAt4, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipFalse: 1},
		bpf.RetConstant{},
		bpf.LoadMemShift{Off: at},
	}
	for _, end := range []uint32{0, 2} {
		block = append(block, bpf.LoadIndirect{Off: at + end, Size: 2})
		block = append(block, anyPort()...)
	}
	return append(block, bpf.RetConstant{})
}

// udp6 does the same for IPv6.
func udp6(at uint32) []bpf.Instruction {
	block := []bpf.Instruction{bpf.LoadAbsolute{Off: at + protoAt6, Size: 1}}
	for _, extension := range []uint32{0, 43, 44, 60} {
		block = append(block, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: extension, SkipTrue: 1}, bpf.RetConstant{Val: whole})
	}
	block = append(block, bpf.JumpIf{Cond: bpf.JumpEqual, Val: isUDP, SkipTrue: 1}, bpf.RetConstant{})
	for _, end := range []uint32{0, 2} {
		block = append(block, bpf.LoadAbsolute{Off: at + lengthV6 + end, Size: 2})
		block = append(block, anyPort()...)
	}
	return append(block, bpf.RetConstant{})
}

// anyPort lets a frame through if the port that was read is one of these.
func anyPort() []bpf.Instruction {
	var block []bpf.Instruction
	for _, port := range []uint32{67, 68, 546, 547} {
		block = append(block, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: port, SkipTrue: 1}, bpf.RetConstant{Val: whole})
	}
	return block
}

package server

import (
	"encoding/binary"
	"net"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// bootpSize is the least size of a message: relays and firmware drop shorter ones
// (RFC 951).
const bootpSize = 300

// appendMessage4 appends a message as its ToBytes makes it, without garbage.
func appendMessage4(room []byte, d *dhcpv4.DHCPv4) []byte {
	start := len(room)
	room = append(room, uint8(d.OpCode), uint8(d.HWType), uint8(len(d.ClientHWAddr)), d.HopCount)
	room = append(room, d.TransactionID[:]...)
	room = binary.BigEndian.AppendUint16(room, d.NumSeconds)
	room = binary.BigEndian.AppendUint16(room, d.Flags)
	for _, ip := range [...]net.IP{d.ClientIPAddr, d.YourIPAddr, d.ServerIPAddr, d.GatewayIPAddr} {
		room = appendField(room, ip.To4(), net.IPv4len)
	}
	room = appendField(room, d.ClientHWAddr, 16)
	room = append(appendField(room, d.ServerHostName, 63), 0)
	room = append(appendField(room, d.BootFileName, 127), 0)
	room = append(room, 99, 130, 83, 99) // RFC 2131 section 3
	room = appendOptions4(room, d.Options)
	room = append(room, dhcpv4.OptionEnd.Code())
	if short := bootpSize - (len(room) - start); short > 0 {
		room = appendField(room, "", short)
	}
	return room
}

// zeros fill fields; no field is longer.
var zeros = [bootpSize]byte{}

// appendField appends a value in a field of so many octets.
func appendField[T ~string | ~[]byte](room []byte, value T, size int) []byte {
	n := min(len(value), size)
	room = append(room, value[:n]...)
	return append(room, zeros[:size-n]...)
}

// appendOptions4 appends options in the order of their codes, the relay agent's
// last (RFC 3046), long ones in parts (RFC 3396).
func appendOptions4(room []byte, options dhcpv4.Options) []byte {
	const last = 82
	var codes [256]uint8
	sorted := codes[:0]
	for code := range options {
		if code != dhcpv4.OptionPad.Code() && code != dhcpv4.OptionEnd.Code() && code != last {
			sorted = append(sorted, code)
		}
	}
	slices.Sort(sorted)
	for _, code := range sorted {
		room = appendOption4(room, code, options[code])
	}
	if value, ok := options[last]; ok {
		room = appendOption4(room, last, value)
	}
	return room
}

func appendOption4(room []byte, code uint8, value []byte) []byte {
	for {
		n := min(len(value), 255)
		room = append(room, code, uint8(n))
		room = append(room, value[:n]...)
		if value = value[n:]; len(value) == 0 {
			return room
		}
	}
}

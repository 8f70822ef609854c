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

// An option4 is one option of a message.
type option4 struct {
	code  uint8
	value []byte
}

// appendOptions4 appends options in the order of their codes, the relay agent's
// last (RFC 3046), long ones in parts (RFC 3396).
func appendOptions4(room []byte, options dhcpv4.Options) []byte {
	var all [64]option4
	sorted := all[:0]
	for code, value := range options {
		if code != dhcpv4.OptionPad.Code() && code != dhcpv4.OptionEnd.Code() {
			sorted = append(sorted, option4{code, value})
		}
	}
	slices.SortFunc(sorted, func(a, b option4) int { return place(a.code) - place(b.code) })
	for _, o := range sorted {
		room = appendOption4(room, o.code, o.value)
	}
	return room
}

// place is where an option stands among others.
func place(code uint8) int {
	if code == dhcpv4.OptionRelayAgentInformation.Code() {
		return 256
	}
	return int(code)
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

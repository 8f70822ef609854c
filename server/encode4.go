package server

import (
	"encoding/binary"
	"math/bits"
	"net"

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
	var have [4]uint64 // a bit for each code
	var at [256]uint8  // where its value is
	var few [48][]byte
	values := few[:0]
	for code, value := range options {
		have[code/64] |= 1 << (code % 64)
		at[code] = uint8(len(values))
		values = append(values, value)
	}
	have[0] &^= 1       // padding
	have[3] &^= 1 << 63 // the end
	agent := dhcpv4.OptionRelayAgentInformation.Code()
	relayed := have[agent/64]&(1<<(agent%64)) != 0
	have[agent/64] &^= 1 << (agent % 64)
	for word, bit := range have {
		for ; bit != 0; bit &= bit - 1 {
			code := uint8(64*word + bits.TrailingZeros64(bit))
			room = appendOption4(room, code, values[at[code]])
		}
	}
	if relayed {
		room = appendOption4(room, agent, values[at[agent]])
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

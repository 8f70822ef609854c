package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// headerSize4 is what stands before the options of a message, with the cookie.
const headerSize4 = 240

var errMalformed = errors.New("malformed DHCPv4 message")

// parse4 reads a message as dhcpv4.FromBytes does, without its twenty allocations:
// the message's addresses and options are parts of the octets.
func parse4(d *dhcpv4.DHCPv4, q []byte) error {
	if len(q) < headerSize4 || [4]byte(q[236:240]) != [4]byte{99, 130, 83, 99} {
		return errMalformed
	}
	*d = dhcpv4.DHCPv4{
		OpCode: dhcpv4.OpcodeType(q[0]), HWType: iana.HWType(q[1]), HopCount: q[3],
		TransactionID: dhcpv4.TransactionID(q[4:8]),
		NumSeconds:    binary.BigEndian.Uint16(q[8:]), Flags: binary.BigEndian.Uint16(q[10:]),
		ClientIPAddr: net.IP(q[12:16:16]), YourIPAddr: net.IP(q[16:20:20]),
		ServerIPAddr: net.IP(q[20:24:24]), GatewayIPAddr: net.IP(q[24:28:28]),
		ClientHWAddr:   net.HardwareAddr(q[28 : 28+min(q[2], 16) : 44]),
		ServerHostName: text(q[44:108]), BootFileName: text(q[108:236]),
		Options: make(dhcpv4.Options, count4(q[headerSize4:])),
	}
	return parseOptions4(d.Options, q[headerSize4:])
}

// count4 returns how many options there are.
func count4(q []byte) (n int) {
	for len(q) >= 2 && q[0] != dhcpv4.OptionEnd.Code() {
		if q[0] == dhcpv4.OptionPad.Code() {
			q = q[1:]
			continue
		}
		n++
		q = q[min(2+int(q[1]), len(q)):]
	}
	return n
}

// parseOptions4 reads options up to the end option, which must be there unless
// nothing is. An option that stands there again goes on where it ended (RFC 3396).
func parseOptions4(options dhcpv4.Options, q []byte) error {
	if len(q) == 0 {
		return nil
	}
	var have [4]uint64 // a bit for each code
	for len(q) > 0 && q[0] != dhcpv4.OptionEnd.Code() {
		code := q[0]
		if q = q[1:]; code == dhcpv4.OptionPad.Code() {
			continue
		}
		if len(q) == 0 || len(q) < 1+int(q[0]) {
			return errMalformed
		}
		n := 1 + int(q[0])
		word, bit := &have[code/64], uint64(1)<<(code%64)
		switch {
		case *word&bit != 0:
			options[code] = append(options[code], q[1:n]...)
		case n == 1:
			options[code] = nil
		default:
			options[code] = q[1:n:n]
		}
		*word |= bit
		q = q[n:]
	}
	if len(q) == 0 {
		return errMalformed
	}
	return nil
}

// text is what stands in a field before the first zero.
func text(field []byte) string {
	before, _, _ := bytes.Cut(field, []byte{0})
	return string(before)
}

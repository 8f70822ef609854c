package compare

import (
	"encoding/binary"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"
)

// Parts4 takes a DHCPv4 message apart: the fields of its header that say
// something, then its options by their codes. The transaction is no part of
// what is said: xid, secs, hops and chaddr are left out. nil has no parts.
func Parts4(d *dhcpv4.DHCPv4) []Part {
	if d == nil {
		return nil
	}
	var all []Part
	header := func(name, value string) {
		if value != "" {
			all = append(all, Part{Name: name, Value: value})
		}
	}
	header("yiaddr", addr(d.YourIPAddr))
	header("siaddr", addr(d.ServerIPAddr))
	header("giaddr", addr(d.GatewayIPAddr))
	header("ciaddr", addr(d.ClientIPAddr))
	header("flags", flags(d.Flags))
	header("sname", printable(d.ServerHostName))
	header("file", printable(d.BootFileName))
	codes := make([]int, 0, len(d.Options))
	for code := range d.Options {
		codes = append(codes, int(code))
	}
	slices.Sort(codes)
	for _, code := range codes {
		all = append(all, Part{Code: code, Name: name4(uint8(code)), Value: value4(uint8(code), d.Options[uint8(code)])})
	}
	return all
}

// addr writes an address of a header; none is empty.
func addr(ip net.IP) string {
	if len(ip) == 0 || ip.IsUnspecified() {
		return ""
	}
	return ip.String()
}

// flags writes the flags of a header; none is empty.
func flags(f uint16) string {
	switch f {
	case 0:
		return ""
	case 0x8000:
		return "broadcast"
	}
	return "0x" + strconv.FormatUint(uint64(f), 16)
}

// name4 returns the name of an option.
func name4(code uint8) string {
	var list dhcpv4.OptionCodeList
	if err := list.FromBytes([]byte{code}); err != nil || len(list) == 0 {
		return ""
	}
	return list[0].String()
}

// forms4 write the values of options; empty: it has not the form of its code.
var forms4 = map[uint8]func(value []byte) string{
	1: addrs, 3: addrs, 6: addrs, 28: addrs, 42: addrs, 50: addrs, 54: addrs,
	26: number, 57: number,
	51: seconds, 58: seconds, 59: seconds,
	53:  messageType,
	119: domains,
	121: routes,
}

// value4 writes the value of an option in the form that its code has.
func value4(code uint8, value []byte) string {
	if form := forms4[code]; form != nil {
		if text := form(value); text != "" {
			return text
		}
	}
	return octets(value)
}

func addrs(value []byte) string {
	if len(value)%net.IPv4len != 0 {
		return ""
	}
	var words []string
	for four := range slices.Chunk(value, net.IPv4len) {
		words = append(words, net.IP(four).String())
	}
	return strings.Join(words, " ")
}

func number(value []byte) string {
	if len(value) != 2 {
		return ""
	}
	return strconv.Itoa(int(binary.BigEndian.Uint16(value)))
}

func seconds(value []byte) string {
	if len(value) != 4 {
		return ""
	}
	return (time.Duration(binary.BigEndian.Uint32(value)) * time.Second).String()
}

func messageType(value []byte) string {
	if len(value) != 1 {
		return ""
	}
	return dhcpv4.MessageType(value[0]).String()
}

func domains(value []byte) string {
	labels, err := rfc1035label.FromBytes(value)
	if err != nil {
		return ""
	}
	return printable(strings.Join(labels.Labels, " "))
}

func routes(value []byte) string {
	var all dhcpv4.Routes
	if err := all.FromBytes(value); err != nil {
		return ""
	}
	return all.String()
}

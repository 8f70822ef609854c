package coresmd

import (
	"encoding/binary"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/insomniacslk/dhcp/dhcpv4"
)

// optionsOf writes a reply down option by option, its header first.
func optionsOf(d *dhcpv4.DHCPv4) []status.Option {
	if d == nil {
		return nil
	}
	var all []status.Option
	header := func(name, value string) {
		if value != "" && value != "0.0.0.0" && value != "<nil>" {
			all = append(all, status.Option{Name: name, Value: value})
		}
	}
	header("yiaddr", d.YourIPAddr.String())
	header("siaddr", d.ServerIPAddr.String())
	header("giaddr", d.GatewayIPAddr.String())
	header("file", printable(d.BootFileName))
	codes := make([]int, 0, len(d.Options))
	for code := range d.Options {
		codes = append(codes, int(code))
	}
	slices.Sort(codes)
	for _, code := range codes {
		value := d.Options[uint8(code)]
		all = append(all, status.Option{Code: code, Name: nameOf(uint8(code)), Value: valueOf(uint8(code), value)})
	}
	return all
}

// nameOf returns the name of an option.
func nameOf(code uint8) string {
	var list dhcpv4.OptionCodeList
	if err := list.FromBytes([]byte{code}); err != nil || len(list) == 0 {
		return ""
	}
	return list[0].String()
}

// valueOf writes the value of an option in the form that its code has.
func valueOf(code uint8, value []byte) string {
	switch code {
	case 1, 3, 6, 42, 54, 50:
		if len(value) > 0 && len(value)%4 == 0 {
			return addrsOf(value)
		}
	case 51, 58, 59:
		if len(value) == 4 {
			return (time.Duration(binary.BigEndian.Uint32(value)) * time.Second).String()
		}
	case 53:
		if len(value) == 1 {
			return dhcpv4.MessageType(value[0]).String()
		}
	}
	return octetsOf(value)
}

func addrsOf(octets []byte) string {
	var words []string
	for four := range slices.Chunk(octets, 4) {
		words = append(words, net.IP(four).String())
	}
	return strings.Join(words, " ")
}

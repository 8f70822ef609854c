package coresmd

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/OpenCHAMI/coresmd/internal/exchange"
	"github.com/OpenCHAMI/coresmd/internal/status"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// optionsOf6 writes a reply down option by option, its kind first.
func optionsOf6(d *dhcpv6.Message) []status.Option {
	if d == nil {
		return nil
	}
	all := []status.Option{{Name: "message", Value: d.MessageType.String()}}
	for _, o := range d.Options.Options {
		all = append(all, status.Option{Code: int(o.Code()), Name: o.Code().String(), Value: valueOf6(o)})
	}
	return all
}

// valueOf6 writes the value of an option in the form that its code has.
func valueOf6(o dhcpv6.Option) string {
	// What this plugin made of octets is read like what came from the wire.
	parsed, err := dhcpv6.ParseOption(o.Code(), o.ToBytes())
	if err != nil {
		return octetsOf(o.ToBytes())
	}
	switch o := parsed.(type) {
	case *dhcpv6.OptionGeneric:
		return octetsOf(o.OptionData)
	case *dhcpv6.OptIANA:
		return fmt.Sprintf("IAID %x, T1 %v, T2 %v%s", o.IaId, o.T1, o.T2, withinIA(o.Options.Options))
	case *dhcpv6.OptIATA:
		return fmt.Sprintf("IAID %x%s", o.IaId, withinIA(o.Options.Options))
	case *dhcpv6.OptIAPD:
		return fmt.Sprintf("IAID %x, T1 %v, T2 %v%s", o.IaId, o.T1, o.T2, withinIA(o.Options.Options))
	case *dhcpv6.OptStatusCode:
		return o.StatusCode.String() + ": " + printable(o.StatusMessage)
	case *dhcpv6.OptFQDN:
		return printable(strings.Join(o.DomainName.Labels, "."))
	}
	switch o.Code() {
	case dhcpv6.OptionClientID, dhcpv6.OptionServerID:
		if duid, err := dhcpv6.DUIDFromBytes(o.ToBytes()); err == nil {
			return exchange.DUIDText(duid)
		}
	}
	text := strings.TrimPrefix(parsed.String(), o.Code().String()+": ")
	return printable(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
}

// withinIA writes what an IA holds.
func withinIA(options dhcpv6.Options) string {
	text := ""
	for _, o := range options {
		switch o := o.(type) {
		case *dhcpv6.OptIAAddress:
			text += fmt.Sprintf("; %v preferred %v, valid %v", o.IPv6Addr, o.PreferredLifetime, o.ValidLifetime)
		case *dhcpv6.OptIAPrefix:
			text += fmt.Sprintf("; %v preferred %v, valid %v", o.Prefix, o.PreferredLifetime, o.ValidLifetime)
		case *dhcpv6.OptStatusCode:
			text += "; " + o.StatusCode.String() + ": " + printable(o.StatusMessage)
		}
	}
	return text
}

// octetsOf writes octets as text if they are, else in hexadecimal.
func octetsOf(octets []byte) string {
	for _, b := range octets {
		if b < ' ' || b > '~' {
			return "0x" + hex.EncodeToString(octets)
		}
	}
	return string(octets)
}

package compare

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// Parts6 takes a DHCPv6 message apart: its kind, then its options in their
// order. Of a message in a relay's, what the relay adds is left out, and so is
// the transaction. nil has no parts, nor has a relay's message without one
// inside.
func Parts6(d dhcpv6.DHCPv6) []Part {
	if d == nil {
		return nil
	}
	m, err := d.GetInnerMessage()
	if err != nil || m == nil {
		return nil
	}
	all := []Part{{Name: "message", Value: m.MessageType.String()}}
	for _, o := range m.Options.Options {
		value := value6(o)
		if value == "" {
			value = octets(nil)
		}
		all = append(all, Part{Code: int(o.Code()), Name: o.Code().String(), Value: value})
	}
	return all
}

// finer is Parts6 with each IA further apart: what it holds, and the times of
// that. A server with another lease time gives the same address all the same.
func finer(m *dhcpv6.Message) []Part {
	whole := Parts6(m)
	all := whole[:1:1]
	for i, o := range m.Options.Options {
		p := whole[i+1]
		switch o := o.(type) {
		case *dhcpv6.OptIANA:
			all = append(all, p.apart(o.IaId, o.T1, o.T2, o.Options.Options)...)
		case *dhcpv6.OptIAPD:
			all = append(all, p.apart(o.IaId, o.T1, o.T2, o.Options.Options)...)
		default:
			all = append(all, p)
		}
	}
	return all
}

// apart takes an IA apart.
func (p Part) apart(id [4]byte, t1, t2 time.Duration, options dhcpv6.Options) []Part {
	held, times := fmt.Sprintf("IAID %x", id), fmt.Sprintf("T1 %v, T2 %v", t1, t2)
	for _, o := range options {
		switch o := o.(type) {
		case *dhcpv6.OptIAAddress:
			held += fmt.Sprintf("; %v", o.IPv6Addr)
			times += fmt.Sprintf("; preferred %v, valid %v", o.PreferredLifetime, o.ValidLifetime)
		case *dhcpv6.OptIAPrefix:
			held += fmt.Sprintf("; %v", o.Prefix)
			times += fmt.Sprintf("; preferred %v, valid %v", o.PreferredLifetime, o.ValidLifetime)
		case *dhcpv6.OptStatusCode:
			held += "; " + o.StatusCode.String() + ": " + printable(o.StatusMessage)
		}
	}
	return []Part{{p.Code, p.Name, held}, {p.Code, p.Name + " times", times}}
}

// value6 writes the value of an option in the form that its code has.
func value6(o dhcpv6.Option) string {
	// What somebody made of octets is read like what came from the wire.
	parsed, err := dhcpv6.ParseOption(o.Code(), o.ToBytes())
	if err != nil {
		return octets(o.ToBytes())
	}
	switch o := parsed.(type) {
	case *dhcpv6.OptionGeneric:
		return octets(o.OptionData)
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
			return net.HardwareAddr(duid.ToBytes()).String()
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

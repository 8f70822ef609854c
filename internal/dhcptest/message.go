package dhcptest

import (
	"net"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// IP returns four octets.
func IP(text string) net.IP { return net.ParseIP(text).To4() }

// Requested sets option 50.
func Requested(addr string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(IP(addr)))
}

// Ciaddr sets the client's address.
func Ciaddr(addr string) dhcpv4.Modifier { return dhcpv4.WithClientIP(IP(addr)) }

// Server sets option 54.
func Server(addr string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptServerIdentifier(IP(addr)))
}

// Raw sets an option to any octets.
func Raw(code uint8, value ...byte) dhcpv4.Modifier {
	return dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(code), value)
}

// Relay makes a message one that a relay passed on.
func Relay(addr string) dhcpv4.Modifier {
	return func(d *dhcpv4.DHCPv4) { d.GatewayIPAddr = IP(addr); d.HopCount = 1 }
}

// PXE makes a message that of firmware.
func PXE(archs ...iana.Arch) dhcpv4.Modifier {
	return func(d *dhcpv4.DHCPv4) {
		d.UpdateOption(dhcpv4.OptClassIdentifier("PXEClient:Arch:00000:UNDI:002001"))
		d.UpdateOption(dhcpv4.OptClientArch(archs...))
		d.UpdateOption(dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(97), append([]byte{0}, "0123456789abcdef"...)))
	}
}

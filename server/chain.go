package server

import (
	"github.com/OpenCHAMI/coresmd/internal/process"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// A link4 is the DHCPv4 handler of a plugin, told where a packet came from.
type link4 = process.Handler[*dhcpv4.DHCPv4]

// A link6 is the DHCPv6 handler of a plugin, told where a packet came from.
type link6 = process.Handler[dhcpv6.DHCPv6]

// chains are the handlers of all plugins in their order.
type chains struct {
	v4 []link4
	v6 []link6
}

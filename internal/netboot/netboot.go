// Package netboot knows what kind of boot client sent a request and which file
// it is to load. It knows neither machines nor leases.
package netboot

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// A Kind is a kind of boot client.
type Kind uint8

// The kinds of boot clients.
const (
	NotBooting Kind = iota // an operating system or a BMC
	PXE                    // firmware that loads by TFTP
	HTTP                   // UEFI firmware that loads by HTTP (RFC 5970 in DHCPv4's options)
	IPXE                   // iPXE, which takes a script
)

func (k Kind) String() string { return [...]string{"", "pxe", "http", "ipxe"}[k] }

// optionIPXE is the option in which iPXE sends its features.
const optionIPXE = dhcpv4.GenericOptionCode(175)

// A Client is what a request says of the client that boots.
type Client struct {
	Kind  Kind
	Archs []iana.Arch // in the client's order (RFC 4578 section 2.1); none when unreadable
}

// FromV4 reads the boot client from a DHCPv4 request.
func FromV4(req *dhcpv4.DHCPv4) Client {
	class := req.GetOneOption(dhcpv4.OptionClassIdentifier)
	switch {
	case isIPXE(req):
		return Client{IPXE, archs(req, class)}
	case bytes.HasPrefix(class, []byte("HTTPClient")):
		return Client{HTTP, archs(req, class)}
	case bytes.HasPrefix(class, []byte("PXEClient")), req.Options.Has(dhcpv4.OptionClientSystemArchitectureType):
		return Client{PXE, archs(req, class)}
	}
	return Client{}
}

// isIPXE tells iPXE by its user class, raw or length-prefixed (RFC 3004), or
// by its own option.
func isIPXE(req *dhcpv4.DHCPv4) bool {
	if req.Options.Has(optionIPXE) {
		return true
	}
	class := req.GetOneOption(dhcpv4.OptionUserClassInformation)
	if bytes.Equal(class, []byte("iPXE")) {
		return true
	}
	for len(class) > 0 {
		n := int(class[0])
		if n == 0 || n >= len(class) {
			return false
		}
		if string(class[1:1+n]) == "iPXE" {
			return true
		}
		class = class[1+n:]
	}
	return false
}

// archs reads the architectures of option 93, or else that of the class
// identifier.
func archs(req *dhcpv4.DHCPv4, class []byte) []iana.Arch {
	if req.Options.Has(dhcpv4.OptionClientSystemArchitectureType) {
		return req.ClientArch()
	}
	return archOfClass(class)
}

// archOfClass reads the architecture of a class such as
// "PXEClient:Arch:00007:UNDI:003016".
func archOfClass(class []byte) []iana.Arch {
	_, rest, found := strings.Cut(string(class), ":Arch:")
	if !found {
		return nil
	}
	digits, _, _ := strings.Cut(rest, ":")
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return nil
	}
	return []iana.Arch{iana.Arch(n)}
}

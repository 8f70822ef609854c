package netboot

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// A Boot says what machines that boot load.
type Boot struct {
	Loaders Loaders
	// TFTP is where this host's TFTP server is; invalid or unspecified: at
	// the server's own address.
	TFTP netip.Addr
	// HTTP is this host's file server for firmware that loads by HTTP.
	// Without a port there is none; without an address it is at the server's
	// own.
	HTTP netip.AddrPort
}

// Next returns the TFTP server that clients are told of.
func (b *Boot) Next(self netip.Addr) netip.Addr {
	if b.TFTP.Is4() && !b.TFTP.IsUnspecified() {
		return b.TFTP
	}
	return self
}

// File4 returns what a client is to load: a name, by TFTP, or a URL. loader
// takes the place of the loader for its architecture, if there is one; script
// is what iPXE runs. note is what the log should tell.
func (b *Boot) File4(req *dhcpv4.DHCPv4, c Client, self netip.Addr, loader, script string) (file, note string) {
	switch c.Kind {
	case NotBooting:
		return "", ""
	case IPXE:
		protocol := lacks(req, script)
		if protocol == "" {
			return script, ""
		}
		if file, _ = b.loader(c, loader); file == "" {
			return script, fmt.Sprintf("iPXE without %s, and no loader for architecture %s", protocol, describe(c.Archs...))
		}
		return file, fmt.Sprintf("iPXE without %s: a loader instead of %s", protocol, script)
	}
	file, note = b.loader(c, loader)
	if c.Kind == HTTP && file != "" {
		if file = b.URL(self, file); file == "" {
			note = "no boot_http for firmware that loads by HTTP"
		}
	}
	return file, note
}

// loader returns the loader for a client's architecture, or why there is none.
func (b *Boot) loader(c Client, instead string) (file, note string) {
	if instead != "" {
		return instead, ""
	}
	name, ok := b.Loaders.Loader(c.Kind, c.Archs)
	if !ok {
		return "", "no loader for architecture " + describe(c.Archs...)
	}
	return name, ""
}

// URL returns the URL of a file by HTTP. self is the server's own address, of
// either family. A URL is returned as it is; without a file server the others
// have none.
func (b *Boot) URL(self netip.Addr, file string) string {
	at := b.HTTP
	if strings.Contains(file, "://") {
		return file
	}
	if at.Addr().IsValid() && !at.Addr().IsUnspecified() {
		self = at.Addr()
	}
	if at.Port() == 0 || !self.IsValid() {
		return ""
	}
	return fmt.Sprintf("http://%v/%s", netip.AddrPortFrom(self, at.Port()), strings.TrimLeft(file, "/"))
}

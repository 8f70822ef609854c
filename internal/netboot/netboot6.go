package netboot

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// FromV6 reads the boot client from what a client sent in DHCPv6 (RFC 5970).
func FromV6(m *dhcpv6.Message) Client {
	class := vendorClass(m)
	asked := m.Options.ArchTypes()
	switch {
	case isIPXE6(m, class):
		return Client{IPXE, archs6(asked, class)}
	case bytes.HasPrefix(class, []byte("HTTPClient")):
		return Client{HTTP, archs6(asked, class)}
	case bytes.HasPrefix(class, []byte("PXEClient")), m.Options.GetOne(dhcpv6.OptionClientArchType) != nil:
		return Client{PXE, archs6(asked, class)}
	}
	return Client{}
}

// vendorClass returns the first vendor class of a client that boots; nil: none.
func vendorClass(m *dhcpv6.Message) []byte {
	for _, o := range m.Options.Options {
		class, ok := o.(*dhcpv6.OptVendorClass)
		if !ok {
			continue
		}
		for _, text := range class.Data {
			for _, known := range []string{"HTTPClient", "PXEClient", "iPXE"} {
				if bytes.HasPrefix(text, []byte(known)) {
					return text
				}
			}
		}
	}
	return nil
}

// isIPXE6 tells iPXE by its user class or by a vendor class.
func isIPXE6(m *dhcpv6.Message, class []byte) bool {
	for _, user := range m.Options.UserClasses() {
		if string(user) == "iPXE" {
			return true
		}
	}
	return bytes.HasPrefix(class, []byte("iPXE"))
}

func archs6(asked iana.Archs, class []byte) []iana.Arch {
	if asked != nil {
		return asked
	}
	return archOfClass(class)
}

// File6 returns the URL of what a client is to load. self is the server's own
// address; invalid: not known, and then nothing that this host serves has a URL.
// loader, script and note are those of File4.
func (b *Boot) File6(c Client, self netip.Addr, loader, script string) (url, note string) {
	switch c.Kind {
	case NotBooting:
		return "", ""
	case IPXE:
		return script, ""
	}
	file, note := b.loader(c, loader)
	switch {
	case file == "":
		return "", note
	case c.Kind == HTTP:
		return b.byHTTP6(self, file)
	}
	return b.ByTFTP6(self, file)
}

// ByTFTP6 returns the URL of a file of this host's TFTP server, or why it has
// none.
func (b *Boot) ByTFTP6(self netip.Addr, file string) (url, note string) {
	at := b.TFTP
	switch {
	case strings.Contains(file, "://"):
		return file, ""
	case at.Is4() && !at.IsUnspecified():
		return "", fmt.Sprintf("tftp_addr is %v, which cannot be reached by IPv6", at)
	case at.Is6() && !at.IsUnspecified():
		self = at
	}
	if !self.IsValid() {
		return "", noAddress6
	}
	return fmt.Sprintf("tftp://[%v]/%s", self, strings.TrimLeft(file, "/")), ""
}

// noAddress6 says why there is no URL.
const noAddress6 = "no IPv6 address of this server for URLs"

// byHTTP6 does the same for HTTP.
func (b *Boot) byHTTP6(self netip.Addr, file string) (url, note string) {
	at := b.HTTP.Addr()
	if at.Is4() && !at.IsUnspecified() && !strings.Contains(file, "://") {
		return "", fmt.Sprintf("boot_http is at %v, which cannot be reached by IPv6", at)
	}
	if url = b.URL(self, file); url != "" {
		return url, ""
	}
	if b.HTTP.Port() == 0 {
		return "", "no boot_http for firmware that loads by HTTP"
	}
	return "", noAddress6
}

// Reply6 writes what a client that boots is told in DHCPv6: the URL that file
// is, if it is one. What an earlier plugin told is taken out. The class of
// firmware that loads by HTTP comes back to it.
func Reply6(d, req *dhcpv6.Message, c Client, url string) {
	for _, code := range []dhcpv6.OptionCode{dhcpv6.OptionBootfileURL, dhcpv6.OptionBootfileParam} {
		if d.Options.GetOne(code) != nil {
			d.Options.Del(code)
		}
	}
	if url != "" {
		d.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionBootfileURL, OptionData: []byte(url)})
	}
	if c.Kind != HTTP {
		return
	}
	for _, class := range req.Options.VendorClasses() {
		for _, text := range class.Data {
			if bytes.HasPrefix(text, []byte("HTTPClient")) {
				d.UpdateOption(&dhcpv6.OptVendorClass{EnterpriseNumber: class.EnterpriseNumber, Data: [][]byte{[]byte("HTTPClient")}})
				return
			}
		}
	}
}

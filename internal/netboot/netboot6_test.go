package netboot

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

func message6(t *testing.T, with ...dhcpv6.Modifier) *dhcpv6.Message {
	t.Helper()
	m := &dhcpv6.Message{MessageType: dhcpv6.MessageTypeSolicit}
	for _, modify := range with {
		modify(m)
	}
	parsed, err := dhcpv6.MessageFromBytes(m.ToBytes())
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// class6 is a vendor class with texts.
func class6(enterprise uint32, texts ...string) dhcpv6.Modifier {
	o := &dhcpv6.OptVendorClass{EnterpriseNumber: enterprise}
	for _, text := range texts {
		o.Data = append(o.Data, []byte(text))
	}
	return func(d dhcpv6.DHCPv6) { d.AddOption(o) }
}

func TestFromV6(t *testing.T) {
	t.Parallel()
	type with = []dhcpv6.Modifier
	arch := dhcpv6.WithOption(dhcpv6.OptClientArchType(1, 7))
	both := []iana.Arch{1, 7}
	for name, c := range map[string]struct {
		with with
		want Client
	}{
		"nothing":                  {nil, Client{}},
		"a class of a system":      {with{class6(40712, "dhcpcd-10")}, Client{}},
		"an architecture":          {with{arch}, Client{PXE, both}},
		"PXE":                      {with{class6(343, "PXEClient:Arch:00011:UNDI:003000")}, Client{PXE, []iana.Arch{11}}},
		"PXE, 61 counts":           {with{class6(343, "PXEClient:Arch:00011:UNDI:003000"), arch}, Client{PXE, both}},
		"PXE without architecture": {with{class6(343, "PXEClient")}, Client{PXE, nil}},
		"HTTP":                     {with{class6(1, "x"), class6(343, "a", "HTTPClient:Arch:00016:UNDI:003001"), arch}, Client{HTTP, both}},
		"iPXE":                     {with{dhcpv6.WithUserClass([]byte("iPXE")), class6(343, "PXEClient:Arch:00007:UNDI:003010")}, Client{IPXE, []iana.Arch{7}}},
		"iPXE by its class":        {with{class6(343, "iPXE")}, Client{IPXE, nil}},
		"another user class":       {with{dhcpv6.WithUserClass([]byte("gPXE")), arch}, Client{PXE, both}},
	} {
		if diff := cmp.Diff(c.want, FromV6(message6(t, c.with...))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestFile6(t *testing.T) {
	t.Parallel()
	const script, none = "http://bss.example.org/s?mac=1", "no IPv6 address of this server for URLs"
	self, port := netip.MustParseAddr("2001:db8::1"), netip.AddrPortFrom(netip.Addr{}, 8082)
	at := netip.MustParseAddr
	for name, c := range map[string]struct {
		boot      Boot
		client    Client
		self      netip.Addr
		loader    string
		url, note string
	}{
		"not booting":            {Boot{}, Client{}, self, "x", "", ""},
		"PXE":                    {Boot{}, Client{PXE, []iana.Arch{7}}, self, "", "tftp://[2001:db8::1]/ipxe-x86_64.efi", ""},
		"PXE, a rule":            {Boot{}, Client{PXE, []iana.Arch{7}}, self, "/sub/own.efi", "tftp://[2001:db8::1]/sub/own.efi", ""},
		"PXE, a rule's URL":      {Boot{}, Client{PXE, []iana.Arch{7}}, netip.Addr{}, "tftp://[2001:db8::9]/a", "tftp://[2001:db8::9]/a", ""},
		"PXE, unknown":           {Boot{}, Client{PXE, []iana.Arch{99}}, self, "", "", "no loader for architecture 99"},
		"PXE, no address":        {Boot{}, Client{PXE, []iana.Arch{7}}, netip.Addr{}, "", "", none},
		"PXE, tftp_addr":         {Boot{TFTP: at("2001:db8::7")}, Client{PXE, []iana.Arch{7}}, self, "", "tftp://[2001:db8::7]/ipxe-x86_64.efi", ""},
		"PXE, tftp_addr is all":  {Boot{TFTP: at("::")}, Client{PXE, []iana.Arch{7}}, self, "", "tftp://[2001:db8::1]/ipxe-x86_64.efi", ""},
		"PXE, tftp_addr of IPv4": {Boot{TFTP: at("192.0.2.1")}, Client{PXE, []iana.Arch{7}}, self, "", "", "tftp_addr is 192.0.2.1, which cannot be reached by IPv6"},
		"HTTP":                   {Boot{HTTP: port}, Client{HTTP, []iana.Arch{16}}, self, "", "http://[2001:db8::1]:8082/ipxe-x86_64.efi", ""},
		"HTTP at an address":     {Boot{HTTP: netip.MustParseAddrPort("[2001:db8::7]:80")}, Client{HTTP, []iana.Arch{16}}, netip.Addr{}, "", "http://[2001:db8::7]:80/ipxe-x86_64.efi", ""},
		"HTTP at one of IPv4":    {Boot{HTTP: netip.MustParseAddrPort("192.0.2.1:80")}, Client{HTTP, []iana.Arch{16}}, self, "", "", "boot_http is at 192.0.2.1, which cannot be reached by IPv6"},
		"HTTP elsewhere":         {Boot{HTTP: netip.MustParseAddrPort("192.0.2.1:80")}, Client{HTTP, []iana.Arch{16}}, self, "https://h/x", "https://h/x", ""},
		"HTTP without a server":  {Boot{}, Client{HTTP, []iana.Arch{16}}, self, "", "", "no boot_http for firmware that loads by HTTP"},
		"HTTP, no address":       {Boot{HTTP: port}, Client{HTTP, []iana.Arch{16}}, netip.Addr{}, "", "", none},
		"HTTP, unknown":          {Boot{HTTP: port}, Client{HTTP, []iana.Arch{28}}, self, "", "", "no loader for architecture 28 efi-riscv64-http"},
		"iPXE":                   {Boot{}, Client{IPXE, nil}, netip.Addr{}, "x", script, ""},
	} {
		c.boot.Loaders = DefaultLoaders()
		url, note := c.boot.File6(c.client, c.self, c.loader, script)
		if url != c.url || note != c.note {
			t.Errorf("%s: %q, %q; want %q, %q", name, url, note, c.url, c.note)
		}
	}
}

// TestReply6 has what an earlier plugin told taken out, and the class of HTTP
// firmware sent back to it.
func TestReply6(t *testing.T) {
	t.Parallel()
	req := message6(t, class6(1, "x"), class6(343, "HTTPClient:Arch:00016"))
	for name, c := range map[string]struct {
		client Client
		url    string
		want   []dhcpv6.Modifier
	}{
		"not booting": {Client{}, "", nil},
		"a loader":    {Client{Kind: PXE}, "tftp://[::1]/x", []dhcpv6.Modifier{dhcpv6.WithOption(dhcpv6.OptBootFileURL("tftp://[::1]/x"))}},
		"HTTP":        {Client{Kind: HTTP}, "http://h/x", []dhcpv6.Modifier{dhcpv6.WithOption(dhcpv6.OptBootFileURL("http://h/x")), class6(343, "HTTPClient")}},
		"HTTP, none":  {Client{Kind: HTTP}, "", []dhcpv6.Modifier{class6(343, "HTTPClient")}},
	} {
		d := message6(t, dhcpv6.WithOption(dhcpv6.OptBootFileURL("wrong")), dhcpv6.WithOption(dhcpv6.OptBootFileParam("wrong")))
		Reply6(d, req, c.client, c.url)
		if diff := cmp.Diff(message6(t, c.want...).Summary(), message6(t, func(m dhcpv6.DHCPv6) { *m.(*dhcpv6.Message) = *d }).Summary()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

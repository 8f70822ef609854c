package netboot

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// features is option 175 as iPXE sends it.
func features(codes ...byte) []byte {
	option := []byte{0xb1, 5, 1, 0x80, 0x86, 0x10, 0x0e, 0xeb, 3, 1, 0, 0} // a bus identifier and the version
	for _, code := range codes {
		option = append(option, code, 1, 1)
	}
	return option
}

func TestFile4(t *testing.T) {
	t.Parallel()
	const script = "http://bss.example.org/s?mac=1"
	server := netip.MustParseAddrPort("0.0.0.0:8082")
	x86 := []iana.Arch{7}
	for name, c := range map[string]struct {
		http           netip.AddrPort
		client         Client
		ipxe           []byte // option 175
		loader, script string
		file, note     string
	}{
		"not booting":       {loader: "x", script: script},
		"PXE":               {client: Client{PXE, x86}, file: "ipxe-x86_64.efi"},
		"PXE, a rule":       {client: Client{PXE, x86}, loader: "grub.efi", file: "grub.efi"},
		"PXE, unknown":      {client: Client{PXE, []iana.Arch{39, 99}}, note: "no loader for architecture 39 efi-loongarch64, 99"},
		"PXE, none":         {client: Client{PXE, nil}, note: "no loader for architecture (none given)"},
		"PXE unknown, rule": {client: Client{PXE, []iana.Arch{99}}, loader: "a", file: "a"},
		"HTTP":              {http: server, client: Client{HTTP, []iana.Arch{16}}, file: "http://192.0.2.1:8082/ipxe-x86_64.efi"},
		"HTTP at an address": {
			http: netip.MustParseAddrPort("[2001:db8::7]:80"), client: Client{HTTP, []iana.Arch{19}},
			file: "http://[2001:db8::7]:80/ipxe-arm64.efi",
		},
		"HTTP, a rule":           {http: server, client: Client{HTTP, []iana.Arch{16}}, loader: "/sub/x.efi", file: "http://192.0.2.1:8082/sub/x.efi"},
		"HTTP, a rule's URL":     {client: Client{HTTP, []iana.Arch{16}}, loader: "https://h/x.efi", file: "https://h/x.efi"},
		"HTTP without a server":  {client: Client{HTTP, []iana.Arch{16}}, note: "no boot_http for firmware that loads by HTTP"},
		"HTTP, unknown":          {http: server, client: Client{HTTP, []iana.Arch{28}}, note: "no loader for architecture 28 efi-riscv64-http"},
		"iPXE":                   {client: Client{IPXE, x86}, script: script, file: script},
		"iPXE with HTTP":         {client: Client{IPXE, x86}, ipxe: features(0x19, 0x13, 0x15), script: script, file: script},
		"iPXE, no features":      {client: Client{IPXE, x86}, ipxe: features(), script: script, file: script},
		"iPXE, cut off":          {client: Client{IPXE, x86}, ipxe: []byte{0x13, 9, 1}, script: script, file: script},
		"iPXE, script by TFTP":   {client: Client{IPXE, x86}, ipxe: features(0x15), script: "default", file: "default"},
		"iPXE, a loader no less": {client: Client{IPXE, x86}, script: script, loader: "grub.efi", file: script},
		"iPXE without HTTP": {
			client: Client{IPXE, x86}, ipxe: features(0x15, 0x19), script: script,
			file: "ipxe-x86_64.efi", note: "iPXE without HTTP: a loader instead of " + script,
		},
		"iPXE without HTTP, a rule": {
			client: Client{IPXE, x86}, ipxe: features(0x15), script: script, loader: "own.efi",
			file: "own.efi", note: "iPXE without HTTP: a loader instead of " + script,
		},
		"iPXE without HTTPS": {
			client: Client{IPXE, []iana.Arch{0}}, ipxe: features(0x15, 0x13), script: "https://bss/s",
			file: "undionly.kpxe", note: "iPXE without HTTPS: a loader instead of https://bss/s",
		},
		"iPXE with HTTPS": {client: Client{IPXE, x86}, ipxe: features(0x14), script: "https://bss/s", file: "https://bss/s"},
		"iPXE without HTTP nor loader": {
			client: Client{IPXE, []iana.Arch{27}}, ipxe: features(0x15), script: script,
			file: script, note: "iPXE without HTTP, and no loader for architecture 27 efi-riscv64",
		},
	} {
		req, err := dhcpv4.New()
		if err != nil {
			t.Fatal(err)
		}
		if c.ipxe != nil {
			req.Options[175] = c.ipxe
		}
		b := Boot{Loaders: DefaultLoaders(), HTTP: c.http}
		file, note := b.File4(req, c.client, netip.MustParseAddr("192.0.2.1"), c.loader, c.script)
		if file != c.file || note != c.note {
			t.Errorf("%s: %q, %q; want %q, %q", name, file, note, c.file, c.note)
		}
	}
}

func TestPXEClass(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"": false, "\x06\x01\x08": true, "\x06\x01\x08\xff": true, "\x00\x06\x01\x0b": true, "\x06\x01\x03": false,
		"\x06\x02\x08\x08": false, "\x06\x00": false, "\x06": false, "\x06\x01": false, "\x47\x01\x08": false,
		"\xff\x06\x01\x08": false, "\x0a\x02ab\x06\x01\x08": true,
	} {
		if got := PXEClass([]byte(text)); got != want {
			t.Errorf("%x: %v", text, got)
		}
	}
}

// Whole replies to every kind of client: what a rule has put into option 43
// brings the class with it, and nothing else does.
func TestWrite(t *testing.T) {
	t.Parallel()
	next := netip.MustParseAddr("192.0.2.7")
	type options map[uint8]string
	for name, c := range map[string]struct {
		kind     Kind
		file     string
		ask      options // of the request
		rule     string  // option 43
		siaddr   string
		bootFile string // field
		want     options
	}{
		"not booting":  {kind: NotBooting, file: "x", ask: options{97: "id"}, siaddr: "0.0.0.0", want: options{}},
		"PXE":          {kind: PXE, file: "undionly.kpxe", siaddr: "192.0.2.7", bootFile: "undionly.kpxe", want: options{17: "192.0.2.7", 67: "undionly.kpxe"}},
		"another name": {kind: PXE, file: "grub/x.efi", siaddr: "192.0.2.7", bootFile: "grub/x.efi", want: options{17: "192.0.2.7", 67: "grub/x.efi"}},
		"no name":      {kind: PXE, siaddr: "192.0.2.7", want: options{17: "192.0.2.7"}},
		"asks for 66 and 97": {
			kind: PXE, file: "a", ask: options{55: "\x42", 97: "\x00id"}, siaddr: "192.0.2.7", bootFile: "a",
			want: options{17: "192.0.2.7", 66: "192.0.2.7", 67: "a", 97: "\x00id"},
		},
		"option 43 with 6=8": {kind: PXE, rule: "\x06\x01\x08", file: "a", siaddr: "192.0.2.7", bootFile: "a", want: options{17: "192.0.2.7", 43: "\x06\x01\x08", 60: "PXEClient", 67: "a"}},
		"option 43 without":  {kind: PXE, rule: "\x01\x01\x08", file: "a", siaddr: "192.0.2.7", bootFile: "a", want: options{17: "192.0.2.7", 43: "\x01\x01\x08", 67: "a"}},
		"iPXE":               {kind: IPXE, rule: "\x06\x01\x08", file: "http://bss/s", siaddr: "192.0.2.7", want: options{17: "192.0.2.7", 43: "\x06\x01\x08", 67: "http://bss/s"}},
		"iPXE by TFTP":       {kind: IPXE, file: "default", siaddr: "192.0.2.7", bootFile: "default", want: options{17: "192.0.2.7", 67: "default"}},
		"HTTP":               {kind: HTTP, file: "http://192.0.2.1:8082/x.efi", ask: options{55: "\x42"}, siaddr: "0.0.0.0", want: options{60: "HTTPClient", 67: "http://192.0.2.1:8082/x.efi"}},
		"HTTP, none":         {kind: HTTP, siaddr: "0.0.0.0", want: options{60: "HTTPClient"}},
		"HTTP, never TFTP":   {kind: HTTP, file: "ipxe-x86_64.efi", siaddr: "0.0.0.0", want: options{60: "HTTPClient"}},
	} {
		req, err := dhcpv4.New()
		if err != nil {
			t.Fatal(err)
		}
		for code, value := range c.ask {
			req.Options[code] = []byte(value)
		}
		reply, err := dhcpv4.New()
		if err != nil {
			t.Fatal(err)
		}
		if c.rule != "" {
			reply.Options[43] = []byte(c.rule)
		}
		NewReplies4(DefaultLoaders()).Write(reply, req, Client{Kind: c.kind}, next, c.file)
		got := options{}
		for code, value := range reply.Options {
			got[code] = string(value)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: options (-want +got):\n%s", name, diff)
		}
		if reply.ServerIPAddr.String() != c.siaddr || reply.BootFileName != c.bootFile {
			t.Errorf("%s: siaddr %v, file %q; want %s, %q", name, reply.ServerIPAddr, reply.BootFileName, c.siaddr, c.bootFile)
		}
	}
}

// FuzzSuboptions reads any octets: no panic, and every value that it finds was
// there.
func FuzzSuboptions(f *testing.F) {
	f.Add([]byte("\x06\x01\x08\xff"))
	f.Add(features(0x13, 0x14))
	f.Add([]byte{0, 0, 5, 200, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		for _, value := range suboptions(b) {
			n += len(value)
		}
		if n > len(b) {
			t.Errorf("%d octets out of %d", n, len(b))
		}
	})
}

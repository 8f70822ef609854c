package netboot

import (
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

func TestFromV4(t *testing.T) {
	t.Parallel()
	type options = map[uint8]string
	for name, c := range map[string]struct {
		with options
		want Client
	}{
		"operating system":       {options{60: "dhcpcd-9.4.1", 77: "linux"}, Client{}},
		"BIOS":                   {options{60: "PXEClient:Arch:00000:UNDI:002001", 93: "\x00\x00"}, Client{PXE, []iana.Arch{iana.INTEL_X86PC}}},
		"several architectures":  {options{93: "\x00\x07\x00\x09"}, Client{PXE, []iana.Arch{iana.EFI_X86_64, iana.EFI_BC}}},
		"option 93 of one octet": {options{93: "\x07"}, Client{Kind: PXE}},
		"empty option 93":        {options{93: ""}, Client{Kind: PXE}},
		"architecture in 60":     {options{60: "PXEClient:Arch:00011:UNDI:003000"}, Client{PXE, []iana.Arch{iana.EFI_ARM64}}},
		"broken 60":              {options{60: "PXEClient:Arch:x"}, Client{Kind: PXE}},
		"HTTP":                   {options{60: "HTTPClient:Arch:00016:UNDI:003001", 93: "\x00\x10"}, Client{HTTP, []iana.Arch{iana.EFI_X86_64_HTTP}}},
		"iPXE raw":               {options{77: "iPXE", 60: "PXEClient", 93: "\x00\x07"}, Client{IPXE, []iana.Arch{iana.EFI_X86_64}}},
		"iPXE with length":       {options{77: "\x04iPXE"}, Client{Kind: IPXE}},
		"iPXE second of two":     {options{77: "\x03abc\x04iPXE"}, Client{Kind: IPXE}},
		"iPXE by 175":            {options{175: "\x13\x01\x01"}, Client{Kind: IPXE}},
		"class too long":         {options{77: "\x09iPXE"}, Client{}},
		"class of length 0":      {options{77: "\x00\x04iPXE"}, Client{}},
	} {
		req, err := dhcpv4.New()
		if err != nil {
			t.Fatal(err)
		}
		for code, value := range c.with {
			req.Options[code] = []byte(value)
		}
		if diff := cmp.Diff(c.want, FromV4(req)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func FuzzFromV4(f *testing.F) {
	f.Add([]byte("PXEClient:Arch:00007:UNDI:003016"), []byte{7}, []byte("\x04iPXE"))
	f.Add([]byte("HTTPClient"), []byte{0, 16}, []byte{255})
	f.Fuzz(func(t *testing.T, class, arch, user []byte) {
		req, err := dhcpv4.New()
		if err != nil {
			t.Fatal(err)
		}
		req.Options[60], req.Options[93], req.Options[77] = class, arch, user
		if c := FromV4(req); c.Kind == NotBooting {
			t.Errorf("option 93 is there, and the client does not boot: %v", c)
		}
	})
}

func TestScript(t *testing.T) {
	t.Parallel()
	mac := [6]byte{2, 0, 0, 0xab, 0xcd, 1}
	for text, want := range map[string][2]string{
		"http://bss:27778":          {"http://bss:27778/boot/v1/bootscript?mac=02:00:00:ab:cd:01", "http://bss:27778?mac=02:00:00:ab:cd:01"},
		"http://bss:27778/":         {"http://bss:27778/boot/v1/bootscript?mac=02:00:00:ab:cd:01", "http://bss:27778/?mac=02:00:00:ab:cd:01"},
		"https://api/apis/bss/":     {"https://api/apis/bss/boot/v1/bootscript?mac=02:00:00:ab:cd:01", "https://api/apis/bss/?mac=02:00:00:ab:cd:01"},
		"http://bss/s?retry=1":      {"http://bss/s/boot/v1/bootscript?retry=1&mac=02:00:00:ab:cd:01", "http://bss/s?retry=1&mac=02:00:00:ab:cd:01"},
		"http://[2001:db8::1]/s?#x": {"http://[2001:db8::1]/s/boot/v1/bootscript?mac=02:00:00:ab:cd:01", "http://[2001:db8::1]/s?mac=02:00:00:ab:cd:01"},
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		got := [2]string{BaseScript(u).For(mac), FullScript(u).For(mac)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

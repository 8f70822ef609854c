package netboot

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/iana"
)

// Every architecture that the DHCP library knows by name is in the table, as
// one of TFTP or HTTP by what the name says.
func TestTable(t *testing.T) {
	t.Parallel()
	for arch := range iana.Arch(200) {
		r, listed := architectures[arch]
		name := arch.String()
		if name == "unknown" {
			continue
		}
		if !listed {
			t.Errorf("%d, %s, is not in the table", arch, name)
		}
		if http := strings.HasSuffix(name, "HTTP"); http != r.http || http != strings.HasSuffix(r.name, "-http") {
			t.Errorf("%d, %s, is %+v in the table", arch, name, r)
		}
	}
	lines := strings.Split(Table(), "\n")
	want := []string{
		"| number | name | loader | by |", "|---|---|---|---|",
		"| 0 | `x86-bios` | `undionly.kpxe` | TFTP |", "| 1 | `nec-pc98` |  | TFTP |",
	}
	if diff := cmp.Diff(want, lines[:4]); diff != "" || len(lines) != len(architectures)+3 {
		t.Errorf("%d lines (-want +got):\n%s", len(lines), diff)
	}
}

func TestLoader(t *testing.T) {
	t.Parallel()
	loaders := DefaultLoaders()
	loaders[39] = "ipxe-loong64.efi"
	for name, c := range map[string]struct {
		kind  Kind
		archs []iana.Arch
		want  string
	}{
		"BIOS":              {PXE, []iana.Arch{0}, "undionly.kpxe"},
		"IA32":              {PXE, []iana.Arch{6}, "ipxe-i386.efi"},
		"x86-64":            {PXE, []iana.Arch{7}, "ipxe-x86_64.efi"},
		"EBC":               {PXE, []iana.Arch{9}, "ipxe-x86_64.efi"},
		"ARM32":             {PXE, []iana.Arch{10}, "ipxe-arm32.efi"},
		"ARM64":             {PXE, []iana.Arch{11}, "ipxe-arm64.efi"},
		"second choice":     {PXE, []iana.Arch{1, 11, 0}, "ipxe-arm64.efi"},
		"iPXE":              {IPXE, []iana.Arch{7}, "ipxe-x86_64.efi"},
		"HTTP IA32":         {HTTP, []iana.Arch{15}, "ipxe-i386.efi"},
		"HTTP x86-64":       {HTTP, []iana.Arch{16}, "ipxe-x86_64.efi"},
		"HTTP EBC":          {HTTP, []iana.Arch{17}, "ipxe-x86_64.efi"},
		"HTTP ARM32":        {HTTP, []iana.Arch{18}, "ipxe-arm32.efi"},
		"HTTP ARM64":        {HTTP, []iana.Arch{19}, "ipxe-arm64.efi"},
		"HTTP BIOS":         {HTTP, []iana.Arch{20}, "undionly.kpxe"},
		"HTTP, TFTP's name": {HTTP, []iana.Arch{7}, "ipxe-x86_64.efi"},
		"TFTP, HTTP's name": {PXE, []iana.Arch{16}, ""},
		"TFTP, both":        {PXE, []iana.Arch{16, 11}, "ipxe-arm64.efi"},
		"RISC-V":            {PXE, []iana.Arch{27}, ""},
		"LoongArch, set":    {PXE, []iana.Arch{39}, "ipxe-loong64.efi"},
		"none":              {PXE, nil, ""},
	} {
		got, ok := loaders.Loader(c.kind, c.archs)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q %v, want %q", name, got, ok, c.want)
		}
	}
}

func TestParseLoader(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]any{
		"9:ipxe-x86_64.efi":              Loader{9, "ipxe-x86_64.efi"},
		"efi-riscv64:ipxe-riscv64.efi":   Loader{27, "ipxe-riscv64.efi"},
		"40:http://192.0.2.9:8000/a.efi": Loader{40, "http://192.0.2.9:8000/a.efi"},
		"65535:x":                        Loader{65535, "x"},
		"efi-x86-64:sub/dir:x.efi":       Loader{7, "sub/dir:x.efi"},
		"65536:x":                        `no architecture "65536"; numbers and names are in the manual`,
		"efi_x86_64:x":                   `no architecture "efi_x86_64"; did you mean efi-x86-64?`,
		"EFI-ARM:x":                      `no architecture "EFI-ARM"; did you mean efi-arm32?`,
		"x86:x":                          `no architecture "x86"; numbers and names are in the manual`,
		"riscv:x":                        `no architecture "riscv"; numbers and names are in the manual`,
		"ipxe.efi":                       `no architecture "ipxe.efi"; numbers and names are in the manual`,
		"7":                              "no file",
		"7:":                             "no file",
		"7:" + strings.Repeat("x", 128):  "a file name of 128 octets, 127 are the most",
		"7:http://192.0.2.9/a.efi":       "7 efi-x86-64 loads by TFTP, and not from a URL",
		"16:tftp://192.0.2.9/a.efi":      `"tftp://192.0.2.9/a.efi" is no URL of http or https`,
		"16:http:///a.efi":               `"http:///a.efi" is no URL of http or https`,
	} {
		got, err := ParseLoader(text)
		if err != nil {
			if diff := cmp.Diff(want, any(err.Error())); diff != "" {
				t.Errorf("%s: error (-want +got):\n%s", text, diff)
			}
			continue
		}
		if diff := cmp.Diff(want, any(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

// FuzzParseLoader reads any text: what is accepted is accepted again, by the
// number that it came to.
func FuzzParseLoader(f *testing.F) {
	for _, seed := range []string{"9:a", "efi-x86-64:b", "16:http://h/x", ":", "efi", "7:a:b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseLoader(text)
		if err != nil {
			return
		}
		name := architectures[l.Arch].name
		if name == "" {
			return
		}
		if again, err := ParseLoader(name + ":" + l.File); err != nil || again != l {
			t.Errorf("%q is %v, and by its name %v, %v", text, l, again, err)
		}
	})
}

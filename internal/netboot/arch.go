package netboot

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/insomniacslk/dhcp/iana"
)

// A row is what is known of an architecture.
type row struct {
	name string // as administrators write it
	file string // the loader; empty: none unless one is configured
	http bool   // its firmware loads by HTTP, else by TFTP
}

// architectures are those that IANA has registered ("Processor Architecture
// Types" of DHCPv6, RFC 4578 and 5970). x86-64 firmware sends EBC for itself.
var architectures = map[iana.Arch]row{
	0:  {"x86-bios", "undionly.kpxe", false},
	1:  {"nec-pc98", "", false},
	2:  {"efi-itanium", "", false},
	3:  {"dec-alpha", "", false},
	4:  {"arc-x86", "", false},
	5:  {"intel-lean-client", "", false},
	6:  {"efi-ia32", "ipxe-i386.efi", false},
	7:  {"efi-x86-64", "ipxe-x86_64.efi", false},
	8:  {"efi-xscale", "", false},
	9:  {"efi-ebc", "ipxe-x86_64.efi", false},
	10: {"efi-arm32", "ipxe-arm32.efi", false},
	11: {"efi-arm64", "ipxe-arm64.efi", false},
	12: {"ppc-open-firmware", "", false},
	13: {"ppc-epapr", "", false},
	14: {"ppc-opal", "", false},
	15: {"efi-ia32-http", "ipxe-i386.efi", true},
	16: {"efi-x86-64-http", "ipxe-x86_64.efi", true},
	17: {"efi-ebc-http", "ipxe-x86_64.efi", true},
	18: {"efi-arm32-http", "ipxe-arm32.efi", true},
	19: {"efi-arm64-http", "ipxe-arm64.efi", true},
	20: {"x86-bios-http", "undionly.kpxe", true},
	21: {"uboot-arm32", "", false},
	22: {"uboot-arm64", "", false},
	23: {"uboot-arm32-http", "", true},
	24: {"uboot-arm64-http", "", true},
	25: {"efi-riscv32", "", false},
	26: {"efi-riscv32-http", "", true},
	27: {"efi-riscv64", "", false},
	28: {"efi-riscv64-http", "", true},
	29: {"efi-riscv128", "", false},
	30: {"efi-riscv128-http", "", true},
	31: {"s390-basic", "", false},
	32: {"s390-extended", "", false},
	33: {"efi-mips32", "", false},
	34: {"efi-mips64", "", false},
	35: {"efi-sunway32", "", false},
	36: {"efi-sunway64", "", false},
	37: {"efi-loongarch32", "", false},
	38: {"efi-loongarch32-http", "", true},
	39: {"efi-loongarch64", "", false},
	40: {"efi-loongarch64-http", "", true},
	41: {"rpi", "", false},
}

// Loaders are the loaders by architecture: file names, or URLs for firmware
// that loads by HTTP.
type Loaders map[iana.Arch]string

// DefaultLoaders returns the iPXE loaders under the names that sites keep them.
func DefaultLoaders() Loaders {
	l := make(Loaders)
	for arch, r := range architectures {
		if r.file != "" {
			l[arch] = r.file
		}
	}
	return l
}

// Loader returns the loader of the first architecture that has one. Firmware
// that loads by TFTP is not offered what is for HTTP.
func (l Loaders) Loader(kind Kind, archs []iana.Arch) (string, bool) {
	for _, arch := range archs {
		name, ok := l[arch]
		if ok && (kind == HTTP || !architectures[arch].http) {
			return name, true
		}
	}
	return "", false
}

// A Loader is the loader of one architecture.
type Loader struct {
	Arch iana.Arch
	File string
}

// LoaderGrammar is what ParseLoader reads.
const LoaderGrammar = "ARCH:FILE such as 9:ipxe-x86_64.efi or efi-riscv64:ipxe-riscv64.efi"

// maxFile is the longest name that the file field of a message holds.
const maxFile = 127

// ParseLoader reads an architecture, by number or name, and its loader.
func ParseLoader(text string) (Loader, error) {
	word, file, _ := strings.Cut(text, ":")
	arch, err := parseArch(word)
	switch {
	case err != nil:
		return Loader{}, err
	case file == "":
		return Loader{}, errors.New("no file")
	case len(file) > maxFile:
		return Loader{}, fmt.Errorf("a file name of %d octets, %d are the most", len(file), maxFile)
	case !strings.Contains(file, "://"):
		return Loader{arch, file}, nil
	case !architectures[arch].http:
		return Loader{}, fmt.Errorf("%s loads by TFTP, and not from a URL", describe(arch))
	}
	if u, err := url.Parse(file); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return Loader{}, fmt.Errorf("%q is no URL of http or https", file)
	}
	return Loader{arch, file}, nil
}

// parseArch reads the number or name of an architecture.
func parseArch(word string) (iana.Arch, error) {
	if n, err := strconv.ParseUint(word, 10, 16); err == nil {
		return iana.Arch(n), nil
	}
	best, longest := "", 3
	for _, arch := range slices.Sorted(maps.Keys(architectures)) {
		name := architectures[arch].name
		if name == word {
			return arch, nil
		}
		if n := common(name, word); n > longest || n == longest && len(name) < len(best) {
			best, longest = name, n
		}
	}
	if best != "" {
		return 0, fmt.Errorf("no architecture %q; did you mean %s?", word, best)
	}
	return 0, fmt.Errorf("no architecture %q; numbers and names are in the manual", word)
}

// common counts the letters and digits that two words have in common at their
// beginning.
func common(a, b string) int {
	plain := strings.NewReplacer("-", "", "_", "", ".", "", " ", "")
	a, b = strings.ToLower(plain.Replace(a)), strings.ToLower(plain.Replace(b))
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// describe names architectures for the log.
func describe(archs ...iana.Arch) string {
	if len(archs) == 0 {
		return "(none given)"
	}
	words := make([]string, len(archs))
	for i, arch := range archs {
		words[i] = strconv.Itoa(int(arch))
		if r, ok := architectures[arch]; ok {
			words[i] += " " + r.name
		}
	}
	return strings.Join(words, ", ")
}

// Table prints the architectures as the Markdown table of the manual.
func Table() string {
	var b strings.Builder
	b.WriteString("| number | name | loader | by |\n|---|---|---|---|\n")
	for _, arch := range slices.Sorted(maps.Keys(architectures)) {
		r := architectures[arch]
		file, by := "", "TFTP"
		if r.file != "" {
			file = "`" + r.file + "`"
		}
		if r.http {
			by = "HTTP"
		}
		fmt.Fprintf(&b, "| %d | `%s` | %s | %s |\n", arch, r.name, file, by)
	}
	return b.String()
}

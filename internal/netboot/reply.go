package netboot

import (
	"bytes"
	"net/netip"
	"strings"
	"sync/atomic"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// optionClientMachineID is the client machine identifier (RFC 4578 section
// 2.3), which PXE wants back.
const optionClientMachineID = dhcpv4.GenericOptionCode(97)

// Replies4 writes what clients that boot are told in DHCPv4.
type Replies4 struct {
	loaders map[string]dhcpv4.Modifier
	own     atomic.Pointer[next4]
}

// next4 are the options that follow from the address of the TFTP server.
type next4 struct {
	addr     netip.Addr
	next     dhcpv4.Modifier // next server and root path
	tftpName dhcpv4.Modifier
}

// NewReplies4 returns what writes replies that, most of the time, name these
// loaders.
func NewReplies4(loaders Loaders) *Replies4 {
	r := &Replies4{loaders: make(map[string]dhcpv4.Modifier)}
	for _, name := range loaders {
		r.loaders[name] = both(name)
	}
	return r
}

// Append appends what a client is told: the file by that name from the TFTP
// server next, or the URL that file is. A client that does not boot, and a file
// of no name, are told none; firmware that loads by HTTP is told of nothing but
// a URL. The modifiers go last, but for those of rules.
func (r *Replies4) Append(mods []dhcpv4.Modifier, req *dhcpv4.DHCPv4, c Client, next netip.Addr, file string) []dhcpv4.Modifier {
	if c.Kind == NotBooting {
		return mods
	}
	if id := req.GetOneOption(optionClientMachineID); id != nil {
		mods = append(mods, set(optionClientMachineID, id))
	}
	isURL := strings.Contains(file, "://")
	if c.Kind == HTTP {
		mods = append(mods, set(dhcpv4.OptionClassIdentifier, []byte("HTTPClient")))
		if isURL {
			mods = append(mods, set(dhcpv4.OptionBootfileName, []byte(file)))
		}
		return mods
	}
	if c.Kind == PXE {
		mods = append(mods, WithPXEClass)
	}
	return r.appendFile(mods, req, next, file, isURL)
}

// appendFile appends what names a file and the server that has it.
func (r *Replies4) appendFile(mods []dhcpv4.Modifier, req *dhcpv4.DHCPv4, next netip.Addr, file string, isURL bool) []dhcpv4.Modifier {
	from := r.from(next)
	mods = append(mods, from.next)
	if bytes.IndexByte(req.GetOneOption(dhcpv4.OptionParameterRequestList), dhcpv4.OptionTFTPServerName.Code()) >= 0 {
		mods = append(mods, from.tftpName)
	}
	switch {
	case file == "":
		return mods
	case isURL:
		return append(mods, set(dhcpv4.OptionBootfileName, []byte(file)))
	case r.loaders[file] != nil:
		return append(mods, r.loaders[file])
	}
	return append(mods, both(file))
}

// from returns the options of a TFTP server's address, which hardly ever is
// another one than in the reply before.
func (r *Replies4) from(next netip.Addr) *next4 {
	if own := r.own.Load(); own != nil && own.addr == next {
		return own
	}
	octets, text := next.AsSlice(), next.AppendTo(nil)
	own := &next4{
		addr:     next,
		tftpName: set(dhcpv4.OptionTFTPServerName, text),
		next: func(d *dhcpv4.DHCPv4) {
			d.ServerIPAddr = octets
			d.Options[dhcpv4.OptionRootPath.Code()] = text
		},
	}
	r.own.Store(own)
	return own
}

// both names a file in the two places that firmware looks at.
func both(name string) dhcpv4.Modifier {
	option := set(dhcpv4.OptionBootfileName, []byte(name))
	return func(d *dhcpv4.DHCPv4) {
		option(d)
		d.BootFileName = name
	}
}

func set(code dhcpv4.OptionCode, value []byte) dhcpv4.Modifier {
	number := code.Code()
	return func(d *dhcpv4.DHCPv4) { d.Options[number] = value }
}

// Codes of PXE's vendor options (PXE 2.1 section 2.2, option 43): what firmware
// is to discover, and the bit that says to use the boot file given.
const (
	pxeDiscovery   byte = 6
	pxeUseBootFile byte = 8
)

// PXEClass reports whether vendor options (43) tell PXE firmware to use the
// boot file that it is given.
func PXEClass(vendor []byte) bool {
	control := suboptions(vendor)[pxeDiscovery]
	return len(control) == 1 && control[0]&pxeUseBootFile != 0
}

// WithPXEClass sets the class PXEClient if the reply's vendor options, which a
// rule has set, say to use the boot file given. The class without them makes
// firmware look for a boot server first.
func WithPXEClass(d *dhcpv4.DHCPv4) {
	if PXEClass(d.GetOneOption(dhcpv4.OptionVendorSpecificInformation)) {
		d.Options[dhcpv4.OptionClassIdentifier.Code()] = []byte("PXEClient")
	}
}

// Without takes out of a reply what only clients that boot are told, whoever
// put it there: an installed system that is told a root path or a boot file may
// use it.
func Without(d *dhcpv4.DHCPv4) {
	d.BootFileName = ""
	d.DeleteOption(dhcpv4.OptionRootPath)
	d.DeleteOption(dhcpv4.OptionVendorSpecificInformation)
	d.DeleteOption(dhcpv4.OptionClassIdentifier)
	d.DeleteOption(dhcpv4.OptionTFTPServerName)
	d.DeleteOption(dhcpv4.OptionBootfileName)
}

package netboot

import (
	"bytes"
	"net"
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
	loaders map[string][]byte // their names as octets
	own     atomic.Pointer[next4]
}

// A next4 is the address of the TFTP server, as replies hold it.
type next4 struct {
	addr   netip.Addr
	octets net.IP
	text   []byte
}

// NewReplies4 returns what writes replies that, most of the time, name these
// loaders.
func NewReplies4(loaders Loaders) *Replies4 {
	r := &Replies4{loaders: make(map[string][]byte)}
	for _, name := range loaders {
		r.loaders[name] = []byte(name)
	}
	return r
}

// Write writes into a reply what a client is told: the file by that name from
// the TFTP server next, or the URL that file is. A client that does not boot, and
// a file of no name, are told none; firmware that loads by HTTP is told of
// nothing but a URL. It comes last, for what it writes depends on vendor options.
func (r *Replies4) Write(d, req *dhcpv4.DHCPv4, c Client, next netip.Addr, file string) {
	if c.Kind == NotBooting {
		return
	}
	if id := req.GetOneOption(optionClientMachineID); id != nil {
		set(d, optionClientMachineID, id)
	}
	isURL := strings.Contains(file, "://")
	if c.Kind == HTTP {
		set(d, dhcpv4.OptionClassIdentifier, []byte("HTTPClient"))
		if isURL {
			set(d, dhcpv4.OptionBootfileName, []byte(file))
		}
		return
	}
	if c.Kind == PXE {
		setPXEClass(d)
	}
	r.writeFile(d, req, next, file, isURL)
}

// writeFile writes what names a file and the server that has it.
func (r *Replies4) writeFile(d, req *dhcpv4.DHCPv4, next netip.Addr, file string, isURL bool) {
	from := r.from(next)
	d.ServerIPAddr = from.octets
	set(d, dhcpv4.OptionRootPath, from.text)
	if bytes.IndexByte(req.GetOneOption(dhcpv4.OptionParameterRequestList), dhcpv4.OptionTFTPServerName.Code()) >= 0 {
		set(d, dhcpv4.OptionTFTPServerName, from.text)
	}
	if file == "" {
		return
	}
	name, known := r.loaders[file]
	if !known {
		name = []byte(file)
	}
	set(d, dhcpv4.OptionBootfileName, name)
	if !isURL {
		d.BootFileName = file // firmware looks at either
	}
}

// from returns the options of a TFTP server's address, which hardly ever is
// another one than in the reply before.
func (r *Replies4) from(next netip.Addr) *next4 {
	if own := r.own.Load(); own != nil && own.addr == next {
		return own
	}
	own := &next4{next, next.AsSlice(), next.AppendTo(nil)}
	r.own.Store(own)
	return own
}

// set sets an option to octets that nobody writes to.
func set(d *dhcpv4.DHCPv4, code dhcpv4.OptionCode, value []byte) { d.Options[code.Code()] = value }

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

// setPXEClass sets the class PXEClient if the reply's vendor options, which a
// rule has set, say to use the boot file given. The class without them makes
// firmware look for a boot server first.
func setPXEClass(d *dhcpv4.DHCPv4) {
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
